"""JPEG as files have it, through libjpeg in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]

_FACTORS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def jpeg(display: Tensor, quality: int | Sequence[int], subsampling: Subsampling = "4:2:0") -> Tensor:
    """What is left of a picture after it was written as JPEG and read again.

    With a gradient, and on a device without a way through main memory: :mod:`hdr.ops.jpeg_differentiable`.

    Args:
        display: (3, H, W) or (N, 3, H, W); clamped to [0, 1] and rounded to 8 bits, as a file has to be.
        quality: 1 to 100, the scale of libjpeg; one for all or one per picture.
        subsampling: resolution of the colour channels.

    Returns:
        The same shape, multiples of 1/255, on the device of the input; no gradient.

    Raises:
        ValueError: a quality or subsampling that libjpeg does not know, or not one quality per picture.
    """
    count = len(display) if display.ndim == 4 else 1
    qualities = list(quality) if isinstance(quality, Sequence) else [quality] * count
    if not all(1 <= q <= 100 for q in qualities) or subsampling not in _FACTORS:
        raise ValueError(
            f"JPEG quality {quality} with subsampling {subsampling!r}: wanted 1 to 100 and one of {list(_FACTORS)}"
        )
    if len(qualities) != count:
        raise ValueError(f"{len(qualities)} JPEG qualities for {count} pictures: wanted one for all or one for each")
    pixels = (display.detach().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()
    items = zip(pixels.reshape(count, *pixels.shape[-3:]), qualities, strict=True)
    result = np.stack([_through_jpeg(item, q, subsampling) for item, q in items]).reshape(pixels.shape)
    return torch.from_numpy(result).to(display.device, display.dtype) / 255.0


def _through_jpeg(pixels: np.ndarray, quality: int, subsampling: Subsampling) -> np.ndarray:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _FACTORS[subsampling]]
    bgr = np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    encoded = cv2.imencode(".jpg", bgr, options)[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1].transpose(2, 0, 1))
