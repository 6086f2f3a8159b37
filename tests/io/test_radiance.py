"""Radiance pictures: against OpenCV, all scan orders, rounding to the nearest mantissa."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hdr.errors import UserError
from hdr.io import read_image, write_image
from hdr.io.radiance import quantise_rgbe
from tests.io.made import XYZ_TO_REC709


def by_opencv(path: Path) -> np.ndarray:
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1].transpose(2, 0, 1)


def flat_file(path: Path, size: str, pixels: bytes, *lines: str) -> Path:
    header = "\n".join(("#?RADIANCE", "FORMAT=32-bit_rle_rgbe", *lines))
    path.write_bytes(f"{header}\n\n{size}\n".encode() + pixels)
    return path


def test_real_files_agree_with_opencv(shared_data: Path) -> None:
    paths = sorted(path for path in shared_data.rglob("*.hdr") if path.stat().st_size < 1_700_000)
    assert len(paths) >= 5
    for path in paths:
        photo = read_image(path)
        assert photo.encoding == "linear"
        assert np.array_equal(photo.pixels.numpy(), by_opencv(path)), path.name


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (5, 8), (4, 300)])
def test_written_files_agree_with_opencv(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) ** 4 * 1000
    pixels[:, 0, 0] = 0
    write_image(tmp_path / "x.hdr", pixels, encoding="linear")
    found = read_image(tmp_path / "x.hdr").pixels
    assert np.array_equal(found.numpy(), by_opencv(tmp_path / "x.hdr"))
    assert np.array_equal(found.numpy(), quantise_rgbe(pixels.permute(1, 2, 0).numpy()).transpose(2, 0, 1))


def nearest(values: np.ndarray) -> np.ndarray:
    """Float64, pixel by pixel: the smallest exponent that holds the largest channel, mantissas to the nearest."""
    out = np.zeros(values.shape)
    for index in np.ndindex(values.shape[:2]):
        pixel = np.maximum(values[index].astype(np.float64), 0)
        if pixel.max() < 2.0**-106:
            continue
        exponent = int(np.ceil(np.log2(pixel.max()))) - 1
        while np.round(pixel.max() / 2.0 ** (exponent - 8)) > 255:
            exponent += 1
        out[index] = np.round(pixel / 2.0 ** (exponent - 8)) * 2.0 ** (exponent - 8)
    return out


@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=5).map(lambda shape: (*shape, 3)),
        elements=st.floats(-1, 2.0**60, width=32) | st.floats(0, 2, width=32) | st.floats(0, 2.0**-100, width=32),
    )
)
def test_quantisation_is_to_the_nearest_and_settles(values: np.ndarray) -> None:
    found = quantise_rgbe(values)
    assert np.array_equal(found, nearest(values))
    assert np.array_equal(quantise_rgbe(found), found)
    largest = np.maximum(values, 0).max(axis=2, keepdims=True)
    assert np.all(np.abs(found - np.maximum(values, 0)) <= largest / 255 + 1e-31)


@pytest.mark.parametrize("value", [255.49, 255.5, 255.51, 0.99999994, 127.99])
def test_a_mantissa_that_rounds_up_to_256(value: float) -> None:
    values = np.full((1, 1, 3), value, np.float32)
    assert np.array_equal(quantise_rgbe(values), nearest(values))


@pytest.mark.parametrize("size", ["-Y 2 +X 3", "+Y 2 +X 3", "-Y 2 -X 3", "+Y 2 -X 3"])
def test_rows_in_any_order(tmp_path: Path, size: str) -> None:
    grid = np.arange(1, 7).reshape(2, 3)
    pixels = b"".join(bytes((int(v), 0, 0, 136)) for v in grid.ravel())
    found = read_image(flat_file(tmp_path / "x.hdr", size, pixels)).pixels[0].numpy()
    expected = grid[::-1] if size[0] == "+" else grid
    expected = expected[:, ::-1] if "-X" in size else expected
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", ["+X 2 -Y 3", "-X 2 -Y 3", "+X 2 +Y 3", "-X 2 +Y 3"])
def test_columns_in_any_order(tmp_path: Path, size: str) -> None:
    grid = np.arange(1, 7).reshape(2, 3)  # two columns of three pixels
    pixels = b"".join(bytes((int(v), 0, 0, 136)) for v in grid.ravel())
    found = read_image(flat_file(tmp_path / "x.hdr", size, pixels)).pixels[0].numpy()
    expected = grid.T[::-1] if "+Y" in size else grid.T
    expected = expected[:, ::-1] if size[0] == "-" else expected
    assert np.array_equal(found, expected)


def test_exposure_is_not_undone_and_zero_primaries_mean_none(tmp_path: Path) -> None:
    path = flat_file(
        tmp_path / "x.hdr", "-Y 1 +X 1", bytes((128, 64, 32, 129)), "EXPOSURE=4", "PRIMARIES=0 0 0 0 0 0 0 0"
    )
    assert read_image(path).pixels.flatten().tolist() == [1, 0.5, 0.25]


def test_xyze_and_primaries(tmp_path: Path) -> None:
    pixels = bytes((122, 128, 139, 129))
    path = flat_file(tmp_path / "x.hdr", "-Y 1 +X 1", pixels)
    path.write_bytes(path.read_bytes().replace(b"rgbe", b"xyze"))
    expected = XYZ_TO_REC709 @ np.array([122, 128, 139]) / 128
    assert np.abs(read_image(path).pixels.flatten().numpy() - expected).max() < 2e-3
    wide = flat_file(tmp_path / "y.hdr", "-Y 1 +X 1", pixels, "PRIMARIES=.708 .292 .17 .797 .131 .046 .3127 .329")
    bt2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])  # BT.2087
    assert np.abs(read_image(wide).pixels.flatten().numpy() - bt2020 @ np.array([122, 128, 139]) / 128).max() < 1e-3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n", "its header does not end in a size"),
        (b"#?RADIANCE\nFORMAT=ascii\n\n-Y 1 +X 1\n", "its format is 'ascii'; 32-bit_rle_rgbe and _xyze are read"),
        (b"#?RADIANCE\n\n-Y 1 +Y 1\n\1\1\1\1", "names one axis twice"),
        (b"#?RADIANCE\n\n-Y 2 +X 2\n\1\1\1\1", "READ_ERROR"),
        (b"#?RADIANCE\n\n-Y 99999 +X 99999\n\1\1\1\1", "at most 400 megapixels"),
        (b"#?RADIANCE\n\n-Y 0 +X 5\n\1\1\1\1", "the header gives 5 x 0 pixels"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.hdr").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "x.hdr")


def test_truncated_run_lengths_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "x.hdr", torch.rand(3, 20, 50), encoding="linear")
    content = (tmp_path / "x.hdr").read_bytes()
    for length in (len(content) - 1, len(content) // 2):
        (tmp_path / "x.hdr").write_bytes(content[:length])
        with pytest.raises(UserError, match="cannot be read"):
            read_image(tmp_path / "x.hdr")


def test_negative_becomes_zero_and_non_finite_is_refused(tmp_path: Path) -> None:
    pixels = torch.tensor([-0.5, 1.0, 0.25]).view(3, 1, 1)
    write_image(tmp_path / "x.hdr", pixels, encoding="linear")
    assert read_image(tmp_path / "x.hdr").pixels.flatten().tolist() == [0, 1, 0.25]
    with pytest.raises(UserError, match="1 of 3 values are not finite"):
        write_image(tmp_path / "y.hdr", torch.tensor([torch.nan, 1, 1]).view(3, 1, 1), encoding="linear")
    with pytest.raises(UserError, match=r"values above 1\.7e"):
        write_image(tmp_path / "y.hdr", torch.full((3, 1, 1), 3e38), encoding="linear")
