"""The sky of a day: its light, clouds with bright rims, the sun's disc."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import SUN_DISC, SUN_DISC_LIMIT, SUN_RADIUS, Daylight, luminance, sky_radiance
from hdr.data.scenes.texture import Texture, ramp

Array = npt.NDArray[np.float32]


def paint_sky(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """Sky, clouds and the sun's disc above the horizon."""
    overcast = light.weather == "overcast"
    wavelength = float(rng.uniform(2.5, 5.0) if overcast else rng.uniform(1.2, 3.0))
    texture = Texture(rng, wavelength, bands=4, roughness=0.45 if overcast else 0.6)
    cover = {
        "clear": rng.uniform(1.0, 2.4),
        "hazy": rng.uniform(0.5, 1.8),
        "broken": rng.uniform(-0.4, 0.5),
        "overcast": -1.0,
    }[light.weather]
    shift = rng.uniform(-50.0, 50.0, 2).astype(np.float32)
    rows = slice(0, int(np.count_nonzero(canvas.y[:, 0] > -canvas.pixel)))
    if rows.stop == 0:
        return
    y = np.maximum(canvas.y[rows], canvas.pixel * 0.5)
    sky = sky_radiance(light, canvas.x, y)
    lift = np.float32(1.0) / (y + np.float32(0.06))  # where the ray meets a layer of clouds, in heights of that layer
    place = (canvas.x * lift + shift[0], lift + shift[1], np.float32(canvas.pixel) * lift * lift)
    cloud = texture(*place)
    near = np.clip(y * 9.0, 0.0, 1.0)
    veil = np.zeros((1, 1), dtype=np.float32)
    if overcast:
        sky *= np.exp2(cloud * (np.float32(0.28) * near))
    else:
        veil = np.asarray(ramp(cloud, float(cover), float(cover) + 0.9) * (0.25 + 0.75 * near), np.float32)
        sky += (_clouds(canvas, light, texture, wavelength, place, cloud, veil, y) - sky) * veil
    canvas.paint(rows, slice(0, canvas.width), 1.0, sky)
    _sun(canvas, light, veil)


def _clouds(
    canvas: Canvas,
    light: Daylight,
    texture: Texture,
    wavelength: float,
    place: tuple[Array, Array, Array],
    cloud: Array,
    veil: Array,
    y: Array,
) -> Array:
    """Radiance (3, h, w) of the clouds: sides towards the sun are lit, thick parts have grey bases, and thin rims
    before the sun shine through (scattering goes mostly forwards)."""
    sun = light.sun_direction
    step = np.float32(0.06 * wavelength / max(float(np.hypot(sun[0], sun[2])), 0.2))
    behind = texture(place[0] + sun[0] * step, place[1] + sun[2] * step, place[2])
    side = np.clip(0.5 + 0.7 * (cloud - behind), 0.0, 1.0)
    toward = (canvas.x * sun[0] + (y * sun[1] + sun[2])) / np.sqrt(canvas.x * canvas.x + (y * y + 1.0))
    forward = np.clip(toward, 0.0, 1.0)
    for _ in range(3):  # its eighth power
        forward *= forward
    bright = 0.16 + 0.42 * side + forward * (1.6 * (1.0 - veil) + 0.2)
    thick = 1.0 - np.clip(0.55 * veil * veil * (1.0 - 0.4 * side), 0.0, 0.6)
    return np.asarray(light.sky[:, None, None] * (0.35 + 0.4 * thick) + light.sun[:, None, None] * (bright * thick))


def _sun(canvas: Canvas, light: Daylight, veil: Array) -> None:
    """The disc, where the clouds (``veil`` over the rows of the sky) leave it free."""
    if light.weather == "overcast" or light.sun_direction[2] <= 0.05:
        return
    centre = light.sun_direction[:2] / light.sun_direction[2]
    true = SUN_RADIUS * math.hypot(1.0, float(np.hypot(*centre)))
    radius = max(true, 0.5 * canvas.pixel)
    found = canvas.window(
        centre[0] - 2 * radius, centre[0] + 2 * radius, centre[1] - 2 * radius, centre[1] + 2 * radius
    )
    if found is None:
        return
    away = np.hypot(canvas.x[:, found[1]] - centre[0], canvas.y[found[0]] - centre[1])
    alpha = np.clip((radius - away) / canvas.pixel + 0.5, 0.0, 1.0)
    rows = np.minimum(np.arange(found[0].start, found[0].stop), veil.shape[0] - 1)
    free = 1.0 - 0.999 * (veil[rows][:, found[1]] if veil.shape[1] > 1 else veil)
    power = float(luminance(light.sun))
    strength = min(SUN_DISC * power / 4.0e4 * min((true / radius) ** 2, 1.0), SUN_DISC_LIMIT)
    canvas.add(*found, np.asarray(alpha * free, np.float32), np.asarray(light.sun * (strength / power), np.float32))
