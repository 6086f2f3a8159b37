"""Passers-by, built of tapered capsules."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
from hdr.data.scenes.solids import pick
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]

SKIN = [(0.55, 0.36, 0.27), (0.45, 0.27, 0.18), (0.28, 0.15, 0.09), (0.12, 0.065, 0.04), (0.62, 0.44, 0.36)]
CLOTH = [
    (0.04, 0.045, 0.06),
    (0.10, 0.12, 0.2),
    (0.5, 0.5, 0.48),
    (0.3, 0.05, 0.04),
    (0.08, 0.12, 0.07),
    (0.35, 0.28, 0.2),
    (0.03, 0.03, 0.03),
    (0.65, 0.6, 0.5),
    (0.08, 0.18, 0.3),
]
HAIR = [(0.015, 0.012, 0.01), (0.05, 0.03, 0.018), (0.14, 0.085, 0.045), (0.3, 0.22, 0.12), (0.3, 0.29, 0.28)]


@dataclasses.dataclass(frozen=True)
class Part:
    """A tapered capsule in local metres: from ``a`` to ``b`` with radii at both ends, and its reflectance (3,)."""

    a: Point
    b: Point
    ra: float
    rb: float
    albedo: Array
    weave: float = 0.0
    """Contrast of the cloth."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """Parts, back to front, and the weave of the cloth."""

    parts: list[Part]
    extent: tuple[float, float, float, float]
    cloth: Texture


def passer_by(rng: np.random.Generator) -> Figure:
    """A standing or walking person, 1.5 to 1.9 m, feet at the origin."""
    tall = float(rng.uniform(1.5, 1.9))
    k = tall / 1.75
    skin, top, legs, hair = pick(rng, SKIN), pick(rng, CLOTH), pick(rng, CLOTH), pick(rng, HAIR)
    step = float(rng.uniform(0.0, 0.22))
    swing = float(rng.uniform(-0.08, 0.08))
    plan = [
        ((-0.05 - step, 0.05), (-0.08, 0.86), 0.06, 0.095, legs),
        ((0.05 + step, 0.05), (0.08, 0.86), 0.06, 0.095, legs),
        ((-0.23 + swing, 0.8), (-0.18, 1.36), 0.045, 0.06, top),
        ((0.23 + swing, 0.8), (0.18, 1.36), 0.045, 0.06, top),
        ((0.0, 0.92), (0.0, 1.32), 0.15, 0.18, top),
        ((0.0, 1.42), (0.0, 1.54), 0.055, 0.055, skin),
        ((0.0, 1.6), (0.0, 1.67), 0.08, 0.095, skin),
        ((0.0, 1.70), (0.0, 1.70), 0.1, 0.1, hair),
    ]
    parts = [
        Part((a[0] * k, a[1] * k), (b[0] * k, b[1] * k), ra * k, rb * k, c, 0.1 if c is top or c is legs else 0.02)
        for a, b, ra, rb, c in plan
    ]
    return Figure(parts, (-0.5, 0.5, -0.02, tall + 0.1), Texture(rng, 0.3))


def paint_figure(
    canvas: Canvas,
    figure: Figure,
    at: tuple[float, float, float],
    ambient: Array,
    key: Array,
    direction: Array,
    soft: float = 0.25,
) -> None:
    """Paint a figure whose origin is at the world point ``at``.

    ``ambient`` is the radiance (3,) of white from all round, ``key`` that of white facing the unit vector
    ``direction``; ``soft`` wraps the key light round edges, so that light from behind leaves a rim.
    """
    found = canvas.around(at[0], at[1], at[2], *figure.extent)
    if found is None:
        return
    rows, cols, x, y, foot = found
    weave = figure.cloth(x, y, foot)
    for part in figure.parts:
        (ax, ay), (bx, by) = part.a, part.b
        reach = max(part.ra, part.rb) + foot
        c0, c1 = np.searchsorted(x[0], [min(ax, bx) - reach, max(ax, bx) + reach])
        r0, r1 = np.searchsorted(-y[:, 0], [-max(ay, by) - reach, -min(ay, by) + reach])
        if c1 <= c0 or r1 <= r0:
            continue
        px, py = x[:, c0:c1] - np.float32(ax), y[r0:r1] - np.float32(ay)
        dx, dy = bx - ax, by - ay
        t = np.clip(
            (px * np.float32(dx) + py * np.float32(dy)) * np.float32(1.0 / max(dx * dx + dy * dy, 1e-9)), 0.0, 1.0
        )
        ox, oy = px - t * np.float32(dx), py - t * np.float32(dy)
        radius = np.float32(part.ra) + t * np.float32(part.rb - part.ra)
        distance = np.sqrt(ox * ox + oy * oy)
        alpha = np.clip((radius - distance) / np.float32(foot) + 0.5, 0.0, 1.0)
        nx, ny = ox / radius, oy / radius
        nz = -np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.0))
        facing = nx * direction[0] + ny * direction[1] + nz * direction[2]
        lit = np.clip((facing + np.float32(soft)) * np.float32(1.0 / (1.0 + soft)), 0.0, 1.0)
        around = (0.72 + 0.28 * ny) * (0.75 - 0.25 * nz)
        radiance = ambient[:, None, None] * around + key[:, None, None] * lit
        radiance = radiance * part.albedo[:, None, None] * (1.0 + np.float32(part.weave) * weave[r0:r1, c0:c1])
        canvas.paint(
            slice(rows.start + int(r0), rows.start + int(r1)),
            slice(cols.start + int(c0), cols.start + int(c1)),
            alpha,
            np.asarray(radiance, dtype=np.float32),
        )
