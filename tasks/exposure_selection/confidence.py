"""How sure a selector is, in the unit of the score, and when the safe constant is the better choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_STEP = 0.125  # EV between the entries of a curve


def distance(evs: Sequence[float], subsets: Tensor, chosen: Tensor) -> Tensor:
    """How far candidates (S, k) lie from the subset ``chosen`` (k,): (S,) mean over members of the |EV| between them.

    Members are compared in order of their EVs.
    """
    values = torch.tensor(evs, dtype=torch.float64)
    return (values[subsets].sort(dim=1).values - values[chosen].sort().values).abs().mean(dim=1)


def regret_curve(regrets: Tensor, valid: Tensor, subsets: Tensor, evs: Sequence[float]) -> list[float]:
    """Mean regret of a candidate by its distance from the best one, at 0, 0.125, 0.25, ... EV.

    Args:
        regrets: (N, S) of training scenes.
        valid: (N, S), which of them count.
        subsets: (S, k).
        evs: the ladder.
    """
    bins = round((max(evs) - min(evs)) / _STEP) + 1
    sums, counts = np.zeros(bins), np.zeros(bins)
    for row, counted in zip(regrets, valid, strict=True):
        best = int(torch.where(counted, row, torch.inf).argmin())
        index = (distance(evs, subsets, subsets[best])[counted] / _STEP).round().long().numpy()
        sums += np.bincount(index, row[counted].double().numpy(), bins)
        counts += np.bincount(index, minlength=bins)
    seen = counts > 0
    curve = np.interp(np.arange(bins), np.flatnonzero(seen), sums[seen] / counts[seen])
    return [round(float(value), 5) for value in curve]


def expected_regret(
    probability: Tensor, chosen: int, subsets: Tensor, evs: Sequence[float], curve: Sequence[float]
) -> float:
    """The regret to expect of candidate ``chosen``: over what may be best instead, by how much that usually costs.

    Args:
        probability: (S,) of being the best, sum 1.
        chosen: the candidate.
        subsets: (S, k).
        evs: the ladder.
        curve: :func:`regret_curve`.
    """
    away = distance(evs, subsets, subsets[chosen]).numpy()
    costs = np.interp(away, np.arange(len(curve)) * _STEP, np.asarray(curve))
    return float(probability.double().cpu().numpy() @ costs)


def best_threshold(expected: np.ndarray, found: np.ndarray, constant: np.ndarray) -> float:
    """The expected regret above which the constant is taken, so that the mean regret over scenes (N,) is least.

    Where it never pays, the largest expectation seen: a scene more doubtful than all of them gets the constant.

    Args:
        expected: of the model's choices.
        found: their regrets.
        constant: regrets of the constant.
    """
    order = np.argsort(expected, kind="stable")
    kept = np.concatenate([[0.0], np.cumsum(found[order])])
    replaced = np.concatenate([np.cumsum(constant[order][::-1])[::-1], [0.0]])
    values = np.concatenate([[0.0], expected[order]])  # with n kept, the cut lies at the n-th
    total = kept + replaced
    # Equal expectations cannot be told apart: only the last of them is a place to cut.
    total[:-1] = np.where(values[:-1] == values[1:], np.inf, total[:-1])
    least = len(total) - 1 - int(np.argmin(total[::-1]))
    return float(values[least])
