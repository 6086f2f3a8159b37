"""Exposure and metering: what a camera decides before it records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from hdr.ops._parameters import per_image
from hdr.ops.colour import luminance
from hdr.ops.encoding import linear_to_srgb
from hdr.ops.rounding import round_straight_through

METER_CELLS = 64  # along the longer side
KEY = 0.18  # mid grey
_DARK = 1e-6  # far below noise where 1.0 is white, and below starlight in cd/m2
_TARGETS = {"log_average": KEY, "percentile": 1.0}
_SEARCH_EV = (-4.0, 12.0)  # about the exposure that puts the brightest cell at white
_SEARCH_STEPS = 20


def expose(linear: Tensor, ev: Tensor | float) -> Tensor:
    """Scale light by ``2**ev``.

    Args:
        linear: (N, 3, H, W) or (3, H, W), any unit; nothing is clamped.
        ev: stops, one for all, (N,), or (N, 1, 1, 1).
    """
    return linear * torch.exp2(per_image(ev, linear))


def white_balance(linear: Tensor, gains: Tensor | Sequence[float]) -> Tensor:
    """Multiply red, green and blue by ``gains``; nothing is clamped, so that saturated channels end at their gain.

    Args:
        linear: (N, 3, H, W) or (3, H, W), RGB of the camera or of any other space.
        gains: (3,) for all or (N, 3).
    """
    return linear * torch.as_tensor(gains, dtype=linear.dtype, device=linear.device)[..., None, None]


def log_average(linear: Tensor, mask: Tensor | None = None) -> Tensor:
    """Geometric mean of luminance, (N,): what the key of a picture is measured against; differentiable.

    ``exp(mean(log(1e-6 + L)))`` over the pixels that are valid: finite and, if there is a ``mask``, where it is true.
    Negative luminance counts as 0. NaN for a picture without a valid pixel.

    Args:
        linear: (N, 3, H, W), any unit.
        mask: (N, 1, H, W), bool.

    Source: Reinhard, Stark, Shirley and Ferwerda, ACM Trans. Graphics 21(3), 2002, equation 1 (the mean is inside the
    exponential, as its text has it).
    """
    light, valid = _valid_light(linear, mask)
    logarithm = torch.where(valid, torch.log(_DARK + light), 0)
    return torch.exp(logarithm.sum(-1) / valid.sum(-1))


def metered_ev(
    linear: Tensor,
    mode: Literal["log_average", "percentile"] = "log_average",
    *,
    target: float | None = None,
    percentile: float = 0.99,
    mask: Tensor | None = None,
) -> Tensor:
    """Stops (N,) for :func:`expose` that bring a picture's light to ``target``; differentiable.

    "log_average" brings :func:`log_average` to mid grey (0.18); "percentile" brings the luminance below which a share
    ``percentile`` of the pixels lies to white (1.0), interpolating linearly between order statistics, as numpy's.
    Valid pixels as in :func:`log_average`; a percentile below 1e-6 counts as that. Unlike :func:`auto_exposure` it
    neither looks at cells nor weighs highlights against the middle.

    Raises:
        ValueError: an unknown mode, or a percentile outside [0, 1].
    """
    if mode not in _TARGETS or not 0.0 <= percentile <= 1.0:
        raise ValueError(f"wanted a mode of {', '.join(_TARGETS)} and 0 <= percentile <= 1, got {mode!r}, {percentile}")
    measured = log_average(linear, mask) if mode == "log_average" else _light_below(percentile, linear, mask)
    return -torch.log2(measured / (_TARGETS[mode] if target is None else target))


def _light_below(percentile: float, linear: Tensor, mask: Tensor | None) -> Tensor:
    light, valid = _valid_light(linear, mask)
    ordered = torch.where(valid, light, torch.inf).sort(dim=-1).values
    last = valid.sum(-1, keepdim=True) - 1
    position = percentile * last.to(torch.float64)
    low = position.floor().long().clamp(min=0)
    below, above = (ordered.gather(-1, index) for index in (low, torch.minimum(low + 1, last.clamp(min=0))))
    value = (below + (above - below) * (position - low).to(light.dtype)).clamp(min=_DARK)
    return torch.where(last < 0, torch.nan, value)[:, 0]


def _valid_light(linear: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Luminance (N, H W), >= 0 and finite, and which of it counts."""
    light = luminance(linear).flatten(1)
    valid = torch.isfinite(light)
    if mask is not None:
        valid = valid & mask.expand_as(linear[:, :1]).flatten(1)
    return torch.where(valid, light, 0).clamp(min=0), valid


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


def quantise(display: Tensor, bits: int = 8, straight_through: bool = False) -> Tensor:
    """Clamp to [0, 1] and round to the nearest of ``2**bits`` levels, as an integer file would hold the values.

    Any shape. The gradient is 0 almost everywhere; with ``straight_through`` it is that of the clamp alone.
    """
    top = float(2**bits - 1)
    levels = display.clamp(0.0, 1.0).mul_(top)
    return (round_straight_through(levels) if straight_through else torch.round(levels)).div_(top)
