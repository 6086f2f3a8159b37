"""Read and write photographs: the one way in and the one way out."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import tifffile
import torch

from hdr.errors import UserError
from hdr.io import avif, exr, gainmap_jpeg, jxl, png, radiance, raster, raw, samples, tiff, tiff_writer
from hdr.io.atomic import refuse_target, write_atomically
from hdr.io.files import WRITABLE_SUFFIXES, identify, image_files, is_image_path
from hdr.io.metadata import Encoding, Metadata

__all__ = ["Photo", "image_files", "is_image_path", "read_image", "write_image"]

_READERS = {
    "png": png.read_png,
    "tiff": tiff.read_tiff,
    "webp": raster.read_webp,
    "jxl": jxl.read_jxl,
    "exr": exr.read_exr,
    "hdr": radiance.read_radiance,
}

# Bits per channel that each format is written with, per encoding.
_BITS: dict[str, dict[Encoding, tuple[int, ...]]] = {
    "jpeg": {"display": (8,), "linear": (8,)},
    "webp": {"display": (8,)},
    "png": {"display": (8, 16), "linear": (16,)},
    "avif": {"display": (8, 10, 12), "linear": (10, 12)},
    "jxl": {"display": (8, 16), "linear": (16, 32)},
    "tiff": {"display": (8, 16), "linear": (32,)},
    "exr": {"linear": (16, 32)},
    "hdr": {"linear": (32,)},
}

# Formats whose linear files can hold infinities and NaN.
_NON_FINITE = ("tiff", "exr", "jxl")

# What decoders raise over damaged files. Readers are called with nothing else in the block, so that a defect elsewhere
# is not mistaken for a damaged file.
_DECODING_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    tifffile.TiffFileError,
    imagecodecs.DelayedImportError,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A photograph as read from a file, upright, with sRGB (Rec. 709) primaries."""

    pixels: torch.Tensor
    """float32 (3, H, W), R, G, B."""
    encoding: Encoding
    """``display``: sRGB-encoded in [0, 1]. ``linear``: proportional to light. In a RAW 1.0 is sensor saturation; in PQ,
    HLG and gain-map files and in float JPEG XL it is SDR diffuse white (203 cd/m2 in PQ and HLG); in EXR, Radiance and
    float TIFF it is whatever the file's maker chose. Values may be negative (colours outside sRGB) or, in EXR, TIFF and
    float JPEG XL, not finite."""
    metadata: Metadata


def read_image(path: str | os.PathLike[str], *, half_size: bool = False, hdr: bool = False) -> Photo:
    """Read a photograph; its format is told by its content.

    JPEG, PNG, WebP, AVIF, integer TIFF and JPEG XL come as ``display``; an embedded profile, grey, palette and CMYK are
    converted to sRGB. EXR, Radiance, float TIFF and JPEG XL, RAW, and what is encoded by PQ or HLG come as ``linear``.

    ``hdr``: of a JPEG or AVIF with a gain map, the HDR rendition at its full capacity, ``linear``, instead of the SDR
    picture that other programs show; ``metadata.hdr`` says whether there is one. ``half_size`` develops a RAW at half
    width and height, five times faster. Other files are not affected by these two.

    Raises:
        UserError: the file is missing, empty, damaged, too large (400 megapixels) or of a kind that is not read.
    """
    path = Path(path).absolute()
    kind = identify(path)
    try:
        if kind == "raw":
            pixels, encoding, metadata = raw.read_raw(path, half_size=half_size)
        elif kind in ("jpeg", "avif"):
            pixels, encoding, metadata = (raster.read_jpeg if kind == "jpeg" else avif.read_avif)(path, hdr=hdr)
        else:
            pixels, encoding, metadata = _READERS[kind](path)
    except _DECODING_ERRORS as error:
        raise UserError(f"{path}: this {kind.upper()} file cannot be read: {_reason(error)}") from error
    return Photo(pixels=pixels, encoding=encoding, metadata=metadata)


def write_image(
    path: str | os.PathLike[str],
    pixels: torch.Tensor,
    *,
    encoding: Encoding,
    bits: int | None = None,
    metadata: Metadata | None = None,
    overwrite: bool = False,
    compression: str | None = None,
    sdr: torch.Tensor | None = None,
) -> None:
    """Write a photograph (3, H, W) in the format that the suffix names; the file appears whole or not at all.

    ==================  ========  =========================================================================
    suffix              encoding  bits
    ==================  ========  =========================================================================
    .jpg .jpeg          display   8 (quality 95, no chroma subsampling)
    .jpg .jpeg          linear    8: an SDR picture and a gain map to the HDR one (Ultra HDR)
    .webp               display   8 (lossless)
    .png                display   8 or 16; default: 16 when the source had more than 8, else 8
    .png                linear    16: PQ, Rec. 2020
    .avif               display   8, 10 or 12 (quality 98, no chroma subsampling); default: 10 when the source
                                  had more than 8, else 8
    .avif               linear    10 (default) or 12: PQ, Rec. 2020 (quality 98, no chroma subsampling)
    .jxl                display   8 or 16 (lossless), default as .png
    .jxl                linear    16 (half) or 32 (float), lossless, default as .exr
    .tif .tiff          display   8 or 16, default as .png
    .tif .tiff          linear    32 (float)
    .exr                linear    16 (half) or 32 (float); default: 16, or 32 when the source had 32 or half is
                                  too small
    .hdr                linear    32 (shared exponent)
    ==================  ========  =========================================================================

    In the gain-map and PQ files ``linear`` 1.0 is SDR diffuse white, 203 cd/m2; above 10 000 cd/m2 (49.26) they clip,
    and gain-map files also what lies outside sRGB. ``sdr`` (3, H, W), display: the SDR picture of a gain-map JPEG,
    by default ``hdr.io.gainmap.sdr_rendition``; ``hdr.ops.tonemap`` has others. ``compression`` of EXR: none, rle,
    zips, zip (default), piz, which lose nothing; pxr24, b44, b44a, dwaa, dwab.

    Integers are rounded once, to the nearest; what lies outside [0, 1] is clipped, as they can hold nothing else, and
    .hdr clips below 0. ``metadata`` of the source is carried over as far as the format can hold it: EXIF and XMP in
    JPEG, PNG, WebP, AVIF, JPEG XL and TIFF, exposure in EXR, alpha in all but JPEG, .hdr and PQ files. The pixels are
    sRGB, so a source with a colour profile gives a file with an sRGB profile, and one without gives one without.

    Raises:
        UserError: an unknown suffix, bits, an encoding or a compression that the format does not have; the folder is
            missing; the file exists and ``overwrite`` is off; it is the source itself; values that are not finite and
            cannot be stored.
        ValueError: pixels, alpha or ``sdr`` of another shape.
    """
    path = Path(path).absolute()
    kind = _writable_kind(path, encoding)
    planes = pixels.detach().to("cpu", torch.float32)
    if planes.ndim != 3 or planes.shape[0] != 3 or planes.numel() == 0:
        raise ValueError(f"pixels are (3, H, W); found {tuple(pixels.shape)}")
    if metadata and metadata.alpha is not None and metadata.alpha.shape != planes.shape[1:]:
        raise ValueError(f"alpha is {tuple(metadata.alpha.shape)} and the pixels are {tuple(planes.shape[1:])}")
    chosen = _choose_bits(path, kind, encoding, bits, metadata, planes)
    if not (encoding == "linear" and kind in _NON_FINITE):
        _refuse_non_finite(path, planes)
    _check_options(path, kind, encoding, planes, compression, sdr)
    refuse_target(path, metadata.source if metadata else None, overwrite)
    try:
        with write_atomically(path) as temporary:
            if kind == "jpeg" and encoding == "linear":
                gainmap_jpeg.write_gain_map_jpeg(temporary, planes, sdr, metadata)
            elif kind == "exr":
                exr.write_exr(temporary, planes, chosen, metadata, compression)
            else:
                _write(temporary, kind, planes, chosen, encoding, metadata)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be written: {error}") from error


def _reason(error: Exception) -> str:
    """What a decoder has to say, or that the file is damaged when it stumbled rather than judged."""
    spoken = isinstance(error, (OSError, ValueError, RuntimeError)) and not isinstance(error, UnicodeError)
    text = " ".join(str(error).split())  # some decoders end their lines
    return text if spoken and text else f"it is damaged ({type(error).__name__}: {text})"


def _check_options(
    path: Path, kind: str, encoding: Encoding, planes: torch.Tensor, compression: str | None, sdr: torch.Tensor | None
) -> None:
    if compression is not None and (kind != "exr" or compression not in exr.COMPRESSIONS):
        raise UserError(
            f"{path}: the compression '{compression}' is not known here; .exr takes {', '.join(exr.COMPRESSIONS)}, "
            "other formats have one of their own"
        )
    if sdr is not None:
        if kind != "jpeg" or encoding != "linear":
            raise UserError(f"{path}: an SDR picture belongs beside linear pixels in a .jpg, and nowhere else")
        if sdr.shape != planes.shape:
            raise ValueError(f"sdr is {tuple(sdr.shape)} and the pixels are {tuple(planes.shape)}")
        _refuse_non_finite(path, sdr)


def _write(
    path: Path, kind: str, planes: torch.Tensor, bits: int, encoding: Encoding, metadata: Metadata | None
) -> None:
    if kind == "jpeg":
        raster.write_jpeg(path, planes, metadata)
    elif kind == "webp":
        raster.write_webp(path, planes, metadata)
    elif kind == "png":
        png.write_png(path, planes, bits, encoding, metadata)
    elif kind == "avif":
        avif.write_avif(path, planes, bits, encoding, metadata)
    elif kind == "jxl":
        jxl.write_jxl(path, planes, bits, encoding, metadata)
    elif kind == "tiff":
        tiff_writer.write_tiff(path, planes, bits, metadata)
    else:
        radiance.write_radiance(path, planes)


def _writable_kind(path: Path, encoding: Encoding) -> str:
    kind = WRITABLE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        accepted = " ".join(sorted(WRITABLE_SUFFIXES))
        raise UserError(f"{path}: '{path.suffix}' is not a format that is written; accepted are {accepted}")
    if encoding not in _BITS[kind]:
        convert = "linear_to_srgb" if encoding == "linear" else "srgb_to_linear"
        accepted = " ".join(suffix for suffix, name in WRITABLE_SUFFIXES.items() if encoding in _BITS[name])
        raise UserError(
            f"{path}: the pixels are {encoding} and this format holds {next(iter(_BITS[kind]))} values; choose one of "
            f"{accepted}, or convert them with hdr.ops.encoding.{convert}"
        )
    return kind


def _choose_bits(
    path: Path, kind: str, encoding: Encoding, bits: int | None, metadata: Metadata | None, planes: torch.Tensor
) -> int:
    accepted = _BITS[kind][encoding]
    if bits is not None:
        if bits not in accepted:
            raise UserError(
                f"{path}: {bits} bits are not written here; {encoding} values take {' or '.join(map(str, accepted))}"
            )
        return bits
    source = metadata.bits if metadata else 0
    if accepted == (16, 32):
        not_half = samples.exceeds_half(planes) or (kind == "jxl" and bool(planes.isnan().any()))
        return 32 if source == 32 or not_half else 16
    return accepted[1] if accepted[0] == 8 and len(accepted) > 1 and source > 8 else accepted[0]


def _refuse_non_finite(path: Path, planes: torch.Tensor) -> None:
    bad = int((~torch.isfinite(planes)).sum())
    if bad:
        raise UserError(
            f"{path}: {bad} of {planes.numel()} values are not finite, which this format cannot hold; "
            ".exr, 32 bit .tif and linear .jxl can"
        )
