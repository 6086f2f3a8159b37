"""Rooms by day: a window much brighter than the room, daylight on walls and floor, furniture, lamps."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.furniture import paint_furniture
from hdr.data.scenes.light import Daylight, daylight, luminance, planckian
from hdr.data.scenes.nature import paint_ridge
from hdr.data.scenes.room import Lamp, Room, paint_floor_and_ceiling, paint_walls
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.sky import paint_sky
from hdr.data.scenes.solids import pick
from hdr.data.scenes.terrain import paint_ground
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One room with a window, seen from inside."""
    canvas = Canvas(
        size,
        focal=float(rng.uniform(0.65, 1.1)),
        horizon=float(rng.uniform(-0.08, 0.12)),
        eye=float(rng.uniform(1.2, 1.65)),
    )
    weather = str(rng.choice(["clear", "hazy", "broken", "overcast"]))
    outside = daylight(weather, float(rng.uniform(8.0, 60.0)), float(rng.uniform(60.0, 300.0)))
    width, depth, tall = float(rng.uniform(3.2, 7.0)), float(rng.uniform(3.8, 8.0)), float(rng.uniform(2.4, 3.2))
    left = -width * float(rng.uniform(0.35, 0.65))
    on_left = bool(rng.random() < 0.4)
    span = depth if on_left else width
    opening = float(rng.uniform(0.9, 0.6 * span))
    start = (
        float(rng.uniform(0.15 * span, 0.85 * span - opening))
        if not on_left
        else float(rng.uniform(1.2, max(span - opening - 0.2, 1.3)))
    )
    sill = 0.02 if rng.random() < 0.25 else float(rng.uniform(0.7, 1.0))
    window = (start, min(start + opening, span - 0.1), sill, float(rng.uniform(1.95, tall - 0.2)))
    curtain = float(rng.uniform(0.35, 1.0))  # nets and dirt take some of the light
    glow = (outside.sky * 0.5 + outside.white * 0.12) * curtain
    lamps = []
    if rng.random() < (0.75 if on_left else 0.4):  # where no window is in sight, somebody has put a lamp on
        warm = planckian(float(rng.uniform(2500.0, 3500.0)))
        at = (
            left + width * float(rng.uniform(0.2, 0.8)),
            tall - 0.6 if rng.random() < 0.5 else 1.35,
            depth * float(rng.uniform(0.5, 0.85)),
        )
        lamps.append(Lamp(at=at, power=np.asarray(warm * float(rng.uniform(8.0, 60.0)), np.float32)))
    wall_paint = pick(
        rng,
        [
            (0.72, 0.7, 0.65),
            (0.6, 0.5, 0.35),
            (0.45, 0.52, 0.55),
            (0.78, 0.77, 0.75),
            (0.4, 0.45, 0.35),
            (0.5, 0.3, 0.24),
        ],
    )
    area = (window[1] - window[0]) * (window[3] - window[2])
    surface = 2 * (width * depth + (width + depth) * tall)
    bounce = glow * wall_paint * np.float32(area / surface * 1.3)
    for lamp in lamps:
        bounce = bounce + lamp.power * np.float32(4.0 * math.pi / surface * 0.5)
    room = Room(
        left=left,
        right=left + width,
        depth=depth,
        ceiling=tall,
        window=window,
        on_left=on_left,
        glow=np.asarray(glow, np.float32),
        bounce=np.asarray(bounce, np.float32),
        lamps=lamps,
    )

    _outside(canvas, rng, outside)
    paint_walls(canvas, rng, room, wall_paint)
    paint_floor_and_ceiling(canvas, rng, room, outside)
    paint_furniture(canvas, rng, room)
    reference = room.light_at((room.left + room.right) / 2, 1.0, depth * 0.6, np.array([0.0, 0.7, -0.7], np.float32))
    white = room.bounce + reference
    key = 0.18 * float(luminance(reference)) * 1.5
    return Rendering(
        linear=canvas.finish(
            vignette=float(rng.uniform(0.1, 0.9)), glare=float(np.exp(rng.uniform(np.log(0.003), np.log(0.025))))
        ),
        key_luminance=key,
        white=np.asarray(white / luminance(white), np.float32),
    )


def _outside(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """What the window shows."""
    floor = float(rng.uniform(0.0, 9.0))
    canvas.eye += floor
    paint_sky(canvas, rng, light)
    paint_ridge(
        canvas, light, Texture(rng, 400.0), pick(rng, [(0.08, 0.1, 0.05), (0.2, 0.18, 0.15)]), 600.0, 20.0, 12.0, 3000.0
    )
    rows = canvas.level(None)[0]
    paint_ground(
        canvas,
        rng,
        light,
        str(rng.choice(["grass", "paving", "asphalt"])),
        np.ones((max(rows.stop - rows.start, 0), canvas.width), np.float32),
        3000.0,
    )
    depth = float(rng.uniform(12.0, 60.0))
    paint_ridge(
        canvas,
        light,
        Texture(rng, 8.0, roughness=0.8),
        pick(rng, [(0.06, 0.1, 0.03), (0.3, 0.27, 0.24)]),
        depth,
        float(rng.uniform(1.0, 8.0)),
        1.2,
        3000.0,
        Texture(rng, 1.5),
    )
    canvas.eye -= floor
