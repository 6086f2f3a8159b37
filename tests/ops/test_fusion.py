from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.io import read_image
from hdr.ops import fusion
from hdr.ops.encoding import linear_to_srgb
from hdr.ops.fusion import PRESETS, Weighting, exposure_fusion, fusion_weights, normalised_weights

MEAN = Weighting(contrast=0.0, saturation=0.0)


def _noise(n: int, k: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, k, 3, height, width, generator=torch.Generator().manual_seed(seed))


def _bracket(seed: int, size: tuple[int, int] = (150, 201)) -> torch.Tensor:
    """Five 8-bit exposures, two stops apart, of light with the spectrum of natural scenes over about 18 stops.

    A little noise comes on top, as in photographs, and no place is clipped in all of them: the weights would be
    rounding noise there, in OpenCV too.
    """
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])
    frequency = (rows.square() + columns.square()).sqrt().clamp(min=1 / max(size))
    texture = torch.fft.irfft2(torch.fft.rfft2(torch.randn(4, *size, generator=generator)) / frequency, s=size)
    stops = texture[:1] + 0.3 * texture[1:]
    light = 0.18 * 2.0 ** (2 * (stops - stops.mean()) / stops.std())
    exposures = light * 2.0 ** torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])[:, None, None, None]
    exposures = exposures + 0.004 * torch.randn(exposures.shape, generator=generator)
    return (linear_to_srgb(exposures.clamp(0, 1)) * 255).round()[None] / 255


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 7), (33, 17), (64, 64), (65, 97), (127, 253), (300, 300)])
def test_without_measures_fusion_is_opencvs_mean_to_the_last_bits(size: tuple[int, int]) -> None:
    stack = _noise(1, 3, *size)
    ours, theirs = exposure_fusion(stack, MEAN), exposure_fusion(stack, MEAN, backend="cv2")
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)
    torch.testing.assert_close(ours, stack.mean(dim=1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [(5, 7), (65, 97), (300, 300)])
@pytest.mark.parametrize(
    "weighting", [Weighting(), Weighting(exposure=1.0), Weighting(contrast=0.5, saturation=2.0, exposure=0.7)], ids=str
)
def test_noise_fuses_as_in_opencv(size: tuple[int, int], weighting: Weighting) -> None:
    stack = _noise(2, 4, *size)
    difference = (exposure_fusion(stack, weighting) - exposure_fusion(stack, weighting, backend="cv2")).abs()
    assert float(difference.max()) <= 1e-3
    assert float(difference.mean()) <= 1e-5


@pytest.mark.parametrize("preset", ["opencv", "paper"])
@pytest.mark.parametrize("seed", range(6))
def test_brackets_fuse_as_in_opencv(seed: int, preset: str) -> None:
    stack = _bracket(seed)
    difference = (exposure_fusion(stack, preset) - exposure_fusion(stack, preset, backend="cv2")).abs()
    assert float(difference.mean()) <= 1e-6
    assert float(difference.max()) <= 1e-4


def test_a_photographed_bracket_fuses_as_in_opencv(shared_data: Path) -> None:
    files = sorted((shared_data / "bracket-parliament").glob("*.png"))
    stack = torch.stack([read_image(path).pixels for path in files])[None]
    assert stack.shape[1] == 3
    # Single pixels differ visibly where all exposures are clipped.
    difference = (exposure_fusion(stack) - exposure_fusion(stack, backend="cv2")).abs()
    assert float(difference.mean()) <= 1e-4
    assert float((difference.amax(dim=1) > 1 / 255).float().mean()) <= 1e-3


@pytest.mark.parametrize("preset", PRESETS)
def test_equal_exposures_come_back(preset: str) -> None:
    one = _noise(2, 1, 41, 30)
    for count in (1, 3):
        fused = exposure_fusion(one.expand(-1, count, -1, -1, -1), preset)
        torch.testing.assert_close(fused, one[:, 0], rtol=0, atol=1e-6)


def test_weights_are_the_formulas_written_out() -> None:
    stack = _noise(1, 2, 6, 5).double()
    x = stack[0].numpy()
    grey = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    edge = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    laplace = edge[:, :-2, 1:-1] + edge[:, 2:, 1:-1] + edge[:, 1:-1, :-2] + edge[:, 1:-1, 2:] - 4 * grey
    saturation = np.sqrt(((x - x.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
    exposure = np.exp(-((x - 0.5) ** 2) / 0.08).prod(axis=1)
    expected = np.abs(laplace) ** 0.5 * saturation**2 * exposure**1.5 + 1e-12
    found = fusion_weights(stack, Weighting(contrast=0.5, saturation=2.0, exposure=1.5))
    np.testing.assert_allclose(found[0, :, 0].numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(
        normalised_weights(stack, Weighting(contrast=0.5, saturation=2.0, exposure=1.5))[0, :, 0].numpy(),
        expected / expected.sum(axis=0),
        rtol=1e-9,
    )


def test_additive_weights_are_the_formulas_written_out() -> None:
    stack = _noise(1, 2, 7, 9).double()
    x = stack[0].numpy()
    grey = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    high, low = x.max(axis=1), x.min(axis=1)
    lightness = (high + low) / 2
    saturation = np.where(lightness > 0.5, (high - low) / (2 - high - low), (high - low) / (high + low))
    deviation = np.empty_like(grey)
    for k, i, j in np.ndindex(grey.shape):
        deviation[k, i, j] = grey[k, max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3].std()
    expected = np.exp(-((grey - 0.5) ** 2) / 0.08) + 0.2 * saturation + 0.3 * deviation + 1e-12
    found = fusion_weights(stack, Weighting(contrast=0.3, saturation=0.2, exposure=1.0, additive=True))
    np.testing.assert_allclose(found[0, :, 0].numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_finite_on_grey_and_clipped_pixels(preset: str) -> None:
    stack = torch.zeros(1, 3, 3, 16, 16)
    stack[:, 1] = 0.5
    stack[:, 2] = 1.0
    stack[:, :, :, 8:] += 0.05 * _noise(1, 3, 8, 16)
    stack.requires_grad_()
    exposure_fusion(stack, preset).square().sum().backward()
    assert stack.grad is not None
    assert torch.isfinite(stack.grad).all()


@pytest.mark.parametrize("preset", ["robust", "enfuse"])
def test_gradients_are_right(preset: str) -> None:
    stack = _noise(1, 2, 6, 7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: exposure_fusion(x, preset), stack)


def test_clipped_exposures_share_evenly_in_robust_mode() -> None:
    white = torch.ones(1, 3, 3, 8, 8)
    white[:, 1] = 0.98
    weights = normalised_weights(white, Weighting(epsilon=1e-4))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 3))


def test_exposures_are_fused_apart_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = _noise(2, 5, 33, 46)
    whole = exposure_fusion(stack, "paper")
    monkeypatch.setattr(fusion, "_VALUES_AT_ONCE", stack[:, :2].numel())
    torch.testing.assert_close(exposure_fusion(stack, "paper"), whole, rtol=0, atol=1e-6)


def test_a_batch_is_its_items() -> None:
    stack = _noise(3, 3, 33, 40)
    for backend in ("torch", "cv2"):
        fused = exposure_fusion(stack, backend=backend)
        items = torch.cat([exposure_fusion(item[None], backend=backend) for item in stack])
        torch.testing.assert_close(fused, items, rtol=0, atol=1e-6)


def test_the_order_of_the_exposures_does_not_matter() -> None:
    stack = _noise(1, 4, 50, 61)
    torch.testing.assert_close(exposure_fusion(stack.flip(1)), exposure_fusion(stack), rtol=0, atol=2e-6)


def test_what_is_not_accepted_is_named() -> None:
    stack = _noise(1, 2, 8, 8)
    with pytest.raises(ValueError, match="'mertens'; accepted are opencv, paper, robust, enfuse"):
        exposure_fusion(stack, "mertens")
    with pytest.raises(ValueError, match=r"\(2, 3, 8, 8\)"):
        exposure_fusion(stack[0])
    with pytest.raises(ValueError, match="use backend='torch'"):
        exposure_fusion(stack, "robust", backend="cv2")
    with pytest.raises(ValueError, match="accepted are torch, cv2"):
        exposure_fusion(stack, backend="numpy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="contrast=-1"):
        Weighting(contrast=-1.0)
    with pytest.raises(ValueError, match="epsilon=0"):
        Weighting(epsilon=0.0)
