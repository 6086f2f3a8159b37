"""Sources of scenes for one split, as configurations name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdr.data.manifest import Record
from hdr.data.panoramas import PanoramaViews, find_panoramas, place_of
from hdr.data.scenes import ProceduralScenes, Scene, SceneSource
from hdr.data.splits import assign_splits
from hdr.errors import UserError

SEEDS = {"train": 0, "val": 10_000_000, "test": 20_000_000}  # first seed of each split: far apart, so they never meet
EVALUATION_SHARE = 4  # val and test show each panorama this many times less often than a training pass

Size = int | tuple[int, int]


def procedural(
    *, split: str, train: int, val: int, test: int, size: Size, families: Sequence[str] | None = None
) -> SceneSource:
    """Generated scenes of a split; the splits' seeds lie far apart.

    Args:
        split: train, val or test.
        train, val, test: scenes in each.
        size: pixels, one number for both sides or (height, width).
        families: kinds of places; None: all.
    """
    count = {"train": train, "val": val, "test": test}[split]
    return ProceduralScenes(count, _both(size), first=SEEDS[split], families=families)


def panoramas(
    *, split: str, root: str, views: int, size: Size, ratios: Mapping[str, float], night: str | None = None
) -> SceneSource:
    """Views of a folder's panoramas that belong to a split; all views of a place are in the same one.

    Raises:
        UserError: no panorama in the folder, or too few for the split.
    """
    places = sorted({place_of(path) for path in find_panoramas(root)[0]})
    records = assign_splits([Record(id=place, paths={}, group=place) for place in places], ratios, seed=0)
    chosen = [record.id for record in records if record.split == split]
    if not chosen:
        raise UserError(f"dataset.root={root}: {len(places)} places are too few for a split '{split}'; add panoramas")
    count = views if split == "train" else max(1, views // EVALUATION_SHARE)
    return PanoramaViews(root, _both(size), views=count, groups=chosen, night=night)


def mixed(*, split: str, procedural: Mapping[str, Any], panoramas: Mapping[str, Any]) -> SceneSource:
    """Generated scenes and panoramas one after the other; the sampler's shuffling mixes them."""
    return Together([_procedural(split=split, **procedural), _panoramas(split=split, **panoramas)])


class Together:
    """Several sources, one after the other."""

    def __init__(self, sources: Sequence[SceneSource]) -> None:
        self.sources = list(sources)

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def scene(self, index: int, rng: np.random.Generator) -> Scene:
        for source in self.sources:
            if index < len(source):
                return source.scene(index, rng)
            index -= len(source)
        raise IndexError(f"there is no scene {index}")


def _both(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


_procedural, _panoramas = procedural, panoramas
