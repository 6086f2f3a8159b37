from __future__ import annotations

import numpy as np
import pytest
import skimage.metrics
import torch

from hdr.ops.similarity import ssim_map, window_size

SETTINGS = {
    "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "uniform7": {},
}
WINDOWS = pytest.mark.parametrize("window", ["gaussian", "uniform7"])


def pair(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(shape, generator=generator, dtype=dtype)
    return a, (a + 0.3 * torch.rand(shape, generator=generator, dtype=dtype)) / 1.3


@WINDOWS
@pytest.mark.parametrize("peak", [1.0, 8.0])
def test_the_map_agrees_with_scikit_image_inside(window, peak) -> None:
    a, b = (peak * x for x in pair(25, 18))
    full = skimage.metrics.structural_similarity(a.numpy(), b.numpy(), data_range=peak, full=True, **SETTINGS[window])[
        1
    ]
    radius = window_size(window) // 2
    inside = full[radius:-radius, radius:-radius]
    np.testing.assert_allclose(ssim_map(a, b, window, peak), inside, atol=1e-12)
    single = ssim_map(a.float(), b.float(), window, peak)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, inside, atol=1e-5)


@WINDOWS
def test_float32_in_flat_bright_and_dark_windows(window) -> None:
    for level in (0.0, 0.5, 1.0):
        a = torch.full((1, 20, 20), level)
        assert (ssim_map(a, a, window) - 1).abs().max() < 1e-6
        # The structure term of two flat windows is 1; what remains is the luminance term.
        expected = (2 * level * (level + 0.1) + 1e-4) / (level**2 + (level + 0.1) ** 2 + 1e-4)
        assert (ssim_map(a, a + 0.1, window) - expected).abs().max() < 2e-4


@WINDOWS
def test_gradient(window) -> None:
    a, b = pair(1, 12, 13)
    assert torch.autograd.gradcheck(
        lambda x, y: ssim_map(x, y, window), (a.requires_grad_(), b.requires_grad_()), fast_mode=True
    )


@WINDOWS
def test_batch_equals_loop_and_symmetry(window) -> None:
    a, b = pair(2, 3, 15, 21)
    whole = ssim_map(a, b, window)
    assert whole.shape == (2, 3, 16 - window_size(window), 22 - window_size(window))
    torch.testing.assert_close(torch.stack([ssim_map(x, y, window) for x, y in zip(a, b, strict=True)]), whole)
    torch.testing.assert_close(ssim_map(b, a, window), whole)
    torch.testing.assert_close(ssim_map(a.mT, b.mT, window).mT, whole)


@WINDOWS
def test_the_smallest_image_is_one_window(window) -> None:
    k = window_size(window)
    a, b = pair(1, 1, k, k)
    assert ssim_map(a, b, window).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=f"at least {k}x{k}"):
        ssim_map(a[..., 1:], b[..., 1:], window)
