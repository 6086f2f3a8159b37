"""Gain-map JPEG files: written ones through libultrahdr, those of other encoders through our reader."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from hdr.errors import UserError
from hdr.io import Metadata, read_image, write_image
from hdr.io.gainmap_metadata import from_iso, from_xmp
from hdr.io.jpeg_parts import APP1, APP2, XMP_HEADER, content_after, pictures
from hdr.ops.colour import luminance
from hdr.ops.encoding import linear_to_srgb
from tests.io.made import XMP, exif_block
from tests.io.made_hdr import scene, stops

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

ISO = b"urn:iso:std:iso:ts:21496:-1\0"


def exposed(path: Path) -> torch.Tensor:
    """A photograph of arbitrary scale at an exposure that puts its logarithmic mean at 0.18."""
    linear = read_image(path).pixels
    return (linear * (0.18 / luminance(linear).clamp(min=1e-4).log().mean().exp())).clamp(0, 10000 / 203)


def by_libultrahdr(path: Path) -> torch.Tensor:
    decoded = imagecodecs.ultrahdr_decode(path.read_bytes())
    return torch.from_numpy(decoded[..., :3].astype(np.float32)).permute(2, 0, 1)


def check_against(linear: torch.Tensor, path: Path) -> None:
    """Where it is not dark, libultrahdr and our reader give back what was written, and agree with each other."""
    photo = read_image(path, hdr=True)
    assert photo.encoding == "linear"
    lit = linear > 0.05
    for found in (photo.pixels, by_libultrahdr(path)):
        errors = stops(found, linear)[lit]
        assert errors.median() < 0.02
        assert errors.quantile(0.95) < 0.06
        light = luminance(linear)
        errors = stops(luminance(found), light)[light > 0.02]
        assert errors.median() < 0.012
        assert errors.quantile(0.90) < 0.03
    assert stops(photo.pixels, by_libultrahdr(path))[lit].quantile(0.99) < 0.03


def test_scene_through_libultrahdr(tmp_path: Path) -> None:
    linear = scene()
    write_image(tmp_path / "x.jpg", linear, encoding="linear")
    check_against(linear, tmp_path / "x.jpg")


@pytest.mark.parametrize("name", ["Desk", "CandleGlass", "MtTamWest", "Cannon"])
def test_photographs_through_libultrahdr(tmp_path: Path, shared_data: Path, name: str) -> None:
    linear = exposed(shared_data / "hdr-openexr" / f"{name}.exr")[:, :400, :400]
    write_image(tmp_path / "x.jpg", linear, encoding="linear")
    check_against(linear, tmp_path / "x.jpg")


def test_files_of_libultrahdr_through_our_reader(tmp_path: Path) -> None:
    samples = np.concatenate((scene().permute(1, 2, 0).numpy(), np.ones((180, 240, 1))), axis=2).astype(np.float16)
    for gamut in (imagecodecs.ULTRAHDR.CG.BT_709, imagecodecs.ULTRAHDR.CG.DISPLAY_P3):
        path = tmp_path / f"{gamut}.jpg"
        path.write_bytes(imagecodecs.ultrahdr_encode(samples, transfer=imagecodecs.ULTRAHDR.CT.LINEAR, gamut=gamut))
        photo, theirs = read_image(path, hdr=True), by_libultrahdr(path)
        if gamut == imagecodecs.ULTRAHDR.CG.DISPLAY_P3:
            p3, srgb = colour.RGB_COLOURSPACES["Display P3"], colour.RGB_COLOURSPACES["sRGB"]
            moved = colour.RGB_to_RGB(theirs.permute(1, 2, 0).numpy(), p3, srgb)
            theirs = torch.from_numpy(moved).permute(2, 0, 1).float()
        errors = stops(luminance(photo.pixels), luminance(theirs))
        assert errors.median() < 0.01
        assert errors.quantile(0.99) < 0.05
        assert photo.metadata.hdr is not None
        assert photo.metadata.hdr.kind == "gain map"


def test_others_see_the_sdr_picture(tmp_path: Path) -> None:
    linear = scene()
    sdr = linear_to_srgb((linear * 0.5).clamp(0, 1))
    write_image(tmp_path / "x.jpg", linear, encoding="linear", sdr=sdr)
    expected = (sdr * 255).round().permute(1, 2, 0).numpy()
    with Image.open(tmp_path / "x.jpg") as image:
        index = image._getmp()  # type: ignore[attr-defined]
        assert (index[0xB001], [entry["DataOffset"] > 0 for entry in index[0xB002]]) == (2, [False, True])
        pillow = np.asarray(image)
        assert image.info["icc_profile"]
    for found in (pillow, cv2.imread(str(tmp_path / "x.jpg"))[..., ::-1]):
        assert np.abs(found.astype(float) - expected).mean() < 2
    photo = read_image(tmp_path / "x.jpg")
    assert (photo.encoding, photo.metadata.bits) == ("display", 8)
    assert np.array_equal((photo.pixels * 255).round().permute(1, 2, 0).numpy(), pillow)
    assert photo.metadata.hdr is not None
    assert photo.metadata.hdr.peak == pytest.approx(float(luminance(linear).max()), rel=1e-3)
    check_against(linear, tmp_path / "x.jpg")


def test_parts_stand_where_the_formats_want_them(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jpg", scene(), encoding="linear", metadata=Metadata(format="png", bits=8, xmp=XMP))
    data = (tmp_path / "x.jpg").read_bytes()
    (start, middle), (second, end) = pictures(data)
    assert (start, second, end) == (0, middle, len(data))
    index = data.index(b"MPF\0") + 4
    assert data[index : index + 8] == b"MM\0*\0\0\0\x08"
    entries = [struct.unpack_from(">IIIHH", data, index + 50 + 16 * i) for i in range(2)]
    assert entries[0] == (0x00030000, middle, 0, 0, 0)
    assert entries[1] == (0, end - middle, middle - index, 0, 0)
    xmp = content_after(data, 0, APP1, XMP_HEADER)
    assert xmp is not None
    assert b'hdrgm:Version="1.0"' in xmp
    assert b'dc:rights="all"' in xmp
    assert f'Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="{end - middle}"'.encode() in xmp
    assert content_after(data, 0, APP2, ISO) == bytes(4)
    iso, packet = content_after(data, second, APP2, ISO), content_after(data, second, APP1, XMP_HEADER)
    assert iso is not None
    assert packet is not None
    one, other = from_iso(iso), from_xmp(packet)
    assert one is not None
    assert other is not None
    assert one.gain_max == pytest.approx(other.gain_max, abs=1e-6)
    assert one.alternate_headroom == pytest.approx(other.alternate_headroom, abs=1e-6)


@pytest.mark.parametrize("left", ["xmp", "iso"])
def test_one_form_of_the_numbers_is_enough(tmp_path: Path, left: str) -> None:
    write_image(tmp_path / "x.jpg", scene(), encoding="linear")
    data = (tmp_path / "x.jpg").read_bytes()
    gone = ISO if left == "xmp" else b"hdr-gain-map"
    (tmp_path / "y.jpg").write_bytes(data.replace(gone, b"?" * len(gone)))
    one, other = read_image(tmp_path / "x.jpg", hdr=True), read_image(tmp_path / "y.jpg", hdr=True)
    assert (one.pixels - other.pixels).abs().max() < 1e-3


def test_exif_is_carried(tmp_path: Path) -> None:
    metadata = Metadata(format="png", bits=8, exif=exif_block(), xmp=XMP)
    write_image(tmp_path / "x.jpg", scene(), encoding="linear", metadata=metadata)
    for hdr in (False, True):
        found = read_image(tmp_path / "x.jpg", hdr=hdr).metadata
        assert (found.make, found.exposure_time, found.iso, found.orientation) == ("Acme", 1 / 250, 400, 1)
    check_against(scene(), tmp_path / "x.jpg")


def test_blocks_too_long_for_jpeg_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = XMP.replace(b"</rdf:RDF>", b" " * 70000 + b"</rdf:RDF>")
    metadata = Metadata(format="png", bits=8, exif=exif_block() + bytes(70000), xmp=long)
    write_image(tmp_path / "x.jpg", scene(), encoding="linear", metadata=metadata)
    assert caplog.text.count("is longer than JPEG allows and is left out") == 2
    check_against(scene(), tmp_path / "x.jpg")


def test_orientation_turns_both_pictures(tmp_path: Path) -> None:
    write_image(
        tmp_path / "x.jpg", scene(), encoding="linear", metadata=Metadata(format="png", bits=8, exif=exif_block())
    )
    data = bytearray((tmp_path / "x.jpg").read_bytes())
    position = data.index(struct.pack("<HHI", 0x0112, 3, 1)) + 8
    data[position] = 6
    (tmp_path / "y.jpg").write_bytes(data)
    one, other = read_image(tmp_path / "x.jpg", hdr=True), read_image(tmp_path / "y.jpg", hdr=True)
    assert torch.equal(other.pixels, one.pixels.rot90(-1, (1, 2)))


@pytest.mark.parametrize("share", [0.6, 0.8, 0.99])
def test_a_map_cut_short_is_an_error_only_where_it_is_wanted(
    tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "x.jpg", scene(), encoding="linear")
    data = (tmp_path / "x.jpg").read_bytes()
    middle = next(pictures(data))[1]
    (tmp_path / "y.jpg").write_bytes(data[: middle + int((len(data) - middle) * share)])
    assert read_image(tmp_path / "y.jpg").metadata.hdr is None
    assert "is not whole" in caplog.text
    with pytest.raises(UserError, match="the gain map that it announces is not whole"):
        read_image(tmp_path / "y.jpg", hdr=True)


def test_options_where_they_do_not_belong(tmp_path: Path) -> None:
    pixels = torch.rand(3, 4, 4)
    with pytest.raises(UserError, match=r"an SDR picture belongs beside linear pixels in a \.jpg"):
        write_image(tmp_path / "x.jpg", pixels, encoding="display", sdr=pixels)
    with pytest.raises(ValueError, match="sdr is"):
        write_image(tmp_path / "x.jpg", pixels, encoding="linear", sdr=pixels[:, :2])
    with pytest.raises(UserError, match="values are not finite"):
        write_image(tmp_path / "x.jpg", pixels, encoding="linear", sdr=pixels * torch.nan)
    with pytest.raises(UserError, match=r"the compression 'zip' is not known here; \.exr takes none, rle"):
        write_image(tmp_path / "x.jpg", pixels, encoding="linear", compression="zip")
    assert list(tmp_path.iterdir()) == []
