"""Slice-and-apply with torch operations, for any device and precision: portions of rows, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from hdr.ops._bilateral_lookup import Lookup

_COEFFICIENTS_PER_PORTION = 1 << 23


def forward(grid: Tensor, guide: Tensor, image: Tensor, lookup: Lookup) -> Tensor:
    """(N, O, H, W) in the type and on the device of the three tensors, which must agree."""
    batch, _, height, width = image.shape
    out = image.new_empty((batch, lookup.outputs, height, width))
    for first, end in _portions(grid, image):
        part = lookup.portion(first)
        out[:, :, first:end] = apply(grid, guide[:, :, first:end], image[:, :, first:end], part)
    return out


def backward(
    grid: Tensor, guide: Tensor, image: Tensor, grad_out: Tensor, lookup: Lookup, needed: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients for grid, guide and image where needed, each portion computed again under autograd."""
    grad_grid = torch.zeros_like(grid)
    grad_guide = torch.empty_like(guide)
    grad_image = torch.empty_like(image)
    for first, end in _portions(grid, image):
        leaves = [tensor.detach() for tensor in (grid, guide[:, :, first:end], image[:, :, first:end])]
        wanted = [leaf.requires_grad_() for leaf, need in zip(leaves, needed, strict=True) if need]
        with torch.enable_grad():
            out = apply(leaves[0], leaves[1], leaves[2], lookup.portion(first))
        found = iter(torch.autograd.grad(out, wanted, grad_out[:, :, first:end]))
        if needed[0]:
            grad_grid += next(found)
        if needed[1]:
            grad_guide[:, :, first:end] = next(found)
        if needed[2]:
            grad_image[:, :, first:end] = next(found)
    return grad_grid if needed[0] else None, grad_guide if needed[1] else None, grad_image if needed[2] else None


def _portions(grid: Tensor, image: Tensor) -> Iterator[tuple[int, int]]:
    batch, _, height, width = image.shape
    size = max(1, _COEFFICIENTS_PER_PORTION // (batch * grid.shape[1] * width))
    return ((first, min(first + size, height)) for first in range(0, height, size))


def apply(grid: Tensor, guide: Tensor, image: Tensor, lookup: Lookup) -> Tensor:
    """All rows at once, as plain operations.

    The grid is blended in y once per row, which leaves a small picture over x and depth for each row to sample. That
    halves what a pixel reads, and backwards a cell collects from one row at a time, not from a whole part of the
    picture.
    """
    depths, grid_height, grid_width = grid.shape[2:]
    batch, inputs, height, width = image.shape
    row, fy = _on_device(lookup.rows(grid_height, height), grid)
    column, fx = _on_device(lookup.columns(grid_width, width), grid)
    upper, lower = grid.index_select(3, row), grid.index_select(3, (row + 1).clamp(max=grid_height - 1))
    table = (upper + fy[:, None] * (lower - upper)).permute(0, 3, 1, 2, 4).flatten(0, 1)  # (N * H, C, D, Gw)

    scale, offset = lookup.depth(depths)
    depth = guide * scale + offset
    place = torch.stack(
        [_normalised(column + fx, grid_width).expand(batch, height, width), _normalised(depth[:, 0], depths)], -1
    )
    planes = functional.grid_sample(
        table, place.reshape(-1, 1, width, 2), mode="bilinear", padding_mode="border", align_corners=False
    )
    affine = planes.reshape(batch, height, lookup.outputs, -1, width)
    colours = image.transpose(1, 2)[:, :, None]
    result = (affine[:, :, :, :inputs] * colours).sum(3)
    if lookup.has_offset:
        result = result + affine[:, :, :, inputs]
    # sampling takes a guide that is not a number for the first depth
    return result.transpose(1, 2) + 0 * depth.detach().clamp(0, depths - 1)


def _on_device(axis: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    cell, fraction = axis
    return cell.to(like.device), fraction.to(like.dtype).to(like.device)


def _normalised(position: Tensor, cells: int) -> Tensor:
    """From cells to the -1 to 1 of ``grid_sample(align_corners=False)``."""
    return (2 * position + 1) / cells - 1
