"""Slicing a bilateral grid and applying what is sliced: the step that makes a small network's answer full-size.

A grid holds, at a few positions in x and y and a few depths, the coefficients of a small affine map of colours. Each
pixel reads it at its own place and at the depth that its guide gives, blending linearly in all three directions
(Chen, Paris and Durand 2007; Gharbi et al. 2017, section 3.3). Coefficient planes at the size of the picture never
exist here, neither forwards nor backwards: on the CPU compiled loops fuse everything, elsewhere portions of rows do.

Conventions for coordinates:

``"centred"`` (the field's, and ours): cell k of G is centred at (k + 1/2) / G of the picture, a pixel lies at its own
centre, beyond the outermost cell centres the edge is repeated. The same for depth over the guide's range [0, 1]. Equal
to ``grid_sample(align_corners=False, padding_mode="border")``.

``"corner"`` (for imported weights only): the outermost cells lie on the centres of the outermost pixels and on the
guide values 0 and 1, as ``grid_sample(align_corners=True)`` has it; an axis of one pixel reads the middle of the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from hdr.ops import _bilateral_torch
from hdr.ops._bilateral_lookup import Convention, Lookup
from hdr.ops.guide import CurveGuide, PointwiseGuide

GuideFunction = Callable[[Tensor], Tensor]
_PIXELS_PER_STRIP = 1 << 19


def slice_grid(
    grid: Tensor,
    guide: Tensor,
    *,
    convention: Convention = "centred",
    row_offset: int = 0,
    full_height: int | None = None,
) -> Tensor:
    """Read every coefficient of a grid at every pixel.

    Args:
        grid: (N, C, D, Gh, Gw), any values.
        guide: (N, 1, H, W); 0 is the first depth, 1 the last; values outside read the nearest end.
        convention: see the module.
        row_offset, full_height: when ``guide`` holds only rows of a taller picture, where they start and how tall it
            is; the result is that of the whole picture, bit for bit.

    Returns:
        (N, C, H, W). Differentiable by grid and guide. Where the guide is not a number, nor is the result.

    Raises:
        ValueError: shapes that do not fit together.
    """
    if guide.ndim != 4:
        raise ValueError(f"expected a guide (N, 1, H, W), got {tuple(guide.shape)}")
    nothing = guide.new_empty((guide.shape[0], 0, *guide.shape[2:]))
    return slice_apply(
        grid, guide, nothing, convention=convention, row_offset=row_offset, full_height=full_height, has_offset=True
    )


def slice_apply(
    grid: Tensor,
    guide: Tensor | GuideFunction,
    image: Tensor,
    *,
    convention: Convention = "centred",
    has_offset: bool = True,
    row_offset: int = 0,
    full_height: int | None = None,
) -> Tensor:
    """Read a grid of affine maps at every pixel and apply them to the image.

    Coefficients are packed by output channel, the offset last: for RGB ``[a00 a01 a02 b0 a10 ... b2]``. Without
    offset, ``C = O * I``. Works in float32, or float64 if any input is, also under autocast; the result has the widest
    type of the inputs. float32 on the CPU runs compiled loops.

    Args:
        grid: (N, C, D, Gh, Gw) with C = O * (I + 1), any values.
        guide: (N, 1, H, W) as in ``slice_grid``, or a function from the image to it. A function must look at one
            pixel at a time. When no gradient is wanted it is evaluated on a few rows at a time, and ``PointwiseGuide``
            and ``CurveGuide`` inside the compiled loops.
        image: (N, I, H, W), any encoding, any range; nothing is clamped.
        convention, row_offset, full_height: as in ``slice_grid``.
        has_offset: whether each output channel has a constant term.

    Returns:
        (N, O, H, W). Differentiable by grid, guide and image (once). A pixel that is not finite affects only itself.

    Raises:
        ValueError: shapes that do not fit together, an unknown convention, tensors on different devices.
    """
    lookup = _lookup(grid, image, convention, has_offset, row_offset, full_height)
    if not isinstance(guide, Tensor):
        if isinstance(guide, PointwiseGuide | CurveGuide) and guide.channels != image.shape[1]:
            raise ValueError(f"a guide for {guide.channels} channels cannot look at a picture {tuple(image.shape)}")
        probe = guide(image[:, :, :1, :1])  # shows whether the function has parameters that want a gradient
        if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (grid, image, probe))):
            return _apply_function(grid, guide, image, lookup)
        guide = guide(image)
    _check_guide(guide, image)
    kind, work = _types(grid, guide, image)
    tensors = grid.to(work), guide.to(work), image.to(work)
    if torch.compiler.is_compiling():  # plain operations on the whole picture, which torch.compile fuses itself
        return _bilateral_torch.apply(*tensors, lookup).to(kind)
    result: Tensor = cast(Any, _SliceApply).apply(*tensors, lookup)
    return result.to(kind)


def slice_apply_atlas(
    grid: Tensor, guide: Tensor, image: Tensor, *, convention: Convention = "centred", has_offset: bool = True
) -> Tensor:
    """``slice_apply`` in operations that ONNX has had since opset 16, for export with any batch, height and width.

    The depths lie side by side in one flat picture, which is read at the two nearest depths with the two-dimensional
    grid sampling that every runtime knows (the three-dimensional one came with opset 20). Coefficient planes do exist
    at full size here. float32 coordinates over all depths leave an error of at most 1e-5 of a cell in x; the result
    differs from ``slice_apply`` by that times the difference between neighbouring cells. Arguments and errors as
    there; all three tensors float32.
    """
    lookup = _lookup(grid, image, convention, has_offset, 0, None)
    _check_guide(guide, image)
    depths, grid_height, grid_width = grid.shape[2:]
    inputs, height, width = image.shape[1:]
    atlas = grid.permute(0, 1, 3, 2, 4).flatten(-2)
    x = _exported_axis(convention, grid_width, width, guide)
    y = _exported_axis(convention, grid_height, height, guide)[:, None]
    scale, offset = lookup.depth(depths)
    depth = (guide[:, 0] * scale + offset).clamp(0, depths - 1)
    near = depth.floor()
    vertical = (2 * y + 1) / grid_height - 1 + torch.zeros_like(depth)

    def read(z: Tensor) -> Tensor:
        horizontal = (2 * (z * grid_width + x) + 1) / (depths * grid_width) - 1
        place = torch.stack([horizontal, vertical], -1)
        planes: Tensor = functional.grid_sample(
            atlas, place, mode="bilinear", padding_mode="border", align_corners=False
        )
        return planes

    first = read(near)
    affine = first + (depth - near)[:, None] * (read((near + 1).clamp(max=depths - 1)) - first)
    terms = inputs + 1 if has_offset else inputs
    outputs = []
    for start in range(0, terms * lookup.outputs, terms):
        products = (affine[:, start : start + inputs] * image).sum(1, keepdim=True)
        outputs.append(products + affine[:, start + inputs : start + inputs + 1] if has_offset else products)
    return torch.cat(outputs, 1)


class _SliceApply(torch.autograd.Function):
    """Keeps only its inputs; backward reads the grid again instead of storing coefficients."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, guide: Tensor, image: Tensor, lookup: Lookup) -> Tensor:
        ctx.save_for_backward(grid, guide, image)
        ctx.lookup = lookup
        return _loops(grid).forward(grid, guide, image, lookup)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        grid, guide, image = ctx.saved_tensors
        grads = _loops(grid).backward(grid, guide, image, grad_out, ctx.lookup, ctx.needs_input_grad[:3])
        return *grads, None


def _loops(grid: Tensor) -> Any:
    """The module that serves these tensors; the compiled loops are imported only when they are first needed."""
    if grid.device.type == "cpu" and grid.dtype == torch.float32 and not torch.compiler.is_compiling():
        from hdr.ops import _bilateral_cpu

        return _bilateral_cpu
    return _bilateral_torch


def _apply_function(grid: Tensor, guide: GuideFunction, image: Tensor, lookup: Lookup) -> Tensor:
    kind, work = _types(grid, image)
    grid = grid.to(work)
    loops = _loops(grid)
    if isinstance(guide, PointwiseGuide | CurveGuide) and loops is not _bilateral_torch:
        fused: Tensor = loops.forward(grid, guide, image.to(work), lookup)
        return fused.to(kind)
    batch, _, height, width = image.shape
    result = image.new_empty((batch, lookup.outputs, height, width), dtype=kind)
    size = max(1, _PIXELS_PER_STRIP // (batch * width))
    for first in range(0, height, size):
        rows = image[:, :, first : first + size]
        values = guide(rows)
        _check_guide(values, rows)
        part = loops.forward(grid, values.to(work), rows.to(work), lookup.portion(first))
        result[:, :, first : first + size] = part
    return result


def _exported_axis(convention: Convention, cells: int, count: int, like: Tensor) -> Tensor:
    """Positions in cells; ``count`` may be symbolic while a graph is exported, so nothing may depend on its value."""
    position = torch.arange(count, device=like.device).to(like.dtype)
    if convention == "centred":
        position = (position + 0.5) * cells / count - 0.5
    else:
        last = position[-1]
        position = (cells - 1) * torch.where(last > 0, position / last.clamp(min=1), 0.5)
    return position.clamp(0, cells - 1)


def _types(*tensors: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """The widest type among the tensors, and the one to compute in."""
    kind = tensors[0].dtype
    for tensor in tensors[1:]:
        kind = torch.promote_types(kind, tensor.dtype)
    return kind, torch.float64 if kind == torch.float64 else torch.float32


def _lookup(
    grid: Tensor, image: Tensor, convention: Convention, has_offset: bool, row_offset: int, full_height: int | None
) -> Lookup:
    if convention not in ("centred", "corner"):
        raise ValueError(f"convention must be 'centred' or 'corner', got {convention!r}")
    if grid.ndim != 5 or image.ndim != 4 or grid.shape[0] != image.shape[0]:
        raise ValueError(
            "expected a grid (N, C, D, Gh, Gw) and a picture (N, I, H, W) of the same batch size, got "
            f"{tuple(grid.shape)} and {tuple(image.shape)}"
        )
    if 0 in grid.shape or 0 in image.shape[2:]:
        raise ValueError(f"grid {tuple(grid.shape)} or picture {tuple(image.shape)} is empty")
    if grid.device != image.device:
        raise ValueError(f"grid is on {grid.device}, picture on {image.device}")
    terms = image.shape[1] + int(has_offset)
    if terms == 0 or grid.shape[1] % terms:
        raise ValueError(
            f"{grid.shape[1]} coefficients cannot be shared out to rows of {terms} "
            f"({image.shape[1]} channels {'and' if has_offset else 'without'} an offset)"
        )
    height = image.shape[2]
    full_height = row_offset + height if full_height is None else full_height
    if row_offset < 0 or row_offset + height > full_height:
        raise ValueError(
            f"rows {row_offset} to {row_offset + height} do not lie inside a picture of {full_height} rows"
        )
    return Lookup(convention, grid.shape[1] // terms, has_offset, row_offset, full_height)


def _check_guide(guide: Tensor, image: Tensor) -> None:
    expected = (image.shape[0], 1, *image.shape[2:])
    if tuple(guide.shape) != expected:
        raise ValueError(f"expected a guide {expected} for a picture {tuple(image.shape)}, got {tuple(guide.shape)}")
    if guide.device != image.device:
        raise ValueError(f"guide is on {guide.device}, picture on {image.device}")
