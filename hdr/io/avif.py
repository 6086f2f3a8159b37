"""AVIF: still pictures of 8, 10 and 12 bits coded with AV1, for SDR and HDR displays.

Decoded and encoded by libavif; colours, orientation, gain map, EXIF and XMP are found in the file's boxes here.
"""

from __future__ import annotations

import logging
import math
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io.code_points import (
    DIFFUSE_WHITE,
    PQ,
    REC2020,
    SRGB_TRANSFER,
    CodePoints,
    describe,
    display_profile,
    display_to_linear,
    from_rec709,
    light_levels,
    to_linear,
    to_pq_rec2020,
    to_rec709,
)
from hdr.io.decoded import Decoded, exif_to_write, finish, xmp_to_write
from hdr.io.gainmap import apply_gain_map
from hdr.io.gainmap_metadata import GainMapMetadata, from_iso
from hdr.io.iso_media import Item, Items, read_items, still_picture, with_descriptions
from hdr.io.metadata import Encoding, HdrMetadata, Metadata
from hdr.io.samples import check_size, spread, to_samples

log = logging.getLogger(__name__)

QUALITY = 98
_SPEED = 8
_XMP_TYPE = b"application/rdf+xml"
_ORIENTATIONS = {  # by quarter turns to the left, then mirrored: not, top with bottom (0), left with right (1)
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


def read_avif(path: Path, *, hdr: bool) -> Decoded:
    """An AVIF file; of a sequence, the first picture.

    PQ and HLG come as ``linear``, everything else as ``display``. ``hdr``: of an SDR picture with a gain map
    (ISO 21496-1), the HDR rendition.
    """
    data = path.read_bytes()
    items = read_items(data)
    picture = items.picture
    check_size(*struct.unpack(">II", _property(picture, b"ispe")[4:12]))
    samples, bits = _decode(data, picture)
    colours = 3 if samples.shape[2] > 2 else 1
    alpha = spread(samples[..., colours], bits) if samples.shape[2] > colours else None
    samples = samples[..., :colours]
    profile, points = _colours(picture)
    part = None if points.kind else _gain_map(path, data, items, wanted=hdr)
    facts: HdrMetadata | None = None
    linear: torch.Tensor | None = None
    if points.kind:
        facts = describe(points, _light_level(picture))
        linear = to_linear(samples, bits, points)
    elif part is not None:
        facts = HdrMetadata(kind="gain map", peak=2 ** part[0].alternate_headroom, primaries=points.name)
        if hdr:
            if profile is not None:
                raise ValueError("it has a gain map under an ICC profile; with code points it could be read")
            linear = _hdr_rendition(data, display_to_linear(samples, bits, points), points, *part)
    return finish(
        spread(samples, bits) if linear is None else linear.permute(1, 2, 0).numpy(),
        alpha,
        path,
        format_name="avif",
        bits=bits,
        profile=profile or display_profile(points) if linear is None else None,
        exif=_exif(data, items),
        xmp=_xmp(data, items),
        orientation=_orientation(picture),
        encoding="display" if linear is None else "linear",
        hdr=facts,
    )


def write_avif(path: Path, planes: torch.Tensor, bits: int, encoding: Encoding, metadata: Metadata | None) -> None:
    """Quality 98 without chroma subsampling, with EXIF and XMP.

    ``display``: 8, 10 or 12 bits with alpha, sRGB. ``linear`` (1.0 = 203 cd/m2): PQ of 10 or 12 bits with the primaries
    of Rec. 2020 and its light levels, without alpha; what is brighter than 10 000 cd/m2 or outside these primaries is
    clipped.
    """
    level = None
    if encoding == "linear":
        samples, points, matrix = to_samples([*to_pq_rec2020(planes)], bits), CodePoints(REC2020, PQ), REC2020
        brightest, mean = light_levels(planes)
        level = (math.ceil(brightest), math.ceil(mean))
    else:
        alpha = metadata.alpha if metadata else None
        samples = to_samples([*planes, *([] if alpha is None else [alpha])], bits)
        points, matrix = CodePoints(1, SRGB_TRANSFER), 1
    encoded = imagecodecs.avif_encode(
        samples,
        level=QUALITY,
        speed=_SPEED,
        bitspersample=bits,
        pixelformat="444",
        primaries=points.primaries,
        transfer=points.transfer,
        matrix=matrix,
    )
    descriptions = []
    if exif := exif_to_write(metadata, samples):
        descriptions.append((b"Exif", b"", bytes(4) + exif))
    if xmp := xmp_to_write(metadata):
        descriptions.append((b"mime", _XMP_TYPE, xmp))
    path.write_bytes(with_descriptions(bytes(encoded), descriptions, level))


def _decode(data: bytes, item: Item) -> tuple[NDArray, int]:
    """Samples (H, W, C) and their bits."""
    samples = imagecodecs.avif_decode(data, index=0)
    samples = samples if samples.ndim == 3 else samples[..., None]
    if samples.dtype == np.uint8:
        return samples, 8
    if b"pixi" in item.properties:
        bits = item.properties[b"pixi"][0][5]
    else:
        bits = 12 if _property(item, b"av1C")[2] & 0x20 else 10
    if bits not in (10, 12):
        raise ValueError(f"its samples have {bits} bits; 8, 10 and 12 are read")
    return samples, bits


def _property(item: Item, kind: bytes) -> bytes:
    found = item.properties.get(kind)
    if not found:
        raise ValueError(f"its picture has no property '{kind.decode()}'")
    return found[0]


def _colours(item: Item) -> tuple[bytes | None, CodePoints]:
    """ICC profile and code points; unspecified where the file has none."""
    profile, points = None, CodePoints(2, 2)
    for content in item.properties.get(b"colr", []):
        if content[:4] in (b"prof", b"rICC"):
            profile = content[4:]
        elif content[:4] == b"nclx":
            points = CodePoints(*struct.unpack_from(">HH", content, 4))
    return profile, points


def _light_level(item: Item) -> float | None:
    levels = item.properties.get(b"clli")
    return struct.unpack(">H", levels[0][:2])[0] / DIFFUSE_WHITE if levels else None


def _orientation(item: Item) -> int:
    turns = item.properties.get(b"irot", [b"\0"])[0][0] & 3
    mirror = item.properties[b"imir"][0][0] & 1 if b"imir" in item.properties else None
    return _ORIENTATIONS[turns, mirror]


def _exif(data: bytes, items: Items) -> bytes | None:
    item = items.describing(items.primary, b"Exif")
    content = item.content(data) if item else b""
    return content[4 + struct.unpack(">I", content[:4])[0] :] if len(content) > 4 else None


def _xmp(data: bytes, items: Items) -> bytes | None:
    item = items.describing(items.primary, b"mime", _XMP_TYPE)
    return item.content(data) if item else None


def _gain_map(path: Path, data: bytes, items: Items, wanted: bool) -> tuple[GainMapMetadata, Item, CodePoints] | None:
    """Numbers and picture of the gain map, and the code points of the HDR rendition.

    A damaged one is an error where it is wanted; elsewhere it is logged and counts as absent.
    """
    for item in items.items.values():
        pictures = item.references.get(b"dimg", [])
        if item.kind != b"tmap" or len(pictures) != 2 or pictures[0] != items.primary:
            continue
        try:
            content = item.content(data)
            metadata = from_iso(content[1:]) if content[:1] == b"\0" else None
            if metadata is None or pictures[1] not in items.items:
                raise ValueError("its gain map is damaged or of a later version")
            if metadata.base_headroom > metadata.alternate_headroom:
                raise ValueError("its base picture is the HDR rendition of a gain map, which is not read")
        except ValueError as error:
            if wanted:
                raise
            log.warning("%s: %s; the gain map is passed over", path, error)
            return None
        return metadata, items.items[pictures[1]], _colours(item)[1]
    return None


def _hdr_rendition(
    data: bytes,
    base: torch.Tensor,
    points: CodePoints,
    metadata: GainMapMetadata,
    map_item: Item,
    alternate: CodePoints,
) -> torch.Tensor:
    """Linear Rec. 709 (3, H, W) from the linear base, in its own primaries, and the map."""
    if map_item.kind != b"av01":
        raise ValueError("its gain map is put together from tiles, which is not read")
    check_size(*struct.unpack(">II", _property(map_item, b"ispe")[4:12]))
    samples, bits = _decode(still_picture(data, map_item), map_item)
    stored = torch.from_numpy(np.moveaxis(samples.astype(np.float32) / np.float32(2**bits - 1), -1, 0))
    if not metadata.base_colours and alternate.primaries != points.primaries:
        base, points = from_rec709(to_rec709(base, points), alternate), alternate
    return to_rec709(apply_gain_map(base, stored, metadata), points)
