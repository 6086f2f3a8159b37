"""The fields in which a file states its exposure, as they stand there; `hdr.io.exposure_checks` judges them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hdr.errors import UserError
from hdr.io import exif, libraw, tiff_tags
from hdr.io.exif import Directory
from hdr.io.files import identify


@dataclass(frozen=True, kw_only=True)
class ExposureFields:
    """The fields as the file states them; None: not there. NaN stands for a fraction with a denominator of 0."""

    exposure_time: float | None = None
    f_number: float | None = None
    iso: float | None = None
    shutter_speed_value: float | None = None
    aperture_value: float | None = None
    brightness_value: float | None = None
    exposure_bias: float | None = None


def read_exposure_fields(path: str | os.PathLike[str]) -> ExposureFields:
    """The fields of a RAW or TIFF file; what a RAW without such fields (CRW) keeps elsewhere is as LibRaw finds it.

    Raises:
        UserError: the file is missing, or neither a RAW nor a TIFF file, or damaged.
    """
    path = Path(path).absolute()
    kind = identify(path)
    if kind not in ("raw", "tiff"):
        raise UserError(
            f"{path}: exposure fields are read from RAW and TIFF files; of this {kind.upper()} file, hand the EXIF "
            "block (read_image(path).metadata.exif) to exposure_fields"
        )
    found, order = tiff_tags.directories(path)
    stated = _fields(found[0], order) if found else ExposureFields()
    if kind == "tiff" or None not in (stated.exposure_time, stated.f_number, stated.iso):
        return stated
    try:
        with libraw.opened(path) as raw:
            facts = libraw.facts(raw.other)
    except (OSError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{path}: this RAW file cannot be read: {error}") from error
    known = {"exposure_time": facts.get("exposure_time"), "f_number": facts.get("aperture"), "iso": facts.get("iso")}
    return ExposureFields(**known | {name: value for name, value in vars(stated).items() if value is not None})


def exposure_fields(block: bytes) -> ExposureFields:
    """The fields of an EXIF block, from its TIFF header on. ``hdr.io.exif.DamagedExif`` when it is not readable."""
    return _fields(exif.read_directories(block), exif.byte_order(block))


def _fields(directory: Directory, order: str) -> ExposureFields:
    fields = exif.merged(directory)

    def value(tag: int) -> float | None:
        found = tiff_tags.numbers(fields.get(tag), order)
        return found[0] if found else None

    iso = value(exif.ISO)
    return ExposureFields(
        exposure_time=value(exif.EXPOSURE_TIME),
        f_number=value(exif.F_NUMBER),
        iso=(value(exif.RECOMMENDED_EXPOSURE_INDEX) or iso) if iso == 65535 else iso,
        shutter_speed_value=value(exif.SHUTTER_SPEED_VALUE),
        aperture_value=value(exif.APERTURE_VALUE),
        brightness_value=value(exif.BRIGHTNESS_VALUE),
        exposure_bias=value(exif.EXPOSURE_BIAS),
    )
