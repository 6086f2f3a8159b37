"""Slice-and-apply written out in float64, pixel by pixel, from the papers' formulas; shares nothing with the op."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _position(convention: str, index: float, size: int, cells: int) -> float:
    """Distance from the first cell's centre, in cells."""
    if convention == "centred":
        return (index + 0.5) * cells / size - 0.5
    return index / (size - 1) * (cells - 1) if size > 1 else (cells - 1) / 2


def _neighbours(position: float, cells: int) -> list[tuple[int, float]]:
    """The two cells around a position with their hat weights; cells beyond the edge repeat the edge."""
    base = math.floor(position)
    return [(min(max(k, 0), cells - 1), max(1 - abs(position - k), 0.0)) for k in (base, base + 1)]


def coefficients_at(grid: Array, guide: float, x: int, y: int, size: tuple[int, int], convention: str) -> Array:
    """All coefficients of one item's grid (C, D, Gh, Gw) at one pixel of a picture of (height, width)."""
    depths, rows, columns = grid.shape[1:]
    depth = guide * depths - 0.5 if convention == "centred" else guide * (depths - 1)
    depth = min(max(depth, -1.0), float(depths))  # further out the edge repeats all the same
    total = np.zeros(grid.shape[0])
    for z, wz in _neighbours(depth, depths):
        for j, wy in _neighbours(_position(convention, y, size[0], rows), rows):
            for i, wx in _neighbours(_position(convention, x, size[1], columns), columns):
                total += wz * wy * wx * grid[:, z, j, i]
    return total


def slice_apply(grid: Array, guide: Array, image: Array, convention: str, has_offset: bool = True) -> Array:
    """(N, O, H, W), coefficients packed by output row with the offset last."""
    batch, inputs, height, width = image.shape
    terms = inputs + has_offset
    out = np.empty((batch, grid.shape[1] // terms, height, width))
    for n in range(batch):
        for y in range(height):
            for x in range(width):
                values = coefficients_at(grid[n], guide[n, 0, y, x], x, y, (height, width), convention)
                colour = np.append(image[n, :, y, x], 1.0) if has_offset else image[n, :, y, x]
                out[n, :, y, x] = values.reshape(-1, terms) @ colour
    return out
