"""What a file says beside its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Encoding = Literal["display", "linear"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SensorMetadata:
    """How a RAW file was developed."""

    white_balance: tuple[float, float, float]
    """Multipliers of R, G, B that were applied, scaled so that the smallest is 1."""
    white_balance_source: Literal["camera", "daylight", "unity"]
    """``camera``: as shot; ``daylight``: the file has no usable as-shot values, those of the camera's matrix stand in;
    ``unity``: neither is there and the channels were left as they are."""
    black_level: tuple[int, ...]
    """Sensor value of black per CFA colour."""
    white_level: int
    """Sensor value that became 1.0 (before subtraction of the black level)."""


@dataclass(frozen=True, kw_only=True)
class HdrMetadata:
    """What a file made for HDR displays holds."""

    kind: Literal["pq", "hlg", "gain map"]
    """Transfer function of ITU-R BT.2100, or an SDR picture with a map of gains beside it."""
    peak: float
    """The brightest it is made for, 1.0 = SDR diffuse white. PQ: the brightest pixel by the file's own account, else
    49.26 (10 000 cd/m2); HLG: 4.93 (1000 cd/m2); gain map: 2 to the headroom at which it applies in full."""
    primaries: str
    """Primaries of the stored values, such as Rec. 2020, or the name of their colour profile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Metadata:
    """Metadata of a photograph that has been read; ``write_image`` carries over what the target format can hold."""

    format: str
    """Format that the content showed: jpeg, png, tiff, webp, avif, jxl, exr, hdr or raw."""
    bits: int
    """Bits per channel that the file stores: 8, 10 and 12 (AVIF, JPEG XL), 16 (half floats too) or 32 (float). RAW: 16,
    as developed."""
    source: Path | None = None
    """Absolute path of the file; ``write_image`` never writes onto it."""
    exif: bytes | None = None
    """EXIF block from its TIFF header on, for upright pixels: orientation 1, no thumbnail."""
    xmp: bytes | None = None
    """XMP packet, UTF-8."""
    profile: str | None = None
    """Name of the colour profile that the file declared; the pixels were converted from it to sRGB primaries."""
    alpha: torch.Tensor | None = None
    """Opacity (H, W) in [0, 1], or as stored in float files; None when the file has none. The colours of integer files
    are not multiplied by it, those of EXR and float TIFF files are, as those formats ask for."""
    frames: int = 1
    """Images in the file (animation, pages); the first was read."""
    orientation: int = 1
    """Orientation tag of the file, 1 to 8. It has been applied: the pixels stand upright."""
    exposure_time: float | None = None
    """Seconds."""
    aperture: float | None = None
    """F-number."""
    iso: float | None = None
    """Sensitivity."""
    make: str | None = None
    """Maker of the camera."""
    model: str | None = None
    """Model of the camera."""
    hdr: HdrMetadata | None = None
    """For files made for HDR displays, also where their SDR picture was read; None for all others."""
    sensor: SensorMetadata | None = None
    """For RAW files, how they were developed."""
