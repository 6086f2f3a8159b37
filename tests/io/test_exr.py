"""OpenEXR: every pattern to the value, luminance/chroma, chromaticities, alpha, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch
from numpy.typing import NDArray

from hdr.errors import UserError
from hdr.io import Metadata, read_image, write_image
from hdr.io.colour import REC709_CHROMATICITIES
from hdr.io.exr import full_size_chroma


def channels(path: Path) -> dict[str, NDArray]:
    with np.errstate(invalid="ignore"), OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels.astype(np.float32) for name, channel in file.channels().items()}


def make(path: Path, planes: dict[str, NDArray], **header: object) -> Path:
    OpenEXR.File({"type": OpenEXR.scanlineimage, **header}, planes).write(str(path))
    return path


def test_every_pattern_reads_to_the_values_of_openexr(shared_data: Path) -> None:
    paths = sorted((shared_data / "hdr-openexr" / "patterns").glob("*.exr"))
    assert len(paths) == 9
    for path in paths:
        photo, theirs = read_image(path), channels(path)
        grey = theirs.get("Y")
        expected = np.stack([theirs.get(name, np.zeros_like(next(iter(theirs.values())))) for name in "RGB"])
        if grey is not None:
            expected = np.broadcast_to(grey, expected.shape)
        assert photo.encoding == "linear"
        assert np.array_equal(photo.pixels.numpy(), expected, equal_nan=True), path.name


def test_photographs_without_chromaticities_read_exactly(shared_data: Path) -> None:
    for name in ("CandleGlass", "Desk", "MtTamWest", "Cannon", "Rec709", "Garden"):
        path = shared_data / "hdr-openexr" / f"{name}.exr"
        photo, theirs = read_image(path), channels(path)
        expected = np.stack([theirs.get(channel, theirs.get("Y")) for channel in "RGB"])
        assert np.array_equal(photo.pixels.numpy(), expected), name
        if "A" in theirs:
            assert photo.metadata.alpha is not None
            assert np.array_equal(photo.metadata.alpha.numpy(), theirs["A"]), name
        else:
            assert photo.metadata.alpha is None


def test_the_same_picture_in_xyz_and_in_rec709(shared_data: Path) -> None:
    folder = shared_data / "hdr-openexr"
    xyz, rec709 = read_image(folder / "XYZ.exr").pixels, read_image(folder / "Rec709.exr").pixels
    # both were rounded to half; small channels of saturated colours are differences of larger XYZ values
    difference = (xyz - rec709).abs() / rec709.amax(dim=0).clamp_min(1e-2)
    assert difference.max() < 0.01
    assert difference.mean() < 5e-4


def test_aces_photograph_keeps_its_neutral(shared_data: Path) -> None:
    """Carrots: the white paper of the chart, R = G = B in AP0, must be R = G = B in Rec. 709."""
    path = shared_data / "hdr-openexr" / "Carrots.exr"
    theirs = channels(path)
    stored = np.stack([theirs[name] for name in "RGB"])
    neutral = (np.ptp(stored, axis=0) < 0.01 * stored.max(axis=0)) & (stored.max(axis=0) > 0.1)
    assert neutral.sum() > 20
    found = read_image(path).pixels.numpy()
    assert (np.ptp(found[:, neutral], axis=0) / found[:, neutral].max(axis=0)).max() < 0.04  # AP0 is wide: 1 % grows
    assert np.abs(found[:, neutral].mean(axis=0) / stored[:, neutral].mean(axis=0) - 1).max() < 0.01
    assert np.abs(found - stored).max() > 0.1, "colours do change"


def test_adopted_neutral_and_chromaticities_of_the_header(tmp_path: Path) -> None:
    """A pixel of the adopted neutral's chromaticity turns grey, of the same luminance."""
    neutral = np.array([0.3457 / 0.3585, 1.0, (1 - 0.3457 - 0.3585) / 0.3585])  # XYZ of D50
    planes = {name: np.full((2, 2), value, np.float32) for name, value in zip("RGB", neutral, strict=True)}
    xyz = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)
    make(tmp_path / "x.exr", planes, chromaticities=xyz, adoptedNeutral=np.array([0.3457, 0.3585], np.float32))
    assert (read_image(tmp_path / "x.exr").pixels - 1).abs().max() < 1e-4
    make(tmp_path / "y.exr", planes, chromaticities=xyz)
    assert (read_image(tmp_path / "y.exr").pixels - 1).abs().max() > 0.1


def test_exposure_attributes(shared_data: Path) -> None:
    metadata = read_image(shared_data / "hdr-openexr" / "Carrots.exr").metadata
    assert (metadata.exposure_time, metadata.aperture, metadata.iso) == (0.625, 8, 100)
    assert (metadata.make, metadata.model, metadata.format, metadata.bits) == ("Sony", "SLT-A99", "exr", 16)


def test_luminance_chroma_photographs(shared_data: Path) -> None:
    """Chroma stands at even rows and columns; between them linear interpolation, here by numpy.interp."""
    weights = np.array([0.212639, 0.715169, 0.072192])  # Rec. 709 luminance, from its chromaticities
    for name in ("CrissyField", "Flowers"):
        path = shared_data / "hdr-openexr" / f"{name}.exr"
        found, theirs = read_image(path).pixels.numpy(), channels(path)
        height, width = theirs["Y"].shape
        chroma = []
        for channel in ("RY", "BY"):
            half = theirs[channel].astype(np.float64)
            wide = np.stack([np.interp(np.arange(width), np.arange(0, width, 2), row) for row in half])
            chroma.append(np.stack([np.interp(np.arange(height), np.arange(0, height, 2), c) for c in wide.T], axis=1))
        red, blue = ((ratio + 1) * theirs["Y"] for ratio in chroma)
        expected = np.stack((red, (theirs["Y"] - weights[0] * red - weights[2] * blue) / weights[1], blue))
        assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("size", [(5, 7), (6, 4), (1, 1), (2, 3)])
def test_chroma_between_sites_is_the_mean_of_its_neighbours(size: tuple[int, int]) -> None:
    height, width = size
    rows, columns = (height + 1) // 2, (width + 1) // 2
    chroma = np.random.default_rng(0).random((rows, columns)).astype(np.float32)
    expected = np.empty(size)
    for y in range(height):
        for x in range(width):
            ys, xs = (y // 2, min((y + 1) // 2, rows - 1)), (x // 2, min((x + 1) // 2, columns - 1))
            expected[y, x] = np.mean([chroma[i, j] for i in ys for j in xs])
    assert np.abs(full_size_chroma(chroma, height, width) - expected).max() < 1e-6
    assert full_size_chroma(expected, height, width) is expected


def test_infinities_and_nan_survive_the_round_trip(tmp_path: Path) -> None:
    values = torch.tensor([np.inf, -np.inf, np.nan, -1.5, 65504.0, 6e-8]).repeat(3, 2, 1)
    for bits in (16, 32):
        write_image(tmp_path / f"{bits}.exr", values, encoding="linear", bits=bits)
        found = read_image(tmp_path / f"{bits}.exr").pixels
        expected = values.half().float() if bits == 16 else values
        assert torch.equal(found.nan_to_num(7, 8, 9), expected.nan_to_num(7, 8, 9))


def test_what_is_written_is_self_describing(tmp_path: Path) -> None:
    metadata = Metadata(
        format="raw", bits=16, exposure_time=0.25, aperture=5.6, iso=200.0, make="Acme", model="One",
        alpha=torch.rand(4, 5),
    )  # fmt: skip
    pixels = torch.rand(3, 4, 5) * 9
    write_image(tmp_path / "x.exr", pixels, encoding="linear", metadata=metadata)
    with OpenEXR.File(str(tmp_path / "x.exr"), separate_channels=True) as file:
        header = file.header()
        assert header["compression"] == OpenEXR.ZIP_COMPRESSION
        assert np.allclose(header["chromaticities"], REC709_CHROMATICITIES)
        assert [round(header[name], 6) for name in ("expTime", "aperture", "isoSpeed")] == [0.25, 5.6, 200]
        assert (header["cameraMake"], header["cameraModel"]) == ("Acme", "One")
        stored = {name: channel.pixels for name, channel in file.channels().items()}
    assert set(stored) == set("RGBA")
    assert stored["R"].dtype == np.float16
    assert np.array_equal(stored["A"], metadata.alpha.numpy().astype(np.float16))  # type: ignore[union-attr]
    assert np.array_equal(stored["G"], pixels[1].numpy().astype(np.float16)), "rounded to nearest, not cut off"


def test_bits_follow_the_source_and_the_range(tmp_path: Path) -> None:
    path = tmp_path / "x.exr"

    def bits_of(pixels: torch.Tensor, metadata: Metadata | None = None) -> int:
        write_image(path, pixels, encoding="linear", metadata=metadata, overwrite=True)
        return read_image(path).metadata.bits

    assert bits_of(torch.ones(3, 2, 2)) == 16
    assert bits_of(torch.full((3, 2, 2), 65519.0)) == 16, "rounds to 65504"
    assert bits_of(torch.full((3, 2, 2), -65520.0)) == 32
    assert bits_of(torch.full((3, 2, 2), torch.inf)) == 16
    assert bits_of(torch.ones(3, 2, 2), Metadata(format="exr", bits=32)) == 32
    with pytest.raises(UserError, match="values above 65504 do not fit 16 bit floats; write it with bits=32"):
        write_image(tmp_path / "y.exr", torch.full((3, 2, 2), 7e4), encoding="linear", bits=16)
    assert [p.name for p in tmp_path.iterdir()] == ["x.exr"], "nothing is left of the failed one"


def test_the_first_part_with_a_picture(tmp_path: Path) -> None:
    depth, colours = np.ones((3, 4), np.float32), np.random.default_rng(0).random((3, 4, 3)).astype(np.float16)
    parts = [
        OpenEXR.Part({"type": OpenEXR.scanlineimage, "name": "depth"}, {"Z": depth}),
        OpenEXR.Part({"type": OpenEXR.scanlineimage, "name": "beauty"}, {"RGB": colours}),
    ]
    OpenEXR.File(parts).write(str(tmp_path / "x.exr"))
    found = read_image(tmp_path / "x.exr").pixels.numpy()
    assert np.array_equal(found, colours.astype(np.float32).transpose(2, 0, 1))


def test_files_without_a_picture_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "x.exr", {"Z": np.ones((3, 4), np.float32), "id": np.ones((3, 4), np.uint32)})
    with pytest.raises(UserError, match="this EXR file cannot be read: it has the channels Z, id; R, G, B or Y"):
        read_image(tmp_path / "x.exr")


@pytest.mark.parametrize("share", [0.001, 0.2, 0.7, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    pixels = torch.rand(3, 80, 90)
    write_image(tmp_path / "whole.exr", pixels, encoding="linear")
    content = (tmp_path / "whole.exr").read_bytes()
    (tmp_path / "x.exr").write_bytes(content[: max(8, int(len(content) * share))])
    with pytest.raises(UserError, match="this EXR file cannot be read"):
        read_image(tmp_path / "x.exr")


def test_data_window_that_does_not_start_at_zero(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    window = (np.array([10, -3], np.int32), np.array([15, 0], np.int32))
    make(tmp_path / "x.exr", {"Y": values}, dataWindow=window, displayWindow=window)
    assert np.array_equal(read_image(tmp_path / "x.exr").pixels[2].numpy(), values)


@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"])
@pytest.mark.parametrize("bits", [16, 32])
def test_every_compression(tmp_path: Path, compression: str, bits: int) -> None:
    """The first five lose nothing; pxr24 keeps halves and rounds floats to 16 bits of mantissa; the rest is close."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 70), indexing="ij")
    pixels = torch.exp2(torch.stack((rows, columns, rows * columns)) * 12 - 6)
    path = tmp_path / "x.exr"
    write_image(path, pixels, encoding="linear", bits=bits, compression=compression)
    with OpenEXR.File(str(path), header_only=True) as file:
        name = {"none": "NO", "zips": "ZIPS"}.get(compression, compression.upper())
        assert file.header()["compression"] == getattr(OpenEXR, f"{name}_COMPRESSION")
        assert np.allclose(file.header()["chromaticities"], REC709_CHROMATICITIES)
    found = read_image(path).pixels
    expected = pixels.half().float() if bits == 16 else pixels
    error = ((found - expected) / expected).abs().max()
    if compression in ("none", "rle", "zips", "zip", "piz") or (compression, bits) == ("pxr24", 16):
        assert torch.equal(found, expected)
    elif compression == "pxr24":
        assert error < 2**-15
    else:
        assert error < (0.2 if compression.startswith("dwa") else 0.06)


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the compression 'lzw' is not known here; \.exr takes none, rle, zips, zip"):
        write_image(tmp_path / "x.exr", torch.ones(3, 2, 2), encoding="linear", compression="lzw")


def test_largest_smallest_and_subnormal_halves_survive_every_lossless_compression(tmp_path: Path) -> None:
    """All 65536 half floats, infinities and NaN among them."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32).reshape(1, 256, 256)
    pixels = torch.from_numpy(halves.repeat(3, axis=0))
    for compression in ("none", "rle", "zips", "zip", "piz"):
        path = tmp_path / f"{compression}.exr"
        write_image(path, pixels, encoding="linear", bits=16, compression=compression)
        assert np.array_equal(read_image(path).pixels.numpy(), pixels.numpy(), equal_nan=True)
