from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.io.image import read_image
from hdr.ops.fusion import PRESETS, exposure_fusion
from tasks.exposure_selection.brackets import read_bracket
from tasks.exposure_selection.fusing import brackets_of, fitting, fuse, fuse_all, fuse_files
from tests.tasks.exposure_selection.photographed import exposed, scene_light, write_bracket, write_frame, write_raw


def by_opencv(frames: list[Tensor]) -> Tensor:
    """OpenCV's own fusion of 8-bit frames, its channels in the order of ours."""
    stack = [np.ascontiguousarray((frame * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)) for frame in frames]
    fused = cv2.createMergeMertens().process(stack)
    return torch.from_numpy(np.asarray(fused)).permute(2, 0, 1).clamp(0, 1)


def test_the_picture_is_opencvs(tmp_path: Path) -> None:
    paths = write_bracket(tmp_path / "in", (0.0, -2.0, 2.0))
    target = tmp_path / "fused.png"
    facts = fuse_files(paths, target, weight_maps=True)
    wanted = by_opencv([read_image(path).pixels for path in (paths[1], paths[0], paths[2])])
    written = read_image(target)
    assert float((written.pixels - wanted).abs().max()) < 1.01 / 255
    assert written.metadata.exposure_time == pytest.approx(1 / 64)  # of the frame at 0 EV
    assert facts["evs"] == pytest.approx([-2.0, 0.0, 2.0], abs=1e-3)
    assert (facts["width"], facts["height"]) == (128, 96)
    assert [Path(path).name for path in facts["written"]] == [
        "fused.png",
        "fused-side-by-side.jpg",
        "fused-weights.png",
    ]
    side = read_image(tmp_path / "fused-side-by-side.jpg").pixels
    assert side.shape == (3, 96, 4 * 128 + 3 * 4)
    far = [float((side[..., -128:] - read_image(path).pixels).abs().mean()) for path in paths]
    assert float((side[..., -128:] - wanted).abs().mean()) < 0.2 * min(far)  # JPEG, of a noisy picture
    maps = read_image(tmp_path / "fused-weights.png").pixels
    shares = torch.stack([maps[0, :, first : first + 128] for first in (0, 132, 264)])
    assert float((shares.sum(0) - 1).abs().max()) < 2 / 255


def test_without_exif_brightness_puts_frames_in_order(tmp_path: Path) -> None:
    light = scene_light()
    names = {"x.png": 2.0, "y.png": -2.0, "z.png": 0.0}
    paths = [write_frame(tmp_path / name, exposed(light, ev), None) for name, ev in names.items()]
    facts = fuse_files(paths, tmp_path / "fused.png")
    wanted = by_opencv([read_image(path).pixels for path in paths])
    assert float((read_image(tmp_path / "fused.png").pixels - wanted).abs().max()) < 1.01 / 255
    assert "evs" not in facts
    twin = write_frame(tmp_path / "twin.png", exposed(light, 2.0), None)
    with pytest.raises(UserError, match=r"show the same to the last bit"):
        fuse_files([*paths, twin], tmp_path / "other.png")


def test_raw_frames_give_16_bits(tmp_path: Path) -> None:
    light = scene_light(64, 80)
    paths = [write_raw(tmp_path / f"{ev:+g}.dng", light, ev) for ev in (0.0, 3.0)]
    fuse_files(paths, tmp_path / "fused.tif", alignment=False)
    written = read_image(tmp_path / "fused.tif")
    frames = read_bracket(paths, alignment=False).stack.display
    wanted = exposure_fusion(frames[None], backend="cv2")[0].clamp(0, 1)
    assert written.metadata.bits == 16
    assert written.metadata.make == "Acme"
    assert float((written.pixels - wanted).abs().max()) < 1e-4
    assert not torch.equal(frames, torch.round(frames * 255) / 255)


@pytest.mark.parametrize("weighting", ["opencv", "paper", "robust", "enfuse"])
def test_both_backends_serve_every_weighting(weighting: str) -> None:
    frames = torch.stack([exposed(scene_light(60, 70), ev) for ev in (-2.0, 0.0, 2.0)])
    wanted = exposure_fusion(frames[None], weighting)[0].clamp(0, 1)
    assert float((fuse(frames, weighting) - wanted).abs().mean()) < 1e-4
    with pytest.raises(UserError, match=r"weighting: found 'best', accepted are opencv"):
        fuse(frames, "best")


def test_grey_frames_are_weighed_by_contrast() -> None:
    """As OpenCV fuses pictures of one channel; with saturation all weights would be 0."""
    frames = torch.stack([exposed(scene_light(60, 70), ev) for ev in (-3.0, -1.5, 0.0)]).mean(1, keepdim=True)
    frames = torch.round(frames * 255) / 255
    fused = fuse(frames.expand(-1, 3, -1, -1))
    stack = [np.ascontiguousarray((frame[0] * 255).round().numpy().astype(np.uint8)) for frame in frames]
    wanted = torch.from_numpy(np.asarray(cv2.createMergeMertens().process(stack))).clamp(0, 1)
    assert float((fused - wanted).abs().mean()) < 1e-4
    assert float((fused - frames.mean(0)).abs().mean()) > 0.01
    assert fitting("opencv", torch.rand(2, 3, 4, 4)) == PRESETS["opencv"]


def test_one_bad_bracket_does_not_stop_the_others(tmp_path: Path) -> None:
    write_bracket(tmp_path / "in" / "a", (0.0, 2.0))
    bad = write_bracket(tmp_path / "in" / "b", (0.0, 2.0))
    write_frame(bad[1], exposed(scene_light()[:, :50], 2.0), 1 / 16)
    write_bracket(tmp_path / "in" / "c", (0.0, 2.0, 0.0, 2.0))
    output = tmp_path / "out"
    output.mkdir()
    summary = fuse_all(brackets_of(str(tmp_path / "in")), output)
    assert [item["bracket"] for item in summary["done"]] == ["a", "c/IMG_0001", "c/IMG_0003"]
    assert [item["bracket"] for item in summary["failed"]] == ["b"]
    assert "128 x 50 pixels" in summary["failed"][0]["reason"]
    assert sorted(path.name for path in output.glob("*-fused.jpg")) == [
        "a-fused.jpg",
        "c-IMG_0001-fused.jpg",
        "c-IMG_0003-fused.jpg",
    ]
    again = fuse_all(brackets_of(str(tmp_path / "in" / "a")), output)
    assert "already exists; give overwrite=true" in again["failed"][0]["reason"]
    with pytest.raises(UserError, match=r"format: found 'gif'"):
        fuse_all(brackets_of(str(tmp_path / "in" / "a")), output, format="gif")


def test_results_never_replace_frames(tmp_path: Path) -> None:
    paths = write_bracket(tmp_path, (0.0, 2.0))
    with pytest.raises(UserError, match="would replace one of the inputs"):
        fuse_files(paths, paths[0], overwrite=True)


def test_what_input_stands_for(tmp_path: Path) -> None:
    paths = write_bracket(tmp_path / "a", (0.0, 2.0, 4.0))
    (pattern,) = brackets_of(f"{tmp_path}/a/*.png")
    assert pattern.paths == tuple(paths)
    (single,) = brackets_of(str(paths[0]))
    with pytest.raises(UserError, match="is one frame; a bracket has two"):
        fuse_files(single.paths, tmp_path / "x.jpg")
    write_bracket(tmp_path / "b", (0.0,))
    with pytest.raises(UserError, match="1 photographs and no bracket among them"):
        brackets_of(str(tmp_path / "b"))


def test_parliament(shared_data: Path, tmp_path: Path) -> None:
    summary = fuse_all(brackets_of(str(shared_data / "bracket-parliament")), tmp_path, format="png")
    assert not summary["failed"]
    fused = read_image(tmp_path / "bracket-parliament-fused.png").pixels
    frames = [read_image(shared_data / "bracket-parliament" / f"parliament_{index}.png").pixels for index in range(3)]
    assert float((fused - by_opencv(frames)).abs().max()) < 0.51 / 255
