"""Files made for the tests of the readers and writers: charts, EXIF blocks, profiles, a small DNG."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

P3_PRIMARIES = [0.680, 0.320, 0.265, 0.690, 0.150, 0.060]
D65 = [0.3127, 0.3290]
XYZ_TO_REC709 = np.array(  # IEC 61966-2-1, annex F
    [[3.2406255, -1.5372080, -0.4986286], [-0.9689307, 1.8757561, 0.0415175], [0.0557101, -0.2040211, 1.0569959]]
)
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6" dc:rights="all"/></rdf:RDF></x:xmpmeta>'
)


def chart(height: int, width: int, channels: int = 3, bits: int = 8, seed: int = 0) -> NDArray:
    """Random samples (H, W, C) that use the whole range."""
    generator = np.random.default_rng(seed)
    kind = np.uint8 if bits == 8 else np.uint16
    return generator.integers(0, 2**bits, (height, width, channels), dtype=kind)


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    """A soft 8 bit picture, which survives JPEG with small errors; no two corners alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack(
        (60 + 120 * rows / height, 30 + 200 * columns / width, 200 - 150 * rows * columns / (height * width)), axis=-1
    ).astype(np.uint8)


def exif_block(
    order: str = "<",
    orientation: int = 6,
    thumbnail: bytes = b"\xff\xd8thumb\xff\xd9",
    interoperability: bytes = b"R98\0",
) -> bytes:
    """A block as cameras write it, laid out by hand: IFD0, Exif with maker note, interoperability, IFD1."""
    u16, u32 = struct.Struct(order + "H").pack, struct.Struct(order + "I").pack

    def field(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return u16(tag) + u16(kind) + u32(count) + value.ljust(4, b"\0")

    ifd0, exif, interop, ifd1, values = 8, 100, 220, 260, 320
    make, exposure, number, note, thumb = values, values + 8, values + 16, values + 24, values + 60
    block = bytearray(thumb)
    block[:8] = (b"II*\0" if order == "<" else b"MM\0*") + u32(ifd0)
    parts = {
        ifd0: u16(3)
        + field(0x010F, 2, 5, u32(make))
        + field(0x0112, 3, 1, u16(orientation))
        + field(0x8769, 4, 1, u32(exif))
        + u32(ifd1 if thumbnail else 0),
        exif: u16(8)
        + field(0x829A, 5, 1, u32(exposure))
        + field(0x829D, 5, 1, u32(number))
        + field(0x8827, 3, 1, u16(400))
        + field(0x927C, 7, 36, u32(note))
        + field(0xA001, 3, 1, u16(0xFFFF))
        + field(0xA002, 4, 1, u32(9))
        + field(0xA003, 3, 1, u16(9))
        + field(0xA005, 4, 1, u32(interop))
        + u32(0),
        interop: u16(1) + field(0x0001, 2, 4, interoperability) + u32(0),
        ifd1: u16(2) + field(0x0201, 4, 1, u32(thumb)) + field(0x0202, 4, 1, u32(len(thumbnail))) + u32(0),
        make: b"Acme\0\0",
        exposure: u32(1) + u32(250),
        number: u32(28) + u32(10),
        note: b"maker note, position-dependent \0abc\0",
    }
    for position, content in parts.items():
        block[position : position + len(content)] = content
    return bytes(block) + thumbnail


def p3_profile() -> bytes:
    """Display P3 primaries with a pure gamma of 2.2."""
    return bytes(imagecodecs.cms_profile("rgb", primaries=P3_PRIMARIES, whitepoint=D65, gamma=2.2))


def cmyk_profile() -> bytes:
    """The smallest CMYK profile: a two-point 8 bit table from ink to CIELAB (ICC.1:2022, lut8Type, 10.11).

    Its paper is cream and its black is a dark grey: relative colorimetric with black point compensation hides both.
    """
    inks = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    light = (1 - inks[:, :3]) * (1 - inks[:, 3:])  # of R, G, B
    lightness = 15 + 85 * (light @ [0.21, 0.72, 0.07]) ** (1 / 3)
    lab = np.stack((lightness, 80 * (light[:, 0] - light[:, 1]), 80 * (light[:, 1] - light[:, 2])), axis=-1)
    table = np.rint(np.stack((lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128), axis=-1)).clip(0, 255)
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(np.eye(3).ravel() * 65536).astype(int))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + table.astype(np.uint8).tobytes() + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 57000, 58000, 38000)
    name = b"desc\0\0\0\0" + struct.pack(">I", 9) + b"two inks\0" + bytes(78)
    tags = {b"desc": name, b"wtpt": white, b"A2B0": lut, b"A2B1": lut}
    offset, table_of_tags, heap = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table_of_tags += tag + struct.pack(">II", offset + len(heap), len(content))
        heap += content
    header = bytearray(128)
    header[8:12] = bytes([2, 0x40, 0, 0])
    header[12:24] = b"spacCMYKLab "  # a colour space: of a printer, black is looked up in the inverse tables
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    header[:4] = struct.pack(">I", offset + len(heap))
    return bytes(header) + table_of_tags + heap


def write_dng(
    path: Path,
    linear: NDArray,
    *,
    neutral: tuple[float, float, float] | None = (0.5, 1.0, 0.7),
    orientation: int = 1,
    black: int = 0,
    white: int = 65535,
    matrix: bool = True,
) -> None:
    """An RGGB mosaic of ``linear`` (H, W, 3) Rec. 709, as a camera with this neutral would record it.

    ``neutral``: as-shot neutral; None leaves the tag out. ColorMatrix1 is diag(neutral) of XYZ to Rec. 709.
    """
    camera = np.asarray(neutral or (0.5, 1.0, 0.7))
    sensor = np.rint(black + np.clip(linear * camera, 0, 1) * (white - black)).astype(np.uint16)
    mosaic = sensor[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = sensor[0::2, 0::2, 0], sensor[1::2, 1::2, 2]

    def rationals(values: NDArray) -> tuple[int, ...]:
        return tuple(part for value in np.ravel(values) for part in (round(float(value) * 1_000_000), 1_000_000))

    tags = [
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes((0, 1, 1, 2)), True),
        (33434, 5, 1, (1, 125), True),
        (33437, 5, 1, (56, 10), True),
        (34855, 3, 1, 800, True),
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50707, 1, 4, bytes((1, 1, 0, 0)), True),
        (271, 2, 0, "Acme", True),
        (272, 2, 0, "One", True),
        (50708, 2, 0, "Acme One", True),
        (274, 3, 1, orientation, True),
        (50714, 3, 1, black, True),
        (50717, 3, 1, white, True),
        (700, 1, len(XMP), XMP, True),
    ]
    if matrix:
        tags += [(50721, 10, 9, rationals(np.diag(camera) @ XYZ_TO_REC709), True), (50778, 3, 1, 21, True)]
    if neutral is not None:
        tags.append((50728, 5, 3, rationals(camera), True))
    tifffile.imwrite(path, mosaic, photometric=32803, planarconfig=1, metadata=None, subfiletype=0, extratags=tags)


def pillow(samples: NDArray, mode: str | None = None) -> Image.Image:
    """A Pillow picture of (H, W, C) or (H, W) samples."""
    picture = Image.fromarray(samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples)
    return picture.convert(mode) if mode else picture
