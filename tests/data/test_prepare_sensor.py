"""Preparing RAW files: decoders that die, kills and resumption, parts, and the command line."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from hdr.data import cache
from hdr.data.cache import Entry, entry_is_sound, read_index
from hdr.data.captures import read_capture
from hdr.data.decode import SensorDecode
from hdr.data.manifest import Record, read_manifest, write_manifest
from hdr.data.prepare import PrepareSummary, prepare
from hdr.engine.prepare import prepare_photos, records_of
from hdr.errors import UserError
from hdr.io.sensor import read_sensor
from tests.conftest import REPOSITORY
from tests.data.photographs import pairs, photo
from tests.data.sensors import dng
from tests.data.test_prepare import NumberDecode, entries, sources, wait_for


@dataclass(frozen=True, kw_only=True)
class SlowDecode(SensorDecode):
    """The sensor decode with time to kill it."""

    def __call__(self, paths: Mapping[str, Path]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        time.sleep(0.15)
        return super().__call__(paths)


def raw_records(folder: Path, count: int) -> list[Record]:
    return [Record(id=f"{n:02d}.dng", paths={"input": dng(folder / f"{n:02d}.dng", seed=n)}) for n in range(count)]


def config(source: Path | None, decode: str = "sensor", **changes: Any) -> dict[str, Any]:
    found = {"source": str(source) if source else None, "decode": decode, "shard": None, "trainer": {"workers": 1}}
    return found | {"dataset": {"_target_": "hdr.data.sources.procedural"}} | changes


def test_a_decoder_that_dies_costs_one_raw_file_even_without_workers(tmp_path: Path) -> None:
    (record,) = sources(tmp_path / "in", "die")
    raw = record.paths["input"].rename(tmp_path / "in" / "die.dng")
    records = [dataclasses.replace(record, paths={"input": raw})]
    summary = prepare(records, tmp_path / "cache", NumberDecode(str(tmp_path / "log")), workers=0)
    assert (summary.written, list(summary.failed)) == (0, ["000"])
    assert summary.failed["000"].startswith("the process that decoded it died; the file is damaged, or")


def test_two_captures_of_one_name_are_refused(tmp_path: Path) -> None:
    records = sources(tmp_path / "in", 1, 2)
    twice = [*records, dataclasses.replace(records[0], group="other")]
    with pytest.raises(UserError, match="several captures are called 000; each needs an id of its own"):
        prepare(twice, tmp_path / "cache", NumberDecode(str(tmp_path / "log")))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = sources(tmp_path / "in", 1, 2)
    decode = NumberDecode(str(tmp_path / "log"))

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "write_entry", full)
    with pytest.raises(UserError, match="cache: the disk is full; make room and run the same command again"):
        prepare(records, tmp_path / "cache", decode)
    monkeypatch.undo()
    assert prepare(records, tmp_path / "cache", decode).written == 2


def test_the_index_is_saved_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    update = cache.update_index

    def noted(folder: Path, done: Collection[Record], drop: Collection[str] = ()) -> None:
        saved.append(len(done))
        update(folder, done, drop)

    monkeypatch.setattr(cache, "update_index", noted)
    monkeypatch.setattr("hdr.data.prepare._SECONDS_BETWEEN_SAVES", 0.0)
    prepare(sources(tmp_path / "in", 1, 2, 3), tmp_path / "cache", NumberDecode(str(tmp_path / "log")))
    assert saved == [1, 2, 3, 3]


SCRIPT = """
import sys
from hdr.data.manifest import read_manifest
from hdr.data.prepare import prepare
from tests.data.test_prepare_sensor import SlowDecode
if __name__ == "__main__":
    prepare(read_manifest(sys.argv[1]), sys.argv[2], SlowDecode(), workers=2)
"""


@pytest.mark.slow
def test_killed_and_run_again_no_capture_is_lost_or_doubled(tmp_path: Path) -> None:
    records = raw_records(tmp_path / "in", 16)
    folder = tmp_path / "cache"
    write_manifest(tmp_path / "m.jsonl", records)
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "m.jsonl"), str(folder)]
    process = subprocess.Popen(command, env=environment)
    wait_for(lambda: len(entries(folder)) >= 4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # its workers end with it
    before = {path: path.stat().st_mtime_ns for path in entries(folder)}
    assert 4 <= len(before) < 16
    summary = prepare(records, folder, SensorDecode(), workers=1)
    assert summary == PrepareSummary(index=folder / "index.jsonl", written=16 - len(before), kept=len(before))
    assert len(entries(folder)) == 16
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [record.id for record in read_index(folder)] == [record.id for record in records]
    assert all(entry_is_sound(path, path.stem, every_byte=True) for path in entries(folder))
    assert all(record.metadata["cache"]["sensor"]["input"]["decisions"] for record in read_index(folder))
    again = prepare(records, folder, SensorDecode(), workers=1)
    assert (again.written, again.kept) == (0, 16)


def test_the_command_prepares_raw_files_and_lists_what_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    raw_records(source / "shoot", 2)
    dng(source / "shoot" / "01.dng", seed=1, exposure_time=None)
    photo(source / "shoot" / "00.jpg")  # a companion of the RAW, not a capture of its own
    (source / "cut.dng").write_bytes((source / "shoot" / "00.dng").read_bytes()[:2000])
    caplog.set_level("INFO")
    with pytest.raises(UserError, match=r"^1 of 3 captures could not be prepared:\n  cut\.dng: ") as caught:
        prepare_photos(config(source), output)
    assert str(caught.value).count("\n") == 1
    assert [record.id for record in read_index(output)] == ["shoot/00.dng", "shoot/01.dng"]
    assert "exposure data that were set right or are not relied upon, 1: shoot/01.dng: ExposureTime None" in caplog.text
    (source / "cut.dng").unlink()
    summary = prepare_photos(config(source), output)
    assert json.loads(json.dumps(summary)) == {
        "index": str(output / "index.jsonl"), "written": 0, "kept": 2, "failed": {},
    }  # fmt: skip
    assert "0 written, 2 there already" in caplog.text
    assert "train on it with" not in caplog.text
    with Entry(read_index(output)[1].paths["cache"]) as entry:
        found = read_capture(entry, (2, 4, 8, 8))
    assert torch.equal(found.samples, read_sensor(source / "shoot" / "01.dng").samples[2:10, 4:12])
    with pytest.raises(UserError, match=r"decoded with other parameters .* use another folder"):
        prepare_photos(config(source, "sensor_binned"), output)


def test_mistakes_are_told(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.png")
    with pytest.raises(UserError, match="decode=raw: accepted are photos, sensor, sensor_binned"):
        prepare_photos(config(tmp_path, "raw"), tmp_path / "out")
    manifest = tmp_path / "m.jsonl"
    write_manifest(manifest, records_of(tmp_path / "photos"))
    for source in (manifest, tmp_path / "photos"):
        with pytest.raises(UserError, match="decode=sensor reads camera RAW files, and there is none"):
            prepare_photos(config(source), tmp_path / "out")
    with pytest.raises(UserError, match=r"mode=prepare needs source=<a folder .* or a dataset= of photos"):
        prepare_photos(config(None, "photos"), tmp_path / "out")
    with pytest.raises(UserError, match="there is no such folder or manifest"):
        prepare_photos(config(tmp_path / "none"), tmp_path / "out")


def test_a_data_set_is_prepared_with_its_splits(tmp_path: Path) -> None:
    pairs(tmp_path / "our485", ["2", "5"], "low", "high")
    pairs(tmp_path / "eval15", ["1"], "low", "high")
    dataset = {"_target_": "hdr.data.lol.lol", "root": str(tmp_path), "version": "v1", "holdout": 0.0}
    plain = config(None, "photos", dataset=dataset | {"size": 8, "long_edge": None}, trainer={"workers": 0})
    summary = prepare_photos(plain, tmp_path / "out")
    assert (summary["written"], summary["kept"]) == (2, 1)  # two pairs are equal here: one entry serves both
    index = read_manifest(tmp_path / "out" / "index.jsonl")
    assert {record.id: record.split for record in index} == {"1": "test", "2": "train", "5": "train"}
    assert {record.licence for record in index} == {"for research, see that page"}


def test_real_raw_files_come_back_as_they_are_read(shared_data: Path, tmp_path: Path) -> None:
    files = [shared_data / "raw" / name for name in ("kodak-dc50.kdc", "canon-d30.crw")]
    records = [Record(id=path.name, paths={"input": path}) for path in files]
    records.append(Record(id="plain", paths={"input": shared_data / "raw/plain-bayer/rawpipe-1424x968-rggb-u16.raw"}))
    summary = prepare(records, tmp_path / "cache", SensorDecode())
    assert (summary.written, list(summary.failed)) == (2, ["plain"])
    assert "has no header" in summary.failed["plain"]
    for record, path in zip(read_index(tmp_path / "cache"), sorted(files), strict=True):
        direct = read_sensor(path)
        with Entry(record.paths["cache"]) as entry:
            found = read_capture(entry)
            part = read_capture(entry, (100, 200, 64, 64))
        assert torch.equal(found.samples, direct.samples)
        assert torch.equal(part.samples, direct.samples[100:164, 200:264])
        assert (found.pattern, found.black_level, found.white_level) == (
            direct.pattern, direct.black_level, direct.white_level,
        )  # fmt: skip
