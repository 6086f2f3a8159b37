"""Photographing a scene: settings, metering, and the sensor image that comes of them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from hdr.data.scenes.scene import Scene
from hdr.data.shoots.body import Body
from hdr.io.sensor import SensorImage
from hdr.ops.colour import luminance
from hdr.ops.primaries import apply_matrix, rgb_to_xyz_matrix
from hdr.ops.sensor import capture

GREY = 0.18
HAND_HELD = 1.0 / 60.0
"""Seconds that a hand keeps still, in :func:`choose_settings`."""

# Pixels of standard deviation: a good lens and the low-pass filter in front of a mosaic. Without it a point of light
# would fall on one colour only, which cameras avoid.
_BLUR = 0.65

_ADAPTATION = 0.85  # cameras leave some of a light's colour: the logarithms of the gains are smaller by this

# Scenes in an arbitrary unit are taken to have this log-average luminance, cd/m2: an open shade, a lit street.
_UNKNOWN_DAY, _UNKNOWN_NIGHT = 800.0, 0.5
_NIGHT_STOPS = 2.0  # such a scene at night is metered to come out this far below a grey average


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is set on the camera."""

    time: float
    """Seconds."""
    aperture: float
    """F-number."""
    iso: int

    def __str__(self) -> str:
        time = f"1/{1.0 / self.time:.0f}" if self.time < 0.4 else f"{self.time:g}"
        return f"{time} s f/{self.aperture:g} ISO {self.iso}"


def exposure(settings: Settings) -> float:
    """Share of sensor saturation that 1 cd/m2 reaches: 0.65 t / N^2 * ISO / 78.

    Sources: ISO 12232:2019, saturation-based speed (78 lx s over the speed fills the sensor); ISO 2720 (0.65 for the
    focal plane illuminance of a usual lens).
    """
    return 0.65 * settings.time / settings.aperture**2 * settings.iso / 78.0


def luminance_unit(scene: Scene) -> float:
    """cd/m2 per unit of the scene's light: 1 for rendered scenes.

    A panorama has an arbitrary unit; its log-average luminance is taken to be 800 cd/m2 by day and 0.5 cd/m2 at night.
    """
    if scene.key_luminance is not None:
        return 1.0
    return (_UNKNOWN_NIGHT if scene.night else _UNKNOWN_DAY) / _log_average(scene)


def key_luminance(scene: Scene) -> float:
    """The luminance in cd/m2 that a perfect meter puts at middle grey.

    Where the scene does not know it, it is the log-average luminance (Reinhard et al. 2002, eq. 1), and four times that
    at night, so that night stays dark.
    """
    if scene.key_luminance is not None:
        return scene.key_luminance
    return _UNKNOWN_NIGHT * 2.0**_NIGHT_STOPS if scene.night else _UNKNOWN_DAY


def _log_average(scene: Scene) -> float:
    light = luminance(torch.from_numpy(scene.linear)).double()
    floor = max(float(light.mean()) * 1e-4, 1e-12)  # black pixels must not pull the average to zero
    return float(light.clamp(min=floor).log().mean().exp())


def exposure_error(body: Body, key: float, settings: Settings) -> float:
    """EV by which ``settings`` expose more than a perfect meter would for this key luminance (cd/m2).

    The meter puts the key at 0.18 of saturation, less the body's headroom. With a headroom of 0.5 EV that is the 12.7 %
    of ISO 12232.
    """
    return math.log2(exposure(settings) * key / GREY) + body.headroom


def choose_settings(body: Body, key: float, *, aperture: float = 5.6, longest: float = HAND_HELD) -> Settings:
    """What an automatic camera would set for a key luminance in cd/m2.

    The lowest ISO and the aperture nearest to the one wished for, with the time that follows. Where that time is longer
    than ``longest`` seconds, the lens opens, then the ISO rises, then the time grows all the same; where it is shorter
    than the shutter can, the lens closes. Times are the nearest on the body's scale, so the result may be off by
    about a sixth of a stop, and by more where the body's range ends (:func:`exposure_error` says how much).
    """
    wanted = GREY * 2.0**-body.headroom / key
    longest = min(longest, body.times[-1])

    def time_for(number: float, iso: int) -> float:
        return wanted / exposure(Settings(time=1.0, aperture=number, iso=iso))

    iso = body.isos[0]
    number = min(body.apertures, key=lambda value: abs(math.log(value / aperture)))
    if time_for(number, iso) > longest:
        number = max(
            (n for n in body.apertures if n <= number and time_for(n, iso) <= longest), default=body.apertures[0]
        )
        iso = next((i for i in body.isos if time_for(number, i) <= longest), body.isos[-1])
    elif time_for(number, iso) < body.times[0]:
        number = next(
            (n for n in body.apertures if n >= number and time_for(n, iso) >= body.times[0]), body.apertures[-1]
        )
    return Settings(time=nearest(body.times, time_for(number, iso)), aperture=number, iso=iso)


def nearest(scale: Sequence[float], value: float) -> float:
    """The value of a rising scale that is nearest in stops."""
    return min(scale, key=lambda step: abs(math.log(step / value)))


def as_shot(scene: Scene, body: Body, rng: np.random.Generator, error: float = 0.03) -> tuple[float, float, float]:
    """Automatic white balance: multipliers of camera R, G, B, the smallest 1.

    They take out most of the colour of the scene's key light (the power 0.85 of it: candlelight stays warm), but for an
    ``error``, the standard deviation of the natural logarithms of R and B against G.
    """
    seen = np.maximum(scene.white.astype(np.float64), 0.02) ** _ADAPTATION
    white = rgb_to_xyz_matrix("rec709") @ torch.from_numpy(seen)
    neutral = (body.colour_matrix @ white).clamp(min=0.02).numpy()
    gains = np.exp(rng.normal(0.0, error, 3) * np.array([1.0, 0.0, 1.0])) / neutral
    red, green, blue = (float(gain) for gain in gains / gains.min())
    return red, green, blue


def photograph(
    scene: Scene,
    body: Body,
    settings: Settings,
    rng: np.random.Generator,
    *,
    white_balance: tuple[float, float, float] | None = None,
    capture_time: datetime.datetime | None = None,
) -> SensorImage:
    """Take one picture of a scene.

    The scene's light, a little blurred by the lens and the low-pass filter, becomes camera R, G, B by the body's matrix
    (what comes out below 0 is cut) and sensor exposure by the settings (:func:`exposure`); then follow mosaic, photon
    and read noise of the body at this ISO, saturation and rounding (:func:`hdr.ops.sensor.capture`). The picture is a
    part of the sensor with as many pixels as the scene has. Blur by motion and depth, lens shading and defective pixels
    are not simulated.

    Exposure happens exactly as the settings say (1/125 s is 8 ms), so the file's exposure data are true.

    Args:
        rng: noise and, where it is not given, the error of the white balance.
        white_balance: as-shot multipliers of R, G, B; None: :func:`as_shot`.
        capture_time: local time; None: the file has none.
    """
    if white_balance is None:
        white_balance = as_shot(scene, body, rng)
    focused = cv2.GaussianBlur(np.moveaxis(scene.linear, 0, 2), (0, 0), _BLUR, borderType=cv2.BORDER_REPLICATE)
    light = torch.from_numpy(np.ascontiguousarray(np.moveaxis(focused, 2, 0)))
    camera = apply_matrix(light, body.colour_matrix @ rgb_to_xyz_matrix("rec709")).clamp(min=0)
    shot, read = body.noise(settings.iso)
    values = capture(
        (camera * (exposure(settings) * luminance_unit(scene)))[None],
        pattern=body.pattern,
        black_level=body.black_level,
        white_level=body.white_level,
        shot=shot,
        read=read,
        model="poisson_gaussian",
        generator=torch.Generator().manual_seed(int(rng.integers(1 << 62))),
    )
    return SensorImage(
        samples=values[0, 0].to(torch.uint16),
        pattern=body.pattern,
        black_level=body.black_level,
        white_level=body.white_level,
        white_balance=white_balance,
        colour_matrix=body.colour_matrix,
        exposure_time=settings.time,
        aperture=settings.aperture,
        iso=float(settings.iso),
        focal_length=body.focal_length,
        baseline_exposure=body.headroom,
        noise_profile=(body.noise_profile(settings.iso),) * 3,
        capture_time=capture_time,
        make=body.make,
        model=body.model,
    )
