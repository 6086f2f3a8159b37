"""Gain maps: the formulas, and their numbers in ISO 21496-1 bytes and XMP."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.io.apple import gain_from_apple_map, headroom_from_maker_note
from hdr.io.gainmap import apply_gain_map, compute_gain_map, display_weight, sdr_rendition
from hdr.io.gainmap_metadata import (
    GainMapMetadata,
    apple_headroom,
    directory_xmp,
    from_iso,
    from_xmp,
    to_iso,
    to_xmp,
)
from hdr.ops.encoding import srgb_to_linear
from tests.io.made import XMP

EXAMPLE = GainMapMetadata(
    gain_min=(-1.25, -1.0, -1.5),
    gain_max=(3.125, 3.0, 3.25),
    gamma=(0.5, 0.75, 1.25),
    base_offset=(1 / 64, 1 / 32, 0.0),
    alternate_offset=(1 / 64, 0.0, 1 / 128),
    base_headroom=0.25,
    alternate_headroom=3.2,
)


def test_published_row() -> None:
    """Half of a range of 0 to 2 stops doubles (0.5 + 1/64): 1.015625."""
    metadata = GainMapMetadata(gain_max=(2.0, 2.0, 2.0), alternate_headroom=2.0)
    found = apply_gain_map(torch.full((3, 1, 1), 0.5), torch.full((1, 1, 1), 0.5), metadata)
    assert found.flatten().tolist() == [1.015625] * 3


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_application_against_the_formula_in_float64(weight: float) -> None:
    generator = np.random.default_rng(3)
    base, stored = generator.random((3, 6, 7)), generator.random((3, 6, 7))
    expected = np.empty_like(base)
    for c in range(3):
        low, high, gamma = EXAMPLE.gain_min[c], EXAMPLE.gain_max[c], EXAMPLE.gamma[c]
        logarithm = low + (high - low) * stored[c] ** (1 / gamma)
        expected[c] = (base[c] + EXAMPLE.base_offset[c]) * 2 ** (weight * logarithm) - EXAMPLE.alternate_offset[c]
    found = apply_gain_map(torch.from_numpy(base).float(), torch.from_numpy(stored).float(), EXAMPLE, weight)
    assert np.abs(found.numpy() - expected).max() < 2e-5


def test_a_smaller_map_is_interpolated_between_pixel_centres() -> None:
    metadata = GainMapMetadata(gain_max=(1.0, 1.0, 1.0), alternate_headroom=1.0)
    found = apply_gain_map(torch.full((3, 1, 8), 1.0), torch.tensor([[[0.0, 1.0]]]), metadata)
    shares = np.interp((np.arange(8) + 0.5) / 4 - 0.5, [0, 1], [0, 1])
    expected = (1 + 1 / 64) * 2**shares - 1 / 64
    assert np.abs(found[0, 0].numpy() - expected).max() < 1e-6


def test_weight_of_a_display() -> None:
    assert [display_weight(EXAMPLE, headroom) for headroom in (1.0, 2**0.25, 2**3.2, 100.0)] == [0, 0, 1, 1]
    assert display_weight(EXAMPLE, 2.0) == pytest.approx(0.75 / 2.95)
    same = GainMapMetadata(gain_max=(1.0, 1.0, 1.0), alternate_headroom=0.0)
    assert display_weight(same, 1.0) == 1


def test_map_and_back_within_half_a_step() -> None:
    generator = torch.Generator().manual_seed(1)
    linear = torch.exp2(torch.rand(3, 30, 40, generator=generator) * 15 - 10)
    base = srgb_to_linear(sdr_rendition(linear))
    stored, metadata = compute_gain_map(linear, base)
    assert stored.dtype == np.uint8
    assert stored.min() == 0
    assert stored.max() == 255
    found = apply_gain_map(base, torch.from_numpy(stored / np.float32(255)).permute(2, 0, 1), metadata)
    for c in range(3):
        step = (metadata.gain_max[c] - metadata.gain_min[c]) / 255
        assert torch.log2((found[c] + 1 / 64) / (linear[c] + 1 / 64)).abs().max() < 0.51 * step
    luminance = float((torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None] * linear).sum(dim=0).max())
    assert metadata.alternate_headroom == pytest.approx(math.log2(luminance), abs=1e-5)


def test_map_of_equal_and_dark_pictures() -> None:
    flat = torch.full((3, 4, 5), 0.25)
    stored, metadata = compute_gain_map(flat, flat)
    found = apply_gain_map(flat, torch.from_numpy(stored / np.float32(255)).permute(2, 0, 1), metadata)
    assert (found - flat).abs().max() < 1e-6
    assert metadata.alternate_headroom == 1
    assert compute_gain_map(torch.zeros(3, 2, 2), torch.zeros(3, 2, 2))[1].gain_min == (0.0, 0.0, 0.0)


def test_sdr_rendition_keeps_ratios_and_range() -> None:
    linear = torch.exp2(torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(2)) * 12 - 8)
    base = srgb_to_linear(sdr_rendition(linear))
    assert base.max() == pytest.approx(1, abs=1e-5)
    assert base.min() >= 0
    assert torch.allclose(base[0] / base[1], linear[0] / linear[1], rtol=1e-3)
    order = linear.amax(dim=0).flatten().argsort()
    assert (base.amax(dim=0).flatten()[order].diff() > -1e-6).all(), "brighter stays brighter"
    dull = torch.full((3, 2, 2), 0.3)
    assert torch.allclose(srgb_to_linear(sdr_rendition(dull)), dull, atol=1e-5), "nothing to compress"


numbers = st.floats(-8, 8, width=32)
triples = st.tuples(numbers, numbers, numbers)
positive = st.floats(0.0625, 8, width=32)


@given(
    gain_min=triples,
    gain_max=triples,
    gamma=st.tuples(positive, positive, positive),
    offset=triples,
    headroom=st.tuples(positive, positive),
    base_colours=st.booleans(),
    single=st.booleans(),
)
def test_numbers_survive_both_forms(
    gain_min: tuple[float, float, float],
    gain_max: tuple[float, float, float],
    gamma: tuple[float, float, float],
    offset: tuple[float, float, float],
    headroom: tuple[float, float],
    base_colours: bool,
    single: bool,
) -> None:
    def channels(values: tuple[float, float, float]) -> tuple[float, float, float]:
        return (values[0],) * 3 if single else values

    metadata = GainMapMetadata(
        gain_min=channels(gain_min),
        gain_max=channels(gain_max),
        gamma=channels(gamma),
        base_offset=channels(offset),
        alternate_offset=channels(offset[::-1]),
        base_headroom=headroom[0],
        alternate_headroom=headroom[1],
        base_colours=base_colours,
    )
    content = to_iso(metadata)
    assert len(content) == 5 + 16 + 40 * (1 if metadata.single_channel else 3)
    for found in (from_iso(content), from_xmp(to_xmp(metadata))):
        assert found is not None
        for name in ("gain_min", "gain_max", "gamma", "base_offset", "alternate_offset"):
            assert getattr(found, name) == pytest.approx(getattr(metadata, name), abs=2e-6)
        assert found.base_headroom == pytest.approx(headroom[0], abs=2e-6)
        assert found.alternate_headroom == pytest.approx(headroom[1], abs=2e-6)
    iso = from_iso(content)
    assert iso is not None
    assert iso.base_colours == base_colours


def test_bytes_of_other_encoders() -> None:
    """As libultrahdr 1.4 wrote them (one channel), and in the form with a common denominator."""
    content = bytes.fromhex(
        "000000004000000000000000010059f5410010000000000000000000010059f541001000000000000100000001"
        "00000000000000010000000000000001"
    )
    found = from_iso(content)
    assert found is not None
    headroom = 0x59F541 / 0x100000
    assert (found.gain_min, found.gain_max) == ((0.0,) * 3, (headroom,) * 3)
    assert (found.base_offset, found.alternate_offset, found.gamma) == ((0.0,) * 3, (0.0,) * 3, (1.0,) * 3)
    assert (found.base_headroom, found.alternate_headroom, found.base_colours) == (0.0, headroom, True)
    common = bytes(4) + b"\x48" + struct.pack(">III", 64, 0, 128) + struct.pack(">iiIii", -32, 192, 64, 1, 2)
    found = from_iso(common)
    assert found is not None
    assert (found.gain_min[2], found.gain_max[0], found.gamma[1]) == (-0.5, 3.0, 1.0)
    assert (found.base_offset[0], found.alternate_offset[0], found.alternate_headroom) == (1 / 64, 1 / 32, 2.0)


def test_xmp_of_either_form_and_its_defaults() -> None:
    attributes = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<r:Description xmlns:g="http://ns.adobe.com/hdr-gain-map/1.0/" g:Version="1.0" g:GainMapMax="2.5"'
        ' g:HDRCapacityMax="2.3"/></r:RDF></x:xmpmeta>'
    )
    for packet in (attributes, '<?xpacket begin="\ufeff"?>\n' + attributes + "   \n<?xpacket end='w'?>\0\0"):
        found = from_xmp(packet.encode())
        assert found is not None
        assert (found.gain_max, found.alternate_headroom) == ((2.5,) * 3, 2.3)
        assert (found.gain_min, found.gamma, found.base_offset) == ((0.0,) * 3, (1.0,) * 3, (1 / 64,) * 3)
    assert from_xmp(XMP) is None
    with pytest.raises(ValueError, match="base picture is the HDR rendition"):
        from_xmp(attributes.replace("g:Version", 'g:BaseRenditionIsHDR="True" g:Version').encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\1\0\0", "version that is not known"),
        (b"\0", "version that is not known"),
        (to_iso(EXAMPLE)[:-1], "end early"),
        (to_iso(EXAMPLE)[:9] + bytes(4) + to_iso(EXAMPLE)[13:], "denominator of 0"),
        (bytes(4) + b"\x48" + struct.pack(">IIIiiIii", 1, 0, 2, 0, 1, 0, 0, 0), "gamma or headroom"),
        (bytes(4) + b"\x48" + struct.pack(">IIIiiIii", 1, 0, 2, 0, 100, 1, 0, 0), "out of range"),
    ],
)
def test_damaged_bytes_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_iso(content)


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type declaration"),
        (b"<x>", "not XML"),
        (to_xmp(EXAMPLE).replace(b"<rdf:li>-1.250000</rdf:li>", b""), "2 values where 1 or 3 belong"),
        (to_xmp(EXAMPLE).replace(b"-1.250000", b"nan"), "out of range"),
        (to_xmp(EXAMPLE).replace(b"-1.250000", b"low"), "could not convert"),
    ],
)
def test_damaged_packets_are_refused(packet: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_xmp(packet)


def test_directory_in_a_packet_of_the_user() -> None:
    packet = directory_xmp(1234, XMP)
    assert packet.startswith(XMP[: XMP.index(b"</rdf:RDF>")])
    assert b'Item:Length="1234"' in packet
    assert from_xmp(packet) is None
    with pytest.raises(ValueError, match="no rdf:RDF element"):
        directory_xmp(1, b"<x/>")


def test_apple_headroom_by_packet_and_by_maker_note() -> None:
    """Rows of Apple's published lines: tags 33 and 48 to stops."""
    packet = '<x xmlns:h="http://ns.apple.com/HDRGainMap/1.0/"><h:HDRGainMapVersion>131072</h:HDRGainMapVersion>{}</x>'
    assert apple_headroom(packet.format("").encode()) == 0
    assert apple_headroom(packet.format("<h:HDRGainMapHeadroom>4.5</h:HDRGainMapHeadroom>").encode()) == 4.5
    assert apple_headroom(XMP) is None
    with pytest.raises(ValueError, match="headroom of its gain map is inf"):
        apple_headroom(packet.format("<h:HDRGainMapHeadroom>inf</h:HDRGainMapHeadroom>").encode())
    for tag33, tag48, stops in ((0.5, 0.005, 1.7), (0.5, 1.0, 1.5), (1.5, 0.0, 3.0), (1.5, 1.0, 2.0), (1.5, 9.0, 0.0)):
        assert headroom_from_maker_note(exif_with_note(tag33, tag48)) == pytest.approx(2**stops, rel=1e-3)
    assert headroom_from_maker_note(b"II*\0\x08\0\0\0\0\0\0\0\0\0") is None
    assert headroom_from_maker_note(b"no block") is None


def test_apple_gain_of_the_bt709_curve() -> None:
    stored = torch.tensor([0.0, 0.0405, 0.5, 1.0])
    linear = torch.tensor([0.0, 0.009, ((0.5 + 0.099) / 1.099) ** (1 / 0.45), 1.0])
    assert torch.allclose(gain_from_apple_map(stored, 5.0), 1 + 4 * linear, atol=1e-3)


def exif_with_note(tag33: float, tag48: float) -> bytes:
    """A block with Apple's maker note: 14 bytes of signature, then a big-endian directory with offsets of its own."""
    values = [(33, tag33), (48, tag48)]
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", len(values))
    for index, (tag, _) in enumerate(values):
        note += struct.pack(">HHII", tag, 10, 1, 14 + 2 + 24 + 4 + 8 * index)
    note += bytes(4) + b"".join(struct.pack(">ii", round(value * 100000), 100000) for _, value in values)
    exif_position = 8 + 2 + 12 + 4
    note_position = exif_position + 2 + 12 + 4
    return (
        struct.pack(">2sHI", b"MM", 42, 8)
        + struct.pack(">HHHIII", 1, 0x8769, 4, 1, exif_position, 0)
        + struct.pack(">HHHIII", 1, 0x927C, 7, len(note), note_position, 0)
        + note
    )
