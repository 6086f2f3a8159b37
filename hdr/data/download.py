"""Downloads over HTTP(S) that survive what networks do: resumed, checked, several at once, whole or not at all.

Run ``python -m hdr.data.download URL --output FILE [--sha256 HEX]`` to fetch one file. A download goes to
``.<name>.part`` beside its place and gets its name when size and checksum are right; stopped in whatever way, the next
run goes on from the bytes that are there.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shutil
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from hdr.data.checksums import file_checksum
from hdr.data.web import TIMEOUT, Broken, Patience, lasts, network, reason, retry_after
from hdr.errors import UserError
from hdr.progress import progress_bar

_CHUNK = 1 << 18
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file to fetch and what is known of it."""

    url: str
    path: Path  # where it goes
    size: int | None = None  # bytes
    checksum: tuple[str, bytes] | None = None  # md5, sha256 or crc32c, and its value


@dataclass(frozen=True, kw_only=True)
class DownloadSummary:
    """What a call of :func:`download` did."""

    fetched: int
    kept: int  # there already, of the right size
    failed: Mapping[Path, str] = field(default_factory=dict)  # why a file could not be fetched


class _Refused(Exception):
    """The server will not give this file, however often it is asked."""


def download(items: Sequence[Item], *, workers: int = 4, patience: Patience | None = None) -> DownloadSummary:
    """Fetch files, ``workers`` at a time; those that are there with the right size are kept as they are.

    What cannot be fetched is listed in the summary; the others go on.

    Raises:
        UserError: a URL that is not HTTP(S), or a disk without room for what is missing.
    """
    for item in items:
        if not item.url.startswith(("http://", "https://")):
            raise UserError(f"{item.url}: only http:// and https:// are fetched")
    missing = [item for item in items if not _is_there(item)]
    _check_room(missing)
    failed: dict[Path, str] = {}
    stop, received = threading.Event(), _Counter()
    fetch = _Fetch(patience or Patience(), stop, received.add)
    with progress_bar("download", len(items), len(items) - len(missing)) as bar, ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(fetch, item): item for item in missing}
        try:
            while running:
                for future in wait(running, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    item = running.pop(future)
                    try:
                        future.result()
                    except _Refused as error:
                        failed[item.path] = str(error)
                    bar.advance()
                bar.note(f"{received.total / 1e6:,.0f} MB")
        except BaseException as error:
            stop.set()  # threads look at it after each chunk; what they have stays for the next run
            pool.shutdown(cancel_futures=True)
            if isinstance(error, OSError) and error.errno in _DISK_FULL:
                raise UserError(
                    f"{error.filename or missing[0].path.parent}: the disk is full; make room and run the same command "
                    "again, it goes on where it stopped"
                ) from error
            raise
    return DownloadSummary(fetched=len(missing) - len(failed), kept=len(items) - len(missing), failed=failed)


class _Counter:
    """Bytes that have come in, over all threads."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.total += count


@dataclass(frozen=True)
class _Fetch:
    """Brings one item into place; raises :class:`_Refused` when that cannot be done."""

    patience: Patience
    stop: threading.Event
    received: Callable[[int], None]

    def __call__(self, item: Item) -> None:
        part = item.path.with_name(f".{item.path.name}.part")
        try:
            item.path.parent.mkdir(parents=True, exist_ok=True)
            self._complete(item, part)
            if not self._right(item, part):
                part.unlink()  # bytes of an older version, or damaged on the way: once more, from the start
                self._complete(item, part)
                if not self._right(item, part):
                    part.unlink()
                    raise _Refused("its checksum is not the published one, twice; the file on the server is damaged")
            if not self.stop.is_set():
                with open(part, "rb") as stream:
                    os.fsync(stream.fileno())
                os.replace(part, item.path)
        except OSError as error:
            if error.errno in _DISK_FULL:
                raise
            raise _Refused(f"it cannot be written ({error.strerror or error})") from error

    def _right(self, item: Item, part: Path) -> bool:
        return item.checksum is None or self.stop.is_set() or file_checksum(part, item.checksum[0]) == item.checksum[1]

    def _complete(self, item: Item, part: Path) -> None:
        """Bring ``part`` to its full length, over as many connections as it takes."""
        failures, longest = 0, _size(part)
        while not self.stop.is_set():
            error: BaseException | None = None
            try:
                if self._receive(item, part):
                    return
            except Broken as broken:
                error = broken.__cause__
            if isinstance(error, urllib.error.HTTPError) and error.code == 416 and _size(part):
                part.unlink()  # it is longer than the file now is
            elif lasts(error):
                raise _Refused(reason(error)) from error
            failures = failures + 1 if _size(part) <= longest else 1
            longest = max(longest, _size(part))
            if failures >= self.patience.attempts:
                raise _Refused(f"{reason(error)}, {failures} times in a row") from error
            self.stop.wait(self.patience.wait(failures, retry_after(error)))

    def _receive(self, item: Item, part: Path) -> bool:
        """Append to ``part`` what one connection gives; whether it is complete then."""
        have = _size(part)
        if have and have == item.size:
            return True
        request = urllib.request.Request(item.url, headers={"Range": f"bytes={have}-"} if have else {})
        with network():
            answer = urllib.request.urlopen(request, timeout=TIMEOUT)
        with answer:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server sends everything, whatever it was asked
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else item.size
            if item.size is not None and total != item.size:
                raise _Refused(f"it has {total} bytes on the server, {item.size} are published; the file has changed")
            with open(part, "ab" if have else "wb") as stream:
                while not self.stop.is_set():
                    with network():
                        chunk = answer.read(_CHUNK)
                    if not chunk:
                        break
                    stream.write(chunk)
                    have += len(chunk)
                    self.received(len(chunk))
        return not self.stop.is_set() and (total is None or have == total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_there(item: Item) -> bool:
    return item.path.is_file() and item.size in (None, item.path.stat().st_size)


def _check_room(items: Sequence[Item]) -> None:
    if not items:
        return
    folder = next(parent for parent in items[0].path.absolute().parents if parent.exists())
    needed, free = sum(item.size or 0 for item in items), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: {needed / 1e9:,.1f} GB are to be fetched and {free / 1e9:,.1f} GB are free; make room, "
            "choose another output, or ask for less"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hdr.data.download", description=__doc__)
    parser.add_argument("url", help="http:// or https:// address of the file")
    parser.add_argument("--output", type=Path, required=True, help="file to write; one that is there stays")
    parser.add_argument("--sha256", default=None, help="published SHA-256, as hexadecimal text")
    options = parser.parse_args(arguments)
    with exit_on_mistakes():
        try:
            checksum = ("sha256", bytes.fromhex(options.sha256)) if options.sha256 else None
        except ValueError:
            raise UserError(f"--sha256 {options.sha256}: this is not a hexadecimal text") from None
        report(download([Item(url=options.url, path=options.output, checksum=checksum)]))


def report(summary: DownloadSummary) -> None:
    """Print what was done.

    Raises:
        UserError: files could not be fetched.
    """
    sys.stdout.write(f"{summary.fetched} files fetched, {summary.kept} there already\n")
    if summary.failed:
        lines = "\n".join(f"  {path}: {reason}" for path, reason in summary.failed.items())
        raise UserError(f"{len(summary.failed)} files could not be fetched:\n{lines}")


@contextlib.contextmanager
def exit_on_mistakes() -> Iterator[None]:
    """Print a :class:`UserError` of the block alone and end the program with status 2."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on where this one ended\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
