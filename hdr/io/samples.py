"""Stored samples (H, W, C) to float planes (C, H, W) and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

MAX_PIXELS = 400_000_000
"""Larger images are refused by their header: no camera makes them, and a small file can pretend to hold one."""


def check_size(width: int, height: int) -> None:
    """``ValueError`` when the header asks for no pixels at all or for more than ``MAX_PIXELS``."""
    if width < 1 or height < 1:
        raise ValueError(f"the header gives {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels; at most {MAX_PIXELS // 1_000_000} megapixels are accepted")


def orient(samples: NDArray, orientation: int) -> NDArray:
    """A view of the samples (H, W, ...) turned upright, for an EXIF orientation of 1 to 8 (Exif 2.32, 4.6.4.A)."""
    if orientation in (5, 6, 7, 8):  # rows and columns change places
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def to_planes(samples: NDArray) -> torch.Tensor:
    """(H, W, C) samples, C of 1 or 3, as float32 (3, H, W): 8 and 16 bit integers span [0, 1], floats stay as they are.

    A single channel becomes three equal ones.
    """
    height, width, channels = samples.shape
    planes = torch.empty((3, height, width), dtype=torch.float32)
    for index in range(3):
        _fill(planes[index], samples[..., min(index, channels - 1)])
    return planes


def to_plane(samples: NDArray) -> torch.Tensor:
    """(H, W) samples as a float32 plane, scaled as ``to_planes`` does."""
    plane = torch.empty(samples.shape, dtype=torch.float32)
    _fill(plane, samples)
    return plane


def to_samples(planes: list[torch.Tensor], bits: int) -> NDArray:
    """Planes (H, W) in [0, 1] as (H, W, C) integers of 8 or 16 bits, rounded once, to the nearest.

    Values outside [0, 1] are clipped: an integer file can hold nothing else.
    """
    kind, peak = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    samples = np.empty((*planes[0].shape, len(planes)), kind)
    for index, plane in enumerate(planes):
        scaled = plane.clamp(0, 1).mul_(peak).round_()
        np.copyto(samples[..., index], scaled.numpy(), casting="unsafe")
    return samples


def _fill(plane: torch.Tensor, samples: NDArray) -> None:
    if samples.dtype.kind == "u":
        np.divide(samples, np.float32(np.iinfo(samples.dtype).max), out=plane.numpy(), dtype=np.float32)
    else:
        plane.numpy()[...] = samples
