"""Sensor values of RAW files: what is read from made DNG files, and what is refused."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hdr.errors import UserError
from hdr.io import read_image, sensor
from hdr.io.sensor import SensorImage, binned, read_plain_sensor, read_sensor
from hdr.ops.bayer import PATTERNS, bin_mosaic
from hdr.ops.sensor import normalise
from tests.io.made_sensor import flat_mosaic, rationals, sensor_dng

LEVELS = {"R": 1000, "G": 2000, "B": 3000}
CAMERA = np.array([[0.65, -0.12, -0.08], [-0.38, 1.16, 0.25], [-0.04, 0.15, 0.60]])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("top", "left"), [(0, 0), (1, 0), (0, 1), (3, 5)])
def test_borders_of_any_width_keep_colours_and_black_levels_at_their_sites(
    tmp_path: Path, pattern: str, top: int, left: int
) -> None:
    stored = np.full((80, 100), 77, np.uint16)
    stored[top : top + 64, left : left + 84] = flat_mosaic(64, 84, pattern, LEVELS)
    tags = [
        (50829, 4, 4, (top, left, top + 64, left + 84), True),
        (50713, 3, 2, (2, 2), True),
        (50714, 5, 4, (16, 1, 65, 2, 33, 1, 137, 4), True),
    ]
    sensor_dng(tmp_path / "x.dng", stored, pattern=pattern, tags=tags)
    image = read_sensor(tmp_path / "x.dng")
    assert (image.pattern, tuple(image.samples.shape)) == (pattern, (64, 84))
    assert image.black_level == (16, 32.5, 33, 34.25)
    assert np.array_equal(image.samples.numpy(), stored[top : top + 64, left : left + 84])
    planes = binned(image)
    for index, colour in enumerate("RGB"):
        sites = [site for site in range(4) if pattern[site] == colour]
        expected = np.mean([(LEVELS[colour] - image.black_level[i]) / (4095 - image.black_level[i]) for i in sites])
        assert planes[index].numpy() == pytest.approx(np.full((32, 42), expected), rel=1e-6)


def test_black_levels_that_repeat_otherwise_and_deltas_are_averaged(tmp_path: Path) -> None:
    """Oracle: the level of every site of the sensor written out, then averaged by parity."""
    generator = np.random.default_rng(0)
    levels, across, down = generator.integers(90, 110, (3, 4)), generator.normal(0, 1, 36), generator.normal(0, 1, 30)
    tags = [
        (50713, 3, 2, (3, 4), True),
        (50714, 3, 12, tuple(int(level) for level in levels.ravel()), True),
        (50715, 10, 36, rationals(across), True),
        (50716, 10, 30, rationals(down), True),
    ]
    sensor_dng(tmp_path / "x.dng", np.full((30, 36), 500, np.uint16), tags=tags)
    every = np.tile(levels, (10, 9)) + np.round(across, 4) + np.round(down, 4)[:, None]
    expected = [every[y::2, x::2].mean() for y in (0, 1) for x in (0, 1)]
    assert read_sensor(tmp_path / "x.dng").black_level == pytest.approx(expected, abs=1e-9)


def test_matrix_of_the_illuminant_nearest_to_d65_with_its_calibration(tmp_path: Path) -> None:
    calibration, balance = np.diag((1.1, 0.9, 1.05)), np.array((0.9, 1.0, 1.2))
    tags: list[Any] = [
        (50722, 10, 9, rationals(CAMERA), True),
        (50779, 3, 1, 23, True),  # D50, where the first matrix is for tungsten light
        (50724, 10, 9, rationals(calibration), True),
        (50727, 5, 3, rationals(balance), True),
    ]
    stored = flat_mosaic(30, 30, "RGGB", LEVELS)
    sensor_dng(tmp_path / "x.dng", stored, matrix=2 * CAMERA, illuminant=17, tags=tags)
    image = read_sensor(tmp_path / "x.dng")
    assert image.colour_matrix is not None
    assert image.colour_matrix.numpy() == pytest.approx(np.diag(balance) @ calibration @ CAMERA, abs=1e-12)
    assert (image.colour_matrix.dtype, image.noise_profile, image.baseline_exposure) == (torch.float64, None, 0.0)


def test_noise_exposure_and_time(tmp_path: Path) -> None:
    tags = [
        (51041, 12, 2, (1e-4, 2e-6), True),
        (50730, 10, 1, (-119, 100), True),
        (33434, 5, 1, (163477, 2**30), True),
        (33437, 5, 1, (12, 5), True),
        (34855, 3, 1, 65535, True),
        (0x8832, 4, 1, 102400, True),
        (36867, 2, 20, "2024:02:29 23:59:58", True),
        (0x9291, 2, 4, "075", True),
        (274, 3, 1, 6, True),
    ]
    sensor_dng(tmp_path / "x.dng", flat_mosaic(30, 30, "RGGB", LEVELS), tags=tags)
    image = read_sensor(tmp_path / "x.dng")
    assert image.noise_profile == ((1e-4, 2e-6),) * 3
    assert image.baseline_exposure == -1.19
    assert (image.exposure_time, image.aperture, image.iso) == (163477 / 2**30, 2.4, 102400)
    assert image.capture_time == datetime.datetime(2024, 2, 29, 23, 59, 58, 75_000)
    assert (image.make, image.model, image.orientation) == ("Acme", "One", 6)
    assert image.white_balance == pytest.approx((2, 1, 1.25))


@pytest.mark.parametrize(("neutral", "usable"), [((1, 1, 1), True), ((0, 1, 1), False), (None, False)])
def test_white_balance_counts_when_the_file_states_a_usable_one(tmp_path: Path, neutral: Any, usable: bool) -> None:
    sensor_dng(tmp_path / "x.dng", flat_mosaic(30, 30, "RGGB", LEVELS), neutral=neutral)
    assert read_sensor(tmp_path / "x.dng").white_balance == ((1, 1, 1) if usable else None)


def test_other_sensors_are_refused_and_developed(tmp_path: Path) -> None:
    xtrans = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"
    sensor_dng(tmp_path / "xtrans.dng", np.full((516, 516), 900, np.uint16), pattern=xtrans, repeat=(6, 6))
    sensor_dng(tmp_path / "linear.dng", np.full((60, 60, 3), 900, np.uint16), photometric=34892)
    for name, reason in (("xtrans", "no repeated 2x2 block"), ("linear", "several values each")):
        with pytest.raises(UserError, match=rf"{name}\.dng: .*{reason}.*read_sensor accepts.*read_image develops"):
            read_sensor(tmp_path / f"{name}.dng")
        side = 516 if name == "xtrans" else 60
        assert tuple(read_image(tmp_path / f"{name}.dng").pixels.shape) == (3, side, side)


def test_sensors_without_a_mosaic_or_with_four_colours_are_refused() -> None:
    """No such file is at hand: what LibRaw says of a monochrome camera and of a Sony F828 stands in."""
    for colours, mosaic in ((1, None), (4, np.array([[0, 1], [3, 2]]))):
        raw = SimpleNamespace(raw_pattern=mosaic, num_colors=colours)
        with pytest.raises(UserError, match=rf"x: its sensor has {colours} colours; read_sensor accepts"):
            sensor._pattern(raw, (0, 0, 40, 40), Path("x"))


def test_developed_pictures_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), 77, np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png: this PNG file holds a developed picture, not sensor values"):
        read_sensor(tmp_path / "x.png")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("height", "width"), [(4, 2), (7, 9), (64, 50)])
def test_binning_by_the_written_out_formula(pattern: str, height: int, width: int) -> None:
    samples = np.random.default_rng(height).integers(0, 2**16, (height, width), dtype=np.uint16)
    samples[:2], samples[2:4], black = 0, 65535, (100.5, 101, 102, 103.25)
    image = SensorImage(samples=torch.from_numpy(samples), pattern=pattern, black_level=black, white_level=60000)
    expected = np.zeros((3, height // 2, width // 2))
    for row, column in np.ndindex(height // 2, width // 2):
        for site in range(4):
            value = float(samples[2 * row + site // 2, 2 * column + site % 2])
            share = (value - black[site]) / (60000 - black[site])
            expected["RGB".index(pattern[site]), row, column] += share / pattern.count(pattern[site])
    assert np.abs(binned(image).numpy() - expected).max() < 1e-6
    full = bin_mosaic(normalise(image.samples[None, None], black, 60000), pattern)[0]
    assert (binned(image) - full).abs().max() < 1e-6, "as the operations on batches have it"
    assert (expected[:, 0] < 0).all()
    assert (expected[:, 1] > 1).all()


@pytest.mark.parametrize(("bits", "kind"), [(8, "u1"), (12, "<u2"), (16, ">u2")])
def test_plain_dumps(tmp_path: Path, bits: int, kind: str) -> None:
    samples = np.random.default_rng(1).integers(0, 2**bits, (6, 10)).astype(kind)
    samples.tofile(tmp_path / "x.raw")
    image = read_plain_sensor(
        tmp_path / "x.raw",
        width=10,
        height=6,
        bits=bits,
        pattern="GBRG",
        black_level=[1, 2, 3, 4.5],
        white_level=2**bits - 1,
        little_endian=kind != ">u2",
    )
    assert np.array_equal(image.samples.numpy(), samples)
    assert (image.pattern, image.black_level, image.white_balance) == ("GBRG", (1, 2, 3, 4.5), None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 11}, r"11 x 6 values of 2 bytes are 132 bytes and the file has 120; check width"),
        ({"bits": 8, "white_level": 255}, "10 x 6 values of 1 bytes are 60 bytes and the file has 120"),
        ({"bits": 10, "white_level": 1023}, "the value 4000 needs more than 10 bits; check bits and the byte order"),
        ({"width": 0}, "the header gives 0 x 6 pixels"),
        ({"width": 10**6, "height": 10**6}, "at most 400 megapixels"),
        ({"pattern": "RGBG"}, "found pattern 'RGBG'"),
        ({"bits": 17}, "17 bits"),
        ({"black_level": (1, 2)}, "2 black levels"),
        ({"white_level": 4096}, "white within 12 bits"),
        ({"black_level": 4095}, "black lies below white"),
    ],
)
def test_plain_dumps_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    np.full((6, 10), 4000, "<u2").tofile(tmp_path / "x.raw")
    arguments: dict[str, Any] = {"width": 10, "height": 6, "bits": 12, "pattern": "RGGB", "black_level": 64}
    with pytest.raises(UserError, match=reason):
        read_plain_sensor(tmp_path / "x.raw", **{**arguments, "white_level": 4095, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"samples": torch.zeros((4, 4))},
        {"samples": torch.zeros((1, 4), dtype=torch.uint16)},
        {"pattern": "RGB"},
        {"colour_matrix": torch.eye(4)},
        {"noise_profile": ((1.0, 2.0),)},
        {"orientation": 0},
    ],
)
def test_images_of_another_form_cannot_be_made(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"samples": torch.zeros((4, 4), dtype=torch.uint16), "pattern": "RGGB"}
    with pytest.raises(ValueError, match="found"):
        SensorImage(black_level=(0, 0, 0, 0), white_level=9, **{**good, **change})
