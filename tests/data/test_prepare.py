"""Preparing: every source decoded once, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdr.data import cache
from hdr.data.cache import Entry, entry_is_sound, read_index, unpack_pixels
from hdr.data.decode import PhotoDecode
from hdr.data.manifest import Record, read_manifest, write_manifest
from hdr.data.prepare import PrepareSummary, in_shard, prepare
from hdr.errors import UserError
from hdr.io import read_image, write_image


@dataclass(frozen=True)
class NumberDecode:
    """The number in a text file as a tensor; notes each decode in a log; some words make it fail in some way."""

    log: str
    pause: float = 0.0
    version: int = 1

    @property
    def parameters(self) -> dict[str, Any]:
        return {"decode": "number", "version": self.version}

    def __call__(self, paths: dict[str, Path]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        text = paths["input"].read_text().split()[0]
        if text == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if text == "bad":
            raise UserError(f"{paths['input']}: truncated")
        number = int(text)
        time.sleep(self.pause)
        with open(self.log, "a") as stream:
            stream.write(f"{number}\n")
        return {"input": torch.full((1, 4, 6), number, dtype=torch.uint8)}, {
            "pixels": {"input": {"encoding": "display"}}
        }


def sources(folder: Path, *contents: object) -> list[Record]:
    folder.mkdir(exist_ok=True)
    records = []
    for index, content in enumerate(contents):
        path = folder / f"{index:03d}.txt"
        path.write_text(str(content))
        records.append(Record(id=f"{index:03d}", paths={"input": path}, group=f"g{index // 2}", metadata={"ev": index}))
    return records


def decoded(log: Path) -> list[int]:
    return sorted(map(int, log.read_text().split())) if log.exists() else []


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.safetensors") if not path.name.startswith("."))


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path, NumberDecode]:
    return tmp_path / "cache", tmp_path / "log", NumberDecode(str(tmp_path / "log"))


def test_the_second_run_does_nothing(
    tmp_path: Path, place: tuple[Path, Path, NumberDecode], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log, decode = place
    records = sources(tmp_path / "in", 1, 2, 3)
    assert prepare(records, folder, decode) == PrepareSummary(
        index=folder / "index.jsonl", written=3, kept=0, failed={}
    )
    written = {path: path.stat().st_mtime_ns for path in entries(folder)}
    assert len(written) == 3
    monkeypatch.setattr(cache, "hash_file", None)  # sources of unchanged size and time are not read either
    assert prepare(records, folder, decode) == PrepareSummary(
        index=folder / "index.jsonl", written=0, kept=3, failed={}
    )
    assert decoded(log) == [1, 2, 3]
    assert {path: path.stat().st_mtime_ns for path in entries(folder)} == written
    index = read_manifest(folder / "index.jsonl")
    assert [(r.id, r.group, r.metadata["ev"]) for r in index] == [("000", "g0", 0), ("001", "g0", 1), ("002", "g1", 2)]
    with Entry(index[2].paths["cache"]) as opened:
        assert opened.read("input")[0, 0, 0] == 3


def test_content_decides_not_name_or_time(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, log, decode = place
    records = sources(tmp_path / "in", 1, 2)
    prepare(records, folder, decode)
    os.utime(records[0].paths["input"], (1, 1))
    moved = records[1].paths["input"].rename(tmp_path / "in" / "moved.txt")
    records = [records[0], replace(records[1], paths={"input": moved})]
    assert prepare(records, folder, decode).kept == 2
    assert decoded(log) == [1, 2]
    records[0].paths["input"].write_text("7")
    summary = prepare(records, folder, decode)
    assert (summary.written, summary.kept) == (1, 1)
    with Entry(read_index(folder)[0].paths["cache"]) as opened:
        assert opened.read("input")[0, 0, 0] == 7


def test_equal_content_is_one_entry(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, _, decode = place
    prepare(sources(tmp_path / "in", 5, 5, 5), folder, decode)
    assert len(entries(folder)) == 1
    assert len({r.paths["cache"] for r in read_index(folder)}) == 1
    assert len(read_index(folder)) == 3


def test_damaged_and_lost_entries_are_built_again(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, log, decode = place
    records = sources(tmp_path / "in", 1, 2, 3)
    prepare(records, folder, decode)
    paths = [r.paths["cache"] for r in read_index(folder)]
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    paths[1].unlink()
    assert prepare(records, folder, decode).written == 2
    assert decoded(log) == [1, 1, 2, 2, 3]
    content = bytearray(paths[2].read_bytes())
    content[-1] ^= 1
    paths[2].write_bytes(content)
    assert prepare(records, folder, decode).written == 0
    assert prepare(records, folder, decode, verify=True).written == 1
    assert all(entry_is_sound(path, path.stem, every_byte=True) for path in paths)


def test_a_corrupt_source_is_listed_and_the_rest_goes_on(
    tmp_path: Path, place: tuple[Path, Path, NumberDecode]
) -> None:
    folder, _, decode = place
    records = sources(tmp_path / "in", 1, "bad", "x", 4)
    records.append(Record(id="gone", paths={"input": tmp_path / "in" / "gone.txt"}))
    summary = prepare(records, folder, decode)
    assert summary.written == 2
    assert sorted(summary.failed) == ["001", "002", "gone"]
    assert summary.failed["001"].endswith("001.txt: truncated")
    assert summary.failed["002"].startswith("ValueError: invalid literal")
    assert summary.failed["gone"].startswith("FileNotFoundError")
    assert [r.id for r in read_index(folder)] == ["000", "003"]
    records[3].paths["input"].write_text("bad")  # what was good and is not any more leaves the index
    prepare(records, folder, decode)
    assert [r.id for r in read_index(folder)] == ["000"]


@pytest.mark.slow
def test_a_decoder_that_takes_its_process_down_costs_one_item(
    tmp_path: Path, place: tuple[Path, Path, NumberDecode]
) -> None:
    folder, _, decode = place
    records = sources(tmp_path / "in", 1, 2, "die", "bad", 5)
    summary = prepare(records, folder, decode, workers=2)
    assert summary.failed["002"].startswith("the process that decoded it died")
    assert sorted(summary.failed) == ["002", "003"]
    assert [r.id for r in read_index(folder)] == ["000", "001", "004"]


def test_shards_are_a_partition(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, log, decode = place
    records = sources(tmp_path / "in", *range(20))
    for number in (2, 3, 1):
        prepare(records, folder, decode, shard=f"{number}/3")
    assert decoded(log) == list(range(20))
    assert [r.id for r in read_index(folder)] == [r.id for r in records]
    assert prepare(records, folder, decode).kept == 20


@settings(deadline=None)
@given(st.text(max_size=20), st.integers(1, 40))
def test_every_record_is_in_exactly_one_shard(name: str, total: int) -> None:
    assert sum(in_shard(name, f"{number}/{total}") for number in range(1, total + 1)) == 1


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5", ""])
def test_wrong_shards_are_refused(shard: str) -> None:
    with pytest.raises(UserError, match="write the part, counted from 1, and the number of parts, such as 3/32"):
        in_shard("a", shard)


def test_a_cache_has_one_way_of_decoding(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, _, decode = place
    records = sources(tmp_path / "in", 1)
    prepare(records, folder, decode)
    with pytest.raises(
        UserError, match=r"decoded with other parameters \(version: 1 there, 2 now\); use another folder"
    ):
        prepare(records, folder, replace(decode, version=2))


def test_old_leftovers_are_removed_and_young_ones_left(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, _, decode = place
    records = sources(tmp_path / "in", 1)
    prepare(records, folder, decode)
    old, young = (entries(folder)[0].with_name(f".{name}.safetensors") for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    prepare(records, folder, decode)
    assert not old.exists()
    assert young.exists()


SCRIPT = """
import sys
from pathlib import Path
from hdr.data.manifest import read_manifest
from hdr.data.prepare import prepare
from tests.data.test_prepare import NumberDecode
if __name__ == "__main__":
    manifest, folder, log, workers = sys.argv[1:]
    print(prepare(read_manifest(manifest), folder, NumberDecode(log, pause=0.05), workers=int(workers)))
"""


def started(tmp_path: Path, folder: Path, log: Path, workers: int) -> subprocess.Popen[bytes]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, str(script), str(tmp_path / "m.jsonl"), str(folder), str(log), str(workers)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_run_again_it_is_complete(
    tmp_path: Path, place: tuple[Path, Path, NumberDecode], workers: int
) -> None:
    folder, log, decode = place
    records = sources(tmp_path / "in", *range(30))
    write_manifest(tmp_path / "m.jsonl", records)
    process = started(tmp_path, folder, log, workers)
    wait_for(lambda: len(decoded(log)) >= 5)
    process.kill()
    process.wait()
    time.sleep(0.5 if workers else 0)  # its workers end with it
    before = decoded(log)
    assert 5 <= len(before) < 30
    time.sleep(0.3)
    assert decoded(log) == before
    stored = len(entries(folder))
    summary = prepare(records, folder, decode)
    assert summary.kept == stored
    assert summary.written == 30 - stored
    assert len(before) - stored in range(max(1, workers) + 1)  # only what was under way is done twice
    assert [r.id for r in read_index(folder)] == [r.id for r in records]
    assert len(entries(folder)) == 30
    assert all(entry_is_sound(path, path.stem, every_byte=True) for path in entries(folder))


@pytest.mark.slow
def test_two_at_once_do_no_harm(tmp_path: Path, place: tuple[Path, Path, NumberDecode]) -> None:
    folder, log, decode = place
    records = sources(tmp_path / "in", *range(20))
    write_manifest(tmp_path / "m.jsonl", records)
    processes = [started(tmp_path, folder, log, 0) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(entries(folder)) == 20
    assert [r.id for r in read_index(folder)] == [r.id for r in records]
    assert all(entry_is_sound(path, path.stem, every_byte=True) for path in entries(folder))
    assert prepare(records, folder, decode).kept == 20


# photographs ---------------------------------------------------------------------------------------------------------


def test_photos_come_back_as_they_were_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    linear = torch.from_numpy(rng.gamma(0.3, 4000.0, (3, 40, 60)).astype(np.float32))
    linear[:, 3, 5] = 90_000.0
    write_image(tmp_path / "a.exr", linear, encoding="linear", bits=32)
    record = Record(id="a", paths={"input": tmp_path / "a.png", "target": tmp_path / "a.exr"})
    prepare([record], tmp_path / "cache", PhotoDecode())
    with Entry(read_index(tmp_path / "cache")[0].paths["cache"]) as opened:
        facts = opened.facts["pixels"]
        assert torch.equal(unpack_pixels(opened.read("input"), facts["input"]), read_image(tmp_path / "a.png").pixels)
        torch.testing.assert_close(
            unpack_pixels(opened.read("target"), facts["target"]), linear, rtol=2**-11, atol=1e-6
        )
        assert (facts["input"]["encoding"], facts["target"]["encoding"]) == ("display", "linear")
    prepare([record], tmp_path / "small", PhotoDecode(long_edge=30))
    with Entry(read_index(tmp_path / "small")[0].paths["cache"]) as opened:
        assert opened.shape("input") == opened.shape("target") == (3, 20, 30)


def test_real_files_are_prepared_and_hostile_ones_listed(shared_data: Path, tmp_path: Path) -> None:
    names = ("hdr-openexr/CandleGlass.exr", "photos-cc0", "camera-jpegs/dark")
    photos = [
        p for n in names for p in ([shared_data / n] if n.endswith("exr") else sorted((shared_data / n).iterdir())[:2])
    ]
    photos = [path for path in photos if path.suffix.lower() in (".exr", ".png", ".jpg", ".jpeg")]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photos[-1].read_bytes()[:2000])
    records = [Record(id=path.name, paths={"input": path}) for path in (*photos, broken)]
    summary = prepare(records, tmp_path / "cache", PhotoDecode(long_edge=256))
    assert summary.written == len(photos) >= 4
    assert list(summary.failed) == ["broken.jpg"]
    header = json.loads((tmp_path / "cache" / "decode.json").read_text())
    assert header == {"decode": "photo", "version": 1, "long_edge": 256, "half_size": False}
    for record in read_index(tmp_path / "cache"):
        with Entry(record.paths["cache"]) as opened:
            assert max(opened.shape("input")) == 256
            assert bool(unpack_pixels(opened.read("input"), opened.facts["pixels"]["input"]).isfinite().all())
