"""From sources to the tensor cache: in parallel, in shards, resumable at any point."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from hdr.data import cache
from hdr.data.manifest import Record
from hdr.data.photos import limit_long_edge
from hdr.errors import UserError
from hdr.io import read_image
from hdr.progress import progress_bar

_CAMERA = ("exposure_time", "aperture", "iso", "make", "model")  # what is kept of a photo's metadata

Outcome = tuple[str, Record | str]  # ("written" | "kept", record of the entry) or ("failed", message)


class Decode(Protocol):
    """How a capture's files become tensors. It is sent to worker processes, so it must be picklable."""

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON values that tell this decode from every other; a version among them."""
        ...

    def __call__(self, paths: Mapping[str, Path]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors (uint8, uint16 or half) and facts (JSON values) of the capture whose files are ``paths``."""
        ...


@dataclass(frozen=True, kw_only=True)
class PhotoDecode:
    """Every role's photo as (3, H, W) pixels in its own encoding, optionally reduced."""

    long_edge: int | None = None  # larger photos are reduced to this, antialiased, in their encoding
    half_size: bool = False  # develop RAW files at half width and height, which is much faster

    @property
    def parameters(self) -> dict[str, Any]:
        """The kind of decode, its version and its settings."""
        return {"decode": "photo", "version": 1, **asdict(self)}

    def __call__(self, paths: Mapping[str, Path]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Packed pixels by role, and for each role how to unpack them."""
        tensors: dict[str, torch.Tensor] = {}
        facts: dict[str, Any] = {}
        for role, path in paths.items():
            photo = read_image(path, half_size=self.half_size)
            pixels = limit_long_edge(photo.pixels, self.long_edge)
            tensors[role], facts[role] = cache.pack_pixels(pixels, photo.encoding)
            told = {name: getattr(photo.metadata, name) for name in _CAMERA}
            facts[role]["camera"] = {name: value for name, value in told.items() if value is not None}
        return tensors, {"pixels": facts}


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
    others go on. A source whose size and time are those of the last run is not read again; ``verify`` reads everything
    and rebuilds entries with a damaged byte. ``shard="3/32"`` does the third of 32 parts (by a hash of the id, so the
    parts do not depend on order); shards may run at the same time on several machines with one folder.

    Raises:
        UserError: a wrong ``shard``, or a folder that holds a cache with other decode parameters.
        OSError: the cache cannot be written (a full disk).
    """
    target = Path(folder)
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
    try:
        with progress_bar("prepare", len(part), len(done)) as bar:
            for record, (outcome, result) in _in_processes(partial(_build, target, decode, verify), todo, workers):
                if isinstance(result, Record):
                    counts[outcome] += 1
                    done[record.id] = result
                else:
                    failed[record.id] = result
                bar.advance()
    finally:
        cache.update_index(target, done.values(), drop=failed)
    return PrepareSummary(index=target / cache.INDEX, failed=failed, **counts)


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
        tensors, facts = ({}, {}) if there else decode(record.paths)
    except Exception as error:  # whatever a decoder does with a broken file must not end the run
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return "failed", str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    if not there:
        cache.write_entry(path, key, tensors, facts)
    return ("kept" if there else "written"), _indexed(record, folder, {"key": key, "sources": sources})


def _remove_leftovers(folder: Path) -> None:
    """Delete unfinished files of runs that were killed; young ones may belong to a run that goes on beside this one."""
    for path in folder.glob("*/.*.safetensors"):
        try:
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()
        except FileNotFoundError:
            pass


def _in_processes(
    function: Callable[[Record], Outcome], items: Iterable[Record], workers: int
) -> Iterator[tuple[Record, Outcome]]:
    """Apply ``function`` in ``workers`` processes (0: in this one); a process that dies costs only its own item."""
    pending = deque(items)
    if workers == 0:
        for item in pending:
            yield item, function(item)
        return
    while pending:
        suspects = yield from _until_broken(function, pending, workers)
        for item in suspects:  # one of these took its process down: each gets its own, to find which
            if (yield from _until_broken(function, deque([item]), 1)):
                yield item, ("failed", "the process that decoded it died")


def _until_broken(
    function: Callable[[Record], Outcome], pending: deque[Record], workers: int
) -> Generator[tuple[Record, Outcome], None, list[Record]]:
    """Work ``pending`` off in one pool; returns the items that were under way when a process of it died."""
    running: dict[Future[Outcome], Record] = {}
    context = multiprocessing.get_context("spawn")  # a forked copy of threads and CUDA state would be unsafe
    with ProcessPoolExecutor(min(workers, len(pending)), context, _start_process) as pool:
        try:
            while pending or running:
                while pending and len(running) < 2 * workers:
                    running[pool.submit(function, pending[0])] = pending[0]
                    pending.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


def _start_process() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
