"""Writing: exact round trips, one rounding, metadata carried, nothing overwritten, nothing half-written."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from hdr.errors import UserError
from hdr.io import WRITABLE_SUFFIXES, Metadata, read_image, write_image
from hdr.io import raster as raster_module
from tests.io.made import XMP, chart, exif_block, p3_profile, pillow, smooth

LOSSLESS = [("x.png", 8), ("x.png", 16), ("x.tif", 8), ("x.tiff", 16), ("x.webp", 8)]
CARRYING = ["x.jpg", "x.png", "x.webp", "x.tif"]


def as_pixels(samples: NDArray, bits: int) -> torch.Tensor:
    return torch.from_numpy((samples / (2**bits - 1)).astype(np.float32)).permute(2, 0, 1)


def by_others(path: Path) -> NDArray:
    """Samples (H, W, C) as tifffile, OpenCV (16 bit PNG) or Pillow give them."""
    import cv2

    if path.suffix.startswith(".tif"):
        return np.asarray(tifffile.imread(path))
    if path.suffix == ".png":
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        return stored[..., [2, 1, 0, *range(3, stored.shape[2])]]
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize(("name", "bits"), LOSSLESS)
@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (2, 301)])
def test_integers_come_back_exactly(
    tmp_path: Path, name: str, bits: int, with_alpha: bool, size: tuple[int, int]
) -> None:
    path = tmp_path / name
    samples = chart(*size, 4 if with_alpha else 3, bits)
    pixels = as_pixels(samples, bits)
    metadata = Metadata(format="png", bits=bits, alpha=pixels[3] if with_alpha else None)
    write_image(path, pixels[:3], encoding="display", bits=bits, metadata=metadata)
    assert np.array_equal(by_others(path), samples)
    photo = read_image(path)
    assert torch.equal(photo.pixels, pixels[:3])
    assert photo.metadata.bits == bits
    assert (photo.metadata.alpha is not None) == with_alpha
    if photo.metadata.alpha is not None:
        assert torch.equal(photo.metadata.alpha, pixels[3])


@given(
    name_and_bits=st.sampled_from(LOSSLESS),
    values=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda shape: (3, *shape)),
        elements=st.floats(-0.5, 1.5, width=32),
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_clipped_and_rounded_once(
    tmp_path: Path, name_and_bits: tuple[str, int], values: NDArray
) -> None:
    name, bits = name_and_bits
    path, peak = tmp_path / name, 2**bits - 1
    write_image(path, torch.from_numpy(values), encoding="display", bits=bits, overwrite=True)
    stored = by_others(path).astype(np.float64).transpose(2, 0, 1)
    exact = np.clip(values.astype(np.float64), 0, 1) * peak
    assert np.abs(stored - exact).max() <= 0.5 + (0.01 if bits == 16 else 1e-5), "float32 has 24 bits"
    again = read_image(path).pixels
    write_image(path, again, encoding="display", bits=bits, overwrite=True)
    assert np.array_equal(by_others(path).transpose(2, 0, 1), stored)


@pytest.mark.parametrize(("bits", "margin"), [(8, 1e-3), (16, 0.02)])
def test_values_beside_half_steps(tmp_path: Path, bits: int, margin: float) -> None:
    steps = torch.arange(0, 255).repeat(3, 1, 1)
    for offset, expected in ((0.5 - margin, steps), (0.5 + margin, steps + 1)):
        pixels = (steps + offset) / (2**bits - 1)
        write_image(tmp_path / "x.png", pixels, encoding="display", bits=bits, overwrite=True)
        assert np.array_equal(by_others(tmp_path / "x.png").transpose(2, 0, 1), expected.numpy())


def test_jpeg_is_close_and_not_subsampled(tmp_path: Path) -> None:
    samples = smooth(48, 64)
    samples[:, ::2] = 255 - samples[:, ::2]  # colours change from column to column
    write_image(tmp_path / "x.jpg", as_pixels(samples, 8), encoding="display")
    with Image.open(tmp_path / "x.jpg") as image:
        assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
        assert np.abs(np.asarray(image).astype(int) - samples).max() < 20
        assert "exif" not in image.info
        assert "icc_profile" not in image.info


def test_float_tiff_is_exact_and_declares_itself_linear(tmp_path: Path) -> None:
    pixels = torch.randn(3, 37, 500) * 100
    pixels[0, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    alpha = torch.rand(37, 500)
    metadata = Metadata(format="exr", bits=32, alpha=alpha)
    write_image(tmp_path / "x.tif", pixels, encoding="linear", metadata=metadata)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        page = file.pages.first
        stored = page.asarray()
        assert page.tags[338].value == (1,), "multiplied by alpha, as in EXR"
        assert page.tags[34675].count > 200
    assert np.array_equal(stored[..., :3], pixels.permute(1, 2, 0).numpy(), equal_nan=True)
    photo = read_image(tmp_path / "x.tif")
    assert photo.encoding == "linear"
    assert torch.equal(photo.pixels.nan_to_num(1, 2, 3), pixels.nan_to_num(1, 2, 3))
    assert photo.metadata.alpha is not None
    assert torch.equal(photo.metadata.alpha, alpha)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", CARRYING)
def test_exif_and_xmp_are_carried_and_true_of_the_new_file(tmp_path: Path, name: str, order: str) -> None:
    exif = b"Exif\0\0" + exif_block(order, interoperability=b"R03\0")
    pillow(smooth(20, 30)).save(tmp_path / "in.jpg", exif=exif, xmp=XMP, icc_profile=p3_profile())
    photo = read_image(tmp_path / "in.jpg")
    assert photo.pixels.shape == (3, 30, 20)
    path = tmp_path / name
    write_image(path, photo.pixels[:, :24], encoding="display", metadata=photo.metadata)
    with Image.open(path) as image:
        found = image.getexif()
        inner, interoperability = found.get_ifd(0x8769), found.get_ifd(0xA005)
        assert found.get(0x0112, 1) == 1
        assert found[0x010F] == "Acme"
        assert (float(inner[0x829A]), float(inner[0x829D]), inner[0x8827]) == (1 / 250, 2.8, 400)
        assert (inner[0xA001], inner[0xA002], inner[0xA003]) == (1, 20, 24)
        assert interoperability[1] == "R98"
        assert (0x927C in inner) == (name != "x.tif")
        xmp = image.tag_v2[700] if name == "x.tif" else image.info["xmp"]  # type: ignore[attr-defined]
        xmp = xmp.encode() if isinstance(xmp, str) else xmp
        assert xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
        profile = image.info["icc_profile"]
    assert b"s\0R\0G\0B" in profile
    again = read_image(path).metadata
    assert (again.make, again.exposure_time, again.aperture, again.iso) == ("Acme", 1 / 250, 2.8, 400)
    assert (again.orientation, again.profile, again.xmp) == (1, "sRGB built-in", xmp)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_in_both_byte_orders_reads_elsewhere(tmp_path: Path, order: str, bits: int) -> None:
    import cv2

    samples = chart(300, 800, 3, bits)  # several strips
    metadata = Metadata(format="jpeg", bits=bits, exif=exif_block(order))
    write_image(tmp_path / "x.tif", as_pixels(samples, bits), encoding="display", bits=bits, metadata=metadata)
    assert (tmp_path / "x.tif").read_bytes()[:2] == (b"II" if order == "<" else b"MM")
    assert np.array_equal(tifffile.imread(tmp_path / "x.tif"), samples)
    assert np.array_equal(cv2.imread(str(tmp_path / "x.tif"), cv2.IMREAD_UNCHANGED)[..., ::-1], samples)


def test_the_profile_is_written_when_the_source_had_one(tmp_path: Path) -> None:
    for name, profile in itertools.product(CARRYING, (None, "Display P3")):
        metadata = Metadata(format="png", bits=8, profile=profile)
        write_image(tmp_path / name, torch.rand(3, 4, 4), encoding="display", bits=8, metadata=metadata, overwrite=True)
        with Image.open(tmp_path / name) as image:
            assert ("icc_profile" in image.info) == (profile is not None), name


def test_gain_map_packets_are_left_behind(tmp_path: Path, shared_data: Path) -> None:
    photo = read_image(shared_data / "hdr-display" / "seine_sdr_gainmap_srgb.jpg")
    assert photo.metadata.xmp is not None
    assert b"hdr-gain-map" in photo.metadata.xmp
    write_image(tmp_path / "x.jpg", photo.pixels, encoding="display", metadata=photo.metadata)
    again = read_image(tmp_path / "x.jpg").metadata
    assert (again.xmp, again.model) == (None, "Pixel 4a")


def test_blocks_too_long_for_jpeg_are_left_out_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metadata = Metadata(format="png", bits=8, exif=exif_block() + bytes(70000), xmp=b"<x>" + b" " * 70000)
    write_image(tmp_path / "x.jpg", torch.rand(3, 4, 4), encoding="display", metadata=metadata)
    assert caplog.text.count("is longer than JPEG allows and is left out") == 2
    write_image(tmp_path / "x.png", torch.rand(3, 4, 4), encoding="display", metadata=metadata)
    again = read_image(tmp_path / "x.png").metadata
    assert (again.xmp, again.make) == (metadata.xmp, "Acme")


def test_sixteen_bits_follow_the_source(tmp_path: Path) -> None:
    for suffix, source in itertools.product((".png", ".tif"), (None, 8, 16)):
        path = tmp_path / f"{source}{suffix}"
        metadata = Metadata(format="png", bits=source) if source else None
        write_image(path, torch.rand(3, 4, 4), encoding="display", metadata=metadata)
        assert read_image(path).metadata.bits == (source or 8)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_equal_pictures_make_equal_files(tmp_path: Path, suffix: str) -> None:
    encoding: Literal["display", "linear"] = "linear" if suffix in (".exr", ".hdr") else "display"
    pixels = torch.rand(3, 20, 30)
    metadata = Metadata(format="png", bits=8, profile="Display P3", exif=exif_block(), xmp=XMP)
    for index in (0, 1):
        write_image(tmp_path / f"{index}{suffix}", pixels, encoding=encoding, metadata=metadata)
    first, second = ((tmp_path / f"{index}{suffix}").read_bytes() for index in (0, 1))
    assert first == second


@pytest.mark.parametrize(
    ("name", "encoding", "bits", "message"),
    [
        ("x.webp", "linear", None, "the pixels are linear and this format holds display values.*linear_to_srgb"),
        ("x.exr", "display", None, "the pixels are display and this format holds linear values.*srgb_to_linear"),
        ("x.hdr", "display", None, "choose one of .tif .tiff .exr .hdr|choose one of .jpg"),
        ("x.jpg", "display", 16, "16 bits are not written here; display values take 8"),
        ("x.png", "display", 12, "display values take 8 or 16"),
        ("x.tif", "linear", 16, "linear values take 32"),
        ("x.tif", "display", 32, "display values take 8 or 16"),
        ("x.gif", "display", None, "'.gif' is not a format that is written; accepted are .avif .exr .hdr .jpeg"),
        ("x", "display", None, "'' is not a format that is written"),
        ("x.dng", "linear", None, "'.dng' is not a format that is written"),
        ("no/x.png", "display", None, "the folder .*no does not exist"),
    ],
)
def test_what_cannot_be_written_is_said(
    tmp_path: Path, name: str, encoding: Literal["display", "linear"], bits: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_image(tmp_path / name, torch.rand(3, 4, 4), encoding=encoding, bits=bits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*CARRYING, "x.hdr"])
def test_non_finite_values_are_refused_where_they_cannot_be_stored(tmp_path: Path, name: str) -> None:
    pixels = torch.rand(3, 4, 4)
    pixels[1, 2, 3] = torch.nan
    encoding: Literal["display", "linear"] = "linear" if name == "x.hdr" else "display"
    with pytest.raises(UserError, match="1 of 48 values are not finite"):
        write_image(tmp_path / name, pixels, encoding=encoding)


@pytest.mark.parametrize("shape", [(1, 4, 4), (4, 4, 4), (4, 4), (3, 0, 4), (1, 3, 4, 4)])
def test_other_shapes_are_a_mistake_of_the_caller(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="pixels are"):
        write_image(tmp_path / "x.png", torch.zeros(shape), encoding="display")
    with pytest.raises(ValueError, match="alpha is"):
        write_image(
            tmp_path / "x.png",
            torch.zeros(3, 4, 4),
            encoding="display",
            metadata=Metadata(format="png", bits=8, alpha=torch.ones(4, 5)),
        )


def test_nothing_is_overwritten_unless_asked_and_the_source_never(tmp_path: Path) -> None:
    pillow(chart(4, 4)).save(tmp_path / "in.png")
    before = (tmp_path / "in.png").read_bytes()
    photo = read_image(tmp_path / "in.png")
    other = dataclasses.replace(photo.metadata, source=tmp_path / "gone.png")
    with pytest.raises(UserError, match="the file exists; choose another name or ask for overwriting"):
        write_image(tmp_path / "in.png", photo.pixels, encoding="display", metadata=other)
    for name in ("in.png", "link.png", "../" + tmp_path.name + "/in.png"):
        if name == "link.png":
            (tmp_path / name).symlink_to(tmp_path / "in.png")
        with pytest.raises(UserError, match="never written onto"):
            write_image(tmp_path / name, photo.pixels, encoding="display", metadata=photo.metadata, overwrite=True)
    assert (tmp_path / "in.png").read_bytes() == before
    write_image(tmp_path / "in.png", 1 - photo.pixels, encoding="display", metadata=other, overwrite=True)
    assert torch.allclose(read_image(tmp_path / "in.png").pixels, 1 - photo.pixels)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        write_image(tmp_path / "folder.png", photo.pixels, encoding="display", overwrite=True)


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jpg"
    write_image(path, torch.rand(3, 8, 8), encoding="display")
    before = path.read_bytes()

    def full(target: Path, *_: object) -> None:
        target.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(raster_module, "write_jpeg", full)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left on device"):
        write_image(path, torch.rand(3, 8, 8), encoding="display", overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.jpg"]


def test_pixels_are_not_changed_and_may_be_strided_or_wider(tmp_path: Path) -> None:
    pixels = (torch.rand(5, 4, 3, dtype=torch.float64, requires_grad=True) * 1.5).permute(2, 0, 1)
    before = pixels.detach().clone()
    for name in ("x.png", "x.tif", "x.webp", "x.jpg"):
        write_image(tmp_path / name, pixels, encoding="display")
    for name in ("x.exr", "x.hdr", "y.tif"):
        write_image(tmp_path / name, pixels, encoding="linear")
    assert torch.equal(pixels.detach(), before)
    assert torch.equal(read_image(tmp_path / "y.tif").pixels, before.float())
