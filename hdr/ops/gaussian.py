"""Gaussian low-pass of pictures of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_REACH = 4.0  # standard deviations; what lies beyond has 6e-5 of the weight


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Low-pass (..., H, W) with a Gaussian of ``sigma`` pixels, cut at 4 ``sigma``.

    Any encoding: the weights are positive and add up to 1, so that values keep their range. Beyond a border the picture
    goes on as its mirror image (the pixel at the border twice), as often as the kernel needs: any size is accepted,
    and the mean is kept. A non-finite pixel spreads as far as the kernel reaches. Differentiable in ``image``.

    Raises:
        ValueError: ``sigma`` is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"the width of a Gaussian is positive, got sigma {sigma}")
    radius = math.ceil(_REACH * sigma)
    taps = [math.exp(-((i / sigma) ** 2) / 2) for i in range(radius + 1)]
    total = math.fsum(taps) * 2 - taps[0]
    for dim in (-1, -2):
        image = filter_along(_mirrored(image, dim, radius), dim, [tap / total for tap in taps])
    return image


def filter_along(values: Tensor, dim: int, taps: Sequence[float]) -> Tensor:
    """Filter one dimension with a symmetric kernel, full windows only: ``len(taps) - 1`` fewer samples at both ends.

    ``taps`` are the weights from the centre outwards. Sums of shifted slices: on a CPU several times as fast as a
    convolution, the backward pass keeps no copies, and automatic mixed precision leaves it alone.
    """
    radius = len(taps) - 1
    length = values.shape[dim] - 2 * radius
    # From the outside, where weights are small, so that less is rounded away; and in place one after the other, as sums
    # of pairs in memory of their own would take twice as long.
    result = torch.zeros_like(values.narrow(dim, radius, length))
    for i in range(radius, 0, -1):
        result = result.add_(values.narrow(dim, radius - i, length), alpha=taps[i])
        result = result.add_(values.narrow(dim, radius + i, length), alpha=taps[i])
    return result.add_(values.narrow(dim, radius, length), alpha=taps[0])


def _mirrored(image: Tensor, dim: int, radius: int) -> Tensor:
    """``radius`` more pixels at both ends of a dimension: ... 1 0 | 0 1 2 | 2 1 ..."""
    length = image.shape[dim]
    index = torch.arange(-radius, length + radius, device=image.device) % (2 * length)
    return image.index_select(dim, torch.minimum(index, 2 * length - 1 - index))
