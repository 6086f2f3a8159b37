"""Exposure merging: formulas written out in float64, OpenCV, noise statistics, pixels without valid values."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.ops import merge
from hdr.ops.crf import inverse_curves
from hdr.ops.encoding import linear_to_srgb
from hdr.ops.merge import merge_exposures

TIMES = torch.tensor([0.25, 1.0, 4.0])


def bracket(n: int = 2, height: int = 5, width: int = 7, dtype: torch.dtype = torch.float32) -> Tensor:
    """Clipped frames of random radiance of 9 stops about 0.25; each sees some of it."""
    generator = torch.Generator().manual_seed(4)
    radiance = 2.0 ** (torch.rand(n, 1, 3, height, width, generator=generator, dtype=dtype) * 9 - 6.5)
    return (radiance * TIMES.to(dtype)[:, None, None, None]).clamp(max=1.0)


def one_pixel(values: list[float], times: list[float], weights: str, domain: str, black: float, white: float) -> float:
    """The formulas of the papers, one number after another."""
    top = bottom = 0.0
    for z, t in zip(values, times, strict=True):
        if not black <= z <= white or (domain == "log" and z <= 0):
            continue
        if weights == "hat":
            w = 2 * z if z <= 0.5 else 2 * (1 - z)
        else:
            w = (math.exp(-4 * (z - 0.5) ** 2 / 0.5**2) - math.exp(-4)) / (1 - math.exp(-4))
        top += w * (math.log(z) - math.log(t)) if domain == "log" else w * t * z
        bottom += w if domain == "log" else w * t * t
    if bottom == 0:
        unsaturated = [(t, z) for z, t in zip(values, times, strict=True) if z <= white]
        t, z = max(unsaturated) if unsaturated else min(zip(times, values, strict=True))
        return z / t
    return math.exp(top / bottom) if domain == "log" else top / bottom


@pytest.mark.parametrize("domain", ["linear", "log"])
@pytest.mark.parametrize("weights", ["hat", "gaussian"])
def test_against_the_formulas(weights: Any, domain: Any) -> None:
    stack = bracket(dtype=torch.float64)
    found = merge_exposures(stack, TIMES, weights=weights, domain=domain, black=0.02, white=0.95)
    for index in np.ndindex(*found.shape):
        values = [float(stack[index[0], k, *index[1:]]) for k in range(3)]
        expected = one_pixel(values, TIMES.tolist(), weights, domain, 0.02, 0.95)
        assert float(found[index]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("domain", ["linear", "log"])
@pytest.mark.parametrize("weights", ["hat", "gaussian", "noise"])
def test_frames_without_noise_give_the_radiance_back(weights: Any, domain: Any) -> None:
    radiance = 2.0 ** torch.linspace(-8, 1.9, 105).reshape(1, 3, 5, 7)  # all below the saturation of the shortest
    frames = (radiance[:, None] * TIMES[:, None, None, None]).clamp(max=1.0)
    noise = (1e-4, 1e-6) if weights == "noise" else None
    merged = merge_exposures(frames, TIMES, weights=weights, domain=domain, noise=noise)
    torch.testing.assert_close(merged, radiance, rtol=1e-5, atol=0)


def by_opencv(method: Any, stack: Tensor) -> np.ndarray:
    """Merged (3, H, W) from frames (K, 3, H, W) of whole numbers to 255; its response for 0 has a logarithm."""
    images = [np.ascontiguousarray(frame.permute(1, 2, 0).numpy().astype(np.uint8)) for frame in stack]
    response = (np.arange(256).clip(1) / 255).astype(np.float32).reshape(256, 1, 1).repeat(3, 2)
    return method.process(images, TIMES.numpy(), response).transpose(2, 0, 1)


def test_gaussian_weights_in_linear_light_are_opencvs_robertson() -> None:
    stack = torch.round(linear_to_srgb(bracket(1, 33, 47))[0] * 255)
    expected = by_opencv(cv2.createMergeRobertson(), stack)
    found = merge_exposures(stack[None] / 255, TIMES, weights="gaussian", white=1.0)[0].numpy()
    weighted = ((stack > 0) & (stack < 255)).any(0).numpy()  # elsewhere OpenCV gives 0
    assert weighted.mean() > 0.9
    np.testing.assert_allclose(found[weighted], expected[weighted], rtol=2e-5)


def test_hat_weights_on_logarithms_are_opencvs_debevec() -> None:
    # grey: OpenCV weights all channels alike, with their mean weight
    stack = torch.round(linear_to_srgb(bracket(1, 33, 47))[0, :, :1] * 255).expand(-1, 3, -1, -1)
    expected = by_opencv(cv2.createMergeDebevec(), stack)
    found = merge_exposures(stack[None] / 255, TIMES, domain="log", white=1.0)[0].numpy()
    weighted = ((stack > 0) & (stack < 255)).any(0).numpy()
    np.testing.assert_allclose(found[weighted], expected[weighted], rtol=2e-5)


def test_display_frames_are_decoded_by_their_inverse_curve() -> None:
    light = bracket(dtype=torch.float64)
    grid = torch.linspace(0, 1, 1024, dtype=torch.float64)
    forward = torch.stack([grid**0.45, grid**0.6, 2 * grid / (1 + grid)])[None]
    inverse = inverse_curves(forward, 4096)
    display = torch.stack([light[:, :, 0] ** 0.45, light[:, :, 1] ** 0.6, 2 * light[:, :, 2] / (1 + light[:, :, 2])], 2)
    found = merge_exposures(display, TIMES, inverse=inverse)
    truth = merge_exposures(light, TIMES)  # other weights, the same light wherever something is valid
    valid = ((display <= 0.98) & (light <= 0.98)).any(1)
    assert float((found / truth - 1)[valid].abs().max()) < 5e-3


def test_noise_weights_are_unbiased_and_nearly_as_good_as_the_bound() -> None:
    shot, read, count = 2e-3, 4e-4, 20000
    generator = torch.Generator().manual_seed(1)
    for radiance in (0.004, 0.03, 0.2):
        light = (radiance * TIMES).double()
        deviation = (shot * light + read).sqrt()
        stack = light + deviation * torch.randn(count, 3, generator=generator, dtype=torch.float64)
        stack = stack[:, :, None, None, None]
        found = merge_exposures(stack, TIMES, weights="noise", noise=(shot, read), black=-1.0, white=1.0).flatten()
        bound = float((TIMES.double() / deviation).square().sum().rsqrt())  # inverse variance with the true weights
        assert abs(float(found.mean()) - radiance) < 4 * bound / count**0.5
        assert float(found.std()) < 1.02 * bound
    classic = merge_exposures(stack, TIMES, weights="hat", domain="log", white=1.0).flatten()
    assert float(classic.std()) > 1.2 * float(found.std())


@pytest.mark.parametrize("weights", ["hat", "gaussian", "noise"])
def test_pixels_without_a_valid_value(weights: Any) -> None:
    cases = {
        (1.0, 1.0, 1.0): 1.0 / 0.25,  # saturated everywhere: at least what the shortest holds
        (0.0, 0.01, 0.015): 0.015 / 4,  # too dark everywhere: the longest
        (0.01, 0.99, 1.0): 0.01 / 0.25,  # a gap between the frames: the longest that is not saturated
        (math.nan, 1.0, 0.01): 0.01 / 4,
        (math.nan, 0.5, 1.0): 0.5,
        (math.nan, 0.96, 1.0): 0.96,
        (1.0, math.nan, 0.99): 1.0 / 0.25,
        (0.2, 0.5, math.inf): None,
    }
    stack = torch.tensor(list(cases), dtype=torch.float64)[..., None, None, None].requires_grad_()
    noise = (1e-3, 1e-5) if weights == "noise" else None
    found = merge_exposures(stack, TIMES, weights=weights, noise=noise, black=0.02, white=0.95)
    found.sum().backward()
    assert stack.grad is not None
    assert torch.isfinite(stack.grad).all()
    for value, expected in zip(found.flatten().tolist(), cases.values(), strict=True):
        if expected is None:
            assert 0.5 < value < 0.8  # between what the two valid frames say
        else:
            assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("domain", ["linear", "log"])
@pytest.mark.parametrize("weights", ["hat", "gaussian"])
def test_gradients(weights: Any, domain: Any) -> None:
    stack = torch.tensor([[0.08, 0.33, 0.91], [0.04, 0.15, 0.52]], dtype=torch.float64)[..., None, None, None]
    stack = stack.requires_grad_()
    inverse = (torch.linspace(0, 1, 9, dtype=torch.float64) ** 2)[None, None].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s, c: merge_exposures(s, TIMES, inverse=c, weights=weights, domain=domain), (stack, inverse)
    )


def test_each_item_has_its_own_times_and_order_does_not_matter() -> None:
    stack, times = bracket(), torch.stack([TIMES, TIMES * torch.tensor([2.0, 1.0, 0.5])])
    noise = (torch.tensor([1e-3, 2e-3, 4e-3]), torch.tensor([[1e-6], [1e-5], [1e-5]]))
    together = merge_exposures(stack, times, weights="noise", noise=noise)
    for i in range(2):
        alone = merge_exposures(stack[i : i + 1], times[i], weights="noise", noise=noise)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-6, atol=0)
    turned = merge_exposures(stack.flip(1), times.flip(1), weights="noise", noise=(noise[0], noise[1].flip(0)))
    torch.testing.assert_close(turned, together, rtol=1e-5, atol=0)


def test_the_scale_is_light_per_time() -> None:
    stack = bracket()
    torch.testing.assert_close(merge_exposures(stack, TIMES * 10), merge_exposures(stack, TIMES) / 10)


def test_wrong_calls_are_refused() -> None:
    stack = bracket()
    for times in (TIMES[:2], TIMES[None].expand(3, 3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="wanted a stack"):
            merge_exposures(stack, times)
    with pytest.raises(ValueError, match="times must be above 0"):
        merge_exposures(stack, TIMES - 1)
    with pytest.raises(ValueError, match="black < white"):
        merge_exposures(stack, TIMES, black=1.0)
    for options in ({"weights": "noise"}, {"noise": (1e-3, 1e-6)}):
        with pytest.raises(ValueError, match="go together"):
            merge_exposures(stack, TIMES, **options)
    for wrong in ({"weights": "triangle"}, {"domain": "display"}):
        with pytest.raises(ValueError, match="wanted one of hat, gaussian, noise and one of linear, log"):
            merge_exposures(stack, TIMES, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"weights": "noise", "noise": (1e-3, 1e-6), "domain": "log"}])
def test_rows_are_merged_apart_without_a_trace(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stack = bracket()
    whole = merge_exposures(stack, TIMES, **options)
    monkeypatch.setattr(merge, "_VALUES_AT_ONCE", stack[..., :1, :].numel() * 2)
    assert torch.equal(merge_exposures(stack, TIMES, **options), whole)
