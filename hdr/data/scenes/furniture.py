"""What stands in a room: tables, sofas, cupboards, bookcases, lamps, somebody."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
from hdr.data.scenes.people import paint_figure, passer_by
from hdr.data.scenes.room import Lamp, Room
from hdr.data.scenes.solids import ball, corners, paint_box, pick, spark, visible_faces
from hdr.data.scenes.texture import Texture, pulses

Array = npt.NDArray[np.float32]

_TINTS = [
    (0.25, 0.14, 0.07),
    (0.5, 0.48, 0.45),
    (0.1, 0.11, 0.14),
    (0.35, 0.12, 0.1),
    (0.16, 0.22, 0.18),
    (0.6, 0.5, 0.35),
    (0.04, 0.035, 0.03),
]


def paint_furniture(canvas: Canvas, rng: np.random.Generator, room: Room) -> None:
    """Pieces along the walls, far ones first, sometimes somebody standing there, and the lamps."""
    grain = Texture(rng, 0.8, bands=3)
    width = room.right - room.left
    items: list[tuple[float, str, Point, Point, float, Array, int]] = []
    for _ in range(int(rng.integers(3, 7))):
        kind = str(rng.choice(["chest", "table", "sofa", "bookcase", "cupboard"], p=[0.2, 0.25, 0.25, 0.18, 0.12]))
        tall = {"chest": 0.45, "table": 0.75, "sofa": 0.85, "bookcase": 1.9, "cupboard": 1.8}[kind]
        span, deep = float(rng.uniform(0.5, 1.8)), float(rng.uniform(0.4, 0.9))
        if tall > 1.0:
            span, deep = min(span, 1.2), min(deep, 0.5)
        z = float(rng.uniform(1.9, room.depth - deep / 2 - 0.05))
        side = float(rng.uniform(0.0, 1.0))
        x = room.left + width * float(rng.uniform(0.3, 0.7))
        if tall > 1.0 or side < 0.35 or side > 0.65:  # tall pieces stand against a wall
            x = room.left + span / 2 + 0.05 if side < 0.5 else room.right - span / 2 - 0.05
        tint = pick(rng, _TINTS, 0.06)
        items.append((z - deep / 2, kind, (x, z), (span, deep), tall, tint, int(rng.integers(1 << 30))))
    for _, kind, centre, extent, tall, tint, seed in sorted(items, key=lambda item: -item[0]):
        ground = corners(centre, extent, 0.0)
        _contact(canvas, centre, extent)
        shade = room.light_on_box(ground, tall)
        if kind == "table":
            _table(canvas, centre, extent, tint, shade, grain)
        elif kind == "sofa":
            _sofa(canvas, centre, extent, tint, shade, grain)
        else:
            paint_box(canvas, ground, 0.0, tall, tint, shade, grain)
            if kind == "bookcase":
                _books(canvas, ground, tall, shade, seed)
    if rng.random() < 0.3:
        x, z = room.left + width * float(rng.uniform(0.3, 0.7)), room.depth * float(rng.uniform(0.45, 0.8))
        (wx, wy, wz), _ = room.opening
        toward = np.array([wx - x, wy - 1.0, wz - z], np.float32)
        toward /= np.linalg.norm(toward)
        key = room.light_at(x, 1.0, z, toward) - room.bounce
        _contact(canvas, (x, z), (0.4, 0.3))
        paint_figure(canvas, passer_by(rng), (x, 0.0, z), room.bounce, np.asarray(key, np.float32), toward)
    for lamp in room.lamps:
        _lamp(canvas, room, lamp)


def _contact(canvas: Canvas, centre: Point, extent: Point) -> None:
    """The floor is darker about and below a thing."""
    for grow, soft, strength in ((0.35, 10.0, 0.45), (0.02, 3.0, 0.85)):
        around = corners(centre, (extent[0] + grow, extent[1] + grow), 0.0)
        under = canvas.polygon([(x, 0.01, z) for x, z in around], soft=soft)
        if under is not None:
            canvas.linear[:, under.rows, under.cols] *= 1.0 - np.float32(strength) * under.alpha


def _table(canvas: Canvas, centre: Point, extent: Point, tint: Array, shade: dict[str, Array], grain: Texture) -> None:
    legs = corners(centre, (extent[0] - 0.1, extent[1] - 0.1), 0.0)
    dim = {face: np.asarray(light * np.float32(0.5), np.float32) for face, light in shade.items()}
    for leg in sorted(legs, key=lambda p: -p[1]):
        paint_box(canvas, corners(leg, (0.05, 0.05), 0.0), 0.0, 0.71, tint, dim, grain)
    paint_box(canvas, corners(centre, extent, 0.0), 0.71, 0.76, tint, shade, grain)


def _sofa(canvas: Canvas, centre: Point, extent: Point, tint: Array, shade: dict[str, Array], grain: Texture) -> None:
    """Back, seat with cushions, and arms."""
    (x, z), (wide, deep) = centre, extent
    wide = max(wide, 1.0)
    low = {face: np.asarray(light * np.float32(0.7), np.float32) for face, light in shade.items()}
    paint_box(canvas, corners((x, z + deep / 2 - 0.1), (wide, 0.2), 0.0), 0.0, 0.85, tint, shade, grain, 0.08)
    paint_box(canvas, corners((x, z - 0.1), (wide, deep - 0.2), 0.0), 0.05, 0.3, tint, low, grain, 0.08)
    for side in (-0.25, 0.25):
        cushion = corners((x + side * (wide - 0.3), z - 0.1), (0.5 * (wide - 0.32), deep - 0.2), 0.0)
        paint_box(canvas, cushion, 0.31, 0.45, tint * np.float32(1.15), shade, grain, 0.08)
    for side in (-0.5, 0.5):
        arm = corners((x + side * (wide - 0.15), z - 0.05), (0.15, deep - 0.1), 0.0)
        paint_box(canvas, arm, 0.0, 0.6, tint, shade, grain, 0.08)


def _books(canvas: Canvas, ground: list[Point], tall: float, shade: dict[str, Array], seed: int) -> None:
    """Shelves in the front of a bookcase: rows of backs of all colours and heights, dark gaps between them."""
    for index, a, b in visible_faces(ground):
        wall = canvas.wall(a, b, 0.0, tall)
        if wall is None or abs(float(wall.normal[2])) < 0.7:
            continue
        length, foot = math.dist(a, b), wall.footprint  # seen nearly head-on
        table = np.random.default_rng(seed).random((8, 64, 4), dtype=np.float32)
        pitch = (tall - 0.1) / 5.0
        shelf = np.clip(((wall.height - 0.08) / np.float32(pitch)).astype(np.int32), 0, 7)
        book = np.clip((wall.along / np.float32(0.045)).astype(np.int32), 0, 63)
        cell = table[shelf, np.broadcast_to(book, shelf.shape)]
        rise = np.mod(wall.height - 0.08, np.float32(pitch))
        there = np.clip((np.float32(pitch) * (0.55 + 0.3 * cell[..., 3]) - rise) / foot + 0.5, 0.0, 1.0)
        there = there * (cell[..., 3] > 0.12) * pulses(wall.along, 0.045, 0.04, foot)
        hollow = np.clip(np.minimum(np.minimum(wall.along - 0.04, length - 0.04 - wall.along), rise - 0.02), -1.0, 1.0)
        hollow = np.clip(hollow / foot + 0.5, 0.0, 1.0) * np.clip((tall - 0.06 - wall.height) / foot + 0.5, 0.0, 1.0)
        muted = 0.5 * cell[..., :3] + 0.5 * cell[..., 1:2]
        backs = (0.03 + 0.4 * muted**2).transpose(2, 0, 1)
        light = shade[str(index)][:, None, None]
        inside = light * (0.02 + backs * there * 0.8)
        alpha = wall.region.alpha * hollow
        canvas.paint(wall.region.rows, wall.region.cols, np.asarray(alpha, np.float32), np.asarray(inside, np.float32))


def _lamp(canvas: Canvas, room: Room, lamp: Lamp) -> None:
    """A paper or cloth shade round a bulb, on a stand or on a cord."""
    x, y, z = lamp.at
    dark = room.bounce * np.float32(0.1)
    hangs = y > 0.6 * room.ceiling
    stem = [(x - 0.012, y, z), (x + 0.012, y, z), (x + 0.012, room.ceiling if hangs else 0.0, z)]
    region = canvas.polygon([*stem, (x - 0.012, stem[2][1], z)])
    if region is not None:
        canvas.paint(region.rows, region.cols, region.alpha, dark)
    shape = ball(canvas, lamp.at, 0.14, 1.25)
    if shape is not None:  # a sphere of radius r that gives white at one metre the radiance p has the luminance p / r^2
        rows, cols, alpha, _, ny, nz = shape
        cloth = np.asarray((0.7 - 0.3 * nz - 0.15 * ny) * 0.6, np.float32)
        level = lamp.power * np.float32(1.0 / 0.14**2)
        canvas.paint(rows, cols, alpha, level[:, None, None] * cloth)
    spark(canvas, (x, y - 0.11, z), 0.03, lamp.power * np.float32(0.5 / 0.03**2))
