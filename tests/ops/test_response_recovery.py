"""Recovering a response from a bracket: the paper's dense system in float64, OpenCV, known responses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.ops import response_recovery
from hdr.ops.response_recovery import recover_inverse_curves

TIMES = torch.tensor([0.25, 1.0, 4.0])


def bracket(n: int, height: int, width: int, exponent: float = 0.45) -> Tensor:
    """8-bit frames (n, 3, 3, H, W) through a power law."""
    generator = torch.Generator().manual_seed(0)
    radiance = 2.0 ** (torch.rand(n, 1, 3, height, width, generator=generator) * 9 - 6)
    light = (radiance * TIMES[:, None, None, None]).clamp(max=1.0)
    return (light**exponent * 255).round() / 255


def dense(levels: np.ndarray, times: np.ndarray, smoothness: float) -> np.ndarray:
    """g of Debevec and Malik, with one row per pixel and frame; levels (P, K)."""
    pixels, frames = levels.shape
    hat = np.minimum(np.arange(256), 255 - np.arange(256)).astype(float)
    rows = np.zeros((pixels * frames + 255, 256 + pixels))
    right = np.zeros(len(rows))
    for row, (i, k) in enumerate(np.ndindex(pixels, frames)):
        w = hat[levels[i, k]]
        rows[row, levels[i, k]], rows[row, 256 + i], right[row] = w, -w, w * np.log(times[k])
    rows[pixels * frames, 128] = 1
    for i in range(254):
        rows[pixels * frames + 1 + i, i : i + 3] = smoothness * hat[i + 1] * np.array([1, -2, 1])
    return np.linalg.lstsq(rows, right, rcond=None)[0][:256]


def test_it_is_the_dense_least_squares_solution() -> None:
    stack = bracket(1, 10, 10)  # 100 pixels, to which the smoothness refers
    found = recover_inverse_curves(stack, TIMES, smoothness=50.0)[0].numpy()
    for channel in range(3):
        levels = (stack[0, :, channel] * 255).round().long().flatten(1).T.numpy()
        g = dense(levels, TIMES.numpy(), 50.0)
        if (np.diff(g) > 0).all():
            np.testing.assert_allclose(found[channel, 1:], np.exp(g - g[255])[1:], rtol=1e-5)
    assert (np.diff(found) >= 0).all()
    assert (found[:, [0, 255]] == [0, 1]).all()


def test_opencv_finds_the_same_where_there_are_data() -> None:
    stack = bracket(1, 10, 10)
    images = [np.ascontiguousarray((frame.permute(1, 2, 0) * 255).round().byte().numpy()) for frame in stack[0]]
    expected = cv2.createCalibrateDebevec(samples=100, lambda_=10.0).process(images, TIMES.numpy())[:, 0].T
    found = recover_inverse_curves(stack, TIMES)[0].numpy()
    ratio = (found / found[:, 128:129]) / (expected / expected[:, 128:129])
    # OpenCV solves the dense system in float32, whose rounding is a few per cent where few pixels are
    assert np.median(np.abs(ratio[:, 20:251] - 1)) < 0.005
    np.testing.assert_allclose(ratio[:, 20:251], 1, rtol=0, atol=0.03)


@pytest.mark.parametrize("exponent", [1.0, 0.45, 0.35])
def test_a_known_response_is_found(exponent: float) -> None:
    found = recover_inverse_curves(bracket(1, 61, 83, exponent), TIMES)[0]
    truth = torch.linspace(0, 1, 256) ** (1 / exponent)
    assert float((found - truth).abs().max()) < 0.02


def test_the_size_of_the_picture_does_not_matter() -> None:
    stack = bracket(1, 12, 17)
    larger = stack.repeat(1, 1, 1, 3, 2)
    torch.testing.assert_close(recover_inverse_curves(larger, TIMES), recover_inverse_curves(stack, TIMES))


def test_pixels_count_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = bracket(2, 12, 17)
    whole = recover_inverse_curves(stack, TIMES)
    monkeypatch.setattr(response_recovery, "_PIXELS_AT_ONCE", 50)
    torch.testing.assert_close(recover_inverse_curves(stack, TIMES), whole)


def test_a_batch_is_its_items_with_times_of_their_own() -> None:
    stack, times = bracket(2, 15, 11), torch.stack([TIMES, TIMES**1.1])
    together = recover_inverse_curves(stack, times)
    assert together.shape == (2, 3, 256)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], recover_inverse_curves(stack[i : i + 1], times[i]))


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 frames"):
        recover_inverse_curves(bracket(1, 4, 4)[:, :1], TIMES[:1])
    with pytest.raises(ValueError, match="wanted pictures"):
        recover_inverse_curves(bracket(1, 4, 4), TIMES[:2])
    with pytest.raises(ValueError, match="above 0"):
        recover_inverse_curves(bracket(1, 4, 4), TIMES - 0.25)
