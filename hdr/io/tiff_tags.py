"""The directories of RAW files built like TIFF, and what DNG files say in them about their sensor data.

Tag numbers and meanings: TIFF 6.0; Adobe, Digital Negative (DNG) Specification, version 1.4.0.0, chapter 4.
"""

from __future__ import annotations

import datetime
import math
import struct
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdr.io import exif
from hdr.io.exif import Directory, Entry

PHOTOMETRIC, STRIP_OFFSETS, STRIP_BYTES, SUB_DIRECTORIES = 262, 273, 279, 330
TILE_OFFSETS, TILE_BYTES = 324, 325
BLACK_REPEAT, BLACK_LEVEL, BLACK_DELTA_H, BLACK_DELTA_V, WHITE_LEVEL = 50713, 50714, 50715, 50716, 50717
COLOUR_MATRIX_1, COLOUR_MATRIX_2, ILLUMINANT_1, ILLUMINANT_2 = 50721, 50722, 50778, 50779
CALIBRATION_1, CALIBRATION_2, ANALOG_BALANCE = 50723, 50724, 50727
CALIBRATION_SIGNATURE, PROFILE_SIGNATURE = 50931, 50932
NEUTRAL, WHITE_XY, BASELINE_EXPOSURE, NOISE_PROFILE, ACTIVE_AREA = 50728, 50729, 50730, 51041, 50829
CFA, LINEAR_RAW = 32803, 34892

_MOST_DIRECTORIES = 64
_LAYOUTS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}

# Colour temperatures (K) of EXIF light sources, middles of the ranges that Exif 2.32 gives (tag 0x9208).
# fmt: off
_KELVIN = {
    1: 5500, 2: 4200, 3: 2856, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 12: 6400, 13: 5000, 14: 4150, 15: 3450, 17: 2856,
    18: 4874, 19: 6774, 20: 5503, 21: 6504, 22: 7504, 23: 5003, 24: 3200,
}
# fmt: on
_UNKNOWN_KELVIN = 1000  # farther from D65 than any light source that is named


@dataclass(frozen=True, kw_only=True, eq=False)
class DngTags:
    """What a DNG says of its sensor data; None: the tag is missing or has no usable value."""

    black_level: tuple[float, float, float, float] | None
    """Of the sites of the top-left 2x2 block of the active area, row by row."""
    colour_matrix: NDArray[np.float64] | None
    """(3, 3): XYZ to camera under the calibration illuminant nearest to D65."""
    active_area: tuple[int, int, int, int] | None
    """Rows and columns of the stored image that saw light: top, left, bottom, right."""
    has_white_balance: bool
    baseline_exposure: float
    noise_profile: tuple[tuple[float, float], ...] | None
    """(S, O) of R, G, B."""


def directories(path: Path) -> tuple[list[Directory], str]:
    """All directories of a TIFF structure, IFD0 first, and its byte order; none where the file is no TIFF."""
    with open(path, "rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        try:
            order = exif.byte_order(content)
            first = struct.unpack(order + "I", content[4:8])[0]
        except (exif.DamagedExif, struct.error):
            return [], "<"
        found: list[Directory] = []
        waiting, seen = [first], {0}
        while waiting and len(found) < _MOST_DIRECTORIES:
            offset = waiting.pop(0)
            if offset in seen:
                continue
            seen.add(offset)
            try:
                directory, link = exif.read_directory(content, offset, order)
            except exif.DamagedExif:
                continue
            found.append(directory)
            waiting += [
                *_whole(directory.get(SUB_DIRECTORIES), order)[:_MOST_DIRECTORIES],
                struct.unpack(order + "I", content[link : link + 4])[0],
            ]
        return found, order


def numbers(entry: Entry | Directory | None, order: str) -> tuple[float, ...]:
    """The values of a numeric field; empty for other fields, NaN for a rational with a denominator of 0."""
    if not isinstance(entry, Entry):
        return ()
    if entry.kind in (5, 10):
        parts = struct.unpack(f"{order}{2 * entry.count}{'I' if entry.kind == 5 else 'i'}", entry.data)
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return tuple(above / below if below else math.nan for above, below in pairs)
    layout = _LAYOUTS.get(entry.kind)
    return tuple(map(float, struct.unpack(f"{order}{entry.count}{layout}", entry.data))) if layout else ()


def focal_length(directory: Directory, order: str) -> float | None:
    """Millimetres, by IFD0 and the Exif directory below it."""
    found = numbers(exif.merged(directory).get(exif.FOCAL_LENGTH), order)
    return found[0] if found and math.isfinite(found[0]) and found[0] > 0 else None


def capture_time(directory: Directory) -> datetime.datetime | None:
    """When the picture was taken, with fractions of a second, in the camera's local time; None if it is not said."""
    fields = exif.merged(directory)
    text, fraction = (_data(fields.get(tag)).strip() for tag in (exif.DATE_TIME_ORIGINAL, exif.SUB_SECONDS_ORIGINAL))
    try:
        time = datetime.datetime.strptime(text.decode("ascii"), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return time.replace(microsecond=int(fraction[:6].ljust(6, b"0"))) if fraction.isdigit() else time


def read_dng_tags(found: list[Directory], order: str) -> DngTags | None:
    """What the directories of a file say, when they are those of a DNG; None otherwise.

    Black levels are averages per site: of BlackLevel over its repeating pattern, of BlackLevelDeltaH over the columns
    and of BlackLevelDeltaV over the rows on which the site lies.
    """
    if not found or exif.DNG_VERSION not in found[0]:
        return None
    top, raw = found[0], _raw_directory(found, order)
    baseline, area = numbers(top.get(BASELINE_EXPOSURE), order), _whole(raw.get(ACTIVE_AREA), order)
    return DngTags(
        black_level=_black_level(raw, order),
        colour_matrix=_colour_matrix(top, order),
        active_area=(area[0], area[1], area[2], area[3]) if len(area) == 4 else None,
        has_white_balance=bool(numbers(top.get(NEUTRAL), order) or numbers(top.get(WHITE_XY), order)),
        baseline_exposure=baseline[0] if baseline and math.isfinite(baseline[0]) else 0.0,
        noise_profile=_noise_profile(raw.get(NOISE_PROFILE) or top.get(NOISE_PROFILE), order),
    )


def check_complete(found: list[Directory], order: str, size: int) -> None:
    """``ValueError`` when strips or tiles of a DNG's sensor data lie behind the end of the file.

    LibRaw leaves tiles black that it cannot find.
    """
    raw = _raw_directory(found, order)
    for offsets_tag, bytes_tag in ((STRIP_OFFSETS, STRIP_BYTES), (TILE_OFFSETS, TILE_BYTES)):
        offsets, lengths = numbers(raw.get(offsets_tag), order), numbers(raw.get(bytes_tag), order)
        ends = [offset + length for offset, length in zip(offsets, lengths, strict=False)]
        if ends and max(ends) > size:
            raise ValueError(f"it is cut off: sensor data should reach to byte {max(ends):.0f} and it has {size}")


def _raw_directory(found: list[Directory], order: str) -> Directory:
    """The directory of the sensor data: the full-resolution mosaic (or linear) image, IFD0 where none says so."""
    for directory in found:
        kind, subtype = numbers(directory.get(PHOTOMETRIC), order), numbers(directory.get(254), order)
        if kind[:1] in ((CFA,), (LINEAR_RAW,)) and (subtype[:1] or (0.0,)) == (0.0,):
            return directory
    return found[0]


def _black_level(raw: Directory, order: str) -> tuple[float, float, float, float] | None:
    levels, repeat = numbers(raw.get(BLACK_LEVEL), order), _whole(raw.get(BLACK_REPEAT), order)
    rows, columns = repeat if len(repeat) == 2 else (1, 1)
    if not (1 <= rows <= 16 and 1 <= columns <= 16 and len(levels) == rows * columns):
        levels, rows, columns = (0.0,), 1, 1
    # Repeated once more in both directions, every pattern has an even period.
    sites = np.tile(np.reshape(levels, (rows, columns)), (2, 2))
    delta_h, delta_v = (np.asarray(numbers(raw.get(tag), order)) for tag in (BLACK_DELTA_H, BLACK_DELTA_V))
    found = []
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        deltas = [part.mean() for part in (delta_v[y::2], delta_h[x::2]) if part.size]
        found.append(float(sites[y::2, x::2].mean() + sum(deltas)))
    return (found[0], found[1], found[2], found[3]) if all(map(math.isfinite, found)) else None


def _colour_matrix(top: Directory, order: str) -> NDArray[np.float64] | None:
    """AnalogBalance x CameraCalibration x ColorMatrix (DNG 1.4, chapter 6) of the illuminant nearest to D65."""
    candidates: list[tuple[float, int, NDArray[np.float64]]] = []
    for matrix_tag, calibration_tag, illuminant_tag in (
        (COLOUR_MATRIX_1, CALIBRATION_1, ILLUMINANT_1),
        (COLOUR_MATRIX_2, CALIBRATION_2, ILLUMINANT_2),
    ):
        matrix = _matrix(top.get(matrix_tag), order)
        if matrix is None:
            continue
        calibration = _matrix(top.get(calibration_tag), order)
        if calibration is not None and _data(top.get(CALIBRATION_SIGNATURE)) == _data(top.get(PROFILE_SIGNATURE)):
            matrix = calibration @ matrix
        illuminant = _whole(top.get(illuminant_tag), order)
        kelvin = _KELVIN.get(illuminant[0], _UNKNOWN_KELVIN) if illuminant else _UNKNOWN_KELVIN
        candidates.append((abs(1 / kelvin - 1 / 6504), len(candidates), matrix))
    if not candidates:
        return None
    matrix = min(candidates)[2]
    balance = np.asarray(numbers(top.get(ANALOG_BALANCE), order))
    if balance.shape == (3,) and np.isfinite(balance).all() and (balance > 0).all():
        matrix = np.diag(balance) @ matrix
    return matrix


def _whole(entry: Entry | Directory | None, order: str) -> list[int]:
    return [int(value) for value in numbers(entry, order) if math.isfinite(value)]


def _matrix(entry: Entry | Directory | None, order: str) -> NDArray[np.float64] | None:
    values = np.asarray(numbers(entry, order))
    if values.shape != (9,) or not np.isfinite(values).all() or abs(np.linalg.det(values.reshape(3, 3))) < 1e-6:
        return None
    return values.reshape(3, 3)


def _data(entry: Entry | Directory | None) -> bytes:
    return entry.data.rstrip(b"\0") if isinstance(entry, Entry) else b""


def _noise_profile(entry: Entry | Directory | None, order: str) -> tuple[tuple[float, float], ...] | None:
    """One pair holds for all colours, otherwise there is one for each (DNG 1.4, NoiseProfile)."""
    values = numbers(entry, order)
    if len(values) == 2:
        values = values * 3
    if len(values) != 6 or not all(math.isfinite(value) and value >= 0 for value in values):
        return None
    return tuple(zip(values[::2], values[1::2], strict=True))
