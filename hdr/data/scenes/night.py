"""After dark: streets under lamps, lit windows, floodlit buildings, skylines over water. Meant to stay dark."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Wall, coarsened
from hdr.data.scenes.light import luminance, planckian
from hdr.data.scenes.people import paint_figure, passer_by
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.solids import ball, colour, corners, pick, visible_faces
from hdr.data.scenes.street import Facade
from hdr.data.scenes.texture import Texture, pulses, ramp

Array = npt.NDArray[np.float32]
Place = tuple[float, float, float]


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One night scene: a street, or buildings seen across a square or water."""
    street = rng.random() < 0.62
    canvas = Canvas(
        size,
        focal=float(rng.uniform(0.75, 1.3) if street else rng.uniform(1.0, 2.0)),
        horizon=float(rng.uniform(-0.12, 0.06)),
        eye=float(rng.uniform(1.5, 1.8) if street else rng.uniform(1.6, 6.0)),
    )
    kelvin = float(rng.choice([2000.0, 2400.0, 3000.0, 4000.0]) * rng.uniform(0.95, 1.05))
    lamp_colour = planckian(kelvin)
    air = np.asarray(
        (0.7 * lamp_colour + 0.3 * planckian(9000.0)) * float(np.exp(rng.uniform(np.log(0.004), np.log(0.08)))),
        np.float32,
    )
    dusk = (
        planckian(14000.0) * float(np.exp(rng.uniform(np.log(0.002), np.log(0.5))))
        if rng.random() < 0.4
        else colour(0.0, 0.0, 0.002)
    )
    _sky(canvas, rng, air, np.asarray(dusk, np.float32))
    ambient = np.asarray(0.05 * lamp_colour + 0.5 * air + 0.8 * dusk, np.float32)
    if street:
        level = _street(canvas, rng, lamp_colour, ambient)
    else:
        level = _across(canvas, rng, lamp_colour, ambient)
    picture = canvas.finish(vignette=float(rng.uniform(0.1, 0.8)), glare=float(rng.uniform(0.01, 0.04)))
    # Between one and two and a half stops below the picture that a grey card under the lamps would ask for, yet with
    # as much light in it as pictures of the night have: a mean between 2 and 8 % of white.
    key = 0.18 * level * 2.0 ** float(rng.uniform(1.0, 2.5))
    cells = luminance(coarsened(picture.transpose(1, 2, 0)).transpose(2, 0, 1))
    mean = float(np.minimum(cells, key / 0.18).mean())
    key = min(max(key, 0.18 / 0.08 * mean), 0.18 / 0.02 * mean)
    # Cameras balance lamplight only in part: night pictures keep its warmth.
    white = planckian(math.sqrt(kelvin * 5200.0))
    return Rendering(linear=picture, night=True, key_luminance=key, white=white)


def _sky(canvas: Canvas, rng: np.random.Generator, air: Array, dusk: Array) -> None:
    cloud = Texture(rng, 2.0, bands=3, roughness=0.6)
    up = np.maximum(canvas.y, 0.0)
    lift = np.float32(1.0) / (up + np.float32(0.08))
    tone = 1.0 + 0.35 * cloud(canvas.x * lift, lift, np.float32(canvas.pixel) * lift * lift)
    radiance = air[:, None, None] * (tone * (0.25 + 2.0 * np.exp(-3.0 * up))) + dusk[:, None, None] * np.exp(-1.2 * up)
    canvas.linear[:] = np.maximum(radiance, 1e-5)


def _lamplight(lamps: list[tuple[Place, Array]], x: Array, y: Array, z: Array, normal: Array, ambient: Array) -> Array:
    """Radiance (3, h, w) of white under lamps whose colours (3,) are intensities over pi, in cd."""
    total: Array = ambient[:, None, None]
    same = all(np.array_equal(lamps[0][1], lamp[1]) for lamp in lamps)
    amount: Array = np.zeros((1, 1), np.float32)
    for (lx, ly, lz), power in lamps:
        dx, dy, dz = lx - x, ly - y, lz - z
        square = dx * dx + dy * dy + dz * dz + np.float32(0.2)
        cosine = np.maximum(dx * normal[0] + dy * normal[1] + dz * normal[2], 0.0)
        share = cosine / (square * np.sqrt(square))
        if same:
            amount = amount + share
        else:
            total = total + power[:, None, None] * share
    return np.asarray(total + lamps[0][1][:, None, None] * amount if same else total, np.float32)


class _Indoors(NamedTuple):
    """What shines out of a building: radiance of its lit windows, their share, radiance of a shop front if any."""

    windows: Array
    share: float
    shop: Array | None

    @staticmethod
    def draw(rng: np.random.Generator, shops: bool) -> _Indoors:
        warm = planckian(float(rng.uniform(2500.0, 3600.0))) * np.float32(
            np.exp(rng.uniform(np.log(8.0), np.log(60.0)))
        )
        share = float(rng.uniform(0.05, 0.5))
        if not shops or rng.random() >= 0.35:
            return _Indoors(warm, share, None)
        front = pick(rng, [(0.9, 0.75, 0.5), (0.9, 0.9, 0.8), (0.9, 0.35, 0.3), (0.35, 0.6, 0.9)])
        return _Indoors(warm, share, front * np.float32(rng.uniform(40.0, 250.0)))


def _facade(
    canvas: Canvas,
    wall: Wall,
    length: float,
    look: Facade,
    light: Array,
    indoors: _Indoors,
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
        front = np.clip(np.minimum(2.7 - wall.height, wall.height - 0.5) / wall.footprint + 0.5, 0.0, 1.0)
        front = front * pulses(wall.along, max(length / max(round(length / 5.0), 1), 1.0), 3.6, wall.footprint)
        goods = 0.35 + 0.65 * np.clip(
            0.5 + 0.5 * look.grain(wall.along * 6.0, wall.height * 6.0, wall.footprint * 6.0), 0.0, 1.5
        )
        radiance = radiance + (indoors.shop[:, None, None] * goods - radiance) * front
    canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, np.asarray(radiance, np.float32))


def _ground(
    canvas: Canvas,
    rng: np.random.Generator,
    lamps: list[tuple[Place, Array]],
    ambient: Array,
    glints: list[tuple[float, float, Array]],
) -> None:
    """Asphalt or setts under the lamps; when wet, lights mirror in it as streaks (slope x, slope y, strength (3,))."""
    albedo = pick(rng, [(0.09, 0.09, 0.09), (0.14, 0.13, 0.12), (0.2, 0.18, 0.16)])
    coarse, fine = Texture(rng, 6.0), Texture(rng, 0.4)
    joint = float(rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else 0.0
    wet = float(rng.uniform(0.1, 0.6)) if rng.random() < 0.5 else 0.0
    rows, cols, x, z, foot = canvas.level(None)
    if rows.stop <= rows.start:
        return
    big = coarse(x, z, foot)
    tone = np.clip(1.0 + 0.15 * big + 0.15 * fine(x, z, foot), 0.1, 2.0)
    if joint:
        tone *= 1.0 - 0.4 * np.maximum(pulses(x, joint, 0.03, foot), pulses(z + 0 * x, joint, 0.03, foot))
    zero = np.zeros((1, 1), np.float32)
    light = _lamplight(lamps, x, zero, z, np.array([0.0, 1.0, 0.0], np.float32), ambient)
    radiance = albedo[:, None, None] * light * tone
    for gx, gy, strength in glints if wet else []:
        below = np.abs(canvas.y[rows] + gy)
        across = (canvas.x - gx) / (0.012 + 0.15 * below)
        streak = np.exp(-across * across) * np.exp(-below * 5.0) * np.clip(0.6 + 0.5 * big, 0.05, 2.0)
        radiance = radiance + strength[:, None, None] * (streak * np.float32(wet * 0.018))
    canvas.paint(rows, cols, 1.0, np.asarray(radiance, np.float32))


def _bulb(canvas: Canvas, at: Place, radius: float, radiance: Array) -> None:
    shape = ball(canvas, at, max(radius, 0.35 * canvas.pixel * at[2]))
    if shape is not None:
        small = min((radius / max(radius, 0.35 * canvas.pixel * at[2])) ** 2, 1.0)
        canvas.add(shape[0], shape[1], shape[2] * np.float32(small), radiance)


def _street(canvas: Canvas, rng: np.random.Generator, tint: Array, ambient: Array) -> float:
    half, bend = float(rng.uniform(4.0, 9.0)), float(rng.uniform(-0.15, 0.15))
    candela = float(np.exp(rng.uniform(np.log(250.0), np.log(1500.0))))
    spacing, tall = float(rng.uniform(12.0, 28.0)), float(rng.uniform(4.0, 8.0))
    power = np.asarray(tint * (candela / math.pi), np.float32)
    lamps: list[tuple[Place, Array]] = []
    z, side = float(rng.uniform(4.0, 14.0)), 1.0 if rng.random() < 0.5 else -1.0
    while z < 110.0 and len(lamps) < 6:
        lamps.append(((side * (half - 1.2) + bend * z, tall, z), power))
        z += spacing
        side = -side
    cars = []
    for _ in range(int(rng.integers(0, 4))):
        cz = float(np.exp(rng.uniform(np.log(8.0), np.log(60.0))))
        coming = rng.random() < 0.5
        cars.append((cz, (-1.6 if coming else 1.6) + bend * cz, coming))
    head, tail = planckian(4500.0) * 4.0e3, colour(60.0, 1.5, 0.8) * 3.0
    glints = [(p[0] / p[2], (p[1] - canvas.eye) / p[2], c * 60.0) for p, c in lamps]
    glints += [(x / z, 0.0, np.asarray((head if c else tail) * 0.2, np.float32)) for z, x, c in cars]
    _ground(canvas, rng, lamps, ambient, glints)
    blocks = []
    for s in (-1.0, 1.0):
        z = float(rng.uniform(-3.0, 4.0))
        while z < 110.0:
            length, height = float(rng.uniform(8.0, 20.0)), float(rng.uniform(6.0, 20.0))
            ground = corners((s * (half + 5.0) + bend * (z + length / 2), z + length / 2), (10.0, length), -bend)
            blocks.append((z, ground, height, Facade.draw(rng), _Indoors.draw(rng, shops=True)))
            z += length + (float(rng.uniform(2.0, 9.0)) if rng.random() < 0.2 else 0.0)
    for _, ground, height, look, indoors in sorted(blocks, key=lambda b: -b[0]):
        for _, a, b in visible_faces(ground):
            wall = canvas.wall(a, b, 0.0, height)
            if wall is not None:
                light = _lamplight(lamps, wall.x, wall.height, wall.depth, wall.normal, ambient)
                _facade(canvas, wall, math.dist(a, b), look, light, indoors)
    for at, _ in reversed(lamps):
        post = canvas.around(at[0], 0.0, at[2], -0.3, 0.3, 0.0, tall)
        if post is not None:
            rows, cols, px, py, foot = post
            alpha = np.clip((0.06 - np.abs(px)) / foot + 0.5, 0.0, 1.0) * np.clip(
                (np.float32(tall) - py) / foot, 0.0, 1.0
            )
            alpha = alpha * np.clip(py / foot + 0.5, 0.0, 1.0)
            canvas.paint(rows, cols, alpha, ambient * np.float32(0.3))
        _bulb(canvas, at, 0.16, np.asarray(tint * (candela / (math.pi * 0.16**2)), np.float32))
    for z, x, coming in sorted(cars, reverse=True):
        body = canvas.wall((x - 0.85, z + 0.3), (x + 0.85, z + 0.3), 0.2, 1.35)
        if body is not None:
            canvas.paint(body.region.rows, body.region.cols, body.region.alpha, ambient * np.float32(0.25))
        for offset in (-0.65, 0.65):
            _bulb(canvas, (x + offset, 0.7, z), 0.09, np.asarray(head if coming else tail, np.float32))
    for _ in range(int(rng.integers(0, 4))):
        z = float(np.exp(rng.uniform(np.log(4.0), np.log(30.0))))
        x = float(rng.uniform(-0.8, 0.8)) * half + bend * z
        near = min(lamps, key=lambda lamp: math.dist(lamp[0], (x, 1.0, z)))[0]
        toward = np.array([near[0] - x, near[1] - 1.0, near[2] - z], np.float32)
        distance = float(np.linalg.norm(toward))
        paint_figure(canvas, passer_by(rng), (x, 0.0, z), ambient, power / distance**2, toward / distance)
    return float(luminance(power)) / tall**2 * 0.6


def _across(canvas: Canvas, rng: np.random.Generator, tint: Array, ambient: Array) -> float:
    """Buildings in a row at a distance, one of them floodlit from below, over water or a dark square."""
    z = float(rng.uniform(30.0, 110.0))
    water = rng.random() < 0.5
    flood = np.asarray(
        planckian(float(rng.choice([2200.0, 3200.0, 6500.0]))) * float(np.exp(rng.uniform(np.log(2.0), np.log(25.0)))),
        np.float32,
    )
    reach = 0.62 * z / canvas.focal
    lamps: list[tuple[Place, Array]] = []
    for _ in range(int(rng.integers(2, 6))):
        lamps.append(
            (
                (float(rng.uniform(-1.0, 1.0)) * reach, float(rng.uniform(3.0, 6.0)), z - float(rng.uniform(2.0, 6.0))),
                np.asarray(tint * float(np.exp(rng.uniform(np.log(60.0), np.log(400.0)))) / math.pi, np.float32),
            )
        )
    if not water:
        _ground(canvas, rng, lamps, ambient, [(p[0] / p[2], (p[1] - canvas.eye) / p[2], c * 40.0) for p, c in lamps])
    x = -1.3 * reach
    star = int(rng.integers(1, 4))
    number = 0
    while x < 1.3 * reach:
        width, height = float(rng.uniform(0.25, 0.6)) * reach, float(rng.uniform(0.08, 0.35)) * z
        depth = z + float(rng.uniform(0.0, 25.0))
        wall = canvas.wall((x, depth), (x + width, depth), 0.0, height)
        look, indoors = Facade.draw(rng), _Indoors.draw(rng, shops=False)
        if wall is not None:
            light = _lamplight(lamps, wall.x, wall.height, wall.depth, wall.normal, ambient)
            if number == star:
                wash = np.exp(-wall.height * np.float32(1.2 / height)) * (
                    0.75 + 0.25 * pulses(wall.along, width / 5, width / 8, wall.footprint)
                )
                light = light + flood[:, None, None] * wash
            _facade(canvas, wall, width, look, light, indoors)
        number += 1
        x += width * (1.0 if rng.random() < 0.8 else 1.25)
    for at, power in lamps:
        _bulb(canvas, at, 0.2, power * np.float32(8.0))
    for _ in range(int(rng.integers(0, 30))):
        spot = pick(rng, [(0.9, 0.6, 0.25), (0.9, 0.85, 0.7), (0.9, 0.2, 0.15), (0.3, 0.5, 0.9)]) * float(
            np.exp(rng.uniform(np.log(30.0), np.log(2000.0)))
        )
        _bulb(
            canvas,
            (float(rng.uniform(-1.2, 1.2)) * reach, float(rng.uniform(0.3, 5.0)), z - 1.0),
            0.1,
            np.asarray(spot, np.float32),
        )
    if water:
        ripple = Texture(rng, 3.0, bands=3, roughness=0.9)
        rows, cols, gx, gz, foot = canvas.level(None)
        top = rows.start
        wave = ripple(gx * 0.3, gz, foot * 0.5)
        source = np.clip(2 * top - 1 - np.arange(rows.start, rows.stop), 0, canvas.height - 1)
        mirrored = canvas.linear[:, source]
        mirrored = (mirrored + np.roll(mirrored, 1, axis=1) + np.roll(mirrored, -1, axis=1)) / np.float32(3.0)
        canvas.paint(rows, cols, 1.0, np.asarray(mirrored * np.clip(0.35 + 0.18 * wave, 0.02, 0.9), np.float32))
    return float(luminance(flood))
