"""Outdoors by day: sky and sun, clouds, hills, ground, water, houses, streets, trees."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
from hdr.data.scenes.light import Daylight, daylight, luminance
from hdr.data.scenes.nature import Mound, Tree, paint_mound, paint_ridge, paint_tree, tree_shadow
from hdr.data.scenes.people import paint_figure, passer_by
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.solids import cast_shadow, corners, pick, visible_faces
from hdr.data.scenes.street import Facade, car_outline, paint_car, paint_facade, paint_roof
from hdr.data.scenes.sky import paint_sky
from hdr.data.scenes.terrain import paint_ground
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]


def draw_weather(rng: np.random.Generator) -> Daylight:
    """Weather, time of day and where the sun stands, as photographs have them: mostly high and behind or beside."""
    weather = str(rng.choice(["clear", "hazy", "broken", "overcast"], p=[0.36, 0.2, 0.24, 0.2]))
    low = rng.random() < 0.2
    elevation = float(rng.uniform(3.0, 14.0) if low else rng.uniform(18.0, 65.0))
    side = 1.0 if rng.random() < 0.5 else -1.0
    azimuth = side * float(rng.uniform(0.0, 40.0) if rng.random() < 0.22 else rng.uniform(60.0, 175.0))
    return daylight(weather, elevation, azimuth)


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One outdoor scene in daylight."""
    light = draw_weather(rng)
    place = str(rng.choice(["country", "town", "coast", "garden"], p=[0.32, 0.36, 0.14, 0.18]))
    canvas = Canvas(
        size,
        focal=float(rng.uniform(0.75, 1.6)),
        horizon=float(rng.uniform(-0.22, 0.1)),
        eye=float(rng.uniform(1.5, 2.2) if place != "coast" else rng.uniform(2.0, 9.0)),
    )
    clear = float(rng.uniform(500.0, 3000.0) if light.weather in ("hazy", "overcast") else rng.uniform(2000.0, 9000.0))
    paint_sky(canvas, rng, light)
    kinds = {
        "country": ["grass", "meadow", "snow", "earth"],
        "town": ["asphalt", "paving"],
        "coast": ["water", "sand"],
        "garden": ["grass", "meadow"],
    }[place]
    weights = {"country": [0.4, 0.3, 0.15, 0.15], "town": [0.5, 0.5], "coast": [0.75, 0.25], "garden": [0.7, 0.3]}[
        place
    ]
    kind = str(rng.choice(kinds, p=weights))
    for depth in sorted(rng.uniform(400.0, 3000.0, int(rng.integers(1, 4))))[::-1]:
        wood = pick(rng, [(0.06, 0.08, 0.04), (0.12, 0.11, 0.07), (0.2, 0.18, 0.15)])
        paint_ridge(
            canvas,
            light,
            Texture(rng, depth * 0.9, bands=3, roughness=0.4),
            wood,
            float(depth),
            depth * float(rng.uniform(0.01, 0.08)),
            depth * float(rng.uniform(0.01, 0.05)),
            clear,
            Texture(rng, depth * 0.05, bands=2),
        )

    buildings = _plan_buildings(rng, place)
    trees = _plan_trees(rng, place) if kind != "water" else []
    cars, walkers, mounds = _plan_small_things(rng, place, kind == "water")
    rows = canvas.level(None)[0]
    shadow: Array = np.ones((rows.stop - rows.start, canvas.width), dtype=np.float32)
    if light.weather != "overcast" and rows.stop > rows.start:
        for ground, height, _, _ in buildings:
            cast_shadow(canvas, ground, height, light, shadow, rows)
        for at, tree in trees:
            tree_shadow(canvas, tree, at, light, shadow, rows)
        for centre, yaw, _ in cars:
            cast_shadow(canvas, car_outline(centre, yaw), 1.2, light, shadow, rows)
        for at in walkers:
            cast_shadow(canvas, corners(at, (0.35, 0.25), 0.0), 1.7, light, shadow, rows)
    paint_ground(canvas, rng, light, kind, shadow, clear)
    if rng.random() < 0.75 and place != "coast":
        depth = float(rng.uniform(60.0, 160.0))
        paint_ridge(
            canvas,
            light,
            Texture(rng, 14.0, bands=3, roughness=0.75),
            pick(rng, [(0.05, 0.08, 0.03), (0.1, 0.1, 0.05)]),
            depth,
            float(rng.uniform(2.0, 8.0)),
            float(rng.uniform(0.6, 2.0)),
            clear,
            Texture(rng, 2.5, bands=3),
        )

    jobs: list[tuple[float, Callable[[], None]]] = []
    for ground, height, look, roof in buildings:
        jobs.append(
            (min(p[1] for p in ground), partial(_paint_building, canvas, ground, height, look, roof, light, clear))
        )
    for at, tree in trees:
        jobs.append((at[1], partial(paint_tree, canvas, tree, at, light, clear)))
    for centre, yaw, tint in cars:
        jobs.append((centre[1] - 2.0, partial(paint_car, canvas, centre, yaw, tint, light, clear)))
    for at in walkers:
        jobs.append(
            (
                at[1],
                partial(
                    paint_figure,
                    canvas,
                    passer_by(rng),
                    (at[0], 0.0, at[1]),
                    light.sky * 0.6 + 0.1 * light.white,
                    light.sun,
                    light.sun_direction,
                ),
            )
        )
    for at, mound in mounds:
        jobs.append((at[1], partial(paint_mound, canvas, mound, at, light, clear)))
    for _, paint in sorted(jobs, key=lambda job: -job[0]):
        paint()
    picture = canvas.finish(vignette=float(rng.uniform(0.0, 0.7)), glare=float(rng.uniform(0.004, 0.02)))
    key = 0.18 * float(luminance(light.white))
    return Rendering(linear=picture, key_luminance=key, white=_white(light))


def _paint_building(
    canvas: Canvas, ground: list[Point], height: float, look: Facade, roof: Array | None, light: Daylight, clear: float
) -> None:
    for _, a, b in visible_faces(ground):
        wall = canvas.wall(a, b, 0.0, height)
        if wall is not None:
            paint_facade(canvas, wall, math.dist(a, b), look, light, clear)
    if roof is not None:
        paint_roof(canvas, ground, height, float(roof[3]), roof[:3], light, look.grain, clear)


def _white(light: Daylight) -> Array:
    return np.asarray(light.white / luminance(light.white), dtype=np.float32)


def _plan_buildings(rng: np.random.Generator, place: str) -> list[tuple[list[Point], float, Facade, Array | None]]:
    plan: list[tuple[list[Point], float, Facade, Array | None]] = []
    if place == "town":
        half = float(rng.uniform(6.0, 13.0))
        turn = float(rng.uniform(-0.12, 0.12))
        tall = float(rng.uniform(7.0, 24.0))
        for side in (-1.0, 1.0):
            if side > 0 and rng.random() < 0.3:
                continue
            z = float(rng.uniform(2.0, 14.0))
            while z < 130.0:
                length = float(rng.uniform(9.0, 24.0))
                depth = float(rng.uniform(8.0, 14.0))
                centre = (side * (half + depth / 2) + turn * z + float(rng.uniform(-0.6, 0.6)), z + length / 2)
                roof = np.append(pick(rng, [(0.28, 0.11, 0.07), (0.12, 0.12, 0.13)]), np.float32(rng.uniform(2.0, 4.5)))
                plan.append(
                    (
                        corners(centre, (depth, length), turn),
                        tall * float(rng.uniform(0.6, 1.4)),
                        Facade.draw(rng),
                        roof if rng.random() < 0.5 else None,
                    )
                )
                z += length + (float(rng.uniform(2.0, 14.0)) if rng.random() < 0.3 else 0.05)
        if rng.random() < 0.6:
            plan.append(
                (
                    corners(
                        (float(rng.uniform(-6, 6)) + turn * 140, 140.0), (30.0, 14.0), float(rng.uniform(-0.3, 0.3))
                    ),
                    tall * float(rng.uniform(0.8, 2.2)),
                    Facade.draw(rng),
                    None,
                )
            )
        return plan
    if place == "country":
        n = int(rng.integers(0, 4))
    elif place == "garden":
        n = int(rng.random() < 0.5)
    else:
        n = 0
    for i in range(n):
        z = float(rng.uniform(16.0, 80.0))
        centre = ((i - (n - 1) / 2) * 0.55 * z + float(rng.uniform(-0.12, 0.12)) * z, z)
        size = (float(rng.uniform(7.0, 14.0)), float(rng.uniform(6.0, 9.0)))
        roof = np.append(
            pick(rng, [(0.3, 0.1, 0.06), (0.12, 0.12, 0.13), (0.2, 0.14, 0.1)]), np.float32(rng.uniform(2.0, 4.0))
        )
        plan.append(
            (corners(centre, size, float(rng.uniform(-0.8, 0.8))), float(rng.uniform(2.8, 6.5)), Facade.draw(rng), roof)
        )
    return plan


def _plan_trees(rng: np.random.Generator, place: str) -> list[tuple[Point, Tree]]:
    n = {
        "country": int(rng.integers(2, 7)),
        "town": int(rng.integers(0, 4)),
        "coast": int(rng.integers(0, 2)),
        "garden": int(rng.integers(4, 9)),
    }[place]
    autumn = bool(rng.random() < 0.12)
    trees = []
    for _ in range(n):
        z = float(np.exp(rng.uniform(np.log(7.0), np.log(60.0))))
        lateral = float(rng.uniform(-0.75, 0.75)) * z
        if place == "town":
            lateral = math.copysign(float(rng.uniform(3.5, 6.0)), lateral)
        tall = float(rng.uniform(4.0, 12.0)) if place != "garden" else float(rng.uniform(1.5, 9.0))
        trees.append(((lateral, z), Tree.draw(rng, tall, autumn)))
    return trees


def _plan_small_things(
    rng: np.random.Generator, place: str, water: bool
) -> tuple[list[tuple[Point, float, Array]], list[Point], list[tuple[Point, Mound]]]:
    """Cars (centre, yaw, paint), passers-by, and rocks or bushes."""
    cars: list[tuple[Point, float, Array]] = []
    if place == "town" or (place == "country" and rng.random() < 0.25):
        side = 1.0 if rng.random() < 0.5 else -1.0
        z = float(rng.uniform(5.0, 12.0))
        for _ in range(int(rng.integers(0, 5))):
            paint = pick(
                rng,
                [
                    (0.7, 0.7, 0.7),
                    (0.02, 0.02, 0.025),
                    (0.25, 0.26, 0.28),
                    (0.4, 0.03, 0.03),
                    (0.04, 0.08, 0.25),
                    (0.75, 0.74, 0.7),
                    (0.08, 0.09, 0.1),
                ],
            )
            cars.append(((side * float(rng.uniform(3.2, 4.2)), z), float(rng.normal(0.0, 0.06)), paint))
            z += float(rng.uniform(5.5, 14.0))
    walkers: list[Point] = []
    most = 0 if water else 4 if place == "town" else 1
    for _ in range(int(rng.integers(0, most + 1))):
        z = float(np.exp(rng.uniform(np.log(3.5), np.log(35.0))))
        walkers.append((float(rng.uniform(-0.4, 0.4)) * z, z))
    mounds: list[tuple[Point, Mound]] = []
    least, most = {"coast": (1, 4), "garden": (2, 5), "country": (1, 4), "town": (0, 0)}[place]
    for _ in range(int(rng.integers(least, most + 1))):
        z = float(np.exp(rng.uniform(np.log(4.0), np.log(30.0))))
        rock = place == "coast" or bool(rng.random() < 0.25)
        mounds.append(((float(rng.uniform(-0.6, 0.6)) * z, z), Mound.draw(rng, rock)))
    return cars, walkers, mounds
