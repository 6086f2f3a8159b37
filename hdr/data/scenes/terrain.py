"""Ground of all kinds, water."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import SUN_DISC_LIMIT, Daylight, luminance, schlick, sky_radiance
from hdr.data.scenes.solids import colour, faded, pick
from hdr.data.scenes.texture import Texture, pulses

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


def paint_ground(
    canvas: Canvas, rng: np.random.Generator, light: Daylight, kind: str, shadow: Array, clear: float
) -> None:
    """The ground out to the horizon; ``shadow`` (rows of the ground, width) is the sun's visibility on it."""
    base = pick(rng, [_GROUND[kind]])
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
    # Blades stand upright: their pattern is longer across than along the way.
    small = fine(x, z * 0.6, foot * 0.6) if kind in ("grass", "meadow") else fine(x, z, foot)
    rough = {"grass": (0.28, 0.6), "meadow": (0.32, 0.55), "snow": (0.04, 0.03), "sand": (0.08, 0.10)}.get(
        kind, (0.14, 0.18)
    )
    tone = np.minimum(np.exp(rough[0] * big + rough[1] * small), 2.5)  # what is dark lies between blades and stones
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
    """Rippled water: the sky above mirrored with Schlick's reflectance, and the sun's glitter.

    Glitter: slopes are Gaussian with a variance of ``rough``, so that a share P of the facets mirrors the sun, and the
    mean luminance is F P E / (4 cos(view) cos(facet)^4) with the sun's illuminance E (Cox and Munk 1954); single facets
    flash where the ripples are steep.
    """
    ripple = Texture(rng, float(rng.uniform(0.8, 2.5)), bands=4, roughness=0.9)
    rough = float(np.exp(rng.uniform(np.log(0.004), np.log(0.03))))
    deep = pick(rng, [(0.01, 0.035, 0.045), (0.012, 0.03, 0.025), (0.02, 0.05, 0.055)])
    wave = ripple(x * 0.35, z, foot * 0.5)
    y = -canvas.y[rows]
    mirrored = np.clip(y + 0.05 + 0.05 * wave, 0.01, 2.0)
    sky = sky_radiance(light, canvas.x, mirrored)
    grazing = y / np.sqrt(1.0 + y * y)
    fresnel = np.minimum(schlick(0.02, grazing) * (1.0 + 0.12 * wave), 0.9)
    radiance = sky * fresnel + (deep * light.white)[:, None, None]
    if light.weather != "overcast":
        sun = light.sun_direction
        norm = 1.0 / np.sqrt(canvas.x * canvas.x + (y * y + 1.0))
        hx, hy, hz = sun[0] - canvas.x * norm, sun[1] + y * norm, sun[2] - norm
        slope = (hx * hx + hz * hz) / (hy * hy)
        share = np.exp(slope * np.float32(-1.0 / rough)) * np.float32(1.0 / (math.pi * rough))
        upright = hy / np.sqrt(hx * hx + hy * hy + hz * hz)
        facing = np.sqrt(np.maximum(0.5 + 0.5 * (canvas.x * sun[0] - y * sun[1] + sun[2]) * -norm, 0.0))
        mirror = schlick(0.02, facing)
        mean = mirror * share / (4.0 * np.maximum(y * norm, 0.02) * (upright * upright) ** 2) * np.float32(math.pi)
        flash = np.clip(wave - 0.6, 0.0, 2.0) ** 2 * np.float32(1.0 / 0.11)  # its mean is 1
        flash += np.clip(foot * 0.6 - 0.3, 0.0, 1.0) * (1.0 - flash)  # far away a pixel holds many facets
        amount = np.minimum(mean * flash * shadow, np.float32(0.2 * SUN_DISC_LIMIT / luminance(light.sun)))
        radiance += light.sun[:, None, None] * amount
    canvas.paint(rows, slice(0, canvas.width), 1.0, np.asarray(radiance, dtype=np.float32))
