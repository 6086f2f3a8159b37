"""Slice-and-apply with torch operations, for any device and precision: portions of rows, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hdr.ops._bilateral_lookup import Lookup

_COEFFICIENTS_PER_PORTION = 1 << 22


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


def _on_device(axis: tuple[Tensor, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    cell, fraction = axis
    return cell.to(like.device), fraction.to(like.dtype).to(like.device)


def apply(grid: Tensor, guide: Tensor, image: Tensor, lookup: Lookup) -> Tensor:
    """The four cells around each pixel that differ in x and depth, read from a grid that is blended in y per row."""
    coefficients, depths, grid_height, grid_width = grid.shape[1:]
    batch, inputs, height, width = image.shape
    row, fy = _on_device(lookup.rows(grid_height, height), grid)
    column, fx = _on_device(lookup.columns(grid_width, width), grid)
    upper, lower = grid.index_select(3, row), grid.index_select(3, (row + 1).clamp(max=grid_height - 1))
    table = (upper + fy[:, None] * (lower - upper)).flatten(2)  # (N, C, D * H * Gw)

    scale, offset = lookup.depth(depths)
    wanted = guide * scale + offset
    held = wanted.detach().clamp(0, depths - 1)
    depth = torch.where((wanted > 0) & (wanted < depths - 1), wanted, held)  # no slope at the ends
    near = depth.detach().floor()
    fz = depth - near
    near = near.long().clamp(0, depths - 1)  # also where the guide is not a number
    far = (near + 1).clamp(max=depths - 1)
    lines = torch.arange(height, device=grid.device)[:, None]
    right = (column + 1).clamp(max=grid_width - 1)

    def read(z: Tensor, x: Tensor) -> Tensor:
        index = ((z * height + lines) * grid_width + x).flatten(2).expand(-1, coefficients, -1)
        return table.gather(2, index).reshape(batch, coefficients, height, width)

    def across(z: Tensor) -> Tensor:
        left = read(z, column)
        return left + fx * (read(z, right) - left)

    first = across(near)
    affine = first + fz * (across(far) - first)
    affine = affine.reshape(batch, lookup.outputs, -1, height, width)
    product = (affine[:, :, :inputs] * image[:, None]).sum(2)
    return product + affine[:, :, inputs] if lookup.has_offset else product
