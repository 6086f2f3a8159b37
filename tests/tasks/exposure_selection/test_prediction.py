from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.io.image import read_image, write_image
from hdr.metrics.image import psnr
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection.brackets import read_bracket
from tasks.exposure_selection.data import to_preview
from tasks.exposure_selection.prediction import Request, inputs, predict_file
from tasks.exposure_selection.scoring import FIVE
from tasks.exposure_selection.subsets import Constraints, ev_grid
from tests.tasks.exposure_selection.photographed import exposed, scene_light, write_bracket, write_frame, write_raw
from tests.tasks.exposure_selection.selectors import Wishes

REQUEST = Request(evs=tuple(ev_grid(-3.0, 6.0, 0.25)), captures=2, preview=32)


def predicted(path: Path, output: Path, request: Request = REQUEST, network: Wishes | None = None) -> dict[str, Any]:
    return predict_file(network or Wishes((-1.0, 3.0)), path, output, request)


def test_a_photo_is_its_own_preview(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "a.png", exposed(scene_light(), 0.0), 1 / 320)
    network = Wishes((-1.0, 3.0))
    facts = predicted(path, tmp_path, network=network)
    assert facts["kind"] == "photo"
    assert [exposure["shutter"] for exposure in facts["exposures"]] == ["1/640 s", "1/40 s"]
    assert facts["expected"]["value"] == pytest.approx(30.0)
    preview, evs = network.seen[0]
    assert torch.equal(preview[0], to_preview(read_image(path).pixels, 32))
    assert evs[0].tolist() == list(REQUEST.evs)
    assert sorted(tmp_path.iterdir()) == [path]  # nothing is written


def test_a_raw_is_shown_as_shot(tmp_path: Path) -> None:
    light = scene_light(64, 96)
    path = write_raw(tmp_path / "a.dng", light, -1.0)
    network = Wishes((-1.0, 3.0))
    facts = predicted(path, tmp_path, network=network)
    assert facts["kind"] == "raw"
    assert facts["exposures"][1]["seconds"] == pytest.approx(1 / 15, rel=0.01)  # three stops above 1/128 s
    frames = read_bracket([path, write_raw(tmp_path / "b.dng", light, 1.0)], alignment=False)
    assert float((network.seen[0][0][0] - to_preview(frames.stack.display[0], 32)).abs().mean()) < 0.01


def test_exif_is_handed_to_the_network(tmp_path: Path) -> None:
    class Facts(Wishes):
        facts: list[torch.Tensor | None]

        def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
            self.facts = [*getattr(self, "facts", []), scalars]
            return super().forward(preview, evs, scalars, subsets)

    network = Facts((-1.0, 3.0))
    predicted(write_raw(tmp_path / "a.dng", scene_light(64, 96), 0.0), tmp_path, network=network)
    predicted(write_frame(tmp_path / "b.png", exposed(scene_light(), 0.0), None, iso=400), tmp_path, network=network)
    raw, photo = (facts[0].tolist() for facts in network.facts if facts is not None)
    assert raw == pytest.approx([-6 / 8, 0.0, 6 / 8], abs=1e-3)
    assert photo == pytest.approx([float("nan"), 2 / 8, 6 / 8], abs=1e-3, nan_ok=True)


def test_pictures_from_one_raw(tmp_path: Path) -> None:
    """The chosen exposures of a file without clipped highlights are those that a camera would have taken."""
    light = 0.9 * scene_light(64, 96, stops=6.0, finest=12)  # demosaicking cuts fine structure according to exposure
    path = write_raw(tmp_path / "a.dng", light, 0.0)
    output = tmp_path / "out"
    output.mkdir()
    request = replace(REQUEST, fuse=True, weighting="paper")
    facts = predicted(path, output, request)
    taken = [write_raw(tmp_path / f"{ev}.dng", light, ev) for ev in (-1.0, 3.0)]
    frames = read_bracket(taken, alignment=False).stack.display
    fused = read_image(output / "a-fused.tif")
    wanted = exposure_fusion(frames[None], "paper")[0].clamp(0, 1)
    assert fused.metadata.bits == 16
    assert float((fused.pixels - wanted).abs().mean()) < 0.004
    assert [Path(name).name for name in facts["written"]] == ["a-fused.tif", "a-side-by-side.jpg"]
    assert read_image(output / "a-side-by-side.jpg").pixels.shape == (3, 64, 3 * 96 + 2 * 4)
    five = [write_raw(tmp_path / f"five{ev}.dng", light, ev) for ev in FIVE]
    reference = exposure_fusion(read_bracket(five, alignment=False).stack.display[None], "paper").clamp(0, 1)
    assert facts["measured"]["psnr"] == pytest.approx(float(psnr(wanted[None], reference)[0]), abs=0.5)
    assert "note" not in facts
    with pytest.raises(UserError, match="already exists"):
        predicted(path, output, request)


def test_clipped_highlights_are_confessed(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.dng", scene_light(64, 96, stops=6.0), 1.0)
    facts = predicted(path, tmp_path, replace(REQUEST, fuse=True))
    assert facts["clipped"] == pytest.approx(1 / 6, abs=0.01)  # the brightest of six stops
    assert "below 0 EV its highlights are flat and grey" in facts["note"]


def test_a_finished_photo_is_not_exposed_anew(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "a.jpg", exposed(scene_light(), 0.0), 1 / 320)
    facts = predicted(path, tmp_path, replace(REQUEST, fuse=True))
    assert "cannot be exposed anew" in facts["note"]
    assert "written" not in facts
    assert len(facts["exposures"]) == 2


def test_an_hdr_picture_is_metered(tmp_path: Path) -> None:
    light = scene_light() * 37.0
    path = tmp_path / "a.exr"
    write_image(path, light, encoding="linear", bits=32)
    network = Wishes((-1.0, 3.0))
    facts = predicted(path, tmp_path, replace(REQUEST, fuse=True), network)
    assert facts["kind"] == "hdr"
    preview = network.seen[0][0][0]
    white = float((light.amax(0) / light.amax(0).flatten().kthvalue(round(0.99 * 96 * 128)).values > 1).float().mean())
    assert white == pytest.approx(0.01, abs=0.002)
    assert float((preview - to_preview(exposed(scene_light(), 0.0), 32)).abs().mean()) < 0.02
    assert read_image(tmp_path / "a-fused.tif").pixels.shape == light.shape
    assert facts["exposures"] == [{"ev": -1.0}, {"ev": 3.0}]


def test_a_bracket_chooses_among_its_frames(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    paths = write_bracket(folder, (0.0, -2.0, 2.0, 4.0))
    request = replace(REQUEST, fuse=True)
    facts = predicted(folder, tmp_path, request, Wishes((-2.0, 4.0)))
    assert facts["kind"] == "bracket"
    assert [exposure["file"] for exposure in facts["exposures"]] == [paths[1].name, paths[3].name]
    assert [exposure["ev"] for exposure in facts["exposures"]] == pytest.approx([-2.0, 4.0], abs=1e-3)
    stack = read_bracket(paths).stack.display
    chosen, everything = (exposure_fusion(x[None], backend="cv2").clamp(0, 1) for x in (stack[[0, 3]], stack))
    written = read_image(tmp_path / "in-fused.jpg").pixels
    assert float((written - chosen[0]).abs().mean()) < 0.3 * float((written - everything[0]).abs().mean())
    assert facts["measured"]["psnr"] == pytest.approx(float(psnr(chosen, everything)[0]), abs=0.01)
    pairs = {tuple(each["evs"]): each["psnr"] for each in facts["subsets"]["scores"]}
    assert len(pairs) == 6
    for one, other in ((0, 1), (1, 2), (0, 3)):
        pair = exposure_fusion(stack[None, [one, other]]).clamp(0, 1)
        found = pairs[2.0 * one - 2.0, 2.0 * other - 2.0]
        assert found == pytest.approx(float(psnr(pair, everything)[0]), abs=0.05)
    assert facts["subsets"]["best"]["psnr"] == max(pairs.values())
    assert facts["subsets"]["regret"] == pytest.approx(max(pairs.values()) - pairs[-2.0, 4.0], abs=0.011)
    with pytest.raises(UserError, match="5 exposures cannot be chosen from 4"):
        predicted(folder, tmp_path, replace(REQUEST, captures=5))
    with pytest.raises(UserError, match=r"no exposure at \+1 EV; it has"):
        predicted(folder, tmp_path, replace(REQUEST, constraints=Constraints(include=(1.0,))))


def test_a_bracket_with_stated_evs(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for index, ev in enumerate((-2.0, 0.0, 2.0)):
        write_frame(folder / f"{index}.png", exposed(scene_light(), ev), None)
    request = replace(REQUEST, bracket_evs=(-2.0, 0.0, 2.0))
    assert inputs(str(folder), request) == [folder]
    assert len(inputs(str(folder), REQUEST)) == 3
    facts = predicted(folder, tmp_path, request, Wishes((0.0, 2.0)))
    assert [exposure["file"] for exposure in facts["exposures"]] == ["1.png", "2.png"]


def test_what_input_stands_for(tmp_path: Path) -> None:
    shoot = tmp_path / "shoot"
    write_bracket(shoot / "a", (0.0, 2.0))
    write_bracket(shoot / "b", (0.0, 2.0, 0.0))
    assert inputs(str(shoot), REQUEST) == [shoot / "a"]
    single = write_frame(shoot / "z.png", exposed(scene_light(), 0.0), 0.1)
    assert inputs(str(shoot), REQUEST) == [single, shoot / "a"]
    assert inputs(str(shoot / "a"), REQUEST) == [shoot / "a"]
    assert inputs(str(shoot / "b"), REQUEST) == sorted((shoot / "b").iterdir())
    assert inputs(f"{shoot}/a/*.png", REQUEST) == sorted((shoot / "a").iterdir())
    with pytest.raises(UserError, match="no photographs in this folder"):
        inputs(str(tmp_path), REQUEST)
    twins = [write_frame(tmp_path / name / "x.png", exposed(scene_light(), 0.0), 0.1) for name in ("p", "q")]
    assert inputs(f"{tmp_path}/?/x.png", REQUEST) == twins
    with pytest.raises(UserError, match="would have one name"):
        inputs(f"{tmp_path}/?/x.png", replace(REQUEST, fuse=True))


def test_an_unreadable_frame_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_bracket(folder, (0.0, 2.0))
    (folder / "broken.jpg").write_bytes(b"no picture")
    assert inputs(str(folder), REQUEST) == [folder]
    with pytest.raises(UserError, match=r"broken.jpg: its content .* no image format"):
        predicted(folder, tmp_path)


def test_odd_input(tmp_path: Path) -> None:
    grey = write_frame(tmp_path / "grey.png", exposed(scene_light(), 0.0).mean(0, keepdim=True).expand(3, -1, -1), 0.1)
    deep = write_frame(tmp_path / "deep.png", exposed(scene_light(), 0.0), 0.1, bits=16)
    small = write_frame(tmp_path / "small.png", torch.rand(3, 9, 300), 0.1)
    for path in (grey, deep):
        assert len(predicted(path, tmp_path)["exposures"]) == 2
    with pytest.raises(UserError, match=r"small.png: 300 x 9 pixels say too little"):
        predicted(small, tmp_path)
    broken = tmp_path / "broken.dng"
    broken.write_bytes(write_raw(tmp_path / "a.dng", scene_light(64, 96), 0.0).read_bytes()[:3000])
    with pytest.raises(UserError, match=r"broken.dng: this RAW file cannot be read"):
        predicted(broken, tmp_path)
    black = tmp_path / "black.exr"
    write_image(black, torch.zeros(3, 32, 32), encoding="linear")
    with pytest.raises(UserError, match="this HDR picture is black"):
        predicted(black, tmp_path)


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    """Bayer files with and without white balance of their own, and a JPEG."""
    for name, time in (
        ("raw/canon-d30.crw", 0.00496),
        ("raw/kodak-dc50.kdc", 0.00435),
        ("raw/canon-kissx4-colorchart.dng", None),
        ("camera-jpegs/dark/casio-ex-z3.jpg", 2.0),
    ):
        request = replace(REQUEST, standard_times=False)
        facts = predicted(shared_data / name, tmp_path, request)
        seconds = facts["exposures"][0].get("seconds")
        assert seconds == (None if time is None else pytest.approx(time / 2, rel=0.01))


@pytest.mark.slow
def test_nikon(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "raw-bracket-nikon-d5000"
    assert inputs(str(folder), REQUEST) == [folder]
    facts = predicted(folder, tmp_path, network=Wishes((0.0, 4.0)))
    assert [(exposure["file"], exposure["shutter"]) for exposure in facts["exposures"]] == [
        ("1-640s.dng", "1/640 s"),
        ("1-40s.dng", "1/40 s"),
    ]
