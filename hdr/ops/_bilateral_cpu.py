"""Slice-and-apply on float32 tensors in main memory: hands blocks of rows to the compiled loops.

The loops release the interpreter lock and keep nothing between calls, and the threads live only as long as a call.
So a process may fork after a call (data loaders do), two threads may call at once, and the number of threads is
torch's own (``torch.set_num_threads``, 1 in data-loader workers).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hdr.ops import _bilateral_kernels as kernels
from hdr.ops._bilateral_lookup import Lookup
from hdr.ops._guide_kernels import CURVE_GUIDE, POINTWISE_GUIDE, TENSOR_GUIDE, Floats, Ints
from hdr.ops.guide import CurveGuide, PointwiseGuide

_PIXELS_PER_CALL = 1 << 16
_GRADIENT_PARTS = 32  # fixed, so that sums are formed in the same order whatever the number of threads

GuideWeights = tuple[int, Floats, Floats, Floats]
_NO_WEIGHTS: GuideWeights = (
    TENSOR_GUIDE,
    np.zeros((0, 2), np.float32),
    np.zeros((0, 0, 2), np.float32),
    np.zeros(2, np.float32),
)


def forward(grid: Tensor, guide: Tensor | PointwiseGuide | CurveGuide, image: Tensor, lookup: Lookup) -> Tensor:
    """(N, O, H, W) for float32 tensors on the CPU; the guide may be given by its weights."""
    batch, _, height, width = image.shape
    out = torch.empty((batch, lookup.outputs, height, width))
    if isinstance(guide, Tensor):
        guide_array, weights = _array(guide), _NO_WEIGHTS
    else:
        guide_array, weights = np.zeros((0, 1, 0, 0), np.float32), _pack(guide)
    arrays = _depth_last(grid), grid.shape[2], guide_array, _array(image), out.numpy(), weights
    rest = *_coordinates(lookup, grid, height, width), lookup.has_offset
    size = max(1, _PIXELS_PER_CALL // width)
    parts = [(item, first, min(first + size, height)) for item in range(batch) for first in range(0, height, size)]
    _run(lambda part: kernels.forward_rows(*arrays, *rest, *parts[part]), len(parts))
    return out


def backward(
    grid: Tensor, guide: Tensor, image: Tensor, grad_out: Tensor, lookup: Lookup, needed: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients for grid, guide and image where needed; the same bits on every run."""
    batch, _, height, width = image.shape
    packed = _depth_last(grid)
    parts_per_item = max(1, min(height, _GRADIENT_PARTS // batch))
    bounds = [height * part // parts_per_item for part in range(parts_per_item + 1)]
    parts = [(item, bounds[part], bounds[part + 1]) for item in range(batch) for part in range(parts_per_item)]
    nothing = np.zeros((0, 0, 0, 0), np.float32)
    grad_grid = np.zeros((len(parts), *(packed.shape[1:] if needed[0] else (0, 0, 0))), np.float32)
    grad_guide = np.empty(guide.shape, np.float32) if needed[1] else nothing
    grad_image = np.empty(image.shape, np.float32) if needed[2] else nothing
    arrays = packed, grid.shape[2], _array(guide), _array(image), _array(grad_out)
    rest = *_coordinates(lookup, grid, height, width), lookup.has_offset

    _run(
        lambda part: kernels.backward_rows(*arrays, grad_grid[part], grad_guide, grad_image, *rest, *parts[part]),
        len(parts),
    )
    return (
        _depth_first(grad_grid.reshape(batch, parts_per_item, *packed.shape[1:]).sum(1), grid) if needed[0] else None,
        torch.from_numpy(grad_guide) if needed[1] else None,
        torch.from_numpy(grad_image) if needed[2] else None,
    )


def _run(work: Callable[[int], None], parts: int) -> None:
    threads = min(parts, torch.get_num_threads())
    if threads == 1:
        for part in range(parts):
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(parts)):
            pass


def _array(tensor: Tensor) -> Floats:
    array: Floats = tensor.detach().contiguous().numpy()
    return array


def _depth_last(grid: Tensor) -> Floats:
    """(N, C, D, Gh, Gw) as (N, Gh, Gw, C * (D + 1)) with a zero after the last depth."""
    return _array(torch.nn.functional.pad(grid.detach().permute(0, 3, 4, 1, 2), (0, 1)).flatten(3))


def _depth_first(packed: Floats, grid: Tensor) -> Tensor:
    unpacked = packed.reshape(*packed.shape[:3], grid.shape[1], -1)[..., :-1]
    return torch.from_numpy(np.ascontiguousarray(unpacked.transpose(0, 3, 4, 1, 2)))


def _coordinates(
    lookup: Lookup, grid: Tensor, height: int, width: int
) -> tuple[tuple[Ints, Floats], tuple[Ints, Ints, Floats], tuple[np.float32, np.float32]]:
    """Per row: cell and fraction. Per column: where runs start and end, cell, fraction. Guide to depth."""
    depths, grid_height, grid_width = grid.shape[2:]
    row_cell, row_fraction = _axis(*lookup.rows(grid_height, height))
    column_cell, column_fraction = _axis(*lookup.columns(grid_width, width))
    starts = [0]
    for edge in (*(np.flatnonzero(np.diff(column_cell)) + 1).tolist(), width):
        while edge - starts[-1] > kernels.BLOCK:
            starts.append(starts[-1] + kernels.BLOCK)
        starts.append(edge)
    scale, offset = lookup.depth(depths)
    return (
        (row_cell, row_fraction),
        (np.asarray(starts, np.int32), column_cell, column_fraction),
        (np.float32(scale), np.float32(offset)),
    )


def _axis(cell: Tensor, fraction: Tensor) -> tuple[Ints, Floats]:
    return cell.numpy().astype(np.int32), fraction.numpy().astype(np.float32)


def _pack(guide: PointwiseGuide | CurveGuide) -> GuideWeights:
    """The layout that ``_guide_kernels`` describes."""
    if isinstance(guide, PointwiseGuide):
        kind, tail_bias = POINTWISE_GUIDE, guide.b2
        units = torch.cat([guide.w1, guide.b1[:, None], guide.w2[:, None]], 1)
        hinges = torch.zeros((len(units), 0, 2))
    else:
        kind, tail_bias = CURVE_GUIDE, guide.mix_bias
        units = torch.cat([guide.matrix, guide.bias[:, None], guide.mix[:, None]], 1)
        hinges = torch.stack([guide.shifts, guide.slopes], -1)
    factor = 2.0 if isinstance(guide, PointwiseGuide) and guide.activation == "tanh" else 1.0
    tail = torch.stack([tail_bias.detach().reshape(()).float(), torch.tensor(factor)])
    return kind, _array(units.float()), _array(hinges.float()), _array(tail)
