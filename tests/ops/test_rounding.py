"""Straight-through rounding: exact values, the gradient of the identity."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.ops.camera import quantise
from hdr.ops.rounding import round_straight_through


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_values_are_rounded_exactly_with_and_without_a_gradient(numbers: list[float]) -> None:
    values = torch.tensor(numbers, dtype=torch.float32)
    assert torch.equal(round_straight_through(values), values.round())
    leaf = values.clone().requires_grad_()
    rounded = round_straight_through(leaf)
    assert torch.equal(rounded, values.round())
    (gradient,) = torch.autograd.grad((3 * rounded).sum(), leaf)
    assert torch.equal(gradient, torch.full_like(values, 3))


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_quantise_passes_gradients_inside_its_range(bits: int) -> None:
    display = torch.linspace(-0.3, 1.3, 101, dtype=torch.float64).requires_grad_()
    plain, through = quantise(display, bits), quantise(display, bits, straight_through=True)
    assert torch.equal(plain, through)
    assert torch.autograd.grad(plain.sum(), display)[0].abs().max() == 0
    inside = (display >= 0) & (display <= 1)
    assert torch.allclose(torch.autograd.grad(through.sum(), display)[0], inside.double(), rtol=1e-15)
