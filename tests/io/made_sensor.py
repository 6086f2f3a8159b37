"""Mosaics and RAW files made for the tests of the sensor readers, by another writer than the one under test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

IDENTITY = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def rationals(values: Any, scale: int = 10_000) -> tuple[int, ...]:
    """Numerators and denominators of the values, as tifffile takes them."""
    return tuple(part for value in np.ravel(values) for part in (round(float(value) * scale), scale))


def flat_mosaic(height: int, width: int, pattern: str, levels: dict[str, int]) -> NDArray[np.uint16]:
    """One level per colour."""
    block = np.array([levels[colour] for colour in pattern], np.uint16).reshape(2, 2)
    return np.tile(block, (-(-height // 2), -(-width // 2)))[:height, :width].copy()


def sensor_dng(
    path: Path,
    stored: NDArray,
    *,
    pattern: str = "RGGB",
    white: int = 4095,
    matrix: Any = IDENTITY,
    illuminant: int = 21,
    neutral: Sequence[float] | None = (0.5, 1.0, 0.8),
    tags: Sequence[tuple[Any, ...]] = (),
    photometric: int = 32803,
    repeat: tuple[int, int] = (2, 2),
) -> None:
    """An uncompressed DNG of the stored values; ``tags`` are tifffile's (number, type, count, value, True)."""
    extra: list[tuple[Any, ...]] = [
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50707, 1, 4, bytes((1, 1, 0, 0)), True),
        (271, 2, 0, "Acme", True),
        (272, 2, 0, "One", True),
        (50708, 2, 0, "Acme One", True),
        (50717, 3, 1, white, True),
        (50721, 10, 9, rationals(matrix), True),
        (50778, 3, 1, illuminant, True),
        *tags,
    ]
    if photometric == 32803:
        colours = bytes("RGB".index(colour) for colour in pattern)
        extra += [(33421, 3, 2, repeat, True), (33422, 1, len(colours), colours, True)]
    if neutral is not None:
        extra.append((50728, 5, 3, rationals(neutral), True))
    tifffile.imwrite(
        path, stored, photometric=photometric, planarconfig=1, metadata=None, subfiletype=0, extratags=extra
    )
