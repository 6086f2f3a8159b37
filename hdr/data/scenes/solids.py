"""Colours, boxes, balls and the shadows they cast."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point, Region
from hdr.data.scenes.light import SUN_DISC, SUN_DISC_LIMIT, SUN_RADIUS, Daylight, luminance
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]


def colour(red: float, green: float, blue: float) -> Array:
    """A reflectance or a radiance (3,), linear Rec. 709."""
    return np.array([red, green, blue], dtype=np.float32)


def pick(rng: np.random.Generator, choices: list[tuple[float, float, float]], spread: float = 0.035) -> Array:
    """One of the reflectances, varied by ``spread`` (relative) in each channel and three times that in all together."""
    base = np.array(choices[int(rng.integers(len(choices)))])
    varied = base * np.exp(rng.normal(0.0, spread, 3) + rng.normal(0.0, 3.0 * spread))
    return np.asarray(np.clip(varied, 0.01, 0.92), dtype=np.float32)


def faded(light: Daylight, radiance: Array, depth: Array | float, clear: float) -> Array:
    """Aerial perspective: ``radiance`` (3, h, w) or (3,) through ``depth`` metres of air of visibility ``clear``."""
    kept = np.exp(-np.asarray(depth, dtype=np.float32) * np.float32(1.0 / clear))
    haze = light.haze[:, None, None] if radiance.ndim == 3 else light.haze
    return np.asarray(haze + (radiance - haze) * kept, dtype=np.float32)


def corners(centre: Point, size: Point, yaw: float) -> list[Point]:
    """The four ground corners (X, Z) of a box, in order round it."""
    c, s = float(np.cos(yaw)), float(np.sin(yaw))
    w, d = size[0] / 2, size[1] / 2
    return [(centre[0] + c * u - s * v, centre[1] + s * u + c * v) for u, v in ((-w, -d), (w, -d), (w, d), (-w, d))]


def visible_faces(ground: list[Point]) -> list[tuple[int, Point, Point]]:
    """The faces of a box that turn towards the camera: index, left and right ground corner."""
    faces = []
    middle = (sum(p[0] for p in ground) / 4, sum(p[1] for p in ground) / 4)
    for i in range(4):
        a, b = ground[i], ground[(i + 1) % 4]
        normal = (b[1] - a[1], a[0] - b[0])
        if normal[0] * (a[0] - middle[0]) + normal[1] * (a[1] - middle[1]) < 0:
            normal = (-normal[0], -normal[1])
        if normal[0] * a[0] + normal[1] * a[1] < 0:
            faces.append((i, a, b))
    return faces


def cast_shadow(canvas: Canvas, ground: list[Point], height: float, light: Daylight, onto: Array, rows: slice) -> None:
    """Darken the sun's visibility ``onto`` (rows of the ground, full width) by the shadow of a box."""
    if light.sun_direction[1] < 0.03:
        return
    k = height / float(light.sun_direction[1])
    dx, dz = -float(light.sun_direction[0]) * k, -float(light.sun_direction[2]) * k
    moved = [(x + dx, z + dz) for x, z in ground]
    points = _hull(ground + moved)
    shade_ground(canvas, canvas.polygon([(x, 0.0, z) for x, z in points], soft=2.0), onto, rows)


def shade_ground(canvas: Canvas, region: Region | None, onto: Array, rows: slice, strength: float = 1.0) -> None:
    """Take ``strength`` of the sun from ``onto`` (``rows`` of the picture, full width) where ``region`` covers it."""
    if region is None:
        return
    top = max(region.rows.start, rows.start)
    bottom = min(region.rows.stop, rows.stop)
    if bottom > top:
        part = region.alpha[top - region.rows.start : bottom - region.rows.start]
        view = onto[top - rows.start : bottom - rows.start, region.cols]
        np.minimum(view, 1.0 - np.float32(strength) * part, out=view)


def darken_below(canvas: Canvas, at: Point, radius: float, strength: float) -> None:
    """Contact shadow: the ground about (X, Z), where a thing stands, loses up to ``strength`` of its light."""
    turns = [i * math.pi / 4.0 for i in range(8)]
    region = canvas.polygon(
        [(at[0] + radius * math.cos(a), 0.0, at[1] + radius * math.sin(a)) for a in turns], soft=6.0
    )
    if region is not None:
        canvas.linear[:, region.rows, region.cols] *= 1.0 - np.float32(strength) * region.alpha


def _hull(points: list[Point]) -> list[Point]:
    """Convex hull (Andrew's monotone chain)."""
    ordered = sorted(points)

    def half(sequence: list[Point]) -> list[Point]:
        chain: list[Point] = []
        for p in sequence:
            while (
                len(chain) > 1
                and (
                    (chain[-1][0] - chain[-2][0]) * (p[1] - chain[-2][1])
                    - (chain[-1][1] - chain[-2][1]) * (p[0] - chain[-2][0])
                )
                <= 1e-9
            ):
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return half(ordered) + half(ordered[::-1])


def paint_box(
    canvas: Canvas,
    ground: list[Point],
    bottom: float,
    top: float,
    albedo: Array,
    shade: dict[str, Array],
    grain: Texture,
    contrast: float = 0.12,
) -> None:
    """A box of one material. ``shade`` maps 'top' and the faces '0' to '3' to the radiance (3,) of white there."""
    if canvas.eye > top:
        region = canvas.polygon([(x, top, z) for x, z in ground])
        if region is not None:
            rows, cols, x, z, foot = canvas.level(region, at=top)
            tone = np.clip(1.0 + contrast * grain(x, z, foot), 0.1, 3.0)
            canvas.paint(rows, cols, region.alpha, (albedo * shade["top"])[:, None, None] * tone)
    for index, a, b in visible_faces(ground):
        wall = canvas.wall(a, b, bottom, top)
        if wall is not None:
            tone = np.clip(1.0 + contrast * grain(wall.along, wall.height, wall.footprint), 0.1, 3.0)
            face = (albedo * shade[str(index)])[:, None, None] * tone
            canvas.paint(wall.region.rows, wall.region.cols, wall.region.alpha, face)


def spark(canvas: Canvas, at: tuple[float, float, float], radius: float, radiance: Array) -> None:
    """Add a small bright disc. One finer than a pixel keeps its light: it is drawn larger and dimmer."""
    drawn = max(radius, 0.5 * canvas.pixel * at[2])
    shape = ball(canvas, at, drawn)
    if shape is not None:
        share = radius**2 / (drawn**2 + (canvas.pixel * at[2]) ** 2 / 12.0)  # a disc's soft edge adds a twelfth pixel
        canvas.add(shape[0], shape[1], shape[2] * np.float32(share), radiance)


def sun_glint(canvas: Canvas, at: tuple[float, float, float], curvature: float, light: Daylight, mirror: float) -> None:
    """The sun's image on a glossy convex surface with a radius of curvature in metres and reflectance ``mirror``.

    A convex mirror of radius R shows the sun as a disc of R/2 times the sun's angle; its luminance is that of the sun
    times the reflectance, and a pixel receives its share of it, at most :data:`SUN_DISC_LIMIT`.
    """
    power = float(luminance(light.sun))
    image = 0.5 * curvature * SUN_RADIUS
    drawn = max(image, 0.5 * canvas.pixel * at[2])
    level = min(SUN_DISC * power / 4.0e4 * mirror * (image / drawn) ** 2, SUN_DISC_LIMIT)
    if power > 0.0:
        spark(canvas, at, drawn, np.asarray(light.sun * np.float32(level / power), np.float32))


def ball(
    canvas: Canvas, centre: tuple[float, float, float], radius: float, squash: float = 1.0
) -> tuple[slice, slice, Array, Array, Array, Array] | None:
    """A ball: rows, columns, coverage and the normal's three parts (h, w), z pointing away from the camera.

    ``squash`` is its width over its height.
    """
    wide = radius * squash
    found = canvas.around(centre[0], centre[1], centre[2], -wide, wide, -radius, radius)
    if found is None:
        return None
    rows, cols, x, y, foot = found
    nx, ny = x * np.float32(1.0 / wide), y * np.float32(1.0 / radius)
    square = nx * nx + ny * ny
    distance = np.sqrt(square)
    alpha = np.clip((1.0 - distance) * np.float32(radius / foot) + 0.5, 0.0, 1.0)
    nz = -np.sqrt(np.maximum(1.0 - square, 0.0))
    shape = alpha.shape
    return rows, cols, alpha, np.broadcast_to(nx, shape), np.broadcast_to(ny, shape), nz
