"""The shell of a room: its light, walls, window, floor and ceiling."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point, Wall
from hdr.data.scenes.light import Daylight, schlick
from hdr.data.scenes.solids import colour, pick
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lamp:
    """A small source: its place and the radiance (3,) that it gives to white facing it from one metre."""

    at: tuple[float, float, float]
    power: Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Room:
    """A box-shaped room about the camera's axis and the light in it."""

    left: float
    right: float
    depth: float
    ceiling: float
    window: tuple[float, float, float, float]
    """Left, right, sill and top: along the wall from its left end, and above the floor."""
    on_left: bool
    """The window is in the left wall, else in the back wall."""
    glow: Array
    """Mean radiance (3,) seen through the window."""
    bounce: Array
    """Radiance (3,) that white gets from all round."""
    lamps: list[Lamp]

    @property
    def opening(self) -> tuple[tuple[float, float, float], Array]:
        """The window's middle and the unit normal into the room."""
        along, up = (self.window[0] + self.window[1]) / 2, (self.window[2] + self.window[3]) / 2
        if self.on_left:
            return (self.left, up, along), np.array([1.0, 0.0, 0.0], np.float32)
        return (self.left + along, up, self.depth), np.array([0.0, 0.0, -1.0], np.float32)

    def light(self, x: Array, y: Array, z: Array, normal: Array) -> Array:
        """Radiance (3, h, w) of white at the points, on a surface with this normal."""
        (wx, wy, wz), into = self.opening
        area = (self.window[1] - self.window[0]) * (self.window[3] - self.window[2])
        dx, dy, dz = wx - x, wy - y, wz - z
        square = dx * dx + dy * dy + dz * dz
        leaving = np.maximum(-(dx * into[0] + dy * into[1] + dz * into[2]), 0.0)
        arriving = dx * normal[0] + dy * normal[1] + dz * normal[2]
        # A wide window still lights what lies in its own plane a little: half a softened cosine.
        arriving = 0.5 * (arriving + np.sqrt(arriving * arriving + 0.15 * area))
        share = leaving * arriving * np.float32(area / math.pi) / (square + np.float32(area / math.pi)) ** 2
        lit = self.glow[:, None, None] * share + self.bounce[:, None, None]
        for lamp in self.lamps:
            lx, ly, lz = lamp.at[0] - x, lamp.at[1] - y, lamp.at[2] - z
            reach = lx * lx + ly * ly + lz * lz + np.float32(0.03)
            cosine = np.maximum(lx * normal[0] + ly * normal[1] + lz * normal[2], 0.0) / np.sqrt(reach)
            lit = lit + lamp.power[:, None, None] * ((cosine + 0.08) / reach)
        return np.asarray(lit, dtype=np.float32)

    def light_on_box(self, ground: list[Point], top: float) -> dict[str, Array]:
        """The light on a box's faces, taken at their middles."""
        result = {}
        cx, cz = sum(p[0] for p in ground) / 4, sum(p[1] for p in ground) / 4
        for i in range(4):
            a, b = ground[i], ground[(i + 1) % 4]
            mx, mz = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            normal = np.array([mx - cx, 0.0, mz - cz], np.float32)
            normal /= np.linalg.norm(normal)
            result[str(i)] = self.light_at(mx, top / 2, mz, normal)
        result["top"] = self.light_at(cx, top, cz, np.array([0.0, 1.0, 0.0], np.float32))
        return result

    def light_at(self, x: float, y: float, z: float, normal: Array) -> Array:
        point = [np.full((1, 1), v, np.float32) for v in (x, y, z)]
        return np.asarray(self.light(point[0], point[1], point[2], normal)[:, 0, 0], dtype=np.float32)


def paint_walls(canvas: Canvas, rng: np.random.Generator, room: Room, paint: Array) -> None:
    plaster = Texture(rng, 1.8, bands=4, roughness=0.8)
    frame = pick(rng, [(0.78, 0.77, 0.74), (0.25, 0.15, 0.09), (0.1, 0.1, 0.1)])
    curtains = (
        pick(rng, [(0.6, 0.55, 0.45), (0.35, 0.1, 0.1), (0.2, 0.25, 0.35), (0.7, 0.68, 0.62)])
        if rng.random() < 0.55
        else None
    )
    panels = float(rng.uniform(0.6, 1.1)) if rng.random() < 0.3 else 0.0
    pictures = [
        (
            float(rng.uniform(0.15, 0.85)),
            float(rng.uniform(0.4, 1.0)),
            pick(rng, [(0.3, 0.2, 0.1), (0.1, 0.2, 0.3), (0.4, 0.35, 0.3)], 0.15),
        )
        for _ in range(int(rng.integers(0, 3)))
    ]
    art = Texture(rng, 0.4, bands=3, roughness=0.8)
    door = (int(rng.integers(0, 3)), float(rng.uniform(0.3, 0.75))) if rng.random() < 0.6 else (3, 0.0)
    bars = int(rng.integers(1, 4))
    sides: list[tuple[Point, Point, bool, float]] = [
        ((room.left, room.depth), (room.right, room.depth), not room.on_left, room.right - room.left),
        ((room.left, 0.0), (room.left, room.depth), room.on_left, room.depth),
        ((room.right, 0.0), (room.right, room.depth), False, room.depth),
    ]
    for number, (a, b, has_window, span) in enumerate(sides):
        wall = canvas.wall(a, b, 0.0, room.ceiling, grow=1.0)
        if wall is None:
            continue
        lit = room.light(wall.x, wall.height, wall.depth, wall.normal)
        rim = np.minimum(np.minimum(wall.height, room.ceiling - wall.height), np.minimum(wall.along, span - wall.along))
        tone = (1.0 + 0.035 * plaster(wall.along, wall.height, wall.footprint)) * (0.62 + 0.38 * ramp(rim, 0.0, 0.7))
        albedo = np.broadcast_to(paint[:, None, None], (3, *tone.shape))
        board = np.clip((0.1 - wall.height) / wall.rise + 0.5, 0.0, 1.0)
        if panels:
            board = np.maximum(board, np.clip((panels - wall.height) / wall.rise + 0.5, 0.0, 1.0) * 0.9)
        albedo = albedo + (frame[:, None, None] - albedo) * board
        if has_window:
            _window(canvas, room, wall, albedo * lit * tone, frame, curtains, bars)
            continue
        for place, extent, tint in pictures[: 2 - number % 2]:
            u, v = wall.along - place * span, wall.height - 1.55
            card = np.clip(
                np.minimum(extent * 0.5 - np.abs(u), extent * 0.38 - np.abs(v)) / wall.footprint + 0.5, 0.0, 1.0
            )
            border = np.clip(
                (np.maximum(np.abs(u) - extent * 0.42, np.abs(v) - extent * 0.30)) / wall.footprint + 0.5, 0.0, 1.0
            )
            image = tint[:, None, None] * np.clip(1.0 + 0.5 * art(u + 3 * place, v, wall.footprint), 0.05, 2.0)
            image = image + (frame[:, None, None] - image) * border
            albedo = albedo + (image - albedo) * card
        radiance = albedo * lit * tone
        if number == door[0]:
            radiance = _doorway(wall, radiance, frame, lit, door[1] * span)
        canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, np.asarray(radiance, np.float32))


def _doorway(wall: Wall, radiance: Array, frame: Array, lit: Array, middle: float) -> Array:
    """An open door to an unlit corridor: a frame, and behind it what little light finds its way in."""
    across, foot = np.abs(wall.along - np.float32(middle)), wall.footprint

    def covers(grow: float) -> Array:
        edge = np.minimum((0.42 + grow - across) / foot, (2.02 + grow - wall.height) / wall.rise)
        return np.asarray(np.clip(edge + 0.5, 0.0, 1.0), np.float32)

    radiance = radiance + (frame[:, None, None] * lit - radiance) * covers(0.08)
    corridor = lit * (0.004 + 0.02 * np.exp(-2.0 * np.maximum(wall.height, 0.0)) * ramp(0.42 - across, 0.0, 0.3))
    return np.asarray(radiance + (corridor - radiance) * covers(0.0), np.float32)


def _window(
    canvas: Canvas, room: Room, wall: Wall, radiance: Array, frame: Array, curtains: Array | None, bars: int
) -> None:
    """A wall with its window: the view stays where the panes are."""
    left, right, sill, top = room.window
    foot, rise = wall.footprint, wall.rise

    def inside(margin: float) -> Array:
        across = np.minimum(wall.along - (left - margin), right + margin - wall.along)
        up = np.minimum(wall.height - (sill - margin), top + margin - wall.height)
        return np.asarray(np.clip(np.minimum(across / foot, up / rise) + 0.5, 0.0, 1.0), np.float32)

    pane = inside(0.0) * (
        1.0 - pulses(wall.along - left - (right - left) / (2 * bars), (right - left) / bars, 0.06, foot)
    )
    pane = pane * (1.0 - np.clip((0.03 - np.abs(wall.height - (sill + 0.62 * (top - sill)))) / rise + 0.5, 0.0, 1.0))
    wood = (frame * (room.bounce * 1.3))[:, None, None]
    radiance = radiance + (wood - radiance) * inside(0.08)
    alpha = wall.region.alpha * (1.0 - pane)
    if curtains is not None:
        # Cloth at both sides lets a part of the daylight through and hangs in folds.
        width = 0.22 * (right - left)
        cloth = np.clip(
            (width - np.minimum(np.abs(wall.along - left), np.abs(wall.along - right))) / foot + 0.5, 0.0, 1.0
        )
        cloth = (
            cloth
            * np.clip((top + 0.15 - wall.height) / rise + 0.5, 0.0, 1.0)
            * np.clip((wall.height - 0.05) / rise, 0.0, 1.0)
        )
        folds = 0.65 + 0.35 * np.sin(wall.along * np.float32(2 * math.pi / 0.14))
        hung = (curtains * (room.bounce * 1.5))[:, None, None] * folds
        through = (curtains * room.glow)[:, None, None] * (0.12 * folds * inside(0.0))
        radiance = radiance + (hung + through - radiance) * cloth
        alpha = np.maximum(alpha, cloth * wall.region.alpha)
    canvas.paint(wall.region.rows, wall.region.cols, alpha, np.asarray(radiance, np.float32))


def paint_floor_and_ceiling(canvas: Canvas, rng: np.random.Generator, room: Room, outside: Daylight) -> None:
    wood = pick(rng, [(0.28, 0.17, 0.09), (0.4, 0.28, 0.17), (0.14, 0.08, 0.05), (0.35, 0.34, 0.32), (0.5, 0.45, 0.4)])
    grain = Texture(rng, 1.2, bands=3, roughness=0.9)
    board = float(rng.uniform(0.09, 0.6))
    rug = (
        pick(rng, [(0.35, 0.08, 0.06), (0.1, 0.14, 0.22), (0.5, 0.45, 0.38), (0.12, 0.12, 0.12)])
        if rng.random() < 0.5
        else None
    )
    knots = Texture(rng, 0.15, bands=3)
    gloss = float(rng.uniform(0.05, 0.9))
    for at, paint in ((0.0, wood), (room.ceiling, colour(0.76, 0.75, 0.73))):
        outline = [
            (room.left, at, 0.0),
            (room.right, at, 0.0),
            (room.right, at, room.depth),
            (room.left, at, room.depth),
        ]
        region = canvas.polygon(outline, grow=1.0)
        if region is None:
            continue
        rows, cols, x, z, foot = canvas.level(region, at=at, far=room.depth)
        normal = np.array([0.0, 1.0 if at == 0.0 else -1.0, 0.0], np.float32)
        lit = room.light(x, np.full((1, 1), at, np.float32), z, normal)
        if at > 0.0:  # a window throws the sky's light down and only the ground's light up
            lit = room.bounce[:, None, None] + (lit - room.bounce[:, None, None]) * np.float32(0.35)
        rim = np.minimum(np.minimum(x - room.left, room.right - x), room.depth - z)
        tone = 0.6 + 0.4 * ramp(rim, 0.0, 0.7)
        albedo = np.broadcast_to(paint[:, None, None], (3, *x.shape))
        if at == 0.0:
            soft: Array = np.zeros((1, 1), np.float32)  # where the rug lies
            planks = 1.0 + 0.12 * grain(x * 0.25, z, foot) - 0.4 * pulses(x, board, 0.012, foot)
            albedo = albedo * np.clip(planks, 0.1, 2.0)
            if rug is not None:
                cx, cz = (room.left + room.right) / 2, room.depth * 0.55
                edge = np.minimum(1.1 - np.abs(x - cx), 0.9 - np.abs(z - cz))
                soft = np.clip(edge / foot + 0.5, 0.0, 1.0)
                albedo = albedo + (rug[:, None, None] * np.exp(0.25 * knots(x, z, foot)) - albedo) * soft
        radiance = albedo * lit * tone
        if at == 0.0:
            radiance = radiance + albedo * outside.sun[:, None, None] * _sunbeam(
                canvas, room, outside, rows, cols, x.shape
            )
        canvas.paint(rows, cols, region.alpha, np.asarray(radiance, np.float32))
        if at == 0.0:
            canvas.linear[:, rows, cols] += _polish(canvas, room, rows, cols, gloss) * (
                region.alpha * (1.0 - 0.95 * soft)
            )


def _sunbeam(canvas: Canvas, room: Room, outside: Daylight, rows: slice, cols: slice, shape: tuple[int, ...]) -> Array:
    """Sunlight through the window on the floor: the window's outline carried along the rays, times the cosine."""
    beam: Array = np.zeros(shape, np.float32)
    sun = outside.sun_direction
    _, into = room.opening
    if sun[1] < 0.1 or float(sun @ into) > -0.1:
        return beam
    left, right, sill, top = room.window
    points = []
    for along, up in ((left, sill), (right, sill), (right, top), (left, top)):
        x, z = (room.left, along) if room.on_left else (room.left + along, room.depth)
        k = up / float(sun[1])
        points.append((x - float(sun[0]) * k, 0.0, z - float(sun[2]) * k))
    region = canvas.polygon(points, soft=2.0)
    if region is None:
        return beam
    r0, r1 = max(rows.start, region.rows.start), min(rows.stop, region.rows.stop)
    c0, c1 = max(cols.start, region.cols.start), min(cols.stop, region.cols.stop)
    if r1 > r0 and c1 > c0:
        beam[r0 - rows.start : r1 - rows.start, c0 - cols.start : c1 - cols.start] = (
            region.alpha[
                r0 - region.rows.start : r1 - region.rows.start, c0 - region.cols.start : c1 - region.cols.start
            ]
            * sun[1]
        )
    return beam


def _polish(canvas: Canvas, room: Room, rows: slice, cols: slice, gloss: float) -> Array:
    """What a varnished floor mirrors of the walls and windows: Schlick's reflectance times ``gloss``."""
    x, y = canvas.x[:, cols], canvas.y[rows]
    grazing = np.asarray(np.abs(y) / np.sqrt(1.0 + y * y + x * x), np.float32)
    share = np.float32(gloss) * schlick(0.04, grazing)
    return np.asarray(canvas.mirrored(rows, cols, room.left, room.right, room.depth, 0.02) * share, np.float32)
