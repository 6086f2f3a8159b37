"""Outdoors by day: sky and sun, clouds, hills, ground, water, houses, streets, trees."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.cars import paint_car
from hdr.data.scenes.light import Daylight, daylight, luminance
from hdr.data.scenes.nature import paint_mound, paint_ridge, paint_tree, tree_shadow
from hdr.data.scenes.people import paint_figure, passer_by
from hdr.data.scenes.plan import Building, Plan
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.shore import paint_boat, paint_jetty
from hdr.data.scenes.sky import paint_sky
from hdr.data.scenes.solids import cast_shadow, corners, pick, sun_glint, visible_faces
from hdr.data.scenes.street import paint_facade, paint_post, paint_roof
from hdr.data.scenes.terrain import paint_ground
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]

_GROUND = {
    "country": (["grass", "meadow", "snow", "earth"], [0.4, 0.3, 0.15, 0.15]),
    "town": (["asphalt", "paving"], [0.5, 0.5]),
    "coast": (["water", "sand"], [0.75, 0.25]),
    "garden": (["grass", "meadow"], [0.7, 0.3]),
}


def draw_weather(rng: np.random.Generator, ahead: float) -> Daylight:
    """Weather, time of day and where the sun stands: mostly high, and with the probability ``ahead`` before the camera,
    else beside or behind it, as most photographs have it."""
    weather = str(rng.choice(["clear", "hazy", "broken", "overcast"], p=[0.4, 0.18, 0.27, 0.15]))
    low = rng.random() < 0.2
    elevation = float(rng.uniform(3.0, 14.0) if low else rng.uniform(18.0, 65.0))
    side = 1.0 if rng.random() < 0.5 else -1.0
    azimuth = side * float(rng.uniform(0.0, 40.0) if rng.random() < ahead else rng.uniform(50.0, 175.0))
    return daylight(weather, elevation, azimuth)


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One outdoor scene in daylight."""
    place = str(rng.choice(list(_GROUND), p=[0.32, 0.36, 0.14, 0.18]))
    light = draw_weather(rng, 0.6 if place == "coast" else 0.25)  # people photograph the glitter of the sea
    canvas = Canvas(
        size,
        focal=float(rng.uniform(0.75, 1.6)),
        horizon=float(rng.uniform(-0.22, 0.1)),
        eye=float(rng.uniform(1.5, 2.2) if place != "coast" else rng.uniform(2.0, 6.0)),
    )
    clear = float(rng.uniform(500.0, 3000.0) if light.weather in ("hazy", "overcast") else rng.uniform(3e3, 15e3))
    paint_sky(canvas, rng, light)
    kind = str(rng.choice(_GROUND[place][0], p=_GROUND[place][1]))
    _hills(canvas, rng, light, clear)
    plan = Plan.draw(rng, place, kind, light)
    _ground(canvas, rng, plan, light, kind, clear)
    if rng.random() < 0.75 and place != "coast":
        paint_ridge(
            canvas,
            light,
            Texture(rng, 14.0, bands=3, roughness=0.75),
            pick(rng, [(0.05, 0.08, 0.03), (0.1, 0.1, 0.05)]),
            float(rng.uniform(60.0, 160.0)),
            float(rng.uniform(2.0, 8.0)),
            float(rng.uniform(0.6, 2.0)),
            clear,
            Texture(rng, 2.5, bands=3),
        )
    _things(canvas, rng, plan, light, clear)
    # The veil of a clean, coated lens: a few thousandths of the light; more with dust or a filter.
    glare = float(np.exp(rng.uniform(np.log(0.0015), np.log(0.012))))
    return Rendering(
        linear=canvas.finish(vignette=float(rng.uniform(0.0, 0.7)), glare=glare),
        key_luminance=0.18 * float(luminance(light.white)),
        white=np.asarray(light.white / luminance(light.white), dtype=np.float32),
    )


def _hills(canvas: Canvas, rng: np.random.Generator, light: Daylight, clear: float) -> None:
    for depth in sorted(rng.uniform(400.0, 3000.0, int(rng.integers(1, 4))))[::-1]:
        paint_ridge(
            canvas,
            light,
            Texture(rng, depth * 0.9, bands=3, roughness=0.4),
            pick(rng, [(0.06, 0.08, 0.04), (0.12, 0.11, 0.07), (0.2, 0.18, 0.15)]),
            float(depth),
            depth * float(rng.uniform(0.01, 0.08)),
            depth * float(rng.uniform(0.01, 0.05)),
            clear,
            Texture(rng, depth * 0.05, bands=2),
        )


def _ground(canvas: Canvas, rng: np.random.Generator, plan: Plan, light: Daylight, kind: str, clear: float) -> None:
    """The ground with the shadows of all that stands on it."""
    rows = canvas.level(None)[0]
    shadow: Array = np.ones((rows.stop - rows.start, canvas.width), dtype=np.float32)
    if light.weather != "overcast" and rows.stop > rows.start:
        for building in plan.buildings:
            cast_shadow(canvas, building.ground, building.height, light, shadow, rows)
        for at, tree in plan.trees:
            tree_shadow(canvas, tree, at, light, shadow, rows)
        for car in plan.cars:
            cast_shadow(canvas, car.ground, 1.2, light, shadow, rows)
        for at in plan.walkers:
            cast_shadow(canvas, corners(at, (0.35, 0.25), 0.0), 1.7, light, shadow, rows)
        for at, mound in plan.mounds:
            cast_shadow(
                canvas, corners(at, (0.8 * mound.width, 0.5 * mound.width), 0.0), mound.height, light, shadow, rows
            )
        for at, tall in plan.posts:
            cast_shadow(canvas, corners(at, (0.12, 0.12), 0.0), tall, light, shadow, rows)
    paint_ground(canvas, rng, light, kind, shadow, clear)


def _things(canvas: Canvas, rng: np.random.Generator, plan: Plan, light: Daylight, clear: float) -> None:
    """All that stands on the ground, far things first."""
    jobs: list[tuple[float, Callable[[], None]]] = []
    for building in plan.buildings:
        nearest = min(p[1] for p in building.ground)
        jobs.append((nearest, partial(_building, canvas, building, plan.street, light, clear)))
    for at, tree in plan.trees:
        jobs.append((at[1], partial(paint_tree, canvas, tree, at, light, clear)))
    for car in plan.cars:
        jobs.append((car.centre[1] - 2.0, partial(paint_car, canvas, car, light, clear)))
    ambient = light.sky * 0.6 + 0.1 * light.white
    for at in plan.walkers:
        foot = (at[0], 0.0, at[1])
        figure = passer_by(rng)
        jobs.append((at[1], partial(paint_figure, canvas, figure, foot, ambient, light.sun, light.sun_direction)))
    for at, mound in plan.mounds:
        jobs.append((at[1], partial(paint_mound, canvas, mound, at, light, clear)))
    for at, tall in plan.posts:
        jobs.append((at[1], partial(paint_post, canvas, at, tall, light, clear)))
    for boat in plan.boats:
        jobs.append((boat.at[1], partial(paint_boat, canvas, boat, light, clear)))
    if plan.jetty is not None:
        jobs.append((plan.jetty.at[1], partial(paint_jetty, canvas, plan.jetty, light)))
    for _, paint in sorted(jobs, key=lambda job: -job[0]):
        paint()


def _building(
    canvas: Canvas, building: Building, street: tuple[float, float] | None, light: Daylight, clear: float
) -> None:
    """Walls and roof; in a street (its width and the height of its houses) the other side's shadow climbs the walls."""
    sun = light.sun_direction
    for _, a, b in visible_faces(building.ground):
        wall = canvas.wall(a, b, 0.0, building.height)
        if wall is None:
            continue
        shaded = 0.0
        if street is not None and abs(float(wall.normal[0])) > 0.7 and float(wall.normal @ sun) > 0.0:
            shaded = max(street[1] - street[0] * float(sun[1]) / max(abs(float(sun[0])), 0.02), 0.0)
        paint_facade(canvas, wall, math.dist(a, b), building.look, light, clear, shaded, building.height)
    if building.roof is not None:
        roof = building.roof
        paint_roof(
            canvas, building.ground, building.height, float(roof[3]), roof[:3], light, building.look.grain, clear
        )
    corner = min(building.ground, key=lambda p: math.hypot(*p))
    if building.gutter and corner[1] > 2.0:
        sun_glint(canvas, (corner[0], building.height - 0.1, corner[1] - 0.1), building.gutter, light, 0.5)
