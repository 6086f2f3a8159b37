"""Virtual photo shoots: one photographer, one camera, a few places, light that changes slowly."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hdr.data.scenes import Scene, render_scene
from hdr.data.scenes.light import luminance, planckian
from hdr.data.shoots.body import Body, bodies
from hdr.data.shoots.camera import (
    Settings,
    choose_settings,
    exposure_error,
    key_luminance,
    nearest,
    photograph,
)
from hdr.data.shoots.style import Facts, Sliders, Style, draw_shoot_offset, observe, set_by_hand, settings_for
from hdr.io.sensor import SensorImage

# Kinds of shoots: the places they visit in this order, how often they occur, and the hours at which they begin.
_KINDS: dict[str, tuple[tuple[str, ...], float, tuple[float, float]]] = {
    "wedding": (("interior", "outdoor"), 0.22, (10.0, 15.0)),
    "portrait": (("backlit", "outdoor"), 0.20, (9.0, 17.0)),
    "travel": (("outdoor",), 0.16, (8.0, 17.0)),
    "home": (("interior",), 0.12, (9.0, 16.0)),
    "party": (("interior", "night"), 0.10, (18.0, 20.0)),
    "city night": (("night",), 0.10, (20.0, 22.5)),
    "close-ups": (("macro", "outdoor"), 0.10, (9.0, 16.0)),
}
_ROOM_TO_MOVE = 0.15  # places are rendered larger by this, and each frame of a burst shows another part
_CANDIDATES = 5
_THUMBNAIL = (32, 48)
_FIRST_DAY = datetime.datetime(2024, 1, 1)

# The photographer's error of exposure in EV: mean, and standard deviations by shoot and by place. Within a place the
# settings stay (but for a third of a stop now and then) while the light moves.
_ERROR_MEAN, _ERROR_SHOOT, _ERROR_PLACE = -0.15, 0.35, 0.55
_CHANGE_OF_MIND = 0.25


class Frame(NamedTuple):
    """One photo of a plan."""

    name: str
    place: int
    """Frames of one place form a burst."""
    seed: int
    family: str
    capture_time: datetime.datetime
    light: tuple[float, float, float]
    """What the light of the session makes of the scene's, factors of linear Rec. 709."""
    error: float
    """EV by which the photographer overexposes this place; negative: underexposes."""
    thirds: int
    """Thirds of a stop by which the time is changed against the place's."""
    shift: tuple[float, float]
    """Which part of the rendered place is in the frame: 0 to 1 down and to the right."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shoot:
    """The plan of one shoot."""

    name: str
    kind: str
    body: Body
    style: Style
    offset: Sliders
    """By how much the photographer's settings differ from the style on this day."""
    frames: tuple[Frame, ...]
    seed: tuple[int, ...]


class Taken(NamedTuple):
    """One photo, and what its photographer makes of it."""

    frame: Frame
    image: SensorImage
    settings: Settings
    facts: Facts
    clean: Sliders
    """What the photographer wants: a function of the facts, the style and the shoot."""
    sliders: Sliders
    """What the photographer sets: that with human noise, in round numbers."""


def plan_shoot(name: str, style: Style, photos: int, seed: tuple[int, ...]) -> Shoot:
    """Draw a shoot of ``photos`` photos; everything follows from the seed."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    shares = np.array([share for _, share, _ in _KINDS.values()])
    kind = list(_KINDS)[int(rng.choice(len(_KINDS), p=shares / shares.sum()))]
    families, _, hours = _KINDS[kind]
    body = list(bodies().values())[int(rng.choice(len(bodies()), p=(0.4, 0.25, 0.15, 0.2)))]
    offset = draw_shoot_offset(rng)
    bias = _ERROR_MEAN + rng.normal(0.0, _ERROR_SHOOT)
    light = _Light(rng)
    start = _FIRST_DAY + datetime.timedelta(days=int(rng.integers(600)), hours=float(rng.uniform(*hours)))
    number = int(rng.integers(1, 9000))
    frames: list[Frame] = []
    reference: dict[str, tuple[float, float]] = {}
    minute, place = 0.0, 0
    while len(frames) < photos:
        family = families[min(len(frames) * len(families) // photos, len(families) - 1)]
        scene_seed = _similar_place(family, reference, rng)
        error = bias + rng.normal(0.0, _ERROR_PLACE)
        corner = rng.uniform(0.0, 1.0, 2)
        for shot in range(min(1 + int(rng.geometric(0.4)), photos - len(frames))):
            changed = shot > 0 and rng.random() < _CHANGE_OF_MIND
            corner = 1.0 - np.abs(1.0 - np.abs(corner + rng.normal(0.0, 0.12, 2)))  # turns back at the edges
            frames.append(
                Frame(
                    name=f"IMG_{number + len(frames):04d}",
                    place=place,
                    seed=scene_seed,
                    family=family,
                    capture_time=start + datetime.timedelta(minutes=minute),
                    light=light.at(minute),
                    error=float(error),
                    thirds=int(rng.choice([-1, 1])) if changed else 0,
                    shift=(float(corner[0]), float(corner[1])),
                )
            )
            minute += float(rng.exponential(0.05)) + 0.01
        minute += float(rng.uniform(0.5, 6.0))
        place += 1
    return Shoot(name=name, kind=kind, body=body, style=style, offset=offset, frames=tuple(frames), seed=seed)


def take_photos(shoot: Shoot, size: int) -> Iterator[Taken]:
    """Take the photos of a plan, one after the other; ``size`` is the longer side in pixels (even).

    The same plan and size give the same photos.
    """
    rows, columns = shoot.body.pixels
    shape = (max(round(size * rows / columns / 2), 1) * 2, size)
    place, whole, settings = -1, None, None
    for number, frame in enumerate(shoot.frames):
        rng = np.random.default_rng(np.random.SeedSequence([*shoot.seed, 1 + number]))
        if frame.place != place or whole is None:
            larger = (round(shape[0] * (1.0 + _ROOM_TO_MOVE)), round(shape[1] * (1.0 + _ROOM_TO_MOVE)))
            place, whole, settings = frame.place, render_scene(frame.seed, larger, frame.family), None
        scene = _lit(_cropped(whole, shape, frame.shift), frame.light)
        key = key_luminance(scene)
        if settings is None:
            settings = choose_settings(shoot.body, key * 2.0**-frame.error)
        time = nearest(shoot.body.times, settings.time * 2.0 ** (frame.thirds / 3.0))
        taken = dataclasses.replace(settings, time=time)
        image = photograph(scene, shoot.body, taken, rng, capture_time=frame.capture_time)
        facts = observe(
            image, exposure_error=exposure_error(shoot.body, key, taken), night=scene.night, family=scene.family
        )
        clean = settings_for(facts, shoot.style, shoot.offset)
        yield Taken(frame, image, taken, facts, clean, set_by_hand(clean, shoot.style, rng))


class _Light:
    """Clouds and the time of day: slow waves of intensity (EV) and colour (mired) over the minutes of a session."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.periods = rng.uniform((25.0, 60.0), (60.0, 180.0))
        self.phases = rng.uniform(0.0, 2.0 * math.pi, (2, 2))
        self.depth = (float(rng.uniform(0.05, 0.4)), float(rng.uniform(5.0, 25.0)))

    def at(self, minute: float) -> tuple[float, float, float]:
        """Factors of linear R, G, B."""
        waves = np.sin(2.0 * math.pi * minute / self.periods + self.phases).sum(1)
        ev, mired = (float(w * d) for w, d in zip(waves, self.depth, strict=True))
        tint = planckian(1e6 / (180.0 + mired)) / planckian(1e6 / 180.0)
        red, green, blue = (float(factor) for factor in tint / luminance(tint) * 2.0**ev)
        return red, green, blue


def _similar_place(family: str, reference: dict[str, tuple[float, float]], rng: np.random.Generator) -> int:
    """The seed, of a few candidates, whose light is most like that of the family's first place in this shoot."""
    candidates = []
    for seed in rng.integers(1 << 32, size=_CANDIDATES).tolist():
        scene = render_scene(seed, _THUMBNAIL, family)
        red, _, blue = np.maximum(scene.white, 0.02).tolist()  # sodium light has no blue
        candidates.append((seed, (math.log2(key_luminance(scene)), math.log2(red / blue))))
        if family not in reference:
            break
    wanted = reference.setdefault(family, candidates[0][1])
    return min(candidates, key=lambda c: abs(c[1][0] - wanted[0]) + 2.0 * abs(c[1][1] - wanted[1]))[0]


def _cropped(scene: Scene, shape: tuple[int, int], shift: tuple[float, float]) -> Scene:
    top, left = (
        round(part * (whole - side)) for part, whole, side in zip(shift, scene.linear.shape[-2:], shape, strict=True)
    )
    return dataclasses.replace(scene, linear=scene.linear[:, top : top + shape[0], left : left + shape[1]])


def _lit(scene: Scene, light: tuple[float, float, float]) -> Scene:
    """The scene in another light: factors of linear R, G, B."""
    factors = np.asarray(light, dtype=np.float32)
    white = scene.white * factors
    level = float(luminance(white))
    key = scene.key_luminance * level if scene.key_luminance is not None else None
    return dataclasses.replace(
        scene, linear=scene.linear * factors[:, None, None], key_luminance=key, white=white / np.float32(level)
    )
