"""Folders of brackets and shoots: what is written, resumed, refused, and that other programs read it."""

from __future__ import annotations

import datetime
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import rawpy

from hdr.data.manifest import read_manifest
from hdr.data.shoots import writing
from hdr.data.shoots.__main__ import main
from hdr.data.shoots.body import bodies
from hdr.data.shoots.writing import write_brackets, write_shoots
from hdr.errors import UserError
from hdr.io import read_image
from hdr.io.sensor import SensorImage, read_sensor
from hdr.io.sidecar import TONE_SETTINGS
from tests.conftest import REPOSITORY

CRS = "{http://ns.adobe.com/camera-raw-settings/1.0/}"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_shoots_on_disk(tmp_path: Path) -> None:
    records = write_shoots(tmp_path / "s", shoots=2, photos=5, styles=2, size=64, seed=3, edited=2)
    read = read_manifest(tmp_path / "s" / "manifest.jsonl")
    assert [r.id for r in read] == [r.id for r in records]
    assert len(read) == 10
    assert {r.group for r in read} == {"shoot-00", "shoot-01"}
    assert {(r.group, r.metadata["style"]) for r in read} == {("shoot-00", "style-00"), ("shoot-01", "style-01")}
    listed = {path.resolve() for r in read for path in r.paths.values()}
    found = {path.resolve() for pattern in ("*.dng", "*.xmp") for path in (tmp_path / "s").rglob(pattern)}
    assert listed == found
    assert sum("sidecar" in r.paths for r in read) == 4
    for record in read:
        assert record.metadata["edited"] == ("sidecar" in record.paths)
        image = read_sensor(record.paths["raw"])
        body = bodies()[record.metadata["camera"]]
        assert (image.pattern, image.white_level) == (body.pattern, body.white_level)
        assert image.black_level == body.black_level
        assert image.colour_matrix is not None
        assert abs(image.colour_matrix - body.colour_matrix).max() < 1e-6
        assert image.noise_profile == ((pytest.approx(body.noise_profile(image.iso or 0), rel=1e-6)),) * 3
        assert image.baseline_exposure == pytest.approx(body.headroom)
        taken = datetime.datetime.fromisoformat(record.metadata["capture_time"])
        assert image.capture_time is not None
        assert abs(image.capture_time - taken) < datetime.timedelta(milliseconds=2)
        photo = read_image(record.paths["raw"])
        assert photo.pixels.shape[1:] == image.samples.shape
        assert photo.metadata.iso == image.iso
        with rawpy.imread(str(record.paths["raw"])) as raw:
            assert raw.postprocess(half_size=True).shape[2] == 3
        if "sidecar" in record.paths:
            (description,) = (
                ET.parse(record.paths["sidecar"])
                .getroot()
                .iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
            )
            sliders = {name: float(description.attrib[CRS + name]) for name in TONE_SETTINGS}
            assert sliders == record.metadata["sliders"]
            assert description.attrib[f"{CRS}RawFileName"] == record.paths["raw"].name


def test_what_is_there_is_kept_and_the_rest_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"shoots": 2, "photos": 3, "styles": 1, "size": 64, "seed": 0}
    write_shoots(tmp_path / "whole", **plan)
    whole = contents(tmp_path / "whole")
    kept = tmp_path / "part"
    written: list[Path] = []

    def interrupted(path: Path, image: SensorImage) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path)
        real(path, image)

    real = writing.write_dng
    monkeypatch.setattr(writing, "write_dng", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shoots(kept, **plan)
    assert not (kept / "manifest.jsonl").exists()
    times = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.setattr(writing, "write_dng", real)
    write_shoots(kept, **plan)
    assert contents(kept) == whole
    assert {path: path.stat().st_mtime_ns for path in written} == times
    (kept / "shoot-01").joinpath(next(iter((kept / "shoot-01").glob("*.dng"))).name).unlink()
    write_shoots(kept, **plan)
    assert contents(kept) == whole


def test_other_plans_and_other_files_are_left_alone(tmp_path: Path) -> None:
    write_brackets(tmp_path / "b", count=1, evs=[0.0], size=64, seed=0)
    before = contents(tmp_path / "b")
    with pytest.raises(UserError, match="another plan"):
        write_brackets(tmp_path / "b", count=1, evs=[0.0], size=64, seed=1)
    with pytest.raises(UserError, match="another plan"):
        write_shoots(tmp_path / "b", shoots=1, photos=1, styles=1, size=64, seed=0)
    assert contents(tmp_path / "b") == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="not empty"):
        write_brackets(mine, count=1, evs=[0.0], size=64, seed=0)
    assert contents(mine) == {"holiday.jpg": b"x"}
    with pytest.raises(UserError, match="is a file"):
        write_brackets(mine / "holiday.jpg", count=1, evs=[0.0], size=64, seed=0)


def test_brackets_on_disk(tmp_path: Path) -> None:
    records = write_brackets(tmp_path / "b", count=3, evs=[-2, 0, 1.5], size=64, seed=1)
    assert len({record.group for record in records}) == 3
    for record in records:
        assert list(record.paths) == ["ev-2", "ev+0", "ev+1.5"]
        images = [read_sensor(path) for path in record.paths.values()]
        exposures = [record.metadata["exposures"][role] for role in record.paths]
        for asked, image, known in zip((-2, 0, 1.5), images, exposures, strict=True):
            assert image.exposure_time is not None
            assert images[1].exposure_time is not None
            assert image.iso is not None
            assert images[1].iso is not None
            gain = image.exposure_time / images[1].exposure_time * image.iso / images[1].iso
            assert known["ev"] - exposures[1]["ev"] == pytest.approx(math.log2(gain), abs=2e-4)
            assert abs(known["ev"] - asked) < 0.5
    again = write_brackets(tmp_path / "again", count=3, evs=[-2, 0, 1.5], size=64, seed=1)
    assert [record.metadata for record in again] == [record.metadata for record in records]
    assert contents(tmp_path / "b") == contents(tmp_path / "again")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bracket", "--count", "0"], "count is 0; accepted is 1 or more"),
        (["bracket", "--evs", "0", "0"], r"evs: found \[0.0, 0.0\]; accepted are different numbers"),
        (["bracket", "--evs", "1", "1.0000001"], "evs: found"),
        (["bracket", "--evs", "nan"], "evs: found"),
        (["bracket", "--evs", "-19"], "evs: -19 EV from .* is beyond the"),
        (["bracket", "--size", "65"], "size is 65; accepted is an even number of pixels from 48 to 4096"),
        (["shoots", "--styles", "13"], "styles is 13; accepted is 1 to 12"),
        (["shoots", "--edited", "41"], "edited is 41; accepted is 0 to 40"),
        (["shoots", "--seed", "-1"], "seed is -1; accepted is 0 or more"),
    ],
)
def test_mistakes_get_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "--output", str(tmp_path / "x")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert re.search(message, said.err)
    assert not list(tmp_path.iterdir())


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "b"
    arguments = [
        "bracket",
        "--output",
        str(folder),
        "--count",
        "1",
        "--evs",
        "-2",
        "0.5",
        "--size",
        "64",
        "--seed",
        "7",
    ]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{folder / 'manifest.jsonl'}: 1 brackets, 2 files\n"
    plan = json.loads((folder / "plan.json").read_text())
    assert plan == {"generator": 1, "kind": "bracket", "count": 1, "evs": [-2.0, 0.5], "size": 64, "seed": 7}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, runpy; sys.argv = ['shoots', '--help']\n"
        "try: runpy.run_module('hdr.data.shoots', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'cv2', 'rawpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "bracket" in done.stdout
