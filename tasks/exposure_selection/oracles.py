"""Ceilings: what a selector could reach that saw the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.ops.camera import quantise
from hdr.ops.fusion import exposure_fusion
from hdr.ops.subset_fusion import SubsetFusion
from tasks.exposure_selection.data import direction
from tasks.exposure_selection.ladder import darkest_honest, render
from tasks.exposure_selection.scoring import FIVE, reference_picture, score_subsets
from tasks.exposure_selection.subsets import all_subsets
from tasks.exposure_selection.table import Row, TableSettings, seed_of

Oracle = Literal["pair", "pair_with_preview", "triple", "continuous"]
ORACLES: tuple[Oracle, ...] = ("pair", "pair_with_preview", "triple", "continuous")
SEARCHED = ("psnr", "rmse")
"""Figures under which exposures that are no candidates of the table are searched: one costs 0.5 ms, a subset's SSIM a
hundred times that."""
_COARSE = 0.5  # EV between the members of triples
_STEPS, _RATE = 40, 0.04  # of the refinement: 0.04 EV a step at first
_NEAR = 1e-6


class Exposed:
    """The exposures of a row, rendered again as they were for its table (apart from the light's half precision).

    Args:
        row: of the table.
        settings: of the table.
        others: EVs to render beside the ladder, whether on it or not.

    Attributes:
        evs: of all exposures: the ladder's, then ``others`` that are not on it.
        display: (K, 3, H, W).
        five: (5, 3, H, W), the ladder from -4 to 4 EV, with noise of its own.
        reference: (3, H, W) display.
        honest: (K,) bool, see :func:`tasks.exposure_selection.ladder.darkest_honest`.
    """

    def __init__(self, row: Row, settings: TableSettings, others: Sequence[float] = ()) -> None:
        self.light, self.settings = row.light(), settings
        self.ladder = len(settings.evs)
        self.chance = torch.Generator().manual_seed(seed_of(settings.seed, row.id)) if settings.noise else None
        stack = self.render(settings.evs)
        self.five = self.render(FIVE)
        self.reference = reference_picture(
            settings.reference, settings.weighting, five=self.five, dense=stack, linear=self.light.linear
        )
        more = [ev for ev in others if all(abs(ev - known) > _NEAR for known in settings.evs)]
        self.evs = [*settings.evs, *more]
        self.display = torch.cat([stack, self.render(more)]) if more else stack
        self.honest = torch.tensor(self.evs) >= darkest_honest(self.light, 0.0) - _NEAR
        self.fusion = SubsetFusion(self.display, settings.weighting)

    def render(self, evs: Sequence[float]) -> Tensor:
        """Further exposures (K, 3, H, W) as a camera would write them, each with noise of its own."""
        return render(self.light, evs, 0.0, curve=self.settings.curve, generator=self.chance)

    def scores(self, subsets: Tensor, figure: str) -> Tensor:
        """A figure (S,) of subsets (S, k), indices into ``evs``; higher is better."""
        found = score_subsets(self.fusion, self.display[: self.ladder], subsets, self.reference, (figure,))
        return found[figure] * direction(figure)

    def find(self, evs: Sequence[float]) -> list[int]:
        """The indices of exposures.

        Raises:
            ValueError: one was not rendered.
        """
        found = [[i for i, known in enumerate(self.evs) if abs(known - ev) < _NEAR] for ev in evs]
        if not all(found):
            raise ValueError(f"exposures at {list(evs)} EV: not all of them were rendered; there are {self.evs}")
        return [places[0] for places in found]


def check_oracles(names: Sequence[str]) -> None:
    """Refuse names that are none."""
    for name in names:
        if name not in ORACLES:
            raise UserError(f"oracles: there is no '{name}'; accepted are {', '.join(ORACLES)}")


def best_of(exposed: Exposed, subsets: Tensor, figure: str) -> tuple[list[int], float]:
    """The honest subset (S, k) of highest score, and that score."""
    honest = exposed.honest[subsets].all(dim=1)
    scores = torch.where(honest, exposed.scores(subsets, figure), -torch.inf)
    winner = int(scores.argmax())
    return subsets[winner].tolist(), float(scores[winner])


def coarse_triples(exposed: Exposed) -> Tensor:
    """All triples (S, 3) of the honest ladder, thinned to steps of 0.5 EV."""
    evs = exposed.settings.evs
    every = max(1, round(_COARSE / exposed.settings.step))
    kept = [index for index in range(0, len(evs), every) if bool(exposed.honest[index])]
    if len(kept) < 3:
        return torch.empty(0, 3, dtype=torch.long)
    return torch.tensor(kept)[all_subsets([evs[index] for index in kept], 3)]


def refine(exposed: Exposed, start: Sequence[float], score: float, figure: str) -> tuple[list[float], float] | None:
    """Move the EVs of a subset off the ladder, downhill in the squared error.

    Gradients go through the table's own fusion and through rendering, straight past the rounding. The noise stays in
    (one draw for all steps), because in even areas it decides the fusion's weights: without it, this finds exposures
    that are worse by decibels. What is found is rendered with other noise and scored like every other subset.

    Args:
        exposed: the scene.
        start: EVs, honest.
        score: of the start, higher is better.
        figure: one of :data:`SEARCHED`.

    Returns:
        EVs and their score, or None where that is not above the start's.
    """
    settings, light = exposed.settings, exposed.light
    low = max(settings.lowest, darkest_honest(light, 0.0))
    evs = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.Adam([evs], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    seed = seed_of(settings.seed + 1, light.id)
    least, best = torch.inf, list(start)
    with torch.enable_grad():
        for _ in range(_STEPS):
            chance = torch.Generator().manual_seed(seed) if settings.noise else None
            display = render(light, evs, 0.0, curve=settings.curve, bits=None, generator=chance)
            display = quantise(display, straight_through=True)
            fused = exposure_fusion(display[None], settings.weighting)[0].clamp(0, 1)
            error = (fused - exposed.reference).square().mean()
            if error.item() < least:
                least, best = error.item(), evs.detach().tolist()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                evs.clamp_(low, settings.highest)
    display = exposed.render(best)
    members = torch.arange(len(best))[None]
    fusion = SubsetFusion(display, settings.weighting)
    found = score_subsets(fusion, display, members, exposed.reference, (figure,))
    after = float(found[figure][0]) * direction(figure)
    return (best, after) if after > score else None
