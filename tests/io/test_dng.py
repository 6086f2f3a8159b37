"""Written DNG files, read back by LibRaw, by Adobe's DNG SDK (dngpy), by exiftool and by our own reader."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hdr.errors import UserError
from hdr.io import read_image
from hdr.io.dng import Compression, write_dng
from hdr.io.exposure_checks import check_exposure
from hdr.io.exposure_fields import read_exposure_fields
from hdr.io.sensor import SensorImage, binned, read_sensor
from hdr.ops.bayer import PATTERNS
from hdr.ops.primaries import camera_to_rgb
from tests.io.made import XYZ_TO_REC709

NEUTRAL = np.array([0.5, 1.0, 0.7])
COMPRESSIONS: tuple[Compression, ...] = ("none", "lossless_jpeg")


def capture(samples: NDArray[np.uint16] | None = None, **changes: Any) -> SensorImage:
    """A capture with every fact known."""
    noise = np.random.default_rng(0).integers(60, 4095, (50, 64), dtype=np.uint16)
    facts: dict[str, Any] = {
        "samples": torch.as_tensor(noise if samples is None else samples),
        "pattern": "GRBG",
        "black_level": (64.25, 63.5, 64, 65),
        "white_level": 4095,
        "white_balance": (2.0, 1.0, 1.0 / 0.7),
        "colour_matrix": torch.from_numpy(np.diag(NEUTRAL) @ XYZ_TO_REC709),
        "orientation": 8,
        "exposure_time": 163477 / 2**30,
        "aperture": 2.4,
        "iso": 61.0,
        "focal_length": 4.67,
        "baseline_exposure": -1.19,
        "noise_profile": ((3.15e-5, 4.03e-7), (2e-5, 4e-7), (3e-5, 5e-7)),
        "capture_time": datetime.datetime(2016, 7, 21, 18, 15, 3, 256_000),
        "make": "Acme",
        "model": "Eins Ö",
    }
    return SensorImage(**facts | changes)


def assert_same(found: SensorImage, wanted: SensorImage) -> None:
    assert torch.equal(found.samples, wanted.samples)
    for field in dataclasses.fields(wanted):
        ours, theirs = getattr(found, field.name), getattr(wanted, field.name)
        if field.name in ("samples", "source"):
            continue
        if isinstance(theirs, torch.Tensor):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-8), field.name
        elif isinstance(theirs, float) or (theirs and field.name in ("white_balance", "black_level")):
            assert ours == pytest.approx(theirs, rel=1e-6), field.name
        else:
            assert ours == theirs, field.name


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_all_that_is_known_comes_back(tmp_path: Path, compression: Compression) -> None:
    image = capture()
    write_dng(tmp_path / "x.dng", image, compression=compression)
    assert_same(read_sensor(tmp_path / "x.dng"), image)
    assert {decision.action for decision in check_exposure(read_exposure_fields(tmp_path / "x.dng"))[1]} == {"ok"}
    bare = capture(
        **dict.fromkeys(("white_balance", "exposure_time", "aperture", "iso", "focal_length", "noise_profile")),
        capture_time=None,
        make=None,
        model=None,
    )
    write_dng(tmp_path / "bare.dng", bare, compression=compression)
    assert_same(read_sensor(tmp_path / "bare.dng"), bare)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize(("height", "width"), [(22, 22), (23, 41), (513, 1025)])
def test_sizes_depths_and_patterns(tmp_path: Path, pattern: str, bits: int, height: int, width: int) -> None:
    """Full-range noise, whose differences use every code that lossless JPEG has, 32768 at 16 bits among them."""
    samples = np.random.default_rng(bits).integers(0, 2**bits, (height, width), dtype=np.uint16)
    samples[:2, :6] = [[0, 0, 2**bits - 1, 0, 0, 0], [2 ** (bits - 1), 0, 0, 0, 2 ** (bits - 1), 0]]
    image = capture(samples, pattern=pattern, white_level=2**bits - 1)
    for compression in COMPRESSIONS:
        write_dng(tmp_path / "x.dng", image, compression=compression, overwrite=True)
        with rawpy.imread(str(tmp_path / "x.dng")) as raw:
            assert np.array_equal(raw.raw_image_visible, samples)
            assert raw.white_level == 2**bits - 1
            assert "".join("RGBG"[index] for index in raw.raw_pattern.ravel()) == pattern
        found = read_sensor(tmp_path / "x.dng")
        assert (found.pattern, found.black_level) == (pattern, image.black_level)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(22, 60), st.integers(22, 60), st.sampled_from([1, 2, 40, 65535]))
def test_any_samples_survive(tmp_path_factory: pytest.TempPathFactory, seed: int, h: int, w: int, spread: int) -> None:
    samples = np.random.default_rng(seed).integers(0, spread, (h, w), dtype=np.uint16, endpoint=True)
    path = tmp_path_factory.getbasetemp() / "any.dng"
    write_dng(path, capture(samples), overwrite=True)
    assert np.array_equal(read_sensor(path).samples.numpy(), samples)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("size", [(50, 64), (601, 513)])
def test_adobes_own_reader_agrees(tmp_path: Path, compression: Compression, size: tuple[int, int]) -> None:
    dngpy = pytest.importorskip("dngpy")
    samples = np.random.default_rng(4).integers(0, 2**14, size, dtype=np.uint16)
    image = capture(samples, white_level=2**14 - 1, exposure_time=1 / 50)  # it rounds times to those on dials
    write_dng(tmp_path / "x.dng", image, compression=compression)
    theirs = dngpy.Dng(str(tmp_path / "x.dng"))
    assert np.array_equal(theirs.raw_pixels[..., 0], samples)
    assert theirs.get_bayer_pattern() == "GRBG"
    assert theirs.get_white_balance() == pytest.approx(NEUTRAL, abs=1e-6)
    assert theirs.get_baseline_exposure() == pytest.approx(-1.19)
    found = theirs.metadata
    assert (found.width, found.height, found.make, found.model) == (size[1], size[0], "Acme", "Eins Ö")
    assert (theirs.exif.f_number, theirs.exif.iso, theirs.exif.focal_length) == (2.4, 61, 4.67)
    assert theirs.exif.exposure_time == pytest.approx(1 / 50)


def test_exiftool_finds_the_file_valid(tmp_path: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    write_dng(tmp_path / "x.dng", capture())
    command = ["exiftool", "-j", "-n", "-validate", "-warning", "-a", str(tmp_path / "x.dng")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)[0]
    assert str(found["Validate"]).split() == ["0", "0", "0"], "errors, warnings, minor warnings"
    command = ["exiftool", "-j", "-n", str(tmp_path / "x.dng")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)[0]
    assert found["SubSecDateTimeOriginal"] == "2016:07:21 18:15:03.256000"
    assert (found["DNGVersion"], found["ActiveArea"], found["Orientation"]) == ("1 4 0 0", "0 0 50 64", 8)
    assert [float(level) for level in found["BlackLevel"].split()] == [64.25, 63.5, 64, 65]
    assert (found["CalibrationIlluminant1"], found["FNumber"], found["ISO"]) == (21, 2.4, 61)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_scene_of_known_colours_returns(tmp_path: Path, compression: Compression) -> None:
    """Camera RGB is the neutral times Rec. 709: LibRaw's development and our own bring the scene back."""
    y, x = np.mgrid[0:32, 0:48] / 60
    truth = np.repeat(np.repeat(np.stack((0.2 + 0.5 * x, 0.1 + y, 0.7 - x * y), axis=-1), 2, axis=0), 2, axis=1)
    sensor = np.rint(1024 + truth * NEUTRAL * (65535 - 1024)).astype(np.uint16)
    mosaic = sensor[..., 1].copy()
    mosaic[0::2, 1::2], mosaic[1::2, 0::2] = sensor[0::2, 1::2, 0], sensor[1::2, 0::2, 2]
    image = capture(mosaic, black_level=(1024,) * 4, white_level=65535, orientation=1)
    write_dng(tmp_path / "x.dng", image, compression=compression)
    developed = read_image(tmp_path / "x.dng", half_size=True).pixels.permute(1, 2, 0).numpy()
    assert np.abs(developed - truth[::2, ::2]).max() < 2e-4
    found = read_sensor(tmp_path / "x.dng")
    balanced = binned(found) * torch.tensor(found.white_balance)[:, None, None]
    assert found.colour_matrix is not None
    ours = torch.einsum("ij,jhw->hwi", camera_to_rgb(found.colour_matrix), balanced.double()).numpy()
    assert np.abs(ours - truth[::2, ::2]).max() < 1e-4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_turns_the_developed_picture(tmp_path: Path, orientation: int) -> None:
    samples = np.full((40, 60), 100, np.uint16)
    samples[:10, :20] = 3000  # the corner that tells how the picture was turned
    write_dng(tmp_path / "x.dng", capture(samples, orientation=orientation))
    found = read_image(tmp_path / "x.dng", half_size=True).pixels.mean(dim=0)
    assert tuple(found.shape) == ((20, 30) if orientation < 5 else (30, 20))
    corners = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert float(found[corners[orientation]]) == float(found.max())
    assert sum(float(found[corner]) > 0.1 for corner in ((0, 0), (0, -1), (-1, -1), (-1, 0))) == 1


def test_compression_of_a_photograph_and_of_high_sensitivities(tmp_path: Path, shared_data: Path) -> None:
    image = read_sensor(shared_data / "raw" / "canon-eos30d-iso100.cr2")
    write_dng(tmp_path / "x.dng", image)
    assert_same(read_sensor(tmp_path / "x.dng"), image)
    assert (tmp_path / "x.dng").stat().st_size < 0.42 * image.samples.nbytes, "Canon's own file has 0.44"
    write_dng(tmp_path / "y.dng", capture(iso=204800.0))
    assert read_sensor(tmp_path / "y.dng").iso == 204800


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour_matrix": None}, "no colour matrix and a DNG needs one"),
        ({"exposure_time": 0.0}, r"exposure_time is 0\.0"),
        ({"iso": float("nan")}, "iso is nan"),
        ({"white_balance": (1.0, -1.0, 2.0)}, r"white_balance is -1\.0"),
        ({"black_level": (0, 0, 0, 4095)}, "0 <= black < white < 65536"),
        ({"white_level": 65536}, "0 <= black < white < 65536"),
        ({"baseline_exposure": float("inf")}, "baseline_exposure inf"),
        ({"noise_profile": ((-1.0, 0.0),) * 3}, "none below 0"),
        ({"samples": torch.zeros((21, 30), dtype=torch.uint16)}, "30 x 21; a DNG takes 22 x 22 or more"),
    ],
)
def test_what_no_dng_can_hold_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        write_dng(tmp_path / "x.dng", capture(**changes))
    assert list(tmp_path.iterdir()) == []


def test_files_appear_whole_and_nothing_is_overwritten_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.dng"
    write_dng(path, capture())
    before = path.read_bytes()
    for target, reason in (
        (path, "the file exists"),
        (tmp_path / "x.tif", r"its name ends in \.dng; found '\.tif'"),
        (tmp_path / "none" / "x.dng", "the folder .* does not exist"),
    ):
        with pytest.raises(UserError, match=reason):
            write_dng(target, capture())
    with pytest.raises(UserError, match="never written onto"):
        write_dng(path, read_sensor(path), overwrite=True)
    with pytest.raises(ValueError, match="compression is none or lossless_jpeg; found 'zip'"):
        write_dng(tmp_path / "y.dng", capture(), compression="zip")  # type: ignore[arg-type]

    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hdr.io.exif.pack_directory", fail)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left"):
        write_dng(path, capture(), overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
