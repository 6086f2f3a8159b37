"""Exposure and metering: what a camera decides before it records."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from hdr.ops.colour import luminance
from hdr.ops.encoding import linear_to_srgb

METER_CELLS = 64  # along the longer side
_SEARCH_EV = (-4.0, 12.0)  # about the exposure that puts the brightest cell at white
_SEARCH_STEPS = 20


def expose(linear: Tensor, ev: Tensor | float) -> Tensor:
    """Scale light by ``2**ev``.

    Args:
        linear: (N, 3, H, W) or (3, H, W), any unit; nothing is clamped.
        ev: stops, one for all or (N,).
    """
    gain = torch.exp2(torch.as_tensor(ev, dtype=linear.dtype, device=linear.device))
    return linear * (gain[:, None, None, None] if gain.ndim else gain)


def auto_exposure(
    linear: Tensor, *, darkest: float = 0.50, brightest: float = 0.61, highlights: float = 0.015
) -> Tensor:
    """The exposure that a careful photographer, or a retoucher, would give: stops (N,) for :func:`expose`.

    Highlights decide: the brightest ``highlights`` of the picture (a share of its area) just reach white. But the
    picture's mean tone (the mean of sRGB-encoded luminance, clipped at white) is kept between ``darkest`` and
    ``brightest``: where the scene's range is too large for the medium, highlights are given up (at most 12 stops of
    them), and a scene of small range is not pushed beyond what looks natural. A grey picture exposed by this rule, and
    clipped, meters at 0.

    The light is measured in cells, as in a camera (at most ``METER_CELLS`` along the longer side), so that the result
    neither hangs on single pixels nor on the picture's size. The defaults put well exposed camera pictures at about 0.

    Args:
        linear: (N, 3, H, W), any unit; negative values and NaN count as 0. Not differentiable: the result is a
            setting, not a measurement.

    Raises:
        ValueError: thresholds out of order.
    """
    if not 0.0 < darkest < brightest < 1.0 or not 0.0 <= highlights < 1.0:
        raise ValueError(
            f"wanted 0 < darkest < brightest < 1 and 0 <= highlights < 1, got {darkest}, {brightest}, {highlights}"
        )
    with torch.no_grad():
        light = torch.nan_to_num(luminance(linear).float(), nan=0.0, posinf=1e30).clamp(min=0.0)
        height, width = light.shape[-2:]
        shrink = min(METER_CELLS / max(height, width), 1.0)
        grid = (max(round(height * shrink), 1), max(round(width * shrink), 1))
        cells = adaptive_avg_pool2d(light, grid).flatten(1).clamp(min=1e-20)
        brightest_cell = cells.amax(-1)
        cells = cells / brightest_cell[:, None]
        white = -torch.quantile(cells, 1.0 - highlights, dim=-1).log2()
        low, high = _ev_of_tone(cells, darkest), _ev_of_tone(cells, brightest)
        return torch.minimum(torch.maximum(white, low), high) - brightest_cell.log2()


def mean_tone(linear: Tensor) -> Tensor:
    """Mean over the last dimension of sRGB-encoded ``linear`` clipped to [0, 1]: how bright a picture looks."""
    return linear_to_srgb(linear.clamp(0.0, 1.0)).mean(-1)


def _ev_of_tone(cells: Tensor, tone: float) -> Tensor:
    """Stops (N,) at which cells (N, M) reach a mean tone, by bisection: the mean rises with exposure."""
    low = torch.full_like(cells[:, 0], _SEARCH_EV[0])
    high = torch.full_like(low, _SEARCH_EV[1])
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        dark = mean_tone(cells * torch.exp2(middle)[:, None]) < tone
        low, high = torch.where(dark, middle, low), torch.where(dark, high, middle)
    return (low + high) / 2


def quantise(display: Tensor, bits: int = 8) -> Tensor:
    """Clamp to [0, 1] and round to the nearest of ``2**bits`` levels, as an integer file would hold the values.

    Any shape. The gradient is 0 almost everywhere.
    """
    top = float(2**bits - 1)
    return torch.round(display.clamp(0.0, 1.0) * top) / top
