"""HDR-Synth, HDR-Real, HDR-Eye, SI-HDR: folders as published, and what is said when they are otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hdr.data.hdr_images import hdr_eye, hdr_real, hdr_synth, si_hdr
from hdr.data.photos import PhotoDataset
from hdr.errors import UserError
from hdr.io import write_image
from tests.data.photographs import blues, photo, rng


def light(path: Path, value: float = 1.0) -> Path:
    """An HDR picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, torch.full((3, 24, 32), value), encoding="linear")
    return path


def values(dataset: PhotoDataset) -> list[float]:
    return [float(dataset.sample(index, rng())["target"][0, 0, 0]) for index in range(len(dataset))]


def ids(dataset: PhotoDataset) -> list[str]:
    return [record.id for record in dataset.records]


def test_hdr_synth_by_the_authors_lists(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, name in enumerate(("ward/a.hdr", "ward/b.exr", "funt/c.hdr", "d.hdr", "unlisted.hdr")):
        light(tmp_path / name, 2.0**number)
    photo(tmp_path / "preview.jpg")
    (tmp_path / "train.txt").write_text("ward/a.hdr\nward/b.exr\nfunt/c.hdr\nfunt/lost.exr\n")
    (tmp_path / "test.txt").write_text("d.hdr\n")
    assert ids(hdr_synth(tmp_path)) == ["funt/c", "ward/a", "ward/b"]
    assert values(hdr_synth(tmp_path)) == [4.0, 1.0, 2.0]
    assert ids(hdr_synth(tmp_path, "test")) == ["d"]
    assert "1 listed pictures are not there: funt/lost.exr" in caplog.text
    assert "the split 'train' has 3 photos, published are 503" in caplog.text
    sample = hdr_synth(tmp_path).sample(0, rng())
    assert sample["target_encoding"] == "linear"
    assert "input" not in sample
    (tmp_path / "test.txt").unlink()
    with pytest.raises(UserError, match=r"there is train\.txt but not the other of train\.txt and test\.txt"):
        hdr_synth(tmp_path)


def test_hdr_synth_without_lists_is_divided_by_scene(tmp_path: Path) -> None:
    for number in range(20):
        light(tmp_path / f"scene{number // 2:02d}-{number % 2}.hdr")
    shares = {"train": 0.4, "val": 0.3, "test": 0.3}
    parts = {split: hdr_synth(tmp_path, split, group=r"^(scene\d+)", ratios=shares) for split in shares}
    assert sum(map(len, parts.values())) == 20
    groups = [set(part.groups) for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10


def test_hdr_real_by_name_and_by_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, name in enumerate(("00001", "00002", "00003")):
        light(tmp_path / "train" / "HDR_gt" / f"{name}.hdr", 2.0**number)
        photo(tmp_path / "train" / "LDR_in" / f"{name}.jpg", 10 * number)
        light(tmp_path / "test" / "HDR_gt" / f"gt_{name}.hdr", 2.0**number)
        photo(tmp_path / "test" / "LDR_in" / f"in_{name}.png", 10 * number)
    (tmp_path / "train" / "HDR_gt" / "00001.hdr").unlink()
    train = hdr_real(tmp_path)
    assert ids(train) == ["train/00002", "train/00003"]
    assert values(train) == [2.0, 4.0]
    assert "1 of input have no partner: 00001.jpg" in caplog.text
    test = hdr_real(tmp_path, "test")
    assert (values(test), blues(test, "input")) == ([1.0, 2.0, 4.0], [0, 10, 20])
    assert "names do not match; 3 pairs were made by sorted order" in caplog.text
    (tmp_path / "test" / "HDR_gt" / "gt_00002.hdr").unlink()
    with pytest.raises(UserError, match="have 3 and 2 files, so their order does not pair them either"):
        hdr_real(tmp_path, "test")


def test_hdr_real_keeps_neighbours_together(tmp_path: Path) -> None:
    for number in range(450):
        for folder, suffix in (("HDR_gt", "hdr"), ("LDR_in", "jpg")):
            (tmp_path / "train" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "train" / folder / f"{number:05d}.{suffix}").touch()
    groups = hdr_real(tmp_path).groups
    assert [groups.count(name) for name in sorted(set(groups))] == [64] * 7 + [2]
    parts = [hdr_real(tmp_path, split, holdout=0.5) for split in ("train", "val")]
    assert sum(map(len, parts)) == 450
    assert not set(parts[0].groups) & set(parts[1].groups)


@pytest.mark.parametrize("names", [("HDR_gt/{}.hdr", "LDR_in/{}.jpg"), ("HDR/{}_HDR.hdr", "LDR/{}_LDR.jpg")])
def test_hdr_eye(tmp_path: Path, names: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        light(tmp_path / names[0].format(f"C{number:02d}"), number)
        photo(tmp_path / names[1].format(f"C{number:02d}"), 10 * number)
    found = hdr_eye(tmp_path)
    assert values(found) == [1.0, 2.0]
    assert blues(found, "input") == pytest.approx([10, 20], abs=2)  # JPEG
    assert "the split 'test' has 2 photos, published are 46" in caplog.text
    with pytest.raises(UserError, match="no photo is in the split 'train'; found test"):
        hdr_eye(tmp_path, "train")


@pytest.mark.parametrize("above", [("", ""), ("sihdr/", "sihdr/"), ("input/sihdr/", "reference/sihdr/")])
def test_si_hdr(tmp_path: Path, above: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 3):
        light(tmp_path / f"{above[1]}reference" / f"{number:03d}.exr", number)
        photo(tmp_path / f"{above[0]}input" / "clip_95" / f"{number:03d}.png", number)
        photo(tmp_path / f"{above[0]}input" / "clip_97" / f"{number:03d}.png", 10 * number)
    assert values(si_hdr(tmp_path)) == [1.0, 3.0]
    assert blues(si_hdr(tmp_path), "input") == [1, 3]
    assert blues(si_hdr(tmp_path, condition="clip_97"), "input") == [10, 30]
    assert {record.licence for record in si_hdr(tmp_path).records} == {"CC BY 4.0"}
    assert "published are 181" in caplog.text


def test_si_hdr_brackets(tmp_path: Path) -> None:
    light(tmp_path / "reference" / "001.exr")
    for name in ("_B.CR2", "_A.CR2", "_C.CR2"):
        (tmp_path / "raw" / "001").mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / "001" / name).touch()
    (tmp_path / "raw" / "002").mkdir()
    (record,) = si_hdr(tmp_path, condition="raw").records
    assert {role: path.name for role, path in record.paths.items()} == {
        "frame_0": "_A.CR2", "frame_1": "_B.CR2", "frame_2": "_C.CR2", "target": "001.exr",
    }  # fmt: skip
    with pytest.raises(UserError, match="condition='clip_9' of SI-HDR: accepted are clip_95, clip_97, raw"):
        si_hdr(tmp_path, condition="clip_9")


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (hdr_synth, ("HDR-Synth is not complete", "that folder does not exist", "train.txt, test.txt")),
        (hdr_real, ("no folder called train or test", "<root>/train/HDR_gt/*.hdr")),
        (hdr_eye, ("no folder called LDR_in or LDR", "46 pairs", "epfl.ch")),
        (si_hdr, (" or input/clip_95 in it", "<root>/reference/001.exr", "sihdr_benchmark")),
    ],
)
def test_missing_data_are_told_with_layout_and_source(tmp_path: Path, load: object, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path / "nowhere")  # type: ignore[operator]
    for word in (*words, "nowhere", "accept its terms", "does not download"):
        assert word in str(caught.value)
