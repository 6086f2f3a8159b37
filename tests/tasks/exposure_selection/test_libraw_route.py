from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from hdr.errors import UserError
from hdr.ops.encoding import bt709_to_linear
from hdr.ops.primaries import camera_to_rgb
from tasks.exposure_selection.ladder import render
from tasks.exposure_selection.libraw_route import libraw_exposures
from tasks.exposure_selection.shots import read_shot
from tests.tasks.exposure_selection.photographed import MATRIX, exposed, scene_light, write_frame, write_raw


def flat(height: int = 96, width: int = 128) -> Tensor:
    return torch.tensor([0.05, 0.1, 0.04])[:, None, None].expand(3, height, width)


def test_flat_light_by_hand(tmp_path: Path) -> None:
    """Camera balance, matrix, BT.709 curve, 8 bits: within two steps of the written-out values at every EV."""
    path = write_raw(tmp_path / "flat.dng", flat(), 0.0)
    evs = [-1.0, 0.0, 2.0]
    display = libraw_exposures(path, evs, adjust_maximum_thr=0.0)
    assert display.shape == (3, 3, 12, 16)
    assert torch.equal(display, torch.round(display * 255) / 255)
    for picture, ev in zip(display, evs, strict=True):
        balanced = flat().double()[:, 0, 0] * 2**ev * torch.tensor([2.0, 1.0, 1.5]).double()
        wanted = (camera_to_rgb(MATRIX) @ balanced).clamp(0, 1)
        found = bt709_to_linear(picture.double())[:, 4:-4, 4:-4].mean(dim=(1, 2))
        assert (found - wanted).abs().max() < 0.012 * max(1.0, 2**ev)


def test_ev_0_is_the_file_as_shot(tmp_path: Path) -> None:
    """As everywhere in the task: what a camera would have developed it to is another question."""
    plain = write_raw(tmp_path / "plain.dng", flat(), 0.0)
    meant = write_raw(tmp_path / "meant.dng", flat(), 0.0, baseline_exposure=1.0)
    assert torch.equal(libraw_exposures(meant, [0.0, 1.0]), libraw_exposures(plain, [0.0, 1.0]))


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="developed picture, not sensor values"):
        libraw_exposures(write_frame(tmp_path / "a.png", exposed(scene_light(), 0.0), 0.1), [0.0])
    with pytest.raises(UserError, match="cannot be reduced by 200"):
        libraw_exposures(write_raw(tmp_path / "a.dng", flat(), 0.0), [0.0], reduction=200)


def test_both_routes_agree_on_a_real_file(shared_data: Path) -> None:
    """Median difference within a step of 8 bits where nothing is clipped, once LibRaw keeps the white level; with its
    default it brightens the rung whose maximum lies in the last quarter."""
    path, evs = shared_data / "raw" / "canon-kissx4-colorchart.dng", [-2.0, 0.0, 2.0]
    light = read_shot(path).light
    assert light is not None
    linear = render(replace(light, linear=avg_pool2d(light.linear, 8)), evs, 0.0, curve="bt709")
    true, default = (libraw_exposures(path, evs, adjust_maximum_thr=threshold) for threshold in (0.0, 0.75))
    for index in range(3):
        assert median_steps(true[index], linear[index]).abs().max() <= 1
    assert float(median_steps(default[1], linear[1]).min()) > 5
    assert torch.equal(true[0], default[0])


def median_steps(a: Tensor, b: Tensor) -> Tensor:
    unclipped = (a.amax(0) < 0.95) & (b.amax(0) < 0.95) & (a.amin(0) > 0.02)
    return ((a - b) * 255)[:, unclipped].median(dim=1).values
