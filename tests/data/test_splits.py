"""Splits: no group on two sides, and nothing that was decided moves."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.data.manifest import Record
from hdr.data.splits import apply_lists, assign_splits, check_groups, read_list, split_of
from hdr.errors import UserError

RATIOS = {"train": 0.8, "val": 0.1, "test": 0.1}


def records(*groups: str, split: str | None = None) -> list[Record]:
    return [Record(id=f"{g}-{i}", group=g, paths={"input": Path("x")}, split=split) for i, g in enumerate(groups)]


groups = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=40)


@settings(deadline=None)
@given(groups, groups, st.integers(0, 2**63), st.randoms())
def test_no_leak_and_stable_when_photos_are_added_in_any_order(
    old: list[str], new: list[str], seed: int, rng: random.Random
) -> None:
    before = {r.group: split_of(r.group, RATIOS, seed) for r in records(*old)}
    everything = records(*old, *new)
    rng.shuffle(everything)
    after: dict[str, set[str]] = {}
    for record in everything:
        after.setdefault(record.group, set()).add(split_of(record.group, RATIOS, seed))
    assert all(len(splits) == 1 for splits in after.values())
    assert all(after[group] == {split} for group, split in before.items())


@settings(deadline=None)
@given(groups, st.integers(0, 100))
def test_assigned_splits_never_tear_a_group(names: list[str], seed: int) -> None:
    assigned = assign_splits(records(*names), {"train": 1.0}, seed)
    check_groups(assigned)
    assert [r.id for r in assigned] == [r.id for r in records(*names)]
    assert {r.split for r in assigned} == {"train"}


def test_shares_are_met_on_average() -> None:
    assigned = assign_splits(records(*(f"scene {i}" for i in range(20_000))), RATIOS, seed=3)
    share = {name: sum(r.split == name for r in assigned) / 20_000 for name in RATIOS}
    # 4 standard deviations of a binomial share: 4 * sqrt(p (1 - p) / n)
    assert share["train"] == pytest.approx(0.8, abs=0.0114)
    assert share["val"] == pytest.approx(0.1, abs=0.0085)


def test_a_share_of_zero_gets_nothing() -> None:
    assigned = assign_splits(records(*map(str, range(2000))), {"train": 0.0, "val": 0.5, "test": 0.5, "x": 0.0}, seed=0)
    assert {r.split for r in assigned} == {"val", "test"}


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (
        [r.split for r in assign_splits(records(*map(str, range(500))), RATIOS, seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_rule_never_changes() -> None:
    """Stored runs rely on it. The hashes: ``printf '0\\0a0001' | b2sum -l 64``, of which below 8 is the lower half."""
    found = [split_of(f"a000{i}", {"train": 0.5, "test": 0.5}, seed=0) for i in range(1, 6)]
    assert found == ["train", "test", "test", "test", "test"]  # 557c b70c 8139 a5e5 dae1


def test_what_is_decided_stays_and_takes_its_group_along() -> None:
    mixed = [*records("s", split="test"), Record(id="new", group="s", paths={"input": Path("x")}), *records("t", "u")]
    assigned = assign_splits(mixed, {"train": 1.0}, seed=0)
    assert [r.split for r in assigned] == ["test", "test", "train", "train"]


@pytest.mark.parametrize("ratios", [{}, {"train": 0.5}, {"train": 1.5, "val": -0.5}])
def test_ratios_that_are_no_shares_are_refused(ratios: dict[str, float]) -> None:
    with pytest.raises(UserError, match="must be shares from 0 to 1 that sum to 1"):
        assign_splits(records("a"), ratios, seed=0)


def test_an_empty_split_is_told() -> None:
    with pytest.raises(UserError, match=r"the split '\w+' \(share 0\.\d\) got none of 1 groups with seed 0"):
        assign_splits(records("a", "a"), RATIOS, seed=0)


def test_a_torn_group_is_told() -> None:
    torn = [*records("s", split="train"), Record(id="z", group="s", split="val", paths={"input": Path("x")})]
    with pytest.raises(UserError, match=r"the group 's' is in the splits 'train' and 'val' \(record 'z'\)"):
        check_groups(torn)


def test_lists(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("﻿a0001.dng\n\n# a comment\n  A0002-IMG.1234 \r\n", encoding="utf-8")
    assert read_list(path) == ["a0001.dng", "A0002-IMG.1234"]
    photos = [Record(id=name, paths={"input": Path("x")}) for name in ("a0001", "a0002-img.1234", "a0003", "a0004")]
    chosen, missing = apply_lists(photos, {"train": read_list(path), "test": ["a0003.TIF", "a0009"]})
    assert [(r.id, r.split) for r in chosen] == [("a0001", "train"), ("a0002-img.1234", "train"), ("a0003", "test")]
    assert missing == ["a0009"]


def test_bad_lists(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    with pytest.raises(UserError, match="cannot read this list"):
        read_list(path)
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="this list is empty"):
        read_list(path)
    path.write_text("a\nb\na\n")
    with pytest.raises(UserError, match="'a' stands 2 times"):
        read_list(path)
    photos = [Record(id="a", paths={"input": Path("x")})]
    with pytest.raises(UserError, match=r"'A\.png' is in the lists of 'train' and of 'test'"):
        apply_lists(photos, {"train": ["a"], "test": ["A.png"]})
    pair = [Record(id=name, group="s", paths={"input": Path("x")}) for name in "ab"]
    with pytest.raises(UserError, match="the group 's' is in the splits"):
        apply_lists(pair, {"train": ["a"], "test": ["b"]})
