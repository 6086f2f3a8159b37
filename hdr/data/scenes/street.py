"""Houses and their roofs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point, Wall
from hdr.data.scenes.light import SUN_DISC_LIMIT, Daylight, luminance, schlick
from hdr.data.scenes.solids import faded, pick, visible_faces
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facade:
    """How a building's walls look."""

    plaster: Array
    glass: float
    """Reflectance of the panes head-on."""
    storey: float
    bay: float
    pane: tuple[float, float]
    """Width and height of a window."""
    grain: Texture
    seed: int
    frame: Array
    eaves: float
    """Metres that the roof stands out."""
    balcony: float
    """Metres that the balconies stand out; 0: there are none."""
    brick: bool
    door: tuple[float, float] | None
    """Where along the wall it is, and a number above 0.5 if it stands open."""

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
            glass=float(rng.uniform(0.06, 0.25)),
            storey=storey,
            bay=bay,
            pane=(bay * float(rng.uniform(0.35, 0.8)), storey * float(rng.uniform(0.4, 0.7))),
            grain=Texture(rng, float(rng.uniform(2.0, 6.0)), bands=4, roughness=0.8),
            seed=int(rng.integers(1 << 30)),
            frame=pick(rng, [(0.75, 0.75, 0.72), (0.12, 0.11, 0.1), (0.3, 0.2, 0.13)]),
            eaves=float(rng.uniform(0.1, 0.7)),
            balcony=float(rng.uniform(0.6, 1.3)) if rng.random() < 0.25 else 0.0,
            brick=bool(rng.random() < 0.3),
            door=(float(rng.uniform(0.1, 0.9)), float(rng.random())) if rng.random() < 0.7 else None,
        )

    def windows(self, wall: Wall, length: float) -> tuple[Array, Array, Array]:
        """Coverage of the panes, of panes with their frames (h, w), and one number in [0, 1) per window (h, w)."""
        bays = max(int(length / self.bay), 1)
        bay = length / bays
        width = self.pane[0] * bay / self.bay
        foot, up = wall.footprint, wall.rise
        rise = wall.height - np.float32(0.1)
        rows = pulses(rise, self.storey, self.pane[1], up)
        cols = pulses(wall.along, bay, width, foot)
        outer = pulses(rise, self.storey, self.pane[1] + 0.25, up) * pulses(wall.along, bay, width + 0.25, foot)
        bars = 1.0 - pulses(wall.along, width / 2, 0.08, foot)
        table = np.random.default_rng(self.seed).random((64, 64), dtype=np.float32)
        i = np.clip((rise / self.storey).astype(np.int32), 0, 63)
        j = np.clip((wall.along / bay).astype(np.int32), 0, 63)
        return rows * cols * bars, outer, table[i, j]


def paint_facade(
    canvas: Canvas, wall: Wall, length: float, look: Facade, light: Daylight, clear: float, shaded: float, top: float
) -> None:
    """Paint one wall of a building in daylight; below ``shaded`` metres it lies in the shadow of what stands opposite.

    Reveals, eaves and balconies throw shadows whose length follows from the sun's height; the panes mirror the sky, the
    ground and now and then the sun, and are dark inside.
    """
    panes, outer, number = look.windows(wall, length)
    foot, up = wall.footprint, wall.rise
    grain = look.grain(wall.along, wall.height, foot)
    sun, normal = light.sun_direction, wall.normal
    facing = float(normal @ sun)
    drop = min(float(sun[1]) / max(facing, 0.05), 6.0)  # metres that a ledge of one metre throws its shadow down
    sunlit = np.clip((wall.height - shaded) / (up + 0.1) + 0.5, 0.0, 1.0)
    sunlit = sunlit * np.clip((top - look.eaves * drop - wall.height) / up + 0.5, 0.0, 1.0)
    rise = wall.height - np.float32(0.1)
    slab: Array | None = None
    if look.balcony > 0.0:
        slab = pulses(wall.height, look.storey, 0.18, up) * np.clip((wall.height - 2.0) / up, 0.0, 1.0)
        below = np.minimum(look.balcony * drop, 0.9 * look.storey)
        under = pulses(wall.height + np.float32(0.5 * below), look.storey, float(below), up)
        sunlit = sunlit * (1.0 - under * np.clip((wall.height - 1.0) / up, 0.0, 1.0))
    shade, sunny = light.lit(normal, 0.0), light.sun * max(facing, 0.0)
    tone = np.exp(0.12 * grain) * (0.6 + 0.4 * ramp(wall.height, 0.0, 1.5))
    if look.brick:
        courses = pulses(rise, 0.08, 0.012, up)
        tone = tone * (1.0 - 0.35 * np.maximum(courses, pulses(wall.along, 0.25, 0.012, foot)))
    lit = shade[:, None, None] + sunny[:, None, None] * sunlit
    stone = look.plaster[:, None, None] * lit * tone
    if slab is not None:
        stone += ((look.plaster * 1.05)[:, None, None] * lit - stone) * slab
    stone += (look.frame[:, None, None] * lit - stone) * outer
    reveal = pulses(rise, look.storey, look.pane[1], up)
    reveal = reveal - reveal * pulses(rise + np.float32(min(0.12 * drop, 0.5)), look.storey, look.pane[1], up)
    stone += (_glass(canvas, wall, look, light, number, facing, sunlit) * (1.0 - 0.7 * reveal) - stone) * panes
    if look.door is not None:
        across = wall.along - np.float32(look.door[0] * length)
        door = np.clip((0.6 - np.abs(across)) / foot + 0.5, 0.0, 1.0) * np.clip(
            (2.2 - wall.height) / up + 0.5, 0.0, 1.0
        )
        inside = (0.0015 * light.white if look.door[1] > 0.5 else 0.5 * look.frame * shade)[:, None, None]
        stone += (inside * (0.4 + 0.6 * np.clip(across + 0.5, 0.0, 1.0)) - stone) * door
    canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, faded(light, stone, wall.depth, clear))


def _glass(
    canvas: Canvas, wall: Wall, look: Facade, light: Daylight, number: Array, facing: float, sunlit: Array
) -> Array:
    """Radiance (3, h, w) of the panes; each hangs a little askew (``number`` in [0, 1) tells the windows apart)."""
    x, y = canvas.x[:, wall.region.cols], canvas.y[wall.region.rows]
    norm = 1.0 / np.sqrt(x * x + (y * y + 1.0))
    head_on = np.abs(x * wall.normal[0] + wall.normal[2]) * norm
    mirror = schlick(look.glass, head_on)
    open_ = (number > 0.93) * np.float32(0.9)
    mirror = mirror * (1.0 - open_)
    inside = (0.004 * light.white)[:, None, None] * (0.3 + 1.4 * number)
    # A level mirror shows what lies at the ray's own height: sky above the houses opposite, street below the horizon.
    sky = ramp(y + 0.12 * number, 0.02, 0.3)
    low = 0.10 * light.white + 0.05 * light.sky
    high = 0.6 * light.haze + 0.4 * light.zenith * float(luminance(light.sky)) * 0.6
    seen = low[:, None, None] + (high - low)[:, None, None] * sky
    radiance = inside + seen * mirror
    sun, normal = light.sun_direction, wall.normal
    slope = float(sun[1] / max(np.hypot(sun[0], sun[2]), 1e-3))
    if facing > 0.02 and float(luminance(light.sun)) > 0.0 and slope < float(y.max() * norm.max()) + 0.05:
        along = x * normal[0] + normal[2]
        turn = 0.10 * (number - 0.5)  # radians that the pane hangs askew
        rx = (x - 2.0 * along * normal[0]) * norm
        rz = (1.0 - 2.0 * along * normal[2]) * norm
        rx, rz = rx + turn * rz, rz - turn * rx
        away = (rx - sun[0]) ** 2 + (y * norm - sun[1]) ** 2 + (rz - sun[2]) ** 2
        peak = np.float32(0.5 * SUN_DISC_LIMIT / luminance(light.sun))
        radiance += light.sun[:, None, None] * (np.exp(away * np.float32(-1.0 / 0.02**2)) * mirror * sunlit * peak)
    return np.asarray(radiance, np.float32)


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


def paint_post(canvas: Canvas, at: Point, tall: float, light: Daylight, clear: float) -> None:
    """A lamp post, its lamp dark by day."""
    found = canvas.around(at[0], 0.0, at[1], -0.4, 0.4, 0.0, tall + 0.1)
    if found is None:
        return
    rows, cols, x, y, foot = found
    stem = np.clip((0.06 - np.abs(x)) / foot + 0.5, 0.0, 1.0) * np.clip((tall - y) / foot + 0.5, 0.0, 1.0)
    head = np.clip(np.minimum(0.28 - np.abs(x), 0.07 - np.abs(y - tall)) / foot + 0.5, 0.0, 1.0)
    alpha = np.maximum(stem, head) * np.clip(y / foot + 0.5, 0.0, 1.0)
    lit = 0.08 * light.lit(np.array([float(np.sign(light.sun_direction[0])), 0.0, 0.0], np.float32))
    side = np.clip(0.6 + x * np.float32(6.0 * np.sign(light.sun_direction[0])), 0.2, 1.0)
    radiance = lit[:, None, None] * np.broadcast_to(side, alpha.shape)
    canvas.paint(rows, cols, alpha, faded(light, np.asarray(radiance, np.float32), at[1], clear))
