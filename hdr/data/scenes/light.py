"""Illuminants and daylight: colours in linear Rec. 709, luminance in cd/m2, illuminance in lux."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

REC709_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
_XYZ_TO_REC709 = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
SUN_DISC = 1.6e9
"""Luminance of the sun's disc high in clear air, cd/m2; its image in glass and paint starts from here."""
SUN_RADIUS = 0.00465
"""Half the angle that the sun's disc fills, radians."""
# The disc itself and its mirror images are held at this luminance, so that every scene stays within about 16 stops and
# inside the half-float range after exposure. The light that the sun sheds is not: it is the full illuminance.
SUN_DISC_LIMIT = 2.0e6

# CIE standard general sky (ISO 15469:2004), parameters a, b, c, d, e of types 3, 7, 12 and 14.
_SKY_TYPES = {
    "overcast": (1.1, -0.80, 0.0, -1.0, 0.0),
    "broken": (0.0, -1.00, 5.0, -2.5, 0.30),
    "clear": (-1.0, -0.32, 10.0, -3.0, 0.45),
    "hazy": (-1.0, -0.15, 16.0, -3.0, 0.30),
}


def luminance(linear: Array) -> Array:
    """Luminance of (3, ...) linear Rec. 709."""
    return np.asarray(np.tensordot(REC709_LUMINANCE, linear, axes=1), dtype=np.float32)


def schlick(head_on: float | Array, cosine: Array) -> Array:
    """Reflectance at an angle of incidence with this cosine, given that at normal incidence (Schlick 1994)."""
    rest = 1.0 - cosine
    square = rest * rest
    return np.asarray(head_on + (1.0 - head_on) * (square * square * rest), dtype=np.float32)


def chromaticity_to_rgb(x: float, y: float) -> Array:
    """Linear Rec. 709 colour (3,) of a CIE 1931 chromaticity, luminance 1; what lies outside the gamut is cut at 0."""
    rgb = np.maximum(_XYZ_TO_REC709 @ np.array([x / y, 1.0, (1.0 - x - y) / y]), 0.0).astype(np.float32)
    return np.asarray(rgb / (REC709_LUMINANCE @ rgb), dtype=np.float32)


def planckian(kelvin: float) -> Array:
    """Linear Rec. 709 colour (3,) of a black body at 1000 to 15000 K, luminance 1 (Krystek 1985)."""
    t = min(max(kelvin, 1000.0), 15000.0)
    u = (0.860117757 + 1.54118254e-4 * t + 1.28641212e-7 * t * t) / (1.0 + 8.42420235e-4 * t + 7.08145163e-7 * t * t)
    v = (0.317398726 + 4.22806245e-5 * t + 4.20481691e-8 * t * t) / (1.0 - 2.89741816e-5 * t + 1.61456053e-7 * t * t)
    return chromaticity_to_rgb(3.0 * u / (2.0 * u - 8.0 * v + 4.0), 2.0 * v / (2.0 * u - 8.0 * v + 4.0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Daylight:
    """Sun and sky of one outdoor scene; radiances are those of a perfect diffuser, cd/m2 in linear Rec. 709."""

    weather: str
    """One of clear, hazy, broken, overcast."""
    sun_direction: Array
    """Unit vector towards the sun: x right, y up, z into the picture."""
    sun: Array
    """Radiance (3,) of white facing the sun, without the sky."""
    sky: Array
    """Radiance (3,) of white lying flat under the whole sky, without the sun."""
    zenith: Array
    """Colour (3,) of the sky overhead, luminance 1."""
    horizon: Array
    """Colour (3,) of the sky low down, luminance 1."""

    @functools.cached_property
    def white(self) -> Array:
        """Radiance (3,) of white lying flat in the open."""
        return np.asarray(self.sky + self.sun * max(float(self.sun_direction[1]), 0.0), dtype=np.float32)

    @functools.cached_property
    def haze(self) -> Array:
        """Radiance (3,) that far things fade into: the sky low down, straight ahead."""
        ahead = sky_radiance(self, np.zeros((1, 1), np.float32), np.full((1, 1), 0.03, np.float32))
        return np.asarray(ahead[:, 0, 0], dtype=np.float32)

    def lit(self, normal: Array, visible: float = 1.0) -> Array:
        """Radiance (3,) of white on a plane with this unit normal: sun where visible, sky, light off the ground."""
        up = 0.5 + 0.5 * float(normal[1])
        ground = 0.18 * self.white
        facing = max(float(normal @ self.sun_direction), 0.0)
        return np.asarray(self.sky * up + ground * (1.0 - up) + self.sun * (facing * visible), dtype=np.float32)


def daylight(weather: str, elevation: float, azimuth: float) -> Daylight:
    """Sun and sky for a weather, the sun's elevation and azimuth (degrees; 0 is straight ahead of the camera).

    Illuminances have the form of the IESNA daylight availability model (direct normal 128 klx * exp(-c / sin h) with
    c = 0.21 under a clear sky; diffuse horizontal A + B sin h or A + B sqrt(sin h) klx), with the air somewhat more
    turbid than there. The sun reddens towards the horizon along the Planckian locus.
    """
    h, a = math.radians(elevation), math.radians(azimuth)
    sine = max(math.sin(h), 0.02)
    direction = np.array([math.sin(a) * math.cos(h), math.sin(h), math.cos(a) * math.cos(h)], dtype=np.float32)
    direct, diffuse = {
        "clear": (128e3 * math.exp(-0.21 / sine), 1e3 * (0.8 + 20.0 * math.sqrt(sine))),
        "hazy": (100e3 * math.exp(-0.40 / sine), 1e3 * (0.6 + 32.0 * math.sqrt(sine))),
        "broken": (110e3 * math.exp(-0.35 / sine), 1e3 * (0.5 + 34.0 * math.sqrt(sine))),
        "overcast": (0.0, 1e3 * (0.3 + 21.0 * sine)),
    }[weather]
    sun_kelvin = 5800.0 - 3700.0 * math.exp(-elevation / 9.0)
    warmth = math.exp(-elevation / 7.0)
    if weather == "overcast":
        zenith, horizon = planckian(7500.0), planckian(6800.0)
    else:
        blue = {"clear": 0.245, "hazy": 0.270, "broken": 0.252}[weather]
        zenith = chromaticity_to_rgb(blue, blue + 0.012)
        horizon = chromaticity_to_rgb(0.300 + 0.13 * warmth, 0.315 + 0.06 * warmth)
    return Daylight(
        weather=weather,
        sun_direction=direction,
        sun=(planckian(sun_kelvin) * (direct / math.pi)).astype(np.float32),
        sky=((0.6 * zenith + 0.4 * horizon) * (diffuse / math.pi)).astype(np.float32),
        zenith=zenith,
        horizon=horizon,
    )


def sky_radiance(light: Daylight, x: Array, y: Array) -> Array:
    """Sky (3, h, w) along the rays (x, y, 1), y >= 0, as the CIE general sky scaled to the diffuse illuminance.

    The sun's own disc is not part of it.
    """
    a, b, c, d, e = _SKY_TYPES[light.weather]

    def relative(up: npt.NDArray[Any], cosine: npt.NDArray[Any]) -> Array:
        gamma = np.arccos(np.clip(cosine, -1.0, 1.0))
        gradation = 1.0 + a * np.exp(b / np.maximum(up, 0.02))
        if c == 0.0:
            return np.asarray(gradation, dtype=np.float32)
        return np.asarray(gradation * (1.0 + c * (np.exp(d * gamma) - math.exp(d * math.pi / 2)) + e * cosine**2))

    theta, phi = np.meshgrid((np.arange(12) + 0.5) * (math.pi / 24), (np.arange(24) + 0.5) * (math.pi / 12))
    dome = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)]).astype(np.float32)
    values = relative(dome[1], np.tensordot(light.sun_direction, dome, axes=1).astype(np.float32))
    flux = float((values * np.cos(theta) * np.sin(theta)).sum()) * (math.pi / 24) * (math.pi / 12)
    mean = float(luminance(light.sky))
    even = (
        0.4 * mean
    )  # turbid air spreads a part of the light evenly: skies opposite the sun are brighter than the model's
    scale = (mean - even) * math.pi / flux

    norm = 1.0 / np.sqrt(x * x + y * y + 1.0)
    up = y * norm
    cosine = (light.sun_direction[0] * x + light.sun_direction[1] * y + light.sun_direction[2]) * norm
    level = relative(up, cosine) * scale + even
    low = schlick(0.0, np.maximum(up, 0.0))  # the same fifth power: air mass grows so towards the horizon
    if light.weather != "overcast":
        low = np.minimum(low + np.exp(-6.0 * (1.0 - cosine)) * 0.8, 1.0)  # the glow around the sun is white, not blue
    delta = (light.horizon - light.zenith)[:, None, None]
    return np.asarray((light.zenith[:, None, None] + delta * low) * level, dtype=np.float32)
