"""Brackets: settings within the body's range, and exposures that agree with the files' own data."""

from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path

import numpy as np
import pytest

from hdr.data.scenes import render_scene
from hdr.data.shoots.body import bodies
from hdr.data.shoots.bracket import bracket, bracket_settings
from hdr.data.shoots.camera import exposure
from hdr.errors import UserError
from hdr.io import read_image
from hdr.io.dng import write_dng
from hdr.io.sensor import SensorImage, read_sensor

XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear Rec. 709 to CIE XYZ, D65."""


def unit(image: SensorImage) -> np.ndarray:
    """Sensor values in units of saturation, float64."""
    black = np.tile(np.array(image.black_level).reshape(2, 2), [side // 2 + 1 for side in image.samples.shape])
    black = black[: image.samples.shape[0], : image.samples.shape[1]]
    return (image.samples.numpy().astype(np.float64) - black) / (image.white_level - black)


@pytest.mark.parametrize("model", list(bodies()))
@pytest.mark.parametrize("luminance", [0.5, 20.0, 3000.0])
def test_only_the_time_changes_while_it_can(model: str, luminance: float) -> None:
    body = bodies()[model]
    evs = [-2.0, -1 / 3, 0.0, 1.0, 2.0]
    found = bracket_settings(body, luminance, evs)
    middle = found[2]
    for ev, step in zip(evs, found, strict=True):
        assert step.aperture == middle.aperture
        assert step.time in body.times
        assert step.iso in body.isos
        assert abs(math.log2(exposure(step) / exposure(middle)) - ev) < 0.27
        if step.iso != middle.iso:
            assert step.time in (body.times[0], body.times[-1])


def test_the_iso_does_what_the_time_cannot() -> None:
    body = bodies()["Telephone 12"]
    dark = bracket_settings(body, 0.5, [0.0, 3.0])
    assert dark[1].time == body.times[-1]
    assert dark[1].iso > dark[0].iso
    with pytest.raises(UserError, match=r"-9 EV from .* is beyond the Telephone 12"):
        bracket_settings(body, 3000.0, [-9.0])


def test_files_agree_with_their_exposure_data(tmp_path: Path) -> None:
    scene, body = render_scene(5, (160, 240), "outdoor"), bodies()["Crop 26"]
    start = datetime.datetime(2025, 5, 1, 12, 0, 0, 500_000)
    images = []
    for number, image in enumerate(bracket(scene, body, [2.0, 0.0, -3.0], np.random.default_rng(0), start=start)):
        write_dng(tmp_path / f"{number}.dng", image)
        images.append(read_sensor(tmp_path / f"{number}.dng"))
    middle = images[1]
    for image in images:
        assert image.white_balance == pytest.approx(middle.white_balance, rel=1e-6)
        assert (image.aperture, image.iso) == (middle.aperture, middle.iso)
        assert image.exposure_time is not None
        assert middle.exposure_time is not None
        ratio = image.exposure_time / middle.exposure_time
        low, high = 0.01 * max(1.0, 1 / ratio), 0.9 * min(1.0, 1 / ratio)
        chosen = (unit(middle) > low) & (unit(middle) < high)
        assert chosen.sum() > 2000
        assert unit(image)[chosen].sum() / unit(middle)[chosen].sum() == pytest.approx(ratio, rel=2e-3)
        assert (unit(image)[unit(middle) * ratio > 1.2] == 1.0).all(), "what is too bright is clipped"
    times = [image.capture_time for image in images if image.capture_time is not None]
    assert times[0] == start
    assert times == sorted(set(times))


def test_a_converter_develops_them_alike(tmp_path: Path) -> None:
    scene, body = render_scene(2, (96, 144), "interior"), bodies()["Full 24"]
    linear = []
    for number, image in enumerate(bracket(scene, body, [0.0, -2.0], np.random.default_rng(0))):
        write_dng(tmp_path / f"{number}.dng", image)
        photo = read_image(tmp_path / f"{number}.dng")
        assert photo.encoding == "linear"
        assert photo.metadata.exposure_time == pytest.approx(image.exposure_time, rel=1e-6)
        assert (photo.metadata.make, photo.metadata.model) == ("Imaginary", "Full 24")
        assert image.exposure_time is not None
        linear.append(photo.pixels.double() / image.exposure_time)
    unclipped = (linear[0] < 0.5 * linear[0].max()) & (linear[0] > 0.02 * linear[0].max())
    assert unclipped.sum() > 3000
    assert float(linear[1][unclipped].sum() / linear[0][unclipped].sum()) == pytest.approx(1, rel=0.02)


def test_a_converter_gives_back_the_light_of_the_scene(tmp_path: Path) -> None:
    """LibRaw's development of the file against the chain written out: exposure, white balance, matrices; absolute."""
    scene, body = render_scene(7, (192, 288), "outdoor"), bodies()["Full 24"]
    (image,) = bracket(scene, body, [-2.0], np.random.default_rng(0))
    write_dng(tmp_path / "a.dng", image)
    assert image.exposure_time is not None
    assert image.aperture is not None
    assert image.iso is not None
    to_camera = body.colour_matrix.numpy() @ XYZ
    to_linear = np.linalg.inv(to_camera / to_camera.sum(1, keepdims=True))
    light = scene.linear.astype(np.float64) * (0.65 * image.exposure_time / image.aperture**2 * image.iso / 78)
    balanced = np.einsum("ij,jhw->ihw", np.array(image.white_balance)[:, None] * to_camera, light)
    expected = np.einsum("ij,jhw->ihw", to_linear, balanced)
    found = read_image(tmp_path / "a.dng").pixels.numpy().astype(np.float64)
    blocks = [x.reshape(3, 12, 16, 18, 16).max((2, 4)) for x in (balanced, -expected)]
    usable = (blocks[0].max(0) < 0.9) & (blocks[1].max(0) < 0)  # nothing clipped at either end
    assert usable.sum() > 60
    means = [x.reshape(3, 12, 16, 18, 16).mean((2, 4))[:, usable] for x in (found, expected)]
    assert np.median(np.abs(means[0] / means[1] - 1)) < 0.01
    assert np.abs(means[0] - means[1]).max() < 0.02


@pytest.mark.parametrize("model", list(bodies()))
def test_noise_in_a_file_is_what_its_profile_says(tmp_path: Path, model: str) -> None:
    """A flat grey wall, four exposures: of each, the variance of every site of the block against S x + O."""
    scene = render_scene(0, (128, 192), "chart")
    wall = dataclasses.replace(scene, linear=np.full_like(scene.linear, 50.0), key_luminance=50.0)
    for number, image in enumerate(bracket(wall, bodies()[model], [-4, -2, 0, 2], np.random.default_rng(5))):
        write_dng(tmp_path / f"{number}.dng", image)
        read = read_sensor(tmp_path / f"{number}.dng")
        assert read.noise_profile is not None
        for site, colour in enumerate(read.pattern):
            values = unit(read)[site // 2 :: 2, site % 2 :: 2]
            shot, added = read.noise_profile["RGB".index(colour)]
            assert 0.002 < values.mean() < 0.8
            ratio = values.var(ddof=1) / (shot * values.mean() + added)
            assert ratio == pytest.approx(1, abs=5 * math.sqrt(2 / values.size))
