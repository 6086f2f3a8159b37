"""Gaussian low-pass of pictures of any size."""

from __future__ import annotations

import math

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
        # Sums of shifted slices: on a CPU several times as fast as a convolution, and mixed precision leaves it alone.
        length, padded = image.shape[dim], _mirrored(image, dim, radius)
        image = padded.narrow(dim, radius, length) * (taps[0] / total)
        for i in range(1, radius + 1):
            pair = padded.narrow(dim, radius - i, length) + padded.narrow(dim, radius + i, length)
            image = image.add_(pair, alpha=taps[i] / total)
    return image


def _mirrored(image: Tensor, dim: int, radius: int) -> Tensor:
    """``radius`` more pixels at both ends of a dimension: ... 1 0 | 0 1 2 | 2 1 ..."""
    length = image.shape[dim]
    index = torch.arange(-radius, length + radius, device=image.device) % (2 * length)
    return image.index_select(dim, torch.minimum(index, 2 * length - 1 - index))
