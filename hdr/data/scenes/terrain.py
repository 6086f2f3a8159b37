"""Sky with clouds and sun, ground of all kinds, water."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import SUN_DISC_LIMIT, Daylight, luminance, sky_radiance
from hdr.data.scenes.solids import colour, faded, pick
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]

_GROUND = {
    "grass": (0.055, 0.085, 0.022),
    "meadow": (0.11, 0.115, 0.04),
    "asphalt": (0.10, 0.10, 0.10),
    "paving": (0.30, 0.28, 0.25),
    "sand": (0.44, 0.36, 0.25),
    "snow": (0.78, 0.81, 0.85),
    "earth": (0.17, 0.12, 0.08),
    "water": (0.02, 0.03, 0.03),
}


def paint_sky(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """Sky, clouds and the sun's disc above the horizon."""
    texture = Texture(rng, float(rng.uniform(1.2, 3.0)), bands=4, roughness=0.62)
    cover = {
        "clear": rng.uniform(1.2, 2.6),
        "hazy": rng.uniform(0.5, 1.8),
        "broken": rng.uniform(-0.4, 0.5),
        "overcast": -1.0,
    }[light.weather]
    shift = rng.uniform(-50.0, 50.0, 2).astype(np.float32)
    rows = slice(0, int(np.count_nonzero(canvas.y[:, 0] > -canvas.pixel)))
    if rows.stop == 0:
        return
    cols = slice(0, canvas.width)
    y = np.maximum(canvas.y[rows], canvas.pixel * 0.5)
    sky = sky_radiance(light, canvas.x, y)
    lift = np.float32(1.0) / (y + np.float32(0.06))
    cloud = texture(canvas.x * lift + shift[0], lift + shift[1], np.float32(canvas.pixel) * lift * lift)
    distance = np.clip(y * 9.0, 0.0, 1.0)
    if light.weather == "overcast":
        sky *= 1.0 + 0.16 * cloud * distance
    else:
        density = ramp(cloud, float(cover), float(cover) + 1.1) * (0.25 + 0.75 * distance)
        toward = canvas.x * light.sun_direction[0] + y * light.sun_direction[1] + light.sun_direction[2]
        bright = 0.62 + 0.30 * np.clip(toward, 0.0, 1.0) ** 4
        thick = 1.1 - 0.4 * density**2 + 0.10 * cloud
        white = (light.sky[:, None, None] * 0.75 + light.sun[:, None, None] * bright) * thick
        sky += (white - sky) * density
    canvas.paint(rows, cols, 1.0, np.asarray(sky, dtype=np.float32))
    if light.weather == "overcast" or light.sun_direction[2] <= 0.05:
        return
    centre = light.sun_direction[:2] / light.sun_direction[2]
    radius = max(0.0047 * math.hypot(1.0, float(np.hypot(*centre))), 0.5 * canvas.pixel)
    found = canvas.window(
        centre[0] - 2 * radius, centre[0] + 2 * radius, centre[1] - 2 * radius, centre[1] + 2 * radius
    )
    if found is None:
        return
    away = np.hypot(canvas.x[:, found[1]] - centre[0], canvas.y[found[0]] - centre[1])
    alpha = np.clip((radius - away) / canvas.pixel + 0.5, 0.0, 1.0) * min((0.0047 / canvas.pixel) ** 2 * 4.0, 1.0)
    tint = light.sun / max(float(luminance(light.sun)), 1e-6)
    strength = SUN_DISC_LIMIT * min(float(luminance(light.sun)) / 2.0e4, 1.0)
    canvas.paint(*found, alpha, np.asarray(tint * strength, dtype=np.float32))


def paint_ground(
    canvas: Canvas, rng: np.random.Generator, light: Daylight, kind: str, shadow: Array, clear: float
) -> None:
    """The ground out to the horizon; ``shadow`` (rows of the ground, width) is the sun's visibility on it."""
    base = pick(rng, [_GROUND[kind]], 0.08)
    coarse = Texture(rng, float(rng.uniform(6.0, 14.0)), bands=3, roughness=0.9)
    fine = Texture(rng, 0.35, bands=3, roughness=1.0)
    turn, joint = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(0.4, 1.2))
    road = (float(rng.uniform(-3.0, 3.0)), float(rng.uniform(2.2, 4.0))) if rng.random() < 0.45 else None
    rows, cols, x, z, foot = canvas.level(None)
    if rows.stop <= rows.start:
        return
    if kind == "water":
        _paint_water(canvas, rng, light, rows, x, z, foot, shadow)
        return
    big = coarse(x, z, foot)
    small = fine(x, z, foot)
    rough = {"grass": (0.22, 0.30), "meadow": (0.3, 0.3), "snow": (0.035, 0.02), "sand": (0.06, 0.06)}.get(
        kind, (0.1, 0.12)
    )
    tone = np.clip(1.0 + rough[0] * big + rough[1] * small, 0.15, 2.2)
    albedo = base[:, None, None] * tone
    if kind in ("grass", "meadow"):
        dry = np.clip(0.35 * big - 0.1, 0.0, 0.6)
        albedo += (colour(0.17, 0.15, 0.06)[:, None, None] * tone - albedo) * dry
    if kind == "paving":
        c, s = math.cos(turn), math.sin(turn)
        lines = np.maximum(pulses(x * c - z * s, joint, 0.03, foot), pulses(x * s + z * c, joint, 0.03, foot))
        albedo *= 1.0 - 0.45 * lines
    if road is not None and kind in ("grass", "meadow", "earth", "snow"):
        across = x - (road[0] + turn * z)
        edge = np.clip((road[1] - np.abs(across) + 0.15 * big) / (foot + 0.1) + 0.5, 0.0, 1.0)
        lane = colour(0.11, 0.11, 0.11) if kind != "earth" else colour(0.26, 0.2, 0.15)
        albedo += (lane[:, None, None] * (1.0 + 0.08 * small) - albedo) * edge
        stripe = pulses(z + 0 * x, 6.0, 3.0, foot) * np.clip((0.08 - np.abs(across)) / foot + 0.5, 0.0, 1.0)
        if kind != "earth":
            albedo += (0.55 - albedo) * (stripe * np.clip(1.5 - foot, 0.0, 1.0))
    elif kind == "asphalt":
        stripe = np.clip((0.07 - np.abs(x - road[0] if road else x + 2.0)) / foot + 0.5, 0.0, 1.0)
        albedo += (0.5 - albedo) * (stripe * pulses(z + 0 * x, 6.0, 3.0, foot) * np.clip(1.5 - foot, 0.0, 1.0))
    direct = light.sun * max(float(light.sun_direction[1]), 0.0)
    radiance = albedo * (light.sky[:, None, None] + direct[:, None, None] * shadow)
    canvas.paint(rows, cols, 1.0, faded(light, radiance, z, clear))


def _paint_water(
    canvas: Canvas,
    rng: np.random.Generator,
    light: Daylight,
    rows: slice,
    x: Array,
    z: Array,
    foot: Array,
    shadow: Array,
) -> None:
    """Rippled water: the sky above mirrored with Schlick's reflectance, and a broken glitter path under the sun."""
    ripple = Texture(rng, float(rng.uniform(0.8, 2.5)), bands=3, roughness=0.9)
    wave = ripple(x * 0.35, z, foot * 0.5)
    y = -canvas.y[rows]
    mirrored = np.clip(y + 0.05 + 0.05 * wave, 0.01, 2.0)
    sky = sky_radiance(light, np.broadcast_to(canvas.x, mirrored.shape), mirrored)
    grazing = y / np.sqrt(1.0 + y * y)
    fresnel = np.clip(0.02 + 0.98 * (1.0 - grazing) ** 5 * (1.0 + 0.12 * wave), 0.0, 0.9)
    depth = colour(0.01, 0.035, 0.045) * light.white
    radiance = sky * fresnel + depth[:, None, None]
    if light.sun_direction[2] > 0.3:
        centre = float(light.sun_direction[0] / light.sun_direction[2])
        spread = 0.05 + 0.25 * y
        path = np.exp(-(((canvas.x - centre) / spread) ** 2)) * np.clip(wave - 1.0, 0.0, 1.5) ** 2
        radiance += light.sun[:, None, None] * (path * (0.8 * shadow))
    canvas.paint(rows, slice(0, canvas.width), 1.0, np.asarray(radiance, dtype=np.float32))
