"""OKLab, and the ways back from L*a*b* and XYZ."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from hdr.ops.colour import (
    display_to_lab,
    lab_to_display,
    lab_to_xyz,
    linear_to_oklab,
    linear_to_xyz,
    oklab_to_linear,
    xyz_to_lab,
    xyz_to_linear,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

EXTREMES = [0.0, -0.0, 1e-45, 6e-8, 1e-5, 0.008856, 1.0, 65504.0, -6e-8, -0.3, -65504.0]


def light(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 4 - 0.1


def channels_last(image: torch.Tensor) -> np.ndarray:
    return image.movedim(-3, -1).numpy()


def test_oklab_has_the_published_values() -> None:
    """The table of XYZ and OKLab pairs that Ottosson prints with the definition."""
    xyz = torch.tensor([[0.950, 1.0, 1.089], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], dtype=torch.float64)
    expected = [[1.0, 0.0, 0.0], [0.450, 1.236, -0.019], [0.922, -0.671, 0.263], [0.153, -1.415, -0.449]]
    oklab = linear_to_oklab(xyz_to_linear(xyz.T[None, :, None]))[0, :, 0].T
    np.testing.assert_allclose(oklab, expected, atol=1.5e-3)


def test_oklab_agrees_with_colour_science() -> None:
    linear = light(2, 3, 5, 7)
    expected = colour.XYZ_to_Oklab(channels_last(linear_to_xyz(linear)))
    # There from XYZ, with a matrix of seven digits; here from sRGB, whose matrix to XYZ has four.
    np.testing.assert_allclose(channels_last(linear_to_oklab(linear)), expected, atol=3e-4)


def test_oklab_of_greys_has_no_chroma_and_the_cube_root_as_lightness() -> None:
    greys = torch.tensor([0.0, 0.18, 1.0, 8.0], dtype=torch.float64)
    oklab = linear_to_oklab(greys.expand(3, 1, 4))
    np.testing.assert_allclose(oklab[0, 0], greys ** (1 / 3), atol=1e-7)
    assert oklab[1:].abs().max() < 1e-7


def test_lab_to_xyz_agrees_with_colour_science() -> None:
    lab = xyz_to_lab(linear_to_xyz(light(2, 3, 6, 5)))
    white = colour.XYZ_to_xy(np.array([0.9505, 1.0, 1.0890]))
    np.testing.assert_allclose(channels_last(lab_to_xyz(lab)), colour.Lab_to_XYZ(channels_last(lab), white), atol=1e-12)


ROUND_TRIPS = [
    (linear_to_oklab, oklab_to_linear),
    (linear_to_xyz, xyz_to_linear),
    (xyz_to_lab, lab_to_xyz),
    (display_to_lab, lab_to_display),
]


@pytest.mark.parametrize(("there", "back"), ROUND_TRIPS)
def test_ways_back_undo_the_ways_there(there, back) -> None:
    values = light(2, 3, 5, 7)
    torch.testing.assert_close(back(there(values)), values, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(back(there(values.float())), values.float(), rtol=1e-5, atol=3e-5)
    single = torch.stack([back(there(item)) for item in values])
    # Powers of whole vectors and of what is left over at their end may differ in the last digit.
    torch.testing.assert_close(back(there(values)), single, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("there", "back"), ROUND_TRIPS)
def test_extremes_survive_with_finite_gradients(there, back) -> None:
    grid = torch.cartesian_prod(*[torch.tensor(EXTREMES)] * 3).T[None, :, None].clone().requires_grad_()
    result = back(there(grid))
    result.sum().backward()
    assert grid.grad is not None
    assert torch.isfinite(result).all()
    assert torch.isfinite(grid.grad).all()
    # Beside a channel of 65504 what is left of the others is rounding; greys of that size survive.
    moderate = grid.detach().double()[..., (grid.abs() <= 1).all(dim=1).flatten()]
    torch.testing.assert_close(back(there(moderate)), moderate, rtol=1e-9, atol=1e-12)
    bright = torch.full((1, 3, 1, 1), 65504.0)
    torch.testing.assert_close(back(there(bright)), bright, rtol=1e-4, atol=0)


@pytest.mark.parametrize("function", [function for pair in ROUND_TRIPS for function in pair])
def test_gradients_are_those_of_the_function_and_nan_stays_in_its_pixel(function) -> None:
    values = light(3, 2, 3, seed=2) + 0.11
    assert torch.autograd.gradcheck(function, (values.requires_grad_(),))
    broken = light(1, 3, 4, 5)
    broken[0, 1, 2, 3] = torch.nan
    assert function(broken).isnan().any(dim=1).sum() == 1
