"""What a scene is, and where scenes come from."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """Radiance that reaches the sensor, and what a photographer would know about the place."""

    linear: npt.NDArray[np.float32]
    """(3, h, w), linear Rec. 709; luminance in cd/m2 (panoramas: arbitrary unit); finite, >= 0; not white balanced."""
    name: str
    """Unique among the scenes of a source."""
    group: str
    """What may not be torn apart by a split: the place."""
    family: str
    night: bool
    """True where the picture is meant to stay dark."""
    key_luminance: float | None
    """cd/m2 that is to come out as middle grey (0.18 of display white): a grey card under the key light by day, well
    above it at night; None where nobody knows (photographs in arbitrary units)."""
    white: npt.NDArray[np.float32]
    """Colour (3,) of the key light, linear Rec. 709 of luminance 1: what a full white balance divides by."""


class Rendering(NamedTuple):
    """What drawing a family of scenes gives; the fields are those of :class:`Scene`."""

    linear: npt.NDArray[np.float32]
    key_luminance: float
    white: npt.NDArray[np.float32]
    night: bool = False


class SceneSource(Protocol):
    """Scenes to photograph."""

    def __len__(self) -> int: ...

    def scene(self, index: int, rng: np.random.Generator) -> Scene:
        """Scene ``index``; what is left to chance (such as where the camera looks) comes from ``rng``."""
        ...
