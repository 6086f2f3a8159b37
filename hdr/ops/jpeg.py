"""JPEG as files have it, through libjpeg in memory."""

from __future__ import annotations

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


def jpeg(display: Tensor, quality: int, subsampling: Subsampling = "4:2:0") -> Tensor:
    """What is left of a picture after it was written as JPEG and read again.

    Args:
        display: (3, H, W) or (N, 3, H, W); clamped to [0, 1] and rounded to 8 bits, as a file has to be.
        quality: 1 to 100, the scale of libjpeg.
        subsampling: resolution of the colour channels.

    Returns:
        The same shape, multiples of 1/255, on the device of the input; no gradient.

    Raises:
        ValueError: a quality or subsampling that libjpeg does not know.
    """
    if not 1 <= quality <= 100 or subsampling not in _FACTORS:
        raise ValueError(
            f"JPEG quality {quality} with subsampling {subsampling!r}: wanted 1 to 100 and one of {list(_FACTORS)}"
        )
    pixels = (display.detach().clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()
    if pixels.ndim == 3:
        result = _through_jpeg(pixels, quality, subsampling)
    else:
        result = np.stack([_through_jpeg(item, quality, subsampling) for item in pixels])
    return torch.from_numpy(result).to(display.device, display.dtype) / 255.0


def _through_jpeg(pixels: np.ndarray, quality: int, subsampling: Subsampling) -> np.ndarray:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _FACTORS[subsampling]]
    bgr = np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0))
    encoded = cv2.imencode(".jpg", bgr, options)[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1].transpose(2, 0, 1))
