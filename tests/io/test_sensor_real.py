"""Sensor values of real cameras: the facts of each file, and agreement with LibRaw's own development."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest
import rawpy
import torch

from hdr.io.sensor import binned, read_plain_sensor, read_sensor
from hdr.ops.primaries import camera_to_rgb

# size, pattern, black, white, white balance, (time, aperture, ISO), camera
FACTS = {
    "raw/canon-d30.crw": (
        (1448, 2176),
        "RGGB",
        (126, 126, 126, 126),
        4095,
        None,
        (0.0049572, 10.952, 100),
        None,
    ),
    "raw/canon-eos30d-iso100.cr2": (
        (2348, 3522),
        "RGGB",
        (127, 128, 128, 128),
        4095,
        (1.9619, 1, 1.6729),
        (1 / 500, 7.1, 100),
        "Canon EOS 30D",
    ),
    "raw/canon-eos30d-iso640.cr2": (
        (2348, 3522),
        "RGGB",
        (128, 128, 127, 128),
        4095,
        (2.1738, 1, 1.4502),
        (1 / 400, 22, 640),
        "Canon EOS 30D",
    ),
    "raw/canon-kissx4-colorchart.dng": (
        (1156, 1734),
        "RGGB",
        (2056, 2056, 2056, 2056),
        15000,
        (2.477, 1, 1.6943),
        (None, None, None),
        "Canon EOS Kiss X4",
    ),
    "raw/kodak-dc50.kdc": (
        (512, 768),
        "GRBG",
        (0, 0, 0, 0),
        16383,
        None,
        (0.00435, 6.2, 84),
        "Kodak Digital Science DC50 Zoom Camera",
    ),
    "raw-bracket-nikon-d5000/1-640s.dng": (
        (2868, 4310),
        "GBRG",
        (0, 0, 0, 0),
        3840,
        (1.7344, 1, 1.3945),
        (1 / 640, 6.3, 200),
        "NIKON D5000",
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_and_values_of_real_files(shared_data: Path, name: str) -> None:
    size, pattern, black, white, balance, exposure, model = FACTS[name]
    image = read_sensor(shared_data / name)
    assert (tuple(image.samples.shape), image.pattern, image.black_level, image.white_level) == (
        size,
        pattern,
        black,
        white,
    )
    assert image.white_balance == (None if balance is None else pytest.approx(balance, abs=1e-4))
    for found, stated in zip((image.exposure_time, image.aperture, image.iso), exposure, strict=True):
        assert found == (None if stated is None else pytest.approx(stated, rel=1e-4))
    assert (image.model, image.orientation, image.source) == (model, 1, shared_data / name)
    assert (image.colour_matrix is None) == name.endswith(".kdc")
    with rawpy.imread(str(shared_data / name)) as raw:
        assert np.array_equal(image.samples.numpy(), raw.raw_image_visible)


def test_the_bracket_has_three_exposures_and_their_times(shared_data: Path) -> None:
    folder = shared_data / "raw-bracket-nikon-d5000"
    images = [read_sensor(folder / f"1-{time}s.dng") for time in (640, 160, 40)]
    assert [image.exposure_time for image in images] == [1 / 640, 1 / 160, 1 / 40]
    assert {image.capture_time for image in images} == {datetime.datetime(2014, 3, 9, 13, 25, 51)}
    assert [round(float(image.samples.numpy().mean())) for image in images] == [397, 1561, 3025]
    assert [image.focal_length for image in images] == [24, 24, 24]


@pytest.mark.parametrize("name", FACTS)
def test_binned_values_develop_as_libraw_develops_them(shared_data: Path, name: str) -> None:
    """LibRaw rounds to 16 bits twice on its way, which shows in dark places: medians are compared."""
    image = read_sensor(shared_data / name)
    with rawpy.imread(str(shared_data / name)) as raw:
        developed = raw.postprocess(
            half_size=True,
            user_wb=[*(image.white_balance or (1, 1, 1)), 1],
            # LibRaw has a matrix of its own for the Kodak, which it does not hand out
            output_color=rawpy.ColorSpace.raw if image.colour_matrix is None else rawpy.ColorSpace.sRGB,
            output_bps=16,
            gamma=(1, 1),
            no_auto_bright=True,
            adjust_maximum_thr=0,
            user_flip=0,
        )
    theirs = torch.from_numpy(developed.astype(np.float32) / 65535).permute(2, 0, 1)
    balance = torch.tensor(image.white_balance or (1, 1, 1), dtype=torch.float32)[:, None, None]
    matrix = torch.eye(3) if image.colour_matrix is None else camera_to_rgb(image.colour_matrix).float()
    ours = torch.einsum("ij,jhw->ihw", matrix, (binned(image) * balance).clamp(0, 1)).clamp(0, 1)
    assert ours.shape == theirs.shape
    relative = (ours - theirs).abs() / theirs.clamp_min(1e-3)
    assert relative.median() < 1e-3
    assert (ours.mean(dim=(1, 2)) / theirs.mean(dim=(1, 2)) - 1).abs().max() < 2e-3


def test_published_plain_dumps(shared_data: Path) -> None:
    folder = shared_data / "raw" / "plain-bayer"
    chart = read_plain_sensor(
        folder / "openisp-1920x1080-rggb-u16-10bit.raw",
        width=1920,
        height=1080,
        bits=10,
        pattern="RGGB",
        black_level=0,
        white_level=1023,
    )
    assert (tuple(chart.samples.shape), int(chart.samples.numpy().max())) == ((1080, 1920), 1020)
    plain = read_plain_sensor(
        folder / "rawpipe-1424x968-rggb-u16.raw",
        width=1424,
        height=968,
        bits=16,
        pattern="RGGB",
        black_level=256,
        white_level=2047,
    )
    colour = binned(plain) * torch.tensor([1.7, 1.0, 2.4])[:, None, None]  # the gains that its source states
    means = colour.mean(dim=(1, 2))
    assert (means / means[1] - 1).abs().max() < 0.35, "the colours are in their places"
