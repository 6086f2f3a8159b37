"""Exposure brackets: one scene, several exposures, one tripod."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence

import numpy as np

from hdr.data.scenes.scene import Scene
from hdr.data.shoots.body import Body
from hdr.data.shoots.camera import (
    Settings,
    as_shot,
    choose_settings,
    exposure,
    key_luminance,
    nearest,
    photograph,
)
from hdr.errors import UserError
from hdr.io.sensor import SensorImage

_TRIPOD = 1.0  # seconds of the middle exposure before the ISO rises
_PAUSE = 0.25  # seconds between the end of one exposure and the next
_APERTURE = 8.0
# Scales in thirds of a stop come within a sixth; their nominal values are off by up to a tenth of a stop besides.
_TOLERANCE = 0.27


def bracket_settings(body: Body, key: float, evs: Sequence[float]) -> list[Settings]:
    """The settings of a bracket about the metered exposure of a key luminance in cd/m2.

    The aperture stays. The time takes each step as far as the body's range goes, the ISO does the rest. All are values
    of the body's scales, as on a real camera: from 1/125 s two stops up is 1/30 s, which is 2.06 stops.

    Raises:
        UserError: an exposure that is beyond the body's range.
    """
    middle = choose_settings(body, key, aperture=_APERTURE, longest=_TRIPOD)
    found = []
    for ev in evs:
        time = nearest(body.times, middle.time * 2.0**ev)
        rest = middle.time * 2.0**ev / time
        iso = int(nearest(body.isos, middle.iso * rest)) if abs(math.log2(rest)) > _TOLERANCE else middle.iso
        step = Settings(time=time, aperture=middle.aperture, iso=iso)
        if abs(math.log2(exposure(step) / exposure(middle)) - ev) > _TOLERANCE:
            raise UserError(
                f"evs: {ev:+g} EV from {middle} is beyond the {body.model}, whose times go from "
                f"1/{1 / body.times[0]:.0f} to {body.times[-1]:g} s and whose ISO goes from {body.isos[0]} to "
                f"{body.isos[-1]}; ask for less"
            )
        found.append(step)
    return found


def bracket(
    scene: Scene,
    body: Body,
    evs: Sequence[float],
    rng: np.random.Generator,
    *,
    start: datetime.datetime | None = None,
) -> list[SensorImage]:
    """Pictures of a scene at ``evs`` stops from the metered exposure, in the order of ``evs``.

    The settings are those of :func:`bracket_settings`; what the pictures really differ by stands in their exposure
    times and ISO. All share one white balance; noise and clipping are each exposure's own. Nothing moves.

    Args:
        start: local time of the first exposure; the others follow as fast as their times allow. None: no times.

    Raises:
        UserError: an exposure that is beyond the body's range.
    """
    settings = bracket_settings(body, key_luminance(scene), evs)
    balance = as_shot(scene, body, rng)
    images, moment = [], start
    for step in settings:
        images.append(photograph(scene, body, step, rng, white_balance=balance, capture_time=moment))
        if moment is not None:
            moment += datetime.timedelta(seconds=step.time + _PAUSE)
    return images
