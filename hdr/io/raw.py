"""Camera RAW files, developed by LibRaw to linear Rec. 709.

Black is subtracted, the white level of the camera (not the brightest pixel of the picture) becomes 1.0, the white
balance is applied with the smallest multiplier at 1, the mosaic is interpolated (AHD) and the camera's matrix brings
the colours to Rec. 709. Nothing is brightened. As LibRaw clips each channel at the white level after the white balance,
1.0 is sensor saturation and a saturated pixel is white.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hdr.io import exif as exif_block
from hdr.io import libraw
from hdr.io.decoded import Decoded, examine
from hdr.io.metadata import Metadata, SensorMetadata
from hdr.io.samples import to_planes


def read_raw(path: Path, *, half_size: bool) -> Decoded:
    """A RAW file at full size, or at half size, where each 2x2 block of the mosaic becomes one pixel (5 times faster).

    White balance: as shot; where the file has no usable values, daylight by the camera's matrix; where there is no
    matrix either, none. ``metadata.sensor`` says which. Raises ``ValueError`` for what LibRaw cannot read.
    """
    import rawpy

    with libraw.opened(path) as raw:
        balance, source = white_balance(raw.camera_whitebalance, raw.daylight_whitebalance)
        samples = raw.postprocess(
            half_size=half_size,
            use_camera_wb=source == "camera",
            user_wb=None if source == "camera" else [*balance, balance[1]],
            output_color=rawpy.ColorSpace.sRGB,
            output_bps=16,
            gamma=(1, 1),
            no_auto_bright=True,
            adjust_maximum_thr=0.0,
            highlight_mode=rawpy.HighlightMode.Clip,
        )
        black, white, other = raw.black_level_per_channel, raw.white_level, raw.other
        orientation = libraw.orientation(raw)
    if samples.ndim == 2:
        samples = samples[..., None]
    smallest = min(balance)
    sensor = SensorMetadata(
        white_balance=(balance[0] / smallest, balance[1] / smallest, balance[2] / smallest),
        white_balance_source=source,
        black_level=tuple(int(level) for level in black),
        white_level=int(white),
    )
    exif, xmp = exif_block.blocks_of_file(path)
    exif, facts = examine(exif or _exif_from_libraw(other), path)
    facts.pop("adobe_rgb", None)
    known = libraw.facts(other)
    known.pop("focal_length", None)
    facts = known | facts | {"orientation": orientation}
    metadata = Metadata(format="raw", bits=16, source=path, exif=exif, xmp=xmp, sensor=sensor, **facts)
    return to_planes(samples), "linear", metadata


def white_balance(
    camera: Sequence[float], daylight: Sequence[float]
) -> tuple[list[float], Literal["camera", "daylight", "unity"]]:
    """Multipliers of R, G, B and their origin: the first that are all finite and above zero.

    LibRaw gives daylight as 1, 1, 1 when it has no matrix to compute it from.
    """
    shot, sun = ([float(value) for value in multipliers[:3]] for multipliers in (camera, daylight))
    if libraw.usable(shot):
        return shot, "camera"
    if libraw.usable(sun) and len(set(sun)) > 1:
        return sun, "daylight"
    return [1.0, 1.0, 1.0], "unity"


def _exif_from_libraw(other: Any) -> bytes | None:
    """An EXIF block for containers that hold none (CRW) or not in the form of a TIFF file (CR3, RAF)."""
    facts = libraw.facts(other)
    values: dict[int, str | float | int] = {}
    if "exposure_time" in facts:
        values[exif_block.EXPOSURE_TIME] = facts["exposure_time"]
    if "aperture" in facts:
        values[exif_block.F_NUMBER] = facts["aperture"]
    if "iso" in facts:
        values[exif_block.ISO] = round(facts["iso"])
    if "focal_length" in facts:
        values[exif_block.FOCAL_LENGTH] = facts["focal_length"]
    if other.timestamp.year > 1970:
        values[exif_block.DATE_TIME_ORIGINAL] = other.timestamp.strftime("%Y:%m:%d %H:%M:%S")
    if other.artist:
        values[exif_block.ARTIST] = other.artist
    return exif_block.assemble(exif_block.compose(values), "<")
