"""Layouts of public data sets: folders and lists as published, counts, and what is said when they are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hdr.data.fivek import fivek
from hdr.data.lol import lol
from hdr.errors import UserError
from tests.data.photographs import blues, pairs, photo


def fivek_names(*numbers: int) -> list[str]:
    return [f"a{number:04d}-IMG_{number % 7}.5" for number in numbers]


def test_fivek_upe(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs(tmp_path, fivek_names(1, 2, 4500, 4501, 5000), target="expertC_gt", suffix=".tif")
    (tmp_path / "input" / "a0002-IMG_2.5.tif").rename(tmp_path / "input" / "a0002 renamed.tif")
    train, test = fivek(tmp_path, "upe", "train"), fivek(tmp_path, "upe", "test")
    assert [r.id for r in train.records] == ["a0001", "a0002", "a4500"]
    assert [r.id for r in test.records] == ["a4501", "a5000"]
    assert blues(test, "target") == [103, 104]
    assert "the split 'test' has 2 photos, published are 500; figures will not be comparable" in caplog.text


@pytest.mark.parametrize(
    "lists", [("images_train", "images_valid", "images_test"), ("train_input", "train_label", "test")]
)
def test_fivek_dpe(tmp_path: Path, caplog: pytest.LogCaptureFixture, lists: tuple[str, str, str]) -> None:
    pairs(tmp_path, fivek_names(1, 2, 3, 4), target="output")
    for name, ids in zip(lists, (["a0001"], ["a0004"], ["a0002", "a0009"]), strict=True):
        (tmp_path / f"{name}.txt").write_text("\n".join(ids))
    found = {
        split: [r.id for r in fivek(tmp_path, "dpe", split, holdout=0.5).records] for split in ("train", "val", "test")
    }
    assert found == {"train": ["a0001"], "val": ["a0004"], "test": ["a0002"]}
    assert "1 listed photos are not there: a0009" in caplog.text


@pytest.mark.parametrize("lists", [{"train": [1, 2, 3]}, {"train_input": [1, 2], "train_label": [3]}])
def test_fivek_zeng(tmp_path: Path, lists: dict[str, list[int]]) -> None:
    pairs(tmp_path, [f"a{i:04d}" for i in range(1, 6)], "input/JPG/480p", "expertC/JPG/480p", ".jpg")
    photo(tmp_path / "input/PNG/480p_16bits_XYZ_WB/a0001.png")
    for name, numbers in {**lists, "test": [5]}.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"a{number:04d}\n" for number in numbers))
    assert [r.id for r in fivek(tmp_path, "zeng", "train").records] == ["a0001", "a0002", "a0003"]
    assert [r.id for r in fivek(tmp_path, "zeng", "test").records] == ["a0005"]


def test_fivek_retinexformer(tmp_path: Path) -> None:
    pairs(tmp_path, fivek_names(99, 101), "train/input", "train/target", ".jpg")
    pairs(tmp_path, fivek_names(4574), "test/input", "test/target", ".jpg")
    assert [r.id for r in fivek(tmp_path, "retinexformer", "train").records] == ["a0099", "a0101"]
    assert [r.id for r in fivek(tmp_path, "retinexformer", "test").records] == ["a4574"]


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("our485", "eval15"), ("low", "high")),
        (("Train", "Test"), ("input", "target")),
    ],
)
def test_lol_v1(tmp_path: Path, names: tuple[str, str], folders: tuple[str, str]) -> None:
    pairs(tmp_path / names[0], ["2", "5", "7", "79"], *folders)
    pairs(tmp_path / names[1], ["1"], *folders)
    assert [r.id for r in lol(tmp_path).records] == ["2", "5", "7", "79"]
    assert blues(lol(tmp_path, split="test"), "target") == [100]


def test_lol_v2(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part, numbers in (("Train", (1, 2, 3)), ("Test", (690,))):
        for number in numbers:
            photo(tmp_path / "Real_captured" / part / "Low" / f"low{number:05d}.png", number % 250)
            photo(tmp_path / "Real_captured" / part / "Normal" / f"normal{number:05d}.png", number % 250)
        pairs(tmp_path / "Synthetic" / part, [f"r{number:08x}t" for number in numbers], "Low", "Normal")
    real = lol(tmp_path, "v2-real")
    assert [r.id for r in real.records] == ["00001", "00002", "00003"]
    assert blues(real, "input") == blues(real, "target") == [1, 2, 3]
    assert [r.id for r in lol(tmp_path, "v2-real", "test").records] == ["00690"]
    assert len(lol(tmp_path, "v2-synthetic")) == 3
    assert "LOL version 2: the split 'train' has 3 photos, published are 900" in caplog.text


def test_published_counts_pass_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part, count in (("our485", 485), ("eval15", 15)):
        for role in ("low", "high"):
            folder = tmp_path / part / role
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{part}{number}.png").touch()
    assert len(lol(tmp_path)) == 485
    assert len(lol(tmp_path, split="test")) == 15
    parts = [lol(tmp_path, split=split, holdout=0.1) for split in ("train", "val")]
    assert sum(map(len, parts)) == 485
    assert not caplog.records


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lambda root: lol(root), ("LOL version 1 is not complete", "our485/{low,high}", "daooshee")),
        (lambda root: lol(root, "v2-real"), ("LOL version 2", "Real_captured/Test/{Low,Normal}", "flyywh")),
        (lambda root: fivek(root, "upe"), ("FiveK (protocol upe)", "<root>/expertC_gt/", "data.csail.mit.edu")),
        (lambda root: fivek(root, "zeng"), ("protocol zeng", "<root>/input/JPG/480p", "HuiZeng")),
        (lambda root: fivek(root, "retinexformer"), ("<root>/test/{input,target}", "caiyuanhao1998")),
    ],
)
def test_missing_data_are_told_with_layout_and_source(
    tmp_path: Path, load: Callable[[Path], object], words: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path / "nowhere")
    for word in (*words, "nowhere", "accept its terms", "does not download"):
        assert word in str(caught.value)


def test_missing_lists_are_told(tmp_path: Path) -> None:
    pairs(tmp_path, fivek_names(1), target="output")
    with pytest.raises(UserError, match=r"no list called images_train\.txt or train_input\.txt"):
        fivek(tmp_path, "dpe")


def test_unknown_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="protocol='x' of FiveK: accepted are upe, dpe, zeng, retinexformer"):
        fivek(tmp_path, "x")
    with pytest.raises(UserError, match="version='v3' of LOL: accepted are v1, v2-real, v2-synthetic"):
        lol(tmp_path, "v3")
    pairs(tmp_path / "our485", ["2"], "low", "high")
    pairs(tmp_path / "eval15", ["1"], "low", "high")
    with pytest.raises(UserError, match="no photo is in the split 'val'; found test, train"):
        lol(tmp_path, split="val")
