from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.errors import UserError
from hdr.io.image import write_image
from hdr.io.metadata import Metadata
from hdr.metrics.image import psnr
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.fusion import exposure_fusion
from hdr.ops.primaries import camera_to_rgb
from hdr.ops.resize import resize_antialiased
from tasks.exposure_selection.brackets import read_bracket, score_bracket
from tasks.exposure_selection.finding import find_brackets
from tasks.exposure_selection.ladder import Stack
from tests.tasks.exposure_selection.photographed import (
    MATRIX,
    exposed,
    scene_light,
    write_bracket,
    write_frame,
    write_raw,
)

EXIF = 1e-3  # EV, from times in millionths of a second


def test_evs_count_from_the_metered_frame(tmp_path: Path) -> None:
    """scene_light reaches 1.0: the frame at 0 EV is the longest that is hardly clipped."""
    paths = write_bracket(tmp_path, (2.0, -2.0, 0.0, 4.0))
    read = read_bracket(paths)
    assert read.stack.evs == pytest.approx((-2.0, 0.0, 2.0, 4.0), abs=EXIF)
    assert read.base == 1
    assert [frame.path.name[-5] for frame in read.frames] == ["2", "3", "1", "4"]
    for display, ev in zip(read.stack.display, (-2.0, 0.0, 2.0, 4.0), strict=True):
        assert torch.equal(display, torch.round(exposed(scene_light(), ev) * 255) / 255)
    dark = read_bracket(paths, anchor="log_average")  # the median of the light is 4.5 stops below 1, grey is 2.5 below
    assert dark.stack.evs == pytest.approx((-4.0, -2.0, 0.0, 2.0), abs=EXIF)
    assert (read.stack.id, read.stack.group) == ("IMG_0002", str(tmp_path))


def test_where_all_frames_are_clipped_the_darkest_is_the_preview(tmp_path: Path) -> None:
    assert read_bracket(write_bracket(tmp_path, (3.0, 5.0))).stack.evs == (0.0, 2.0)


def test_aperture_and_sensitivity_count(tmp_path: Path) -> None:
    light = scene_light()
    paths = [
        write_frame(tmp_path / "a.png", exposed(light, 0.0), 0.01, iso=100, aperture=8.0),
        write_frame(tmp_path / "b.png", exposed(light, 3.0), 0.02, iso=400, aperture=8.0),
        write_frame(tmp_path / "c.png", exposed(light, 5.0), 0.02, iso=400, aperture=4.0),
    ]
    assert read_bracket(paths).stack.evs == pytest.approx((0.0, 3.0, 5.0))


def test_a_lens_without_contacts(tmp_path: Path) -> None:
    assert read_bracket(write_bracket(tmp_path, (0.0, 2.0), aperture=None)).stack.evs == (0.0, 2.0)


def test_stated_evs_stand_before_exif(tmp_path: Path) -> None:
    paths = write_bracket(tmp_path, (2.0, -2.0, 0.0), iso=None)
    read = read_bracket(paths, evs=[0.0, -3.5, -2.0])
    assert read.stack.evs == (-3.5, -2.0, 0.0)
    assert read.base == 2
    assert [frame.path for frame in read.frames] == [paths[1], paths[2], paths[0]]


def test_reduction_is_in_linear_light(tmp_path: Path) -> None:
    paths = write_bracket(tmp_path, (-1.0, 1.0), bits=16)
    stack = read_bracket(paths, long_edge=32).stack
    assert stack.display.shape == (2, 3, 24, 32)
    light = resize_antialiased(srgb_to_linear(exposed(scene_light(), 1.0)), (24, 32))
    assert float((stack.display[1] - linear_to_srgb(light)).abs().max()) < 0.52 / 255
    assert torch.equal(stack.display, torch.round(stack.display * 255) / 255)


def test_raw_frames_are_developed_alike(tmp_path: Path) -> None:
    """Flat colours survive any demosaicking: clip at the well, balance of the first frame, matrix, curve."""
    light = torch.tensor([0.11, 0.2, 0.08])[:, None, None].expand(3, 64, 80) * torch.linspace(0.5, 1, 80)
    paths = [write_raw(tmp_path / f"{ev:+g}.dng", light, ev) for ev in (0.0, 2.0)]
    other = write_raw(tmp_path / "other.dng", light, 4.0, white_balance=(1.4, 1.0, 2.2))
    stack = read_bracket([*paths, other], alignment=False).stack
    assert stack.evs == pytest.approx((-2.0, 0.0, 2.0), abs=EXIF)
    for display, ev in zip(stack.display, (0.0, 2.0, 4.0), strict=True):
        balanced = (light.double() * 2**ev).clamp(max=1) * torch.tensor([2.0, 1.0, 1.5]).double()[:, None, None]
        colour = torch.einsum("ij,jhw->ihw", camera_to_rgb(MATRIX), balanced.clamp(max=1)).clamp(0, 1)
        inner = (slice(None), slice(4, -4), slice(4, -4))
        assert float((srgb_to_linear(display).double() - colour)[inner].abs().max()) < 4e-3
    half = read_bracket([*paths, other], alignment=False, long_edge=40).stack.display
    assert half.shape == (3, 3, 32, 40)
    assert float((half - resize_antialiased(stack.display, (32, 40))).abs().median()) < 1.5 / 255


def test_raw_frames_without_white_balance(tmp_path: Path) -> None:
    light = torch.linspace(0.03, 0.06, 80).expand(3, 64, 80)
    paths = [write_raw(tmp_path / f"{ev:+g}.dng", light, ev, white_balance=None) for ev in (0.0, 2.0)]
    dark, bright = srgb_to_linear(read_bracket(paths, alignment=False).stack.display)
    ratio = (bright / dark)[:, 4:-4, 4:-4]
    assert float(ratio.median()) == pytest.approx(4.0, rel=0.01)


def test_hand_held_frames_are_brought_into_line(tmp_path: Path) -> None:
    light = scene_light(160, 200)
    shifted = {1: exposed(light[:, 5:155, 8:198], 2.0)}
    paths = write_bracket(tmp_path, (0.0, 2.0), light=light[:, 2:152, 5:195], pictures=shifted)
    read = read_bracket(paths)
    assert (read.moves[1].right, read.moves[1].down) == pytest.approx((3.0, 3.0), abs=0.1)
    height, width = read.stack.display.shape[-2:]
    assert 146 <= height <= 147
    assert 186 <= width <= 187
    assert read_bracket(paths, alignment=False).stack.display.shape[-2:] == (150, 190)


def test_scores_are_those_of_the_fused_pictures(tmp_path: Path) -> None:
    stack = read_bracket(write_bracket(tmp_path, (-2.0, 0.0, 2.0, 4.0))).stack
    subsets, scores = score_bracket(stack, 2, ("psnr", "ssim"), "paper")
    assert subsets.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    reference = exposure_fusion(stack.display[None], "paper").clamp(0, 1)
    for row, found in zip(subsets, scores["psnr"], strict=True):
        fused = exposure_fusion(stack.display[None, row], "paper").clamp(0, 1)
        assert float(found) == pytest.approx(float(psnr(fused, reference)[0]), abs=1e-3)
    with pytest.raises(UserError, match="5 exposures cannot be chosen from 4"):
        score_bracket(stack, 5)


def test_bad_brackets_are_refused_in_words(tmp_path: Path) -> None:
    light = scene_light()
    good = write_bracket(tmp_path / "good", (0.0, 2.0))

    def frame(name: str, ev: float, time: float | None, **facts: object) -> Path:
        return write_frame(tmp_path / name, exposed(light, ev), time, **facts)  # type: ignore[arg-type]

    refused(r"one frame; a bracket has two", good[:1])
    refused(r"no frame was named", [])
    refused(r"a file comes twice", [good[0], good[0]])
    refused(r"IMG_0001.png and near.png have the same exposure \(0.07 EV", [good[0], frame("near.png", 0.0, 1.05 / 64)])
    refused(
        r"1 of 2 frames state no exposure time .* \(untimed.png\).*bracket_evs=",
        [good[0], frame("untimed.png", 1.0, None)],
    )
    refused(r"silent.png of this bracket state no iso", [good[0], frame("silent.png", 1.0, 0.1, iso=None)])
    small = write_frame(tmp_path / "small.png", exposed(light[:, :, :100], 4.0), 0.25)
    refused(r"small.png: 100 x 96 pixels, and IMG_0001.png of the same bracket has 128 x 96", [*good, small])
    half = write_frame(tmp_path / "half.png", exposed(light[:, ::2, ::2], 4.0), 0.25)
    with pytest.raises(UserError, match=r"half.png: 64 x 48 pixels"):  # also where both are reduced to one size
        read_bracket([*good, half], long_edge=32)
    raw = write_raw(tmp_path / "raw.dng", light, 4.0)
    refused(r"RAW files or finished pictures, not both", [*good, raw])
    refused(
        r"said to be a longer exposure than IMG_0001.png, and \d+% of it is darker",
        [good[0], frame("dark.png", -3.0, 0.25)],
    )
    refused(r"3 exposures for 2 frames", good, evs=[-1, 0, 1])
    refused(r"has no 0, which is the exposure of the preview", good, evs=[-1, 1])
    refused(r"same exposure \(0.00 EV", good, evs=[0, 0])
    refused(r"from -30 to 30", good, evs=[0, float("nan")])
    broken = tmp_path / "broken.png"
    broken.write_bytes(good[0].read_bytes()[:2000])
    refused(r"broken.png: this PNG file cannot be read", [*good, broken])
    refused(r"there is no such file", [*good, tmp_path / "gone.png"])


def refused(pattern: str, paths: list[Path], evs: list[float] | None = None) -> None:
    with pytest.raises(UserError, match=pattern):
        read_bracket(paths, evs=evs)


def test_an_hdr_picture_is_no_frame(tmp_path: Path) -> None:
    paths = write_bracket(tmp_path, (0.0, 2.0))
    hdr = tmp_path / "hdr.png"
    write_image(hdr, scene_light(), encoding="linear")
    with pytest.raises(UserError, match=r"HDR picture \(pq\), not one exposure"):
        read_bracket([hdr, paths[0]], evs=[0.0, 2.0])


def test_exr_frames(tmp_path: Path) -> None:
    light, paths = scene_light(), []
    for index, ev in enumerate((0.0, 3.0)):
        paths.append(tmp_path / f"{index}.exr")
        metadata = Metadata(format="exr", bits=32, exposure_time=0.01 * 2**ev, aperture=4.0, iso=100.0)
        write_image(paths[-1], light * 2**ev, encoding="linear", bits=32, metadata=metadata)
    stack = read_bracket(paths).stack
    assert stack.evs == pytest.approx((0.0, 3.0), abs=1e-4)
    assert float((stack.display[1] - exposed(light, 3.0)).abs().max()) < 1e-6


def test_orientation_is_applied_before_sizes_are_compared(tmp_path: Path) -> None:
    slope = torch.linspace(0.02, 0.1, 64)[:, None] + torch.linspace(0.0, 0.1, 80)
    light = slope * torch.tensor([0.5, 1.0, 0.7])[:, None, None]
    upright = light.transpose(1, 2).flip(2)  # turned clockwise: orientation 6
    paths = [
        write_raw(tmp_path / "a.dng", light, 0.0, orientation=6),
        write_raw(tmp_path / "b.dng", upright.contiguous(), 2.0),
    ]
    stack = read_bracket(paths, alignment=False).stack
    assert stack.display.shape == (2, 3, 80, 64)
    dark, bright = srgb_to_linear(stack.display)
    ratio = (bright / dark)[:, 4:-4, 4:-4]
    assert float(ratio.min()) > 3.9
    assert float(ratio.max()) < 4.1


def test_parliament(shared_data: Path) -> None:
    """EXIF: 1/50, 1/13 and 0.4 s, all at f/8 and ISO 800."""
    (bracket,) = find_brackets(shared_data / "bracket-parliament")  # the radiance maps beside the frames are results
    stack = read_bracket(bracket.paths, long_edge=512).stack
    assert stack.evs == pytest.approx((0.0, np.log2(50 / 13), np.log2(0.4 * 50)), abs=1e-3)
    assert stack.display.shape == (3, 3, 220, 144)
    subsets, scores = score_bracket(stack, 2)
    assert subsets[int(scores["psnr"].argmax())].tolist() == [0, 1]


@pytest.mark.slow
def test_nikon(shared_data: Path) -> None:
    """1/640, 1/160 and 1/40 s; the frames are shifted by some pixels of 4310."""
    folder = shared_data / "raw-bracket-nikon-d5000"
    read = read_bracket(sorted(folder.glob("*.dng")), long_edge=1024)
    assert read.stack.evs == (0.0, 2.0, 4.0)
    assert read.base == 0
    full = 4310 / 1024
    shifts = [(move.right * full, move.down * full) for move in read.moves]
    assert all(2 < np.hypot(*shift) < 7 for shift in shifts[1:])
    fit = agreement(read.stack)
    assert fit < 0.6 * agreement(read_bracket(sorted(folder.glob("*.dng")), long_edge=1024, alignment=False).stack)


def agreement(stack: Stack) -> float:
    """Mean difference of light between the first two frames where both are exposed well."""
    dark, bright = srgb_to_linear(stack.display[0]), srgb_to_linear(stack.display[1])
    both = (bright < 0.8) & (bright > 0.05)
    return float((dark * 2 ** (stack.evs[1] - stack.evs[0]) - bright)[both].abs().mean())
