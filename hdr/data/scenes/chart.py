"""Still life on a table: a 24-patch colour chart, fruit, bottles and boxes under one lamp."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import luminance, planckian
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.solids import ball, corners, paint_box, pick, visible_faces
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]

# The 24 patches of the classic colour chart as their maker published them in 8-bit sRGB, row by row.
_PATCHES_SRGB = np.array(
    [
        (115, 82, 68),
        (194, 150, 130),
        (98, 122, 157),
        (87, 108, 67),
        (133, 128, 177),
        (103, 189, 170),
        (214, 126, 44),
        (80, 91, 166),
        (193, 90, 99),
        (94, 60, 108),
        (157, 188, 64),
        (224, 163, 46),
        (56, 61, 150),
        (70, 148, 73),
        (175, 54, 60),
        (231, 199, 31),
        (187, 86, 149),
        (8, 133, 161),
        (243, 243, 242),
        (200, 200, 200),
        (160, 160, 160),
        (122, 122, 121),
        (85, 85, 85),
        (52, 52, 52),
    ]
)
PATCHES: Array = np.where(
    _PATCHES_SRGB <= 10, _PATCHES_SRGB / (255 * 12.92), ((_PATCHES_SRGB / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)
"""Linear Rec. 709 reflectances (24, 3)."""


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One still life; the table top lies at height 0, lengths in metres."""
    canvas = Canvas(
        size,
        focal=float(rng.uniform(1.1, 1.8)),
        horizon=float(rng.uniform(0.1, 0.38)),
        eye=float(rng.uniform(0.25, 0.5)),
    )
    kelvin = float(rng.choice([2700.0, 3200.0, 4000.0, 5000.0, 5600.0, 6500.0]))
    tint = planckian(kelvin)
    level = float(np.exp(rng.uniform(np.log(20.0), np.log(1500.0))))
    lamp = np.array(
        [
            float(rng.choice([-1.0, 1.0])) * float(rng.uniform(0.3, 1.2)),
            float(rng.uniform(0.6, 1.4)),
            float(rng.uniform(0.0, 1.4)),
        ],
        np.float32,
    )
    middle = np.array([0.0, 0.05, 1.1], np.float32)
    power = np.asarray(tint * (level * float(((lamp - middle) ** 2).sum())), np.float32)
    fill = np.asarray(
        (0.7 * tint + 0.3 * planckian(6500.0)) * (level * float(np.exp(rng.uniform(np.log(0.012), np.log(0.25))))),
        np.float32,
    )
    light = _Light(lamp, power, fill)
    _room(canvas, rng, light)
    has_chart = rng.random() < 0.55
    things: list[tuple[float, int]] = []
    slots = rng.permutation(np.linspace(-0.32, 0.32, 5))
    for i in range(int(rng.integers(2, 6))):
        things.append((float(rng.uniform(0.8, 1.35)), i))
    if has_chart:
        _chart(canvas, rng, light)
    for z, i in sorted(things, reverse=True):
        x = float(slots[i % 5]) * z
        kind = str(rng.choice(["fruit", "bottle", "box", "vase"])) if i else str(rng.choice(["fruit", "bottle"]))
        if kind == "fruit":
            _fruit(canvas, rng, light, x, z)
        elif kind == "box":
            _box(canvas, rng, light, x, z)
        else:
            _turned(canvas, rng, light, x, z, kind == "bottle")
    bulb = ball(canvas, (float(lamp[0]), float(lamp[1]), max(float(lamp[2]), 0.4)), 0.05)
    if bulb is not None:
        canvas.paint(bulb[0], bulb[1], bulb[2], power * np.float32(1.0 / (math.pi * 0.05**2)))
    grey = light.on_spot(0.0, 0.05, 1.1, np.array([0.0, 0.7, -0.7], np.float32))
    return Rendering(
        linear=canvas.finish(vignette=float(rng.uniform(0.0, 0.6)), glare=float(rng.uniform(0.004, 0.015))),
        key_luminance=0.18 * float(luminance(grey)),
        white=np.asarray(grey / luminance(grey), np.float32),
    )


class _Light:
    """A lamp at a point and light from all round."""

    def __init__(self, at: Array, power: Array, fill: Array) -> None:
        self.at, self.power, self.fill = at, power, fill

    def on(self, x: Array, y: Array, z: Array, normal: Array | tuple[Array, Array, Array], soft: float = 0.0) -> Array:
        """Radiance (3, h, w) of white at the points; ``normal`` is one vector or three arrays."""
        dx, dy, dz = self.at[0] - x, self.at[1] - y, self.at[2] - z
        square = dx * dx + dy * dy + dz * dz
        cosine = (dx * normal[0] + dy * normal[1] + dz * normal[2]) / np.sqrt(square)
        share = np.maximum((cosine + soft) / (1.0 + soft), 0.0) / square
        up = 0.7 + 0.3 * normal[1]
        return np.asarray(self.power[:, None, None] * share + self.fill[:, None, None] * up, np.float32)

    def on_spot(self, x: float, y: float, z: float, normal: Array) -> Array:
        """The same (3,) for a single point."""
        at = [np.full((1, 1), v, np.float32) for v in (x, y, z)]
        return np.asarray(self.on(at[0], at[1], at[2], normal)[:, 0, 0], np.float32)


def _room(canvas: Canvas, rng: np.random.Generator, light: _Light) -> None:
    """The wall behind and the table with the lamp's pool of light."""
    wall_paint = pick(
        rng,
        [
            (0.5, 0.5, 0.5),
            (0.16, 0.16, 0.17),
            (0.62, 0.58, 0.5),
            (0.25, 0.3, 0.36),
            (0.35, 0.16, 0.13),
            (0.1, 0.14, 0.1),
        ],
    )
    wood = pick(rng, [(0.3, 0.18, 0.09), (0.5, 0.48, 0.45), (0.13, 0.08, 0.05), (0.6, 0.58, 0.55), (0.2, 0.2, 0.21)])
    depth = float(rng.uniform(1.6, 2.6))
    cloth, grain = Texture(rng, 0.6, bands=4, roughness=0.7), Texture(rng, 0.25, bands=4, roughness=0.9)
    wall = canvas.wall((-6.0, depth), (6.0, depth), -1.0, 5.0)
    if wall is not None:
        lit = light.on(wall.x, wall.height, wall.depth, wall.normal)
        tone = 1.0 + 0.05 * cloth(wall.along, wall.height, wall.footprint)
        canvas.paint(wall.region.rows, wall.region.cols, 1.0, wall_paint[:, None, None] * lit * tone)
    region = canvas.polygon([(-6.0, 0.0, 0.3), (6.0, 0.0, 0.3), (6.0, 0.0, depth), (-6.0, 0.0, depth)])
    if region is not None:
        rows, cols, x, z, foot = canvas.level(region, far=depth)
        lit = light.on(x, np.zeros((1, 1), np.float32), z, np.array([0.0, 1.0, 0.0], np.float32))
        tone = np.clip(1.0 + 0.18 * grain(x * 0.15, z, foot) - 0.3 * pulses(z + 0 * x, 0.18, 0.004, foot), 0.1, 2.0)
        canvas.paint(rows, cols, region.alpha, wood[:, None, None] * lit * tone)


def _shadow(canvas: Canvas, light: _Light, x: float, z: float, radius: float, tall: float) -> None:
    """Soft shadow and contact darkening on the table, away from the lamp."""
    away = np.array([x - light.at[0], z - light.at[2]], np.float64)
    distance = max(float(np.hypot(*away)), 1e-3)
    ux, uz = away / distance
    length = min(tall * distance / max(float(light.at[1]) - tall, 0.1), 0.8)
    total = float((light.power + light.fill).sum())
    for reach, spread, strength in ((length, 1.0, 0.93 * float(light.power.sum()) / total), (0.02, 1.1, 0.7)):
        a, b = radius * spread, radius * spread * 0.8
        outline = [
            (x - uz * a, 0.0, z + ux * a),
            (x + uz * a, 0.0, z - ux * a),
            (x + ux * reach + uz * b, 0.0, z + uz * reach - ux * b),
            (x + ux * reach - uz * b, 0.0, z + uz * reach + ux * b),
        ]
        region = canvas.polygon(outline, soft=7.0)
        if region is not None:
            canvas.linear[:, region.rows, region.cols] *= 1.0 - np.float32(strength) * region.alpha


def _chart(canvas: Canvas, rng: np.random.Generator, light: _Light) -> None:
    """The colour chart standing on the table, turned a little."""
    z, x, yaw = float(rng.uniform(1.1, 1.5)), float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.4, 0.4))
    width = float(rng.uniform(0.28, 0.55))
    pitch = width / 6.0
    c, s = math.cos(yaw) * width / 2, math.sin(yaw) * width / 2
    _shadow(canvas, light, x, z + 0.02, width / 2, pitch * 4)
    wall = canvas.wall((x - c, z - s), (x + c, z + s), 0.0, pitch * 4.0)
    if wall is None:
        return
    i = np.clip((wall.along / pitch).astype(np.int32), 0, 5)
    j = np.clip(3 - (wall.height / pitch).astype(np.int32), 0, 3)
    inside = pulses(wall.along, pitch, pitch * 0.86, wall.footprint) * pulses(
        wall.height, pitch, pitch * 0.86, wall.footprint
    )
    albedo = np.float32(0.03) + (PATCHES[j * 6 + i].transpose(2, 0, 1) - np.float32(0.03)) * inside
    lit = light.on(wall.x, wall.height, wall.depth, wall.normal)
    canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, np.asarray(albedo * lit, np.float32))


def _fruit(canvas: Canvas, rng: np.random.Generator, light: _Light, x: float, z: float) -> None:
    radius = float(rng.uniform(0.03, 0.09))
    skin = pick(
        rng,
        [
            (0.5, 0.06, 0.03),
            (0.6, 0.25, 0.02),
            (0.25, 0.35, 0.05),
            (0.6, 0.5, 0.06),
            (0.15, 0.03, 0.12),
            (0.6, 0.58, 0.55),
        ],
    )
    spots = Texture(rng, 1.0, bands=3, roughness=0.7)
    # The lamp's luminance is that of white at one metre over the square of its radius: 400 times. Skin mirrors 0.04 of
    # it; a duller skin spreads that over a wider spot.
    polish = float(rng.choice([30.0, 120.0, 400.0, 2000.0]))
    sheen = np.float32(0.04 * 400.0 * polish / 3000.0 * rng.uniform(0.6, 1.4))
    _shadow(canvas, light, x, z, radius * 0.9, radius * 1.6)
    shape = ball(canvas, (x, radius, z), radius)
    if shape is None:
        return
    rows, cols, alpha, nx, ny, nz = shape
    points = [np.asarray(v, np.float32) for v in (x + nx * radius, radius + ny * radius, z + nz * radius)]
    lit = light.on(points[0], points[1], points[2], (nx, ny, nz), soft=0.1)
    foot = z * canvas.pixel / radius
    tone = np.clip(1.0 + 0.1 * spots(nx * 1.2, ny * 1.2, foot), 0.3, 1.6) * (0.75 + 0.25 * ny)
    toward = np.asarray(light.at - np.array([x, radius, z], np.float32))
    toward /= np.linalg.norm(toward)
    half = toward + np.array([0.0, 0.0, -1.0], np.float32)
    half /= np.linalg.norm(half)
    gloss = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0.0, 1.0) ** polish
    radiance = skin[:, None, None] * lit * tone + light.power[:, None, None] * gloss * sheen
    canvas.paint(rows, cols, alpha, np.asarray(radiance, np.float32))


def _box(canvas: Canvas, rng: np.random.Generator, light: _Light, x: float, z: float) -> None:
    tint = pick(rng, [(0.5, 0.4, 0.3), (0.1, 0.2, 0.4), (0.55, 0.1, 0.08), (0.1, 0.3, 0.12), (0.7, 0.68, 0.62)], 0.08)
    ground = corners(
        (x, z), (float(rng.uniform(0.06, 0.16)), float(rng.uniform(0.05, 0.14))), float(rng.uniform(-0.7, 0.7))
    )
    tall = float(rng.uniform(0.04, 0.22))
    _shadow(canvas, light, x, z, 0.07, tall)
    shade = {"top": light.on_spot(x, tall, z, np.array([0.0, 1.0, 0.0], np.float32))}
    for i, a, b in visible_faces(ground):
        mx, mz = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
        normal = np.array([mx - x, 0.0, mz - z], np.float32)
        normal /= np.linalg.norm(normal)
        shade[str(i)] = light.on_spot(mx, tall / 2, mz, normal)
    paint_box(canvas, ground, 0.0, tall, tint, shade, Texture(rng, 0.1), 0.06)


def _turned(canvas: Canvas, rng: np.random.Generator, light: _Light, x: float, z: float, bottle: bool) -> None:
    """A bottle or a vase: an outline turned about its axis, shaded as a cylinder, with upright highlights."""
    tall, radius = float(rng.uniform(0.14, 0.3)), float(rng.uniform(0.03, 0.06))
    tint = pick(
        rng,
        [(0.03, 0.09, 0.04), (0.12, 0.05, 0.02), (0.35, 0.4, 0.42)]
        if bottle
        else [(0.6, 0.58, 0.52), (0.35, 0.15, 0.08), (0.08, 0.15, 0.3), (0.2, 0.3, 0.25)],
    )
    curve = rng.uniform(0.5, 1.0, 4).astype(np.float32)
    gloss = np.float32(
        np.exp(rng.uniform(np.log(0.8), np.log(12.0)) if bottle else rng.uniform(np.log(0.1), np.log(3.0)))
    )
    _shadow(canvas, light, x, z, radius, tall)
    found = canvas.around(x, 0.0, z, -1.2 * radius, 1.2 * radius, 0.0, tall)
    if found is None:
        return
    rows, cols, px, py, foot = found
    t = np.clip(py / np.float32(tall), 0.0, 1.0)
    if bottle:
        width = np.float32(radius) * (1.0 - 0.68 * ramp(t, 0.55, 0.72))
    else:
        width = np.float32(radius) * (
            curve[0]
            + (curve[1] - curve[0]) * ramp(t, 0.0, 0.4)
            + (curve[2] - curve[1]) * ramp(t, 0.4, 0.85)
            + 0.1 * ramp(t, 0.85, 1.0)
        )
    alpha = (
        np.clip((width - np.abs(px)) / foot + 0.5, 0.0, 1.0)
        * np.clip(py / foot + 0.5, 0.0, 1.0)
        * np.clip((np.float32(tall) - py) / foot + 0.5, 0.0, 1.0)
    )
    nx = np.clip(px / width, -1.0, 1.0)
    nz = -np.sqrt(np.maximum(1.0 - nx * nx, 0.0))
    lit = light.on(x + px, py, z + nz * width, (nx, np.zeros((1, 1), np.float32), nz), soft=0.05)
    toward = float(np.arctan2(light.at[0] - x, z - light.at[2])) / 2.0
    narrow = np.sqrt(0.06**2 + (0.5 * foot / width) ** 2)  # not finer than a pixel, with the same light in it
    streak = np.exp(-(((nx - np.float32(math.sin(toward))) / narrow) ** 2)) * (0.06 / narrow)
    streak = streak * ramp(t, 0.03, 0.1) * (1.0 - ramp(t, 0.9, 0.97))
    radiance = tint[:, None, None] * lit + light.power[:, None, None] * (streak * gloss)
    canvas.paint(rows, cols, alpha, np.asarray(radiance, np.float32))
