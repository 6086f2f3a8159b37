"""Compiled float32 loops of subset fusion: one chunk of subsets per call, no threads of their own.

Planes of a pyramid lie one after the other, the finest first: ``starts[l]`` is where level l begins and the last entry
the length of the whole. Arrays: weights (K, H * W); details (K, 3, T), Laplacian pyramids; subsets (S, k). Reduction
and expansion are those of ``hdr.ops.pyramid``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdr.ops._bilateral_kernels import Floats, Ints, compiled

QUARTER, HALF, FOUR, SIX = np.float32(0.25), np.float32(0.5), np.float32(4), np.float32(6)
EIGHTH, NORM = np.float32(1 / 8), np.float32(1 / 256)
ZERO, ONE = np.float32(0), np.float32(1)
Doubles = NDArray[np.float64]


@compiled()
def _mirror(place: int, size: int) -> int:
    if size == 1:
        return 0
    while place < 0 or place >= size:
        place = -place if place < 0 else 2 * (size - 1) - place
    return place


@compiled()
def _reduce(fine: Floats, height: int, width: int, coarse: Floats, row: Floats) -> None:
    """One plane to the next level; ``row`` is scratch of at least width + 4."""
    half = (width + 1) // 2
    for i in range((height + 1) // 2):
        a = _mirror(2 * i - 2, height) * width
        b = _mirror(2 * i - 1, height) * width
        c = 2 * i * width
        d = _mirror(2 * i + 1, height) * width
        e = _mirror(2 * i + 2, height) * width
        for x in range(width):
            row[x + 2] = fine[a + x] + fine[e + x] + FOUR * (fine[b + x] + fine[d + x]) + SIX * fine[c + x]
        row[0], row[1] = row[2 + _mirror(-2, width)], row[2 + _mirror(-1, width)]
        row[width + 2] = row[2 + _mirror(width, width)]
        row[width + 3] = row[2 + _mirror(width + 1, width)]
        out = coarse[i * half : (i + 1) * half]
        for x in range(half):
            out[x] = NORM * (
                row[2 * x] + row[2 * x + 4] + FOUR * (row[2 * x + 1] + row[2 * x + 3]) + SIX * row[2 * x + 2]
            )


@compiled()
def _expand_row(coarse: Floats, rows: int, columns: int, i: int, width: int, row: Floats, out: Floats) -> None:
    """Row ``i`` of the level below a plane of rows x columns; ``row`` is scratch of at least columns + 2."""
    r = i // 2
    here = r * columns
    below = min(r + 1, rows - 1) * columns
    if rows == 1:
        for x in range(columns):
            row[x + 1] = coarse[here + x]
    elif i % 2:
        for x in range(columns):
            row[x + 1] = HALF * (coarse[here + x] + coarse[below + x])
    else:
        above = (r - 1 if r > 0 else 1) * columns
        for x in range(columns):
            row[x + 1] = EIGHTH * (coarse[above + x] + SIX * coarse[here + x] + coarse[below + x])
    row[0] = row[2] if columns > 1 else row[1]
    row[columns + 1] = row[columns]
    if columns == 1:
        for x in range(width):
            out[x] = row[1]
        return
    for x in range(width // 2):
        out[2 * x] = EIGHTH * (row[x] + SIX * row[x + 1] + row[x + 2])
        out[2 * x + 1] = HALF * (row[x + 1] + row[x + 2])
    if width % 2:
        x = width // 2
        out[2 * x] = EIGHTH * (row[x] + SIX * row[x + 1] + row[x + 2])


@compiled()
def _share(weights: Floats, subset: Ints, pyramid: Floats) -> None:
    """Level 0 of ``pyramid`` (k - 1, T): the normalised weights of all members of a subset but the last."""
    last = subset.size - 1
    total = pyramid[last]  # a scratch plane
    area = weights.shape[1]
    for p in range(area):
        total[p] = weights[subset[last], p]
    for j in range(last):
        for p in range(area):
            total[p] += weights[subset[j], p]
    for j in range(last):
        for p in range(area):
            pyramid[j, p] = weights[subset[j], p] / total[p]


@compiled()
def fuse(
    subsets: Ints,
    weights: Floats,
    details: Floats,
    sizes: Ints,
    starts: Ints,
    reference: Floats,
    pictures: Floats,
    errors: Doubles,
) -> None:
    """Fuse each subset of a chunk.

    ``reference`` (3, H * W): the mean squared difference of the clamped result goes to ``errors`` (S,); empty: none.
    ``pictures`` (S, 3, H * W): the results; empty: not kept.
    """
    count, members = subsets.shape
    levels = sizes.shape[0]
    height, width = sizes[0]
    shares = np.empty((members, starts[levels]), np.float32)
    row = np.empty(width + 8, np.float32)
    fused = np.empty((2, height * width), np.float32)
    line = np.empty(width + 8, np.float32)
    keep, compare = pictures.size > 0, reference.size > 0
    for s in range(count):
        subset = subsets[s]
        last = subset[members - 1]
        _share(weights, subset, shares)
        for j in range(members - 1):
            for level in range(levels - 1):
                _reduce(
                    shares[j, starts[level] : starts[level + 1]],
                    sizes[level, 0],
                    sizes[level, 1],
                    shares[j, starts[level + 1] : starts[level + 2]],
                    row,
                )
        total = 0.0
        for c in range(3):
            for step in range(levels):
                level = levels - 1 - step
                rows, columns = sizes[level]
                start = starts[level]
                now, before = fused[step % 2], fused[(step + 1) % 2]
                for i in range(rows):
                    out = line[:columns]
                    if step == 0:
                        for x in range(columns):
                            out[x] = ZERO
                    else:
                        _expand_row(before, sizes[level + 1, 0], sizes[level + 1, 1], i, columns, row, out)
                    at = start + i * columns
                    base = details[last, c, at : at + columns]
                    for x in range(columns):
                        out[x] += base[x]
                    for j in range(members - 1):
                        other = details[subset[j], c, at : at + columns]
                        share = shares[j, at : at + columns]
                        for x in range(columns):
                            out[x] += share[x] * (other[x] - base[x])
                    if level > 0:
                        target = now[i * columns : (i + 1) * columns]
                        for x in range(columns):
                            target[x] = out[x]
                    else:
                        if keep:
                            picture = pictures[s, c, i * columns : (i + 1) * columns]
                            for x in range(columns):
                                picture[x] = out[x]
                        if compare:
                            goal = reference[c, i * columns : (i + 1) * columns]
                            part = ZERO
                            for x in range(columns):
                                value = min(max(out[x], ZERO), ONE) - goal[x]
                                part += value * value
                            total += float(part)
        if compare:
            errors[s] = total / (3 * height * width)
