"""Tone curves through control points, as photo editors draw them."""

from __future__ import annotations

import torch
from torch import Tensor

_VALUES_AT_ONCE = 1 << 20
"""Values that are worked on together: few enough to stay in a processor's cache."""


def tone_curve(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Apply the smooth curve through the points (``x``, ``y``) that rises only where the points do.

    Piecewise cubic Hermite interpolation: between two points the curve stays between them, so that rising points make
    a rising curve, without overshoot. Before the first and after the last point it goes on as a straight line with the
    slope it has there: nothing is clamped, HDR values above 1 survive. Differentiable in values and points; the
    gradient is finite, also where neighbouring points are equally high. NaN stays NaN, infinite values count as the
    largest finite ones.

    Args:
        values: (N, C, H, W), any encoding (photo editors: display values).
        x, y: control points, at least two, ``x`` ascending: (K,) for all, (N, K) for all channels of a picture, or
            (N, C, K). Both of one shape.

    Raises:
        ValueError: shapes that do not fit, fewer than two points, or ``x`` not strictly ascending.

    Source: Fritsch and Carlson, SIAM J. Numer. Anal. 17(2), 1980; slopes by Fritsch and Butland, SIAM J. Sci. Stat.
    Comput. 5(2), 1984, with weights for uneven spacing and the three-point ends of Moler, Numerical Computing with
    MATLAB, 2004, section 3.6 (the "pchip" of numerical libraries).
    """
    _check_points(values, x, y)
    shape = values.shape[:2]
    x, y = (_per_channel(points.to(values), shape) for points in (x, y))
    slopes = _slopes(x, y)
    largest = torch.finfo(values.dtype).max
    flat = values.flatten(2).flatten(0, 1).clamp(-largest, largest)
    parts = flat.split(max(1, _VALUES_AT_ONCE // max(1, len(flat))), dim=-1)
    return torch.cat([_evaluated(part, x, y, slopes) for part in parts], dim=-1).view(values.shape)


def _evaluated(flat: Tensor, x: Tensor, y: Tensor, slopes: Tensor) -> Tensor:
    """The curves (M, K) at (M, P)."""
    piece = torch.searchsorted(x.detach(), flat.detach().contiguous(), right=True).clamp(1, x.shape[-1] - 1) - 1
    x0, x1, y0, y1, m0, m1 = (points.gather(-1, piece + step) for points in (x, y, slopes) for step in (0, 1))
    inside = torch.where(flat < x0, x0, torch.where(flat > x1, x1, flat))  # on a point the gradient is the value's
    width = x1 - x0
    t = (inside - x0) / width
    rise = (y1 - y0) / width
    # Horner's scheme of the Hermite cubic about the left point.
    cubic = y0 + width * t * (m0 + t * ((3 * rise - 2 * m0 - m1) + t * (m0 + m1 - 2 * rise)))
    beyond = torch.where(flat < x0, (flat - x0) * m0, torch.where(flat > x1, (flat - x1) * m1, 0))
    return cubic + beyond


def _slopes(x: Tensor, y: Tensor) -> Tensor:
    """Slope of the curve at each of the points, all (M, K)."""
    width = x.diff(dim=-1)
    rise = y.diff(dim=-1) / width
    if x.shape[-1] == 2:
        return rise.expand(-1, 2)
    left, right, w0, w1 = rise[:, :-1], rise[:, 1:], width[:, :-1], width[:, 1:]
    # A weighted harmonic mean where the curve keeps its direction, else flat: a turning point stays the extremum.
    same = left * right > 0
    a, b = torch.where(same, left, 1), torch.where(same, right, 1)
    first, second = 2 * w1 + w0, w1 + 2 * w0
    inner = torch.where(same, (first + second) / (first / a + second / b), 0)
    start = _end_slope(width[:, 0], width[:, 1], rise[:, 0], rise[:, 1])
    end = _end_slope(width[:, -1], width[:, -2], rise[:, -1], rise[:, -2])
    return torch.cat([start[:, None], inner, end[:, None]], dim=-1)


def _end_slope(width: Tensor, next_width: Tensor, rise: Tensor, next_rise: Tensor) -> Tensor:
    """Slope of the parabola through the last three points, limited to the shape of the points."""
    slope = ((2 * width + next_width) * rise - width * next_rise) / (width + next_width)
    slope = torch.where(slope * rise > 0, slope, 0)
    overshoots = (rise * next_rise <= 0) & (slope.abs() > 3 * rise.abs())
    return torch.where(overshoots, 3 * rise, slope)


def _per_channel(points: Tensor, shape: torch.Size) -> Tensor:
    """(N C, K)."""
    if points.ndim == 2:
        points = points[:, None]
    return points.expand(*shape, -1).flatten(0, 1).contiguous()


def _check_points(values: Tensor, x: Tensor, y: Tensor) -> None:
    batch, channels = values.shape[:2]
    if x.shape != y.shape or tuple(x.shape[:-1]) not in ((), (batch,), (batch, channels)):
        raise ValueError(
            f"control points are (K,), (N, K) or (N, C, K) for values (N, C, H, W): got {tuple(x.shape)} and "
            f"{tuple(y.shape)} for {tuple(values.shape)}"
        )
    if x.shape[-1] < 2 or not (x.diff(dim=-1) > 0).all():
        raise ValueError(f"a curve needs two or more control points with ascending x, got x = {x.tolist()}")
