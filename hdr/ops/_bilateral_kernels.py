"""Compiled float32 loops of slice-and-apply: one block of rows per call, no threads of their own.

A row of the picture is cut at the columns where the left grid cell changes. Along such a run the grid, blended in y
once per row, is a straight line in x, so that a coefficient at depth z is ``line + fx * step`` with two scalars, and
the blend over z is a sum over the few depths that the run's guide touches, each with its hat weight. Nothing is
gathered per pixel, hence every inner loop works on vectors of neighbouring pixels. Blocks are padded to whole
vectors, because a scalar remainder would cost as much as the rest of the block.

Arrays, all C-contiguous: grid (N, Gh, Gw, C * (D + 1)), the last depth zero so that depths can be taken in pairs;
image (N, I, H, W); guide (N, 1, H, W); out (N, O, H, W); ``rows`` and ``columns`` from ``_bilateral_cpu``.
"""

from __future__ import annotations

import numpy as np

from hdr.ops._guide_kernels import ONE, TENSOR_GUIDE, ZERO, Floats, Ints, compiled, evaluate_guide

BLOCK = 256  # pixels that share one scratch, so that it stays in the first-level cache
VECTOR = 64  # blocks are padded to a multiple of this


@compiled
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


@compiled
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


@compiled
def _load(source: Floats, padded: int, target: Floats) -> None:
    """Copy a block and fill it up with zeros: what an earlier block left there must not reach sums or depth ranges."""
    for i in range(source.size):
        target[i] = source[i]
    for i in range(source.size, padded):
        target[i] = ZERO


@compiled
def forward_rows(
    grid: Floats,
    depths: int,
    guide: Floats,
    image: Floats,
    out: Floats,
    guide_weights: tuple[int, Floats, Floats, Floats],
    rows: tuple[Ints, Floats],
    columns: tuple[Ints, Ints, Floats],
    depth_map: tuple[np.float32, np.float32],
    has_offset: bool,
    item: int,
    first: int,
    end: int,
) -> None:
    """Rows first..end of one batch item."""
    kind, units, hinges, tail = guide_weights
    runs, column_cell, column_fraction = columns
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
        cell = rows[0][y]
        _blend_row(grid[item, cell], grid[item, min(cell + 1, grid_rows - 1)], rows[1][y], line, step)
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
                evaluate_guide(kind, pixels, units, hinges, tail, value[:padded], unit)
            for i in range(count, padded):
                value[i] = value[count - 1]
            low, high = _depth_weights(value[:padded], depths, depth_map[0], depth_map[1], weights, slopes)
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


@compiled
def backward_rows(
    grid: Floats,
    depths: int,
    guide: Floats,
    image: Floats,
    grad_out: Floats,
    grad_grid: Floats,
    grad_guide: Floats,
    grad_image: Floats,
    rows: tuple[Ints, Floats],
    columns: tuple[Ints, Ints, Floats],
    depth_map: tuple[np.float32, np.float32],
    has_offset: bool,
    item: int,
    first: int,
    end: int,
) -> None:
    """Rows first..end of one batch item; a gradient that is not wanted comes as an empty array.

    ``grad_grid`` (Gh, Gw, C * (D + 1)) is added to and belongs to this call alone.
    """
    runs, column_cell, column_fraction = columns
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
    pixels = np.zeros((inputs + 1, BLOCK), np.float32)
    image_sum = np.zeros((inputs, BLOCK), np.float32)
    for y in range(first, end):
        upper = rows[0][y]
        lower = min(upper + 1, grid_rows - 1)
        fy = rows[1][y]
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
                image_sum[c, :padded] = ZERO
            pixels[inputs, :padded] = ONE
            guide_sum[:padded] = ZERO
            for i in range(count, padded):
                value[i] = value[count - 1]
            low, high = _depth_weights(value[:padded], depths, depth_map[0], depth_map[1], weights, slopes)
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
            for i in range(count):
                if grad_guide.size > 0:
                    grad_guide[item, 0, y, start + i] = guide_sum[i] * depth_map[0]
                if grad_image.size > 0:
                    for c in range(inputs):
                        grad_image[item, c, y, start + i] = image_sum[c, i]
        if grad_grid.size > 0:
            for j in range(cells):
                right = min(j + 1, cells - 1)
                for k in range(size):
                    near = line_sum[j, k] - step_sum[j, k]
                    grad_grid[upper, j, k] += (ONE - fy) * near
                    grad_grid[lower, j, k] += fy * near
                    grad_grid[upper, right, k] += (ONE - fy) * step_sum[j, k]
                    grad_grid[lower, right, k] += fy * step_sum[j, k]
