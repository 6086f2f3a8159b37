"""What lamps do after dark: light on walls and ground, lit windows and shops, streaks on wet streets."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Wall
from hdr.data.scenes.light import planckian
from hdr.data.scenes.solids import pick
from hdr.data.scenes.street import Facade
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]
Place = tuple[float, float, float]


def lamplight(lamps: list[tuple[Place, Array]], x: Array, y: Array, z: Array, normal: Array, ambient: Array) -> Array:
    """Radiance (3, h, w) of white under lamps whose colours (3,) are intensities over pi, in cd."""
    amounts: dict[bytes, tuple[Array, Array]] = {}  # lamps of one kind add up before they are given their colour
    for (lx, ly, lz), power in lamps:
        dx, dy, dz = lx - x, ly - y, lz - z
        square = dx * dx + dy * dy + dz * dz + np.float32(0.2)
        cosine = np.maximum(dx * normal[0] + dy * normal[1] + dz * normal[2], 0.0)
        share = cosine / (square * np.sqrt(square))
        known = amounts.get(power.tobytes())
        amounts[power.tobytes()] = (power, share if known is None else known[1] + share)
    total: Array = ambient[:, None, None]
    for power, amount in amounts.values():
        total = total + power[:, None, None] * amount
    return np.asarray(total, np.float32)


class Indoors(NamedTuple):
    """What shines out of a building: radiance of its lit windows, their share, radiance of a shop front if any."""

    windows: Array
    share: float
    shop: Array | None

    @staticmethod
    def draw(rng: np.random.Generator, shops: bool) -> Indoors:
        warm = planckian(float(rng.uniform(2500.0, 3600.0))) * np.float32(
            np.exp(rng.uniform(np.log(8.0), np.log(60.0)))
        )
        share = float(rng.uniform(0.05, 0.5))
        if not shops or rng.random() >= 0.35:
            return Indoors(warm, share, None)
        front = pick(rng, [(0.9, 0.75, 0.5), (0.9, 0.9, 0.8), (0.9, 0.35, 0.3), (0.35, 0.6, 0.9)])
        return Indoors(warm, share, front * np.float32(rng.uniform(40.0, 250.0)))


def paint_facade_at_night(
    canvas: Canvas,
    wall: Wall,
    length: float,
    look: Facade,
    light: Array,
    indoors: Indoors,
) -> None:
    """A wall at night under ``light`` (3, h, w), some of its windows bright, perhaps a shop at its foot."""
    panes, outer, number = look.windows(wall, length)
    tone = 1.0 + 0.12 * look.grain(wall.along, wall.height, wall.footprint)
    stone = look.plaster[:, None, None] * light * tone
    stone = stone + (look.frame[:, None, None] * light - stone) * outer
    on = ramp(number, 0.98 - indoors.share, 1.02 - indoors.share) * (0.25 + 0.75 * np.abs(np.sin(number * 91.0)))
    curtain = 0.55 + 0.45 * pulses(wall.along + 3.0 * number, look.pane[0] / 2, look.pane[0] / 3, wall.footprint)
    glass = indoors.windows[:, None, None] * (on * curtain) + light * 0.04
    radiance = stone + (glass - stone) * panes
    if indoors.shop is not None:
        front = np.clip(np.minimum(2.7 - wall.height, wall.height - 0.5) / wall.rise + 0.5, 0.0, 1.0)
        front = front * pulses(wall.along, max(length / max(round(length / 5.0), 1), 1.0), 3.6, wall.footprint)
        seen = np.flatnonzero(front.any(axis=1))
        if seen.size:
            rows = slice(int(seen[0]), int(seen[-1]) + 1)
            goods = _goods(dataclasses.replace(wall, height=wall.height[rows]), look, indoors.shop)
            radiance[:, rows] += (goods - radiance[:, rows]) * front[rows]
    canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, np.asarray(radiance, np.float32))


def _goods(wall: Wall, look: Facade, shop: Array) -> Array:
    """A shop window: bright ceiling, shelves of wares in many colours, darker floor."""
    table = np.random.default_rng(look.seed).random((16, 256, 4), dtype=np.float32)
    i = np.clip((wall.height / np.float32(0.38)).astype(np.int32), 0, 15)
    j = np.clip((wall.along / np.float32(0.31)).astype(np.int32), 0, 255)
    cell = table[i, np.broadcast_to(j, i.shape)]
    ware = np.float32(0.15) + 0.6 * cell[..., :3] * cell[..., 3:]
    shelf = pulses(wall.height, 0.38, 0.3, wall.rise) * pulses(wall.along, 0.31, 0.25, wall.footprint)
    ware = 0.12 + (ware.transpose(2, 0, 1) - 0.12) * shelf
    lamps = ramp(wall.height, 2.3, 2.5)
    return np.asarray(shop[:, None, None] * (ware + (1.0 - ware) * lamps), np.float32)


def paint_dark_ground(
    canvas: Canvas,
    rng: np.random.Generator,
    lamps: list[tuple[Place, Array]],
    ambient: Array,
    glints: list[tuple[float, float, Array]],
) -> float:
    """Asphalt or setts under the lamps; when wet, lights mirror in it as streaks (slope x, slope y, strength (3,)).

    Returns how wet it is, 0 to 1.
    """
    albedo = pick(rng, [(0.09, 0.09, 0.09), (0.14, 0.13, 0.12), (0.2, 0.18, 0.16)])
    coarse, fine = Texture(rng, 6.0), Texture(rng, 0.4)
    joint = float(rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else 0.0
    wet = float(rng.uniform(0.15, 0.8)) if rng.random() < 0.55 else 0.0
    rows, cols, x, z, foot = canvas.level(None)
    if rows.stop <= rows.start:
        return 0.0
    big = coarse(x, z, foot)
    tone = np.minimum(np.exp(0.2 * big + 0.25 * fine(x, z, foot)), 2.5)
    if joint:
        tone *= 1.0 - 0.4 * np.maximum(pulses(x, joint, 0.03, foot), pulses(z + 0 * x, joint, 0.03, foot))
    zero = np.zeros((1, 1), np.float32)
    light = lamplight(lamps, x, zero, z, np.array([0.0, 1.0, 0.0], np.float32), ambient)
    radiance = albedo[:, None, None] * light * tone
    for gx, gy, strength in glints if wet else []:
        below = np.abs(canvas.y[rows] + gy)
        across = (canvas.x - gx) / (0.012 + 0.15 * below)
        streak = np.exp(-across * across) * np.exp(-below * 5.0) * np.clip(0.6 + 0.5 * big, 0.05, 2.0)
        radiance = radiance + strength[:, None, None] * (streak * np.float32(wet * 0.018))
    canvas.paint(rows, cols, 1.0, np.asarray(radiance, np.float32))
    return wet
