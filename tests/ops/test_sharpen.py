"""The Gaussian against scipy, and unsharp masking against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.gaussian import gaussian_blur
from hdr.ops.sharpen import unsharp_mask


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """scipy calls half-sample symmetry "reflect"."""
    widths = (0,) * (values.ndim - 2) + (sigma, sigma)
    return scipy.ndimage.gaussian_filter(values, widths, mode="reflect", radius=math.ceil(4 * sigma))


@pytest.mark.parametrize("sigma", [0.25, 1.0, 3.7, 11.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (3, 5), (33, 40)])
def test_gaussian_agrees_with_scipy_at_any_size(size: tuple[int, int], sigma: float) -> None:
    image = picture(2, 3, *size) * 100 - 3
    result = gaussian_blur(image, sigma)
    np.testing.assert_allclose(result, blurred(image.numpy(), sigma), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.mean(dim=(2, 3)), image.mean(dim=(2, 3)))
    torch.testing.assert_close(result[1, 2], gaussian_blur(image[1, 2], sigma))


def test_gaussian_has_gradients_keeps_flat_pictures_and_spreads_nan_to_its_reach() -> None:
    assert torch.autograd.gradcheck(lambda x: gaussian_blur(x, 1.3), (picture(1, 2, 3, 4).requires_grad_(),))
    for value in (0.0, 6e-8, 65504.0, -65504.0):
        flat = torch.full((1, 1, 9, 7), value)
        torch.testing.assert_close(gaussian_blur(flat, 2.0), flat, rtol=1e-6, atol=0)
    image = picture(1, 1, 21, 25)
    image[0, 0, 10, 12] = torch.nan
    assert gaussian_blur(image, 1.0).isnan().sum() == 9 * 9
    with pytest.raises(ValueError, match="sigma 0"):
        gaussian_blur(image, 0.0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 12)])
def test_unsharp_mask_is_its_formula_in_both_domains(size: tuple[int, int]) -> None:
    display = picture(2, 3, *size)
    amounts = torch.tensor([0.7, -0.4], dtype=torch.float64)
    expected = display.numpy() + amounts.view(2, 1, 1, 1).numpy() * (display.numpy() - blurred(display.numpy(), 1.4))
    np.testing.assert_allclose(unsharp_mask(display, amounts, 1.4), expected, atol=1e-13)
    light = srgb_to_linear(display)
    mask = light - torch.from_numpy(blurred(light.numpy(), 1.4))
    expected_light = linear_to_srgb(light + 0.7 * mask)
    torch.testing.assert_close(unsharp_mask(display, 0.7, 1.4, "linear"), expected_light, rtol=1e-11, atol=1e-11)


def test_unsharp_mask_overshoots_at_edges_without_a_clamp_and_leaves_flat_parts() -> None:
    edge = torch.zeros(1, 3, 20, 40)
    edge[..., 20:] = 1.0
    result = unsharp_mask(edge, 1.0, 1.0)
    assert result.min() < -0.2
    assert result.max() > 1.2
    torch.testing.assert_close(result[..., :15], edge[..., :15], rtol=0, atol=1e-6)
    assert unsharp_mask(edge * 65504, 1.0, 1.0).max() > 70000
    torch.testing.assert_close(unsharp_mask(edge, 0.0, 1.0), edge, rtol=0, atol=0)


def test_unsharp_mask_in_light_restores_most_of_a_small_blur() -> None:
    fine = gaussian_blur(picture(1, 3, 40, 40, seed=3), 1.0)
    soft = linear_to_srgb(gaussian_blur(fine, 0.7))
    restored = srgb_to_linear(unsharp_mask(soft, 1.0, 0.7, "linear"))
    before, after = (srgb_to_linear(soft) - fine).square().mean(), (restored - fine).square().mean()
    assert after < 0.3 * before


def test_unsharp_mask_has_gradients_in_picture_and_amount_and_refuses_unknown_domains() -> None:
    for domain in ("display", "linear"):
        arguments = (picture(2, 3, 3, 4).requires_grad_(), torch.tensor([0.5, 1.5]).double().requires_grad_())
        assert torch.autograd.gradcheck(lambda x, a, d=domain: unsharp_mask(x, a, 0.8, d), arguments)
    batch = picture(3, 3, 5, 7)
    torch.testing.assert_close(unsharp_mask(batch), torch.cat([unsharp_mask(item[None]) for item in batch]))
    with pytest.raises(ValueError, match="'log'"):
        unsharp_mask(batch, domain="log")  # type: ignore[arg-type]
