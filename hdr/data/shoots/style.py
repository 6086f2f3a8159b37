"""Photographers: how what is seen in a photo becomes the eight tone sliders."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from hdr.data.scenes import FAMILIES
from hdr.io.sensor import SensorImage
from hdr.io.sidecar import TONE_SETTINGS
from hdr.ops.colour import luminance
from hdr.ops.primaries import camera_to_rgb
from hdr.ops.sensor import develop, normalise

SLIDERS = tuple(TONE_SETTINGS)
Sliders = dict[str, float]
"""Values by the names of ``TONE_SETTINGS``, in slider units."""

_CELL = 16  # pixels along the side of the cells in which light is measured, so that noise does not count


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a photographer sees in a photo. All but the first, third and last are measured on the file's own pixels."""

    exposure_error: float
    """EV by which the photo is brighter than a perfect meter would have made it; negative: too dark."""
    tone: float
    """EV from middle grey to the photo's log-average luminance, the exposure error taken out."""
    night: bool
    highlights: float
    """Share of the photo near or above display white, the exposure error taken out; what is clipped counts."""
    shadows: float
    """Share below 3 % of display white, likewise."""
    stops: float
    """Stops between the 1st and the 99th percentile of luminance."""
    warmth: float
    """log2 of mean red over mean blue, after the as-shot white balance."""
    chroma: float
    """Mean of (largest - smallest channel) / largest, likewise, 0 to 1."""
    family: str
    """Kind of place."""

    def as_dict(self) -> dict[str, float | bool | str]:
        """Plain values, rounded to four digits behind the point."""
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


def developed(image: SensorImage) -> torch.Tensor:
    """A quick development: (3, H, W) linear Rec. 709, 1.0 = display white (BaselineExposure applied).

    Saturated places are white, as converters clip them; nothing else is clamped, and values may be below 0.

    Raises:
        ValueError: the image has no colour matrix or no white balance.
    """
    if image.colour_matrix is None or image.white_balance is None:
        raise ValueError("a development needs the colour matrix and the as-shot white balance")
    linear = develop(
        normalise(image.samples[None, None], image.black_level, image.white_level),
        pattern=image.pattern,
        white_balance=image.white_balance,
        matrix=camera_to_rgb(image.colour_matrix),
        method="bilinear",
    )
    return linear[0] * 2.0**image.baseline_exposure


def observe(image: SensorImage, *, exposure_error: float, night: bool, family: str) -> Facts:
    """The facts of a photo: what its pixels show, and what the photographer knows of it."""
    linear = developed(image)
    cell = min(_CELL, *linear.shape[-2:])
    linear = torch.nn.functional.avg_pool2d(linear[None], cell)[0].clamp(min=0.0).double()
    light = (luminance(linear) * 2.0**-exposure_error).clamp(min=1e-4).log2()
    low, high = torch.quantile(light, torch.tensor([0.01, 0.99], dtype=torch.float64)).tolist()
    red, _, blue = linear.mean((1, 2)).clamp(min=1e-6).tolist()
    largest = linear.amax(0).clamp(min=1e-6)
    return Facts(
        exposure_error=exposure_error,
        tone=float(light.mean()) - math.log2(0.18),
        night=night,
        highlights=float(torch.sigmoid((light - math.log2(0.8)) / 0.15).mean()),
        shadows=float(torch.sigmoid((math.log2(0.03) - light) / 0.3).mean()),
        stops=high - low,
        warmth=math.log2(red / blue),
        chroma=float(((largest - linear.amin(0)) / largest).mean()),
        family=family,
    )


@dataclass(frozen=True, kw_only=True)
class Style:
    """A photographer."""

    name: str
    offset: Mapping[str, float]
    """Added to every photo."""
    gain: Mapping[str, float]
    """How strongly the slider follows the facts, about 1."""
    places: Mapping[str, Mapping[str, float]]
    """Offset by kind of place."""
    noise: Mapping[str, float]
    """Standard deviation of what the photographer would set differently another day."""
    habit: Mapping[str, float]
    """Settings are multiples of this."""


# How far photographers differ from each other, shoots of one photographer from each other, and photos from what the
# facts ask for; standard deviations in slider units.
_BETWEEN_STYLES = dict(zip(SLIDERS, (0.15, 5.0, 12.0, 12.0, 8.0, 6.0, 5.0, 2.0), strict=True))
_BETWEEN_SHOOTS = dict(zip(SLIDERS, (0.08, 2.5, 6.0, 6.0, 4.0, 3.0, 2.0, 1.0), strict=True))
_BETWEEN_PLACES = dict(zip(SLIDERS, (0.06, 2.0, 5.0, 5.0, 4.0, 2.5, 2.0, 1.0), strict=True))
_HUMAN = dict(zip(SLIDERS, (0.10, 3.0, 7.0, 7.0, 5.0, 3.0, 2.5, 1.0), strict=True))


def draw_style(name: str, rng: np.random.Generator) -> Style:
    """A photographer by chance: taste, consistency, and the habit of round numbers."""
    habit = float(rng.choice([1.0, 2.0, 5.0], p=[0.4, 0.2, 0.4]))
    care = math.exp(rng.normal(0.0, 0.25))
    return Style(
        name=name,
        offset=_drawn(_BETWEEN_STYLES, rng),
        gain={name: math.exp(rng.normal(0.0, 0.1 if name == "Exposure2012" else 0.25)) for name in SLIDERS},
        places={family: _drawn(_BETWEEN_PLACES, rng) for family in (*FAMILIES, "panorama")},
        noise={name: spread * care for name, spread in _HUMAN.items()},
        habit={name: {1.0: 0.01, 2.0: 0.02, 5.0: 0.05}[habit] if name == "Exposure2012" else habit for name in SLIDERS},
    )


def draw_shoot_offset(rng: np.random.Generator) -> Sliders:
    """By how much one shoot of a photographer differs from the others."""
    return _drawn(_BETWEEN_SHOOTS, rng)


def settings_for(facts: Facts, style: Style, shoot_offset: Mapping[str, float]) -> Sliders:
    """What a photographer wants for a photo, before inconsistency and rounding: smooth in the facts, within range."""
    wanted = _neutral_taste(facts)
    local = style.places[facts.family]
    result = {}
    for name, spec in TONE_SETTINGS.items():
        base, follow = wanted[name]
        value = base + style.gain[name] * follow + style.offset[name] + shoot_offset[name] + local[name]
        result[name] = min(max(value, spec.low), spec.high)
    return result


def set_by_hand(clean: Mapping[str, float], style: Style, rng: np.random.Generator) -> Sliders:
    """What the photographer really sets: ``clean`` with human noise, in round numbers, as the slider can hold it."""
    values = {}
    for name, spec in TONE_SETTINGS.items():
        value = clean[name] + rng.normal(0.0, style.noise[name])
        values[name] = spec.nearest(round(value / style.habit[name]) * style.habit[name])
    return values


def _neutral_taste(facts: Facts) -> dict[str, tuple[float, float]]:
    """Of each slider the usual value and how it follows the facts, for a photographer without quirks."""
    night = float(facts.night)
    dark = math.tanh(-0.5 * facts.tone) * (1.0 - night)
    bright = math.tanh(5.0 * facts.highlights)
    deep = math.tanh(3.0 * facts.shadows) * (1.0 - 0.6 * night)
    wide = math.tanh((facts.stops - 5.0) / 3.0)
    warm = math.tanh(facts.warmth)
    colourful = math.tanh(3.0 * (facts.chroma - 0.35))
    return {
        "Exposure2012": (0.10, -0.9 * facts.exposure_error + 0.35 * dark - 0.10 * night),
        "Contrast2012": (7.0, -9.0 * wide + 3.0 * night),
        "Highlights2012": (-10.0, -45.0 * bright - 10.0 * wide),
        "Shadows2012": (10.0, 38.0 * deep + 10.0 * wide + 12.0 * dark),
        "Whites2012": (16.0, -34.0 * bright - 6.0 * wide + 14.0 * dark),
        "Blacks2012": (-15.0, 9.0 * wide + 8.0 * deep - 8.0 * night),
        "Vibrance": (15.0, -9.0 * colourful - 3.0 * warm),
        "Saturation": (-1.0, -4.0 * colourful - 1.5 * warm),
    }


def _drawn(spread: Mapping[str, float], rng: np.random.Generator) -> Sliders:
    return {name: float(rng.normal(0.0, deviation)) for name, deviation in spread.items()}
