"""Does the light that captures recorded follow from the exposures that their files state?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdr.io.exposure_checks import Action, Decision, Exposure
from hdr.io.sensor import SensorImage

CLIPPED_SHARE = 0.05
"""A capture with more clipped sites than this share only bounds the level from below."""
_SATURATION = 0.98
"""Of the way from black to the white level: sensors saturate a little below the white level that is known of them."""
_SMALLEST_SPREAD = 0.1  # EV: shutters and apertures repeat no better
_FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class Level:
    """How much light a capture recorded."""

    mean: float
    """Mean sensor value after subtraction of black, 1.0 = saturation."""
    clipped: float
    """Share of the sites that are saturated: within 2 % of the white level, or above."""


def measure_level(image: SensorImage) -> Level:
    """The recorded level of a capture."""
    samples = image.samples.numpy()
    black = sum(image.black_level) / 4
    span = image.white_level - black
    mean = (float(samples.mean(dtype=np.float64)) - black) / span
    return Level(mean=mean, clipped=float((samples >= black + _SATURATION * span).mean()))


def judge_levels(levels: Sequence[Level], exposures: Sequence[Exposure], *, threshold: float = 3.5) -> list[Decision]:
    """One decision per capture of a scene: does its level follow from its exposure as those of the others do?

    The light of the scene, log2(level) - log2(t ISO / N^2), should be the same for all. The distance from the median is
    measured in robust standard deviations, 1.4826 times the median absolute deviation and at least 0.1 EV; beyond
    ``threshold`` of them (Iglewicz and Hoaglin 1993) the stated exposure is not believed. Captures with clipped
    highlights record less than their share: they are left out of the median, and being too dark proves nothing against
    them. Where no capture states an aperture (a lens without contacts), it is taken to be the same for all.

    With fewer than three captures to compare, none is doubted. Over captures of different scenes, the scenes' own
    spread widens the tolerance, and only gross errors are found.
    """
    no_apertures = all(exposure.aperture is None for exposure in exposures)
    light = [_light(level, exposure, no_apertures) for level, exposure in zip(levels, exposures, strict=True)]
    usable = [value for value, level in zip(light, levels, strict=True) if value is not None and not _clipped(level)]
    middle = float(np.median(usable)) if usable else 0.0
    spread = max(1.4826 * float(np.median(np.abs(np.asarray(usable) - middle))), _SMALLEST_SPREAD) if usable else 1.0
    decisions = []
    for value, level in zip(light, levels, strict=True):
        action: Action = "quarantined" if _clipped(level) or not level.mean > 0 else "fallback"
        if not level.mean > 0:
            detail = "nothing was recorded above black"
        elif value is None:
            detail = "the exposure is not known"
        elif len(usable) < _FEWEST:
            action, detail = "ok", f"{len(usable)} comparable captures are too few to doubt one"
        else:
            distance = (value - middle) / spread
            detail = f"{value - middle:+.2f} EV from the median, {abs(distance):.1f} standard deviations"
            if abs(distance) <= threshold or (_clipped(level) and distance < 0):
                action = "ok"
        decisions.append(Decision("level_agrees", "level", level.mean, action, detail))
    return decisions


def _clipped(level: Level) -> bool:
    return level.clipped > CLIPPED_SHARE


def _light(level: Level, exposure: Exposure, no_apertures: bool) -> float | None:
    """log2 of the scene's light, up to a constant; None where the level or the exposure does not tell."""
    time, aperture, iso = exposure.exposure_time, exposure.aperture, exposure.iso
    if no_apertures:
        aperture = 1.0
    if time is None or aperture is None or iso is None or not level.mean > 0:
        return None
    return math.log2(level.mean) - math.log2(time * iso / aperture**2)
