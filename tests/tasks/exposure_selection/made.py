"""Small rows, made tables and a network that says what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hdr.data.scenes import ProceduralScenes
from tasks.exposure_selection.baselines import Memory, regrets_of
from tasks.exposure_selection.data import direction, preview_of
from tasks.exposure_selection.ladder import Light
from tasks.exposure_selection.lights import SceneLights
from tasks.exposure_selection.selector import Selector
from tasks.exposure_selection.table import Row, TableSettings, score_light

SETTINGS = TableSettings(lowest=-2.0, highest=4.0, step=1.0)  # 7 exposures, 21 pairs
EVS = SETTINGS.evs


def light(seed: int, side: int = 64) -> Light:
    """A generated scene."""
    return SceneLights(ProceduralScenes(1, (side, side), first=seed), 0).light(0)


def row(seed: int, settings: TableSettings = SETTINGS, side: int = 64) -> Row:
    """A generated scene, scored."""
    return score_light(light(seed, side), settings)


def sample(made: Row, settings: TableSettings = SETTINGS, target: str = "psnr", size: int = 32) -> dict[str, Any]:
    """What a data set gives for a row."""
    scores = made.scores[target] * direction(target)
    return {
        "id": made.id,
        "preview": preview_of(made, 0.0, size, torch.Generator().manual_seed(0)),
        "evs": torch.tensor(settings.evs),
        "scores": torch.nan_to_num(scores),
        "valid": torch.isfinite(scores),
    }


def memory(scores: Sequence[Sequence[float]], groups: Sequence[str], positions: Sequence[float]) -> Memory:
    """Training scenes with given scores; scene i has the histogram of one luminance, at ``positions[i]`` of 25 bins."""
    values = torch.tensor(scores, dtype=torch.float32)
    bins = torch.arange(25.0)
    shares = torch.stack([(1 - (bins - place).abs()).clamp(min=0) for place in positions])
    return Memory(
        regrets=regrets_of(values),
        valid=torch.isfinite(values),
        best=torch.from_numpy(np.nanmax(values.numpy(), axis=1)),
        histograms=shares.cumsum(dim=1),
        ranges=torch.arange(float(len(values))),
        groups=tuple(groups),
    )


class Told(Selector):
    """Gives the values it was made with; remembers what it saw."""

    def __init__(self, values: Tensor, *, in_scores: bool = False, takes_stack: bool = False) -> None:
        super().__init__()
        self.values = nn.Parameter(values[None].float())
        self.in_scores, self.takes_stack = in_scores, takes_stack  # type: ignore[misc]
        self.seen: list[tuple[int, ...]] = []

    def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
        self.seen.append(tuple(preview.shape))
        assert evs.shape[0] == len(preview)
        assert subsets.shape[0] == self.values.shape[1]
        return self.values.expand(len(preview), -1)
