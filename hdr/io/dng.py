"""Write sensor values as a DNG file that raw converters open like a camera's own.

Layout and tags: Adobe, Digital Negative (DNG) Specification, version 1.4.0.0; Exif 2.32 (CIPA DC-008). One directory,
IFD0, holds the mosaic, and an Exif directory hangs below it: a preview is optional, and a file without one is read by
all the converters that were tried.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from hdr.errors import UserError
from hdr.io import exif, tiff_tags
from hdr.io.atomic import refuse_target, write_atomically
from hdr.io.exif import Directory, Entry
from hdr.io.sensor import SensorImage

Compression = Literal["none", "lossless_jpeg"]

_TILE = 512
_SMALLEST = 22
_DEPTHS = (10, 12, 14, 16)
_COLOURS = "RGB"  # the numbers by which CFAPattern and CFAPlaneColor name them
_D65 = 21
_BYTES, _TEXT, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SIGNED_RATIONAL, _DOUBLE = 1, 2, 3, 4, 5, 7, 10, 12
_LARGEST = {_RATIONAL: 2**32 - 1, _SIGNED_RATIONAL: 2**31 - 1}


def write_dng(
    path: str | os.PathLike[str],
    image: SensorImage,
    *,
    overwrite: bool = False,
    compression: Compression = "lossless_jpeg",
) -> None:
    """Write a DNG 1.4 file with the image's sensor values, bit by bit, and all that it says about them.

    Any size from 22 x 22 on, odd ones too (LibRaw takes smaller files for damaged). ``lossless_jpeg``: tiles of two
    interleaved components, as Adobe's converter writes them, at the smallest of 10, 12, 14 and 16 bits that holds the
    white level and all samples; ``none``: 16 bits per sample. ISO is rounded to a whole number. The file appears whole
    or not at all.

    Raises:
        UserError: the name does not end in .dng; the folder is missing; the file exists and ``overwrite`` is off; it is
            the file the image was read from; the image is too small; it has no colour matrix, without which no DNG is
            valid; facts that a DNG cannot state (not finite, not positive, levels out of order).
        ValueError: another compression.
    """
    path = Path(path).absolute()
    if compression not in ("none", "lossless_jpeg"):
        raise ValueError(f"compression is none or lossless_jpeg; found {compression!r}")
    if path.suffix.lower() != ".dng":
        raise UserError(f"{path}: a DNG file is written, and its name ends in .dng; found '{path.suffix}'")
    refuse_target(path, image.source, overwrite)
    _refuse_facts(path, image)
    samples = image.samples.numpy()
    directory = _mosaic_tags(image) | _colour_tags(image) | _description(image)
    if compression == "none":
        bits, chunks = 16, iter([np.ascontiguousarray(samples, dtype="<u2").tobytes()])
        offsets_tag, lengths_tag = tiff_tags.STRIP_OFFSETS, tiff_tags.STRIP_BYTES
        directory |= {259: _shorts(1), 278: _longs(samples.shape[0])}
    else:
        peak = max(image.white_level, int(samples.max()))
        bits, side = next(depth for depth in _DEPTHS if peak < 2**depth), _tile_side(samples)
        chunks = _tiles(samples, side, bits)
        offsets_tag, lengths_tag = tiff_tags.TILE_OFFSETS, tiff_tags.TILE_BYTES
        directory |= {259: _shorts(7), 322: _longs(side[1]), 323: _longs(side[0])}
    directory[258] = _shorts(bits)
    try:
        with write_atomically(path) as temporary:
            _write(temporary, chunks, directory, offsets_tag, lengths_tag)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error}") from error


def _write(path: Path, chunks: Iterator[bytes], directory: Directory, offsets_tag: int, lengths_tag: int) -> None:
    """The header, the chunks of the image, then the directories that tell where they lie (TIFF 6.0, section 2)."""
    offsets, lengths = [], []
    with open(path, "wb") as stream:
        stream.write(bytes(8))
        for chunk in chunks:
            offsets.append(stream.tell())
            lengths.append(len(chunk))
            stream.write(chunk + bytes(len(chunk) % 2))
        directory = directory | {offsets_tag: _longs(*offsets), lengths_tag: _longs(*lengths)}
        position = stream.tell()
        stream.write(exif.pack_directory(directory, position, "<"))
        stream.seek(0)
        stream.write(exif.header("<", position))


def _tile_side(samples: NDArray) -> tuple[int, int]:
    """Rows and columns of a tile: multiples of 16 (TIFF 6.0, section 15), no larger than the image.

    LibRaw 0.22 reads the rows of a tile that is wider than the image as if they ended with the image.
    """
    rows, columns = (min(_TILE, side // 16 * 16) for side in samples.shape)
    return rows, columns


def _tiles(samples: NDArray, side: tuple[int, int], bits: int) -> Iterator[bytes]:
    """Lossless JPEG (ITU-T T.81, process 14), each value predicted from its left neighbour of the same colour.

    Pairs of columns count as the two components of a pixel, so that this neighbour is the one next to it.
    """
    height, width = samples.shape
    rows, columns = side

    def encode(corner: tuple[int, int]) -> bytes:
        top, left = corner
        part = samples[top : top + rows, left : left + columns]
        tile = np.pad(part, ((0, rows - part.shape[0]), (0, columns - part.shape[1])), mode="edge")
        pairs = tile.reshape(rows, columns // 2, 2)
        return bytes(imagecodecs.jpeg8_encode(pairs, lossless=True, predictor=1, bitspersample=bits))

    corners = [(top, left) for top in range(0, height, rows) for left in range(0, width, columns)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(encode, corners)


def _mosaic_tags(image: SensorImage) -> Directory:
    height, width = image.samples.shape
    return {
        254: _longs(0),
        256: _longs(width),
        257: _longs(height),
        tiff_tags.PHOTOMETRIC: _shorts(tiff_tags.CFA),
        277: _shorts(1),
        284: _shorts(1),
        33421: _shorts(2, 2),
        33422: Entry(_BYTES, 4, bytes(_COLOURS.index(colour) for colour in image.pattern)),
        50710: Entry(_BYTES, 3, bytes(range(3))),
        50711: _shorts(1),
        tiff_tags.BLACK_REPEAT: _shorts(2, 2),
        tiff_tags.BLACK_LEVEL: _rationals(image.black_level),
        tiff_tags.WHITE_LEVEL: _longs(image.white_level),
        50719: _longs(0, 0),
        50720: _longs(width, height),
        tiff_tags.ACTIVE_AREA: _longs(0, 0, height, width),
    }


def _colour_tags(image: SensorImage) -> Directory:
    assert image.colour_matrix is not None
    tags: Directory = {
        tiff_tags.COLOUR_MATRIX_1: _rationals(image.colour_matrix.flatten().tolist(), _SIGNED_RATIONAL),
        tiff_tags.ILLUMINANT_1: _shorts(_D65),
        tiff_tags.BASELINE_EXPOSURE: _rationals([image.baseline_exposure], _SIGNED_RATIONAL),
    }
    if image.white_balance is not None:
        tags[tiff_tags.NEUTRAL] = _rationals([1 / multiplier for multiplier in image.white_balance])
    if image.noise_profile is not None:
        values = [value for pair in image.noise_profile for value in pair]
        tags[tiff_tags.NOISE_PROFILE] = Entry(_DOUBLE, len(values), struct.pack(f"<{len(values)}d", *values))
    return tags


def _description(image: SensorImage) -> Directory:
    camera = " ".join(part for part in (image.make, image.model) if part) or "Unknown camera"
    tags: Directory = {
        exif.ORIENTATION: _shorts(image.orientation),
        305: _text("hdr-lab"),
        exif.DNG_VERSION: Entry(_BYTES, 4, bytes((1, 4, 0, 0))),
        50707: Entry(_BYTES, 4, bytes((1, 1, 0, 0))),  # the oldest version whose readers understand all that is here
        50708: _text(camera),
    }
    tags |= {tag: _text(text) for tag, text in ((exif.MAKE, image.make), (exif.MODEL, image.model)) if text}
    inner: Directory = {0x9000: Entry(_UNDEFINED, 4, b"0232")}
    for tag, value in (
        (exif.EXPOSURE_TIME, image.exposure_time),
        (exif.F_NUMBER, image.aperture),
        (exif.FOCAL_LENGTH, image.focal_length),
    ):
        if value is not None:
            inner[tag] = _rationals([value])
    if image.iso is not None:
        iso = round(image.iso)
        inner[exif.ISO] = _shorts(min(iso, 65535))
        if iso >= 65535:  # the short field then only refers to this one (Exif 2.32, SensitivityType 2)
            inner |= {0x8830: _shorts(2), exif.RECOMMENDED_EXPOSURE_INDEX: _longs(iso)}
    if image.capture_time is not None:
        stamp = _text(image.capture_time.strftime("%Y:%m:%d %H:%M:%S"))
        tags[exif.DATE_TIME] = inner[exif.DATE_TIME_ORIGINAL] = stamp
        if image.capture_time.microsecond:
            inner[exif.SUB_SECONDS_ORIGINAL] = _text(f"{image.capture_time.microsecond:06d}")
    tags[exif.EXIF_POINTER] = inner
    return tags


def _refuse_facts(path: Path, image: SensorImage) -> None:
    height, width = image.samples.shape
    if min(height, width) < _SMALLEST:
        raise UserError(f"{path}: the image is {width} x {height}; a DNG takes {_SMALLEST} x {_SMALLEST} or more")
    if image.colour_matrix is None:
        raise UserError(
            f"{path}: the image has no colour matrix and a DNG needs one; give it that of its camera, from XYZ (D65) "
            "to camera RGB, with dataclasses.replace(image, colour_matrix=...)"
        )
    if not (min(image.black_level) >= 0 and max(image.black_level) < image.white_level < 65536):
        raise UserError(
            f"{path}: black levels {image.black_level} and white level {image.white_level}; accepted are "
            "0 <= black < white < 65536"
        )
    positive = (
        ("exposure_time", image.exposure_time),
        ("aperture", image.aperture),
        ("iso", image.iso),
        ("focal_length", image.focal_length),
        *(("white_balance", multiplier) for multiplier in image.white_balance or ()),
    )
    for name, value in positive:
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"{path}: {name} is {value}; accepted are positive numbers, or None where it is unknown")
    noise = [value for pair in image.noise_profile or () for value in pair]
    if not all(math.isfinite(value) for value in (image.baseline_exposure, *noise)) or min(noise, default=0.0) < 0:
        raise UserError(
            f"{path}: baseline_exposure {image.baseline_exposure}, noise_profile {image.noise_profile}; accepted are "
            "finite numbers, in the noise profile none below 0"
        )


def _shorts(*values: int) -> Entry:
    return Entry(_SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def _longs(*values: int) -> Entry:
    return Entry(_LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def _text(text: str) -> Entry:
    data = text.encode("utf-8") + b"\0"
    return Entry(_TEXT, len(data), data)


def _rationals(values: Sequence[float], kind: int = _RATIONAL) -> Entry:
    """Each value as the simplest fraction that is as good as exact."""
    parts = [part for value in values for part in _fraction(float(value), _LARGEST[kind])]
    return Entry(kind, len(values), struct.pack(f"<{len(parts)}{'I' if kind == _RATIONAL else 'i'}", *parts))


def _fraction(value: float, largest: int) -> tuple[int, int]:
    exact = Fraction(value)
    limit = max(1, min(largest, int(largest / max(abs(value), 1.0)) - 1))
    for denominator in (1, 10, 100, 1000, 10_000, 1_000_000):
        simple = exact.limit_denominator(min(denominator, limit))
        if math.isclose(simple, value, rel_tol=1e-9, abs_tol=1e-12):
            return simple.numerator, simple.denominator
    best = exact.limit_denominator(limit)
    return best.numerator, best.denominator
