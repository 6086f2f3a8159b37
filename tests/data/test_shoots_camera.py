"""The virtual camera: bodies, exposure, metering, and sensor images against formulas written out in float64."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.data.scenes import Scene, render_scene
from hdr.data.shoots.body import APERTURES, ISOS, TIMES, Body, bodies
from hdr.data.shoots.camera import (
    Settings,
    as_shot,
    choose_settings,
    exposure,
    exposure_error,
    key_luminance,
    luminance_unit,
    photograph,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

ALL = list(bodies().values())
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
every_body = pytest.mark.parametrize("body", ALL, ids=[body.model for body in ALL])


def flat(
    rgb: tuple[float, float, float], size: tuple[int, int] = (64, 96), white: tuple[float, float, float] = (1, 1, 1)
) -> Scene:
    """An even wall of linear Rec. 709 ``rgb`` in cd/m2."""
    linear = np.broadcast_to(np.array(rgb, np.float32)[:, None, None], (3, *size)).copy()
    return Scene(
        linear=linear, name="wall", group="wall", family="chart", night=False, key_luminance=0.18 * 400.0,
        white=np.array(white, np.float32),
    )  # fmt: skip


def sites(samples: torch.Tensor, body: Body) -> list[tuple[str, np.ndarray]]:
    """Of each site of the block its colour and its values in units of saturation, float64."""
    values = samples.numpy().astype(np.float64)
    found = []
    for site, colour_name in enumerate(body.pattern):
        black = body.black_level[site]
        found.append((colour_name, (values[site // 2 :: 2, site % 2 :: 2] - black) / (body.white_level - black)))
    return found


@pytest.mark.parametrize(("scale", "stops_per_step"), [(TIMES, 1 / 3), (APERTURES, 1 / 6), (ISOS, 1 / 3)])
def test_scales_are_thirds_of_a_stop(scale: tuple[float, ...], stops_per_step: float) -> None:
    """Nominal values are rounded from a geometric series that goes through 1 s, f/1 and ISO 100."""
    steps = np.log2(np.array(scale) / (100 if scale is ISOS else 1)) / stops_per_step
    assert np.array_equal(np.diff(np.round(steps)), np.ones(len(scale) - 1))
    assert np.abs(steps - np.round(steps)).max() < 0.3


@every_body
def test_bodies_are_consistent(body: Body) -> None:
    assert body.bits in (12, 14)
    assert 0 < max(body.black_level) < body.white_level < 2**body.bits
    assert body.noise_profile(body.isos[0])[0] == pytest.approx(1 / body.full_well, rel=1e-6)
    assert body.noise_profile(body.isos[-1]) > body.noise_profile(body.isos[0])
    assert np.linalg.cond(body.colour_matrix.numpy()) < 6
    neutral = body.colour_matrix.numpy() @ XYZ.sum(1)
    assert neutral.max() == pytest.approx(1, abs=1e-3)
    assert neutral[1] == neutral.max()
    assert neutral.min() > 0.3


def test_colour_matrices_are_fits_of_bells_by_the_colour_matching_functions() -> None:
    nm = np.arange(400, 701, 5.0)
    table = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"]
    matching = np.array([table[wavelength] for wavelength in nm])
    bells = [np.exp(-0.5 * ((nm - peak) / width) ** 2) for peak, width in ((600, 32), (540, 38), (460, 28))]
    fit = np.linalg.lstsq(matching, np.stack(bells, 1) * [0.80, 1.0, 0.85], rcond=None)[0].T
    fit /= (fit @ XYZ.sum(1)).max()
    assert np.abs(bodies()["Full 24"].colour_matrix.numpy() - fit).max() < 0.02


def test_exposure_is_that_of_the_standard() -> None:
    # ISO 12232: at ISO 100 saturation takes 0.78 lx s; f/1 and 1 s give 0.65 lx s per cd/m2
    assert exposure(Settings(time=1.0, aperture=1.0, iso=100)) == pytest.approx(0.65 / 0.78)
    # the sunny 16 rule: grass and faces in the sun (about 18 % of 100 klx) come to 12.7 % of saturation within 1/3 stop
    sunny = exposure(Settings(time=1 / 125, aperture=16.0, iso=100)) * 0.18 * 1e5 / math.pi
    assert abs(math.log2(sunny / 0.127)) < 0.5
    assert str(Settings(time=1 / 125, aperture=5.6, iso=200)) == "1/125 s f/5.6 ISO 200"
    assert str(Settings(time=1.3, aperture=8.0, iso=100)) == "1.3 s f/8 ISO 100"


@given(st.sampled_from(ALL), st.floats(-9, 13), st.sampled_from([2.8, 5.6, 11.0]), st.sampled_from([1 / 60, 1.0]))
def test_chosen_settings_meet_the_meter_where_the_body_can(
    body: Body, stops: float, aperture: float, longest: float
) -> None:
    luminance = 2.0**stops
    chosen = choose_settings(body, luminance, aperture=aperture, longest=longest)
    assert chosen.time in body.times
    assert chosen.aperture in body.apertures
    assert chosen.iso in body.isos
    error = exposure_error(body, luminance, chosen)
    assert (
        abs(error) < 0.23
        or (error > 0 and chosen.time == body.times[0])
        or (error < 0 and chosen.time == body.times[-1])
    )
    longest = min(longest, body.times[-1])
    if chosen.iso > body.isos[0]:
        assert chosen.aperture == body.apertures[0]
        assert chosen.time > longest / 1.5
    if chosen.time > longest * 1.2:
        assert chosen.iso == body.isos[-1]


@every_body
def test_a_grey_card_comes_out_at_middle_grey_less_the_headroom(body: Body) -> None:
    scene = flat((72.0, 72.0, 72.0))
    settings = choose_settings(body, key_luminance(scene))
    image = photograph(scene, body, settings, np.random.default_rng(0))
    green = np.mean([values.mean() for name, values in sites(image.samples, body) if name == "G"])
    expected = 0.18 * 2 ** (exposure_error(body, 72.0, settings) - body.headroom)
    assert green == pytest.approx(expected, rel=3e-3)
    assert image.baseline_exposure == body.headroom
    assert abs(math.log2(green * 2**image.baseline_exposure / 0.18)) < 0.23


@every_body
def test_colours_fall_on_their_sites(body: Body) -> None:
    rgb = (900.0, 300.0, 120.0)
    settings = Settings(time=1 / 100, aperture=5.6, iso=body.isos[0])
    image = photograph(flat(rgb), body, settings, np.random.default_rng(0))
    camera = body.colour_matrix.numpy() @ XYZ @ np.array(rgb)
    expected = camera * 0.65 / 100 / 5.6**2 * body.isos[0] / 78
    assert expected.max() < 0.9
    for name, values in sites(image.samples, body):
        deviation = math.sqrt(body.noise_profile(body.isos[0])[0] / values.size)
        assert abs(values.mean() - expected["RGB".index(name)]) < 5 * deviation + 1e-4


@every_body
@pytest.mark.parametrize("stops", [0, 3, 6])
@pytest.mark.parametrize("level", [0.0, 0.002, 0.05, 0.4])
def test_noise_is_what_the_file_says(body: Body, stops: int, level: float) -> None:
    iso = body.isos[min(3 * stops, len(body.isos) - 1)]
    per_unit = exposure(Settings(time=1 / 60, aperture=8.0, iso=iso))
    image = photograph(
        flat((level / per_unit,) * 3, (128, 192)),
        body,
        Settings(time=1 / 60, aperture=8.0, iso=iso),
        np.random.default_rng(stops),
    )
    assert image.noise_profile is not None
    assert image.samples.numpy().min() > 0, "black is high enough for the noise not to be cut"
    for name, values in sites(image.samples, body):
        shot, read = image.noise_profile["RGB".index(name)]
        expected = shot * max(values.mean(), 0.0) + read
        # the spread of a variance that is estimated from n values; counting few photons widens it
        spread = math.sqrt((2 + shot**2 / expected) / values.size)
        assert abs(values.var(ddof=1) / expected - 1) < 5 * spread + 0.01


@every_body
def test_light_beyond_saturation_is_clipped(body: Body) -> None:
    scene = flat((1e5, 1e5, 1e5))
    image = photograph(scene, body, Settings(time=1 / 30, aperture=2.8, iso=400), np.random.default_rng(0))
    assert (image.samples == body.white_level).all()


def test_white_balance_takes_out_most_of_the_light_s_colour() -> None:
    lamp = (2.0, 0.85, 0.3)
    body = bodies()["Crop 26"]
    scene = flat(lamp, white=lamp)
    camera = body.colour_matrix.numpy() @ XYZ @ np.array(lamp)
    gains = np.array(as_shot(scene, body, np.random.default_rng(0), error=0.0))
    assert gains.min() == 1
    balanced, unbalanced = camera * gains, camera / (body.colour_matrix.numpy() @ XYZ.sum(1))
    left = math.log(balanced[0] / balanced[2]) / math.log(unbalanced[0] / unbalanced[2])
    assert 0.05 < left < 0.3
    grey = np.array(as_shot(flat((1, 1, 1)), body, np.random.default_rng(0), error=0.0))
    assert np.ptp(grey * (body.colour_matrix.numpy() @ XYZ.sum(1))) < 1e-3
    drawn = [as_shot(scene, body, np.random.default_rng(i), error=0.03) for i in range(200)]
    ratios = np.log([red / green for red, green, _ in drawn])
    assert 0.025 < ratios.std() < 0.035
    assert abs(ratios.mean() - math.log(gains[0] / gains[1])) < 0.01


def test_places_in_an_arbitrary_unit_are_metered_by_their_log_average() -> None:
    linear = np.exp(np.linspace(0.0, 4.0, 80) ** 1.5)[None, None].repeat(60, 1).repeat(3, 0).astype(np.float32)
    geometric = math.exp(float(np.log(linear[0].astype(np.float64)).mean()))
    body = bodies()["Full 24"]
    for night, below in ((False, 0.0), (True, 2.0)):
        scene = dataclasses.replace(flat((1, 1, 1)), linear=linear, key_luminance=None, night=night)
        settings = choose_settings(body, key_luminance(scene))
        level = exposure(settings) * luminance_unit(scene) * geometric * 2**body.headroom
        assert abs(math.log2(level / 0.18) + below) < 0.23
        image = photograph(scene, body, settings, np.random.default_rng(0))
        expected = np.minimum(linear[1] * level / geometric / 2**body.headroom, 1.0)
        green = [v.mean() for name, v in sites(image.samples, body) if name == "G"]
        assert np.mean(green) == pytest.approx(expected.mean(), rel=0.01)


def test_chance_comes_from_the_generator_alone() -> None:
    scene, body = render_scene(3, (47, 61), "outdoor"), ALL[0]
    settings = choose_settings(body, key_luminance(scene))
    first, again, other = (photograph(scene, body, settings, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.samples, again.samples)
    assert first.white_balance == again.white_balance
    assert not torch.equal(first.samples, other.samples)
    assert first.samples.shape == (47, 61)
