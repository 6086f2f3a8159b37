"""What stands in an outdoor scene, and where: houses, trees, cars, people, rocks, bushes, boats."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Point
from hdr.data.scenes.cars import Car
from hdr.data.scenes.light import Daylight
from hdr.data.scenes.nature import Mound, Tree
from hdr.data.scenes.shore import Boat, Jetty
from hdr.data.scenes.solids import corners, pick
from hdr.data.scenes.street import Facade

Array = npt.NDArray[np.float32]

_TOWN_ROOFS = [(0.28, 0.11, 0.07), (0.12, 0.12, 0.13)]
_HOUSE_ROOFS = [(0.3, 0.1, 0.06), (0.12, 0.12, 0.13), (0.2, 0.14, 0.1)]


@dataclasses.dataclass(frozen=True)
class Building:
    """A box with windows: its ground corners, height, look, the colour and rise (4,) of a saddle roof if any, and how
    strongly its gutter is curved where the sun glints on it (radius in metres; 0: it is dull)."""

    ground: list[Point]
    height: float
    look: Facade
    roof: Array | None
    gutter: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """All that stands on the ground of one place."""

    buildings: list[Building]
    street: tuple[float, float] | None
    """Width of the street and usual height of its houses; None: there is no street."""
    trees: list[tuple[Point, Tree]]
    cars: list[Car]
    walkers: list[Point]
    mounds: list[tuple[Point, Mound]]
    posts: list[tuple[Point, float]]
    """Lamp posts: where, and how tall."""
    boats: list[Boat]
    jetty: Jetty | None

    @staticmethod
    def draw(rng: np.random.Generator, place: str, ground: str, light: Daylight) -> Plan:
        """What a ``place`` (country, town, coast, garden) on this kind of ground holds."""
        water = ground == "water"
        street = (2.0 * float(rng.uniform(6.0, 13.0)), float(rng.uniform(7.0, 24.0))) if place == "town" else None
        return Plan(
            buildings=_town(rng, *street)
            if street is not None
            else _houses(rng, "beach" if ground == "sand" else place),
            street=street,
            trees=_trees(rng, place) if not water else [],
            cars=_cars(rng, place, light),
            walkers=_walkers(rng, 0 if water else 4 if place == "town" or ground == "sand" else 1),
            mounds=_mounds(rng, place),
            posts=_posts(rng, street[0] / 2) if street is not None else [],
            boats=[Boat.draw(rng) for _ in range(int(rng.integers(1, 4)))] if water else [],
            jetty=Jetty.draw(rng) if water and rng.random() < 0.5 else None,
        )


def _town(rng: np.random.Generator, street: float, tall: float) -> list[Building]:
    """Rows of houses on both sides of a street, sometimes one across its end."""
    plan: list[Building] = []
    turn = float(rng.uniform(-0.12, 0.12))
    for side in (-1.0, 1.0):
        if side > 0 and rng.random() < 0.3:
            continue
        z = float(rng.uniform(2.0, 14.0))
        while z < 130.0:
            length = float(rng.uniform(9.0, 24.0))
            depth = float(rng.uniform(8.0, 14.0))
            centre = (side * (street + depth) / 2 + turn * z + float(rng.uniform(-0.6, 0.6)), z + length / 2)
            roof = np.append(pick(rng, _TOWN_ROOFS), np.float32(rng.uniform(2.0, 4.5)))
            height = tall * float(rng.uniform(0.6, 1.4))
            ground = corners(centre, (depth, length), turn)
            plan.append(Building(ground, height, Facade.draw(rng), roof if rng.random() < 0.5 else None))
            z += length + (float(rng.uniform(2.0, 14.0)) if rng.random() < 0.3 else 0.05)
    if rng.random() < 0.6:
        centre = (float(rng.uniform(-6, 6)) + turn * 140, 140.0)
        ground = corners(centre, (30.0, 14.0), float(rng.uniform(-0.3, 0.3)))
        plan.append(Building(ground, tall * float(rng.uniform(0.8, 2.2)), Facade.draw(rng), None))
    return plan


def _houses(rng: np.random.Generator, place: str) -> list[Building]:
    n = {"country": int(rng.integers(0, 4)), "garden": int(rng.random() < 0.5), "beach": int(rng.integers(1, 4))}.get(
        place, 0
    )
    plan = []
    if place == "beach":  # huts, most of them open
        for i in range(n):
            centre = ((i - 0.5) * 4.5 + float(rng.uniform(-1.5, 1.5)), float(rng.uniform(9.0, 16.0)))
            roof = np.append(pick(rng, _HOUSE_ROOFS), np.float32(0.9))
            look = dataclasses.replace(Facade.draw(rng), storey=5.0, bay=6.0, door=(0.5, float(rng.random()) + 0.3))
            plan.append(Building(corners(centre, (2.6, 2.6), float(rng.uniform(-0.5, 0.5))), 2.4, look, roof))
        return plan
    for i in range(n):
        z = float(rng.uniform(16.0, 80.0))
        centre = ((i - (n - 1) / 2) * 0.55 * z + float(rng.uniform(-0.12, 0.12)) * z, z)
        size = (float(rng.uniform(7.0, 14.0)), float(rng.uniform(6.0, 9.0)))
        roof = np.append(pick(rng, _HOUSE_ROOFS), np.float32(rng.uniform(2.0, 4.0)))
        ground = corners(centre, size, float(rng.uniform(-0.8, 0.8)))
        gutter = float(rng.uniform(0.1, 0.4)) if rng.random() < 0.7 else 0.0
        plan.append(Building(ground, float(rng.uniform(2.8, 6.5)), Facade.draw(rng), roof, gutter))
    return plan


def _trees(rng: np.random.Generator, place: str) -> list[tuple[Point, Tree]]:
    least, most = {"country": (2, 7), "town": (0, 4), "coast": (0, 2), "garden": (4, 9)}[place]
    autumn = bool(rng.random() < 0.12)
    trees = []
    for _ in range(int(rng.integers(least, most))):
        z = float(np.exp(rng.uniform(np.log(7.0), np.log(60.0))))
        lateral = float(rng.uniform(-0.75, 0.75)) * z
        if place == "town":
            lateral = math.copysign(float(rng.uniform(3.5, 6.0)), lateral)
        tall = float(rng.uniform(1.5, 9.0)) if place == "garden" else float(rng.uniform(4.0, 12.0))
        trees.append(((lateral, z), Tree.draw(rng, tall, autumn)))
    if rng.random() < 0.3:  # a branch that hangs into the picture
        side = 1.0 if rng.random() < 0.5 else -1.0
        at = (side * float(rng.uniform(1.2, 2.2)), float(rng.uniform(2.4, 4.0)))
        trees.append((at, Tree.draw(rng, float(rng.uniform(4.5, 6.0)), autumn)))
    return trees


def _cars(rng: np.random.Generator, place: str, light: Daylight) -> list[Car]:
    cars: list[Car] = []
    if place == "town" or (place == "country" and rng.random() < 0.25):
        side = 1.0 if rng.random() < 0.5 else -1.0
        z = float(rng.uniform(5.0, 12.0))
        dim = light.weather == "overcast" or float(light.sun_direction[1]) < 0.25
        for _ in range(int(rng.integers(1, 5))):
            cars.append(Car.draw(rng, (side * float(rng.uniform(3.2, 4.2)), z), dim))
            z += float(rng.uniform(5.5, 14.0))
    return cars


def _walkers(rng: np.random.Generator, most: int) -> list[Point]:
    walkers = []
    for _ in range(int(rng.integers(0, most + 1))):
        z = float(np.exp(rng.uniform(np.log(3.5), np.log(35.0))))
        walkers.append((float(rng.uniform(-0.4, 0.4)) * z, z))
    return walkers


def _mounds(rng: np.random.Generator, place: str) -> list[tuple[Point, Mound]]:
    """Rocks and bushes."""
    mounds = []
    least, most = {"coast": (3, 8), "garden": (2, 5), "country": (1, 4), "town": (0, 0)}[place]
    for _ in range(int(rng.integers(least, most + 1))):
        near = 2.5 if place == "coast" else 4.0
        z = float(np.exp(rng.uniform(np.log(near), np.log(30.0))))
        rock = place == "coast" or bool(rng.random() < 0.25)
        mounds.append(((float(rng.uniform(-0.6, 0.6)) * z, z), Mound.draw(rng, rock)))
    return mounds


def _posts(rng: np.random.Generator, half: float) -> list[tuple[Point, float]]:
    if rng.random() < 0.4:
        return []
    tall, spacing = float(rng.uniform(4.0, 8.0)), float(rng.uniform(14.0, 30.0))
    side = 1.0 if rng.random() < 0.5 else -1.0
    first = float(rng.uniform(6.0, 14.0))
    return [((side * (half - 1.0), first + i * spacing), tall) for i in range(4)]
