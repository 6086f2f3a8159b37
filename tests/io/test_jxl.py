"""JPEG XL: lossless round trips, the header against what was encoded, refusals."""

from __future__ import annotations

import itertools
import struct
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch

from hdr.errors import UserError
from hdr.io import Metadata, read_image, write_image
from hdr.io.jxl_header import SRGB, boxes_of, read_header, with_transfer
from tests.io.made import XMP, chart

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 301)])
def test_integers_come_back_exactly(tmp_path: Path, bits: int, size: tuple[int, int]) -> None:
    samples = chart(*size, 4, bits)
    pixels = torch.from_numpy((samples / (2**bits - 1)).astype(np.float32)).permute(2, 0, 1)
    metadata = Metadata(format="png", bits=bits, alpha=pixels[3])
    write_image(tmp_path / "x.jxl", pixels[:3], encoding="display", metadata=metadata)
    content = (tmp_path / "x.jxl").read_bytes()
    assert np.array_equal(imagecodecs.jpegxl_decode(content), samples)
    header = read_header(boxes_of(content)[b"jxlc"])
    assert (header.width, header.height, header.bits, header.transfer, header.primaries) == (*size[::-1], bits, SRGB, 1)
    photo = read_image(tmp_path / "x.jxl")
    assert (photo.encoding, photo.metadata.bits, photo.metadata.format) == ("display", bits, "jxl")
    assert torch.equal(photo.pixels, pixels[:3])
    assert photo.metadata.alpha is not None
    assert torch.equal(photo.metadata.alpha, pixels[3])


@pytest.mark.parametrize("bits", [16, 32])
def test_floats_come_back_exactly(tmp_path: Path, bits: int) -> None:
    """Above 1, below 0, subnormal and the largest half; infinities, and NaN in 32 bits."""
    last = torch.nan if bits == 32 else 1.0
    values = torch.tensor([0.0, 1.0, 65504.0, -3.5, 6e-8, 49.26, torch.inf, -torch.inf, last]).repeat(3, 4, 1)
    write_image(tmp_path / "x.jxl", values, encoding="linear", bits=bits)
    photo = read_image(tmp_path / "x.jxl")
    assert (photo.encoding, photo.metadata.bits, photo.metadata.hdr) == ("linear", bits, None)
    expected = values.half().float() if bits == 16 else values
    assert torch.equal(photo.pixels.nan_to_num(7, 8, 9), expected.nan_to_num(7, 8, 9))


def test_bits_follow_the_range(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jxl", torch.ones(3, 2, 2), encoding="linear")
    assert read_image(tmp_path / "x.jxl").metadata.bits == 16
    write_image(tmp_path / "y.jxl", torch.full((3, 2, 2), 7e4), encoding="linear")
    assert read_image(tmp_path / "y.jxl").metadata.bits == 32
    write_image(tmp_path / "nan.jxl", torch.full((3, 2, 2), torch.nan), encoding="linear")
    assert read_image(tmp_path / "nan.jxl").pixels.isnan().all()
    for value in (7e4, torch.nan):
        with pytest.raises(UserError, match="write it with bits=32"):
            write_image(tmp_path / "z.jxl", torch.full((3, 2, 2), value), encoding="linear", bits=16)


@pytest.mark.parametrize("size", [(8, 8), (256, 64), (257, 300), (600, 800), (300, 533)])
def test_header_of_every_kind_of_sample(size: tuple[int, int]) -> None:
    for kind, channels, lossless in itertools.product(("u1", "u2", "f2", "f4"), (1, 3, 4), (True, False)):
        samples = np.zeros((*size, channels) if channels > 1 else size, kind)
        header = read_header(boxes_of(imagecodecs.jpegxl_encode(samples, lossless=lossless, effort=1))[b"jxlc"])
        assert (header.height, header.width) == size
        assert (header.bits, header.is_float) == (8 * samples.itemsize, kind[0] == "f")
        assert header.transfer in (8, 13)
        assert not header.has_profile
        assert header.grey == (channels == 1)


@pytest.mark.parametrize("bits", [10, 12])
def test_integers_of_other_depths_span_the_range(tmp_path: Path, bits: int) -> None:
    samples = np.linspace(0, 2**bits - 1, 300).astype(np.uint16).reshape(10, 10, 3)
    encoded = imagecodecs.jpegxl_encode(samples, lossless=True, bitspersample=bits)
    codestream = boxes_of(encoded)[b"jxlc"]
    changed = with_transfer(codestream, read_header(codestream), SRGB)
    (tmp_path / "x.jxl").write_bytes(changed)
    photo = read_image(tmp_path / "x.jxl")
    expected = torch.from_numpy(samples / (2**bits - 1)).permute(2, 0, 1)
    assert photo.metadata.bits == bits
    assert (photo.pixels - expected).abs().max() < 1e-5


def test_pq_by_its_header(tmp_path: Path) -> None:
    samples = chart(12, 15, 3, 16)
    codestream = boxes_of(imagecodecs.jpegxl_encode(samples, lossless=True))[b"jxlc"]
    (tmp_path / "x.jxl").write_bytes(with_transfer(codestream, read_header(codestream), 16))
    photo = read_image(tmp_path / "x.jxl")
    light = colour.models.eotf_ST2084(samples / 65535).transpose(2, 0, 1) / 203
    assert photo.encoding == "linear"
    assert photo.metadata.hdr is not None
    assert (photo.metadata.hdr.kind, photo.metadata.hdr.primaries) == ("pq", "Rec. 709")
    assert np.abs(photo.pixels.numpy() / light - 1).max() < 1e-4


def test_linear_integers_become_display(tmp_path: Path) -> None:
    """As in TIFF: integers are display values, whatever curve they were stored with."""
    samples = chart(12, 15, 3, 16)
    (tmp_path / "x.jxl").write_bytes(imagecodecs.jpegxl_encode(samples, lossless=True))
    photo = read_image(tmp_path / "x.jxl")
    expected = colour.cctf_encoding(samples / 65535, "sRGB").transpose(2, 0, 1)
    assert photo.encoding == "display"
    assert np.abs(photo.pixels.numpy() - expected).max() < 1e-3


def test_metadata_in_compressed_boxes(tmp_path: Path) -> None:
    encoded = bytes(imagecodecs.jpegxl_encode(chart(4, 5), lossless=True, usecontainer=True))
    packed = b"xml " + bytes(imagecodecs.brotli_encode(XMP))
    (tmp_path / "x.jxl").write_bytes(encoded + struct.pack(">I4s", len(packed) + 8, b"brob") + packed)
    assert read_image(tmp_path / "x.jxl").metadata.xmp == XMP


def test_colours_that_cannot_be_known_are_refused(tmp_path: Path) -> None:
    """The bit that announces an ICC profile, set in a header that writes its colours out."""
    codestream = bytearray(boxes_of(imagecodecs.jpegxl_encode(chart(4, 5, 3, 16), lossless=True))[b"jxlc"])
    header = read_header(bytes(codestream))
    place = header.transfer_position - 1 - 2 - 2 - 2 - 1  # gamma flag, primaries, white, space, then the flag
    codestream[place // 8] |= 1 << place % 8
    (tmp_path / "x.jxl").write_bytes(codestream)
    with pytest.raises(UserError, match=r"this JXL file cannot be read: .*ICC profile, which is not read; djxl"):
        read_image(tmp_path / "x.jxl")
