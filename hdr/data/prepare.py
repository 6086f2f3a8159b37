"""From sources to the tensor cache: in parallel, in shards, resumable at any point."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hdr.data import cache
from hdr.data.decode import Decode, is_raw_path
from hdr.data.manifest import Record
from hdr.data.pairing import shorten
from hdr.data.processes import in_processes
from hdr.errors import UserError
from hdr.progress import progress_bar

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_SECONDS_BETWEEN_SAVES = 30.0  # of the index, so that a run that was killed need not hash all sources again

Outcome = tuple[str, Record | str]  # ("written" | "kept", record of the entry) or ("failed", message)


@dataclass(frozen=True, kw_only=True)
class PrepareSummary:
    """What a run of :func:`prepare` did."""

    index: Path  # a manifest of everything prepared in this folder so far
    written: int  # entries decoded now
    kept: int  # entries that were there already
    failed: Mapping[str, str] = field(default_factory=dict)  # id -> why its source could not be decoded


def prepare(
    records: Sequence[Record],
    folder: str | os.PathLike[str],
    decode: Decode,
    *,
    workers: int = 0,
    shard: str | None = None,
    verify: bool = False,
) -> PrepareSummary:
    """Bring every record into the cache ``folder``; what is there already stays, so it can be stopped and run again.

    A source that cannot be decoded is listed in the summary, also when its decoder takes the whole process down; the
    others go on. So that this holds for RAW files too, which come from anywhere and are read by native code, they are
    decoded in a process of their own even when ``workers`` is 0; other photos are decoded in this process then.

    A source whose size and time are those of the last run is not read again; ``verify`` reads everything and rebuilds
    entries with a damaged byte. ``shard="3/32"`` does the third of 32 parts (by a hash of the id, so the parts do not
    depend on order); shards may run at the same time on several machines with one folder.

    Raises:
        UserError: two records of one id, a wrong ``shard``, a folder that holds a cache with other decode parameters,
            or a full disk.
    """
    target = Path(folder)
    twice = [name for name, count in Counter(record.id for record in records).items() if count > 1]
    if twice:
        raise UserError(f"several captures are called {shorten(twice)}; each needs an id of its own in one cache")
    part = [record for record in records if in_shard(record.id, shard)]
    cache.claim_folder(target, decode.parameters)
    _remove_leftovers(target)
    before = {record.id: record for record in cache.read_index(target)}
    done: dict[str, Record] = {}
    failed: dict[str, str] = {}
    todo: list[Record] = []
    for record in part:
        known = None if verify else _unchanged(record, before.get(record.id), target)
        if known is None:
            todo.append(record)
        else:
            done[record.id] = known
    counts = {"written": 0, "kept": len(done)}
    if any(is_raw_path(path) for record in todo for path in record.paths.values()):
        workers = max(1, workers)
    build = partial(_build, target, decode, verify)
    try:
        with _saved(target, done, failed) as save, progress_bar("prepare", len(part), len(done)) as bar:
            for record, (outcome, result) in in_processes(build, todo, workers, _died):
                if isinstance(result, Record):
                    counts[outcome] += 1
                    done[record.id] = result
                else:
                    failed[record.id] = result
                bar.advance(f"{len(failed)} cannot be decoded" if failed else None)
                save()
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise UserError(f"{target}: the disk is full; make room and run the same command again, it goes on") from error
    return PrepareSummary(index=target / cache.INDEX, failed=failed, **counts)


@contextlib.contextmanager
def _saved(folder: Path, done: Mapping[str, Record], failed: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Bring ``done`` and ``failed`` into the index now and then, by the function that is given, and at the end."""
    last = time.monotonic()

    def save() -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS_BETWEEN_SAVES:
            cache.update_index(folder, done.values(), drop=failed)
            last = time.monotonic()

    try:
        yield save
    finally:
        cache.update_index(folder, done.values(), drop=failed)


def in_shard(name: str, shard: str | None) -> bool:
    """Whether the record ``name`` belongs to ``shard``, such as ``3/32``, counted from 1; None is everything.

    Raises:
        UserError: ``shard`` is not of that form.
    """
    if shard is None:
        return True
    number, _, total = shard.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise UserError(f"shard={shard}: write the part, counted from 1, and the number of parts, such as 3/32")
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % int(total) == int(number) - 1


def _sources(record: Record) -> dict[str, dict[str, int]]:
    stats = {role: path.stat() for role, path in record.paths.items()}
    return {role: {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns} for role, stat in stats.items()}


def _unchanged(record: Record, before: Record | None, folder: Path) -> Record | None:
    """The index record of a source that is as it was at the last run and whose entry is in place."""
    if before is None or cache.ROLE not in before.metadata:
        return None
    facts = before.metadata[cache.ROLE]
    try:
        if _sources(record) != facts["sources"]:
            return None
    except OSError:
        return None
    if not cache.entry_is_sound(cache.entry_path(folder, facts["key"]), facts["key"]):
        return None
    return _indexed(record, folder, facts)


def _indexed(record: Record, folder: Path, facts: Mapping[str, Any]) -> Record:
    path = cache.entry_path(folder, facts["key"])
    return replace(record, paths={cache.ROLE: path}, metadata={**record.metadata, cache.ROLE: dict(facts)})


def _build(folder: Path, decode: Decode, verify: bool, record: Record) -> Outcome:
    try:
        sources = _sources(record)
        key = cache.entry_key({role: cache.hash_file(path) for role, path in record.paths.items()}, decode.parameters)
        path = cache.entry_path(folder, key)
        there = cache.entry_is_sound(path, key, every_byte=verify)
        tensors, facts = ({}, _facts(path)) if there else decode(record.paths)
    except Exception as error:  # whatever a decoder does with a broken file must not end the run
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise
        return "failed", str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    if not there:
        cache.write_entry(path, key, tensors, facts)
    told = {**facts.get("index", {}), "key": key, "sources": sources}
    return ("kept" if there else "written"), _indexed(record, folder, told)


def _facts(path: Path) -> dict[str, Any]:
    with cache.Entry(path) as entry:
        return entry.facts


def _died(record: Record) -> Outcome:
    return "failed", "the process that decoded it died; the file is damaged, or there was too little memory"


def _remove_leftovers(folder: Path) -> None:
    """Delete unfinished files of runs that were killed; young ones may belong to a run that goes on beside this one."""
    for path in folder.glob("*/.*.safetensors"):
        try:
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()
        except FileNotFoundError:
            pass
