"""Per-image metrics of display images: PSNR, SSIM, CIEDE2000 and the change of exposure.

All take two (N, 3, H, W) tensors (any channel count where no colour is involved) and give (N,) float64 without
gradient. They compute in float64, strip by strip of rows: beside two images of 24 megapixels they need some ten
megabytes. None of them clamps or rounds: that is `round_8bit`, by the caller.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hdr.ops.colour import delta_e_2000, display_to_lab, luminance
from hdr.ops.encoding import srgb_to_linear
from hdr.ops.similarity import Window, ssim_map, window_size

_SMALLEST_MSE = 1e-10
"""Relative to peak squared; caps PSNR at 100 dB."""

_STRIP_PIXELS = 2**17
"""Per strip, over the batch; of the size of a CPU's cache, which is also the fastest."""

_FIRST_CODE = 1 / 255 / 12.92
"""Linear light of the first 8-bit sRGB code above black."""


@torch.no_grad()
def psnr(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio in dB: 10 log10(peak^2 / MSE) with the MSE jointly over all channels and pixels.

    ``a`` and ``b`` are (N, C, H, W); result (N,). At most 100: identical images give 100 instead of infinity, so that
    means and intervals over a data set exist.
    """
    total = _sum_over_strips(a, b, lambda x, y: (x - y).square())
    error = total / a.shape[1:].numel()
    return 10 * torch.log10(peak**2 / error.clamp(min=_SMALLEST_MSE * peak**2))


@torch.no_grad()
def ssim(a: Tensor, b: Tensor, window: Window = "gaussian", peak: float = 1.0) -> Tensor:
    """Mean structural similarity over channels and full windows: (N, C, H, W) twice gives (N,).

    ``"gaussian"`` is the 11x11 window of the paper (scikit-image: ``gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False``), ``"uniform7"`` the default of scikit-image. Raises ValueError if an image is smaller
    than the window.

    Source: Wang et al., IEEE Trans. Image Processing 13(4), 2004; see `hdr.ops.similarity.ssim_map`.
    """
    halo = window_size(window) - 1
    total = _sum_over_strips(a, b, lambda x, y: ssim_map(x, y, window, peak), halo)
    count = a.shape[1] * (a.shape[2] - halo) * (a.shape[3] - halo)
    return total / count


@torch.no_grad()
def delta_e(a: Tensor, b: Tensor) -> Tensor:
    """Mean CIEDE2000 colour difference over pixels, of two display images (N, 3, H, W); result (N,).

    Source: see `hdr.ops.colour.delta_e_2000`.
    """
    total = _sum_over_strips(a, b, lambda x, y: delta_e_2000(display_to_lab(x), display_to_lab(y)))
    return total / (a.shape[2] * a.shape[3])


@torch.no_grad()
def mean_ev_change(before: Tensor, after: Tensor) -> Tensor:
    """Change of exposure in EV (stops) from ``before`` to ``after``, display images (N, 3, H, W); result (N,).

    The difference of the log2 of their log-average luminances, exp(mean(ln(Y + d))), with d the linear light of the
    first 8-bit sRGB code, so that black pixels neither dominate nor fail. Positive means brighter.

    Source of the log-average: Reinhard, Stark, Shirley and Ferwerda, ACM SIGGRAPH 2002, equation 1.
    """
    total = _sum_over_strips(before, after, lambda x, y: _log2_luminance(y) - _log2_luminance(x))
    return total / (before.shape[2] * before.shape[3])


def _log2_luminance(display: Tensor) -> Tensor:
    return torch.log2(luminance(srgb_to_linear(display)) + _FIRST_CODE)


def _sum_over_strips(a: Tensor, b: Tensor, function: Callable[[Tensor, Tensor], Tensor], halo: int = 0) -> Tensor:
    """Sum of ``function(strip of a, strip of b)`` per image; the strips are float64 and overlap by ``halo`` rows."""
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"expected two tensors of one shape (N, C, H, W), found {tuple(a.shape)} and {tuple(b.shape)}")
    if not (a.is_floating_point() and b.is_floating_point()):
        raise ValueError(f"expected floating-point images, found {a.dtype} and {b.dtype}")
    rows = max(16, _STRIP_PIXELS // (a.shape[0] * a.shape[3]))
    if a.device.type != "cpu":
        rows *= 64  # few launches matter more than the cache
    total = torch.zeros(a.shape[0], dtype=torch.float64, device=a.device)
    for top in range(0, max(a.shape[2] - halo, 1), rows):
        strip = slice(top, top + rows + halo)
        total += function(a[:, :, strip].double(), b[:, :, strip].double()).sum(dim=(1, 2, 3))
    return total
