"""Splits by group: a scene, shoot or burst is never on two sides.

The side of a group follows from its name and the seed alone, so it depends neither on the order in which a file system
lists files nor on what else is in the data set: adding photos never moves old ones. The price is that shares are met on
average, not exactly.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hdr.data.manifest import Record
from hdr.errors import UserError
from hdr.io import READABLE_SUFFIXES


def split_of(group: str, ratios: Mapping[str, float], seed: int) -> str:
    """The split of a group: its hash, a number in [0, 1), looked up in the cumulated ``ratios``."""
    digest = hashlib.blake2b(f"{seed}\0{group}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    total = 0.0
    for name, ratio in ratios.items():
        total += ratio
        if place < total and ratio > 0:
            return name
    return [name for name, ratio in ratios.items() if ratio > 0][-1]  # the ratios sum to 1 only up to rounding


def assign_splits(records: Iterable[Record], ratios: Mapping[str, float], seed: int) -> list[Record]:
    """Give every record that has no split yet one by :func:`split_of`; what is decided already stays.

    Raises:
        UserError: ``ratios`` are not shares that sum to 1, a split got no group, or decided records tear a group apart.
    """
    if not ratios or min(ratios.values()) < 0 or abs(sum(ratios.values()) - 1) > 1e-6:
        raise UserError(f"ratios of the splits are {dict(ratios)}; they must be shares from 0 to 1 that sum to 1")
    records = list(records)
    decided = {record.group: record.split for record in records if record.split is not None}
    assigned = [
        replace(record, split=record.split or decided.get(record.group) or split_of(record.group, ratios, seed))
        for record in records
    ]
    check_groups(assigned)
    groups = Counter(split for _, split in {(record.group, record.split) for record in assigned})
    for name, ratio in ratios.items():
        if ratio > 0 and not groups[name]:
            raise UserError(
                f"the split '{name}' (share {ratio:g}) got none of {groups.total()} groups with seed {seed}; "
                "choose another seed, larger shares, or name the splits in the manifest"
            )
    return assigned


def check_groups(records: Iterable[Record]) -> None:
    """Refuse a set of records in which one group stands in two splits.

    Raises:
        UserError: naming the first such group and its splits.
    """
    splits: dict[str, str | None] = {}
    for record in records:
        first = splits.setdefault(record.group, record.split)
        if first != record.split:
            raise UserError(
                f"the group '{record.group}' is in the splits '{first}' and '{record.split}' (record '{record.id}'): "
                "all photos of a scene, shoot or burst belong to one split"
            )


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file without blank lines, comments (``#``) and surrounding space; each may stand only once.

    Raises:
        UserError: the file cannot be read, is empty, or names something twice.
    """
    file = Path(path)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot read this list ({error}); it is a text file with one name a line") from error
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise UserError(f"{file}: this list is empty; it needs one name a line")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{file}: '{twice[0]}' stands {names.count(twice[0])} times in this list; each name once")
    return names


def apply_lists(records: Iterable[Record], lists: Mapping[str, Sequence[str]]) -> tuple[list[Record], list[str]]:
    """Split records as lists of ids say: ``lists`` is split -> ids (a file extension and letter case do not count).

    Returns the records that a list names, in their order, and the listed names for which there is no record.

    Raises:
        UserError: an id is in two lists, or the lists tear a group apart.
    """
    wanted: dict[str, str] = {}
    for split, names in lists.items():
        for name in names:
            first = wanted.setdefault(_key(name), split)
            if first != split:
                raise UserError(f"'{name}' is in the lists of '{first}' and of '{split}'; it can be in one only")
    chosen = [replace(record, split=wanted[_key(record.id)]) for record in records if _key(record.id) in wanted]
    check_groups(chosen)
    found = {_key(record.id) for record in chosen}
    return chosen, [name for names in lists.values() for name in names if _key(name) not in found]


def _key(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return (stem if suffix.lower() in READABLE_SUFFIXES else name).casefold()
