"""Cars by day: bodies that mirror the sky, dark cabins, wheels, lamps."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
from hdr.data.scenes.light import Daylight, luminance, planckian
from hdr.data.scenes.solids import ball, corners, faded, pick, spark, sun_glint, visible_faces
from hdr.data.scenes.texture import ramp

Array = npt.NDArray[np.float32]

_PAINTS = [
    (0.7, 0.7, 0.7),
    (0.02, 0.02, 0.025),
    (0.25, 0.26, 0.28),
    (0.4, 0.03, 0.03),
    (0.04, 0.08, 0.25),
    (0.75, 0.74, 0.7),
    (0.08, 0.09, 0.1),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Car:
    """A car standing or driving along the Z axis, turned by ``yaw``."""

    centre: Point
    yaw: float
    paint: Array
    coming: bool
    """Its front faces the camera."""
    lamps: float
    """Luminance of its lamps in cd/m2; 0: they are off."""
    bonnet: float
    """Height of the body in metres."""
    roof: float

    @staticmethod
    def draw(rng: np.random.Generator, centre: Point, dim: bool) -> Car:
        """``dim``: under dark skies more drivers switch their lamps on."""
        lit = rng.random() < (0.8 if dim else 0.4)
        return Car(
            centre=centre,
            yaw=float(rng.normal(0.0, 0.06)),
            paint=pick(rng, _PAINTS),
            coming=bool(rng.random() < 0.6),
            lamps=float(np.exp(rng.uniform(np.log(4e4), np.log(4e5)))) if lit else 0.0,
            bonnet=float(rng.uniform(0.8, 0.95)),
            roof=float(rng.uniform(1.35, 1.65)),
        )

    @property
    def ground(self) -> list[Point]:
        """The ground corners."""
        return corners(self.centre, (1.8, 4.3), self.yaw)


def paint_car(canvas: Canvas, car: Car, light: Daylight, clear: float) -> None:
    """A car by day, with the dark beneath it and the sun's images on its curves."""
    centre, yaw = car.centre, car.yaw
    under = canvas.polygon([(x, 0.02, z) for x, z in corners(centre, (1.75, 4.2), yaw)], soft=2.0)
    if under is None:
        return
    canvas.paint(under.rows, under.cols, under.alpha * np.float32(0.97), 0.0015 * light.white)
    glass = np.asarray(0.003 * light.white + 0.07 * light.haze, np.float32)
    _body(canvas, car, light, clear)
    nearer = 0.35 if car.coming else -0.35
    low = corners((centre[0], centre[1] + nearer * 0.6), (1.66, 2.7), yaw)
    high = corners((centre[0], centre[1] + nearer * 0.2), (1.3, 1.6), yaw)
    for index, a, b in visible_faces(low):
        i, j = index, (index + 1) % 4
        quad = [(a[0], car.bonnet, a[1]), (b[0], car.bonnet, b[1])]
        quad += [(high[j][0], car.roof, high[j][1]), (high[i][0], car.roof, high[i][1])]
        _panel(canvas, quad, car.paint * light.lit(np.array([0.0, 0.5, -0.85], np.float32)), light, centre[1], clear)
        middle = [sum(p[k] for p in quad) / 4 for k in range(3)]
        pane = [tuple(middle[k] + (p[k] - middle[k]) * 0.86 for k in range(3)) for p in quad]
        _panel(canvas, pane, glass, light, centre[1], clear, 0.9)  # type: ignore[arg-type]
    if canvas.eye > car.roof:
        _panel(canvas, [(x, car.roof, z) for x, z in high], _top(car, light), light, centre[1], clear)
    _wheels(canvas, car, light, clear)
    _lights(canvas, car, light)


def _body(canvas: Canvas, car: Car, light: Daylight, clear: float) -> None:
    if canvas.eye > car.bonnet:
        _panel(canvas, [(x, car.bonnet, z) for x, z in car.ground], _top(car, light), light, car.centre[1], clear)
    for _, a, b in visible_faces(car.ground):
        wall = canvas.wall(a, b, 0.22, car.bonnet)
        if wall is None:
            continue
        # The flank bulges: its upper part mirrors the sky, its lower part the dark street.
        bulge = ramp(wall.height, 0.3, car.bonnet)
        face = (car.paint * light.lit(wall.normal))[:, None, None] * (0.45 + 0.55 * bulge)
        face = face + (0.10 * light.haze)[:, None, None] * bulge**3
        canvas.paint(
            wall.region.rows,
            wall.region.cols,
            wall.region.alpha,
            faded(light, np.asarray(face, np.float32), car.centre[1], clear),
        )


def _top(car: Car, light: Daylight) -> Array:
    up = np.array([0.0, 1.0, 0.0], np.float32)
    return np.asarray(car.paint * light.lit(up) + 0.08 * light.haze, np.float32)


def _panel(
    canvas: Canvas,
    points: list[tuple[float, float, float]],
    radiance: Array,
    light: Daylight,
    depth: float,
    clear: float,
    fade: float = 0.0,
) -> None:
    """A flat part; ``fade`` darkens it towards its foot."""
    region = canvas.polygon(points)
    if region is None:
        return
    rise = np.linspace(1.0, 1.0 - fade, region.alpha.shape[0], dtype=np.float32)[:, None]
    tone = np.broadcast_to(rise, region.alpha.shape)
    canvas.paint(region.rows, region.cols, region.alpha, faded(light, radiance[:, None, None] * tone, depth, clear))


def _wheels(canvas: Canvas, car: Car, light: Daylight, clear: float) -> None:
    """The wheels of the side that the camera sees; seen nearly from the end of the car they are narrow."""
    x, z = car.centre
    if abs(x) < 0.9:
        return
    squash = max(min(abs(x) / max(float(np.hypot(x, z)), 0.1) * 1.5, 1.0), 0.3)
    side = 0.86 * float(np.sign(-x))
    c, s = float(np.cos(car.yaw)), float(np.sin(car.yaw))
    for along in (1.35, -1.35):
        wx, wz = x + c * side - s * along, z + s * side + c * along
        wheel = ball(canvas, (wx, 0.31, wz), 0.31, squash)
        if wheel is None:
            continue
        rows, cols, alpha, nx, ny, _ = wheel
        away = np.sqrt(nx * nx + ny * ny)
        spokes = 0.6 + 0.4 * np.sin(np.arctan2(ny, nx) * 5.0)
        hub = np.clip(4.0 - 6.0 * away, 0.0, 1.0) * spokes
        rubber = light.sky * 0.012 + light.sun * 0.004
        dark = rubber[:, None, None] + (0.3 * light.sky + 0.2 * light.sun)[:, None, None] * hub
        canvas.paint(rows, cols, alpha, faded(light, np.asarray(dark, np.float32), wz, clear))


def _lights(canvas: Canvas, car: Car, light: Daylight) -> None:
    """Lamps towards the camera, and the sun on bonnet, roof edge and hub."""
    ends = sorted(corners(car.centre, (1.4, 4.32), car.yaw), key=lambda p: p[1])[:2]
    if car.lamps > 0.0:
        tint = planckian(5000.0) if car.coming else np.array([4.5, 0.06, 0.03], np.float32)
        level = car.lamps if car.coming else car.lamps * 0.05
        for x, z in ends:
            spark(canvas, (x, 0.68, z - 0.02), 0.06, np.asarray(tint * np.float32(level), np.float32))
    if float(luminance(light.sun)) <= 0.0 or light.sun_direction[1] < 0.05:
        return
    side = 0.5 * float(np.sign(light.sun_direction[0]))
    x, z = car.centre
    sun_glint(canvas, (x + side, car.roof, z - 0.6), 1.5, light, 0.05)
    sun_glint(canvas, (x + side * 1.5, car.bonnet, z - 1.9), 0.8, light, 0.05)
    sun_glint(canvas, (ends[0][0], 0.7, z - 2.15), 0.3, light, 0.5)
