"""Files for HDR displays: PQ and HLG in PNG, AVIF and JPEG XL, against colour-science and among each other."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hdr.errors import UserError
from hdr.io import Metadata, read_image, write_image
from hdr.io.code_points import HLG_PEAK, PQ_PEAK, CodePoints, display_profile, to_linear
from hdr.ops.colour import luminance
from tests.io.made import XMP, exif_block, smooth
from tests.io.made_hdr import stops

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

REC709, REC2020 = colour.RGB_COLOURSPACES["sRGB"], colour.RGB_COLOURSPACES["ITU-R BT.2020"]


def to_rec709(linear: NDArray) -> NDArray:
    return np.asarray(colour.RGB_to_RGB(linear, REC2020, REC709))


def hdr_picture(height: int = 40, width: int = 56) -> torch.Tensor:
    """Soft colours from 0.01 to 20 times diffuse white."""
    base = torch.from_numpy(smooth(height, width) / 255.0).permute(2, 0, 1)
    return (torch.exp2(base * 11 - 6.6)).float()


def test_pq_png_is_what_the_standard_says(tmp_path: Path) -> None:
    linear = hdr_picture()
    write_image(tmp_path / "x.png", linear, encoding="linear")
    stored = imagecodecs.png_decode((tmp_path / "x.png").read_bytes())
    light = to_rec709(colour.models.eotf_ST2084(stored / 65535)) / 203
    largest = linear.amax(dim=0).numpy()[..., None]
    assert (np.abs(light - linear.permute(1, 2, 0).numpy()) / largest).max() < 5e-4
    content = (tmp_path / "x.png").read_bytes()
    assert b"cICP\x09\x10\0\1" in content
    start = content.index(b"cLLI") + 4
    brightest, mean = (value / 10000 for value in struct.unpack_from(">II", content, start))
    assert brightest == pytest.approx(203 * float(linear.max()), rel=1e-5)
    assert mean == pytest.approx(203 * float(linear.amax(dim=0).mean()), rel=1e-5)
    assert struct.unpack_from(">I", content, start + 8)[0] == zlib.crc32(content[start - 4 : start + 8])
    photo = read_image(tmp_path / "x.png")
    assert (photo.encoding, photo.metadata.bits) == ("linear", 16)
    assert ((photo.pixels - linear).abs() / linear.amax(dim=0)).max() < 5e-4
    assert photo.metadata.hdr is not None
    assert (photo.metadata.hdr.kind, photo.metadata.hdr.primaries) == ("pq", "Rec. 2020")
    assert photo.metadata.hdr.peak == pytest.approx(float(linear.max()), rel=1e-5)


@pytest.mark.parametrize("name", ["x.png", "x.avif"])
def test_pq_keeps_wide_colours_and_clips_where_it_ends(tmp_path: Path, name: str) -> None:
    """A pure green of Rec. 2020 is outside Rec. 709; 1e5 is beyond 10 000 cd/m2, -1 is no colour at all."""
    green = np.asarray(colour.RGB_to_RGB(np.array([0.0, 1.0, 0.0]), REC2020, REC709))
    values = np.stack((green, [1e5, 1e5, 1e5], [-1.0, -1.0, -1.0], [0.5, 0.5, 0.5]))
    linear = torch.from_numpy(values.T.reshape(3, 1, 4).repeat(16, axis=1).repeat(16, axis=2).astype(np.float32))
    write_image(tmp_path / name, linear, encoding="linear")
    found = read_image(tmp_path / name).pixels[:, 8, 8::16].T
    assert np.abs(found[0].numpy() - green).max() < 0.02
    assert found[0].min() < -0.05
    assert (found[1] / PQ_PEAK - 1).abs().max() < 0.03
    assert found[2].abs().max() < 1e-3
    assert (found[3] - 0.5).abs().max() < 0.01


def test_diffuse_white_of_both_systems_is_one() -> None:
    """BT.2408: 203 cd/m2 are 58 % of PQ and 75 % of HLG; the peaks are 10 000 and 1000 cd/m2."""
    for points, signal, peak in ((CodePoints(9, 16), 0.5807, PQ_PEAK), (CodePoints(9, 18), 0.75, HLG_PEAK)):
        samples = np.full((1, 1, 3), round(signal * 65535), np.uint16)
        assert (to_linear(samples, 16, points) - 1).abs().max() < 5e-3
        assert (to_linear(np.full((1, 1, 3), 65535, np.uint16), 16, points) / peak - 1).abs().max() < 1e-4


def test_hlg_photograph_against_colour_science(shared_data: Path) -> None:
    path = shared_data / "hdr-display" / "hdr_room_hlg.png"
    photo = read_image(path)
    stored = imagecodecs.png_decode(path.read_bytes()) / 65535
    light = to_rec709(colour.models.eotf_BT2100_HLG(stored, L_W=1000)) / 203
    assert np.abs(photo.pixels.numpy() - light.transpose(2, 0, 1)).max() < 2e-3
    assert photo.metadata.hdr is not None
    assert (photo.encoding, photo.metadata.hdr.kind, photo.metadata.bits) == ("linear", "hlg", 16)
    assert photo.metadata.hdr.peak == pytest.approx(1000 / 203)


@pytest.mark.parametrize("bits", [None, 12])
def test_pq_avif_to_its_precision(tmp_path: Path, bits: int | None) -> None:
    linear = hdr_picture(128, 160)
    write_image(tmp_path / "x.avif", linear, encoding="linear", bits=bits)
    content = (tmp_path / "x.avif").read_bytes()
    assert b"colrnclx\0\x09\0\x10\0\x09\x80" in content
    photo = read_image(tmp_path / "x.avif")
    assert (photo.encoding, photo.metadata.bits) == ("linear", bits or 10)
    assert photo.metadata.hdr is not None
    assert photo.metadata.hdr.peak == pytest.approx(float(linear.max()), abs=1 / 203)
    with Image.open(tmp_path / "x.avif") as image:
        assert image.size == (160, 128), "Pillow's own libavif takes the file with the level that was added"
    errors = stops(luminance(photo.pixels), luminance(linear))
    assert errors.median() < 0.01
    assert errors.quantile(0.99) < 0.05
    stored = imagecodecs.avif_decode(content)
    light = to_rec709(colour.models.eotf_ST2084(stored / (2 ** (bits or 10) - 1))) / 203
    assert np.abs(photo.pixels.numpy() - light.transpose(2, 0, 1)).max() < 2e-3 * light.max()


def test_renditions_of_one_photograph_agree(shared_data: Path) -> None:
    """PQ with two sets of primaries, a gain map in AVIF and in JPEG: the same light, as far as each one reaches."""
    folder = shared_data / "hdr-display"
    reference = read_image(folder / "seine_hdr_srgb.avif")
    assert reference.metadata.hdr is not None
    assert reference.metadata.hdr.peak == pytest.approx(707 / 203), "its own light level"
    light = luminance(reference.pixels)
    for name, headroom, median, share in (
        ("seine_hdr_rec2020.avif", 49.0, 0.02, 0.12),
        ("seine_sdr_gainmap_srgb.avif", 2**1.3, 0.035, 0.30),
        ("seine_sdr_gainmap_srgb.jpg", 2**1.3, 0.035, 0.30),
    ):
        photo = read_image(folder / name, hdr=True)
        assert photo.encoding == "linear"
        compared = (light > 0.02) & (light < headroom)
        found = luminance(photo.pixels)[compared]
        assert float((found / light[compared]).median()) == pytest.approx(1, abs=0.01)
        errors = stops(found, light[compared])
        assert errors.median() < median, name
        assert errors.quantile(0.95) < share, name


def test_gain_map_of_an_avif_in_other_primaries_or_damaged(
    tmp_path: Path, shared_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = (shared_data / "hdr-display" / "seine_sdr_gainmap_srgb.avif").read_bytes()
    whole = read_image(shared_data / "hdr-display" / "seine_sdr_gainmap_srgb.avif", hdr=True).pixels
    numbers = data.index(bytes.fromhex("0000000000c000000000000000010000000d0000000a"))
    other = bytearray(data)
    other[numbers + 5] &= ~0x40  # the gains belong to the primaries of the HDR rendition,
    colours = data.index(b"nclx\0\1\0\x10") + 5
    other[colours] = 9  # which are now those of Rec. 2020
    (tmp_path / "other.avif").write_bytes(other)
    found = read_image(tmp_path / "other.avif", hdr=True).pixels
    grey = (whole.amax(dim=0) - whole.amin(dim=0)) / whole.amax(dim=0) < 0.05
    ratio = luminance(found)[0][grey] / luminance(whole)[0][grey]
    assert (ratio - 1).abs().quantile(0.99) < 0.02, "what is grey is grey in both"
    assert (found - whole).abs().max() > 0.02
    damaged = bytearray(data)
    damaged[numbers + 2] = 1  # a version that readers of today must not read
    (tmp_path / "damaged.avif").write_bytes(damaged)
    assert read_image(tmp_path / "damaged.avif").metadata.hdr is None
    assert "are of a version that is not known here; the gain map is passed over" in caplog.text
    with pytest.raises(UserError, match="are of a version that is not known here"):
        read_image(tmp_path / "damaged.avif", hdr=True)


def test_display_avif(tmp_path: Path) -> None:
    samples = smooth(64, 96)
    pixels = torch.from_numpy(samples / 255.0).permute(2, 0, 1).float()
    for bits in (8, 10, 12):
        write_image(tmp_path / f"{bits}.avif", pixels, encoding="display", bits=bits)
        photo = read_image(tmp_path / f"{bits}.avif")
        assert (photo.encoding, photo.metadata.bits, photo.metadata.hdr) == ("display", bits, None)
        assert (photo.pixels - pixels).abs().max() < 4 / 255
    with Image.open(tmp_path / "8.avif") as image:
        assert np.abs(np.asarray(image).astype(int) - samples).max() <= 4


@pytest.mark.parametrize("name", ["x.avif", "x.jxl"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_xmp_and_alpha_travel(tmp_path: Path, name: str, order: str) -> None:
    pixels = torch.from_numpy(smooth(20, 24) / 255.0).permute(2, 0, 1).float()
    alpha = torch.linspace(0, 1, 24).expand(20, 24)
    metadata = Metadata(format="jpeg", bits=8, exif=exif_block(order), xmp=XMP, alpha=alpha)
    write_image(tmp_path / name, pixels, encoding="display", metadata=metadata)
    again = read_image(tmp_path / name).metadata
    assert (again.make, again.exposure_time, again.iso, again.orientation) == ("Acme", 1 / 250, 400, 1)
    assert again.xmp == XMP
    assert again.alpha is not None
    assert (again.alpha - alpha).abs().max() < 0.01
    if name == "x.avif":
        with Image.open(tmp_path / name) as image:
            assert (image.getexif()[0x010F], image.info["xmp"]) == ("Acme", XMP)
            assert image.mode == "RGBA"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_avif(tmp_path: Path, orientation: int) -> None:
    """Pillow turns the EXIF tag into the turn and mirror properties of the format."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    samples = smooth(20, 30)
    Image.fromarray(samples).save(tmp_path / "x.png", exif=exif)
    Image.fromarray(samples).save(tmp_path / "x.avif", exif=exif, quality=100, subsampling="4:4:4")
    found, expected = read_image(tmp_path / "x.avif"), read_image(tmp_path / "x.png")
    assert (found.metadata.orientation, expected.metadata.orientation) == (orientation, orientation)
    assert (found.pixels - expected.pixels).abs().mean() < 1 / 255
    assert (found.pixels - expected.pixels).abs().max() < 8 / 255


def test_avif_under_a_profile_and_in_grey(tmp_path: Path) -> None:
    profile = display_profile(CodePoints(12, 13))
    Image.fromarray(smooth(20, 30)).save(tmp_path / "x.avif", icc_profile=profile, quality=100, subsampling="4:4:4")
    Image.fromarray(smooth(20, 30)).save(tmp_path / "x.png", icc_profile=profile)
    found, expected = read_image(tmp_path / "x.avif"), read_image(tmp_path / "x.png")
    assert (found.pixels - expected.pixels).abs().mean() < 1.5 / 255
    assert found.metadata.profile == expected.metadata.profile
    Image.fromarray(smooth(20, 30)[..., 0]).save(tmp_path / "g.avif", quality=100)
    grey = read_image(tmp_path / "g.avif").pixels
    assert (grey[0] - torch.from_numpy(smooth(20, 30)[..., 0] / 255.0)).abs().max() < 4 / 255


def test_what_has_no_hdr_rendition_reads_as_always(tmp_path: Path) -> None:
    for name in ("x.jpg", "x.avif", "x.png"):
        write_image(tmp_path / name, torch.rand(3, 16, 16), encoding="display")
        plain, asked = read_image(tmp_path / name), read_image(tmp_path / name, hdr=True)
        assert (asked.encoding, asked.metadata.hdr) == ("display", None)
        assert torch.equal(plain.pixels, asked.pixels)


def test_values_that_these_formats_cannot_hold(tmp_path: Path) -> None:
    linear = torch.ones(3, 4, 4)
    linear[0, 0, 0] = torch.inf
    for name in ("x.png", "x.avif", "x.jpg"):
        with pytest.raises(UserError, match="1 of 48 values are not finite"):
            write_image(tmp_path / name, linear, encoding="linear")
