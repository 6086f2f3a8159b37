from __future__ import annotations

import kornia
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.ops.encoding import linear_to_srgb, srgb_to_linear


def decode_exactly(value: float) -> float:
    """The formula of IEC 61966-2-1, in Python floats."""
    if value < 0:
        return -decode_exactly(-value)
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def encode_exactly(value: float) -> float:
    if value < 0:
        return -encode_exactly(-value)
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


VALUES = [-12.5, -1.0, -0.5, -0.04045, -0.003, -1e-9, 0.0, 1e-9, 0.002, 0.0031308, 0.00314, 0.04, 0.04045, 0.0405, 0.2]
VALUES += [0.5, 0.735357, 1.0, 1.0001, 3.0, 65504.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_follow_the_standard_formula(dtype: torch.dtype) -> None:
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-14}[dtype]
    values = torch.tensor(VALUES, dtype=dtype)
    decoded, encoded = srgb_to_linear(values), linear_to_srgb(values)
    assert decoded.dtype == encoded.dtype == dtype
    np.testing.assert_allclose(decoded, [decode_exactly(v) for v in VALUES], rtol=tolerance, atol=1e-12)
    np.testing.assert_allclose(encoded, [encode_exactly(v) for v in VALUES], rtol=tolerance, atol=1e-12)


def test_every_8_bit_code_survives_the_round_trip() -> None:
    codes = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal((linear_to_srgb(srgb_to_linear(codes)) * 255).round(), torch.arange(256.0))


def test_agrees_with_kornia_from_zero_to_far_above_one() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 5, 7, generator=generator, dtype=torch.float64) * 20
    torch.testing.assert_close(srgb_to_linear(image), kornia.color.rgb_to_linear_rgb(image), rtol=1e-12, atol=0)
    torch.testing.assert_close(linear_to_srgb(image), kornia.color.linear_rgb_to_rgb(image), rtol=1e-12, atol=0)


@given(st.floats(-1e4, 1e4))
def test_odd_monotone_and_inverse(value: float) -> None:
    x = torch.tensor([value, -value, np.nextafter(value, 1e5) + 1e-9], dtype=torch.float64)
    for there, back in ((srgb_to_linear, linear_to_srgb), (linear_to_srgb, srgb_to_linear)):
        y = there(x)
        assert y[0] == -y[1]
        # The two pieces as published meet with a step of 1e-8; away from it the curve rises.
        assert y[2] > y[0] - 2e-8
        assert back(y)[0].item() == pytest.approx(value, rel=1e-9, abs=3e-8)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_gradient_is_finite_everywhere_and_right_off_the_joint(function) -> None:
    x = torch.tensor(VALUES, dtype=torch.float32, requires_grad=True)
    function(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert (x.grad > 0).all()
    smooth = torch.tensor([-2.0, -0.2, -0.001, 0.0, 0.001, 0.2, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (smooth,))


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_non_finite_values_stay_what_they_are(function) -> None:
    result = function(torch.tensor([float("nan"), float("inf"), -float("inf")]))
    assert result[0].isnan()
    assert result[1] == float("inf")
    assert result[2] == -float("inf")
