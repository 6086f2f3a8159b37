"""Are the exposure facts of a file true? Rules that compare its fields with each other, and with its pixels.

A file states its exposure twice: as ExposureTime (s), FNumber and ISO, and in APEX units, which are logarithms to base
2 (Exif 2.32, annex C): ShutterSpeedValue Tv = -log2(t), ApertureValue Av = 2 log2(N), BrightnessValue Bv. With
Sv = log2(ISO / 3.125), an automatic exposure obeys Av + Tv = Bv + Sv. The rules:

====================  ==========================================================================================
exposure_time_range   1e-6 < t < 60 s. Otherwise t is taken from ShutterSpeedValue, else it counts as unknown.
shutter_speed_agrees  |Tv + log2(t)| <= 0.1. A ShutterSpeedValue out of range, or one that repeats the seconds, is
                      set right. Two plausible values that differ: that one stands which BrightnessValue confirms;
                      without such a witness the time counts as unknown.
aperture_range        0.7 <= N <= 64, as exposure_time_range, with ApertureValue.
aperture_agrees       |Av - 2 log2(N)| <= 0.1, as shutter_speed_agrees.
iso_positive          ISO > 0. Otherwise from Bv = Av + Tv - Sv where all three are known, else it counts as unknown.
brightness_agrees     |Bv - (Av + Tv - Sv)| <= 0.5, with or without ExposureBiasValue. A BrightnessValue that does not
                      agree (manual exposure, flash) is not used; the settings stand.
level_agrees          Over captures of one scene: the recorded level follows the stated exposure
                      (`hdr.io.exposure_levels.judge_levels`).
====================  ==========================================================================================

A zero in an APEX field that its partner does not confirm is a placeholder, not 1 s or f/1. Each rule that has something
to judge gives one `Decision`, whose fields go into JSON as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeGuard

from hdr.io.exposure_fields import ExposureFields as ExposureFields
from hdr.io.exposure_fields import exposure_fields as exposure_fields
from hdr.io.exposure_fields import read_exposure_fields as read_exposure_fields

Action = Literal["ok", "repaired", "fallback", "quarantined"]

TIME_RANGE = (math.nextafter(1e-6, 1.0), math.nextafter(60.0, 0.0))
"""Seconds; 1e-6 and 60 themselves are outside."""
APERTURE_RANGE = (0.7, 64.0)
APEX_TOLERANCE = 0.1
BRIGHTNESS_TOLERANCE = 0.5
_SPEED_OF_ISO = 3.125


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Exposure facts that passed the rules; None: unknown, meter the image instead."""

    exposure_time: float | None
    """Seconds."""
    aperture: float | None
    """F-number."""
    iso: float | None


@dataclass(frozen=True)
class Decision:
    """What one rule found, and what was done."""

    rule: str
    field: str
    """Name of the EXIF field, or "level"."""
    found: float | str | None
    """Its value; as text where it is not finite."""
    action: Action
    """``ok``: the field stands. ``repaired``: the value that other fields imply took its place. ``fallback``: the field
    is not relied upon; an exposure fact becomes unknown and the image has to be metered. ``quarantined``: the image
    cannot be metered either, leave the capture out."""
    detail: str


def check_exposure(fields: ExposureFields) -> tuple[Exposure, list[Decision]]:
    """The exposure facts after the rules, and what each rule decided (see the head of this module)."""
    times, decisions = _candidates(fields.exposure_time, fields.shutter_speed_value, _TIME)
    apertures, more = _candidates(fields.f_number, fields.aperture_value, _APERTURE)
    decisions += more
    stated_iso = fields.iso if _positive(fields.iso) else None
    confirmed = [
        (time, aperture)
        for time in times
        for aperture in apertures
        if stated_iso and _brightness_agrees(fields, time, aperture, stated_iso)
    ]
    witness = confirmed[0] if len(confirmed) == 1 else None
    time, more = _settle(times, witness and witness[0], _TIME)
    aperture, others = _settle(apertures, witness and witness[1], _APERTURE)
    iso, decision = _judge_iso(fields, time, aperture)
    decisions += [*more, *others, decision]
    if _finite(fields.brightness_value) and time and aperture and stated_iso:
        agrees = _brightness_agrees(fields, time, aperture, stated_iso)
        detail = f"the settings imply {_brightness(time, aperture, stated_iso):.2f}"
        if not agrees:
            detail += "; not used (manual exposure, flash, or another scale)"
        action: Action = "ok" if agrees else "fallback"
        decisions.append(Decision("brightness_agrees", "BrightnessValue", fields.brightness_value, action, detail))
    return Exposure(exposure_time=time, aperture=aperture, iso=iso), decisions


def exposure_value(exposure: Exposure) -> float | None:
    """Av + Tv = log2(N^2 / t): the EV of the settings, at whatever ISO; None when one is unknown."""
    if exposure.exposure_time is None or exposure.aperture is None:
        return None
    return math.log2(exposure.aperture**2 / exposure.exposure_time)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A setting and its APEX twin."""

    field: str
    twin: str
    range_rule: str
    agree_rule: str
    limits: tuple[float, float]
    apex: Callable[[float], float]
    back: Callable[[float], float]


_TIME = _Pair(
    field="ExposureTime",
    twin="ShutterSpeedValue",
    range_rule="exposure_time_range",
    agree_rule="shutter_speed_agrees",
    limits=TIME_RANGE,
    apex=lambda time: -math.log2(time),
    back=lambda tv: 2.0**-tv,
)
_APERTURE = _Pair(
    field="FNumber",
    twin="ApertureValue",
    range_rule="aperture_range",
    agree_rule="aperture_agrees",
    limits=APERTURE_RANGE,
    apex=lambda number: 2 * math.log2(number),
    back=lambda av: 2.0 ** (av / 2),
)


def _candidates(stated: float | None, apex: float | None, pair: _Pair) -> tuple[list[float], list[Decision]]:
    """The values that the setting may have: none, one, or two that contradict each other."""
    low, high = pair.apex(pair.limits[0]), pair.apex(pair.limits[1])
    from_twin = pair.back(apex) if _finite(apex) and min(low, high) <= apex <= max(low, high) else None
    if stated is None or not pair.limits[0] <= stated <= pair.limits[1]:
        if from_twin is None or apex == 0:
            found = "not stated" if stated is None else f"not between {pair.limits[0]:g} and {pair.limits[1]:g}"
            detail = f"{found}, and {pair.twin} does not help"
            return [], [Decision(pair.range_rule, pair.field, _plain(stated), "fallback", detail)]
        detail = f"{from_twin:.6g} by {pair.twin} {apex:.4g}"
        return [from_twin], [Decision(pair.range_rule, pair.field, _plain(stated), "repaired", detail)]
    decisions = [Decision(pair.range_rule, pair.field, stated, "ok", "")]
    if apex is None:
        return [stated], decisions
    implied = pair.apex(stated)
    if _finite(apex) and abs(apex - implied) <= APEX_TOLERANCE:
        decisions.append(Decision(pair.agree_rule, pair.twin, apex, "ok", f"{pair.field} implies {implied:.3f}"))
        return [stated], decisions
    if from_twin is None or apex == 0 or math.isclose(apex, stated, rel_tol=0.01):
        reason = f"it repeats {pair.field} and is no logarithm" if apex else "a placeholder"
        reason = "it is out of range" if from_twin is None else reason
        detail = f"{reason}; {pair.field} implies {implied:.3f}"
        decisions.append(Decision(pair.agree_rule, pair.twin, _plain(apex), "repaired", detail))
        return [stated], decisions
    return [stated, from_twin], decisions


def _settle(values: list[float], confirmed: float | None, pair: _Pair) -> tuple[float | None, list[Decision]]:
    """Of the setting's own value and its twin's, where they contradict each other, the one that was confirmed."""
    if len(values) < 2:
        return (values[0] if values else None), []
    stated, from_twin = values
    detail = f"{pair.twin} implies {from_twin:.6g}"
    if confirmed is None:
        decision = Decision(pair.agree_rule, pair.field, stated, "fallback", f"{detail}; nothing tells which is right")
        return None, [decision]
    action: Action = "ok" if confirmed == stated else "repaired"
    return confirmed, [Decision(pair.agree_rule, pair.field, stated, action, f"{detail}; BrightnessValue decided")]


def _judge_iso(fields: ExposureFields, time: float | None, aperture: float | None) -> tuple[float | None, Decision]:
    if _positive(fields.iso):
        return fields.iso, Decision("iso_positive", "ISO", fields.iso, "ok", "")
    brightness = fields.brightness_value
    if _finite(brightness) and not fields.exposure_bias and time and aperture:
        sv = _brightness(time, aperture, _SPEED_OF_ISO) - brightness
        if 0 <= sv <= 20:
            iso = _SPEED_OF_ISO * 2.0**sv
            detail = f"{iso:.4g} by BrightnessValue {brightness:.4g}"
            return iso, Decision("iso_positive", "ISO", _plain(fields.iso), "repaired", detail)
    detail = "not stated or not positive, and BrightnessValue does not help"
    return None, Decision("iso_positive", "ISO", _plain(fields.iso), "fallback", detail)


def _brightness(time: float, aperture: float, iso: float) -> float:
    """Bv = Av + Tv - Sv."""
    return math.log2(aperture**2 / time) - math.log2(iso / _SPEED_OF_ISO)


def _brightness_agrees(fields: ExposureFields, time: float, aperture: float, iso: float) -> bool:
    if not _finite(fields.brightness_value):
        return False
    difference = fields.brightness_value - _brightness(time, aperture, iso)
    bias = fields.exposure_bias if _finite(fields.exposure_bias) else 0.0
    return min(abs(difference), abs(difference - bias)) <= BRIGHTNESS_TOLERANCE


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _positive(value: float | None) -> TypeGuard[float]:
    return _finite(value) and value > 0


def _plain(value: float | None) -> float | str | None:
    """The value in a form that JSON holds."""
    return value if value is None or math.isfinite(value) else str(value)
