"""Which exposures to capture: the candidate subsets of a ladder, what they cost, and a search among too many."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import torch
from torch import Tensor

from hdr.errors import UserError

Score = Callable[[Tensor], Tensor]
_NEAR = 1e-6  # EVs closer than this are one and the same
EXHAUSTIVE = 50_000  # candidates up to which all are scored


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What a subset has to respect. Exposure times are in units of the time at EV 0: an exposure at EV e takes 2**e."""

    include: tuple[float, ...] = ()
    """EVs that every subset holds, such as (0.0,) for the preview itself."""
    total_time: float | None = None
    """Largest sum of exposure times."""
    longest: float | None = None
    """Longest single exposure time."""
    spacing: float = 0.0
    """Smallest distance in EV between two members."""

    def __post_init__(self) -> None:
        for name in ("total_time", "longest"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"constraints.{name}={value}: accepted is a time above 0, in units of the time at EV 0")
        if not 0 <= self.spacing < math.inf:
            raise UserError(f"constraints.spacing={self.spacing}: accepted is a distance in EV from 0 on")


def ev_grid(lowest: float, highest: float, step: float) -> list[float]:
    """EVs from ``lowest`` to ``highest``, both included.

    Raises:
        UserError: the limits do not lie a whole number of steps apart.
    """
    if not (step > 0 and highest > lowest):
        raise UserError(f"ladder: from {lowest:g} to {highest:g} EV in steps of {step:g} is no ladder")
    count = (highest - lowest) / step
    if abs(count - round(count)) > 1e-6:
        raise UserError(f"ladder: {lowest:g} to {highest:g} EV is not a whole number of steps of {step:g}")
    return [lowest + i * step for i in range(round(count) + 1)]


def position(evs: Sequence[float], ev: float) -> int:
    """The index of ``ev`` in a ladder.

    Raises:
        UserError: it is not in it.
    """
    for index, value in enumerate(evs):
        if abs(value - ev) < _NEAR:
            return index
    raise UserError(f"the ladder has no exposure at {ev:+g} EV; it has {', '.join(f'{value:+g}' for value in evs)}")


def all_subsets(evs: Sequence[float], size: int, constraints: Constraints | None = None) -> Tensor:
    """All subsets (S, size) of ladder indices that the constraints allow, in lexicographic order.

    Raises:
        UserError: more members than exposures, or no subset is allowed.
    """
    chosen = constraints or Constraints()
    _check(evs, size)
    required = [position(evs, ev) for ev in chosen.include]
    rest = [index for index in range(len(evs)) if index not in required]
    if len(required) > size:
        raise UserError(f"constraints.include names {len(required)} exposures and a subset has {size}")
    found = [sorted((*required, *others)) for others in combinations(rest, size - len(required))]
    subsets = torch.tensor(sorted(found), dtype=torch.long).reshape(-1, size)
    subsets = subsets[allowed(evs, subsets, chosen)]
    if not len(subsets):
        raise UserError(f"no {size} of these {len(evs)} exposures meet the constraints {_named(chosen)}")
    return subsets


def allowed(evs: Sequence[float], subsets: Tensor, constraints: Constraints) -> Tensor:
    """Which subsets (S, k) meet the constraints on time and spacing: bool (S,)."""
    values = torch.tensor(evs, dtype=torch.float64)[subsets]
    times = torch.exp2(values)
    fine = torch.ones(len(subsets), dtype=torch.bool)
    if constraints.total_time is not None:
        fine &= times.sum(dim=1) <= constraints.total_time * (1 + _NEAR)
    if constraints.longest is not None:
        fine &= times.amax(dim=1) <= constraints.longest * (1 + _NEAR)
    if constraints.spacing > 0 and subsets.shape[1] > 1:
        fine &= values.sort(dim=1).values.diff(dim=1).amin(dim=1) >= constraints.spacing - _NEAR
    return fine


def exposure_time(evs: Sequence[float], subsets: Tensor) -> Tensor:
    """Sum of the exposure times (S,), in units of the time at EV 0."""
    return torch.exp2(torch.tensor(evs, dtype=torch.float64))[subsets].sum(dim=1)


def best_subset(
    evs: Sequence[float], size: int, score: Score, constraints: Constraints | None = None, *, beam: int = 32
) -> tuple[list[int], float]:
    """The subset of ``size`` with the highest score, and that score.

    Up to 50,000 candidates all are scored. Beyond, a beam search adds one exposure at a time and keeps the ``beam``
    best, then single members of the winner are exchanged as long as that helps: the result is then at least as good
    as any of its neighbours, not certainly the best.

    Args:
        evs: the ladder.
        size: members.
        score: (S, k) ladder indices to (S,), higher is better.
        constraints: what is allowed.
        beam: subsets that the search keeps; 1 is the greedy search.

    Raises:
        UserError: as for :func:`all_subsets`.
    """
    chosen = constraints or Constraints()
    _check(evs, size)
    free = len(evs) - len(chosen.include)
    if math.comb(free, max(size - len(chosen.include), 0)) <= EXHAUSTIVE:
        subsets = all_subsets(evs, size, chosen)
        scores = score(subsets)
        winner = int(scores.argmax())
        return subsets[winner].tolist(), float(scores[winner])
    required = tuple(sorted(position(evs, ev) for ev in chosen.include))
    kept = [required] if required else [(index,) for index in range(len(evs))]
    while len(kept[0]) < size:
        grown = {
            tuple(sorted((*members, index))) for members in kept for index in range(len(evs)) if index not in members
        }
        kept, values = _ranked(grown, evs, score, chosen, beam)
    best, value = kept[0], values[0]
    while True:
        others = {
            tuple(sorted({*best, index} - {leaving}))
            for leaving in set(best) - set(required)
            for index in set(range(len(evs))) - set(best)
        }
        found, values = _ranked(others, evs, score, chosen, 1)
        if values[0] <= value:
            return list(best), value
        best, value = found[0], values[0]


def _ranked(
    candidates: set[tuple[int, ...]], evs: Sequence[float], score: Score, constraints: Constraints, keep: int
) -> tuple[list[tuple[int, ...]], list[float]]:
    subsets = torch.tensor(sorted(candidates), dtype=torch.long)
    subsets = subsets[allowed(evs, subsets, constraints)]
    if not len(subsets):
        raise UserError(f"the search found no exposures that meet the constraints {_named(constraints)}")
    values, order = score(subsets).sort(descending=True, stable=True)
    return [tuple(row) for row in subsets[order[:keep]].tolist()], values[:keep].tolist()


def _check(evs: Sequence[float], size: int) -> None:
    if size < 1 or size > len(evs):
        raise UserError(f"{size} exposures cannot be chosen from {len(evs)}; accepted are 1 to {len(evs)}")
    ordered = sorted(evs)
    for before, after in pairwise(ordered):
        if after - before < _NEAR:
            raise UserError(f"two exposures of the ladder have the same EV ({before:+g})")


def _named(constraints: Constraints) -> str:
    set_ = {name: value for name, value in vars(constraints).items() if value not in ((), None, 0.0)}
    return ", ".join(f"{name}={value}" for name, value in set_.items()) or "(none)"
