"""Tone curves against scipy's PCHIP."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from hdr.ops import curves
from hdr.ops.curves import tone_curve

# The points of "Adobe Color", in 8-bit codes.
ADOBE_X = torch.tensor([0.0, 22, 40, 127, 224, 240, 255], dtype=torch.float64) / 255
ADOBE_Y = torch.tensor([0.0, 16, 35, 127, 230, 246, 255], dtype=torch.float64) / 255


def points(*shape: int, seed: int = 0, rising: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand((2, *shape), generator=generator, dtype=torch.float64) + 0.05
    return x.cumsum(-1) - 0.5, y.cumsum(-1) if rising else y


def picture(*shape: int, low: float = -0.5, high: float = 4.0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64) * (high - low) + low


def extended(x: np.ndarray, y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """scipy's curve, with its end slopes continued as straight lines."""
    curve = PchipInterpolator(x, y)
    slope = curve.derivative()
    inside = curve(np.clip(values, x[0], x[-1]))
    return inside + slope(x[0]) * np.minimum(values - x[0], 0) + slope(x[-1]) * np.maximum(values - x[-1], 0)


@pytest.mark.parametrize("count", [2, 3, 4, 9])
@pytest.mark.parametrize("rising", [True, False])
def test_one_curve_for_all_agrees_with_scipy(count: int, rising: bool) -> None:
    x, y = points(count, seed=count, rising=rising)
    values = picture(2, 3, 7, 9)
    expected = extended(x.numpy(), y.numpy(), values.numpy())
    np.testing.assert_allclose(tone_curve(values, x, y), expected, rtol=1e-11, atol=1e-12)
    single = tone_curve(values.float(), x.float(), y.float())
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("per_channel", [True, False])
def test_one_curve_per_picture_or_channel_agrees_with_scipy(per_channel: bool) -> None:
    x, y = points(2, 3, 6, rising=False) if per_channel else points(2, 6, rising=False)
    values = picture(2, 3, 5, 4)
    result = tone_curve(values, x, y)
    for n in range(2):
        for c in range(3):
            index = (n, c) if per_channel else (n,)
            expected = extended(x[index].numpy(), y[index].numpy(), values[n, c].numpy())
            np.testing.assert_allclose(result[n, c], expected, rtol=1e-11, atol=1e-12)


def test_a_curve_goes_through_its_points_and_the_diagonal_is_the_identity() -> None:
    at_points = ADOBE_X.expand(1, 3, 1, 7)
    torch.testing.assert_close(tone_curve(at_points, ADOBE_X, ADOBE_Y)[0, 0, 0], ADOBE_Y)
    values = torch.tensor([-65504.0, -0.3, -0.0, 0.0, 1e-45, 6e-8, 0.3, 1.0, 8.0, 65504.0]).expand(1, 1, 1, 10)
    for count in (2, 5):
        diagonal = torch.linspace(0, 1, count)
        torch.testing.assert_close(tone_curve(values, diagonal, diagonal), values, rtol=1e-6, atol=1e-45)


@given(
    steps=st.lists(st.floats(1e-3, 1.0), min_size=2, max_size=8),
    rises=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8),
)
def test_rising_points_make_a_rising_curve_that_stays_between_them(steps: list[float], rises: list[float]) -> None:
    x = torch.tensor(steps, dtype=torch.float64).cumsum(0)
    y = torch.tensor(rises[: len(steps)], dtype=torch.float64).cumsum(0)
    values = torch.linspace(float(x[0]), float(x[-1]), 301, dtype=torch.float64)
    result = tone_curve(values[None, None, None], x, y).flatten()
    assert result.diff().min() >= -1e-12
    piece = torch.searchsorted(x, values, right=True).clamp(1, len(x) - 1)
    assert (result >= y[piece - 1] - 1e-12).all()
    assert (result <= y[piece] + 1e-12).all()


def test_gradients_are_those_of_the_function_in_values_and_points() -> None:
    x, y = points(2, 3, 5, rising=False)
    arguments = [picture(2, 3, 3, 4), x, y]
    assert torch.autograd.gradcheck(tone_curve, [argument.clone().requires_grad_() for argument in arguments])
    # Values on points, as black and white are.
    on_points = ADOBE_X.view(1, 1, 1, 7)
    assert torch.autograd.gradcheck(tone_curve, [t.clone().requires_grad_() for t in (on_points, ADOBE_X, ADOBE_Y)])
    line = torch.linspace(0, 1, 4, requires_grad=True)
    values = torch.linspace(0, 1, 4).view(1, 1, 1, 4).requires_grad_()
    (slope,) = torch.autograd.grad(tone_curve(values, line, line).sum(), values)
    torch.testing.assert_close(slope, torch.ones_like(slope))


def test_gradients_are_finite_where_points_are_equally_high_and_at_extremes() -> None:
    values = torch.tensor([0.0, -0.0, 6e-8, 0.25, 0.3, 0.5, 1.0, 65504.0, -65504.0]).expand(1, 1, 1, 9).clone()
    for heights in ([0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.5, 1.0], [0.0, 1.0, 0.0, 1.0, 0.0]):
        arguments = [values.clone(), torch.linspace(0, 1, 5), torch.tensor(heights)]
        arguments = [argument.requires_grad_() for argument in arguments]
        result = tone_curve(*arguments)
        result.sum().backward()
        assert torch.isfinite(result).all()
        assert all(torch.isfinite(argument.grad).all() for argument in arguments)


def test_batch_equals_loop_and_nan_stays_in_its_pixel() -> None:
    x, y = points(3, 6)
    values = picture(3, 3, 5, 7)
    single = torch.cat([tone_curve(values[n : n + 1], x[n], y[n]) for n in range(3)])
    torch.testing.assert_close(tone_curve(values, x, y), single)
    values[1, 2, 3, 4] = torch.nan
    values[0, 0, 0, 0] = torch.inf
    result = tone_curve(values, x, y)
    assert result.isnan().nonzero().tolist() == [[1, 2, 3, 4]]
    assert result[0, 0, 0, 0] > 1e300
    flat_end = tone_curve(values, torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 1.0, 1.0]))
    assert flat_end[0, 0, 0, 0] == 1.0


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([0.0, 1.0], [0.0, 0.5, 1.0], "control points are"),
        ([[0.0, 1.0]] * 5, [[0.0, 1.0]] * 5, "control points are"),
        ([0.5], [0.5], "two or more"),
        ([0.0, 0.5, 0.5], [0.0, 0.5, 1.0], "ascending"),
        ([0.0, float("nan")], [0.0, 1.0], "ascending"),
    ],
)
def test_user_mistakes_are_named(x, y, message) -> None:
    with pytest.raises(ValueError, match=message):
        tone_curve(picture(2, 3, 4, 4), torch.tensor(x), torch.tensor(y))


def test_parts_of_a_picture_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values, (x, y) = picture(2, 3, 7, 11), points(2, 3, 5)
    whole = tone_curve(values, x, y)
    monkeypatch.setattr(curves, "_VALUES_AT_ONCE", 60)
    assert torch.equal(tone_curve(values, x, y), whole)
