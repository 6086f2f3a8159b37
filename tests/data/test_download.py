"""Downloads over connections that fail in every way: recovered, or reported in one message."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdr.data import download as module
from hdr.data.checksums import crc32c, file_checksum, masked_crc32c
from hdr.data.download import Item, download, main
from hdr.data.web import Patience, get
from hdr.errors import UserError
from tests.conftest import REPOSITORY
from tests.data.server import Bucket, serving

CONTENT = np.random.default_rng(0).bytes(700_000)
QUICK = Patience(attempts=3, first_wait=0.001, longest_wait=0.002)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Bucket(files={"a/b.bin": CONTENT, "c.bin": b"short", "empty": b""})) as made:
        yield made


def item(bucket: Bucket, folder: Path, name: str = "a/b.bin", **known: Any) -> Item:
    content = bucket.files.get(name, b"")
    known = {"size": len(content), "checksum": ("md5", hashlib.md5(content).digest())} | known
    return Item(url=f"{bucket.address}/{name}", path=folder / name, **known)


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_arrive_whole_and_are_not_fetched_twice(bucket: Bucket, tmp_path: Path) -> None:
    items = [item(bucket, tmp_path, name) for name in bucket.files]
    summary = download(items, patience=QUICK)
    assert (summary.fetched, summary.kept, summary.failed) == (3, 0, {})
    assert {name: (tmp_path / name).read_bytes() for name in bucket.files} == bucket.files
    assert left(tmp_path) == ["a/b.bin", "c.bin", "empty"]
    asked = len(bucket.requests)
    summary = download(items, patience=QUICK)
    assert (summary.fetched, summary.kept, len(bucket.requests)) == (0, 3, asked)


@pytest.mark.parametrize("known", [{}, {"size": None, "checksum": None}])
def test_a_dropped_connection_goes_on_where_it_ended(bucket: Bucket, tmp_path: Path, known: dict[str, Any]) -> None:
    bucket.faults["a/b.bin"] = ["drop", "drop", "503", "drop"]
    assert download([item(bucket, tmp_path, **known)], patience=QUICK).fetched == 1
    assert (tmp_path / "a/b.bin").read_bytes() == CONTENT
    half, quarter = 350_000, 525_000
    asked = [None, f"bytes={half}-", f"bytes={quarter}-", f"bytes={quarter}-", "bytes=612500-"]
    assert bucket.requests == [("a/b.bin", part) for part in asked]


def test_a_server_without_ranges_starts_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.ranges = False
    bucket.faults["a/b.bin"] = ["drop"]
    assert download([item(bucket, tmp_path)], patience=QUICK).fetched == 1
    assert (tmp_path / "a/b.bin").read_bytes() == CONTENT


def test_a_connection_that_always_ends_in_the_middle_is_given_up(bucket: Bucket, tmp_path: Path) -> None:
    bucket.ranges = False
    bucket.faults["a/b.bin"] = ["drop"] * 100
    summary = download([item(bucket, tmp_path)], patience=QUICK)
    assert list(summary.failed.values()) == ["the connection ends before the file does, 3 times in a row"]
    assert len(bucket.requests) == 3


def test_damaged_bytes_are_fetched_again_once(bucket: Bucket, tmp_path: Path) -> None:
    bucket.faults["a/b.bin"] = ["corrupt"]
    assert download([item(bucket, tmp_path)], patience=QUICK).fetched == 1
    assert (tmp_path / "a/b.bin").read_bytes() == CONTENT
    bucket.faults["c.bin"] = ["corrupt", "corrupt"]
    summary = download([item(bucket, tmp_path, "c.bin")], patience=QUICK)
    assert "checksum is not the published one, twice" in summary.failed[tmp_path / "c.bin"]
    assert left(tmp_path) == ["a/b.bin"]


@pytest.mark.parametrize("kind", ["md5", "sha256", "crc32c"])
def test_every_checksum_is_checked(bucket: Bucket, tmp_path: Path, kind: str) -> None:
    (tmp_path / "right").write_bytes(CONTENT)
    right = file_checksum(tmp_path / "right", kind)
    assert download([item(bucket, tmp_path, checksum=(kind, right))], patience=QUICK).fetched == 1
    wrong = item(bucket, tmp_path / "wrong", checksum=(kind, right[::-1]))
    assert "twice" in download([wrong], patience=QUICK).failed[wrong.path]


def test_bytes_of_an_older_version_do_not_stay(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for old in (b"x" * 1000, b"x" * 700_000, b"x" * 900_000):
        (tmp_path / "a/.b.bin.part").write_bytes(old)
        assert download([item(bucket, tmp_path)], patience=QUICK).failed == {}
        assert (tmp_path / "a/b.bin").read_bytes() == CONTENT
        (tmp_path / "a/b.bin").unlink()


def test_what_cannot_be_had_is_listed_and_the_rest_goes_on(bucket: Bucket, tmp_path: Path) -> None:
    bucket.faults = {"c.bin": ["403"], "busy": ["503"] * 9}
    bucket.files["busy"] = b"1"
    items = [item(bucket, tmp_path, name) for name in ("gone", "c.bin", "busy", "a/b.bin")]
    items.append(item(bucket, tmp_path / "other", size=12))
    nowhere = Item(url="http://127.0.0.1:9/x", path=tmp_path / "x", size=1)
    summary = download([*items, nowhere], patience=QUICK)
    assert (summary.fetched, len(summary.failed)) == (1, 5)
    told = {path.name: reason for path, reason in summary.failed.items()}
    assert told["gone"] == "there is no such file on the server (HTTP 404 Not Found)"
    assert told["c.bin"] == "the server does not give it to the public (HTTP 403 Forbidden)"
    assert told["busy"] == "the server refuses (HTTP 503 Service Unavailable), 3 times in a row"
    assert told["b.bin"] == "it has 700000 bytes on the server, 12 are published; the file has changed"
    assert told["x"].startswith("the connection fails ([Errno 111] Connection refused)")
    assert bucket.requests.count(("gone", None)) == 1


def test_a_full_disk_is_told_before_and_while_it_fills(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = shutil.disk_usage(tmp_path).free + 10**10
    with pytest.raises(UserError, match=r"GB are to be fetched and [\d,.]+ GB are free; make room"):
        download([item(bucket, tmp_path, size=room)], patience=QUICK)
    assert bucket.requests == []

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(UserError, match="the disk is full; make room and run the same command again"):
        download([item(bucket, tmp_path)], patience=QUICK)
    monkeypatch.undo()
    assert download([item(bucket, tmp_path)], patience=QUICK).fetched == 1
    assert bucket.requests == [("a/b.bin", None)]  # what had come in was enough


def test_other_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file:///etc/passwd: only http:// and https:// are fetched"):
        download([Item(url="file:///etc/passwd", path=tmp_path / "x")])


def test_waiting_doubles_up_to_a_limit_and_heeds_the_server() -> None:
    patience = Patience(first_wait=1.0, longest_wait=10.0)
    assert [patience.wait(n) for n in (1, 2, 3, 4, 5, 9)] == [1, 2, 4, 8, 10, 10]
    assert patience.wait(1, asked=7.0) == 7.0
    assert patience.wait(1, asked=1e9) == 10.0


def test_small_answers_are_asked_for_again(bucket: Bucket) -> None:
    bucket.faults["c.bin"] = ["503", "500"]
    assert get(f"{bucket.address}/c.bin", QUICK) == b"short"
    with pytest.raises(UserError, match=r"/gone: there is no such file on the server \(HTTP 404"):
        get(f"{bucket.address}/gone", QUICK)


def test_killed_and_run_again_it_goes_on(bucket: Bucket, tmp_path: Path) -> None:
    big = np.random.default_rng(1).bytes(64 << 20)
    bucket.files["big"] = big
    command = [sys.executable, "-m", "hdr.data.download", f"{bucket.address}/big", "--output", str(tmp_path / "big")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment)
    part = tmp_path / ".big.part"
    while not (part.exists() and part.stat().st_size > 1 << 20) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    have = part.stat().st_size
    assert 0 < have < len(big)
    assert left(tmp_path) == [".big.part"]
    done = subprocess.run(
        [*command, "--sha256", hashlib.sha256(big).hexdigest()], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 files fetched, 0 there already\n", "")
    assert (tmp_path / "big").read_bytes() == big
    assert bucket.requests[-1] == ("big", f"bytes={have}-")


def test_the_command_tells_mistakes_in_one_message(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"{bucket.address}/gone", "--output", str(tmp_path / "x")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("x: there is no such file on the server (HTTP 404 Not Found)\n")
    with pytest.raises(SystemExit):
        main([f"{bucket.address}/c.bin", "--output", str(tmp_path / "x"), "--sha256", "no"])
    assert "this is not a hexadecimal text" in capsys.readouterr().err


def test_crc32c_has_the_published_values() -> None:
    """RFC 3720, appendix B.4; the masked form is that of an empty file's first length, eight zero bytes."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283
    assert crc32c(b"") == 0
    assert crc32c(CONTENT) != zlib.crc32(CONTENT)
    crc = crc32c(bytes(8))
    assert masked_crc32c(bytes(8)) == ((crc >> 15 | (crc & 0x7FFF) << 17) + 0xA282EAD8) % 2**32
