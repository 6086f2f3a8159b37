"""Camera responses: the formula in float64, monotone, end points, inverse, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdr.ops.encoding import linear_to_srgb
from hdr.ops.response import Response, apply_response, invert_response

CURVES = [(0.0, 1.0), (0.7, 1.0), (0.0, 1.4), (1.5, 1.8), (5.0, 1.2)]


def by_hand(x: np.ndarray, shoulder: float, contrast: float) -> np.ndarray:
    x = x.astype(np.float64)
    x = x * (1 + shoulder) / (1 + shoulder * x)
    t = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-12) ** (1 / 2.4) - 0.055)
    return t**contrast / (t**contrast + (1 - t) ** contrast)


@pytest.mark.parametrize(("shoulder", "contrast"), CURVES)
def test_response_is_the_formula_monotone_between_zero_and_one(shoulder: float, contrast: float) -> None:
    linear = torch.linspace(0, 1, 3 * 67 * 31, dtype=torch.float64).reshape(1, 3, 67, 31)
    display = apply_response(linear, Response(shoulder, contrast))
    np.testing.assert_allclose(display.numpy(), by_hand(linear.numpy(), shoulder, contrast), atol=1e-9)
    flat = display.flatten()
    assert flat[0] == 0
    assert flat[-1].item() == pytest.approx(1, abs=1e-15)  # sRGB itself ends one rounding step off
    assert (flat.diff() > 0).all()


def test_the_default_is_srgb_bit_for_bit() -> None:
    linear = torch.linspace(0, 1, 999).reshape(1, 3, 37, 9)
    assert torch.equal(apply_response(linear, Response()), linear_to_srgb(linear))


@pytest.mark.parametrize(("shoulder", "contrast"), CURVES)
def test_the_inverse_gives_the_light_back(shoulder: float, contrast: float) -> None:
    linear = torch.linspace(0, 1, 3 * 1000, dtype=torch.float64).reshape(1, 3, 10, 100)
    response = Response(shoulder, contrast)
    assert torch.allclose(invert_response(apply_response(linear, response), response), linear, atol=1e-9)


def test_a_batch_may_mix_curves() -> None:
    linear = torch.rand((5, 3, 7, 9), generator=torch.Generator().manual_seed(0))
    mixed = Response(torch.tensor([c[0] for c in CURVES]), torch.tensor([c[1] for c in CURVES]))
    display, light = apply_response(linear, mixed), invert_response(linear, mixed)
    for i, (shoulder, contrast) in enumerate(CURVES):
        assert torch.allclose(display[i], apply_response(linear[i], Response(shoulder, contrast)), atol=1e-6)
        assert torch.allclose(light[i], invert_response(linear[i], Response(shoulder, contrast)), atol=1e-6)


@pytest.mark.parametrize("function", [apply_response, invert_response])
def test_gradients(function: object) -> None:
    x = torch.linspace(0.02, 0.97, 12, dtype=torch.float64).reshape(1, 3, 2, 2).requires_grad_()
    shoulder = torch.tensor([0.6], dtype=torch.float64, requires_grad=True)
    contrast = torch.tensor([1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, s, c: function(a, Response(s, c)), (x, shoulder, contrast))  # type: ignore[operator]


def test_gradients_are_finite_at_black_and_white() -> None:
    linear = torch.tensor([0.0, 1.0]).repeat(1, 3, 1, 1).requires_grad_()
    contrast = torch.tensor([1.4], requires_grad=True)
    apply_response(linear, Response(torch.tensor([0.5]), contrast)).sum().backward()
    assert linear.grad is not None
    assert contrast.grad is not None
    assert torch.isfinite(linear.grad).all()
    assert torch.isfinite(contrast.grad).all()
