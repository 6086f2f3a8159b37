"""Sensor values of camera RAW files: what the camera measured, before any development."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdr.errors import UserError
from hdr.io import exif, libraw, tiff_tags
from hdr.io.files import identify
from hdr.io.samples import check_size
from hdr.ops.bayer import PATTERNS as PATTERNS

_ACCEPTED = (
    "read_sensor accepts RAW files with one value per pixel under a 2x2 Bayer mosaic of red, green and blue; "
    "read_image develops the others"
)
# What LibRaw, its Python binding and the reading of tags raise over damaged files.
_DECODING_ERRORS = (OSError, ValueError, ArithmeticError, RuntimeError, MemoryError)
_PERIOD = 12  # sites along each side that are looked at to tell a Bayer mosaic from others (X-Trans repeats after 6)


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorImage:
    """One capture as the sensor recorded it: the visible area, not demosaicked, not rotated."""

    samples: torch.Tensor
    """uint16 (H, W), rows and columns as the sensor has them; ``orientation`` says how to turn the picture upright."""
    pattern: str
    """Colours of the top-left 2x2 block by rows: RGGB, BGGR, GRBG or GBRG."""
    black_level: tuple[float, float, float, float]
    """Sensor value of black at the four sites of that block, in the same order (row-major)."""
    white_level: int
    """Sensor value at saturation."""
    white_balance: tuple[float, float, float] | None = None
    """As-shot multipliers of R, G, B, the smallest 1; None: the file has no usable ones."""
    colour_matrix: torch.Tensor | None = None
    """float64 (3, 3), CIE XYZ (D65) to camera R, G, B, as DNG's ColorMatrix; None: unknown."""
    orientation: int = 1
    """EXIF orientation, 1 to 8."""
    exposure_time: float | None = None
    """Seconds."""
    aperture: float | None = None
    """F-number."""
    iso: float | None = None
    """Sensitivity."""
    focal_length: float | None = None
    """Millimetres."""
    baseline_exposure: float = 0.0
    """EV that a converter adds to reach the intended brightness (DNG BaselineExposure)."""
    noise_profile: tuple[tuple[float, float], ...] | None = None
    """(S, O) of R, G, B: variance S x + O of a value x in units where 1.0 is the white level (DNG NoiseProfile)."""
    capture_time: datetime.datetime | None = None
    """Local time of the camera, without zone."""
    make: str | None = None
    """Maker of the camera."""
    model: str | None = None
    """Model of the camera."""
    source: Path | None = None
    """Absolute path of the file that it was read from."""

    def __post_init__(self) -> None:
        if self.samples.dtype != torch.uint16 or self.samples.ndim != 2 or min(self.samples.shape) < 2:
            raise ValueError(
                f"samples are uint16 (H, W), at least 2 x 2; found {self.samples.dtype} {tuple(self.samples.shape)}"
            )
        if self.pattern not in PATTERNS:
            raise ValueError(f"pattern is one of {' '.join(PATTERNS)}; found {self.pattern!r}")
        if self.colour_matrix is not None and self.colour_matrix.shape != (3, 3):
            raise ValueError(f"colour_matrix is (3, 3); found {tuple(self.colour_matrix.shape)}")
        if self.noise_profile is not None and [len(pair) for pair in self.noise_profile] != [2, 2, 2]:
            raise ValueError(f"noise_profile is three pairs, of R, G and B; found {self.noise_profile}")
        if self.orientation not in range(1, 9):
            raise ValueError(f"orientation is 1 to 8; found {self.orientation}")


def read_sensor(path: str | os.PathLike[str]) -> SensorImage:
    """The sensor values of a RAW file with a Bayer sensor, and what the file says about them.

    The visible area is the one that LibRaw knows for the camera (masked borders left out), in a DNG its ActiveArea; the
    pattern is that of the visible area's own corner. In a DNG the black levels, the colour matrix, the noise profile
    and BaselineExposure come from its tags, in other files from LibRaw's knowledge of the camera. Exposure facts are as
    the file states them; `hdr.io.exposure_checks` judges them.

    White balance multipliers count as usable when all three are finite and positive and the file states them: equal
    ones only in a DNG, because LibRaw gives equal ones for files of other kinds that have none.

    Raises:
        UserError: the file is missing, damaged, cut off, too large, or not a RAW file with a Bayer sensor.
    """
    path = Path(path).absolute()
    kind = identify(path)
    if kind != "raw":
        raise UserError(f"{path}: this {kind.upper()} file holds a developed picture, not sensor values; {_ACCEPTED}")
    try:
        found, order = tiff_tags.directories(path)
        dng = tiff_tags.read_dng_tags(found, order)
        if dng:
            tiff_tags.check_complete(found, order, path.stat().st_size)
        with libraw.opened(path) as raw:
            area = _visible_area(raw, dng.active_area if dng else None)
            samples = _samples(raw, area, path)
            pattern, indices = _pattern(raw, area, path)
            black = [float(raw.black_level_per_channel[index]) for index in indices]
            multipliers = [float(value) for value in raw.camera_whitebalance[:3]]
            matrix = np.array(raw.rgb_xyz_matrix[:3], dtype=np.float64)
            white_level, orientation, other = int(raw.white_level), libraw.orientation(raw), raw.other
    except _DECODING_ERRORS as error:
        raise UserError(f"{path}: this RAW file cannot be read: {error}") from error
    if dng:
        stated, black = dng.has_white_balance, list(dng.black_level or black)
        colour_matrix = dng.colour_matrix
    else:
        stated = len(set(multipliers)) > 1
        colour_matrix = matrix if abs(np.linalg.det(matrix)) > 1e-6 else None
    if not max(black) < white_level:
        raise UserError(
            f"{path}: its levels are damaged: black {max(black):g} and white {white_level}; black lies below white"
        )
    top = found[0] if found else {}
    facts: dict[str, Any] = libraw.facts(other)
    facts |= exif.facts(top, order)
    facts["focal_length"] = tiff_tags.focal_length(top, order) or facts.get("focal_length")
    time = tiff_tags.capture_time(top) or (other.timestamp if other.timestamp.year > 1970 else None)
    return SensorImage(
        samples=samples,
        pattern=pattern,
        black_level=(black[0], black[1], black[2], black[3]),
        white_level=white_level,
        white_balance=_scaled(multipliers) if stated and libraw.usable(multipliers) else None,
        colour_matrix=None if colour_matrix is None else torch.from_numpy(colour_matrix),
        orientation=orientation,
        baseline_exposure=dng.baseline_exposure if dng else 0.0,
        noise_profile=dng.noise_profile if dng else None,
        capture_time=time,
        source=path,
        **facts,
    )


def read_plain_sensor(
    path: str | os.PathLike[str],
    *,
    width: int,
    height: int,
    bits: int,
    pattern: str,
    black_level: float | Sequence[float],
    white_level: int,
    little_endian: bool = True,
) -> SensorImage:
    """Sensor values of a file that holds nothing else: rows from the top, one or two bytes per value.

    Args:
        bits: that a value may use; up to 8 are stored in one byte, 9 to 16 in two (not packed).
        pattern: RGGB, BGGR, GRBG or GBRG, of the top-left 2x2 block.
        black_level: of all sites, or of the four of that block, row by row.
        white_level: value at saturation.
        little_endian: byte order of values of two bytes.

    Raises:
        UserError: no such file; its length does not fit; values that need more bits; arguments out of range.
    """
    path = Path(path).absolute()
    black = (float(black_level),) * 4 if isinstance(black_level, (int, float)) else tuple(map(float, black_level))
    if pattern not in PATTERNS or not 1 <= bits <= 16 or len(black) != 4:
        raise UserError(
            f"{path}: found pattern {pattern!r}, {bits} bits, {len(black)} black levels; accepted are "
            f"{' '.join(PATTERNS)}, 1 to 16 bits, one black level or four"
        )
    if not 0 <= max(black) < white_level < 2**bits:
        raise UserError(
            f"{path}: found black level {max(black):g} and white level {white_level}; black lies below white and white "
            f"within {bits} bits"
        )
    stored = 1 if bits <= 8 else 2
    try:
        check_size(width, height)
        size = path.stat().st_size
        if size != width * height * stored:
            raise ValueError(
                f"{width} x {height} values of {stored} bytes are {width * height * stored} bytes and the file has "
                f"{size}; check width, height and bits (a file with a header or packed values is not read here)"
            )
        kind = "u1" if stored == 1 else ("<u2" if little_endian else ">u2")
        samples = np.fromfile(path, dtype=kind).reshape(height, width).astype(np.uint16)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: these sensor values cannot be read: {error}") from error
    if int(samples.max()) >= 2**bits:
        raise UserError(
            f"{path}: the value {int(samples.max())} needs more than {bits} bits; check bits and the byte order"
        )
    return SensorImage(
        samples=torch.from_numpy(samples),
        pattern=pattern,
        black_level=(black[0], black[1], black[2], black[3]),
        white_level=white_level,
        source=path,
    )


def binned(image: SensorImage) -> torch.Tensor:
    """Half-size camera RGB without interpolation: each 2x2 block gives its red, the mean of its greens, and its blue.

    Returns:
        float32 (3, H // 2, W // 2), linear, 1.0 = sensor saturation, black subtracted; not clamped (noise about black
        goes below 0, sites above the white level above 1), no white balance, not rotated. A last odd row or column is
        left out.
    """
    samples = image.samples.numpy()
    height, width = (side // 2 * 2 for side in samples.shape)
    planes = np.zeros((3, height // 2, width // 2), np.float32)
    for site, (colour, black) in enumerate(zip(image.pattern, image.black_level, strict=True)):
        values = samples[site // 2 : height : 2, site % 2 : width : 2].astype(np.float32)
        values -= np.float32(black)
        values *= np.float32((0.5 if colour == "G" else 1.0) / (image.white_level - black))
        planes["RGB".index(colour)] += values
    return torch.from_numpy(planes)


def _visible_area(raw: Any, active: tuple[int, int, int, int] | None) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the visible area in the stored mosaic.

    A DNG's own statement stands before LibRaw's: LibRaw moves odd borders by one, which would part the pattern from the
    black levels, as both count from the corner of ActiveArea.
    """
    sizes = raw.sizes
    if active is not None:
        top, left, bottom, right = active
        if 0 <= top < bottom <= sizes.raw_height and 0 <= left < right <= sizes.raw_width:
            return active
    return sizes.top_margin, sizes.left_margin, sizes.top_margin + sizes.height, sizes.left_margin + sizes.width


def _samples(raw: Any, area: tuple[int, int, int, int], path: Path) -> torch.Tensor:
    """The mosaic within the area; a copy, as LibRaw's memory goes with the file."""
    top, left, bottom, right = area
    mosaic = raw.raw_image
    if mosaic is None or mosaic.ndim != 2:
        raise UserError(f"{path}: its pixels hold several values each (linear DNG, Foveon, sRAW); {_ACCEPTED}")
    visible = np.array(mosaic[top:bottom, left:right], dtype=np.uint16)
    if min(visible.shape) < 2:
        raise ValueError(f"its visible area is {visible.shape[1]} x {visible.shape[0]} pixels")
    return torch.from_numpy(visible)


def _pattern(raw: Any, area: tuple[int, int, int, int], path: Path) -> tuple[str, list[int]]:
    """Colours of the area's top-left block and LibRaw's numbers for them, which tell the two greens apart."""
    if raw.raw_pattern is None or raw.num_colors != 3:
        raise UserError(f"{path}: its sensor has {raw.num_colors} colours; {_ACCEPTED}")
    top, left = area[:2]
    seen = np.array([[raw.raw_color(top + y, left + x) for x in range(_PERIOD)] for y in range(_PERIOD)])
    names = raw.color_desc.decode("ascii", "replace")
    pattern = "".join(names[index] for index in seen[:2, :2].flat)
    if pattern not in PATTERNS or (seen != np.tile(seen[:2, :2], (_PERIOD // 2, _PERIOD // 2))).any():
        raise UserError(f"{path}: its mosaic is no repeated 2x2 block (X-Trans, Super CCD); {_ACCEPTED}")
    return pattern, [int(index) for index in seen[:2, :2].flat]


def _scaled(multipliers: list[float]) -> tuple[float, float, float]:
    red, green, blue = (value / min(multipliers) for value in multipliers)
    return red, green, blue
