"""What a gain map means: its numbers as ISO 21496-1 bytes and as XMP in Adobe's form.

Sources: ISO 21496-1:2025 (fields; their order in the bytes as in libavif 1.4 and libultrahdr 1.4, which agree); Adobe,
"Gain map 1.0" (XMP names and defaults); Google, "Ultra HDR Image Format v1.1" (the directory in the first picture).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, fields
from fractions import Fraction
from xml.etree import ElementTree

ISO_HEADER = b"urn:iso:std:iso:ts:21496:-1\0"
ISO_VERSION = bytes(4)
"""Least version that a reader must know and version of the writer, both 0: all that stands in the first picture."""

_HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
NAMESPACE = _HDRGM.encode()
"""Of Adobe's properties; the packet of a first picture with a gain map holds it."""

_APPLE = "http://ns.apple.com/HDRGainMap/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SEVERAL_CHANNELS, _BASE_COLOURS, _ONE_DENOMINATOR = 0x80, 0x40, 0x08
_DENOMINATOR = 1_000_000

Channels = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class GainMapMetadata:
    """How the stored map (0 to 1) becomes gains, per channel R, G, B; logarithms have base 2."""

    gain_min: Channels = (0.0, 0.0, 0.0)
    """Logarithm of the gain where the map is 0."""
    gain_max: Channels
    """Logarithm of the gain where the map is 1."""
    gamma: Channels = (1.0, 1.0, 1.0)
    """The map is stored raised to this power."""
    base_offset: Channels = (1 / 64, 1 / 64, 1 / 64)
    """Added to the base before it is multiplied."""
    alternate_offset: Channels = (1 / 64, 1 / 64, 1 / 64)
    """Taken off the product."""
    base_headroom: float = 0.0
    """Logarithm of the brightness of a display, over SDR white, up to which the base is shown as it is; 0: SDR."""
    alternate_headroom: float
    """The same, from which on the map applies in full."""
    base_colours: bool = True
    """The gains belong to the primaries of the base picture; False: to those of the other rendition."""

    def __post_init__(self) -> None:
        numbers = [value for field in fields(self) for value in _as_tuple(getattr(self, field.name))]
        if not all(math.isfinite(value) and abs(value) < 64 for value in numbers):
            raise ValueError(f"the numbers of its gain map are out of range: {self}")
        if min(self.gamma) <= 0 or min(self.base_headroom, self.alternate_headroom) < 0:
            raise ValueError(f"the gamma or headroom of its gain map is not possible: {self}")

    @property
    def single_channel(self) -> bool:
        """True when R, G and B have the same numbers."""
        channels = (self.gain_min, self.gain_max, self.gamma, self.base_offset, self.alternate_offset)
        return all(len(set(values)) == 1 for values in channels)


def to_iso(metadata: GainMapMetadata) -> bytes:
    """The binary form of ISO 21496-1, version 0."""
    one = metadata.single_channel
    flags = (0 if one else _SEVERAL_CHANNELS) | (_BASE_COLOURS if metadata.base_colours else 0)
    found = ISO_VERSION + bytes([flags])
    found += _pack_fraction(metadata.base_headroom) + _pack_fraction(metadata.alternate_headroom)
    for index in range(1 if one else 3):
        for values in (metadata.gain_min, metadata.gain_max, metadata.gamma):
            found += _pack_fraction(values[index])
        found += _pack_fraction(metadata.base_offset[index]) + _pack_fraction(metadata.alternate_offset[index])
    return found


def from_iso(content: bytes) -> GainMapMetadata | None:
    """From the binary form; None when it is only the version. ``ValueError`` when it is damaged or of a later form."""
    if len(content) < 4 or struct.unpack_from(">H", content)[0] != 0:
        raise ValueError("its gain map metadata are of a version that is not known here")
    if len(content) == len(ISO_VERSION):
        return None
    flags = content[4]
    channels = 3 if flags & _SEVERAL_CHANNELS else 1
    count = 2 + 5 * channels
    signs = "II" + "iiIii" * channels  # headrooms; minimum, maximum, gamma and two offsets
    common = bool(flags & _ONE_DENOMINATOR)
    layout = ">I" + signs if common else ">" + "".join(sign + "I" for sign in signs)
    if len(content) < 5 + struct.calcsize(layout):
        raise ValueError("its gain map metadata end early")
    stored = struct.unpack_from(layout, content, 5)
    above, below = (stored[1:], stored[:1] * count) if common else (stored[0::2], stored[1::2])
    if 0 in below:
        raise ValueError("its gain map metadata hold a fraction with a denominator of 0")
    base, alternate, *rest = (n / d for n, d in zip(above, below, strict=True))
    columns = [_three(rest[index::5]) for index in range(5)]
    return GainMapMetadata(
        gain_min=columns[0],
        gain_max=columns[1],
        gamma=columns[2],
        base_offset=columns[3],
        alternate_offset=columns[4],
        base_headroom=base,
        alternate_headroom=alternate,
        base_colours=bool(flags & _BASE_COLOURS),
    )


def to_xmp(metadata: GainMapMetadata) -> bytes:
    """The packet that stands in the map's own picture, for an SDR base."""
    lists = ""
    for name, values in (
        ("GainMapMin", metadata.gain_min),
        ("GainMapMax", metadata.gain_max),
        ("Gamma", metadata.gamma),
        ("OffsetSDR", metadata.base_offset),
        ("OffsetHDR", metadata.alternate_offset),
    ):
        items = "".join(f"<rdf:li>{value:.6f}</rdf:li>" for value in values)
        lists += f"<hdrgm:{name}><rdf:Seq>{items}</rdf:Seq></hdrgm:{name}>"
    return _packet(
        f'<rdf:Description rdf:about="" xmlns:hdrgm="{_HDRGM}" hdrgm:Version="1.0" hdrgm:BaseRenditionIsHDR="False"'
        f' hdrgm:HDRCapacityMin="{metadata.base_headroom:.6f}"'
        f' hdrgm:HDRCapacityMax="{metadata.alternate_headroom:.6f}">'
        f"{lists}</rdf:Description>"
    )


def directory_xmp(map_length: int, packet: bytes | None) -> bytes:
    """The packet of the first picture: it announces the map and its length in bytes, inside ``packet`` if there is one.

    ``ValueError`` when the packet has no end to put it before.
    """
    items = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{semantic}" Item:Mime="image/jpeg"{length}/>'
        "</rdf:li>"
        for semantic, length in (("Primary", ""), ("GainMap", f' Item:Length="{map_length}"'))
    )
    description = (
        f'<rdf:Description rdf:about="" xmlns:rdf="{_RDF}" xmlns:hdrgm="{_HDRGM}"'
        ' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
        ' xmlns:Item="http://ns.google.com/photos/1.0/container/item/" hdrgm:Version="1.0">'
        f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory></rdf:Description>"
    )
    if packet is None:
        return _packet(description)
    head, mark, tail = packet.rpartition(b"</rdf:RDF>")
    if not mark:
        raise ValueError("the XMP packet has no rdf:RDF element")
    return head + description.encode() + mark + tail


def from_xmp(packet: bytes) -> GainMapMetadata | None:
    """From a packet with Adobe's properties; None when it has none. ``ValueError`` when they make no sense.

    An SDR base is expected (``BaseRenditionIsHDR`` False).
    """
    found = _properties(packet, _HDRGM)
    if "GainMapMax" not in found or "HDRCapacityMax" not in found:
        return None
    if found.get("BaseRenditionIsHDR", ["False"])[0].lower() == "true":
        raise ValueError("its base picture is the HDR rendition, which is not read")

    def channels(name: str, default: float) -> Channels:
        return _three([float(value) for value in found.get(name, [str(default)])])

    return GainMapMetadata(
        gain_min=channels("GainMapMin", 0.0),
        gain_max=channels("GainMapMax", 0.0),
        gamma=channels("Gamma", 1.0),
        base_offset=channels("OffsetSDR", 1 / 64),
        alternate_offset=channels("OffsetHDR", 1 / 64),
        base_headroom=channels("HDRCapacityMin", 0.0)[0],
        alternate_headroom=channels("HDRCapacityMax", 0.0)[0],
    )


def apple_headroom(packet: bytes) -> float | None:
    """HDRGainMapHeadroom of Apple's packet, a factor over SDR white; 0 without it, None when the packet is not Apple's.

    Older files leave the headroom to the maker note (see ``hdr.io.apple``).
    """
    found = _properties(packet, _APPLE)
    if "HDRGainMapVersion" not in found:
        return None
    headroom = float(found.get("HDRGainMapHeadroom", ["0"])[0])
    if not (math.isfinite(headroom) and 0 <= headroom < 2**16):
        raise ValueError(f"the headroom of its gain map is {headroom}")
    return headroom


def _properties(packet: bytes, namespace: str) -> dict[str, list[str]]:
    """Values of the simple and list properties of one namespace, whether attributes or elements."""
    text = packet.decode("utf-8", "replace").strip("\0 \n\r\t\ufeff")
    if "<!DOCTYPE" in text:
        raise ValueError("its XMP packet holds a document type declaration, which none needs")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"its XMP packet is not XML: {error}") from None
    prefix = "{" + namespace + "}"
    found: dict[str, list[str]] = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = [value.strip()]
        if element.tag.startswith(prefix):
            items = [(item.text or "").strip() for item in element.iter("{" + _RDF + "}li")]
            found[element.tag.removeprefix(prefix)] = items or [(element.text or "").strip()]
    return found


def _packet(description: str) -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">{description}</rdf:RDF></x:xmpmeta>'
    ).encode()


def _pack_fraction(value: float) -> bytes:
    fraction = Fraction(value).limit_denominator(_DENOMINATOR)
    return struct.pack(">iI", fraction.numerator, fraction.denominator)


def _three(values: list[float]) -> Channels:
    if len(values) not in (1, 3):
        raise ValueError(f"its gain map metadata give {len(values)} values where 1 or 3 belong")
    return values[0], values[len(values) // 2], values[-1]


def _as_tuple(value: float | Channels) -> Channels | tuple[float]:
    return value if isinstance(value, tuple) else (value,)
