"""What most readers have in common: colour, orientation and metadata of decoded samples."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from hdr.io import exif as exif_block
from hdr.io.colour import adobe_rgb_profile, from_profile
from hdr.io.metadata import Encoding, HdrMetadata, Metadata
from hdr.io.samples import orient, to_plane, to_planes

log = logging.getLogger(__name__)

Decoded = tuple[torch.Tensor, Encoding, Metadata]

# Packets that describe a gain map beside the picture (Adobe and Google, Apple), and Google's list of parts of the file.
_GAIN_MAP = (b"http://ns.adobe.com/hdr-gain-map/", b"http://ns.apple.com/HDRGainMap/", b"/photos/1.0/container/")


def finish(
    samples: NDArray,
    alpha: NDArray | None,
    path: Path,
    *,
    format_name: str,
    bits: int,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    frames: int = 1,
    orientation: int | None = None,
    encoding: Encoding = "display",
    hdr: HdrMetadata | None = None,
) -> Decoded:
    """Upright planes with sRGB primaries and metadata from samples (H, W, C), C of 1, 3 or 4 (CMYK).

    Integers for ``display``, floats for ``linear``. ``exif``: a block that stands by itself, with or without prefix.
    ``orientation``: of the pixels, when it is not the one in the block.
    """
    exif, facts = examine(exif, path)
    stored_orientation, adobe = facts.pop("orientation", 1), facts.pop("adobe_rgb", False)
    orientation = stored_orientation if orientation is None else orientation
    if profile is None and adobe and encoding == "display":
        profile = adobe_rgb_profile()
    samples, name = from_profile(samples, profile, encoding)
    samples = orient(samples, orientation)
    height, width = samples.shape[:2]
    metadata = Metadata(
        format=format_name,
        bits=bits,
        source=path,
        exif=exif_block.edit(exif, width=width, height=height, now_srgb=bool(name)) if exif else None,
        xmp=_upright_xmp(xmp, orientation) if xmp else None,
        profile=name,
        alpha=None if alpha is None else to_plane(orient(alpha, orientation)),
        frames=frames,
        orientation=orientation,
        hdr=hdr,
        **facts,
    )
    return to_planes(samples), encoding, metadata


def examine(block: bytes | None, path: Path) -> tuple[bytes | None, dict[str, Any]]:
    """The EXIF block without its prefix, and what it says: camera facts, orientation, adobe_rgb.

    A damaged block is logged and counts as absent.
    """
    if not block:
        return None, {}
    block = exif_block.strip_prefix(block)
    try:
        directories, order = exif_block.read_directories(block), exif_block.byte_order(block)
        exif_block.edit(block, width=1, height=1, now_srgb=False)
    except exif_block.DamagedExif as error:
        log.warning("%s: the EXIF block is damaged (%s) and is passed over", path, error)
        return None, {}
    facts = exif_block.facts(directories, order)
    facts["orientation"] = exif_block.orientation(directories, order)
    facts["adobe_rgb"] = exif_block.is_adobe_rgb(directories)
    return block, facts


def exif_to_write(metadata: Metadata | None, samples: NDArray) -> bytes | None:
    """The EXIF block with the dimensions of these samples (H, W, C)."""
    if metadata is None or not metadata.exif:
        return None
    height, width = samples.shape[:2]
    return exif_block.edit(metadata.exif, width=width, height=height, now_srgb=False)


def xmp_to_write(metadata: Metadata | None) -> bytes | None:
    """The XMP packet, where it is true of the picture as well as of the file it came from.

    Not so in two cases: the packet of a RAW holds develop settings that would be applied a second time, and one that
    announces a gain map would send readers looking for a picture that is no longer there.
    """
    if metadata is None or not metadata.xmp or metadata.format == "raw":
        return None
    return None if any(mark in metadata.xmp for mark in _GAIN_MAP) else metadata.xmp


def _upright_xmp(xmp: bytes, orientation: int) -> bytes:
    """The packet with ``tiff:Orientation`` 1 when the pixels were turned (attribute or element form)."""
    if orientation == 1:
        return xmp
    return re.sub(rb"(<tiff:Orientation>|tiff:Orientation\s*=\s*[\"'])\s*[2-8]\s*(?=[<\"'])", rb"\g<1>1", xmp)
