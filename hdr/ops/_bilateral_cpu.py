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
from hdr.ops._bilateral_kernels import Floats, GuideWeights, Ints
from hdr.ops._bilateral_lookup import Lookup
from hdr.ops.guide import CurveGuide, PointwiseGuide

_PIXELS_PER_CALL = 1 << 16
_GRADIENT_PARTS = 32  # fixed, so that sums are formed in the same order whatever the number of threads

_NO_WEIGHTS: GuideWeights = (
    kernels.TENSOR_GUIDE,
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
    shared = _depth_last(grid), guide_array, _array(image), out.numpy(), weights, _prepare(lookup, grid, height, width)
    size = max(1, _PIXELS_PER_CALL // width)
    parts = [(item, first, min(first + size, height)) for item in range(batch) for first in range(0, height, size)]
    loop = kernels.forward_loop()
    _run(lambda part: loop(*shared, *parts[part]), len(parts))
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
    unwanted = np.zeros((0, 0, 0, 0), np.float32)
    grad_grid = np.zeros((len(parts), *(packed.shape[1:] if needed[0] else (0, 0, 0))), np.float32)
    grad_guide = np.empty(guide.shape, np.float32) if needed[1] else unwanted
    grad_image = np.empty(image.shape, np.float32) if needed[2] else unwanted
    inputs = packed, _array(guide), _array(image), _array(grad_out)
    prepared = _prepare(lookup, grid, height, width)
    loop = kernels.backward_loop()
    _run(lambda part: loop(*inputs, grad_grid[part], grad_guide, grad_image, prepared, *parts[part]), len(parts))
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
    array: Floats = tensor.detach().numpy()
    return array


def _depth_last(grid: Tensor) -> Floats:
    """(N, C, D, Gh, Gw) as (N, Gh, Gw, C * (D + 1)) with a zero after the last depth."""
    return _array(torch.nn.functional.pad(grid.detach().permute(0, 3, 4, 1, 2), (0, 1)).flatten(3).contiguous())


def _depth_first(packed: Floats, grid: Tensor) -> Tensor:
    unpacked = packed.reshape(*packed.shape[:3], grid.shape[1], -1)[..., :-1]
    return torch.from_numpy(np.ascontiguousarray(unpacked.transpose(0, 3, 4, 1, 2)))


def _prepare(lookup: Lookup, grid: Tensor, height: int, width: int) -> kernels.Lookup:
    depths, grid_height, grid_width = grid.shape[2:]
    row_cell, row_fraction = _axis(*lookup.rows(grid_height, height))
    column_cell, column_fraction = _axis(*lookup.columns(grid_width, width))
    runs = [0]
    for edge in (*(np.flatnonzero(np.diff(column_cell)) + 1).tolist(), width):
        runs.extend(range(runs[-1] + kernels.BLOCK, edge, kernels.BLOCK))
        runs.append(edge)
    scale, offset = (np.float32(value) for value in lookup.depth(depths))
    return (
        depths,
        lookup.has_offset,
        row_cell,
        row_fraction,
        np.asarray(runs, np.int32),
        column_cell,
        column_fraction,
        scale,
        offset,
    )


def _axis(cell: Tensor, fraction: Tensor) -> tuple[Ints, Floats]:
    return cell.numpy().astype(np.int32), fraction.numpy().astype(np.float32)


def _pack(guide: PointwiseGuide | CurveGuide) -> GuideWeights:
    """The layout that ``_bilateral_kernels`` describes."""
    if isinstance(guide, PointwiseGuide):
        kind, tail_bias = kernels.POINTWISE_GUIDE, guide.b2
        units = torch.cat([guide.w1, guide.b1[:, None], guide.w2[:, None]], 1)
        hinges = torch.zeros((len(units), 0, 2))
    else:
        kind, tail_bias = kernels.CURVE_GUIDE, guide.mix_bias
        units = torch.cat([guide.matrix, guide.bias[:, None], guide.mix[:, None]], 1)
        hinges = torch.stack([guide.shifts, guide.slopes], -1)
    factor = 2.0 if isinstance(guide, PointwiseGuide) and guide.activation == "tanh" else 1.0
    tail = torch.stack([tail_bias.detach().reshape(()).float(), torch.tensor(factor)])
    arrays = [_array(tensor.float().contiguous()) for tensor in (units, hinges, tail)]
    return kind, arrays[0], arrays[1], arrays[2]
