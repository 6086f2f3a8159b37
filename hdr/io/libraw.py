"""What reading sensor values and developing them have in common: LibRaw, opened with care, and its facts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hdr.io.samples import check_size

# LibRaw's flip: 1 mirrors columns, 2 mirrors rows, 4 exchanges them.
_FLIP_TO_ORIENTATION = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}

# Compressed sensor data of real photographs take half a byte per pixel and more, a lossless JPEG an eighth at least.
_MOST_PIXELS_PER_BYTE = 64


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as ``rawpy.RawPy``, its size checked before any pixel is unpacked.

    Raises ``ValueError`` for all that LibRaw complains about, here and in the block, and for sizes that are absurd.
    """
    import rawpy

    try:
        with rawpy.imread(str(path)) as raw:
            width, height = raw.sizes.raw_width, raw.sizes.raw_height
            check_size(width, height)
            if width * height > _MOST_PIXELS_PER_BYTE * path.stat().st_size:
                raise ValueError(f"its header promises {width} x {height} pixels, far more than the file can hold")
            yield raw
    except rawpy.LibRawError as error:
        text = error.args[0] if error.args else type(error).__name__
        reason = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
        raise ValueError(f"LibRaw says: {reason}") from error


def orientation(raw: Any) -> int:
    """EXIF orientation, 1 to 8."""
    return _FLIP_TO_ORIENTATION.get(raw.sizes.flip, 1)


def facts(other: Any) -> dict[str, float]:
    """exposure_time (s), aperture (f-number), iso, focal_length (mm): those that are known, of ``RawPy.other``."""
    values = {
        "exposure_time": other.shutter_speed,
        "aperture": other.aperture,
        "iso": other.iso_speed,
        "focal_length": other.focal_length,
    }
    return {name: float(value) for name, value in values.items() if math.isfinite(value) and value > 0}


def usable(multipliers: Sequence[float]) -> bool:
    """True for white balance multipliers R, G, B that are all finite and above zero."""
    return all(math.isfinite(value) and value > 0 for value in multipliers[:3])
