"""Camera response functions as tables: apply, invert, and make monotone.

A curve is a row of samples over a uniform grid of [0, 1], from 0 -> 0 to 1 -> 1, straight between samples. A forward
curve takes light to display values, its inverse takes display values to light. ``hdr.ops.response`` has the closed form
of two parameters.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

SAMPLES = 1024
"""Samples per curve, as in the databases of Grossberg and Nayar; the functions here take any number from 2 on."""

Outside = Literal["clamp", "extend"]
Projection = Literal["isotonic", "softplus", "shift"]

_SHARPNESS = 20.0


def apply_curve(linear: Tensor, curves: Tensor, *, outside: Outside = "clamp") -> Tensor:
    """Look values up in curves, linear between samples.

    With inverse curves it takes display values to light: the direction is the curve's, not the function's.
    Differentiable in pixels (the slope of the segment; of the right one at a sample) and in samples. NaN stays NaN.
    Beside the result it takes 24 bytes per float32 value while it runs; 20 of them stay for the backward pass.

    Args:
        linear: (N, C, H, W), 1.0 = where the curve ends (sensor saturation, or display white).
        curves: (N or 1, C or 1, S).
        outside: what happens to values outside [0, 1]. ``clamp``: they take the value of the curve's end, as on a
            sensor. ``extend``: the first and the last segment go on.

    Raises:
        ValueError: curves that do not match the pixels, or an unknown ``outside``.
    """
    _check_outside(outside)
    pixels, table = _aligned(linear, curves)
    segments = table.shape[-1] - 1
    position = (pixels.clamp(0.0, 1.0) if outside == "clamp" else pixels) * segments
    # NaN has no integer: without nan_to_num it would become an index far outside of the table
    lower = position.detach().nan_to_num(0.0).clamp(0, segments - 1).long()
    start, end = table.gather(-1, lower), table[..., 1:].gather(-1, lower)
    return torch.lerp(start, end, position - lower).view(linear.shape)


def invert_curve(display: Tensor, curves: Tensor, *, outside: Outside = "clamp") -> Tensor:
    """Light from display values: the exact inverse of :func:`apply_curve`, by binary search in each curve.

    Where a curve is flat, every light of the run gives the same display value. The middle of the run is taken, which
    halves the largest possible error. A run at an end of the curve gives that end (0 or 1): a saturated value means "at
    least", and what follows recognises saturation by 1.0.

    Differentiable in pixels and samples; the gradient is 1 / slope, so it grows without bound on nearly flat segments
    (where that hurts, look values up in :func:`inverse_curves`), and at a sample it is that of the segment to its left.
    NaN stays NaN. Beside the result it takes about 40 bytes per float32 value while it runs; 20 of them stay for the
    backward pass.

    Args:
        display: (N, C, H, W).
        curves: (N or 1, C or 1, S) forward curves that nowhere decrease.
        outside: as for :func:`apply_curve`; beyond a flat end ``extend`` gives the end.

    Raises:
        ValueError: curves that do not match the pixels, or that decrease somewhere, or an unknown ``outside``.
    """
    _check_outside(outside)
    if bool((curves.diff(dim=-1) < 0).any()):
        raise ValueError("a curve decreases somewhere and has no inverse; see monotone_projection")
    pixels, table = _aligned(display, curves)
    if outside == "clamp":
        pixels = pixels.clamp(0.0, 1.0)
    segments = table.shape[-1] - 1
    search = table.detach().contiguous()
    lower = torch.searchsorted(search, pixels.detach().contiguous()).clamp_(1, segments).sub_(1)
    start, end = table.gather(-1, lower), table[..., 1:].gather(-1, lower)
    rise, reached = end - start, pixels >= end
    fraction = torch.where(rise > 0, (pixels - start) / torch.where(rise > 0, rise, 1.0), reached.to(pixels.dtype))
    # The search finds the first sample of a flat run; from there it is so far to the light that stands for the run.
    into_run = _middles_of_runs(search) - torch.arange(segments + 1, device=search.device)
    position = lower + fraction + torch.where(reached, into_run[..., 1:].gather(-1, lower), 0.0)
    return torch.where(pixels.isnan(), pixels, position / segments).view(display.shape)


def inverse_curves(curves: Tensor, samples: int | None = None) -> Tensor:
    """Inverse curves (..., S) of forward curves (..., S) that nowhere decrease, or forward ones of inverse ones.

    The samples are exact; between them the inverse of a piecewise straight curve is only approximated, and a steep
    toe, which has few samples, becomes a coarse one. A curve that starts or ends flat has an inverse that jumps there.
    """
    rows = curves.reshape(-1, 1, curves.shape[-1])
    samples = samples or curves.shape[-1]
    grid = torch.linspace(0.0, 1.0, samples, dtype=curves.dtype, device=curves.device)
    return invert_curve(grid.expand(len(rows), 1, 1, -1), rows).reshape(*curves.shape[:-1], samples)


def monotone_projection(curves: Tensor, mode: Projection = "isotonic") -> Tensor:
    """Curves that nowhere decrease and run from 0 to 1, from any rows of samples, such as sums of basis curves.

    ``isotonic``: the nearest such curve (least squares; pools of violators share their mean, Ayer et al. 1955), exactly
    the projection onto a convex set, so it never takes a curve further from any true response. The gradient is that of
    the projection: the mean within a pool, 0 where the curve left [0, 1]. Leaves monotone curves as they are. The pools
    are found on the CPU by SciPy, so it cannot be exported to ONNX.

    ``softplus``: every slope (1 = the straight line) goes through log(1 + exp(20 s)) / 20, then the curve is scaled to
    end at 1. Strictly increasing, smooth, gradients everywhere, but not the identity: flat parts get a slope of 0.035
    and steep ones lose what is won there.

    ``shift``: the projection of Liu et al. (CVPR 2020, SingleHDR): the most negative increment is subtracted from all,
    then the curve is scaled to end at 1. Leaves monotone curves from 0 to 1 as they are, but one bad sample bends the
    whole curve. A row without any rise (0 / 0 there) becomes the straight line.

    Args:
        curves: (..., S), differentiable.
        mode: see above.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in get_args(Projection):
        raise ValueError(f"projection {mode!r}: wanted one of {', '.join(get_args(Projection))}")
    if mode == "isotonic":
        return _isotonic(curves)
    steps = curves.diff(dim=-1)
    segments = steps.shape[-1]
    if mode == "softplus":
        steps = functional.softplus(steps * segments, beta=_SHARPNESS)
    else:
        steps = steps + functional.relu(-steps.amin(-1, keepdim=True))
    total = steps.sum(-1, keepdim=True)
    steps = torch.where(total != 0, steps / torch.where(total != 0, total, 1.0), 1.0 / segments)
    rising = functional.pad(steps[..., :-1].cumsum(-1), (1, 0))
    return functional.pad(rising.clamp(max=1.0), (0, 1), value=1.0)  # a sum of rounded steps may end just above 1


def _isotonic(curves: Tensor) -> Tensor:
    """Pools are found without gradient; means over pools and the limits carry it.

    With the ends held at 0 and 1 the projection of the rest is its isotonic regression, clamped to [0, 1].
    """
    from scipy.optimize import isotonic_regression

    inner = curves[..., 1:-1]
    rows = inner.detach().reshape(inner.shape[:-1].numel(), inner.shape[-1]).double().cpu().nan_to_num(0.0)
    pools = torch.zeros(rows.shape, dtype=torch.long)
    for row, pool in zip(rows.numpy(), pools, strict=True):
        if len(row):
            pool[isotonic_regression(row).blocks[1:-1]] = 1
    pools = pools.cumsum(-1).view(inner.shape).to(inner.device)
    sums, sizes = (torch.zeros_like(inner).scatter_add(-1, pools, v) for v in (inner, torch.ones_like(inner)))
    pooled = (sums / sizes.clamp(min=1)).gather(-1, pools).clamp(0.0, 1.0)
    return functional.pad(functional.pad(pooled, (1, 0)), (0, 1), value=1.0)


def _middles_of_runs(table: Tensor) -> Tensor:
    """For each sample, the position that stands for all samples of its value."""
    last = table.shape[-1] - 1
    first = torch.searchsorted(table, table)
    final = torch.searchsorted(table, table, right=True) - 1
    middle = (first + final).to(table.dtype) / 2
    return middle.masked_fill(first == 0, 0.0).masked_fill(final == last, float(last))


def _check_outside(outside: str) -> None:
    if outside not in get_args(Outside):
        raise ValueError(f"outside {outside!r}: wanted one of {', '.join(get_args(Outside))}")


def _aligned(pixels: Tensor, curves: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (N, C, M) or, under a curve that all channels share, (N, 1, M), and curves (N, the same, S)."""
    n, c = pixels.shape[:2]
    if curves.ndim != 3 or curves.shape[0] not in (1, n) or curves.shape[1] not in (1, c) or curves.shape[2] < 2:
        raise ValueError(f"pixels {tuple(pixels.shape)} want curves ({n} or 1, {c} or 1, S), got {tuple(curves.shape)}")
    dtype = torch.promote_types(pixels.dtype, curves.dtype)
    return pixels.to(dtype).reshape(n, curves.shape[1], -1), curves.to(dtype).expand(n, -1, -1)
