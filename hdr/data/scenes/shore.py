"""On the water by day: boats and jetties."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
from hdr.data.scenes.light import Daylight
from hdr.data.scenes.solids import colour, corners, faded, paint_box, pick, sun_glint
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Boat:
    """A sailing or motor boat, side on."""

    at: Point
    length: float
    hull: Array
    sails: bool
    heading: float
    """1: to the right; -1: to the left."""

    @staticmethod
    def draw(rng: np.random.Generator) -> Boat:
        z = float(np.exp(rng.uniform(np.log(18.0), np.log(250.0))))
        return Boat(
            at=(float(rng.uniform(-0.5, 0.5)) * z, z),
            length=float(rng.uniform(4.0, 11.0)),
            hull=pick(rng, [(0.75, 0.74, 0.7), (0.03, 0.05, 0.12), (0.3, 0.04, 0.03), (0.03, 0.03, 0.03)]),
            sails=bool(rng.random() < 0.6),
            heading=1.0 if rng.random() < 0.5 else -1.0,
        )


def paint_boat(canvas: Canvas, boat: Boat, light: Daylight, clear: float) -> None:
    """A boat, its reflection, and the sun on its window or fittings."""
    (x, z), length, way = boat.at, boat.length, boat.heading
    toward = np.array([0.0, 0.0, -1.0], np.float32)
    side = light.lit(toward)
    deck = 0.16 * length

    def part(outline: list[Point], radiance: Array, alpha: float = 1.0) -> None:
        region = canvas.polygon([(x + way * u * length, v, z) for u, v in outline])
        if region is not None:
            tint = faded(light, radiance, z, clear)
            canvas.paint(region.rows, region.cols, region.alpha * np.float32(alpha), tint)

    dark = 0.01 * light.white
    part([(-0.45, -0.02 * length), (0.4, -0.02 * length), (0.5, -deck), (-0.5, -0.8 * deck)], dark, 0.7)
    part([(-0.45, 0.0), (0.4, 0.0), (0.52, deck), (-0.5, 0.8 * deck)], boat.hull * side)
    part([(-0.45, 0.0), (0.4, 0.0), (0.42, 0.03 * length), (-0.46, 0.03 * length)], colour(0.02, 0.02, 0.02) * side)
    if boat.sails:
        cloth = np.asarray(0.75 * side + 0.25 * light.lit(-toward), np.float32)  # cloth lets light through
        part([(-0.01, deck), (0.01, deck), (0.01, 1.35 * length), (-0.01, 1.35 * length)], 0.2 * side)
        part([(-0.03, 0.3 * length), (-0.03, 1.3 * length), (-0.42, 0.3 * length)], cloth)
        part([(0.03, 0.22 * length), (0.48, deck), (0.03, 1.15 * length)], cloth)
    else:
        cabin = [(-0.3, 0.7 * deck), (0.12, 0.7 * deck), (0.05, 0.3 * length), (-0.3, 0.3 * length)]
        part(cabin, 0.7 * side)
        part([(-0.24, 0.2 * length), (0.06, 0.2 * length), (0.02, 0.27 * length), (-0.24, 0.27 * length)], dark)
    if float(light.sun_direction[1]) > 0.05:
        sun_glint(canvas, (x + 0.1 * way * length, deck, z), 1.0, light, 0.3)


@dataclasses.dataclass(frozen=True)
class Jetty:
    """A wooden landing stage that leads away from the camera."""

    at: Point
    length: float
    width: float
    height: float
    wood: Array
    grain: Texture

    @staticmethod
    def draw(rng: np.random.Generator) -> Jetty:
        side = 1.0 if rng.random() < 0.5 else -1.0
        return Jetty(
            at=(side * float(rng.uniform(1.0, 3.0)), float(rng.uniform(3.0, 6.0))),
            length=float(rng.uniform(8.0, 22.0)),
            width=float(rng.uniform(1.4, 2.4)),
            height=float(rng.uniform(0.5, 1.1)),
            wood=pick(rng, [(0.2, 0.16, 0.12), (0.3, 0.27, 0.24), (0.12, 0.1, 0.08)]),
            grain=Texture(rng, 0.8, bands=3),
        )


def paint_jetty(canvas: Canvas, jetty: Jetty, light: Daylight) -> None:
    """Posts in the dark under the planks, far ones first, then the planks."""
    (x, near), wood, top = jetty.at, jetty.wood, jetty.height
    middle = (x, near + jetty.length / 2)
    under = canvas.polygon([(u, 0.01, v) for u, v in corners(middle, (jetty.width, jetty.length), 0.0)])
    if under is not None:
        canvas.paint(under.rows, under.cols, under.alpha * np.float32(0.9), 0.002 * light.white)
    dim = np.asarray(0.08 * light.lit(np.array([0.0, 0.0, -1.0], np.float32)), np.float32)
    shade = {str(i): dim for i in range(4)} | {"top": dim}
    for z in np.arange(near + jetty.length, near - 0.1, -2.5).tolist():
        for u in (-0.45, 0.45):
            post = corners((x + u * jetty.width, z), (0.16, 0.16), 0.0)
            paint_box(canvas, post, 0.0, top, wood, shade, jetty.grain)
    bright = light.lit(np.array([0.0, 1.0, 0.0], np.float32))
    ends = {str(i): np.asarray(light.lit(n), np.float32) for i, n in enumerate(_NORMALS)} | {"top": bright}
    deck = corners(middle, (jetty.width, jetty.length), 0.0)
    paint_box(canvas, deck, top, top + 0.12, wood, ends, jetty.grain, 0.25)


_NORMALS = [np.array(n, np.float32) for n in ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0))]
