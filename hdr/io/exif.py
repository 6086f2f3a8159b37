"""EXIF blocks: what the camera recorded, carried over without touching more than must change.

An EXIF block is a small TIFF file: a header, a first directory (IFD0) that links to an Exif, a GPS and an
interoperability directory, and a second directory (IFD1) with a thumbnail (Exif 2.32, CIPA DC-008, 4.5 to 4.6).
Blocks are edited in place rather than written anew, because maker notes hold offsets into the block they came from.
A block that has to be assembled (from a TIFF or RAW file, whose directories are spread over it) leaves them out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

XMP, DNG_VERSION = 0x02BC, 0xC612
ORIENTATION, EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER = 0x0112, 0x8769, 0x8825, 0xA005
MAKE, MODEL, EXPOSURE_TIME, F_NUMBER, ISO = 0x010F, 0x0110, 0x829A, 0x829D, 0x8827
DATE_TIME, DATE_TIME_ORIGINAL, ARTIST, FOCAL_LENGTH = 0x0132, 0x9003, 0x013B, 0x920A
SUB_SECONDS_ORIGINAL, RECOMMENDED_EXPOSURE_INDEX = 0x9291, 0x8832
SHUTTER_SPEED_VALUE, APERTURE_VALUE, BRIGHTNESS_VALUE, EXPOSURE_BIAS = 0x9201, 0x9202, 0x9203, 0x9204
_MAKER_NOTE, _COLOUR_SPACE, _PIXEL_X, _PIXEL_Y, _INTEROPERABILITY_INDEX = 0x927C, 0xA001, 0xA002, 0xA003, 0x0001
_POINTERS = (EXIF_POINTER, GPS_POINTER, INTEROPERABILITY_POINTER)
_THUMBNAILS = ((0x0201, 0x0202), (0x0111, 0x0117))  # (offset, length) of a JPEG and of an uncompressed thumbnail

# IFD0 of a TIFF file also describes how its pixels are stored; only what describes the photograph travels on.
_DESCRIPTIVE = (0x010E, MAKE, MODEL, 0x0131, DATE_TIME, ARTIST, 0x8298)
# TIFF/EP (ISO 12234-2) keeps these in IFD0, EXIF keeps them in its own directory under the same numbers.
_EXPOSURE = (EXPOSURE_TIME, F_NUMBER, 0x8822, ISO, DATE_TIME_ORIGINAL, *range(0x9201, FOCAL_LENGTH + 1))

_TEXT_FACTS = {"make": MAKE, "model": MODEL}
_NUMBER_FACTS = {"exposure_time": EXPOSURE_TIME, "aperture": F_NUMBER, "iso": ISO}

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


class DamagedExif(ValueError):
    """The block is not a readable TIFF structure."""


@dataclass(frozen=True)
class Entry:
    """One field: TIFF type, number of values, the values in the block's byte order and where they stand."""

    kind: int
    count: int
    data: bytes
    position: int = 0


Directory = dict[int, "Entry | Directory"]


def strip_prefix(block: bytes) -> bytes:
    """The block from its TIFF header on: JPEG puts ``Exif\\0\\0`` before it, PNG and some WebP writers do not."""
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    return block


def byte_order(block: bytes | mmap) -> str:
    """``<`` or ``>``, the struct prefix of the block's byte order; ``DamagedExif`` when it has no TIFF header."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise DamagedExif("no TIFF header")
    return order


def read_directories(block: bytes | mmap) -> Directory:
    """IFD0 with the Exif, GPS and interoperability directories in the place of their pointers."""
    order = byte_order(block)
    return read_directory(block, _unpack(block, order + "I", 4), order, 0)[0]


def edit(block: bytes, *, width: int, height: int, now_srgb: bool) -> bytes:
    """The block for pixels that stand upright: orientation 1, no thumbnail, these dimensions.

    ``now_srgb``: the pixels were converted to sRGB, so a colour space tag that said otherwise is corrected. Every other
    byte, and so every maker note, stays where it was. Raises ``DamagedExif``.
    """
    data = bytearray(block)
    order = byte_order(block)
    first, next_position = read_directory(block, _unpack(block, order + "I", 4), order, 0)
    _store(data, first.get(ORIENTATION), 1, order)
    exif = first.get(EXIF_POINTER)
    if isinstance(exif, dict):
        _store(data, exif.get(_PIXEL_X), width, order)
        _store(data, exif.get(_PIXEL_Y), height, order)
        if now_srgb:
            _store(data, exif.get(_COLOUR_SPACE), 1, order)
            interoperability = exif.get(INTEROPERABILITY_POINTER)
            if isinstance(interoperability, dict):
                index = interoperability.get(_INTEROPERABILITY_INDEX)
                if isinstance(index, Entry) and index.count == 4:
                    data[index.position : index.position + 4] = b"R98\0"
    second = _unpack(block, order + "I", next_position)
    if second:
        data[next_position : next_position + 4] = bytes(4)
        _erase_thumbnail(data, second, read_directory(block, second, order, 1)[0], order)
    return bytes(data)


def portable(directories: Directory) -> Directory:
    """What may move to another place in another file: descriptive and exposure fields, no maker note."""
    found = {tag: directories[tag] for tag in _DESCRIPTIVE if tag in directories}
    exif: Directory = {tag: directories[tag] for tag in _EXPOSURE if tag in directories}
    own = directories.get(EXIF_POINTER)
    if isinstance(own, dict):
        exif.update({tag: entry for tag, entry in own.items() if tag != _MAKER_NOTE})
    if exif:
        found[EXIF_POINTER] = exif
    if GPS_POINTER in directories:
        found[GPS_POINTER] = directories[GPS_POINTER]
    return found


def assemble(directories: Directory, order: str) -> bytes | None:
    """A block of its own with the portable fields; None when there are none."""
    found = portable(directories)
    return header(order, 8) + pack_directory(found, 8, order) if found else None


def header(order: str, offset: int) -> bytes:
    """The eight bytes that open a TIFF structure whose first directory stands at ``offset``."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)


def pack_directory(directory: Directory, offset: int, order: str) -> bytes:
    """The bytes of a directory and of those below it, to stand at ``offset`` (even) of a TIFF structure."""
    table = struct.pack(order + "H", len(directory))
    heap = b""
    heap_offset = offset + 2 + 12 * len(directory) + 4
    for tag in sorted(directory):
        entry = directory[tag]
        if isinstance(entry, dict):
            kind, count, data = 4, 1, struct.pack(order + "I", heap_offset + len(heap))
            heap += pack_directory(entry, heap_offset + len(heap), order)
        else:
            kind, count, data = entry.kind, entry.count, entry.data
            if len(data) > 4:
                position = heap_offset + len(heap)
                heap += data + bytes(len(data) % 2)
                data = struct.pack(order + "I", position)
        table += struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0")
    return table + bytes(4) + heap


def facts(directories: Directory, order: str) -> dict[str, Any]:
    """Of make, model, exposure_time (s), aperture (f-number) and iso those that the block has; zero becomes None.

    An ISO of 65535 says that the field is too small and another holds it (Exif 2.32, PhotographicSensitivity).
    """
    fields = merged(directories)
    found: dict[str, Any] = {name: _text(fields[tag]) for name, tag in _TEXT_FACTS.items() if tag in fields}
    found |= {name: _positive(fields[tag], order) for name, tag in _NUMBER_FACTS.items() if tag in fields}
    if found.get("iso") == 65535:
        found["iso"] = _positive(fields.get(RECOMMENDED_EXPOSURE_INDEX), order) or 65535.0
    return found


def merged(directories: Directory) -> Directory:
    """The fields of IFD0 and of the Exif directory together."""
    exif = directories.get(EXIF_POINTER)
    return directories | exif if isinstance(exif, dict) else directories


def orientation(directories: Directory, order: str) -> int:
    """The orientation tag, 1 to 8; 1 where it is missing or outside that range."""
    value = _positive(directories.get(ORIENTATION), order)
    return int(value) if value is not None and 1 <= value <= 8 else 1


def is_adobe_rgb(directories: Directory) -> bool:
    """True when the camera declared the DCF optional colour space, Adobe RGB, by interoperability index R03.

    Cameras set to Adobe RGB often write this instead of a profile (DCF 2.0, CIPA DC-009, section 4.3).
    """
    exif = directories.get(EXIF_POINTER)
    interoperability = exif.get(INTEROPERABILITY_POINTER) if isinstance(exif, dict) else None
    index = interoperability.get(_INTEROPERABILITY_INDEX) if isinstance(interoperability, dict) else None
    return isinstance(index, Entry) and index.data[:3] == b"R03"


def directories_of_file(path: Path) -> tuple[Directory, str]:
    """Directories and byte order of a TIFF file or a RAW file built like one; empty when they cannot be read."""
    with open(path, "rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        try:
            return read_directories(content), byte_order(content)
        except DamagedExif:
            return {}, "<"


def blocks_of_file(path: Path) -> tuple[bytes | None, bytes | None]:
    """A standing EXIF block and the XMP packet of a TIFF file or a RAW built like one; None for what is missing."""
    directories, order = directories_of_file(path)
    packet = directories.get(XMP)
    xmp = packet.data.rstrip(b"\0") if isinstance(packet, Entry) and packet.kind in (1, 7) else None
    return assemble(directories, order), xmp


def compose(values: Mapping[int, str | float | int]) -> Directory:
    """Directories (little endian) from plain values: text, whole numbers up to 65535, positive reals as rationals."""
    top: Directory = {}
    exif: Directory = {}
    for tag, value in values.items():
        if isinstance(value, str):
            data = value.encode("utf-8") + b"\0"
            entry = Entry(2, len(data), data)
        elif isinstance(value, int):
            entry = Entry(3, 1, struct.pack("<H", min(value, 65535)))
        else:
            scale = 1_000_000 if value < 4000 else 1
            entry = Entry(5, 1, struct.pack("<II", min(round(value * scale), 2**32 - 1), scale))
        (exif if tag in _EXPOSURE else top)[tag] = entry
    return top | ({EXIF_POINTER: exif} if exif else {})


def _unpack(block: bytes | mmap, layout: str, position: int) -> int:
    size = struct.calcsize(layout)
    if position < 0 or position + size > len(block):
        raise DamagedExif(f"an offset of {position} lies outside the block of {len(block)} bytes")
    return int(struct.unpack(layout, block[position : position + size])[0])


def read_directory(block: bytes | mmap, offset: int, order: str, depth: int = 0) -> tuple[Directory, int]:
    """The directory at ``offset`` and the position of its link to the next one; unreadable fields are left out.

    So are repeated tags, and fields once their sizes add up to more than the block: values do not overlap in an honest
    file, and a hostile one could ask for any amount of memory and time.
    """
    count = _unpack(block, order + "H", offset)
    end = offset + 2 + 12 * count
    _unpack(block, order + "I", end)
    entries: Directory = {}
    room = len(block)
    for position in range(offset + 2, end, 12):
        tag, kind, values = struct.unpack(order + "HHI", block[position : position + 8])
        size = _SIZES.get(kind, 0) * values
        start = position + 8 if size <= 4 else _unpack(block, order + "I", position + 8)
        if not size or start + size > len(block) or size > room or tag in entries:
            continue
        room -= size
        if tag in _POINTERS and depth < 2 and kind in (4, 13):
            try:
                entries[tag] = read_directory(block, _unpack(block, order + "I", start), order, depth + 1)[0]
            except DamagedExif:
                continue
        elif tag not in _POINTERS:
            entries[tag] = Entry(kind, values, block[start : start + size], start)
    return entries, end


def _store(data: bytearray, entry: Entry | Directory | None, value: int, order: str) -> None:
    if isinstance(entry, Entry) and entry.kind in (3, 4) and entry.count == 1:
        layout = order + ("H" if entry.kind == 3 else "I")
        limit = 65535 if entry.kind == 3 else 2**32 - 1
        struct.pack_into(layout, data, entry.position, min(value, limit))


def _erase_thumbnail(data: bytearray, directory_offset: int, directory: Directory, order: str) -> None:
    for offset_tag, length_tag in _THUMBNAILS:
        offset, length = (_positive(directory.get(tag), order) for tag in (offset_tag, length_tag))
        if offset is None or length is None or offset < directory_offset:  # a thumbnail follows its directory
            continue
        start, end = int(offset), int(offset + length)
        if end + 2 >= len(data):
            del data[start:]
        else:
            data[start:end] = bytes(end - start)


def _positive(entry: Entry | Directory | None, order: str) -> float | None:
    """The first value of a numeric field when it is finite and above zero."""
    if not isinstance(entry, Entry):
        return None
    if entry.kind in (5, 10):
        above, below = struct.unpack_from(order + ("II" if entry.kind == 5 else "ii"), entry.data)
        value = above / below if below else 0.0
    elif layout := {1: "B", 3: "H", 4: "I", 8: "h", 9: "i", 11: "f", 12: "d"}.get(entry.kind):
        value = float(struct.unpack_from(order + layout, entry.data)[0])
    else:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _text(entry: Entry | Directory | None) -> str | None:
    if not isinstance(entry, Entry) or entry.kind != 2:
        return None
    return entry.data.split(b"\0")[0].decode("utf-8", "replace").strip() or None
