"""Resizing with a low-pass: what a network sees of a large photo."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_antialiased(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize to ``size`` = (height, width) with a triangle filter as wide as the reduction; bilinear when enlarging.

    ``image`` is (N, C, H, W) or (C, H, W), any encoding: weights are non-negative and add up to 1, so that values keep
    their range and HDR values above 1 survive. Pixel centres are at half-integers; at borders the weights inside the
    image are normalised. The aspect ratio follows ``size``.

    Exported to ONNX it is one Resize node with ``antialias=1``: that needs opset 18 and the exporter of
    ``torch.onnx.export(dynamo=True)``; the input size may be dynamic. `resize_by_matrices` is the same without either.

    Source: Turkowski, Filters for Common Resampling Tasks, Graphics Gems, 1990 (the tent filter).
    """
    batch = image if image.ndim == 4 else image[None]
    result = F.interpolate(batch, size=size, mode="bilinear", antialias=True, align_corners=False)
    return result if image.ndim == 4 else result[0]


def resize_by_matrices(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`resize_antialiased` as two matrix products: for runtimes and opsets that know no antialiased Resize.

    Same arguments and, but for rounding, the same values. It exports with fixed or dynamic input size, in opsets 13 to
    17 by the older exporter, from 18 on by either. The matrices are dense: 24 megapixels to 256x256 cost about 40
    GFLOP, and one non-finite pixel makes all of its channel NaN.
    """
    rows = _tent_weights(image.shape[-2], size[0], image)
    columns = _tent_weights(image.shape[-1], size[1], image)
    return rows @ image @ columns.T


def _tent_weights(length: int, target: int, like: Tensor) -> Tensor:
    """(target, length) weights; row i is the tent about the centre of output sample i in input coordinates."""
    scale = length / target
    source = torch.arange(length, dtype=like.dtype, device=like.device) + 0.5
    centre = (torch.arange(target, dtype=like.dtype, device=like.device) + 0.5) * scale
    distance = (source - centre[:, None]).abs()
    # distance / max(scale, 1) without a Python branch, which an export would freeze at its example's sizes.
    weights = (1 - torch.minimum(distance, distance / scale)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
