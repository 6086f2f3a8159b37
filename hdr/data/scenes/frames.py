"""What a bright place is seen through: leaves, the mouth of a cave, an arch or a doorway in a dark wall."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import Daylight
from hdr.data.scenes.solids import colour, pick
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]


def paint_frame(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """Cover all but an opening; what frames it gets only the light that comes in through the opening."""
    kind = str(rng.choice(["leaves", "cave", "arch", "door"], p=[0.35, 0.2, 0.2, 0.25]))
    if kind == "leaves":
        _leaves(canvas, rng, light)
    elif kind == "cave":
        _cave(canvas, rng, light)
    else:
        _gateway(canvas, rng, light, arched=kind == "arch")


def _plane(canvas: Canvas) -> tuple[Array, Array, float]:
    """Picture coordinates in shorter sides about the middle, and the size of a pixel."""
    unit = np.float32(canvas.focal)
    y = np.asarray((canvas.y - (canvas.y[0] + canvas.y[-1]) / 2) * unit, np.float32)
    return np.asarray(canvas.x * unit, np.float32), y, 1.0 / min(canvas.height, canvas.width)


def _cover(canvas: Canvas, alpha: Array, radiance: Array) -> None:
    canvas.paint(slice(0, canvas.height), slice(0, canvas.width), alpha, np.asarray(radiance, dtype=np.float32))


def _outline(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Distance outwards from an ellipse somewhere near the middle."""
    centre = rng.uniform(-0.12, 0.12, 2).astype(np.float32)
    stretch = rng.uniform(0.7, 1.3, 2).astype(np.float32)
    away = np.hypot((x - centre[0]) * stretch[0], (y - centre[1]) * stretch[1])
    return np.asarray(away - np.float32(rng.uniform(0.26, 0.46)), np.float32)


def _leaves(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """Branches all round, in two layers: near ones in the dark, and behind them some that the sun shines through."""
    x, y, pixel = _plane(canvas)
    away = _outline(rng, x, y)
    leaf = pick(rng, [(0.05, 0.085, 0.02), (0.035, 0.065, 0.02), (0.07, 0.09, 0.02)])
    bough = Texture(rng, float(rng.uniform(0.45, 0.8)), bands=2, roughness=0.5)(x, y, pixel)
    for layer, (shift, size) in enumerate(((-0.05, 0.07), (0.06, 0.12))):
        twig = Texture(rng, size, bands=3, roughness=0.8)(x, y, pixel)
        inside = away - np.float32(shift) + np.float32(0.10) * bough + np.float32(0.035) * twig
        gaps = twig + 3.0 * np.clip(inside * 4.0, 0.0, 1.0) + 0.4  # holes only near the edge
        alpha = np.clip(np.minimum(inside, gaps * np.float32(0.05)) * np.float32(0.7 / pixel) + 0.5, 0.0, 1.0)
        depth = np.exp(-6.0 * np.maximum(inside, 0.0))
        clump = np.exp(np.minimum(0.8 * twig - 0.3, 1.0))
        if layer == 0:  # lit from behind: leaves let a fifth of the sun through, yellow-green
            glow = colour(1.1, 1.05, 0.5) * leaf * light.sun + leaf * light.sky
            radiance = glow[:, None, None] * (clump * (0.06 + 0.94 * depth))
        else:
            shade = leaf * light.white * np.float32(rng.uniform(0.02, 0.08))
            radiance = shade[:, None, None] * (clump * (0.08 + 0.92 * depth))
        _cover(canvas, alpha, radiance)


def _cave(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """Rock: facets turned towards the opening are lit by it, others are dark."""
    x, y, pixel = _plane(canvas)
    away = _outline(rng, x, y)
    rock = Texture(rng, float(rng.uniform(0.4, 0.8)), bands=4, roughness=0.55)
    relief = rock(x, y, pixel)
    inside = away + np.float32(rng.uniform(0.05, 0.09)) * relief
    alpha = np.clip(inside * np.float32(1.0 / pixel) + 0.5, 0.0, 1.0)
    # Relief lit along the surface from the opening: the rise of the height towards the light.
    near = np.asarray(1.0 - 0.02 / np.maximum(np.hypot(x, y), 0.1), np.float32)
    slope = (relief - rock(np.asarray(x * near, np.float32), np.asarray(y * near, np.float32), pixel)) * np.float32(1.2)
    lit = np.clip(0.35 - slope, 0.03, 1.6) * np.exp(0.2 * relief)
    fall = np.exp(-np.maximum(inside, 0.0) * np.float32(rng.uniform(4.0, 9.0)))
    stone = pick(rng, [(0.2, 0.17, 0.14), (0.3, 0.25, 0.2), (0.22, 0.21, 0.2)])
    glow = stone * light.white * np.float32(rng.uniform(0.04, 0.15))
    _cover(canvas, alpha, glow[:, None, None] * (lit * (0.02 + 0.98 * fall)))


def _gateway(canvas: Canvas, rng: np.random.Generator, light: Daylight, arched: bool) -> None:
    """A thick wall with an opening, seen from the dark side: bright reveals, light on the floor, a dim wall."""
    x, y, pixel = _plane(canvas)
    half = float(rng.uniform(0.18, 0.34))
    cx, top = float(rng.uniform(-0.15, 0.15)), float(rng.uniform(0.12, 0.34))
    floor = float(rng.uniform(-0.42, -0.3))
    thick = float(rng.uniform(0.04, 0.10))
    side = 1.0 if cx < 0 else -1.0  # the reveal that the camera sees
    u = x - np.float32(cx)

    def beyond(grow: float) -> Array:
        """Distance outwards from the opening."""
        across = np.abs(u) - np.float32(half + grow)
        if arched:
            crown = np.hypot(u, np.maximum(y - np.float32(top - half), 0.0)) - np.float32(half + grow)
            across = np.where(y > top - half, crown, across)
            return np.asarray(across, np.float32)
        return np.asarray(np.maximum(across, y - np.float32(top + grow)), np.float32)

    def covers(distance: Array) -> Array:
        return np.asarray(np.clip(distance * np.float32(1.0 / pixel) + 0.5, 0.0, 1.0), np.float32)

    stone = pick(rng, [(0.35, 0.3, 0.24), (0.3, 0.16, 0.1), (0.4, 0.38, 0.35), (0.16, 0.1, 0.06)])
    plaster = Texture(rng, 0.6, bands=4, roughness=0.8)(x, y, pixel)
    out = beyond(0.0)
    dim = float(rng.uniform(0.006, 0.03))
    fall = np.exp(-3.0 * np.maximum(out, 0.0))
    tone = np.exp(0.22 * plaster) * (dim * (0.15 + 0.85 * fall))
    joints = np.float32(rng.uniform(0.05, 0.12))
    rows = pulses(y + 0 * x, float(joints), 0.006, pixel)
    shift = np.floor(y / joints) * np.float32(0.5)
    cols = pulses(x + shift * joints * 2, float(joints) * 2.2, 0.006, pixel)
    tone = tone * (1.0 - 0.45 * np.maximum(rows, cols))
    wall = (stone * light.white)[:, None, None] * tone
    ground = np.float32(floor) - y  # below the foot of the wall lies the floor, with the light that falls in
    wedge = np.clip((half + 0.9 * ground - np.abs(u - 0.4 * side * ground)) * np.float32(0.25 / pixel), 0.0, 1.0)
    pool = np.exp(-5.0 * np.maximum(ground, 0.0))
    flags = np.exp(0.25 * plaster) * (dim * 0.5 + wedge * pool * np.float32(rng.uniform(0.15, 0.4)))
    paving = (stone * 0.8 * light.white)[:, None, None] * flags
    wall = wall + (paving - wall) * covers(np.asarray(ground + 0 * x, np.float32))
    # The reveal, a strip inside the opening, is lit from outside; the wall is laid over its outer edge.
    inner = beyond(-thick)
    strip = covers(inner) * ramp(side * u, -half * 0.2, half * 0.5 + 0.01)
    if arched:
        strip = np.maximum(strip, covers(inner) * ramp(y, top - half, top))
    glancing = 0.08 + 0.3 * ramp(-inner, -thick, 0.0)
    _cover(canvas, strip, (stone * light.white)[:, None, None] * (glancing * np.exp(0.15 * plaster)))
    _cover(canvas, covers(np.maximum(out, ground)), wall)
