"""PU21 against the values that its authors' encoder gives and the formula in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hdr.ops.perceptual import PU21_PARAMETERS, PU21_RANGE, linear_to_pu21, pu21_to_linear

every_kind = pytest.mark.parametrize("kind", PU21_PARAMETERS)
LIGHT = np.geomspace(*PU21_RANGE, 2001)


def by_formula(light: np.ndarray, kind: str) -> np.ndarray:
    p = PU21_PARAMETERS[kind]
    power = light ** p[3]
    return p[6] * (((p[0] + p[1] * power) / (1 + p[2] * power)) ** p[4] - p[5])


def test_values_of_the_recommended_curve() -> None:
    light = torch.tensor([0.1, 1.0, 10.0, 100.0, 1000.0, 4000.0, 10000.0])
    published = [5.72, 36.54, 123.65, 256.38, 420.10, 527.49, 595.39]
    np.testing.assert_allclose(linear_to_pu21(light), published, atol=6e-3)


@every_kind
def test_curves_start_at_zero_and_put_100_at_the_white_of_8_bits(kind) -> None:
    """Both hold to this accuracy only if all seven published digits of all parameters are right."""
    darkest, white = linear_to_pu21(torch.tensor([0.005, 100.0], dtype=torch.float64), kind)
    assert abs(darkest.item()) < 1e-6
    assert white.item() == pytest.approx(256, abs=6)


@every_kind
def test_agrees_with_the_formula_and_is_undone(kind) -> None:
    exact, single = torch.tensor(LIGHT), torch.tensor(LIGHT, dtype=torch.float32)
    np.testing.assert_allclose(linear_to_pu21(exact, kind), by_formula(LIGHT, kind), rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(linear_to_pu21(single, kind), by_formula(LIGHT, kind), rtol=1e-6, atol=2e-4)
    np.testing.assert_allclose(pu21_to_linear(linear_to_pu21(exact, kind), kind), LIGHT, rtol=1e-10)
    np.testing.assert_allclose(pu21_to_linear(linear_to_pu21(single, kind), kind), LIGHT, rtol=1e-4)


@every_kind
def test_outside_its_range_it_rises_on_without_a_step_and_is_undone(kind) -> None:
    light = torch.tensor([-65504.0, -1.0, 0.0, 6e-8, 0.00499, 0.005, 0.00501, 1e4, 65504.0, 1e6], dtype=torch.float64)
    codes = linear_to_pu21(light, kind)
    assert (codes.diff() > 0).all()
    np.testing.assert_allclose(pu21_to_linear(codes, kind), light, rtol=1e-8, atol=1e-12)
    single = light.float()
    assert torch.isfinite(linear_to_pu21(single, kind)).all()
    beyond = torch.linspace(0, 2000, 501, dtype=torch.float64, requires_grad=True)
    back = pu21_to_linear(beyond, kind)
    assert (back.diff() > 0).all()
    (slope,) = torch.autograd.grad(back.sum(), beyond)
    assert torch.isfinite(slope).all()


@every_kind
def test_gradients_are_finite_everywhere_and_those_of_the_function(kind) -> None:
    light = torch.tensor([-3.0, 0.0, 1e-45, 6e-8, 0.005, 1.0, 1e4, 65504.0, 1e30], requires_grad=True)
    linear_to_pu21(light, kind).sum().backward()
    assert light.grad is not None
    assert torch.isfinite(light.grad).all()
    assert (light.grad[:-1] > 0).all()
    torch.testing.assert_close(light.grad[0], light.grad[4], rtol=1e-4, atol=0)  # the tangent at 0.005
    smooth = torch.tensor([-2.0, 0.001, 0.02, 3.0, 800.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: linear_to_pu21(x, kind), (smooth,))
    codes = linear_to_pu21(smooth.detach(), kind).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: pu21_to_linear(x, kind), (codes,), rtol=1e-2)


@every_kind
def test_infinite_light_has_the_documented_code_and_nan_stays(kind) -> None:
    end = {"banding": 886, "banding_glare": 745, "peaks": 422, "peaks_glare": 417}[kind]
    result = linear_to_pu21(torch.tensor([math.inf, math.nan], dtype=torch.float64), kind)
    assert result[0].item() == pytest.approx(end, abs=0.6)
    assert result[1].isnan()


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="banding_glare"):
        linear_to_pu21(torch.ones(1), "pu08")  # type: ignore[arg-type]
