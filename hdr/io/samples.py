"""Stored samples (H, W, C) to float planes (C, H, W) and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

HALF_MAX = 65504.0

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
    """Planes (H, W) in [0, 1] as (H, W, C) integers from 0 to 2^bits - 1 (8 bits in uint8, 9 to 16 in uint16).

    Rounded once, to the nearest. Values outside [0, 1] are clipped: an integer file can hold nothing else.
    """
    samples = np.empty((*planes[0].shape, len(planes)), np.uint8 if bits <= 8 else np.uint16)
    for index, plane in enumerate(planes):
        np.copyto(samples[..., index], plane.clamp(0, 1).mul_(2**bits - 1).round_().numpy(), casting="unsafe")
    return samples


def spread(samples: NDArray, bits: int) -> NDArray:
    """Integers of so many bits spread over the whole range of their type; ``ValueError`` where they have more."""
    if bits == 8 * samples.itemsize:
        return samples
    if samples.dtype not in (np.uint8, np.uint16) or bits > 8 * samples.itemsize:
        raise ValueError(f"its samples are {samples.dtype} of {bits} bits; up to 16 bits are read")
    return np.rint(np.arange(2**bits) * (np.iinfo(samples.dtype).max / (2**bits - 1))).astype(samples.dtype)[samples]


def exceeds_half(planes: torch.Tensor) -> bool:
    """True when a finite value would round to infinity as a half float."""
    magnitude = planes.abs()
    return bool(((magnitude >= HALF_MAX + 16) & torch.isfinite(magnitude)).any())


def refuse_beyond_half(planes: torch.Tensor) -> None:
    """``ValueError`` when ``exceeds_half``."""
    if exceeds_half(planes):
        raise ValueError(f"values above {HALF_MAX:.0f} do not fit 16 bit floats; write it with bits=32")


def _fill(plane: torch.Tensor, samples: NDArray) -> None:
    if samples.dtype.kind == "u":
        np.divide(samples, np.float32(np.iinfo(samples.dtype).max), out=plane.numpy(), dtype=np.float32)
    else:
        plane.numpy()[...] = samples
