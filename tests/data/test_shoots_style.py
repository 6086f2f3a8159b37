"""Photographers: facts that pixels show, settings that follow them smoothly, and a noise level that is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdr.data.scenes import Scene, render_scene
from hdr.data.shoots.body import bodies
from hdr.data.shoots.camera import (
    Settings,
    as_shot,
    choose_settings,
    exposure,
    exposure_error,
    key_luminance,
    photograph,
)
from hdr.data.shoots.style import (
    SLIDERS,
    Facts,
    Style,
    developed,
    draw_shoot_offset,
    draw_style,
    observe,
    set_by_hand,
    settings_for,
)
from hdr.io.sidecar import TONE_SETTINGS

BODY = bodies()["Full 24"]
PLAIN = Facts(
    exposure_error=0.0,
    tone=0.0,
    night=False,
    highlights=0.1,
    shadows=0.1,
    stops=5.0,
    warmth=0.0,
    chroma=0.35,
    family="outdoor",
)
NOTHING = dict.fromkeys(SLIDERS, 0.0)
NEUTRAL = Style(
    name="neutral",
    offset=NOTHING,
    gain=dict.fromkeys(SLIDERS, 1.0),
    places={"outdoor": NOTHING, "interior": NOTHING, "night": NOTHING},
    noise=NOTHING,
    habit={name: spec.step for name, spec in TONE_SETTINGS.items()},
)


def card(fractions: list[float]) -> tuple[Scene, Settings]:
    """Grey stripes that come out at these shares of display white, and the settings that make it so."""
    settings = Settings(time=1 / 60, aperture=8.0, iso=100)
    unit = 2**-BODY.headroom / exposure(settings)
    stripes = np.repeat(np.array(fractions, np.float32) * np.float32(unit), 64)
    linear = np.broadcast_to(stripes, (3, 96, len(stripes))).copy()
    white = np.ones(3, np.float32)
    return Scene(
        linear=linear, name="card", group="card", family="outdoor", night=False, key_luminance=unit, white=white
    ), settings


def facts_of(fractions: list[float], error: float = 0.0) -> Facts:
    scene, settings = card(fractions)
    image = photograph(scene, BODY, settings, np.random.default_rng(0), white_balance=neutral_balance())
    return observe(image, exposure_error=error, night=False, family="outdoor")


def neutral_balance() -> tuple[float, float, float]:
    return as_shot(card([1.0])[0], BODY, np.random.default_rng(0), error=0.0)


def test_development_gives_back_the_scene() -> None:
    scene, settings = card([0.05, 0.2, 0.8])
    image = photograph(scene, BODY, settings, np.random.default_rng(0), white_balance=neutral_balance())
    linear = developed(image)
    assert linear.shape == (3, 96, 192)
    for stripe, level in enumerate((0.05, 0.2, 0.8)):
        part = linear[:, 8:-8, 64 * stripe + 8 : 64 * stripe + 56].double().mean((1, 2))
        assert part.tolist() == pytest.approx([level] * 3, rel=0.01)
    with pytest.raises(ValueError, match="colour matrix"):
        developed(dataclasses.replace(image, colour_matrix=None))


def test_facts_are_those_of_the_pixels() -> None:
    facts = facts_of([0.18, 0.18])
    assert facts.tone == pytest.approx(0, abs=0.02)
    assert facts.highlights < 1e-3
    assert facts.shadows < 1e-2
    assert facts.stops < 0.1
    assert facts.warmth == pytest.approx(0, abs=0.02)
    assert facts.chroma < 0.02
    facts = facts_of([0.01, 0.18, 0.18, 3.0])
    assert facts.highlights == pytest.approx(0.25, abs=0.02)
    assert facts.shadows == pytest.approx(0.25, abs=0.02)
    # saturation is display white times the headroom
    assert facts.stops == pytest.approx(math.log2(2**BODY.headroom / 0.01), abs=0.2)
    # the exposure error is taken out: half the light with an error of -1 looks the same
    darker = facts_of([0.09, 0.09], error=-1.0)
    assert darker.tone == pytest.approx(0, abs=0.02)


def test_warm_light_is_seen_as_warm() -> None:
    scene, settings = card([0.2])
    warm = dataclasses.replace(scene, linear=scene.linear * np.array([1.3, 1.0, 0.6], np.float32)[:, None, None])
    image = photograph(warm, BODY, settings, np.random.default_rng(0), white_balance=neutral_balance())
    facts = observe(image, exposure_error=0.0, night=False, family="outdoor")
    assert facts.warmth == pytest.approx(math.log2(1.3 / 0.6), abs=0.03)
    assert facts.chroma == pytest.approx(1 - 0.6 / 1.3, abs=0.02)


@pytest.mark.parametrize(
    ("fact", "low", "high", "slider", "sign"),
    [
        ("exposure_error", -1.0, 1.0, "Exposure2012", -1),
        ("highlights", 0.02, 0.3, "Highlights2012", -1),
        ("shadows", 0.02, 0.5, "Shadows2012", 1),
        ("stops", 3.0, 9.0, "Contrast2012", -1),
        ("chroma", 0.1, 0.6, "Vibrance", -1),
        ("warmth", -0.5, 0.8, "Saturation", -1),
        ("tone", -2.0, 1.0, "Exposure2012", -1),
    ],
)
def test_settings_follow_the_facts(fact: str, low: float, high: float, slider: str, sign: int) -> None:
    values = [
        settings_for(dataclasses.replace(PLAIN, **{fact: value}), NEUTRAL, NOTHING)[slider]
        for value in np.linspace(low, high, 7)
    ]
    assert (sign * np.diff(values) > 0).all()


def test_a_photo_that_is_exposed_wrong_is_put_right() -> None:
    for error in (-1.5, 0.7):
        wrong = settings_for(dataclasses.replace(PLAIN, exposure_error=error), NEUTRAL, NOTHING)
        right = settings_for(PLAIN, NEUTRAL, NOTHING)
        assert wrong["Exposure2012"] - right["Exposure2012"] == pytest.approx(-0.9 * error)
        assert {n: v for n, v in wrong.items() if n != "Exposure2012"} == {
            n: v for n, v in right.items() if n != "Exposure2012"
        }


SHARE = st.floats(0, 1)


@given(st.floats(-3, 3), st.floats(-6, 2), SHARE, SHARE, st.floats(0, 14), st.booleans(), st.integers(0, 9))
def test_settings_are_in_range_and_smooth(
    error: float, tone: float, highlights: float, shadows: float, stops: float, night: bool, seed: int
) -> None:
    style = draw_style("s", np.random.default_rng(seed))
    facts = dataclasses.replace(
        PLAIN, exposure_error=error, tone=tone, highlights=highlights, shadows=shadows, stops=stops, night=night
    )
    clean = settings_for(facts, style, NOTHING)
    near = settings_for(
        dataclasses.replace(facts, tone=tone + 0.01, highlights=highlights + 0.001, stops=stops + 0.01), style, NOTHING
    )
    for name, spec in TONE_SETTINGS.items():
        assert spec.low <= clean[name] <= spec.high
        assert abs(near[name] - clean[name]) < 0.01 * (spec.high - spec.low)
    assert set_by_hand(clean, style, np.random.default_rng(0)).keys() == clean.keys()


def test_what_is_set_is_what_is_wanted_with_noise_in_round_numbers() -> None:
    style = draw_style("s", np.random.default_rng(3))
    clean = settings_for(PLAIN, style, NOTHING)
    rng = np.random.default_rng(0)
    drawn = [set_by_hand(clean, style, rng) for _ in range(2000)]
    for name, spec in TONE_SETTINGS.items():
        values = np.array([settings[name] for settings in drawn])
        assert all(spec.nearest(value) == value for value in values[:50])
        multiples = values / style.habit[name]
        assert np.abs(multiples - multiples.round()).max() < 1e-6
        spread = math.hypot(style.noise[name], style.habit[name] / math.sqrt(12))
        assert values.std() == pytest.approx(spread, rel=0.1)
        assert abs(values.mean() - clean[name]) < 5 * spread / math.sqrt(2000) + 0.02 * style.habit[name]


def test_photographers_differ_more_than_their_shoots() -> None:
    styles = [draw_style(str(seed), np.random.default_rng(seed)) for seed in range(200)]
    shoots = [draw_shoot_offset(np.random.default_rng(seed)) for seed in range(200)]
    for name in SLIDERS:
        between_styles = np.std([style.offset[name] for style in styles])
        between_shoots = np.std([shoot[name] for shoot in shoots])
        human = np.mean([style.noise[name] for style in styles])
        assert between_styles > 1.4 * between_shoots
        assert 0.5 * human < between_styles < 3 * human


def test_noise_in_the_dark_is_not_seen_as_range() -> None:
    scene = render_scene(2, (96, 144), "interior")
    settings = choose_settings(BODY, key_luminance(scene), longest=1.0)
    noisy = dataclasses.replace(settings, time=settings.time / 64, iso=settings.iso * 64)
    found = []
    for chosen in (settings, noisy):
        image = photograph(scene, BODY, chosen, np.random.default_rng(0), white_balance=neutral_balance())
        error = exposure_error(BODY, key_luminance(scene), chosen)
        found.append(observe(image, exposure_error=error, night=False, family="interior"))
    assert found[1].stops == pytest.approx(found[0].stops, abs=0.3)
    assert found[1].shadows == pytest.approx(found[0].shadows, abs=0.02)
    assert found[1].tone == pytest.approx(found[0].tone, abs=0.1)
