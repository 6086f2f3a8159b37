"""Exposures as the original made them: the mosaic is scaled, and LibRaw develops it with its defaults.

This is the route of Segal's DHDRNet, kept for comparison (``mode=expose selection.route=libraw``). It differs from
``tasks.exposure_selection.ladder.render`` in that it scales integers before demosaicking (AHD), reduces after the tone
curve and after rounding to 8 bits, and lets LibRaw lower the white level to the brightest value where that lies above
75 % of it, by which some rungs of a ladder get up to 0.4 EV too bright. Two of its faults are mended: the black level
of each colour is taken off that colour's own sites, and EV 0 is the file as shot, not a number made from mistaken EXIF
fields.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdr.errors import UserError
from hdr.io import libraw
from hdr.io.sensor import read_sensor

THRESHOLD = 0.75
"""LibRaw's default: white is lowered to the brightest value if that is above this share of it."""


def libraw_exposures(
    path: str | os.PathLike[str],
    evs: Sequence[float],
    *,
    adjust_maximum_thr: float = THRESHOLD,
    reduction: int = 8,
) -> Tensor:
    """Virtual exposures of a RAW file.

    ``R' = min(max(R, b) - b) 2^EV + b, 65535)``, cut to whole numbers, then LibRaw: the camera's white
    balance, AHD, sRGB primaries, no brightening, BT.709 curve, 8 bits; the picture is turned upright and reduced by
    averaging areas.

    Args:
        path: of a file with a Bayer sensor.
        evs: relative to the file as shot, rising or not.
        adjust_maximum_thr: 0 keeps the white level, which makes the ladder true.
        reduction: by which both sides are divided, rounding down.

    Returns:
        (K, 3, H // reduction, W // reduction), display with the BT.709 curve, multiples of 1/255.

    Raises:
        UserError: the file cannot be read, is no Bayer RAW, or is smaller than one reduced pixel.
    """
    import rawpy

    path = Path(path).absolute()
    image = read_sensor(path)  # says in words what is wrong with a file
    if min(image.samples.shape) < reduction:
        height, width = image.samples.shape
        raise UserError(f"{path}: {width} x {height} pixels cannot be reduced by {reduction}")
    pictures = []
    try:
        with libraw.opened(path) as raw:
            stored = raw.raw_image.copy()
            black = np.asarray(raw.black_level_per_channel, np.float32)[raw.raw_colors]
            light = np.maximum(stored, black) - black
            for ev in evs:
                raw.raw_image[:] = np.minimum(light * np.float32(2.0**ev) + black, 65535.0).astype(np.uint16)
                developed = raw.postprocess(
                    use_camera_wb=True, no_auto_bright=True, adjust_maximum_thr=adjust_maximum_thr, output_bps=8
                )
                pictures.append(_reduced(developed, reduction))
    except (OSError, ValueError, ArithmeticError, RuntimeError, rawpy.LibRawError) as error:
        raise UserError(f"{path}: LibRaw cannot develop this file: {error}") from error
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _reduced(samples: NDArray[np.uint8], reduction: int) -> NDArray[np.uint8]:
    height, width = (side // reduction for side in samples.shape[:2])
    return np.asarray(cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA))
