"""MSEC, SICE, LCDP: folders as published, counts, and what is said when they are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hdr.data.exposure_sets import lcdp, msec, sice
from hdr.data.photos import PhotoDataset
from hdr.errors import UserError
from tests.data.photographs import blues, pairs, photo

EVS = {"N1.5": -1.5, "N1": -1.0, "0": 0.0, "P1": 1.0, "P1.5": 1.5}


def ids(dataset: PhotoDataset) -> list[str]:
    return [record.id for record in dataset.records]


@pytest.fixture
def afifi(tmp_path: Path) -> Path:
    for part, scenes in (("training", ("a0001-x_1", "a0002-y")), ("validation", ("a0003",)), ("testing", ("a0004",))):
        for number, scene in enumerate(scenes):
            for k, name in enumerate(EVS):
                photo(tmp_path / part / "INPUT_IMAGES" / f"{scene}_{name}.JPG", 20 * k)
            if part != "testing":
                photo(tmp_path / part / "GT_IMAGES" / f"{scene}.jpg", 150 + number)
            for k, expert in enumerate("abcde" if part == "testing" else ""):
                photo(tmp_path / part / f"expert_{expert}_testing_set" / f"{scene}.jpg", 200 + 8 * k)
    return tmp_path


def test_msec(afifi: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo(afifi / "training" / "INPUT_IMAGES" / "a0009_P1.JPG")
    photo(afifi / "training" / "INPUT_IMAGES" / "a0009-render.JPG")
    train = msec(afifi)
    assert len(train) == 10
    assert {record.group for record in train.records} == {"train/a0001-x_1", "train/a0002-y"}
    first = {record.id: record for record in train.records}
    assert {name: first[f"train/a0001-x_1_{name}"].metadata["ev"] for name in EVS} == EVS
    assert all(record.paths["target"].stem == record.group.split("/")[1] for record in train.records)
    assert "1 of input have no partner: a0009_P1.JPG" in caplog.text
    assert "1 of input have a name that does not fit the pattern: a0009-render.JPG" in caplog.text
    assert "the split 'train' has 10 photos, published are 17675" in caplog.text
    assert len(msec(afifi, "val")) == 5
    assert len(msec(afifi, None)) == 20
    assert {record.split for record in msec(afifi, None).records} == {"train", "val", "test"}


def test_msec_has_five_experts_and_five_exposures(afifi: Path) -> None:
    for k, expert in enumerate("abcde"):
        assert blues(msec(afifi, "test", expert=expert), "target") == pytest.approx([200 + 8 * k] * 5, abs=2)
    assert len(msec(afifi, "test", evs=[-1.5, -1.0])) == 2
    assert {record.metadata["ev"] for record in msec(afifi, "test", evs=[0, 1]).records} == {0.0, 1.0}
    with pytest.raises(UserError, match="expert='ab' of MSEC: accepted are a, b, c, d, e"):
        msec(afifi, expert="ab")
    with pytest.raises(UserError, match="no photo is in the split 'test'; found nothing"):
        msec(afifi, "test", evs=[2.0])


def sequence(root: Path, part: str, number: int, count: int) -> None:
    for k in range(1, count + 1):
        photo(root / part / str(number) / f"{k}.JPG", 10 * k)
    photo(root / part / "Label" / f"{number}.{'JPG' if number % 2 else 'PNG'}", 99)


def test_sice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part, number, count in (("Dataset_Part1", 1, 7), ("Dataset_Part1", 4, 9), ("Dataset_Part2", 4, 10)):
        sequence(tmp_path, part, number, count)
    photo(tmp_path / "Dataset_Part2" / "7" / "1.JPG")
    train, test = sice(tmp_path), sice(tmp_path, "test")
    assert set(train.groups) == {"part1/1", "part2/4"}
    assert set(test.groups) == {"part1/4"}
    steps = {record.id: record.metadata["step"] for record in (*train.records, *test.records)}
    # one stop under the middle of seven is the third, of nine the fourth
    assert (steps["part1/1/3"], steps["part1/4/4"], steps["part1/1/5"], steps["part1/4/6"]) == (-1, -1, 1, 1)
    assert [steps[f"part2/4/{k}"] for k in (1, 2, 10)] == [-4.5, -3.5, 4.5]
    assert ids(sice(tmp_path, "test", exposures="under")) == [f"part1/4/{k}" for k in (1, 2, 3, 4)]
    assert ids(sice(tmp_path, "test", exposures="over")) == [f"part1/4/{k}" for k in (6, 7, 8, 9)]
    assert "1 of sequences have no partner: part2/7" in caplog.text
    assert "the split 'train' has 2 sequences, published are 531" in caplog.text
    assert "the split 'test' has 1 sequences, published are 58" in caplog.text
    (tmp_path / "testing_index.txt").write_text("1\n")
    assert set(sice(tmp_path, "test").groups) == {"part1/1"}
    with pytest.raises(UserError, match="exposures='x' of SICE: accepted are all, under, over"):
        sice(tmp_path, exposures="x")


def test_lcdp(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs(tmp_path / "adobe5k", ["a0001-IMG_1", "a0001-IMG_1-2", "a0002-x"], "input", "gt")
    pairs(tmp_path / "adobe5k", ["a0003-y"], "test-input", "test-gt")
    pairs(tmp_path / "raise", ["r000a0001t"], "input", "gt")
    train = lcdp(tmp_path)
    names = ["adobe5k/a0001-IMG_1", "adobe5k/a0001-IMG_1-2", "adobe5k/a0002-x", "raise/r000a0001t"]
    assert ids(train) == [f"train/{name}" for name in names]
    assert train.groups[0] == train.groups[1] == "train/adobe5k/a0001"
    assert train.groups[3] == "train/raise/r000a0001t"
    assert blues(lcdp(tmp_path, "test"), "target") == [100]
    assert "the split 'test' has 1 photos, published are 218" in caplog.text
    assert {r.split for r in lcdp(tmp_path, None, holdout=0.5).records} == {"train", "val", "test"}
    pairs(tmp_path / "adobe5k", ["a0004"], "valid-input", "valid-gt")
    assert ids(lcdp(tmp_path, "val", holdout=0.5)) == ["val/adobe5k/a0004"]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (msec, ("training/INPUT_IMAGES", "expert_a_testing_set", "mahmoudnafifi")),
        (sice, ("Dataset_Part1 or Part1", "360 sequences", "csjcai")),
        (lcdp, ("no folder called input", "<root>/raise/input/*.png", "onpix")),
    ],
)
def test_missing_data_are_told_with_layout_and_source(
    tmp_path: Path, load: Callable[[Path], object], words: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path / "nowhere")
    for word in (*words, "nowhere", "accept its terms", "does not download"):
        assert word in str(caught.value)
