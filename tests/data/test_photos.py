"""Photos on disk as samples: from folders, lists, manifests and caches."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hdr.data.decode import PhotoDecode
from hdr.data.geometry import centre_square, crop_and_flip
from hdr.data.loader import make_loader
from hdr.data.manifest import Record, write_manifest
from hdr.data.photos import (
    PhotoDataset,
    hold_out,
    limit_long_edge,
    listed_photos,
    manifest_photos,
    paired_folder,
    unpaired_folder,
)
from hdr.data.prepare import prepare
from hdr.errors import UserError
from hdr.io import write_image
from tests.data.photographs import blues, pairs, photo, rng

# samples -------------------------------------------------------------------------------------------------------------


def test_a_sample_of_a_paired_folder(tmp_path: Path) -> None:
    pairs(tmp_path, ["a", "s/b"], target="expertC_gt")
    dataset = paired_folder(tmp_path)
    sample = dataset.sample(1, rng())
    assert list(sample) == ["id", "group", "input", "input_encoding", "target", "target_encoding"]
    assert (sample["id"], sample["group"], sample["input_encoding"]) == ("s/b", "s", "display")
    assert sample["input"].dtype == torch.float32
    assert sample["input"].shape == (3, 24, 32)
    assert (len(dataset), dataset.groups) == (2, ["a", "s"])
    assert blues(dataset, "input") == [0, 1]
    assert blues(dataset, "target") == [100, 101]


def test_crops_are_random_aligned_and_reach_everywhere(tmp_path: Path) -> None:
    pairs(tmp_path, ["a"])
    dataset = paired_folder(tmp_path, crop=(8, 10))
    seen = set()
    for seed in range(400):
        sample = dataset.sample(0, rng(seed))
        assert sample["input"].shape == (3, 8, 10)
        assert torch.equal(sample["input"][:2], sample["target"][:2])
        assert sample["input"].is_contiguous()
        seen.add(tuple((sample["input"][:2, 0, 0] * 255).round().int().tolist()))
    assert {row for row, _ in seen} == set(range(24 - 8 + 1))
    assert {column for _, column in seen} == set(range(32 - 10 + 1))
    whole = paired_folder(tmp_path, crop=64).sample(0, rng())["input"]
    assert whole.shape == (3, 24, 32)


def test_geometry_is_shared_and_gives_one_size(tmp_path: Path) -> None:
    pairs(tmp_path, ["a", "b", "c"])
    photo(tmp_path / "input" / "b.png", 1, (30, 20))
    photo(tmp_path / "target" / "b.png", 101, (30, 20))
    dataset = paired_folder(tmp_path, geometry=crop_and_flip(16))
    loader = make_loader(dataset, seed=3, batch_size=6, workers=0, train=True)
    batch = next(iter(loader))
    assert batch["input"].shape == batch["target"].shape == (6, 3, 16, 16)
    assert torch.equal(batch["input"][:, :2], batch["target"][:, :2])
    assert sorted(batch["id"]) == ["a", "a", "b", "b", "c", "c"]


def test_validation_sees_the_middle_of_every_photo(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", size=(24, 36))
    photo(tmp_path / "b.png", size=(12, 9))
    dataset = unpaired_folder(tmp_path, geometry=centre_square(24))
    middle, enlarged = (dataset.sample(index, rng())["input"] * 255 for index in range(2))
    torch.testing.assert_close(middle[1, 0], torch.arange(6.0, 30.0))  # columns 6 to 29 of 36
    torch.testing.assert_close(middle[0, :, 0], torch.arange(24.0))
    assert enlarged.shape == (3, 24, 24)
    assert torch.equal(dataset.sample(0, rng(7))["input"] * 255, middle)


def test_the_long_edge_is_limited_with_antialiasing(tmp_path: Path) -> None:
    checks = np.indices((200, 300)).sum(0) % 2 * 255
    (tmp_path / "in").mkdir()
    Image.fromarray(np.repeat(checks[..., None], 3, 2).astype(np.uint8)).save(tmp_path / "in" / "a.png")
    sample = unpaired_folder(tmp_path / "in", long_edge=90).sample(0, rng())
    assert sample["input"].shape == (3, 60, 90)
    assert (sample["input"] - 0.5).abs().max() < 0.1  # without a low-pass the checks would alias to black and white
    assert unpaired_folder(tmp_path / "in", long_edge=300).sample(0, rng())["input"].shape == (3, 200, 300)


@pytest.mark.parametrize(("size", "limit", "expected"), [((1, 1000), 100, (1, 100)), ((333, 500), 100, (67, 100))])
def test_sizes_are_rounded_and_never_zero(size: tuple[int, int], limit: int, expected: tuple[int, int]) -> None:
    assert limit_long_edge(torch.zeros(3, *size), limit).shape == (3, *expected)


def test_linear_and_16_bit_photos_keep_their_values(tmp_path: Path) -> None:
    linear = torch.from_numpy(rng().gamma(0.5, 20.0, (3, 24, 32)).astype(np.float32))
    write_image(_folder(tmp_path / "input") / "a.exr", linear, encoding="linear", bits=32)
    display = torch.from_numpy(rng(1).integers(0, 65536, (3, 24, 32)).astype(np.float32)) / 65535
    write_image(_folder(tmp_path / "target") / "a.png", display, encoding="display", bits=16)
    sample = paired_folder(tmp_path).sample(0, rng())
    assert (sample["input_encoding"], sample["target_encoding"]) == ("linear", "display")
    assert torch.equal(sample["input"], linear)
    torch.testing.assert_close(sample["target"], display, rtol=0, atol=1e-6)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_photos_of_a_pair_must_have_one_size(tmp_path: Path) -> None:
    photo(tmp_path / "input" / "a.png", 0, (24, 32))
    photo(tmp_path / "target" / "a.png", 0, (24, 33))
    with pytest.raises(UserError, match=r"the photos of 'a' differ in size \(input 24x32, target 24x33\)"):
        paired_folder(tmp_path).sample(0, rng())


def test_records_are_checked_once_at_the_start(tmp_path: Path) -> None:
    there = photo(tmp_path / "a.png")
    with pytest.raises(UserError, match="the record 'a' has photos for input, none for 'target'"):
        PhotoDataset([Record(id="a", paths={"input": there})])
    with pytest.raises(UserError, match=r"the record 'a' names .*b\.png, and there is no such file"):
        PhotoDataset([Record(id="a", paths={"input": there, "target": tmp_path / "b.png"})])
    with pytest.raises(UserError, match="holds no photo"):
        PhotoDataset([])


def test_a_dataset_can_be_sent_to_another_process(tmp_path: Path) -> None:
    pairs(tmp_path, ["a"])
    dataset = paired_folder(tmp_path, crop=20, geometry=crop_and_flip(8))
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.sample(0, rng())["input"], dataset.sample(0, rng())["input"])


# sources -------------------------------------------------------------------------------------------------------------


def test_splits_of_a_folder_share_no_group(tmp_path: Path) -> None:
    for shoot in range(12):
        pairs(tmp_path, [f"shoot{shoot}/{name}" for name in "ab"])
    parts = {split: paired_folder(tmp_path, split=split, seed=1) for split in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 24
    groups = [set(part.groups) for part in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 12
    with pytest.raises(UserError, match="no photo is in the split 'dev'; found test, train, val"):
        paired_folder(tmp_path, split="dev", seed=1)


def test_what_has_no_partner_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs(tmp_path, ["a"])
    photo(tmp_path / "input" / "lonely.png")
    paired_folder(tmp_path)
    assert "1 of input have no partner: lonely.png" in caplog.text


def test_unpaired_photos(tmp_path: Path) -> None:
    photo(tmp_path / "x" / "b.jpg")
    photo(tmp_path / "a.png")
    photo(tmp_path / "a.jpg")
    dataset = unpaired_folder(tmp_path)
    assert [r.id for r in dataset.records] == ["a.jpg", "a.png", "x/b.jpg"]
    assert dataset.groups == ["a", "a", "x"]  # two files of one picture stay together
    assert set(dataset.sample(0, rng())) == {"id", "group", "input", "input_encoding"}
    with pytest.raises(UserError, match="there is no such file or folder"):
        unpaired_folder(tmp_path / "none")


def test_listed_photos(tmp_path: Path) -> None:
    pairs(tmp_path, ["a", "b", "c"], target="output")
    (tmp_path / "filelist.txt").write_text("c.png\na.png\n")
    assert blues(listed_photos(tmp_path / "filelist.txt"), "target") == [102, 100]


def test_a_manifest_is_a_source(tmp_path: Path) -> None:
    records = [
        Record(id=name, paths={"input": photo(tmp_path / f"{name}.png", index)}, group=group, split=split)
        for index, (name, group, split) in enumerate([("a", "s", "train"), ("b", "s", "train"), ("c", "t", "val")])
    ]
    write_manifest(tmp_path / "m.jsonl", records)
    assert blues(manifest_photos(tmp_path / "m.jsonl", "train", roles=["input"]), "input") == [0, 1]
    assert len(manifest_photos(tmp_path / "m.jsonl", roles=["input"])) == 3
    with pytest.raises(UserError, match=r"m\.jsonl: no photo is in the split 'test'; found train, val"):
        manifest_photos(tmp_path / "m.jsonl", "test", roles=["input"])
    write_manifest(tmp_path / "torn.jsonl", [*records, Record(id="d", group="s", split="val", paths=records[0].paths)])
    with pytest.raises(UserError, match="the group 's' is in the splits 'train' and 'val'"):
        manifest_photos(tmp_path / "torn.jsonl", "train", roles=["input"])


@pytest.mark.parametrize("options", [{}, {"crop": 10}, {"crop": (9, 40)}, {"geometry": crop_and_flip(8)}])
def test_a_cache_gives_what_the_files_give(tmp_path: Path, options: dict[str, Any]) -> None:
    pairs(tmp_path, ["a", "b", "c"])
    files = paired_folder(tmp_path, **options)
    cached = manifest_photos(prepare(files.records, tmp_path / "cache", PhotoDecode()).index, **options)
    for index in range(3):
        first, second = files.sample(index, rng(index)), cached.sample(index, rng(index))
        assert list(first) == list(second)
        assert all(
            torch.equal(first[k], second[k]) if k in ("input", "target") else first[k] == second[k] for k in first
        )


def test_a_cache_without_a_role_and_a_lost_entry_are_told(tmp_path: Path) -> None:
    pairs(tmp_path, ["a"])
    dataset = paired_folder(tmp_path)
    index = prepare(dataset.records, tmp_path / "cache", PhotoDecode()).index
    with pytest.raises(UserError, match="this cache entry of 'a' has input, target, but no 'mask'"):
        manifest_photos(index, roles=["mask"]).sample(0, rng())
    cached = manifest_photos(index)
    cached.records[0].paths["cache"].unlink()
    with pytest.raises(UserError, match="this cache entry is missing; mode=prepare builds it again"):
        cached.sample(0, rng())


def test_an_index_without_splits_is_divided_by_group(tmp_path: Path) -> None:
    pairs(tmp_path, [f"scene{n // 2:02d}/{n}" for n in range(40)])
    index = prepare(paired_folder(tmp_path).records, tmp_path / "cache", PhotoDecode()).index
    shares = {"train": 0.5, "val": 0.25, "test": 0.25}
    parts = [manifest_photos(index, split, ratios=shares) for split in shares]
    assert sum(map(len, parts)) == len(manifest_photos(index)) == 40
    assert sum(len(set(part.groups)) for part in parts) == 20


def test_a_cache_moves_to_a_machine_without_the_sources(tmp_path: Path) -> None:
    pairs(tmp_path / "photos", ["a"])
    index = prepare(paired_folder(tmp_path / "photos").records, tmp_path / "cache", PhotoDecode()).index
    (tmp_path / "cache").rename(tmp_path / "moved")
    (tmp_path / "photos").rename(tmp_path / "gone")
    assert manifest_photos(tmp_path / "moved" / index.name).sample(0, rng())["target"].shape == (3, 24, 32)


def test_validation_is_held_out_from_training_only() -> None:
    records = [Record(id=f"{i}", paths={"input": Path("x")}, split="train" if i < 400 else "test") for i in range(500)]
    held = hold_out(records, 0.25)
    counts = {name: sum(r.split == name for r in held) for name in ("train", "val", "test")}
    assert counts["test"] == 100
    assert 60 < counts["val"] < 140  # 100 expected, 8.7 standard deviation
    assert counts["train"] + counts["val"] == 400
    assert hold_out(records, 0) == records


def test_real_photographs(shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    dataset = unpaired_folder(shared_data / "photos-cc0", crop=128, geometry=crop_and_flip(64))
    batch = next(iter(make_loader(dataset, seed=0, batch_size=4, workers=0, train=True)))
    assert batch["input"].shape == (4, 3, 64, 64)
    assert 0 <= batch["input"].min() < batch["input"].max() <= 1
    linear = unpaired_folder(shared_data / "hdr-haven-crops", crop=256).sample(0, rng())
    assert linear["input_encoding"] == "linear"
    assert linear["input"].shape == (3, 256, 256)
    assert linear["input"].max() > 1
