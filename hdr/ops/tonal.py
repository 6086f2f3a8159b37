"""Classical tone corrections and per-image oracles on display images: what a learned method must beat, and its ceiling.

All take (N, 3, H, W) display images in [0, 1] and treat each image of the batch on its own. The oracles see the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from hdr.ops.colour import luma
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear

GainDomain = Literal["display", "linear"]

_LEVELS = 255 * 16
"""Every 8-bit code is a level of its own, with fifteen more between two codes."""

_GRID_STEPS_PER_EV = 32
_GRID_EV = 8


def auto_levels(display: Tensor, low: float = 0.005, high: float = 0.995) -> Tensor:
    """Stretch each channel so that its ``low`` and ``high`` quantiles become 0 and 1; clamps to [0, 1].

    Quantiles interpolate linearly between order statistics, as numpy's. A channel whose two quantiles are equal stays
    as it is.

    Source: Limare, Lisani, Morel, Petro and Sbert, Simplest Color Balance, Image Processing On Line 1, 2011.
    """
    flat = display.flatten(2)
    black, white = _quantile(flat, low)[..., None], _quantile(flat, high)[..., None]
    spread = white > black
    stretched = ((display - black) / torch.where(spread, white - black, 1)).clamp(0, 1)
    return torch.where(spread, stretched, display)


def _quantile(flat: Tensor, q: float) -> Tensor:
    """(N, C, P) -> (N, C, 1). `torch.quantile` sorts, and refuses more than 16 million elements."""
    position = q * (flat.shape[-1] - 1)
    below = int(position)
    above = min(below + 1, flat.shape[-1] - 1)
    low, high = (flat.kthvalue(k + 1, dim=-1, keepdim=True).values for k in (below, above))
    return torch.lerp(low, high, position - below)


def gamma_to_mean(display: Tensor, target_mean: float) -> Tensor:
    """``display ** gamma`` with the gamma per image that brings its mean luma to ``target_mean``.

    Bisection over gamma in [1/64, 64]; an image that cannot reach the target (black, white, or mostly so) ends at the
    bound. Differs from the target by less than 1e-5 otherwise.

    Source: power-law correction, Gonzalez and Woods, Digital Image Processing, section 3.2. Luma: `hdr.ops.colour`.
    """
    low = torch.full_like(display[:, :1, :1, :1], -6)
    high = torch.full_like(low, 6)
    for _ in range(24):
        middle = (low + high) / 2
        too_bright = luma(display ** middle.exp2()).mean(dim=(1, 2, 3), keepdim=True) > target_mean
        low, high = torch.where(too_bright, middle, low), torch.where(too_bright, high, middle)
    return display ** ((low + high) / 2).exp2()


def clahe(display: Tensor, clip_limit: float = 2.0, tiles: int = 8) -> Tensor:
    """Contrast-limited adaptive histogram equalisation of the lightness L*, with a* and b* kept; clamps to [0, 1].

    L* has 8 bits while its histograms are taken, over ``tiles`` x ``tiles`` regions; a bin holds at most ``clip_limit``
    times the mean bin. No gradient.

    Source: Zuiderveld, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994.
    """
    import cv2
    import kornia
    import numpy as np

    equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles))
    # Kornia converts: OpenCV interpolates tables, which moves display values by up to 0.005 there and back.
    lab = kornia.color.rgb_to_lab(display.detach())
    for lightness in lab[:, 0]:
        codes = (lightness * 2.55).round().clamp(0, 255).byte().cpu().numpy()
        lightness.copy_(torch.from_numpy(equaliser.apply(codes).astype(np.float32) / 2.55))
    return kornia.color.lab_to_rgb(lab, clip=True)


def apply_gain(display: Tensor, gain: Tensor | float, domain: GainDomain = "display") -> Tensor:
    """Multiply display values (``"display"``), or the linear light behind them (``"linear"``: exposure), by ``gain``.

    ``gain`` is a number or (N,). Nothing is clamped: a gain above 1 gives values above 1.
    """
    factor = gain.view(-1, 1, 1, 1) if isinstance(gain, Tensor) else gain
    return _tone(display, factor, domain)


def _tone(display: Tensor, gain: Tensor | float, domain: GainDomain) -> Tensor:
    return display * gain if domain == "display" else linear_to_srgb(srgb_to_linear(display) * gain)


def best_gain(display: Tensor, target: Tensor, domain: GainDomain = "display") -> Tensor:
    """Oracle: the gain per image with the least squared error against ``target`` after clipping to [0, 1]; (N,).

    One gain for all pixels and channels. The error is searched over 16 EV, first on a grid (clipping makes it
    non-convex), then by refinement to 1e-4 EV. A gain of 1 where none is better, as on a black image.
    """
    gains = []
    for item, wanted in zip(display, target, strict=True):
        error = _gain_error(item, wanted, domain)
        ev = _ev_grid(display.device)
        errors = error(ev)
        best = ev[errors.argmin()] if errors.min() < errors[len(ev) // 2] else torch.zeros_like(ev[0])
        if best != 0:
            for step in (1 / _GRID_STEPS_PER_EV, 1 / _GRID_STEPS_PER_EV / 32):
                ev = best + torch.linspace(-step, step, 65, dtype=torch.float64, device=display.device)
                best = ev[error(ev).argmin()]
        gains.append(best.exp2())
    return torch.stack(gains).to(display.dtype)


def best_constant_gain(pairs: Iterable[tuple[Tensor, Tensor]], domain: GainDomain = "display") -> float:
    """The one gain for a whole training set that has the highest mean PSNR after clipping to [0, 1].

    ``pairs`` gives (display, target) batches and is read once; what is kept of an image is its PSNR at each of the
    gains in the search, 16 EV in steps of 1/32 EV. PSNR has its cap of 100 dB, as in the metric. Raises ValueError if
    there is no pair.
    """
    total, count = torch.zeros(2 * _GRID_EV * _GRID_STEPS_PER_EV + 1, dtype=torch.float64), 0
    for display, target in pairs:
        for item, wanted in zip(display, target, strict=True):
            error = _gain_error(item, wanted, domain)(_ev_grid(display.device)) / item.numel()
            total -= 10 * torch.log10(error.clamp(min=1e-10)).cpu()
            count += 1
    if count == 0:
        raise ValueError("expected at least one pair of images to choose a constant gain from")
    return float(_ev_grid(total.device)[total.argmax()].exp2())


def _ev_grid(device: torch.device) -> Tensor:
    steps = _GRID_EV * _GRID_STEPS_PER_EV
    return torch.arange(-steps, steps + 1, dtype=torch.float64, device=device) / _GRID_STEPS_PER_EV


def _gain_error(display: Tensor, target: Tensor, domain: GainDomain) -> Callable[[Tensor], Tensor]:
    """The squared error of one image as a function of EV values, from sums per input level instead of the pixels.

    With n pixels of level x, and T and S the sums of their targets and squared targets, a curve f costs
    n f(x)^2 - 2 f(x) T + S: any number of gains can be tried after one pass over the image.
    """
    level = (display.flatten().clamp(0, 1) * _LEVELS).round().long()
    wanted = target.flatten().double()
    counts = torch.bincount(level, minlength=_LEVELS + 1).double()
    sums = torch.bincount(level, wanted, minlength=_LEVELS + 1)
    squares = wanted.square().sum()
    used = counts.nonzero()[:, 0]
    counts, sums, values = counts[used], sums[used], used.double() / _LEVELS

    def error(ev: Tensor) -> Tensor:
        result = _tone(values, ev.exp2()[:, None], domain).clamp(0, 1)
        return (counts * result.square() - 2 * result * sums).sum(dim=1) + squares

    return error


def best_affine(display: Tensor, target: Tensor) -> Tensor:
    """Oracle: the 3x4 colour matrix per image with the least squared error against ``target``; (N, 3, 4).

    Fitted without clipping, so that clipping the result can only lower the error further. Where the image does not
    determine the matrix (greys), the one of least norm. Use `apply_affine`.
    """
    gram = display.new_zeros((display.shape[0], 4, 4), dtype=torch.float64)
    moments = display.new_zeros((display.shape[0], 4, 3), dtype=torch.float64)
    for top in range(0, display.shape[2], 64):
        source = display[:, :, top : top + 64].flatten(2).double()
        source = torch.cat([source, torch.ones_like(source[:, :1])], dim=1)
        gram += source @ source.mT
        moments += source @ target[:, :, top : top + 64].flatten(2).double().mT
    # 4x4 systems, on the CPU since only its solver copes with a singular one.
    solution = torch.linalg.lstsq(gram.cpu(), moments.cpu(), rcond=1e-12, driver="gelsd").solution
    return solution.mT.to(display)


def apply_affine(display: Tensor, matrix: Tensor) -> Tensor:
    """``matrix`` (N, 3, 4), offset last, times each pixel of (N, 3, H, W). Nothing is clamped."""
    return torch.einsum("nij,njhw->nihw", matrix[..., :3], display) + matrix[..., 3, None, None]
