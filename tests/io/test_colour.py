"""Profiles and chromaticities to sRGB primaries, against colour-science and against Little CMS through Pillow."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from hdr.errors import UserError
from hdr.io import read_image
from hdr.io.colour import (
    REC709_CHROMATICITIES,
    adobe_rgb_profile,
    from_profile,
    gamma_profile,
    linear_profile,
    luminance_weights,
    srgb_profile,
    to_rec709_matrix,
)
from tests.io.made import D65, P3_PRIMARIES, chart, cmyk_profile, exif_block, p3_profile, pillow
from tests.io.test_display import write_png_chunks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

AP0 = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
XYZ = (1, 0, 0, 1, 0, 0, 1 / 3, 1 / 3)


def display(linear: NDArray) -> NDArray:
    return np.clip(colour.models.eotf_inverse_sRGB(np.clip(linear, 0, 1)), 0, 1)


def p3_to_display(samples: NDArray, peak: float) -> NDArray:
    """Written out: gamma 2.2, Display P3 to Rec. 709 with the same white, clip, sRGB encoding."""
    p3 = colour.normalised_primary_matrix(np.reshape(P3_PRIMARIES, (3, 2)), D65)
    rec709 = colour.normalised_primary_matrix(np.reshape(REC709_CHROMATICITIES[:6], (3, 2)), D65)
    return display((samples / peak) ** 2.2 @ (np.linalg.inv(rec709) @ p3).T)


def by_pillow(image: Image.Image, profile: bytes, mode: str = "RGB") -> NDArray:
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode=mode,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return np.asarray(converted)


@pytest.mark.parametrize("bits", [8, 16])
def test_wide_gamut_against_the_formula(bits: int) -> None:
    samples = chart(300, 9, 3, bits)  # more rows than are converted at once
    found, name = from_profile(samples, p3_profile(), "display")
    assert (found.dtype, name) == (np.uint16, "RGB built-in")
    error = np.abs(found / 65535 - p3_to_display(samples, 2.0**bits - 1))
    # Profiles hold their matrix in 16 bit fixed point; sRGB is steep at black. From 8 bit, half a step of 8 bits more.
    assert error.max() < (0.004 if bits == 8 else 0.002)
    assert error.mean() < 2e-4


@pytest.mark.parametrize("profile", [p3_profile(), adobe_rgb_profile()], ids=["p3", "adobe"])
def test_eight_bits_against_pillow(profile: bytes) -> None:
    samples = chart(40, 40)
    found, _ = from_profile(samples, profile, "display")
    expected = by_pillow(pillow(samples), profile).astype(int)
    assert np.abs(np.rint(found / 257) - expected).max() <= 1


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.tif"])
def test_embedded_profiles_are_found_in_every_format(tmp_path: Path, name: str) -> None:
    samples = np.full((16, 16, 3), (40, 220, 90), np.uint8)
    options = {"lossless": True} if name.endswith("webp") else {}
    pillow(samples).save(tmp_path / name, icc_profile=p3_profile(), **options)
    photo = read_image(tmp_path / name)
    assert photo.metadata.profile == "RGB built-in"
    error = photo.pixels.numpy().transpose(1, 2, 0) - p3_to_display(samples, 255)
    assert np.abs(error).max() < (0.015 if name.endswith("jpg") else 0.004)


def test_srgb_by_any_name_stays_exact(shared_data: Path) -> None:
    samples = chart(8, 8)
    for profile in (srgb_profile(), imagecodecs.cms_profile("srgb")):
        found, name = from_profile(samples, profile, "display")
        assert found is samples
        assert name == "sRGB built-in"
    for path in sorted((shared_data / "photos-cc0").glob("*.png")):
        exact = read_image(path).pixels.numpy() * 255
        with Image.open(path) as image:
            assert np.array_equal(np.rint(exact), np.asarray(image).transpose(2, 0, 1))
        assert np.abs(exact - np.rint(exact)).max() < 1e-4


def test_pairs_of_one_picture_in_two_spaces(shared_data: Path) -> None:
    """16 bit in a wide, linear or otherwise encoded space against the same in 8 bit sRGB, by other programs."""
    seen = 0
    for path in sorted((shared_data / "icc-pairs-64px").glob("*srgb8*.png")):
        (other,) = (p for p in path.parent.glob(path.name.split("srgb8")[0] + "*") if p != path)
        difference = np.abs(read_image(path).pixels.numpy() - read_image(other).pixels.numpy()) * 255
        # The 8 bit twins carry half a step of rounding. Two pairs (dt) were developed twice, not converted: their
        # sharpening and gamut handling differ in a few pixels.
        if "krita" in path.name:
            assert difference.max() < 0.52
        else:
            assert np.percentile(difference, 90) < 1.5
        assert difference.mean() < 0.7
        seen += 1
    assert seen == 5


def test_gain_map_jpeg_opens_as_its_base_in_p3(shared_data: Path) -> None:
    path = shared_data / "hdr-display" / "apple_gainmap_new.jpg"
    photo = read_image(path)
    assert (photo.metadata.profile, photo.encoding, tuple(photo.pixels.shape)) == (
        "Display P3",
        "display",
        (3, 512, 384),
    )
    with Image.open(path) as image:
        expected = by_pillow(image.convert("RGB"), image.info["icc_profile"])
    assert np.abs(np.rint(photo.pixels.numpy() * 255) - expected.transpose(2, 0, 1)).max() <= 1


def test_grey_profile() -> None:
    samples = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    found, name = from_profile(samples, gamma_profile(1.8, None, grey=True), "display")
    assert name == "gray built-in"
    expected = display((samples / 255) ** 1.8)
    assert np.abs(found / 65535 - expected).max() < 0.004
    assert found.shape == (16, 16, 1)


def test_grey_pixels_under_an_rgb_profile() -> None:
    found, _ = from_profile(np.full((2, 2, 1), 100, np.uint8), p3_profile(), "display")
    assert np.abs(found / 65535 - display(np.float64(100 / 255) ** 2.2)).max() < 0.001


def test_cmyk_with_and_without_profile(tmp_path: Path) -> None:
    inks = np.stack(np.meshgrid(*[[0, 90, 255]] * 4, indexing="ij"), axis=-1).reshape(9, 9, 4).astype(np.uint8)
    image = Image.fromarray(inks, "CMYK")
    image.save(tmp_path / "plain.tif")
    plain = read_image(tmp_path / "plain.tif").pixels.numpy().transpose(1, 2, 0)
    expected = (1 - inks[..., :3] / 255) * (1 - inks[..., 3:] / 255)
    assert np.abs(plain - expected).max() < 0.5 / 255 + 1e-6
    image.save(tmp_path / "inks.tif", icc_profile=cmyk_profile())
    photo = read_image(tmp_path / "inks.tif")
    assert photo.metadata.profile == "two inks"
    found = photo.pixels.numpy().transpose(1, 2, 0)
    assert np.abs(np.rint(found * 255) - by_pillow(image, cmyk_profile())).max() <= 1
    assert found[0, 0].min() > 0.99, "paper is white, although it is cream"
    assert found[-1, -1].max() < 0.01, "full ink is black, although it is grey"


def test_cmyk_jpeg_of_photoshop_is_not_inverted(tmp_path: Path) -> None:
    inks = np.broadcast_to(np.uint8([0, 255, 255, 0]), (16, 16, 4))
    Image.fromarray(np.ascontiguousarray(inks), "CMYK").save(tmp_path / "x.jpg", quality=100, subsampling=0)
    assert b"Adobe" in (tmp_path / "x.jpg").read_bytes()[:200]
    red, green, blue = read_image(tmp_path / "x.jpg").pixels.mean(dim=(1, 2))
    assert (red > 0.98, green < 0.02, blue < 0.02) == (True, True, True)


def test_adobe_rgb_that_only_the_exif_declares(tmp_path: Path) -> None:
    samples = np.full((8, 8, 3), (60, 200, 70), np.uint8)
    for index, block in enumerate((exif_block(interoperability=b"R03\0"), exif_block())):
        pillow(samples).save(tmp_path / f"{index}.png", exif=block)
    declared, plain = (read_image(tmp_path / f"{index}.png") for index in (0, 1))
    expected, _ = from_profile(samples, adobe_rgb_profile(), "display")
    assert np.array_equal(np.rint(declared.pixels.numpy() * 65535), expected.transpose(2, 0, 1))
    assert declared.metadata.profile == "Adobe RGB (1998) (built-in)" or "Adobe" in str(declared.metadata.profile)
    assert plain.metadata.profile is None
    assert np.array_equal(np.rint(plain.pixels.numpy() * 255), samples.transpose(2, 0, 1))


@pytest.mark.parametrize("profile", [b"", b"nonsense" * 30, p3_profile()[:200], srgb_profile()[:60]])
def test_damaged_profiles_are_logged_and_passed_over(profile: bytes, caplog: pytest.LogCaptureFixture) -> None:
    samples = chart(4, 4)
    with caplog.at_level(logging.WARNING):
        found, name = from_profile(samples, profile, "display")
    assert np.array_equal(found, samples)
    assert name is None
    assert "is passed over" in caplog.text


def test_profiles_of_another_kind_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert from_profile(chart(4, 4), cmyk_profile(), "display")[1] is None
    assert "(two inks) does not fit" in caplog.text


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_float_tiff_with_a_profile_becomes_linear_rec709(tmp_path: Path, gamma: float) -> None:
    values = np.random.default_rng(0).uniform(0, 4, (6, 7, 3)).astype(np.float32)
    profile = imagecodecs.cms_profile("rgb", primaries=P3_PRIMARIES, whitepoint=D65, gamma=gamma)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb", iccprofile=profile)
    photo = read_image(tmp_path / "x.tif")
    p3 = colour.normalised_primary_matrix(np.reshape(P3_PRIMARIES, (3, 2)), D65)
    rec709 = colour.normalised_primary_matrix(np.reshape(REC709_CHROMATICITIES[:6], (3, 2)), D65)
    expected = values.astype(np.float64) ** gamma @ (np.linalg.inv(rec709) @ p3).T
    assert photo.encoding == "linear"
    assert np.abs(photo.pixels.numpy().transpose(1, 2, 0) - expected).max() < 2e-3 * np.abs(expected).max()
    assert photo.pixels.max() > 2, "nothing is clipped"


def test_a_linear_rec709_profile_leaves_floats_exact() -> None:
    values = np.random.default_rng(0).normal(0, 9, (5, 5, 3)).astype(np.float32)
    assert from_profile(values, linear_profile(), "linear")[0] is values


def png_with(path: Path, *chunks: bytes) -> NDArray:
    samples = chart(6, 5)
    raw = b"".join(b"\0" + row.tobytes() for row in samples)
    write_png_chunks(path, 5, 6, 8, 2, zlib.compress(raw), *chunks)
    return samples


CHRM_P3 = b"cHRM" + struct.pack(">8I", *(round(v * 100000) for v in (*D65, *P3_PRIMARIES)))
GAMA_SRGB, GAMA_22 = (b"gAMA" + struct.pack(">I", value) for value in (45455, 100000))


def test_png_gamma_and_chromaticities(tmp_path: Path) -> None:
    samples = png_with(tmp_path / "x.png", b"gAMA" + struct.pack(">I", 100000), CHRM_P3)
    p3 = colour.normalised_primary_matrix(np.reshape(P3_PRIMARIES, (3, 2)), D65)
    rec709 = colour.normalised_primary_matrix(np.reshape(REC709_CHROMATICITIES[:6], (3, 2)), D65)
    expected = display(samples / 255 @ (np.linalg.inv(rec709) @ p3).T)
    assert np.abs(read_image(tmp_path / "x.png").pixels.numpy().transpose(1, 2, 0) - expected).max() < 0.01


@pytest.mark.parametrize(
    "chunks",
    [(GAMA_SRGB, CHRM_P3), (CHRM_P3,), (GAMA_22, b"sRGB\0"), (GAMA_22, b"cICP\1\r\0\1")],
    ids=["usual gamma", "no gamma", "sRGB", "cICP sRGB"],
)
def test_png_that_is_srgb_in_other_words(tmp_path: Path, chunks: tuple[bytes, ...]) -> None:
    samples = png_with(tmp_path / "x.png", *chunks)
    assert np.array_equal(np.rint(read_image(tmp_path / "x.png").pixels.numpy() * 255), samples.transpose(2, 0, 1))


def test_png_in_display_p3_by_code_points(tmp_path: Path) -> None:
    """Primaries 12 with the transfer function of sRGB is Display P3: the matrix of colour-science in linear light."""
    png_with(tmp_path / "x.png", b"cICP\x0c\x0d\0\1")
    p3, srgb = colour.RGB_COLOURSPACES["Display P3"], colour.RGB_COLOURSPACES["sRGB"]
    with Image.open(tmp_path / "x.png") as image:
        stored = np.asarray(image) / 255
    expected = colour.RGB_to_RGB(stored, p3, srgb, apply_cctf_decoding=True, apply_cctf_encoding=True)
    difference = np.abs(read_image(tmp_path / "x.png").pixels.numpy().transpose(1, 2, 0) - np.clip(expected, 0, 1))
    assert difference.max() < 4e-3
    assert np.abs(expected - stored).max() > 0.02


def test_png_of_narrow_range_or_unknown_code_points_is_refused(tmp_path: Path) -> None:
    png_with(tmp_path / "x.png", b"cICP\x09\x10\0\0")
    with pytest.raises(UserError, match="narrow range"):
        read_image(tmp_path / "x.png")
    png_with(tmp_path / "y.png", b"cICP\x09\x09\0\1")
    with pytest.raises(UserError, match=r"transfer function is number 9 of H\.273"):
        read_image(tmp_path / "y.png")


@pytest.mark.parametrize("name", ["ACES2065-1", "ITU-R BT.2020", "DCI-P3", "ProPhoto RGB", "Adobe RGB (1998)"])
def test_chromaticities_against_colour_science(name: str) -> None:
    space = colour.RGB_COLOURSPACES[name]
    found = to_rec709_matrix([*np.ravel(space.primaries), *space.whitepoint])
    target = colour.RGB_COLOURSPACES["sRGB"]
    adaptation = colour.adaptation.matrix_chromatic_adaptation_VonKries(
        colour.xy_to_XYZ(space.whitepoint), colour.xy_to_XYZ(REC709_CHROMATICITIES[6:]), transform="Bradford"
    )
    own = colour.normalised_primary_matrix(space.primaries, space.whitepoint)
    rec709 = colour.normalised_primary_matrix(target.primaries, REC709_CHROMATICITIES[6:])
    assert found is not None
    assert np.abs(found - np.linalg.inv(rec709) @ adaptation @ own).max() < 1e-3  # Bradford as printed: four decimals
    assert np.abs(found @ np.ones(3) - 1).max() < 1e-9, "white stays white"


def test_chromaticities_of_xyz_and_rec709() -> None:
    assert to_rec709_matrix(REC709_CHROMATICITIES) is None
    assert to_rec709_matrix(np.float32(REC709_CHROMATICITIES)) is None
    matrix = to_rec709_matrix(XYZ)
    assert matrix is not None
    assert np.abs(matrix - colour.RGB_COLOURSPACES["sRGB"].matrix_XYZ_to_RGB).max() < 2e-3, "absolute: not adapted"
    assert np.abs(luminance_weights(REC709_CHROMATICITIES) - [0.2126, 0.7152, 0.0722]).max() < 1e-4


def test_the_adopted_neutral_becomes_neutral() -> None:
    matrix = to_rec709_matrix(AP0, (0.3457, 0.3585))
    assert matrix is not None
    paper = colour.xy_to_XYZ((0.3457, 0.3585))
    rgb = matrix @ np.linalg.inv(colour.normalised_primary_matrix(np.reshape(AP0[:6], (3, 2)), AP0[6:])) @ paper
    assert np.ptp(rgb) < 1e-9


@pytest.mark.parametrize("bad", [(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.31, 0.33), (*REC709_CHROMATICITIES[:6], 0.3, 0.0)])
def test_chromaticities_that_span_nothing(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"span no colour space|has no luminance"):
        to_rec709_matrix(bad)


def test_profiles_to_embed_have_no_date() -> None:
    assert srgb_profile()[24:36] == adobe_rgb_profile()[24:36] == bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0))
    ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
