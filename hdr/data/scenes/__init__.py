"""Procedural HDR scenes: seeded places with physically plausible light, rendered in milliseconds.

:func:`render_scene` gives one scene; :class:`ProceduralScenes` is a source of many. Each family of places has a file of
its own, which draws on the camera (``canvas``), illuminants (``light``), noise (``texture``) and things (``solids``,
``nature``, ``street``, ``people``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hdr.data.scenes import backlit, chart, interior, macro, night, outdoor
from hdr.data.scenes.scene import Rendering, Scene, SceneSource
from hdr.errors import UserError

__all__ = ["FAMILIES", "ProceduralScenes", "Scene", "SceneSource", "render_scene"]

FAMILIES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Rendering], float]] = {
    "outdoor": (outdoor.draw, 0.32),
    "backlit": (backlit.draw, 0.15),
    "interior": (interior.draw, 0.18),
    "night": (night.draw, 0.13),
    "macro": (macro.draw, 0.11),
    "chart": (chart.draw, 0.11),
}
"""The families: how to draw them, and their shares when none is asked for."""


def render_scene(seed: int, size: tuple[int, int], family: str | None = None) -> Scene:
    """Render the scene of a seed.

    The same seed, size and family give the same pixels on the same machine, and the same seed shows the same place at
    every size (at other aspect ratios with more or less of it at the sides).

    Args:
        seed: any number >= 0.
        size: height and width in pixels.
        family: one of :data:`FAMILIES`; None: chosen by the seed, each with its share.

    Returns:
        The scene; luminance in cd/m2, at most about 16 stops from its dark end to its brightest point.

    Raises:
        UserError: a family that does not exist.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    chosen = _draw_family(rng, list(FAMILIES)) if family is None else check_family(family)
    drawn = FAMILIES[chosen][0](rng, size)
    name = f"{chosen}-{seed}"
    return Scene(
        linear=drawn.linear,
        name=name,
        group=name,
        family=chosen,
        night=drawn.night,
        key_luminance=drawn.key_luminance,
        white=drawn.white,
    )


class ProceduralScenes:
    """A source of rendered scenes: scene ``i`` has the seed ``first + i``.

    Args:
        count: how many there are.
        size: height and width in pixels.
        first: seed of the first; give the splits ranges that do not overlap.
        families: kinds of places to choose from, with their usual shares; None: all.

    Raises:
        UserError: a family that does not exist.
    """

    def __init__(
        self, count: int, size: tuple[int, int], *, first: int = 0, families: Sequence[str] | None = None
    ) -> None:
        self.count, self.size, self.first = count, size, first
        self.families = [check_family(name) for name in families] if families is not None else None

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int, rng: np.random.Generator) -> Scene:
        """Scene ``index``; ``rng`` is not needed, because a seed shows one scene only."""
        if not 0 <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        seed = self.first + index
        if self.families is None:
            return render_scene(seed, self.size)
        chosen = _draw_family(np.random.default_rng(np.random.SeedSequence([seed, len(FAMILIES)])), self.families)
        return render_scene(seed, self.size, chosen)


def check_family(name: str) -> str:
    """The name itself, if there is such a family."""
    if name not in FAMILIES:
        raise UserError(f"families of scenes: there is no {name!r}; accepted are {', '.join(FAMILIES)}")
    return name


def _draw_family(rng: np.random.Generator, names: Sequence[str]) -> str:
    shares = np.array([FAMILIES[name][1] for name in names])
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]
