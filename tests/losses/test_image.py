from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import skimage.color
import skimage.metrics
import torch

from hdr.losses.image import (
    charbonnier,
    cosine_colour,
    delta_e_loss,
    edge_aware_smoothness,
    forward_differences,
    masked_mean,
    reconstruction,
    reconstruction_by_illumination,
    ssim_loss,
)


def images(count: int = 2, shape: tuple[int, ...] = (2, 3, 13, 17), seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_masked_mean_divides_by_the_valid_elements() -> None:
    value, weight = images()
    mask = images(1, (2, 1, 13, 17), seed=3)[0] > 0.7
    valid = mask.expand_as(value).numpy()
    assert masked_mean(value, mask).item() == pytest.approx(value.numpy()[valid].mean(), rel=1e-12)
    expected = np.average(value.numpy(), weights=weight.numpy())
    assert masked_mean(value, weight).item() == pytest.approx(expected, rel=1e-12)
    assert masked_mean(value, torch.ones_like(value)).item() == pytest.approx(value.mean().item(), rel=1e-12)


def test_masked_mean_ignores_what_is_masked_and_survives_an_empty_mask() -> None:
    value = torch.tensor([1.0, float("nan"), 3.0, float("inf")], requires_grad=True)
    result = masked_mean(value, torch.tensor([True, False, True, False]))
    result.backward()
    assert result.item() == 2.0
    assert value.grad is not None
    assert value.grad.tolist() == [0.5, 0.0, 0.5, 0.0]
    assert masked_mean(value, torch.zeros(4, dtype=torch.bool)).item() == 0.0


def test_both_reconstructions_written_out() -> None:
    display, target, result = images(3)
    light = images(1, (2, 1, 13, 17), seed=5)[0]
    i, t, r, s = (x.numpy() for x in (display, target, result, light))
    assert reconstruction(result, target).item() == pytest.approx(np.mean((t - r) ** 2), rel=1e-12)
    expected = np.mean((i - s * t) ** 2)
    assert reconstruction_by_illumination(display, light, target).item() == pytest.approx(expected, rel=1e-12)
    # The two differ by S^2 per pixel.
    half = torch.full_like(light, 0.5)
    assert reconstruction_by_illumination(display, half, target).item() == pytest.approx(
        0.25 * reconstruction(display / half, target).item(), rel=1e-12
    )


def test_charbonnier_written_out() -> None:
    a, b = images()
    expected = np.sqrt((a.numpy() - b.numpy()) ** 2 + 0.01**2).mean()
    assert charbonnier(a, b, epsilon=0.01).item() == pytest.approx(expected, rel=1e-12)
    assert charbonnier(a, a).item() == pytest.approx(1e-3, rel=1e-9)


def test_cosine_colour_written_out() -> None:
    result, target = images()
    total = 0.0
    for n, y, x in product(range(2), range(13), range(17)):
        r, t = result[n, :, y, x].numpy(), target[n, :, y, x].numpy()
        total += 1 - r @ t / (np.linalg.norm(r) * np.linalg.norm(t))
    assert cosine_colour(result, target).item() == pytest.approx(total / (2 * 13 * 17), rel=1e-9)


def test_cosine_colour_ignores_brightness_and_counts_black_as_one() -> None:
    target = images(1)[0] + 0.1
    assert cosine_colour(3 * target, target).item() == pytest.approx(0, abs=1e-12)
    black = torch.zeros_like(target)
    assert cosine_colour(black, target).item() == cosine_colour(black, black).item() == 1.0


def smoothness_written_out(field, guide, exponent, scale, eps, cap, per_channel) -> float:
    batch, channels, height, width = field.shape
    total = 0.0
    for n, c, y, x in product(range(batch), range(channels), range(height - 1), range(width - 1)):

        def log_guide(row: int, column: int, n: int = n, c: int = c) -> float:
            r, g, b = guide[n, :, row, column]
            return math.log((guide[n, c, row, column] if per_channel else 0.2989 * r + 0.587 * g + 0.114 * b) + eps)

        for row, column in ((y, x + 1), (y + 1, x)):
            weight = scale / (abs(log_guide(row, column) - log_guide(y, x)) ** exponent + eps)
            total += min(weight, cap) * (field[n, c, row, column] - field[n, c, y, x]) ** 2
    return total / (batch * channels * (height - 1) * (width - 1))


@pytest.mark.parametrize("size", [(5, 7), (2, 2), (8, 3)])
@pytest.mark.parametrize(
    ("exponent", "scale", "eps", "cap", "per_channel"),
    [(1.2, 1.5, 1e-4, None, False), (1.2, 1.5, 1e-4, None, True), (1.0, 1.0, 1e-3, 3.0, False)],
)
def test_smoothness_written_out(size, exponent, scale, eps, cap, per_channel) -> None:
    field, guide = images(2, (2, 3, *size))
    guide[0, :, 0, 0] = 0
    expected = smoothness_written_out(
        field.numpy(), guide.numpy(), exponent, scale, eps, math.inf if cap is None else cap, per_channel
    )
    result = edge_aware_smoothness(field, guide, exponent, scale, eps, cap, per_channel)
    assert result.item() == pytest.approx(expected, rel=1e-9)


def test_smoothness_spares_edges_of_the_guide() -> None:
    step = torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 0.8
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert edge_aware_smoothness(step, step) < 1e-4 * edge_aware_smoothness(step, flat)
    # A flat guide has the weight scale / eps everywhere: 7 of the 49 differences to the right are 0.8.
    assert edge_aware_smoothness(step, flat, scale=1.5).item() == pytest.approx(15000 * 0.64 / 7, rel=1e-5)
    assert edge_aware_smoothness(step[:, :1], flat, cap=2.0).item() == pytest.approx(2 * 0.64 / 7, rel=1e-5)


def test_smoothness_refuses_a_line_and_leaves_the_guide_without_gradient() -> None:
    field, guide = images(2, (1, 3, 1, 9))
    with pytest.raises(ValueError, match="at least 2x2"):
        edge_aware_smoothness(field, guide)
    field, guide = (x.requires_grad_() for x in images(2, (1, 3, 4, 5)))
    edge_aware_smoothness(field, guide).backward()
    assert guide.grad is None
    assert field.grad is not None


def test_forward_differences_written_out() -> None:
    (field,) = images(1, (2, 1, 4, 6))
    dx, dy = forward_differences(field)
    np.testing.assert_array_equal(dx, np.diff(field.numpy(), axis=3)[:, :, :-1])
    np.testing.assert_array_equal(dy, np.diff(field.numpy(), axis=2)[..., :-1])


def test_ssim_loss_agrees_with_scikit_image() -> None:
    a, b = images()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        1 - skimage.metrics.structural_similarity(x.numpy(), y.numpy(), data_range=1, channel_axis=0, **settings)
        for x, y in zip(a, b, strict=True)
    ]
    assert ssim_loss(a, b).item() == pytest.approx(np.mean(expected), rel=1e-9)
    assert ssim_loss(a.float(), b.float()).item() == pytest.approx(np.mean(expected), abs=1e-5)
    assert ssim_loss(a, a).item() == pytest.approx(0, abs=1e-12)


def test_delta_e_loss_agrees_with_scikit_image() -> None:
    a, b = images()
    labs = [skimage.color.rgb2lab(x.numpy(), channel_axis=1) for x in (a, b)]
    expected = skimage.color.deltaE_ciede2000(*labs, channel_axis=1).mean()
    # Its matrix and white have other decimals (see the colour tests): about 0.01 in Lab.
    assert delta_e_loss(a, b).item() == pytest.approx(expected, abs=0.01)
    assert delta_e_loss(a, a).item() == 0.0


LOSSES = [
    reconstruction,
    lambda a, b: reconstruction_by_illumination(a, a, b),
    charbonnier,
    cosine_colour,
    edge_aware_smoothness,
    lambda a, b: edge_aware_smoothness(a, b, per_channel=True),
    ssim_loss,
    lambda a, b: ssim_loss(a, b, "uniform7"),
    delta_e_loss,
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("first", [0.0, 0.5, 1.0, None])
@pytest.mark.parametrize("second", [0.0, 0.5, 1.0, None])
def test_values_and_gradients_are_finite_on_black_grey_white_and_noise(loss, first, second) -> None:
    a, b = (x.float() for x in images(2, (2, 3, 11, 15)))
    a = (a if first is None else torch.full_like(a, first)).requires_grad_()
    b = b if second is None else torch.full_like(b, second)
    value = loss(a, b)
    value.backward()
    assert value.ndim == 0
    assert torch.isfinite(value)
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_the_function(loss) -> None:
    a, b = images(2, (1, 3, 11, 11), seed=7)
    assert torch.autograd.gradcheck(lambda x: loss(x, b), (a.requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("loss", LOSSES)
def test_batch_is_the_mean_over_items(loss) -> None:
    a, b = images(2, (3, 3, 12, 11), seed=8)
    single = [loss(x[None], y[None]) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(loss(a, b), torch.stack(single).mean(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_results_are_judged_in_single(loss) -> None:
    a, b = (x.float() for x in images(2, seed=9))
    value = loss(a.bfloat16(), b)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(a.bfloat16().float(), b), rtol=1e-6, atol=1e-7)
