"""Reading JPEG, PNG, WebP and TIFF: values by other decoders, orientation by Pillow, refusals."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hdr.errors import UserError
from hdr.io import read_image
from tests.io.made import XMP, chart, exif_block, pillow, smooth

TURNED_FORMATS = {
    "jpeg": ("x.jpg", {"quality": 95, "subsampling": 0}),
    "png": ("x.png", {}),
    "webp": ("x.webp", {"lossless": True}),
}


def stored(path: Path) -> NDArray:
    """What read_image gives, as 8 bit samples (H, W, 3); must be exact 8 bit steps."""
    scaled = read_image(path).pixels.permute(1, 2, 0).numpy() * 255
    assert np.abs(scaled - np.rint(scaled)).max() < 1e-4
    return np.rint(scaled).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 64)])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_is_what_opencv_decodes(tmp_path: Path, size: tuple[int, int], subsampling: int, mode: str) -> None:
    import cv2

    path = tmp_path / "x.jpg"
    pillow(smooth(*size), mode).save(path, quality=90, subsampling=subsampling)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    difference = np.abs(stored(path).astype(int) - expected)
    assert difference.max() <= 1, "both use libjpeg's accurate integer transform"
    metadata = read_image(path).metadata
    assert (metadata.format, metadata.bits, metadata.source, metadata.alpha) == ("jpeg", 8, path, None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", TURNED_FORMATS)
def test_orientation_is_applied_as_pillow_does(tmp_path: Path, kind: str, orientation: int) -> None:
    name, options = TURNED_FORMATS[kind]
    path = tmp_path / name
    block = exif_block(orientation=orientation)
    pillow(smooth(9, 14)).save(path, exif=b"Exif\0\0" + block, **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(stored(path), expected)
    metadata = read_image(path).metadata
    assert metadata.orientation == orientation
    assert metadata.exif is not None
    reread = Image.Exif()
    reread.load(metadata.exif)
    assert reread[0x0112] == 1
    assert (reread.get_ifd(0x8769)[0xA002], reread.get_ifd(0x8769)[0xA003]) == expected.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_orientation_of_tiff_pixels_and_alpha(tmp_path: Path, bits: int, orientation: int) -> None:
    samples, path = chart(5, 4, 4, bits), tmp_path / "x.tif"
    tifffile.imwrite(
        path, samples, photometric="rgb", extrasamples=["unassalpha"], extratags=[(274, 3, 1, orientation, True)]
    )
    turned = {
        1: samples,
        2: np.fliplr(samples),
        3: np.rot90(samples, 2),
        4: np.flipud(samples),
        5: samples.transpose(1, 0, 2),
        6: np.rot90(samples, -1),
        7: np.rot90(samples, 2).transpose(1, 0, 2),
        8: np.rot90(samples),
    }[orientation]
    photo = read_image(path)
    peak = 2**bits - 1
    assert photo.metadata.alpha is not None
    assert np.array_equal(np.rint(photo.pixels.numpy() * peak), turned[..., :3].transpose(2, 0, 1))
    assert np.array_equal(np.rint(photo.metadata.alpha.numpy() * peak), turned[..., 3])
    assert (photo.metadata.bits, photo.metadata.orientation) == (bits, orientation)


def test_xmp_orientation_follows(tmp_path: Path) -> None:
    pillow(smooth(8, 8)).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + exif_block(orientation=6), xmp=XMP)
    metadata = read_image(tmp_path / "x.jpg").metadata
    assert metadata.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    pillow(smooth(8, 8)).save(tmp_path / "y.jpg", xmp=XMP)
    assert read_image(tmp_path / "y.jpg").metadata.xmp == XMP, "not turned, not touched"


def png_cases() -> dict[str, tuple[Image.Image, dict[str, object]]]:
    colours = pillow(chart(9, 7))
    grey = colours.convert("L")
    return {
        "rgb": (colours, {}),
        "rgba": (pillow(chart(9, 7, 4)), {}),
        "grey": (grey, {}),
        "grey-alpha": (Image.merge("LA", (grey, grey.transpose(Image.Transpose.ROTATE_180))), {}),
        "bilevel": (colours.convert("1"), {}),
        "palette-4bit": (colours.quantize(16), {}),
        "palette-2bit": (colours.quantize(4), {"bits": 2}),
        "palette-alpha": (colours.quantize(16), {"transparency": bytes(range(0, 160, 10))}),
        "grey-key": (grey, {"transparency": grey.getpixel((0, 0))}),
        "rgb-key": (colours, {"transparency": colours.getpixel((0, 0))}),
    }


@pytest.mark.parametrize("case", png_cases())
def test_png_colour_types_agree_with_pillow(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.png"
    image, options = png_cases()[case]
    image.save(path, **options)  # type: ignore[arg-type]
    with Image.open(path) as opened:
        transparent = "alpha" in case or "key" in case or case == "rgba"
        expected = np.asarray(opened.convert("RGBA"))
    assert np.array_equal(stored(path), expected[..., :3])
    alpha = read_image(path).metadata.alpha
    assert (alpha is not None) == transparent
    if alpha is not None:
        assert np.array_equal(np.rint(alpha.numpy() * 255), expected[..., 3])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_against_opencv(tmp_path: Path, channels: int) -> None:
    import cv2

    path, samples = tmp_path / "x.png", chart(6, 5, channels, 16)
    if channels in (1, 3):
        cv2.imwrite(str(path), samples[..., ::-1])
    else:  # OpenCV writes no grey with alpha
        raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
        write_png_chunks(path, 5, 6, 16, 4 if channels == 2 else 6, zlib.compress(raw))
    photo = read_image(path)
    assert photo.metadata.bits == 16
    expected = np.repeat(samples[..., :1], 3, axis=2) if channels < 3 else samples[..., :3]
    assert np.array_equal(np.rint(photo.pixels.numpy() * 65535), expected.transpose(2, 0, 1))
    if channels in (2, 4):
        assert photo.metadata.alpha is not None
        assert np.array_equal(np.rint(photo.metadata.alpha.numpy() * 65535), samples[..., -1])


def write_png_chunks(path: Path, width: int, height: int, bits: int, colour: int, data: bytes, *extra: bytes) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    others = b"".join(chunk(part[:4], part[4:]) for part in extra)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + others + chunk(b"IDAT", data) + chunk(b"IEND", b""))


TIFF_CASES: dict[str, dict[str, object]] = {
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate-tiles": {"compression": "zlib", "tile": (16, 16)},
    "planar": {"planarconfig": "separate"},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
}


@pytest.mark.parametrize("case", TIFF_CASES)
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_layouts(tmp_path: Path, case: str, bits: int) -> None:
    path, samples = tmp_path / "x.tif", chart(19, 23, 3, bits)
    options = TIFF_CASES[case]
    data = np.ascontiguousarray(samples.transpose(2, 0, 1)) if case == "planar" else samples
    tifffile.imwrite(path, data, photometric="rgb", **options)
    photo = read_image(path)
    assert np.array_equal(np.rint(photo.pixels.numpy() * (2**bits - 1)), samples.transpose(2, 0, 1))
    assert (photo.encoding, photo.metadata.bits, photo.metadata.alpha) == ("display", bits, None)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA"])
def test_tiff_modes_agree_with_pillow(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.tif"
    image = pillow(chart(9, 7, 4)) if mode == "RGBA" else pillow(chart(9, 7))
    image = image.quantize(32) if mode == "P" else image.convert(mode)
    image.save(path)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB")).astype(int)
    found = stored(path).astype(int)
    assert np.abs(found - expected).max() <= (1 if mode == "CMYK" else 0), "Pillow cuts off where we round"


def test_jpeg_in_tiff_and_white_is_zero(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "j.tif", smooth(32, 48), photometric="rgb", compression="jpeg")
    assert np.abs(stored(tmp_path / "j.tif").astype(int) - smooth(32, 48)).max() <= 6
    grey = chart(4, 5, 1)[..., 0]
    tifffile.imwrite(tmp_path / "w.tif", grey, photometric="miniswhite")
    assert np.array_equal(stored(tmp_path / "w.tif"), np.repeat(255 - grey[..., None], 3, axis=2))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_tiff_of_odd_depths_spans_the_whole_range(tmp_path: Path, bits: int) -> None:
    samples = chart(8, 16, 3, 16) >> (16 - bits)
    samples[0, 0] = 2**bits - 1
    tifffile.imwrite(tmp_path / "x.tif", samples, photometric="rgb", bitspersample=bits)
    pixels = read_image(tmp_path / "x.tif").pixels
    assert pixels.max() == 1
    assert np.abs(pixels.numpy().transpose(1, 2, 0) - samples / (2**bits - 1)).max() < 1e-5


def test_alpha_that_was_multiplied_in_is_divided_out(tmp_path: Path) -> None:
    straight, alpha = chart(8, 9, 3, 16), chart(8, 9, 1, 16, seed=1)
    alpha[0, 0] = 0
    multiplied = np.rint(straight * (alpha / 65535)).astype(np.uint16)
    rgba = np.concatenate((multiplied, alpha), axis=2)
    tifffile.imwrite(tmp_path / "x.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    photo = read_image(tmp_path / "x.tif")
    found = photo.pixels.numpy().transpose(1, 2, 0)
    solid = alpha[..., 0] > 6000
    assert solid.sum() > 50
    assert np.abs(found - straight / 65535)[solid].max() < 1e-4
    assert np.array_equal(found[0, 0], np.zeros(3))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_float_tiff_is_linear_and_untouched(tmp_path: Path, kind: type) -> None:
    values = np.random.default_rng(0).normal(0, 4, (5, 6, 3)).astype(kind)
    values[0, 0] = (np.inf, -np.inf, np.nan)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="rgb")
    photo = read_image(tmp_path / "x.tif")
    assert photo.encoding == "linear"
    assert photo.metadata.bits == (16 if kind is np.float16 else 32)
    assert np.array_equal(photo.pixels.numpy().transpose(1, 2, 0), values.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.zeros((4, 4, 3), np.int16), {"photometric": "rgb"}, "signed or complex of 16 bits"),
        (np.zeros((4, 4), np.uint32), {"photometric": "minisblack"}, "uint of 32 bits"),
        (np.zeros((4, 4, 3), np.uint8), {"photometric": "cielab"}, "CIELAB; grey, RGB, palette and CMYK are read"),
        (np.zeros((4, 4, 9), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}, "9 samples per pixel"),
    ],
)
def test_tiff_of_other_kinds_is_refused(
    tmp_path: Path, data: NDArray, options: dict[str, object], message: str
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", data, **options)
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "x.tif")


def test_the_first_of_several_pages_and_not_a_preview(tmp_path: Path) -> None:
    pages = [chart(8, 8, seed=index) for index in range(3)]
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(chart(2, 2), photometric="rgb", subfiletype=1)
        for page in pages:
            writer.write(page, photometric="rgb", metadata=None)
    assert np.array_equal(stored(tmp_path / "x.tif"), pages[0])
    assert read_image(tmp_path / "x.tif").metadata.frames == 3


@pytest.mark.parametrize("name", ["x.png", "x.webp"])
def test_the_first_frame_of_an_animation(tmp_path: Path, name: str) -> None:
    frames = [pillow(chart(8, 8, seed=index)) for index in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(stored(tmp_path / name), np.asarray(frames[0]))
    assert read_image(tmp_path / name).metadata.frames == 3


def test_webp_with_alpha(tmp_path: Path) -> None:
    samples = chart(6, 7, 4)
    pillow(samples).save(tmp_path / "x.webp", lossless=True, exact=True)
    photo = read_image(tmp_path / "x.webp")
    assert np.array_equal(stored(tmp_path / "x.webp"), samples[..., :3])
    assert photo.metadata.alpha is not None
    assert np.array_equal(np.rint(photo.metadata.alpha.numpy() * 255), samples[..., 3])


def test_old_exif_text_in_png_tells_the_exposure_but_does_not_turn(shared_data: Path) -> None:
    photo = read_image(shared_data / "bracket-parliament" / "parliament_1.png")
    assert tuple(photo.pixels.shape) == (3, 220, 144), "as the radiance map made from it"
    assert (photo.metadata.orientation, photo.metadata.model) == (1, "NIKON D40")
    assert (photo.metadata.exposure_time, photo.metadata.aperture, photo.metadata.iso) == (1 / 13, 8, 800)


def sources() -> dict[str, bytes]:
    made = {}
    for name in ("jpg", "png", "webp", "tif"):
        stream = io.BytesIO()
        options: dict[str, object] = {"lossless": True} if name == "webp" else {}
        pillow(chart(40, 50)).save(stream, {"jpg": "jpeg", "tif": "tiff"}.get(name, name), **options)
        made[name] = stream.getvalue()
    return made


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    content, path = sources()[name], tmp_path / f"x.{name}"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=f"^{path}: this (JPEG|PNG|WEBP|TIFF) file cannot be read: "):
        read_image(path)


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "tif"])
def test_damaged_headers_never_escape_as_other_errors(tmp_path: Path, name: str) -> None:
    content, path = sources()[name], tmp_path / f"x.{name}"
    generator = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(content)
        for position in generator.integers(12, min(len(damaged), 400), 3):
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            outcomes.add(read_image(path).pixels.dtype)
        except UserError:
            outcomes.add("refused")
    assert "refused" in outcomes
    assert outcomes <= {torch.float32, "refused"}


def test_headers_that_promise_too_much_are_refused_before_decoding(tmp_path: Path) -> None:
    write_png_chunks(tmp_path / "x.png", 60000, 60000, 8, 2, zlib.compress(bytes(1000)))
    with pytest.raises(UserError, match="60000 x 60000 pixels; at most 400 megapixels"):
        read_image(tmp_path / "x.png")
    content = bytearray(sources()["jpg"])
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UserError, match="65500 x 65500 pixels"):
        read_image(tmp_path / "x.jpg")


def test_photos_are_frozen_and_compare_by_identity(tmp_path: Path) -> None:
    pillow(chart(2, 2)).save(tmp_path / "x.png")
    photo = read_image(tmp_path / "x.png")
    with pytest.raises(dataclasses.FrozenInstanceError):
        photo.encoding = "linear"  # type: ignore[misc]
    assert photo != read_image(tmp_path / "x.png")
    assert photo.pixels.dtype == torch.float32
    assert photo.pixels.is_contiguous()
