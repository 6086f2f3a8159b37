"""PNG of 8 and 16 bits: libpng for the pixels, its chunks read and written here (PNG third edition, W3C 2025)."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import torch

from hdr.io.code_points import (
    DIFFUSE_WHITE,
    PQ,
    REC2020,
    CodePoints,
    describe,
    display_profile,
    light_levels,
    to_linear,
    to_pq_rec2020,
)
from hdr.io.colour import gamma_profile, srgb_profile
from hdr.io.decoded import Decoded, exif_to_write, finish, xmp_to_write
from hdr.io.metadata import Encoding, Metadata
from hdr.io.samples import check_size, to_samples

log = logging.getLogger(__name__)

_LEVEL = 4  # a third of the time of the usual 6 and files 4 % larger, on photographs of 8 and 16 bits
_SIGNATURE_AND_HEADER = 8 + 25
_LONGEST_TEXT = 64 * 1024 * 1024
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_EXIF_KEYWORD = b"Raw profile type exif"  # ImageMagick's form, from before PNG had an EXIF chunk


def read_png(path: Path) -> Decoded:
    """A PNG file of any colour type and depth; of an animation, the default image.

    Colour is taken from cICP, else from the ICC profile, else from gAMA and cHRM, else it is sRGB. PQ and HLG (cICP)
    come as ``linear``, all others as ``display``.
    """
    data = path.read_bytes()
    width, height, bits = struct.unpack(">IIB", data[16:25])
    check_size(width, height)
    chunks: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    for kind, content in _chunks(data):
        if kind in (b"iTXt", b"zTXt"):
            keyword, _, rest = content.partition(b"\0")
            texts.setdefault(keyword, kind + rest)
        elif kind not in (b"IDAT", b"fdAT"):
            chunks.setdefault(kind, content)
    samples = imagecodecs.png_decode(data)
    del data
    samples = samples if samples.ndim == 3 else samples[..., None]
    channels = 3 if samples.shape[2] > 2 else 1
    alpha = samples[..., channels] if samples.shape[2] > channels else None
    exif, orientation = chunks.get(b"eXIf"), None
    if exif is None and _EXIF_KEYWORD in texts:
        exif = _readable(_legacy_exif, texts[_EXIF_KEYWORD], path)
        orientation = 1  # written by tools that turn the pixels and leave the tag behind; viewers do not look at it
    xmp = _readable(_international_text, texts[_XMP_KEYWORD], path) if _XMP_KEYWORD in texts else None
    points = _code_points(chunks)
    samples, hdr = samples[..., :channels], None
    if points and points.kind:
        hdr = describe(points, _light_level(chunks))
        samples = to_linear(samples, 8 * samples.itemsize, points).permute(1, 2, 0).numpy()
    return finish(
        samples,
        alpha,
        path,
        format_name="png",
        bits=16 if bits == 16 else 8,
        profile=None if hdr else display_profile(points) if points else _profile(chunks, path, grey=channels == 1),
        exif=exif,
        xmp=xmp,
        frames=max(1, struct.unpack(">I", chunks[b"acTL"][:4])[0]) if b"acTL" in chunks else 1,
        orientation=orientation,
        encoding="linear" if hdr else "display",
        hdr=hdr,
    )


def write_png(path: Path, planes: torch.Tensor, bits: int, encoding: Encoding, metadata: Metadata | None) -> None:
    """8 or 16 bits, with EXIF and XMP chunks before the pixels.

    ``display``: with alpha and, where the source had a profile, one of sRGB. ``linear`` (1.0 = 203 cd/m2): PQ of 16
    bits with the primaries of Rec. 2020 and its light levels, without alpha.
    """
    extra = b""
    if encoding == "linear":
        samples = to_samples([*to_pq_rec2020(planes)], bits)
        levels = struct.pack(">II", *(round(level * 10000) for level in light_levels(planes)))
        extra += _chunk(b"cICP", bytes((REC2020, PQ, 0, 1))) + _chunk(b"cLLI", levels)
    else:
        alpha = metadata.alpha if metadata else None
        samples = to_samples([*planes, *([] if alpha is None else [alpha])], bits)
    encoded = imagecodecs.png_encode(samples, level=_LEVEL)
    if encoding == "display" and metadata and metadata.profile:
        extra += _chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))
    if exif := exif_to_write(metadata, samples):
        extra += _chunk(b"eXIf", exif)
    if xmp := xmp_to_write(metadata):
        extra += _chunk(b"iTXt", _XMP_KEYWORD + bytes(5) + xmp)
    with open(path, "wb") as stream:
        stream.write(encoded[:_SIGNATURE_AND_HEADER])
        stream.write(extra)
        stream.write(memoryview(encoded)[_SIGNATURE_AND_HEADER:])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length] if kind not in (b"IDAT", b"fdAT") else b""
        position += 12 + length


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _code_points(chunks: dict[bytes, bytes]) -> CodePoints | None:
    """Of the cICP chunk: primaries, transfer, matrix (always 0, RGB) and range."""
    if b"cICP" not in chunks:
        return None
    primaries, transfer, _, full_range = chunks[b"cICP"][:4]
    if not full_range:
        raise ValueError("its samples have the narrow range of video (cICP), which is not read")
    return CodePoints(primaries, transfer)


def _light_level(chunks: dict[bytes, bytes]) -> float | None:
    """The brightest pixel by the cLLI chunk, which counts in 0.0001 cd/m2; 1.0 = 203 cd/m2."""
    return struct.unpack(">I", chunks[b"cLLI"][:4])[0] / (10000 * DIFFUSE_WHITE) if b"cLLI" in chunks else None


def _profile(chunks: dict[bytes, bytes], path: Path, grey: bool) -> bytes | None:
    if b"iCCP" in chunks:
        return _readable(_inflate, chunks[b"iCCP"].partition(b"\0")[2][1:], path)
    if b"gAMA" in chunks and b"sRGB" not in chunks:
        gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100000
        if abs(gamma - 1 / 2.2) > 0.005 and gamma > 0:  # 0.45455 stands for sRGB itself
            primaries = struct.unpack(">8I", chunks[b"cHRM"]) if b"cHRM" in chunks else None
            red_to_white = [value / 100000 for value in (*primaries[2:], *primaries[:2])] if primaries else None
            return gamma_profile(1 / gamma, red_to_white, grey)
    return None


def _readable(unpack: Callable[[bytes], bytes | None], content: bytes, path: Path) -> bytes | None:
    """A damaged text is logged and counts as absent: the pixels do not depend on it."""
    try:
        return unpack(content)
    except (ValueError, zlib.error) as error:
        log.warning("%s: a text chunk is damaged (%s) and is passed over", path, error)
        return None


def _inflate(content: bytes) -> bytes:
    engine = zlib.decompressobj()
    found = engine.decompress(content, _LONGEST_TEXT)
    if engine.unconsumed_tail:
        raise ValueError(f"a text or profile in it unfolds to more than {_LONGEST_TEXT >> 20} MB")
    return found


def _international_text(content: bytes) -> bytes:
    """iTXt after its keyword: compression flag and method, language, translated keyword, UTF-8 text."""
    compressed = content[4:5] == b"\1"
    text = content[6:].split(b"\0", 2)[-1]
    return _inflate(text) if compressed else text


def _legacy_exif(content: bytes) -> bytes | None:
    """zTXt after its keyword: method, then compressed lines: empty, name, length, hexadecimal digits."""
    if content[:4] != b"zTXt":
        return None
    lines = _inflate(content[5:]).split(b"\n")
    return bytes.fromhex(b"".join(lines[3:]).decode("ascii"))
