"""Histograms of a preview: of its log luminance over a pyramid of cells, what other exposures would make of it, and
the plain ones of the published baseline."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hdr.ops.colour import luminance
from hdr.ops.encoding import srgb_to_linear

DARKEST = -12.0  # stops below display white; the first step of an 8-bit sRGB picture is at -11.7
LEVELS = (4, 2, 1)  # cells along each side
CELLS = sum(side**2 for side in LEVELS)
EXPOSED = (-10.0, 4.0)  # stops about display white between which exposures are told apart
_WHITE, _BLACK = 254.5 / 255, 1.5 / 255


def log_luminance(display: Tensor) -> Tensor:
    """Stops below display white, in [-12, 0]: (N, 3, H, W) sRGB-encoded display to (N, 1, H, W)."""
    light = luminance(srgb_to_linear(display.float()))  # float: autocast has 8 bits
    return torch.log2(light.clamp(min=2.0**DARKEST, max=1.0))


def histogram_pyramid(display: Tensor, bins: int = 25) -> Tensor:
    """Shares of pixels over ``bins`` of log luminance in 4x4, 2x2 and 1x1 cells: (N, 21, bins), rows summing to 1.

    Bin centres are spread evenly from -12 to 0 stops; a pixel is divided linearly between its two neighbours. The 4x4
    cells are those of adaptive average pooling, row by row; a coarser cell is the mean of the four that it covers.

    Args:
        display: (N, 3, H, W), sRGB-encoded in [0, 1]; sides of 4 pixels and more, multiples of 4 for an ONNX export.
        bins: at least 2.
    """
    position = (log_luminance(display) / -DARKEST + 1) * (bins - 1)
    finest = [F.adaptive_avg_pool2d(F.relu(1 - (position - centre).abs()), LEVELS[0]) for centre in range(bins)]
    return _pyramid(torch.cat(finest, dim=1))


def clipped_pyramid(display: Tensor) -> Tensor:
    """Shares of pixels at both ends in the same cells: (N, 21, 2).

    White: a channel rounds to 255, so that the light there is not known. Black: no channel rounds to more than 1 of
    255, so that it is not known to a stop.
    """
    brightest = display.amax(dim=1, keepdim=True)
    ends = torch.cat([brightest >= _WHITE, brightest <= _BLACK], dim=1).to(display.dtype)
    return _pyramid(F.adaptive_avg_pool2d(ends, LEVELS[0]))


def exposed_histogram(shares: Tensor, evs: Tensor, bins: int = 29) -> Tensor:
    """Histograms that exposures at ``evs`` would have, from the preview's.

    An exposure at EV e moves log luminance by e: the mass of each bin is divided linearly between the two nearest of
    ``bins`` centres from -10 stops (black) to +4 (clipped by 4 stops); what lies beyond goes into the ends.

    Args:
        shares: (N, C, B), as from :func:`histogram_pyramid`.
        evs: (N, K), relative to the preview.
        bins: at least 2.

    Returns:
        (N, K, C, bins); what a row of ``shares`` sums to is kept.
    """
    low, high = EXPOSED
    centres = torch.linspace(DARKEST, 0.0, shares.shape[-1], device=shares.device, dtype=shares.dtype)
    targets = torch.arange(bins, device=shares.device, dtype=shares.dtype)
    position = ((centres + evs[..., None]).clamp(low, high) - low) * ((bins - 1) / (high - low))
    weights = F.relu(1 - (position[..., None] - targets).abs())  # (N, K, B, bins)
    return shares[:, None] @ weights


def channel_histogram(display: Tensor, bins: int = 100, *, legacy: bool = False) -> Tensor:
    """Histogram (N, bins) over all values of a picture (N, 3, H, W), channels together.

    Shares of values in equal bins of [0, 1]; ``legacy``: counts in equal bins between the picture's own least and
    largest value, as in the published histogram baseline (Segal's DHDRNet). There are no gradients.
    """
    with torch.no_grad():
        if legacy:
            return torch.stack([torch.histc(picture, bins) for picture in display.float()])
        values = display.float().clamp(0, 1).flatten(1)
        return torch.stack([torch.histc(row, bins, 0.0, 1.0) for row in values]) / values.shape[1]


def _pyramid(finest: Tensor) -> Tensor:
    """Cells (N, B, 4, 4) and their means over 2x2 and all of them: (N, 21, B)."""
    levels = [finest]
    for _ in LEVELS[1:]:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)
