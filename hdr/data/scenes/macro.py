"""Close-ups: flowers, berries and beads, metal, drops; blurred backgrounds and small highlights far above white."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import luminance, planckian, schlick
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.solids import ball, colour, pick
from hdr.data.scenes.texture import Texture, ramp

Array = npt.NDArray[np.float32]


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One close-up; the world's unit is the decimetre, the subject about one unit away."""
    canvas = Canvas(size, focal=1.0, horizon=0.0, eye=0.0)
    kelvin = float(rng.choice([2900.0, 4200.0, 5500.0, 6500.0]))
    tint = planckian(kelvin)
    level = float(np.exp(rng.uniform(np.log(60.0), np.log(20000.0))))
    key = np.asarray(tint * level, np.float32)
    fill = np.asarray(
        (0.6 * tint + 0.4 * planckian(8000.0)) * (level * float(np.exp(rng.uniform(np.log(0.05), np.log(0.4))))),
        np.float32,
    )
    angle, lift = float(rng.uniform(0.0, 2 * math.pi)), float(rng.uniform(0.3, 0.75))
    sun = np.array([math.cos(angle) * 0.8, lift, -abs(math.sin(angle)) * 0.8 - 0.15], np.float32)
    sun /= np.linalg.norm(sun)
    # A reflectance of 0.04 times the luminance of a lamp or of the sun over that of white under it (some 40 000).
    shine = np.asarray(key * float(np.exp(rng.uniform(np.log(40.0), np.log(1600.0)))), np.float32)
    _background(canvas, rng, key, fill)
    kind = str(rng.choice(["flower", "berries", "metal", "leaf"], p=[0.32, 0.28, 0.16, 0.24]))
    if kind == "flower":
        for _ in range(int(rng.integers(1, 4))):
            _flower(canvas, rng, key, fill, sun, shine)
    elif kind == "leaf":
        turn, half = _leaf(canvas, rng, key, fill)
        for _ in range(int(rng.integers(4, 20))):
            radius, along = float(rng.uniform(0.008, 0.04)), float(rng.uniform(-0.6, 0.6))
            across = float(rng.uniform(-0.8, 0.8)) * half * (1.0 - (along / 0.85) ** 2)
            c, s = math.cos(turn), math.sin(turn)
            at = (along * c - across * s, along * s + across * c, 1.0)
            _glossy(canvas, at, radius, None, key, fill, sun, shine, 0.2)
    else:
        tones = (
            [(0.5, 0.02, 0.03), (0.03, 0.03, 0.12), (0.55, 0.2, 0.02), (0.1, 0.25, 0.03), (0.7, 0.6, 0.1)]
            if kind == "berries"
            else [(0.7, 0.7, 0.68), (0.75, 0.55, 0.25), (0.5, 0.3, 0.2)]
        )
        base = pick(rng, tones)
        spheres = sorted(
            [
                (
                    float(rng.uniform(0.95, 1.6)),
                    float(rng.uniform(-0.5, 0.5)),
                    float(rng.uniform(-0.45, 0.3)),
                    float(rng.uniform(0.08, 0.24)),
                )
                for _ in range(int(rng.integers(4, 12)))
            ],
            reverse=True,
        )
        for z, x, y, radius in spheres:
            _darken_behind(canvas, (x * z, y * z, z), radius, sun)
            _glossy(
                canvas,
                (x * z, y * z, z),
                radius,
                base * np.float32(rng.uniform(0.75, 1.2)),
                key,
                fill,
                sun,
                shine,
                0.85 if kind == "metal" else 0.05,
            )
    white = np.asarray((key + fill) / luminance(key + fill), np.float32)
    return Rendering(
        linear=canvas.finish(vignette=float(rng.uniform(0.0, 0.6)), glare=float(rng.uniform(0.004, 0.02))),
        key_luminance=0.18 * float(luminance(key * 0.8 + fill)),
        white=white,
    )


def _background(canvas: Canvas, rng: np.random.Generator, key: Array, fill: Array) -> None:
    """Out of focus: soft patches of a few colours and blur discs, drawn small and enlarged."""
    side = 96
    scale = side / min(canvas.height, canvas.width)
    shape = (max(round(canvas.height * scale), 1), max(round(canvas.width * scale), 1))
    y: Array = ((shape[0] / 2 - 0.5 - np.arange(shape[0])) / side).astype(np.float32)[:, None]
    x: Array = ((np.arange(shape[1]) + 0.5 - shape[1] / 2) / side).astype(np.float32)[None, :]
    tones = [
        pick(
            rng,
            [
                (0.06, 0.1, 0.03),
                (0.12, 0.16, 0.05),
                (0.03, 0.04, 0.02),
                (0.25, 0.2, 0.14),
                (0.45, 0.42, 0.38),
                (0.06, 0.07, 0.1),
            ],
        )
        for _ in range(3)
    ]
    deep = float(np.exp(rng.uniform(np.log(0.04), np.log(0.8))))  # how much of the light reaches what lies behind
    light = ((key + fill) * np.float32(deep))[:, None, None]
    first, second = Texture(rng, 1.6, bands=2, roughness=0.25), Texture(rng, 0.9, bands=2, roughness=0.25)
    a, b = ramp(first(x, y, 0.02), -2.2, 2.2), ramp(second(x, y, 0.02), -1.8, 2.4)
    albedo = tones[0][:, None, None] + (tones[1] - tones[0])[:, None, None] * a
    albedo = albedo + (tones[2][:, None, None] - albedo) * b
    gloom = np.exp(Texture(rng, 1.2, bands=2, roughness=0.4)(x, y, 0.02) * np.float32(rng.uniform(0.2, 1.0)))
    picture = np.asarray(albedo * light * gloom, np.float32)
    radius = float(rng.uniform(0.03, 0.08))
    for _ in range(int(rng.integers(0, 14))):
        cx, cy = rng.uniform(-0.6, 0.6, 2)
        disc = np.clip((radius - np.hypot(x - np.float32(cx), y - np.float32(cy))) * side / 1.5 + 0.5, 0.0, 1.0)
        spot = (
            key
            * pick(rng, [(0.8, 0.8, 0.7), (0.5, 0.7, 0.2), (0.8, 0.6, 0.3)])
            * np.float32(np.exp(rng.uniform(np.log(0.15), np.log(12.0))))
        )
        picture += spot[:, None, None] * disc
    blurred = cv2.GaussianBlur(np.ascontiguousarray(picture.transpose(1, 2, 0)), (0, 0), 3.0)
    canvas.linear[:] = cv2.resize(blurred, (canvas.width, canvas.height), interpolation=cv2.INTER_LINEAR).transpose(
        2, 0, 1
    )


def _darken_behind(canvas: Canvas, at: tuple[float, float, float], radius: float, sun: Array) -> None:
    """The shade that a ball throws on those behind it: soft, and away from the light."""
    centre = (at[0] - 0.35 * radius * float(sun[0]), at[1] - 0.35 * radius * float(sun[1]), at[2])
    found = canvas.around(*centre, -1.5 * radius, 1.5 * radius, -1.5 * radius, 1.5 * radius)
    if found is not None:
        rows, cols, x, y, _ = found
        away = np.sqrt(x * x + y * y) * np.float32(1.0 / radius)
        canvas.linear[:, rows, cols] *= 1.0 - 0.8 * ramp(1.5 - away, 0.0, 0.8)


def _glossy(
    canvas: Canvas,
    at: tuple[float, float, float],
    radius: float,
    albedo: Array | None,
    key: Array,
    fill: Array,
    sun: Array,
    shine: Array,
    mirror: float,
) -> None:
    """A shiny ball with the image of the lamp on it; ``mirror`` is its reflectance head-on.

    Without ``albedo`` it is a clear drop.
    """
    shape = ball(canvas, at, radius)
    if shape is None:
        return
    rows, cols, alpha, nx, ny, nz = shape
    facing = nx * sun[0] + ny * sun[1] + nz * sun[2]
    fresnel = schlick(mirror, -nz)
    # What the surface mirrors: bright above, dark below, along the reflected ray.
    up = np.clip(0.35 - 2.0 * nz * ny * 0.6, 0.02, 1.2)
    sheen = (key * 0.25 + fill)[:, None, None] * (up * fresnel)
    if albedo is None:
        under = canvas.linear[:, rows, cols]
        body = under * (0.55 + 0.9 * np.clip(-(nx * sun[0] + ny * sun[1]), 0.0, 1.0) + 0.1 * ny)
    else:
        around = 0.6 + 0.4 * ny
        body = albedo[:, None, None] * (key[:, None, None] * np.maximum(facing, 0.0) + fill[:, None, None] * around)
        if mirror > 0.5:
            body = body * 0.15
            sheen = sheen * albedo[:, None, None] * 1.4
    half = sun + np.array([0.0, 0.0, -1.0], np.float32)
    half /= np.linalg.norm(half)
    spot = np.clip((nx * half[0] + ny * half[1] + nz * half[2] - np.float32(0.988)) * np.float32(1.0 / 0.006), 0.0, 1.0)
    radiance = body + sheen + shine[:, None, None] * (spot * spot * np.maximum(fresnel, 0.04))
    canvas.paint(rows, cols, alpha, np.asarray(radiance, np.float32))


def _flower(canvas: Canvas, rng: np.random.Generator, key: Array, fill: Array, sun: Array, shine: Array) -> None:
    """Petals round a centre on a stalk: the outline is a curve in polar coordinates, layer over layer."""
    cx, cy = rng.uniform(-0.25, 0.25, 2).astype(np.float32)
    reach = float(rng.uniform(0.14, 0.36))
    petal = pick(
        rng,
        [
            (0.75, 0.72, 0.7),
            (0.6, 0.05, 0.08),
            (0.7, 0.5, 0.05),
            (0.55, 0.2, 0.5),
            (0.75, 0.35, 0.45),
            (0.2, 0.15, 0.6),
        ],
    )
    heart = pick(rng, [(0.55, 0.35, 0.03), (0.1, 0.05, 0.02), (0.35, 0.4, 0.1)])
    count = int(rng.integers(5, 14))
    turn = float(rng.uniform(0.0, 2 * math.pi))
    veins = Texture(rng, 0.5, bands=3, roughness=0.8)
    stalk = canvas.polygon(
        [(cx - 0.012, cy, 1.01), (cx + 0.012, cy, 1.01), (cx + 0.03, -1.2, 1.01), (cx + 0.006, -1.2, 1.01)]
    )
    if stalk is not None:
        canvas.paint(stalk.rows, stalk.cols, stalk.alpha, colour(0.06, 0.11, 0.03) * (key * 0.5 + fill))
    found = canvas.around(float(cx), float(cy), 1.0, -reach, reach, -reach, reach)
    if found is None:
        return
    rows, cols, x, y, foot = found
    radius = np.hypot(x, y * np.float32(1.15)) * np.float32(1.0 / reach)
    angle = np.arctan2(y, x)
    grain = veins(angle * np.float32(0.8) + 0 * radius, radius * 0.15, foot)
    for layer, (size, shift) in enumerate(((1.0, 0.0), (0.72, math.pi / count), (0.5, 0.0))):
        wave = np.cos((angle + np.float32(turn + shift)) * np.float32(count))
        edge = np.float32(size) * (0.72 + 0.28 * np.sign(wave) * np.sqrt(np.abs(wave)))
        alpha = np.clip((edge - radius) * np.float32(reach / foot) + 0.5, 0.0, 1.0)
        cup = np.clip(radius / np.float32(size), 0.0, 1.0)
        facing = np.clip(
            0.55 + 0.45 * (np.cos(angle) * sun[0] + np.sin(angle) * sun[1]) * (1.0 - cup) + 0.25 * wave * cup, 0.05, 1.1
        )
        below = np.clip((edge - radius) * 6.0, 0.0, 1.0)  # each layer keeps light from the one under it
        canvas.linear[:, rows, cols] *= 1.0 - 0.6 * np.clip(alpha + below, 0.0, 1.0) * (radius < size * 1.02)
        furrow = 0.25 + 0.75 * np.sqrt(np.clip(0.5 + 0.9 * wave, 0.0, 1.0))
        shade = (0.22 + 0.78 * ramp(cup, 0.0, 0.7)) * np.exp(0.14 * grain) * (0.75 + 0.12 * layer) * furrow
        radiance = petal[:, None, None] * (key[:, None, None] * (facing * shade) + fill[:, None, None] * shade)
        canvas.paint(rows, cols, alpha, np.asarray(radiance, np.float32))
    disc = np.clip((np.float32(0.2) - radius) * np.float32(reach / foot) + 0.5, 0.0, 1.0)
    bumps = np.clip(0.7 + 0.5 * veins(x * 12.0, y * 12.0, foot * 12.0), 0.1, 1.6) * (1.1 - 2.0 * radius)
    canvas.paint(rows, cols, disc, np.asarray((heart * (key * 0.8 + fill))[:, None, None] * bumps, np.float32))
    for _ in range(int(rng.integers(0, 9))):  # dew
        turn, out = float(rng.uniform(0.0, 2 * math.pi)), float(rng.uniform(0.3, 0.85)) * reach
        at = (float(cx) + out * math.cos(turn), float(cy) + out * math.sin(turn) / 1.15, 1.0)
        _glossy(canvas, at, float(rng.uniform(0.006, 0.018)), None, key, fill, sun, shine, 0.2)


def _leaf(canvas: Canvas, rng: np.random.Generator, key: Array, fill: Array) -> tuple[float, float]:
    """A big leaf across the picture with a midrib and side veins, light partly coming through it.

    Returns its angle in radians and half its width.
    """
    turn = float(rng.uniform(-0.9, 0.9))
    c, s = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    green = pick(rng, [(0.05, 0.11, 0.02), (0.1, 0.16, 0.03), (0.25, 0.14, 0.03), (0.04, 0.08, 0.04)])
    cells = Texture(rng, 0.12, bands=3, roughness=0.7)
    x, y = canvas.x * c + canvas.y * s, canvas.y * c - canvas.x * s
    wide = float(rng.uniform(0.2, 0.42))
    half = np.float32(wide) * np.clip(1.0 - (x / np.float32(0.85)) ** 2, 0.0, 1.0)
    alpha = np.clip((half - np.abs(y)) / np.float32(canvas.pixel) + 0.5, 0.0, 1.0)
    rib = np.exp(-((y / np.float32(0.012)) ** 2))
    side = np.abs(np.mod(x - np.abs(y) * 0.8, np.float32(0.11)) - np.float32(0.055))
    vein = np.exp(-((side / np.float32(0.006)) ** 2)) * 0.6
    tone = np.clip(np.exp(0.2 * cells(x, y, canvas.pixel)) + 0.9 * np.maximum(rib, vein), 0.2, 2.5)
    bend = np.clip(0.75 + 0.9 * y * np.float32(rng.uniform(-1.0, 1.0)) + 6.0 * side * 0.5, 0.15, 1.2)
    radiance = green[:, None, None] * (key[:, None, None] * (tone * bend) + fill[:, None, None] * tone)
    canvas.paint(slice(0, canvas.height), slice(0, canvas.width), alpha, np.asarray(radiance, np.float32))
    return turn, wide
