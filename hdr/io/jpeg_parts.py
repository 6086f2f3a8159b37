"""The parts of a JPEG file: marker segments, pictures that stand one after another, and the index that lists them.

Sources: ITU-T T.81, annex B (markers); CIPA DC-007-2009, Multi-Picture Format, 5.1 to 5.2 (the index).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

SEGMENT_LIMIT = 65533
"""Bytes that a marker segment holds beside its own length."""

APP0, APP1, APP2 = 0xE0, 0xE1, 0xE2
XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_BARE = (0x01, *range(0xD0, 0xD8))  # TEM and RST0 to RST7 have no length
_PICTURES_LIMIT = 16
_MPF = b"MPF\0"
_MPF_LENGTH = 86

# In entropy-coded data 0xFF is followed by 0 or a restart marker; anything else ends it.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

Segment = tuple[int, bytes]


def pictures(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each whole JPEG picture that stands at the top level of ``data``, in order (at most 16).

    Thumbnails lie inside segments and are not met. The index of the file is not asked: programs that edit the metadata
    of a file often leave it wrong. What stands after the last whole picture is left out.
    """
    start = 0
    for _ in range(_PICTURES_LIMIT):
        start = data.find(b"\xff\xd8\xff", start)
        end = _end_of_picture(data, start) if start >= 0 else None
        if end is None:
            return
        yield start, end
        start = end


def segments(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Marker and position of the content (start, end) of each segment up to the first scan of the picture at ``start``.

    A damaged segment ends the list.
    """
    position = start + 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _BARE:
            position += 2
        elif marker in (_START, _END, _SCAN):
            return
        else:
            length = struct.unpack_from(">H", data, position + 2)[0]
            if length < 2 or position + 2 + length > len(data):
                return
            yield marker, position + 4, position + 2 + length
            position += 2 + length


def content_after(data: bytes, start: int, marker: int, header: bytes) -> bytes | None:
    """What follows ``header`` in the first segment of this marker that begins with it; None where there is none."""
    for found, begin, end in segments(data, start):
        if found == marker and data.startswith(header, begin, end):
            return data[begin + len(header) : end]
    return None


def with_segments(jpeg: bytes, extra: Sequence[Segment]) -> bytes:
    """The JPEG with these segments after those that open it (JFIF in APP0, Exif in APP1)."""
    position = 2
    for marker, _, end in segments(jpeg):
        if marker not in (APP0, APP1):
            break
        position = end
    return jpeg[:position] + b"".join(_pack(*segment) for segment in extra) + jpeg[position:]


def join_with_index(first: bytes, second: bytes) -> bytes:
    """The two JPEG pictures in one file, with an index of both (Multi-Picture Format) in the first.

    The offset of the second is counted from the byte order mark of the index.
    """
    blank = with_segments(first, [(APP2, _MPF + bytes(_MPF_LENGTH - len(_MPF)))])
    header = blank.index(b"\xff\xe2" + struct.pack(">H", _MPF_LENGTH + 2) + _MPF) + 4 + len(_MPF)
    entries = struct.pack(">IIIHH", 0x00030000, len(blank), 0, 0, 0)  # baseline primary image
    entries += struct.pack(">IIIHH", 0, len(second), len(blank) - header, 0, 0)
    index = struct.pack(">4sIH", b"MM\0*", 8, 3)
    index += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")  # version
    index += struct.pack(">HHII", 0xB001, 4, 1, 2)  # number of images
    index += struct.pack(">HHII", 0xB002, 7, len(entries), 50)  # entries, which follow the directory
    index += bytes(4) + entries
    return blank[:header] + index + blank[header + len(index) :] + second


def _pack(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _end_of_picture(data: bytes, start: int) -> int | None:
    position = start + 2
    while position + 2 <= len(data):
        marker = data[position + 1]
        if data[position] != 0xFF:
            return None
        if marker == _END:
            return position + 2
        if marker == 0xFF:
            position += 1
        elif marker in _BARE:
            position += 2
        else:
            if position + 4 > len(data):
                return None
            position += 2 + struct.unpack_from(">H", data, position + 2)[0]
            if marker == _SCAN:
                after = _AFTER_SCAN.search(data, position)
                if after is None:
                    return None
                position = after.start()
    return None
