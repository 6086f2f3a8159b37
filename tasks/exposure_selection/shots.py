"""A file as a person hands it over: a finished picture, or light that can still be exposed; and what it says."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.io import exif, libraw, tiff_tags
from hdr.io.exposure_checks import Exposure, check_exposure
from hdr.io.exposure_fields import ExposureFields, exposure_fields, read_exposure_fields
from hdr.io.files import identify
from hdr.io.image import Photo, read_image
from hdr.io.jpeg_parts import APP1, content_after
from hdr.io.metadata import Metadata
from hdr.io.samples import orient
from hdr.io.sensor import SensorImage, binned, read_sensor
from hdr.ops.primaries import camera_to_rgb, daylight_balance
from hdr.ops.sensor import develop, normalise
from tasks.exposure_selection.ladder import Light

_CLIPPED = 1e-4  # share; fewer are glints and dead pixels, which do not make a capture a clipped one
_HEAD = 1 << 18  # bytes of a JPEG file that hold its EXIF block
_FULL = 0.985  # of saturation: sensors stop a little below their white level, and noise brings some sites lower still


class Facts(NamedTuple):
    """What a file says of its capture; exposure facts as the rules of :mod:`hdr.io.exposure_checks` leave them."""

    exposure: Exposure
    time: datetime.datetime | None
    """When it was taken."""
    camera: str | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """A file that was read: either ``display`` or ``light`` is there."""

    path: Path
    exposure: Exposure
    metadata: Metadata
    """To be carried over into results."""
    display: Tensor | None = None
    """(3, H, W): a finished picture."""
    light: Light | None = None
    """Of a RAW file: 1.0 saturates, so that it is shown as shot at 0 EV. Of an HDR picture: any unit."""
    raw: bool = False
    clipped: float = 0.0
    """Share of saturated pixels, in a RAW file of sensor sites; 0 for HDR pictures."""

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns, upright; of a RAW file those that were read."""
        pixels = self.display if self.light is None else self.light.linear
        assert pixels is not None
        return pixels.shape[-2], pixels.shape[-1]


def read_facts(path: Path) -> Facts:
    """What a file says of its capture, without decoding pixels where the format allows it.

    Raises:
        UserError: the file is missing, damaged or no image.
    """
    kind = identify(path)
    if kind in ("raw", "tiff"):
        directory, order = exif.directories_of_file(path)
        time = tiff_tags.capture_time(directory) if directory or kind == "tiff" else _time_by_libraw(path)
        camera = _camera(exif.facts(directory, order))
        return Facts(check_exposure(read_exposure_fields(path))[0], time, camera)
    if kind == "jpeg":
        with open(path, "rb") as stream:
            block = content_after(stream.read(_HEAD), 0, APP1, b"Exif\0\0")
        return _facts_of_block(block, ExposureFields(), path)
    metadata = read_image(path).metadata
    return _facts_of_block(metadata.exif, _fields_of(metadata), path)


def read_shot(path: Path, *, enough: int | None = None, gains: tuple[float, float, float] | None = None) -> Shot:
    """Read a photo, a RAW or an HDR picture.

    RAW files with a Bayer sensor give light in the sensor's own colours, with daylight's white balance where they state
    none that is usable; those that state no colour matrix either, and other sensors, are developed by LibRaw first.

    Args:
        path: any readable file.
        enough: pixels along the longer side that suffice: a RAW file may then come at half size, which is much faster.
        gains: white balance of a RAW file in place of its own, if it has one.

    Raises:
        UserError: the file cannot be read, or shows nothing.
    """
    path = path.absolute()
    if identify(path) == "raw":
        return _read_raw(path, enough, gains)
    photo = read_image(path)
    metadata = photo.metadata
    exposure = _facts_of_block(metadata.exif, _fields_of(metadata), path).exposure
    if photo.encoding == "display":
        clipped = float((photo.pixels.amax(dim=0) >= 254.5 / 255).float().mean())
        return Shot(path=path, exposure=exposure, metadata=metadata, display=photo.pixels, clipped=clipped)
    linear = torch.nan_to_num(photo.pixels, nan=0.0, posinf=torch.finfo(torch.float32).max).clamp(min=0.0)
    if not float(linear.max()) > 0:
        raise UserError(f"{path}: this HDR picture is black")
    light = Light(linear=linear, id=path.stem, group=str(path.parent))
    return Shot(path=path, exposure=exposure, metadata=metadata, light=light)


def amount_of_light(exposure: Exposure) -> float | None:
    """log2(t ISO / N^2) in EV: what an exposure lets in, up to a constant; None where the time is not known.

    An aperture or ISO that is not stated counts as f/1 and ISO 100; compare only exposures that state the same facts.
    """
    if exposure.exposure_time is None:
        return None
    return math.log2(exposure.exposure_time * (exposure.iso or 100.0) / (exposure.aperture or 1.0) ** 2)


def _read_raw(path: Path, enough: int | None, gains: tuple[float, float, float] | None) -> Shot:
    exposure = read_facts(path).exposure
    try:
        image = read_sensor(path)
    except UserError:
        if _has_bayer_sensor(path):
            raise
        return _developed(read_image(path, half_size=enough is not None), path, exposure)
    own = image.white_balance
    if own is None and image.colour_matrix is not None:
        own = daylight_balance(image.colour_matrix)
    if own is None:
        return _developed(read_image(path, half_size=enough is not None), path, exposure)
    half = enough is not None and max(image.samples.shape) // 2 >= enough
    balance = gains or own
    linear = _upright(_camera_rgb(image, balance, half), image.orientation)
    clipped = _share_of_full_sites(image)
    block, _ = exif.blocks_of_file(path)
    light = Light(
        linear=linear.clamp(min=0.0),
        id=path.stem,
        group=str(path.parent),
        gains=balance,
        matrix=None if image.colour_matrix is None else camera_to_rgb(image.colour_matrix).float(),
        saturation=1.0 if clipped > _CLIPPED else math.inf,
    )
    metadata = Metadata(format="raw", bits=16, source=path, exif=block, make=image.make, model=image.model)
    return Shot(path=path, exposure=exposure, metadata=metadata, light=light, raw=True, clipped=clipped)


def _developed(photo: Photo, path: Path, exposure: Exposure) -> Shot:
    """LibRaw's linear picture as light on a Rec. 709 sensor: balanced and clipped already."""
    clipped = float((photo.pixels.amax(dim=0) >= _FULL).float().mean())
    light = Light(
        linear=photo.pixels.clamp(min=0.0),
        id=path.stem,
        group=str(path.parent),
        saturation=1.0 if clipped > _CLIPPED else math.inf,
    )
    return Shot(path=path, exposure=exposure, metadata=photo.metadata, light=light, raw=True, clipped=clipped)


def _camera_rgb(image: SensorImage, gains: tuple[float, float, float], half: bool) -> Tensor:
    """(3, H, W), colours of the sensor before white balance, 1.0 = saturation."""
    if half:
        return binned(image)
    mosaic = normalise(image.samples[None, None], image.black_level, image.white_level)
    # interpolated after white balance, as the filters assume, which is then taken off again
    balanced = develop(mosaic, pattern=image.pattern, white_balance=gains, highlights="keep")[0]
    return balanced.div_(torch.tensor(gains)[:, None, None])


def _share_of_full_sites(image: SensorImage) -> float:
    black = max(image.black_level)
    return float((image.samples.numpy() >= black + _FULL * (image.white_level - black)).mean())


def _upright(planes: Tensor, orientation: int) -> Tensor:
    turned = orient(planes.permute(1, 2, 0).numpy(), orientation)
    return torch.from_numpy(turned.transpose(2, 0, 1).copy())


def _facts_of_block(block: bytes | None, otherwise: ExposureFields, path: Path) -> Facts:
    """Facts of an EXIF block; a damaged one counts as absent, as the readers of pixels have it."""
    try:
        if block:
            directories, order = exif.read_directories(block), exif.byte_order(block)
            exposure, _ = check_exposure(exposure_fields(block))
            return Facts(exposure, tiff_tags.capture_time(directories), _camera(exif.facts(directories, order)))
    except exif.DamagedExif:
        pass
    return Facts(check_exposure(otherwise)[0], None, None)


def _fields_of(metadata: Metadata) -> ExposureFields:
    return ExposureFields(exposure_time=metadata.exposure_time, f_number=metadata.aperture, iso=metadata.iso)


def _camera(facts: dict[str, object]) -> str | None:
    return " ".join(str(facts[name]) for name in ("make", "model") if facts.get(name)) or None


def _has_bayer_sensor(path: Path) -> bool:
    try:
        with libraw.opened(path) as raw:
            return raw.num_colors == 3 and raw.raw_pattern is not None and raw.raw_pattern.shape == (2, 2)
    except (OSError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{path}: this RAW file cannot be read: {error}") from error


def _time_by_libraw(path: Path) -> datetime.datetime | None:
    try:
        with libraw.opened(path) as raw:
            stamp: datetime.datetime = raw.other.timestamp
    except (OSError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{path}: this RAW file cannot be read: {error}") from error
    return stamp if stamp.year > 1970 else None
