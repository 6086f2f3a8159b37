"""Compiled float32 loops of slice-and-apply and of its gradients: one block of rows per call, no threads of their own.

A row of the picture is cut at the columns where the left grid cell changes. Along such a run the grid, blended in y
once per row, is a straight line in x, so that a coefficient at depth z is ``line + fx * step`` with two scalars, and
the blend over z is a sum over the few depths that the run's guide touches, each with its hat weight. Nothing is
gathered per pixel, hence every inner loop works on vectors of neighbouring pixels. Blocks are padded to whole
vectors, because a scalar remainder would cost as much as the rest of the block.

Arrays: grid (N, Gh, Gw, C * (D + 1)), the last depth zero so that depths can be taken in pairs; image (N, I, H, W) and
guide (N, 1, H, W) with any strides, so that rows of a larger picture need no copy; out (N, O, H, W).

A guide given by its weights is a sum over units, each a function of one weighted sum of the colour channels: ``units``
(K, I + 2) holds the weights, the bias and the weight in the sum; ``hinges`` (K, P, 2) holds shift and slope of a
unit's hinges (none for a pointwise guide, whose units are rectified); ``tail`` the bias of the sum and the factor
before the sigmoid.

All of it stays in one file, because compiled functions on disk are renewed only when their own file changes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
# How the grid is read: depths, offset or not; cell and fraction per row; starts of runs and the end of the last; cell
# and fraction per column; scale and offset from guide to depth.
Lookup = tuple[int, bool, Ints, Floats, Ints, Ints, Floats, np.float32, np.float32]
GuideWeights = tuple[int, Floats, Floats, Floats]

LOOKUP = "Tuple((int64, b1, int32[::1], float32[::1], int32[::1], int32[::1], float32[::1], float32, float32))"
GUIDE_WEIGHTS = "Tuple((int64, float32[:, ::1], float32[:, :, ::1], float32[::1]))"
PICTURE, RESULT, SUMS = "float32[:, :, :, :]", "float32[:, :, :, ::1]", "float32[:, :, ::1]"

BLOCK = 256  # pixels that share one scratch, so that it stays in the first-level cache
VECTOR = 64  # blocks are padded to a multiple of this
TENSOR_GUIDE, POINTWISE_GUIDE, CURVE_GUIDE = 0, 1, 2
ZERO, ONE = np.float32(0), np.float32(1)

# No "nnan"/"ninf": a NaN or an infinity in a pixel has to come out of that pixel.
MATH = {"contract", "reassoc", "nsz", "arcp"}


def compiled(signature: str | None = None) -> Callable[[Function], Function]:
    """Compile to run without the interpreter lock, kept on disk where a cache folder can be written.

    Without a signature on first call for the types that come; with one at once and for these types only.
    """

    def compile_function(function: Function) -> Function:
        options = {"nogil": True, "fastmath": MATH}
        try:
            result: Function = numba.njit(signature, **options, cache=True)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
            result = numba.njit(signature, **options)(function)
        return result

    return compile_function


@compiled()
def _sigmoid(values: Floats) -> None:
    """In place. exp(-v) = 2**n 2**f with |f| <= 1/2; the series for 2**f is exact to 5e-9."""
    for i in range(values.size):
        v = values[i]
        v = np.float32(30) if v > np.float32(30) else v
        v = np.float32(-30) if v < np.float32(-30) else v
        t = v * np.float32(-1.4426950408889634)
        n = np.floor(t + np.float32(0.5))
        f = (t - n) * np.float32(0.6931471805599453)
        p = np.float32(1 / 5040)
        p = p * f + np.float32(1 / 720)
        p = p * f + np.float32(1 / 120)
        p = p * f + np.float32(1 / 24)
        p = p * f + np.float32(1 / 6)
        p = p * f + np.float32(0.5)
        p = (p * f + ONE) * f + ONE
        exponent = np.int32(n) if n == n else np.int32(0)
        power = np.int32((exponent + np.int32(127)) << np.int32(23)).view(np.float32)
        values[i] = ONE / (ONE + p * power)


@compiled()
def _evaluate_guide(
    kind: int, pixels: Floats, units: Floats, hinges: Floats, tail: Floats, value: Floats, unit: Floats
) -> None:
    """Write the guide of a block of pixels into ``value``; ``unit`` is scratch of the same size."""
    count = value.size
    channels = pixels.shape[0]
    for i in range(count):
        value[i] = tail[0]
    for k in range(units.shape[0]):
        bias, mix = units[k, channels], units[k, channels + 1]
        if channels == 3:
            red, green, blue = units[k, 0], units[k, 1], units[k, 2]
            for i in range(count):
                unit[i] = bias + red * pixels[0, i] + green * pixels[1, i] + blue * pixels[2, i]
        else:
            for i in range(count):
                unit[i] = bias
            for c in range(channels):
                weight = units[k, c]
                for i in range(count):
                    unit[i] += weight * pixels[c, i]
        if kind == POINTWISE_GUIDE:
            for i in range(count):
                v = unit[i]
                value[i] += mix * (ZERO if v < ZERO else v)
        for h in range(hinges.shape[1]):
            shift = hinges[k, h, 0]
            slope = mix * hinges[k, h, 1]
            for i in range(count):
                v = unit[i] - shift
                value[i] += slope * (ZERO if v < ZERO else v)
    if kind == POINTWISE_GUIDE:
        for i in range(count):
            value[i] *= tail[1]
        _sigmoid(value)


@compiled()
def _depth_weights(
    value: Floats, depths: int, scale: np.float32, offset: np.float32, weights: Floats, slopes: Floats
) -> tuple[int, int]:
    """Turn guides into depths (in place) and into hat weights with their derivatives by depth, (D + 1, count) each.

    Gives the first and last depth in use; ``slopes`` may have no rows when no derivative is wanted.
    """
    last = np.float32(depths - 1)
    low, high = depths - 1, 0
    count = value.size
    for i in range(count):
        g = value[i] * scale + offset
        g = ZERO if g < ZERO else g
        g = last if g > last else g
        value[i] = g
        cell = int(g) if g == g else 0
        low = min(low, cell)
        high = max(high, cell)
    high = min(high + 1, depths - 1)
    for z in range(low, high + 2):
        depth = np.float32(z)
        for i in range(count):
            w = ONE - abs(value[i] - depth)
            weights[z, i] = ZERO if w < ZERO else w
        if slopes.shape[0] > 0:
            for i in range(count):
                d = value[i] - depth
                slope = -ONE if d >= ZERO else ONE
                outside = d >= ONE or d < -ONE or value[i] <= ZERO or value[i] >= last
                slopes[z, i] = ZERO if outside else slope
    return low, high


@compiled()
def _blend_row(upper: Floats, lower: Floats, fy: np.float32, line: Floats, step: Floats) -> None:
    """Grid of one picture row: values at the cells, (Gw, C * (D + 1)), and their differences to the next cell in x."""
    cells, size = line.shape
    for j in range(cells):
        for k in range(size):
            line[j, k] = upper[j, k] + fy * (lower[j, k] - upper[j, k])
    for j in range(cells - 1):
        for k in range(size):
            step[j, k] = line[j + 1, k] - line[j, k]
    for k in range(size):
        step[cells - 1, k] = ZERO


@compiled()
def _load(source: Floats, padded: int, target: Floats) -> None:
    """Copy a block and fill it up with zeros: what an earlier block left there must not reach sums or depth ranges."""
    for i in range(source.size):
        target[i] = source[i]
    for i in range(source.size, padded):
        target[i] = ZERO


def forward_rows(
    grid: Floats,
    guide: Floats,
    image: Floats,
    out: Floats,
    guide_weights: GuideWeights,
    lookup: Lookup,
    item: int,
    first: int,
    end: int,
) -> None:
    """Rows first..end of one batch item."""
    kind, units, hinges, tail = guide_weights
    depths, has_offset, row_cell, row_fraction, runs, column_cell, column_fraction, scale, offset = lookup
    grid_rows, cells, size = grid.shape[1:]
    inputs, outputs = image.shape[1], out.shape[1]
    terms = inputs + 1 if has_offset else inputs
    line = np.empty((cells, size), np.float32)
    step = np.empty((cells, size), np.float32)
    weights = np.empty((depths + 1, BLOCK), np.float32)
    slopes = np.empty((0, BLOCK), np.float32)
    scratch = np.zeros((4, BLOCK), np.float32)
    value, unit, total, fx = scratch[0], scratch[1], scratch[2], scratch[3]
    pixels = np.zeros((inputs, BLOCK), np.float32)
    for y in range(first, end):
        cell = row_cell[y]
        _blend_row(grid[item, cell], grid[item, min(cell + 1, grid_rows - 1)], row_fraction[y], line, step)
        for run in range(runs.size - 1):
            start, stop = runs[run], runs[run + 1]
            count = stop - start
            padded = (count + VECTOR - 1) // VECTOR * VECTOR
            j = column_cell[start]
            _load(column_fraction[start:stop], padded, fx)
            for c in range(inputs):
                _load(image[item, c, y, start:stop], padded, pixels[c])
            if kind == TENSOR_GUIDE:
                _load(guide[item, 0, y, start:stop], padded, value)
            else:
                _evaluate_guide(kind, pixels, units, hinges, tail, value[:padded], unit)
            for i in range(count, padded):
                value[i] = value[count - 1]
            low, high = _depth_weights(value[:padded], depths, scale, offset, weights, slopes)
            for r in range(outputs):
                for i in range(padded):
                    total[i] = ZERO
                for c in range(terms):
                    for z in range(low, high + 1, 2):
                        k = (r * terms + c) * (depths + 1) + z
                        a, da, b, db = line[j, k], step[j, k], line[j, k + 1], step[j, k + 1]
                        if c < inputs:
                            for i in range(padded):
                                total[i] += pixels[c, i] * (
                                    weights[z, i] * (a + fx[i] * da) + weights[z + 1, i] * (b + fx[i] * db)
                                )
                        else:
                            for i in range(padded):
                                total[i] += weights[z, i] * (a + fx[i] * da) + weights[z + 1, i] * (b + fx[i] * db)
                target = out[item, r, y, start:stop]
                for i in range(count):
                    target[i] = total[i]


def backward_rows(
    grid: Floats,
    guide: Floats,
    image: Floats,
    grad_out: Floats,
    grad_grid: Floats,
    grad_guide: Floats,
    grad_image: Floats,
    lookup: Lookup,
    item: int,
    first: int,
    end: int,
) -> None:
    """Rows first..end of one batch item; a gradient that is not wanted comes as an empty array.

    ``grad_grid`` (Gh, Gw, C * (D + 1)) is added to and belongs to this call alone.
    """
    depths, has_offset, row_cell, row_fraction, runs, column_cell, column_fraction, scale, offset = lookup
    grid_rows, cells, size = grid.shape[1:]
    inputs, outputs = image.shape[1], grad_out.shape[1]
    terms = inputs + 1 if has_offset else inputs
    line = np.empty((cells, size), np.float32)
    step = np.empty((cells, size), np.float32)
    line_sum = np.empty((cells, size), np.float32)
    step_sum = np.empty((cells, size), np.float32)
    weights = np.empty((depths + 1, BLOCK), np.float32)
    slopes = np.empty((depths + 1, BLOCK), np.float32)
    scratch = np.zeros((6, BLOCK), np.float32)
    value, fx, product, product_fx = scratch[0], scratch[1], scratch[2], scratch[3]
    guide_sum, incoming = scratch[4], scratch[5]
    pixels = np.ones((inputs + 1, BLOCK), np.float32)  # the last row stays at one: the offset's factor
    image_sum = np.empty((inputs, BLOCK), np.float32)
    for y in range(first, end):
        upper = row_cell[y]
        lower = min(upper + 1, grid_rows - 1)
        fy = row_fraction[y]
        _blend_row(grid[item, upper], grid[item, lower], fy, line, step)
        line_sum[:] = ZERO
        step_sum[:] = ZERO
        for run in range(runs.size - 1):
            start, stop = runs[run], runs[run + 1]
            count = stop - start
            padded = (count + VECTOR - 1) // VECTOR * VECTOR
            j = column_cell[start]
            _load(column_fraction[start:stop], padded, fx)
            _load(guide[item, 0, y, start:stop], padded, value)
            for c in range(inputs):
                _load(image[item, c, y, start:stop], padded, pixels[c])
            image_sum[:] = ZERO
            guide_sum[:] = ZERO
            for i in range(count, padded):
                value[i] = value[count - 1]
            low, high = _depth_weights(value[:padded], depths, scale, offset, weights, slopes)
            for r in range(outputs):
                _load(grad_out[item, r, y, start:stop], padded, incoming)
                for c in range(terms):
                    for i in range(padded):
                        product[i] = incoming[i] * pixels[c, i]
                        product_fx[i] = product[i] * fx[i]
                    for z in range(low, high + 1, 2):
                        k = (r * terms + c) * (depths + 1) + z
                        a, da, b, db = line[j, k], step[j, k], line[j, k + 1], step[j, k + 1]
                        if grad_image.size > 0 and c < inputs:
                            for i in range(padded):
                                image_sum[c, i] += incoming[i] * (
                                    weights[z, i] * (a + fx[i] * da) + weights[z + 1, i] * (b + fx[i] * db)
                                )
                        if grad_guide.size > 0:
                            for i in range(padded):
                                guide_sum[i] += product[i] * (
                                    slopes[z, i] * (a + fx[i] * da) + slopes[z + 1, i] * (b + fx[i] * db)
                                )
                        if grad_grid.size > 0:
                            sum_a, sum_da, sum_b, sum_db = ZERO, ZERO, ZERO, ZERO
                            for i in range(padded):
                                sum_a += product[i] * weights[z, i]
                                sum_da += product_fx[i] * weights[z, i]
                                sum_b += product[i] * weights[z + 1, i]
                                sum_db += product_fx[i] * weights[z + 1, i]
                            line_sum[j, k] += sum_a
                            step_sum[j, k] += sum_da
                            line_sum[j, k + 1] += sum_b
                            step_sum[j, k + 1] += sum_db
            if grad_guide.size > 0:
                target = grad_guide[item, 0, y, start:stop]
                for i in range(count):
                    target[i] = guide_sum[i] * scale
            if grad_image.size > 0:
                for c in range(inputs):
                    target = grad_image[item, c, y, start:stop]
                    for i in range(count):
                        target[i] = image_sum[c, i]
        if grad_grid.size > 0:
            for j in range(cells):
                right = min(j + 1, cells - 1)
                for k in range(size):
                    near = line_sum[j, k] - step_sum[j, k]
                    grad_grid[upper, j, k] += (ONE - fy) * near
                    grad_grid[lower, j, k] += fy * near
                    grad_grid[upper, right, k] += (ONE - fy) * step_sum[j, k]
                    grad_grid[lower, right, k] += fy * step_sum[j, k]


@functools.cache
def forward_loop() -> Callable[..., None]:
    """``forward_rows``, compiled when first asked for."""
    return compiled(f"void({RESULT}, {PICTURE}, {PICTURE}, {RESULT}, {GUIDE_WEIGHTS}, {LOOKUP}, int64, int64, int64)")(
        forward_rows
    )


@functools.cache
def backward_loop() -> Callable[..., None]:
    """``backward_rows``, compiled when first asked for, so that inference does not wait for it."""
    arrays = ", ".join([RESULT, PICTURE, PICTURE, PICTURE, SUMS, RESULT, RESULT])
    return compiled(f"void({arrays}, {LOOKUP}, int64, int64, int64)")(backward_rows)
