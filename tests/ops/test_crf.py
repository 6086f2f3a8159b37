"""Response curves as tables: numpy.interp, exact inverses, flat runs, projections against their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hdr.ops.crf import SAMPLES, apply_curve, inverse_curves, invert_curve, monotone_projection

MODES: list[Any] = ["isotonic", "softplus", "shift"]


def rising(n: int, c: int, samples: int = SAMPLES, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Random strictly rising curves from 0 to 1 with slopes from 0.2 to about 3."""
    steps = torch.rand(n, c, samples - 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    curves = torch.nn.functional.pad(steps.cumsum(-1), (1, 0))
    return (curves / curves[..., -1:]).to(dtype)


def wandering(n: int, samples: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random rows that rise on the whole, with falls, jumps and ends off 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, samples, generator=generator, dtype=dtype)
    return torch.linspace(-0.1, 1.1, samples, dtype=dtype) + 0.3 * noise.cumsum(-1) / samples**0.5 + 0.03 * noise


def values(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(7)) * 1.4 - 0.2


# looking up ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("curves_n", "curves_c"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_lookup_is_linear_interpolation(curves_n: int, curves_c: int) -> None:
    pixels, curves = values(2, 3, 5, 7), rising(curves_n, curves_c)
    found = apply_curve(pixels, curves)
    rows = curves.expand(2, 3, -1).double().numpy()
    for n, c in np.ndindex(2, 3):
        expected = np.interp(pixels[n, c].double().numpy(), np.linspace(0, 1, SAMPLES), rows[n, c])
        np.testing.assert_allclose(found[n, c].numpy(), expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("function", [apply_curve, invert_curve])
@pytest.mark.parametrize("outside", ["clamp", "extend"])
def test_values_outside(function: Any, outside: Any) -> None:
    line = torch.tensor([[[0.0, 0.4, 1.0]]], dtype=torch.float64)
    pixels = torch.tensor([-0.5, -0.0, 1.0, 1.5, math.inf, math.nan], dtype=torch.float64).view(1, 1, 1, 6)
    first, last = (0.8, 1.2) if function is apply_curve else (1 / 0.8, 1 / 1.2)
    expected = [0, 0, 1, 1, 1, math.nan] if outside == "clamp" else [-first / 2, 0, 1, 1 + last / 2, math.inf, math.nan]
    found = function(pixels, line, outside=outside).flatten()
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)


def test_black_and_white_are_exact() -> None:
    ends = torch.tensor([0.0, 1.0]).expand(1, 3, 4, 2)
    for curves in (rising(1, 3), rising(1, 1, samples=2), rising(1, 1, samples=777)):
        assert torch.equal(apply_curve(ends, curves), ends)
        assert torch.equal(invert_curve(ends, curves), ends)


# inverting -----------------------------------------------------------------------------------------------------------


def test_the_inverse_is_exact() -> None:
    pixels, curves = values(2, 3, 33, 31).clamp(0, 1).double(), rising(2, 3, dtype=torch.float64)
    torch.testing.assert_close(invert_curve(apply_curve(pixels, curves), curves), pixels, rtol=0, atol=1e-14)
    torch.testing.assert_close(apply_curve(invert_curve(pixels, curves), curves), pixels, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("curves_n", "curves_c"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_the_inverse_swaps_the_axes(curves_n: int, curves_c: int) -> None:
    pixels, curves = values(2, 3, 5, 7), rising(curves_n, curves_c)
    found = invert_curve(pixels, curves)
    rows = curves.expand(2, 3, -1).double().numpy()
    for n, c in np.ndindex(2, 3):
        expected = np.interp(pixels[n, c].double().numpy(), rows[n, c], np.linspace(0, 1, SAMPLES))
        np.testing.assert_allclose(found[n, c].numpy(), expected, rtol=0, atol=1e-6)


def test_flat_runs() -> None:
    curve = torch.tensor([0, 0, 0.2, 0.5, 0.5, 0.5, 0.9, 1, 1], dtype=torch.float64)[None, None]
    display = torch.tensor([0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.9, 0.95, 1], dtype=torch.float64).view(1, 1, 3, 3)
    expected = torch.tensor([0, 1.5, 2, 2 + 1 / 3, 4, 5.25, 6, 6.5, 8], dtype=torch.float64).view(1, 1, 3, 3) / 8
    torch.testing.assert_close(invert_curve(display, curve), expected)
    beyond = torch.tensor([-0.3, 1.3], dtype=torch.float64).view(1, 1, 1, 2)
    torch.testing.assert_close(invert_curve(beyond, curve, outside="extend").flatten().tolist(), [0.0, 1.0])
    pixels = display.clone().requires_grad_()
    invert_curve(pixels, curve).sum().backward()
    assert pixels.grad is not None
    assert torch.isfinite(pixels.grad).all()


def test_curves_that_decrease_have_no_inverse() -> None:
    with pytest.raises(ValueError, match="decreases somewhere"):
        invert_curve(values(1, 1, 2, 2), torch.tensor([[[0.0, 0.6, 0.5, 1.0]]]))


def test_sampled_inverse_of_a_power() -> None:
    grid = torch.linspace(0, 1, SAMPLES, dtype=torch.float64)
    found = inverse_curves(torch.stack([grid**2, grid]).view(2, 1, SAMPLES))
    assert found.shape == (2, 1, SAMPLES)
    torch.testing.assert_close(found[0, 0], grid.sqrt(), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1, 0], grid, rtol=0, atol=1e-15)
    assert inverse_curves(grid**2, 33).shape == (33,)


# both ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [apply_curve, invert_curve])
@pytest.mark.parametrize("outside", ["clamp", "extend"])
def test_gradients_of_pixels_and_curves(function: Any, outside: Any) -> None:
    pixels = (values(2, 2, 3, 3).double() * 0.9 + 0.013).requires_grad_()
    for shape in ((1, 1), (2, 2)):
        curves = rising(*shape, samples=8, dtype=torch.float64).requires_grad_()
        assert torch.autograd.gradcheck(lambda p, c: function(p, c, outside=outside), (pixels, curves))


@pytest.mark.parametrize("function", [apply_curve, invert_curve])
def test_a_batch_is_its_items(function: Any) -> None:
    pixels, curves = values(3, 3, 5, 7), rising(3, 3)
    together = function(pixels, curves)
    for i in range(3):
        assert torch.equal(together[i : i + 1], function(pixels[i : i + 1], curves[i : i + 1]))


@pytest.mark.parametrize("function", [apply_curve, invert_curve])
def test_curves_that_do_not_match_are_refused(function: Any) -> None:
    for shape in ((3, 1), (1, 2)):
        with pytest.raises(ValueError, match="want curves"):
            function(values(2, 3, 4, 4), rising(*shape))
    with pytest.raises(ValueError, match="want curves"):
        function(values(2, 3, 4, 4), rising(1, 1)[0])


# monotone projections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@given(rows=st.lists(st.lists(st.floats(-2, 3, width=32), min_size=5, max_size=5), min_size=1, max_size=4))
def test_projections_are_monotone_with_ends_0_and_1(mode: Any, rows: list[list[float]]) -> None:
    found = monotone_projection(torch.tensor(rows), mode)
    assert found.shape == (len(rows), 5)
    assert torch.isfinite(found).all()
    assert (found.diff(dim=-1) >= 0).all()
    assert (found[:, 0] == 0).all()
    assert (found[:, -1] == 1).all()


@pytest.mark.parametrize("mode", ["isotonic", "shift"])
def test_monotone_curves_stay(mode: Any) -> None:
    curves = rising(2, 3)
    torch.testing.assert_close(monotone_projection(curves, mode), curves, rtol=0, atol=1e-6)
    flat = torch.tensor([0, 0, 0.25, 0.25, 0.75, 1, 1], dtype=torch.float64)
    torch.testing.assert_close(monotone_projection(flat, mode), flat, rtol=0, atol=1e-15)


def test_softplus_hardly_moves_steep_curves_and_lifts_flat_ones() -> None:
    grid = torch.linspace(0, 1, SAMPLES, dtype=torch.float64)
    steep = 0.8 * grid + 0.2 * grid**2
    torch.testing.assert_close(monotone_projection(steep, "softplus"), steep, rtol=0, atol=1e-7)
    step = (grid > 0.5).double()
    slopes = monotone_projection(step, "softplus").diff() * (SAMPLES - 1)
    assert float(slopes.min()) == pytest.approx(math.log(2) / 20, rel=0.05)


def test_shift_is_singlehdrs_formula() -> None:
    rows = wandering(5, 101)
    found = monotone_projection(rows, "shift").numpy()
    for row, result in zip(rows.numpy(), found, strict=True):
        steps = np.diff(row)
        steps = steps + max(-steps.min(), 0)
        expected = np.concatenate([[0], np.cumsum(steps / steps.sum())])
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-14)


def test_isotonic_is_the_minimax_formula() -> None:
    """Isotonic regression is max over a <= i of min over b >= i of the mean of y[a..b] (Barlow et al. 1972)."""
    rows = wandering(4, 41)
    found = monotone_projection(rows).numpy()
    for row, result in zip(rows.numpy(), found, strict=True):
        inner = row[1:-1]
        count = len(inner)
        expected = [
            max(min(inner[a : b + 1].mean() for b in range(i, count)) for a in range(i + 1)) for i in range(count)
        ]
        np.testing.assert_allclose(result[1:-1], np.clip(expected, 0, 1), rtol=0, atol=1e-14)


@given(st.integers(0, 2**31))
def test_isotonic_never_leads_away_from_a_response(seed: int) -> None:
    rows, truth = wandering(1, 64, seed)[0], rising(1, 1, 64, torch.float64, seed)[0, 0]
    assert (monotone_projection(rows) - truth).norm() <= (rows - truth).norm() + 1e-12


def test_one_bad_sample_bends_a_shifted_curve_but_not_an_isotonic_one() -> None:
    grid = torch.linspace(0, 1, SAMPLES, dtype=torch.float64)
    curve, spoilt = grid**2.2, grid**2.2
    spoilt[500] += 0.01
    assert float((monotone_projection(spoilt, "shift") - curve).abs().max()) > 0.2
    assert float((monotone_projection(spoilt, "isotonic") - curve).abs().max()) < 0.01


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_projections(mode: Any) -> None:
    rows = wandering(3, 15).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: monotone_projection(r, mode), (rows,))


def test_isotonic_gradients_reach_every_sample_inside() -> None:
    """The mean of a pool depends on all of it, where the shift passes what it adds through a single sample."""
    rows = (torch.linspace(0.2, 0.8, 64, dtype=torch.float64) + 0.02 * wandering(1, 64)[0]).requires_grad_()
    weights = torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (monotone_projection(rows) * weights).sum().backward()
    assert rows.grad is not None
    assert bool((rows.grad[1:-1] != 0).all())


def test_degenerate_rows() -> None:
    falling = torch.linspace(1, 0, 9, dtype=torch.float64)
    torch.testing.assert_close(monotone_projection(falling, "shift"), torch.linspace(0, 1, 9, dtype=torch.float64))
    for mode in MODES:
        assert monotone_projection(torch.tensor([0.3, 0.1]), mode).tolist() == [0.0, 1.0]
        rows = torch.stack([falling, falling])
        rows[0, 4] = math.nan
        spoilt, sound = monotone_projection(rows, mode)
        assert spoilt.isnan().any()
        assert torch.isfinite(sound).all()


def test_unknown_names_are_refused() -> None:
    curve, pixels = torch.linspace(0, 1, 5).expand(1, 1, 5), torch.rand(1, 3, 4, 4)
    for function in (apply_curve, invert_curve):
        with pytest.raises(ValueError, match="'mirror': wanted one of clamp, extend"):
            function(pixels, curve, outside="mirror")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'relu': wanted one of isotonic, softplus, shift"):
        monotone_projection(curve, "relu")  # type: ignore[arg-type]
