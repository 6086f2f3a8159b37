"""The structural similarity map, shared by the metric and the loss."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from hdr.ops.gaussian import filter_along

Window = Literal["gaussian", "uniform7"]

_GAUSSIAN = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(6)]
_TAPS: dict[str, list[float]] = {
    "gaussian": [tap / (2 * math.fsum(_GAUSSIAN) - 1) for tap in _GAUSSIAN],
    "uniform7": [1 / 7] * 4,
}
"""Weights from the centre outwards."""


def window_size(window: Window) -> int:
    """Side length in pixels of the named window."""
    return 2 * len(_TAPS[window]) - 1


def ssim_map(a: Tensor, b: Tensor, window: Window = "gaussian", peak: float = 1.0) -> Tensor:
    """Structural similarity of every full window, per channel.

    ``a`` and ``b`` are (..., H, W) with the same shape and range 0 to ``peak`` (values outside survive); the result is
    (..., H - k + 1, W - k + 1) for a window of side k. K1 = 0.01, K2 = 0.03.

    - ``"gaussian"``: 11x11, sigma 1.5, population covariance, as in the paper (k = 11);
    - ``"uniform7"``: 7x7 box, sample covariance (49/48), the default of scikit-image (k = 7).

    Variances are differences of moments: in float32 the error of a flat bright window is about 1e-4, so that the metric
    calls this in float64. Raises ValueError if the image is smaller than the window.

    Source: Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Processing 13(4), 2004, equation 13.
    """
    side = window_size(window)
    if min(a.shape[-2:]) < side:
        raise ValueError(f"SSIM needs images of at least {side}x{side} pixels, found {tuple(a.shape[-2:])}")
    # The moments are taken about mid-range, where the cancellation in float32 is smallest.
    a, b = a - peak / 2, b - peak / 2
    moments = torch.stack([a, b, a * a, b * b, a * b])
    for dim in (-1, -2):
        moments = filter_along(moments, dim, _TAPS[window])
    mean_a, mean_b, aa, bb, ab = moments
    unbiased = 49 / 48 if window == "uniform7" else 1.0
    variances = unbiased * (aa - mean_a * mean_a + bb - mean_b * mean_b)
    covariance = unbiased * (ab - mean_a * mean_b)
    mean_a, mean_b = mean_a + peak / 2, mean_b + peak / 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return numerator / ((mean_a * mean_a + mean_b * mean_b + c1) * (variances + c2))
