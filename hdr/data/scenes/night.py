"""After dark: streets under lamps, lit windows, floodlit buildings, skylines over water. Meant to stay dark."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, coarsened
from hdr.data.scenes.lamplight import Indoors, Place, lamplight, paint_dark_ground, paint_facade_at_night
from hdr.data.scenes.light import luminance, planckian, schlick
from hdr.data.scenes.people import paint_figure, passer_by
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.solids import colour, corners, pick, spark, visible_faces
from hdr.data.scenes.street import Facade
from hdr.data.scenes.texture import Texture, pulses

Array = npt.NDArray[np.float32]


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
        (0.7 * lamp_colour + 0.3 * planckian(9000.0)) * float(np.exp(rng.uniform(np.log(0.005), np.log(0.08)))),
        np.float32,
    )
    dusk = (
        planckian(14000.0) * float(np.exp(rng.uniform(np.log(0.004), np.log(0.5))))
        if rng.random() < 0.4
        else colour(0.0, 0.0, 0.002)
    )
    _sky(canvas, rng, air, np.asarray(dusk, np.float32))
    ambient = np.asarray(float(rng.uniform(0.04, 0.15)) * lamp_colour + 0.5 * air + 0.8 * dusk, np.float32)
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
    rows = slice(0, int(np.count_nonzero(canvas.y[:, 0] > -canvas.pixel)))  # the ground is painted over the rest
    up = np.maximum(canvas.y[rows], 0.0)
    lift = np.float32(1.0) / (up + np.float32(0.08))
    tone = 1.0 + 0.35 * cloud(canvas.x * lift, lift, np.float32(canvas.pixel) * lift * lift)
    radiance = air[:, None, None] * (tone * (0.25 + 2.0 * np.exp(-3.0 * up))) + dusk[:, None, None] * np.exp(-1.2 * up)
    canvas.linear[:, rows] = np.maximum(radiance, 1e-5)


def _street(canvas: Canvas, rng: np.random.Generator, tint: Array, ambient: Array) -> float:
    half, bend = float(rng.uniform(4.0, 9.0)), float(rng.uniform(-0.15, 0.15))
    candela = float(np.exp(rng.uniform(np.log(250.0), np.log(1500.0))))
    spacing, tall = float(rng.uniform(12.0, 28.0)), float(rng.uniform(4.0, 8.0))
    shielded = rng.random() < 0.45  # lamps that throw their light down only; from the side they are far less bright
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
        coming = bool(rng.random() < 0.5)
        cars.append((cz, (-1.6 if coming else 1.6) + bend * cz, coming))
    head = planckian(4500.0) * np.float32(np.exp(rng.uniform(np.log(4.0e3), np.log(1.0e5))))
    tail = colour(60.0, 1.5, 0.8) * 3.0
    glints = [(p[0] / p[2], (p[1] - canvas.eye) / p[2], c * 60.0) for p, c in lamps]
    glints += [(x / z, 0.0, np.asarray(head * 0.2 if c else tail * 0.2, np.float32)) for z, x, c in cars]
    # A car's beams on the road before it, as a weak lamp low above the road there.
    beams = [((x, 0.9, z - 4.0 if c else z + 5.0), np.asarray(planckian(4500.0) * 8.0, np.float32)) for z, x, c in cars]
    wet = paint_dark_ground(canvas, rng, lamps + beams, ambient, glints)
    blocks = []
    for s in (-1.0, 1.0):
        z = float(rng.uniform(-3.0, 4.0))
        while z < 110.0:
            length, height = float(rng.uniform(8.0, 20.0)), float(rng.uniform(6.0, 20.0))
            ground = corners((s * (half + 5.0) + bend * (z + length / 2), z + length / 2), (10.0, length), -bend)
            blocks.append((z, ground, height, Facade.draw(rng), Indoors.draw(rng, shops=True)))
            z += length + (float(rng.uniform(2.0, 9.0)) if rng.random() < 0.2 else 0.0)
    for _, ground, height, look, indoors in sorted(blocks, key=lambda b: -b[0]):
        for _, a, b in visible_faces(ground):
            wall = canvas.wall(a, b, 0.0, height)
            if wall is not None:
                light = lamplight(lamps, wall.x, wall.height, wall.depth, wall.normal, ambient)
                paint_facade_at_night(canvas, wall, math.dist(a, b), look, light, indoors)
    if wet:
        _wet_street(canvas, half, bend, wet)
    for at, _ in reversed(lamps):
        post = canvas.around(at[0], 0.0, at[2], -0.3, 0.3, 0.0, tall)
        if post is not None:
            rows, cols, px, py, foot = post
            alpha = np.clip((0.06 - np.abs(px)) / foot + 0.5, 0.0, 1.0)
            alpha = alpha * np.clip((np.float32(tall) - py) / foot, 0.0, 1.0) * np.clip(py / foot + 0.5, 0.0, 1.0)
            canvas.paint(rows, cols, alpha, ambient * np.float32(0.3))
        spark(canvas, at, 0.16, power * np.float32((0.08 if shielded else 1.0) / 0.16**2))
    for z, x, coming in sorted(cars, reverse=True):
        _car(canvas, (x, z), head if coming else tail, ambient)
    for _ in range(int(rng.integers(0, 4))):
        z = float(np.exp(rng.uniform(np.log(4.0), np.log(30.0))))
        x = float(rng.uniform(-0.8, 0.8)) * half + bend * z
        near = min(lamps, key=lambda lamp: math.dist(lamp[0], (x, 1.0, z)))[0]
        toward = np.array([near[0] - x, near[1] - 1.0, near[2] - z], np.float32)
        distance = float(np.linalg.norm(toward))
        paint_figure(canvas, passer_by(rng), (x, 0.0, z), ambient, power / distance**2, toward / distance)
    return float(luminance(power)) / tall**2 * 0.6


def _wet_street(canvas: Canvas, half: float, bend: float, wet: float) -> None:
    """A film of water mirrors the houses of both sides, the more the flatter one looks at it."""
    rows, cols, x, z, foot = canvas.level(None)
    if rows.stop <= rows.start:
        return
    y = -canvas.y[rows]
    mirror = schlick(0.02, y / np.sqrt(1.0 + y * y))
    road = np.clip((half - np.abs(x - np.float32(bend) * z)) / foot + 0.5, 0.0, 1.0)
    canvas.linear[:, rows, cols] += canvas.mirrored(rows, cols, -half, half, 110.0, 0.06) * (mirror * road * 0.8 * wet)


def _car(canvas: Canvas, at: tuple[float, float], lamps: Array, ambient: Array) -> None:
    """A car from its end: a dark shape with lamps."""
    (x, z), dark = at, ambient * np.float32(0.2)
    for outline, tone in (
        ([(-0.88, 0.25), (0.88, 0.25), (0.88, 0.85), (-0.88, 0.85)], 1.0),
        ([(-0.8, 0.85), (0.8, 0.85), (0.55, 1.4), (-0.55, 1.4)], 0.5),
        ([(-0.85, 0.0), (-0.62, 0.0), (-0.62, 0.3), (-0.85, 0.3)], 0.1),
        ([(0.62, 0.0), (0.85, 0.0), (0.85, 0.3), (0.62, 0.3)], 0.1),
    ):
        region = canvas.polygon([(x + u, v, z) for u, v in outline])
        if region is not None:
            canvas.paint(region.rows, region.cols, region.alpha, dark * np.float32(tone))
    for offset in (-0.65, 0.65):
        spark(canvas, (x + offset, 0.7, z), 0.09, np.asarray(lamps, np.float32))


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
        paint_dark_ground(
            canvas, rng, lamps, ambient, [(p[0] / p[2], (p[1] - canvas.eye) / p[2], c * 40.0) for p, c in lamps]
        )
    x = -1.3 * reach
    star = int(rng.integers(1, 4))
    number = 0
    while x < 1.3 * reach:
        width, height = float(rng.uniform(0.25, 0.6)) * reach, float(rng.uniform(0.08, 0.35)) * z
        depth = z + float(rng.uniform(0.0, 25.0))
        wall = canvas.wall((x, depth), (x + width, depth), 0.0, height)
        look, indoors = Facade.draw(rng), Indoors.draw(rng, shops=False)
        if wall is not None:
            light = lamplight(lamps, wall.x, wall.height, wall.depth, wall.normal, ambient)
            if number == star:
                wash = np.exp(-wall.height * np.float32(1.2 / height)) * (
                    0.75 + 0.25 * pulses(wall.along, width / 5, width / 8, wall.footprint)
                )
                light = light + flood[:, None, None] * wash
            paint_facade_at_night(canvas, wall, width, look, light, indoors)
        number += 1
        x += width * (1.0 if rng.random() < 0.8 else 1.25)
    for at, power in lamps:
        spark(canvas, at, 0.2, power * np.float32(8.0))
    for _ in range(int(rng.integers(0, 30))):
        spot = pick(rng, [(0.9, 0.6, 0.25), (0.9, 0.85, 0.7), (0.9, 0.2, 0.15), (0.3, 0.5, 0.9)]) * float(
            np.exp(rng.uniform(np.log(30.0), np.log(2000.0)))
        )
        spark(
            canvas,
            (float(rng.uniform(-1.2, 1.2)) * reach, float(rng.uniform(0.3, 5.0)), z - 1.0),
            0.1,
            np.asarray(spot, np.float32),
        )
    if water:
        ripple = Texture(rng, 3.0, bands=3, roughness=0.9)
        rows, cols, gx, gz, foot = canvas.level(None)
        wave = ripple(gx * 0.3, gz, foot * 0.5)
        mirrored = canvas.mirrored(rows, cols, -1e4, 1e4, z, 0.012)
        below_shore = np.clip((-canvas.eye / z - canvas.y[rows]) / np.float32(canvas.pixel) + 0.5, 0.0, 1.0)
        canvas.paint(rows, cols, below_shore, np.asarray(mirrored * np.clip(0.35 + 0.18 * wave, 0.02, 0.9), np.float32))
    return float(luminance(flood))
