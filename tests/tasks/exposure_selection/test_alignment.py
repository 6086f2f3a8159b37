from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.ops.encoding import srgb_to_linear
from tasks.exposure_selection.alignment import align
from tests.tasks.exposure_selection.photographed import exposed, scene_light


def moved(light: Tensor, right: float, down: float, degrees: float, size: tuple[int, int]) -> Tensor:
    """A window (3, *size) from the middle of ``light``, whose content is moved and turned about the window's middle."""
    height, width = light.shape[-2:]
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), -degrees, 1.0)  # OpenCV turns anticlockwise
    turn[:, 2] += right, down
    planes = [cv2.warpAffine(plane.numpy(), turn, (width, height), flags=cv2.INTER_CUBIC) for plane in light]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    window = np.stack(planes)[:, top : top + size[0], left : left + size[1]]
    return torch.from_numpy(window.copy()).clamp(min=1e-4)


@pytest.mark.parametrize(("right", "down", "degrees"), [(7.0, -4.5, 0.0), (-11.0, 6.0, 0.4), (0.0, 0.0, -0.5)])
def test_motion_is_found_across_exposures(right: float, down: float, degrees: float) -> None:
    light = scene_light(360, 460)
    size = (300, 401)
    frames = [
        exposed(moved(light, 0, 0, 0, size), -2.0),
        exposed(moved(light, right, down, degrees, size), 0.0),
        exposed(moved(light, -right, 1.0, 0, size), 3.0),
    ]
    found, moves = align(frames, 0)
    for move, expected in zip(moves[1:], [(-right, -down, -degrees), (right, -1.0, 0.0)], strict=True):
        assert (move.right, move.down) == pytest.approx(expected[:2], abs=0.1)
        assert move.rotation == pytest.approx(expected[2], abs=0.02)
        assert move.moved
        assert move.trusted
        assert move.correlation > 0.98
    assert not moves[0].moved
    assert len({frame.shape for frame in found}) == 1
    height, width = found[0].shape[-2:]
    assert size[0] - 2 * abs(down) - 8 <= height <= size[0]
    assert size[1] - 2 * abs(right) - 8 <= width <= size[1]
    # where neither frame is clipped the light agrees; before the motion it did not
    assert difference(found) < 0.004 < 0.03 < difference(frames)


def difference(frames: list[Tensor]) -> float:
    dark, bright = srgb_to_linear(frames[0]) * 4, srgb_to_linear(frames[1])
    both = (frames[1] < 0.95) & (frames[0] > 0.05)
    return float((dark - bright)[both].abs().mean())


def test_frames_that_fit_are_left_alone() -> None:
    light = scene_light(120, 160)
    frames = [exposed(light, ev) for ev in (-3.0, 0.0, 3.0)]
    found, moves = align(frames, 1)
    assert not any(move.moved for move in moves)
    assert all(torch.equal(a, b) for a, b in zip(found, frames, strict=True))


def test_what_cannot_be_told_stays() -> None:
    frames = [torch.full((3, 64, 80), 0.0), exposed(scene_light(64, 80), 0.0), torch.full((3, 64, 80), 1.0)]
    found, moves = align(frames, 1)
    assert [move.trusted for move in moves] == [False, True, False]
    assert all(torch.equal(a, b) for a, b in zip(found, frames, strict=True))


def test_tiny_frames() -> None:
    frames = [exposed(scene_light(17, 5), ev) for ev in (-1.0, 1.0)]
    found, moves = align(frames, 0)
    assert found[1].shape == (3, 17, 5)
    assert not moves[1].moved
