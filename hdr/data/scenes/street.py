"""Houses, their roofs, and cars."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point, Wall
from hdr.data.scenes.light import Daylight
from hdr.data.scenes.solids import ball, corners, faded, pick, visible_faces
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facade:
    """How a building's walls look."""

    plaster: Array
    glass: float
    """Share of the sky that the panes mirror."""
    storey: float
    bay: float
    pane: tuple[float, float]
    """Width and height of a window."""
    grain: Texture
    seed: int
    frame: Array

    @staticmethod
    def draw(rng: np.random.Generator) -> Facade:
        storey, bay = float(rng.uniform(2.8, 3.8)), float(rng.uniform(1.8, 4.0))
        return Facade(
            plaster=pick(
                rng,
                [
                    (0.5, 0.45, 0.38),
                    (0.62, 0.6, 0.56),
                    (0.36, 0.17, 0.11),
                    (0.42, 0.3, 0.18),
                    (0.3, 0.31, 0.32),
                    (0.7, 0.62, 0.45),
                    (0.55, 0.38, 0.3),
                    (0.25, 0.3, 0.36),
                    (0.74, 0.73, 0.71),
                ],
            ),
            glass=float(rng.uniform(0.12, 0.5)),
            storey=storey,
            bay=bay,
            pane=(bay * float(rng.uniform(0.35, 0.8)), storey * float(rng.uniform(0.4, 0.7))),
            grain=Texture(rng, float(rng.uniform(2.0, 6.0)), bands=4, roughness=0.8),
            seed=int(rng.integers(1 << 30)),
            frame=pick(rng, [(0.75, 0.75, 0.72), (0.12, 0.11, 0.1), (0.3, 0.2, 0.13)]),
        )

    def windows(self, wall: Wall, length: float) -> tuple[Array, Array, Array]:
        """Coverage of the panes, of panes with their frames (h, w), and one number in [0, 1) per window (h, w)."""
        bays = max(int(length / self.bay), 1)
        bay = length / bays
        width = self.pane[0] * bay / self.bay
        foot = wall.footprint
        rise = wall.height - np.float32(0.1)
        rows = pulses(rise, self.storey, self.pane[1], foot)
        cols = pulses(wall.along, bay, width, foot)
        outer = pulses(rise, self.storey, self.pane[1] + 0.25, foot) * pulses(wall.along, bay, width + 0.25, foot)
        bars = 1.0 - pulses(wall.along, width / 2, 0.08, foot)
        table = np.random.default_rng(self.seed).random((64, 64), dtype=np.float32)
        i = np.clip((rise / self.storey).astype(np.int32), 0, 63)
        j = np.clip((wall.along / bay).astype(np.int32), 0, 63)
        return rows * cols * bars, outer, table[i, j]


def paint_facade(canvas: Canvas, wall: Wall, length: float, look: Facade, light: Daylight, clear: float) -> None:
    """Paint one wall of a building in daylight."""
    panes, outer, number = look.windows(wall, length)
    grain = look.grain(wall.along, wall.height, wall.footprint)
    lit = light.lit(wall.normal)
    shade = (1.0 + 0.10 * grain) * (0.75 + 0.25 * ramp(wall.height, 0.0, 2.5))
    stone = (look.plaster * lit)[:, None, None] * shade
    stone += ((look.frame * lit)[:, None, None] - stone) * outer
    mirrored = light.zenith * float(light.sky.mean()) * look.glass + light.haze * (0.3 * look.glass)
    inside = 0.015 * light.white
    glass = inside[:, None, None] * (0.4 + 1.2 * number) + mirrored[:, None, None] * (0.35 + 0.65 * number**2)
    stone += (glass - stone) * panes
    canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, faded(light, stone, wall.depth, clear))


def paint_roof(
    canvas: Canvas,
    ground: list[Point],
    eaves: float,
    rise: float,
    albedo: Array,
    light: Daylight,
    tiles: Texture,
    clear: float,
) -> None:
    """A saddle roof, its ridge along the longer pair of sides."""
    d01 = math.dist(ground[0], ground[1])
    d12 = math.dist(ground[1], ground[2])
    first = 0 if d01 >= d12 else 1
    p = [ground[(first + i) % 4] for i in range(4)]
    middle = [((p[1][0] + p[2][0]) / 2, (p[1][1] + p[2][1]) / 2), ((p[3][0] + p[0][0]) / 2, (p[3][1] + p[0][1]) / 2)]
    top = eaves + rise
    for index, a, b in visible_faces(p):
        wall_normal = np.array([b[1] - a[1], 0.0, a[0] - b[0]], dtype=np.float32)
        wall_normal /= np.linalg.norm(wall_normal)
        if wall_normal[0] * a[0] + wall_normal[2] * a[1] > 0:
            wall_normal = -wall_normal
        distance = (a[1] + b[1]) / 2
        if index % 2 == 0:
            near, far = (
                (middle[0], middle[1]) if math.dist(b, middle[0]) < math.dist(b, middle[1]) else (middle[1], middle[0])
            )
            shape = [(a[0], eaves, a[1]), (b[0], eaves, b[1]), (near[0], top, near[1]), (far[0], top, far[1])]
            tilt = wall_normal * 0.6
            tilt[1] = 0.8
            region = canvas.polygon(shape)
            tint = albedo * light.lit(tilt)
        else:
            peak = middle[0] if index == 1 else middle[1]
            region = canvas.polygon([(a[0], eaves, a[1]), (b[0], eaves, b[1]), (peak[0], top, peak[1])])
            tint = albedo * 0.9 * light.lit(wall_normal)
        if region is None:
            continue
        x, y = canvas.x[:, region.cols] * distance, canvas.y[region.rows] * distance
        foot = max(distance, 0.5) * canvas.pixel
        tone = (1.0 + 0.1 * tiles(x, y, foot)) * (1.0 - 0.3 * pulses(y, 0.35, 0.1, foot))
        canvas.paint(
            region.rows,
            region.cols,
            region.alpha,
            faded(light, tint[:, None, None] * np.asarray(tone, np.float32), max(distance, 0.5), clear),
        )


def car_outline(centre: Point, yaw: float) -> list[Point]:
    """The ground corners of a car."""
    return corners(centre, (1.8, 4.3), yaw)


def paint_car(canvas: Canvas, centre: Point, yaw: float, paint: Array, light: Daylight, clear: float) -> None:
    """A parked car by day: body, cabin of dark glass that mirrors some sky, wheels, dark ground beneath."""
    ground = car_outline(centre, yaw)
    cabin = corners(centre, (1.55, 2.3), yaw)
    under = canvas.polygon([(x, 0.02, z) for x, z in ground], soft=3.0)
    if under is None:
        return
    canvas.paint(under.rows, under.cols, under.alpha * np.float32(0.85), 0.02 * light.white)
    up = np.array([0.0, 1.0, 0.0], np.float32)
    glass = 0.02 * light.white + 0.16 * light.haze
    for outline, low, high, tint in ((ground, 0.28, 0.9, None), (cabin, 0.9, 1.42, glass)):
        if canvas.eye > high:
            top = canvas.polygon([(x, high, z) for x, z in outline])
            if top is not None:
                canvas.paint(top.rows, top.cols, top.alpha, faded(light, paint * light.lit(up), centre[1], clear))
        for _, a, b in visible_faces(outline):
            wall = canvas.wall(a, b, low, high)
            if wall is None:
                continue
            face = paint * light.lit(wall.normal) + 0.04 * light.haze if tint is None else tint
            tone = 0.7 + 0.3 * ramp(wall.height, low, high)
            canvas.paint(
                wall.region.rows,
                wall.region.cols,
                wall.region.alpha,
                faded(light, face[:, None, None] * tone, centre[1], clear),
            )
    for x, z in sorted(corners(centre, (1.7, 2.7), yaw), key=lambda p: -p[1])[1:]:
        wheel = ball(canvas, (x, 0.31, z), 0.31)
        if wheel is not None:
            rows, cols, alpha, nx, ny, _ = wheel
            hub = np.clip(1.5 - 2.4 * np.sqrt(nx * nx + ny * ny), 0.0, 1.0)
            dark = (0.015 + 0.2 * hub) * (light.sky + 0.3 * light.sun)[:, None, None]
            canvas.paint(rows, cols, alpha, faded(light, np.asarray(dark, np.float32), z, clear))
