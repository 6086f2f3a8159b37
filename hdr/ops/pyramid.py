"""Gaussian and Laplacian pyramids of any size, exactly invertible, with OpenCV's borders.

Sizes halve upwards: n -> (n + 1) // 2, so that odd sizes lose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def level_count(height: int, width: int) -> int:
    """Levels of the deepest pyramid, the picture itself included: floor(log2(shorter side)) + 1."""
    return min(int(height), int(width)).bit_length()  # a traced shape has tensors


def reduce_level(image: Tensor) -> Tensor:
    """The next level of a Gaussian pyramid: (..., H, W) to (..., (H + 1) // 2, (W + 1) // 2).

    Low-pass by [1, 4, 6, 4, 1] / 16 along each axis (Burt and Adelson 1983, a = 3/8), then every other sample from the
    first one on. Borders are mirrored without repeating the edge. Linear, so any range and sign; ``cv2.pyrDown``.
    """
    return _reduce_rows(_reduce_rows(image).transpose(-1, -2)).transpose(-1, -2)


def expand_level(image: Tensor, size: Sequence[int]) -> Tensor:
    """A level brought to the size of the one below it, whose ``reduce_level`` has the shape of ``image``.

    Zeros between the samples and 4 times the kernel of :func:`reduce_level`: even places hold
    (a[i-1] + 6 a[i] + a[i+1]) / 8, odd ones (a[i] + a[i+1]) / 2. Before the first sample the picture is mirrored,
    behind the last one it is repeated: ``cv2.pyrUp``.

    Args:
        image: (..., h, w), any range and sign.
        size: (H, W) with h == (H + 1) // 2 and w == (W + 1) // 2.

    Raises:
        ValueError: another size.
    """
    height, width = size
    if tuple(image.shape[-2:]) != ((height + 1) // 2, (width + 1) // 2):
        raise ValueError(f"a level of {tuple(image.shape[-2:])} is not half of {height} x {width}")
    return _expand_rows(_expand_rows(image, height).transpose(-1, -2), width).transpose(-1, -2)


def gaussian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """``levels`` pictures, the finest (``image`` itself) first."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(reduce_level(pyramid[-1]))
    return pyramid


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Details of each scale, finest first, signed; the last level holds what is left (Burt and Adelson 1983).

    ``collapse(laplacian_pyramid(x, n))`` is x, up to rounding.
    """
    gaussian = gaussian_pyramid(image, levels)
    details = [fine - expand_level(coarse, fine.shape[-2:]) for fine, coarse in pairwise(gaussian)]
    return [*details, gaussian[-1]]


def collapse(pyramid: Sequence[Tensor]) -> Tensor:
    """The picture of a Laplacian pyramid (finest level first)."""
    image = pyramid[-1]
    for detail in reversed(pyramid[:-1]):
        image = detail + expand_level(image, detail.shape[-2:])
    return image


def _reduce_rows(x: Tensor) -> Tensor:
    rows = x.shape[-2]
    padded = _mirror_rows(x)
    even, odd = padded[..., 0::2, :], padded[..., 1::2, :]
    count = (rows + 1) // 2
    outer = even[..., :count, :] + even[..., 2 : count + 2, :]
    inner = odd[..., :count, :] + odd[..., 1 : count + 1, :]
    return (outer + 4.0 * inner + 6.0 * even[..., 1 : count + 1, :]) * (1 / 16)


def _mirror_rows(x: Tensor) -> Tensor:
    """Two rows more on each side, mirrored; a picture of one or two rows as often as it takes."""
    rows = x.shape[-2]
    if rows == 1:
        return x.expand(*x.shape[:-2], 5, x.shape[-1])
    before, after = ((2, 1), (rows - 2, rows - 3)) if rows > 2 else ((0, 1), (0, 1))
    parts = [x[..., place : place + 1, :] for place in (*before, *after)]
    return torch.cat([*parts[:2], x, *parts[2:]], dim=-2)


def _expand_rows(x: Tensor, rows: int) -> Tensor:
    count = x.shape[-2]
    if count == 1:
        return x.expand(*x.shape[:-2], rows, x.shape[-1])
    before = torch.cat([x[..., 1:2, :], x[..., :-1, :]], dim=-2)
    after = torch.cat([x[..., 1:, :], x[..., -1:, :]], dim=-2)
    even = (before + 6.0 * x + after) * 0.125
    odd = (x + after) * 0.5
    return torch.stack([even, odd], dim=-2).flatten(-3, -2)[..., :rows, :]
