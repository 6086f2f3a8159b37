"""Virtual exposures as files: what they show, what they state, and that they are a bracket to the other modes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.io.image import read_image
from hdr.ops.encoding import bt709_to_linear, srgb_to_linear
from tasks.exposure_selection import exposing
from tasks.exposure_selection.brackets import read_bracket
from tasks.exposure_selection.exposing import Route, expose_all
from tasks.exposure_selection.finding import bracket_in
from tasks.exposure_selection.libraw_route import libraw_exposures
from tasks.exposure_selection.shots import read_facts
from tests.tasks.exposure_selection.photographed import START, exposed, scene_light, write_frame, write_raw

EVS = (-2.0, 0.0, 1.0)


def soft(stops: float = 6.0) -> Tensor:
    """Light that demosaicking and averaging leave alike: no fine structure, nothing clipped at 1 EV."""
    return 0.2 * scene_light(256, 384, stops=stops, finest=12)


@pytest.mark.parametrize("route", ["linear", "libraw"])
def test_the_files_are_a_bracket(tmp_path: Path, route: Route) -> None:
    source = write_raw(tmp_path / "raw" / "a.dng", soft(), 0.0)
    found = expose_all(str(source.parent), tmp_path, EVS, route=route)
    assert not found["failed"]
    files = [Path(name) for name in found["done"][0]["written"]]
    assert [file.name for file in files] == ["00_-2EV.png", "01_+0EV.png", "02_+1EV.png"]
    assert bracket_in(tmp_path / "a") == files
    read = read_bracket(files, alignment=False)
    # EXIF states them; the brightest without white highlights counts as EV 0
    assert [ev - read.stack.evs[1] for ev in read.stack.evs] == pytest.approx(EVS, abs=0.01)
    assert read.stack.display.shape == (3, 3, 32, 48)
    assert read.frames[0].exposure.iso == 100
    assert read_facts(files[0]).time == START
    to_linear = srgb_to_linear if route == "linear" else bt709_to_linear
    dark, middle, bright = (to_linear(frame) for frame in read.stack.display)
    well = middle > 0.05
    assert float((middle / dark)[well].median()) == pytest.approx(4.0, rel=0.03)
    assert float((bright / middle)[well & (bright < 0.9)].median()) == pytest.approx(2.0, rel=0.03)


def test_the_legacy_route_is_written_as_it_is(tmp_path: Path) -> None:
    source = write_raw(tmp_path / "a.dng", soft(), 0.0)
    (done,) = expose_all(str(source), tmp_path, EVS, route="libraw")["done"]
    pictures = torch.stack([read_image(name).pixels for name in done["written"]])
    assert torch.equal(pictures, libraw_exposures(source, EVS))


def test_a_file_without_a_time_gives_frames_without_one(tmp_path: Path) -> None:
    source = write_raw(tmp_path / "a.dng", soft(), 0.0, exposure_time=None)
    (done,) = expose_all(str(source), tmp_path, EVS)["done"]
    files = [Path(name) for name in done["written"]]
    with pytest.raises(UserError, match="state no exposure time"):
        read_bracket(files)
    assert read_bracket(files, evs=EVS, alignment=False).stack.evs == EVS


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_raw(tmp_path / "a.dng", soft(), 0.0)
    picture = write_frame(tmp_path / "a.png", exposed(scene_light(), 0.0), 0.1)
    with pytest.raises(UserError, match=r"selection\.route=fast: accepted are linear, libraw"):
        expose_all(str(source), tmp_path, EVS, route="fast")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="from dark to bright, each once"):
        expose_all(str(source), tmp_path, (0.0, 0.0))
    with pytest.raises(UserError, match="no RAW file"):
        expose_all(str(picture), tmp_path, EVS)
    expose_all(str(source), tmp_path, EVS)
    again = expose_all(str(source), tmp_path, EVS)
    assert "already exists" in again["failed"][0]["reason"]
    monkeypatch.setattr(exposing, "REDUCTION", 30)
    write_raw(tmp_path / "more" / "a.dng", scene_light(24, 24), 0.0)
    for route in ("linear", "libraw"):
        (failure,) = expose_all(f"{tmp_path}/more", tmp_path / "out", EVS, route=route)["failed"]
        assert "24 x 24 pixels cannot be reduced by 30" in failure["reason"]
