"""ISO base media files that hold still pictures (AVIF): items, their properties, and one more item.

Sources: ISO/IEC 14496-12 (boxes, meta box, items), ISO/IEC 23008-12 (image items and their properties), AV1 Image File
Format 1.1 (AVIF).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_ITEMS_LIMIT = 4096


@dataclass(kw_only=True)
class Item:
    """One item of the file."""

    kind: bytes = b""
    """Type of four letters: av01, Exif, mime, tmap, grid."""
    content_type: bytes = b""
    """For the type mime: the media type."""
    extents: list[tuple[int, int]] = field(default_factory=list)
    """Position and length of its pieces in the file; a length of 0 reaches to the end."""
    properties: dict[bytes, list[bytes]] = field(default_factory=dict)
    """Contents of its property boxes by type."""
    references: dict[bytes, list[int]] = field(default_factory=dict)
    """Items that it refers to, by the kind of reference."""

    def content(self, data: bytes) -> bytes:
        """Its bytes. ``ValueError`` when they lie outside the file or repeat parts of it."""
        if sum(length for _, length in self.extents) > len(data):
            raise ValueError("an item is longer than the file: it is damaged")
        pieces = []
        for start, length in self.extents:
            end = start + length if length else len(data)
            if not 0 <= start <= end <= len(data):
                raise ValueError("an item lies outside the file: it is truncated or damaged")
            pieces.append(data[start:end])
        return b"".join(pieces)


@dataclass(kw_only=True)
class Items:
    """The items of a file by number, and which of them is the picture."""

    primary: int
    items: dict[int, Item]

    @property
    def picture(self) -> Item:
        """The primary item."""
        return self.items[self.primary]

    def describing(self, number: int, kind: bytes, content_type: bytes = b"") -> Item | None:
        """The item of this type that says of itself that it describes item ``number``."""
        for item in self.items.values():
            described = item.references.get(b"cdsc", [])
            if item.kind == kind and item.content_type.startswith(content_type) and number in described:
                return item
        return None


def read_items(data: bytes) -> Items:
    """The items of the file's meta box. ``ValueError`` when there is none or it is damaged."""
    try:
        start, end = _find(data, 0, len(data), b"meta")
        boxes = {kind: (begin, stop) for kind, begin, stop in _boxes(data, start + 4, end)}
        begin = boxes[b"pitm"][0]
        primary = _integer(data, begin + 4, 2 if data[begin] == 0 else 4)
        items: dict[int, Item] = {}
        _read_information(data, *boxes[b"iinf"], items)
        _read_locations(data, *boxes[b"iloc"], items)
        _read_properties(data, *boxes[b"iprp"], items)
        if b"iref" in boxes:
            _read_references(data, *boxes[b"iref"], items)
    except (KeyError, IndexError, struct.error) as error:
        raise ValueError(f"its boxes are damaged ({type(error).__name__}: {error})") from None
    if primary not in items:
        raise ValueError("its boxes are damaged: the item that is the picture is not there")
    return Items(primary=primary, items=items)


def still_picture(data: bytes, item: Item) -> bytes:
    """A file with this coded picture alone, for a decoder that looks at nothing but primary items."""
    content = item.content(data)
    kept = [(kind, value) for kind in (b"ispe", b"pixi", b"av1C", b"colr") for value in item.properties.get(kind, [])]
    associations = bytes([len(kept)]) + bytes(
        index | (0x80 if kind == b"av1C" else 0) for index, (kind, _) in enumerate(kept, 1)
    )
    properties = _box(b"ipco", b"".join(_box(kind, value) for kind, value in kept))
    properties += _box(b"ipma", struct.pack(">IIH", 0, 1, 1) + associations)
    head = _box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")

    def meta(position: int) -> bytes:
        return _box(
            b"meta",
            bytes(4)
            + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + _box(b"pitm", struct.pack(">IH", 0, 1))
            + _box(b"iloc", struct.pack(">IHHHHHII", 0, 0x4400, 1, 1, 0, 1, position, len(content)))
            + _box(
                b"iinf", struct.pack(">IH", 0, 1) + _box(b"infe", struct.pack(">IHH4s", 2 << 24, 1, 0, b"av01") + b"\0")
            )
            + _box(b"iprp", properties),
        )

    position = len(head) + len(meta(0)) + 8
    return head + meta(position) + _box(b"mdat", content)


def with_descriptions(
    data: bytes, descriptions: Sequence[tuple[bytes, bytes, bytes]], light_level: tuple[int, int] | None = None
) -> bytes:
    """A file, as libavif writes it for one picture, with what libavif cannot be told here.

    ``descriptions``: type, media type (for the type mime) and content of further items that describe the picture (Exif
    and XMP). They stand at the end of the file; what stood behind the meta box moves by as much as that grows.
    ``light_level``: cd/m2 of the brightest pixel and of their mean, a property of the picture.
    """
    start, end = _find(data, 0, len(data), b"meta")
    found = read_items(data)
    first = max(found.items) + 1
    information = references = b""
    for number, (kind, content_type, _) in enumerate(descriptions, first):
        entry = struct.pack(">IHH4s", 2 << 24, number, 0, kind) + b"\0"
        information += _box(b"infe", entry + (content_type + b"\0" if content_type else b""))
        references += _box(b"cdsc", struct.pack(">HHH", number, 1, found.primary))
    old = {kind: data[begin:stop] for kind, begin, stop in _boxes(data, start + 4, end)}

    properties = {b"iprp": _with_light_level(old[b"iprp"], found.primary, light_level)} if light_level else {}

    def meta(growth: int) -> bytes:
        places = b""
        for number, item in found.items.items():
            extents = b"".join(struct.pack(">II", offset + growth, length) for offset, length in item.extents)
            places += struct.pack(">HHH", number, 0, len(item.extents)) + extents
        offset = len(data) + growth + 8
        for number, (_, _, content) in enumerate(descriptions, first):
            places += struct.pack(">HHHII", number, 0, 1, offset, len(content))
            offset += len(content)
        count = len(found.items) + len(descriptions)
        new = (
            old
            | properties
            | {
                b"iinf": struct.pack(">IH", 0, count) + old[b"iinf"][6:] + information,
                b"iloc": struct.pack(">IHH", 0, 0x4400, count) + places,
                b"iref": old.get(b"iref", bytes(4)) + references,
            }
        )
        return _box(b"meta", bytes(4) + b"".join(_box(kind, content) for kind, content in new.items()))

    growth = len(meta(0)) - (end - start + 8)
    tail = _box(b"mdat", b"".join(content for _, _, content in descriptions))
    return data[: start - 8] + meta(growth) + data[end:] + tail


def _with_light_level(properties: bytes, item: int, light_level: tuple[int, int]) -> bytes:
    """The content of an iprp box (ipma of version 0 with short indices) with one property more for one item."""
    boxes = {kind: properties[begin:stop] for kind, begin, stop in _boxes(properties, 0, len(properties))}
    container, associations = boxes[b"ipco"], bytearray(boxes[b"ipma"])
    index = 1 + sum(1 for _ in _boxes(container, 0, len(container)))
    position = 8
    while struct.unpack_from(">H", associations, position)[0] != item:
        position += 3 + associations[position + 2]
    associations[position + 2] += 1
    associations.insert(position + 2 + associations[position + 2], index)
    level = _box(b"clli", struct.pack(">HH", *(min(value, 65535) for value in light_level)))
    return _box(b"ipco", container + level) + _box(b"ipma", bytes(associations))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type and position of the content (start, end) of each box in a stretch of the file."""
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if length == 1:
            length, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif length == 0:
            length = end - start
        if length < header or start + length > end:
            raise ValueError("its boxes are damaged: one of them reaches beyond its end")
        yield kind, start + header, start + length
        start += length


def _find(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    for kind, begin, stop in _boxes(data, start, end):
        if kind == wanted:
            return begin, stop
    raise ValueError(f"it has no box '{wanted.decode()}': it is truncated or damaged")


def _integer(data: bytes, position: int, size: int) -> int:
    if position + size > len(data):
        raise IndexError("a number lies outside the file")
    return int.from_bytes(data[position : position + size], "big")


def _read_information(data: bytes, start: int, end: int, items: dict[int, Item]) -> None:
    for kind, begin, stop in _boxes(data, start + (6 if data[start] == 0 else 8), end):
        version = data[begin]
        if kind != b"infe" or version not in (2, 3):
            continue
        wide = 2 if version == 2 else 4
        number = _integer(data, begin + 4, wide)
        rest = data[begin + 4 + wide + 2 : stop]
        content_type = rest[4:].split(b"\0")[1] if rest[:4] == b"mime" else b""
        items[number] = Item(kind=rest[:4], content_type=content_type)
        if len(items) > _ITEMS_LIMIT:
            raise ValueError(f"it has more than {_ITEMS_LIMIT} items")


def _read_locations(data: bytes, start: int, end: int, items: dict[int, Item]) -> None:
    version, sizes = data[start], _integer(data, start + 4, 2)
    offset_size, length_size, base_size = sizes >> 12 & 15, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    count, position = _integer(data, start + 6, wide), start + 6 + wide
    for _ in range(count):
        number = _integer(data, position, wide)
        method = _integer(data, position + wide, 2) & 15 if version else 0
        position += wide + (4 if version else 2)
        base, extents = _integer(data, position, base_size), _integer(data, position + base_size, 2)
        position += base_size + 2
        if extents * max(index_size + offset_size + length_size, 1) > end - position:
            raise IndexError("the list of places ends early")
        for _ in range(extents):
            offset = base + _integer(data, position + index_size, offset_size)
            length = _integer(data, position + index_size + offset_size, length_size)
            position += index_size + offset_size + length_size
            if number in items and method == 0:
                items[number].extents.append((offset, length))
    if position > end:
        raise IndexError("the list of places ends early")


def _read_properties(data: bytes, start: int, end: int, items: dict[int, Item]) -> None:
    boxes = {kind: (begin, stop) for kind, begin, stop in _boxes(data, start, end)}
    known = [(kind, data[begin:stop]) for kind, begin, stop in _boxes(data, *boxes[b"ipco"])]
    begin, stop = boxes[b"ipma"]
    wide, long = 2 if data[begin] == 0 else 4, 2 if data[begin + 3] & 1 else 1
    position = begin + 8
    for _ in range(_integer(data, begin + 4, 4)):
        if position >= stop:
            raise IndexError("the list of properties ends early")
        number = _integer(data, position, wide)
        associations = data[position + wide]
        position += wide + 1
        for _ in range(associations):
            index = _integer(data, position, long) & (0x7FFF if long == 2 else 0x7F)
            position += long
            if number in items and 0 < index <= len(known):
                kind, content = known[index - 1]
                items[number].properties.setdefault(kind, []).append(content)


def _read_references(data: bytes, start: int, end: int, items: dict[int, Item]) -> None:
    wide = 2 if data[start] == 0 else 4
    for kind, begin, stop in _boxes(data, start + 4, end):
        number, count = _integer(data, begin, wide), _integer(data, begin + wide, 2)
        first = begin + wide + 2
        if number in items and first + count * wide <= stop:
            targets = [_integer(data, first + wide * index, wide) for index in range(count)]
            items[number].references.setdefault(kind, []).extend(targets)
