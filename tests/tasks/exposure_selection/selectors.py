"""Selectors for the tests whose preferences are known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.exposure_selection.legacy import ClassSelector
from tasks.exposure_selection.selector import Selector


class Wishes(Selector):
    """30 dB for the wished EVs, ``slope`` less per stop that a member lies off; it remembers what it was shown."""

    in_scores = True
    temperature = 0.5

    def __init__(self, wishes: Sequence[float], slope: float = 4.0) -> None:
        super().__init__()
        self.wishes = nn.Parameter(torch.tensor(sorted(wishes)), requires_grad=False)
        self.slope = slope
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
        self.seen.append((preview, evs))
        members = evs[:, subsets].sort(dim=-1).values[..., : len(self.wishes)]
        return 30.0 - self.slope * (members - self.wishes[: members.shape[-1]]).abs().sum(dim=-1)


class Classes(ClassSelector):
    """Fixed logits, without a look at anything."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        values = torch.randn(classes, generator=torch.Generator().manual_seed(1))
        self.values = nn.Parameter(values, requires_grad=False)
        self.best = int(values.argmax())

    def logits(self, preview: Tensor) -> Tensor:
        return self.values.expand(len(preview), -1)
