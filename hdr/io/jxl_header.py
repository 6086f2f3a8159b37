"""The header of a JPEG XL codestream: size, samples and colours, which the decoder at hand does not give.

Source: ISO/IEC 18181-1:2024, annexes B (bit fields), C and D (image header), E (colour encoding).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import imagecodecs

_LONGEST_HEADER = 1024
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZES = ((1, 9), (1, 13), (1, 18), (1, 30))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_LONGEST_BOX = 64 * 1024 * 1024

LINEAR, SRGB = 8, 13
"""Transfer functions of the colour encoding, numbered as in H.273; those from 2 to 17 take the same bits."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header says. The orientation is that of the stored pixels, 1 to 8, as in EXIF."""

    width: int
    height: int
    bits: int
    is_float: bool
    orientation: int
    animated: bool
    has_profile: bool
    """Colours are given by an ICC profile, which is compressed and not at hand."""
    grey: bool
    primaries: int
    """Number in H.273; 2 for primaries given by coordinates."""
    transfer: int
    """Number in H.273; 0 where a gamma is given instead."""
    gamma: float
    transfer_position: int
    """Bit of the codestream at which the number of the transfer function stands; 0 where there is none."""


class _Bits:
    """Bits of the codestream from the least significant of each byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._end = 8 * len(data)
        self.position = 0

    def take(self, count: int) -> int:
        found = self._value >> self.position & ((1 << count) - 1)
        self.position += count
        if self.position > self._end:
            raise ValueError("its header ends early or is damaged")
        return found

    def number(self, *ranges: tuple[int, int]) -> int:
        """A number in one of four ranges: least value and bits that are added to it (the standard's U32)."""
        least, count = ranges[self.take(2)]
        return least + self.take(count)

    def long(self) -> int:
        """The standard's U64; only its length matters here."""
        kind = self.take(2)
        if kind < 3:
            return (0, 1, 17)[kind] + self.take((0, 4, 8)[kind])
        found, shift = self.take(12), 12
        while self.take(1):
            count = min(8, 64 - shift)
            found |= self.take(count) << shift
            shift += count
            if shift >= 64:
                break
        return found


def boxes_of(data: bytes) -> dict[bytes, bytes]:
    """The first box of each type of a container; of a bare codestream, only that (``jxlc``).

    Codestreams in parts (``jxlp``) give their first part. Boxes behind the last whole one are left out.
    """
    if not data.startswith(_CONTAINER):
        return {b"jxlc": data}
    found: dict[bytes, bytes] = {}
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if length == 1 and position + 16 <= len(data):
            length, header = struct.unpack_from(">Q", data, position + 8)[0], 16
        elif length == 0:
            length = len(data) - position
        if length < header:
            break
        content = data[position + header : position + length]
        if kind == b"jxlp":
            kind, content = b"jxlc", content[4:]
        found.setdefault(kind, content)
        position += length
    return found


def description_box(boxes: dict[bytes, bytes], kind: bytes) -> bytes | None:
    """The content of an ``Exif`` or ``xml `` box, stored plainly or compressed with Brotli."""
    if kind in boxes:
        return boxes[kind]
    packed = boxes.get(b"brob", b"")
    if packed[:4] != kind:
        return None
    return bytes(imagecodecs.brotli_decode(packed[4:], out=_LONGEST_BOX))


def read_header(codestream: bytes) -> Header:
    """``ValueError`` when it is no codestream or ends within its header."""
    if codestream[:2] != b"\xff\x0a":
        raise ValueError("it holds no JPEG XL codestream")
    bits = _Bits(codestream[2:_LONGEST_HEADER])
    width, height = _size(bits)
    fields: dict[str, Any] = {"bits": 8, "is_float": False, "orientation": 1, "animated": False}
    colours: dict[str, Any] = {"has_profile": False, "grey": False, "primaries": 1, "transfer": SRGB, "gamma": 1.0}
    place = 0
    if not bits.take(1):
        if bits.take(1):
            _extra_fields(bits, fields)
        fields["is_float"] = bool(bits.take(1))
        if fields["is_float"]:
            fields["bits"] = bits.number((32, 0), (16, 0), (24, 0), (1, 6))
            bits.take(4)
        else:
            fields["bits"] = bits.number((8, 0), (10, 0), (12, 0), (1, 6))
        bits.take(1)
        for _ in range(bits.number((0, 0), (1, 0), (2, 4), (1, 12))):
            _skip_extra_channel(bits)
        bits.take(1)
        place = _colours(bits, colours)
    return Header(width=width, height=height, transfer_position=16 + place if place else 0, **fields, **colours)


def with_transfer(codestream: bytes, header: Header, transfer: int) -> bytes:
    """The codestream with another transfer function (2 to 17) in the place of one of these."""
    position = header.transfer_position
    if not position or not (2 <= header.transfer < 18 and 2 <= transfer < 18):
        raise ValueError("the header has no place for a transfer function")
    changed = bytearray(codestream)
    for bit in range(4):
        byte, shift = divmod(position + 2 + bit, 8)
        changed[byte] = changed[byte] & ~(1 << shift) | ((transfer - 2 >> bit & 1) << shift)
    return bytes(changed)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.number(*_SIZES)
    ratio = bits.take(3)
    if ratio:
        above, below = _RATIOS[ratio - 1]
        return height * above // below, height
    return (8 * (bits.take(5) + 1) if small else bits.number(*_SIZES)), height


def _extra_fields(bits: _Bits, fields: dict[str, Any]) -> None:
    fields["orientation"] = 1 + bits.take(3)
    if bits.take(1):
        _size(bits)
    if bits.take(1):
        _preview_size(bits)
    if bits.take(1):
        fields["animated"] = True
        bits.number((100, 0), (1000, 0), (1, 10), (1, 30))
        bits.number((1, 0), (1001, 0), (1, 8), (1, 10))
        bits.number((0, 0), (0, 3), (0, 16), (0, 32))
        bits.take(1)


def _preview_size(bits: _Bits) -> None:
    eighths = bits.take(1)
    ranges = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.number(*ranges)
    if not bits.take(3):
        bits.number(*ranges)


def _skip_extra_channel(bits: _Bits) -> None:
    if bits.take(1):
        return
    kind = bits.number(*_ENUM)
    if bits.take(1):
        bits.number((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.number((8, 0), (10, 0), (12, 0), (1, 6))
    bits.number((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.number((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == 0:
        bits.take(1)
    elif kind == 2:
        bits.take(64)
    elif kind == 5:
        bits.number((1, 0), (0, 2), (3, 4), (19, 8))


def _colours(bits: _Bits, colours: dict[str, Any]) -> int:
    """Fills in the colours; the position of the transfer function's number, 0 where there is none."""
    if bits.take(1):
        return 0
    colours["has_profile"] = bool(bits.take(1))
    space = bits.number(*_ENUM)
    colours["grey"] = space == 1
    if colours["has_profile"] or space > 1:
        colours["has_profile"] = True  # XYB and unknown spaces need what cannot be had here either
        return 0
    white = bits.number(*_ENUM)
    if white == 2:
        _skip_coordinates(bits, 1)
    if space == 0:
        colours["primaries"] = bits.number(*_ENUM)
        if colours["primaries"] == 2:
            _skip_coordinates(bits, 3)
    if white != 1:
        colours["primaries"] = 2
    if bits.take(1):
        colours["gamma"], colours["transfer"] = bits.take(24) * 1e-7, 0
        return 0
    position = bits.position
    colours["transfer"] = bits.number(*_ENUM)
    return position


def _skip_coordinates(bits: _Bits, points: int) -> None:
    for _ in range(2 * points):
        bits.number((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
