from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch

from hdr.errors import UserError
from tasks.exposure_selection import subsets as module
from tasks.exposure_selection.subsets import Constraints, all_subsets, best_subset, ev_grid, exposure_time, position

LADDER = ev_grid(-3, 6, 0.25)


def test_the_grid_of_the_original() -> None:
    assert len(LADDER) == 37
    assert LADDER[0] == -3
    assert LADDER[-1] == 6
    assert position(LADDER, 0.0) == 12


@pytest.mark.parametrize(("size", "count"), [(1, 37), (2, 666), (3, 7770)])
def test_all_subsets_are_the_combinations(size: int, count: int) -> None:
    found = all_subsets(LADDER, size)
    assert found.tolist() == [list(members) for members in combinations(range(37), size)]
    assert len(found) == count


def test_constraints_are_met_by_all_that_remain_and_by_nothing_else() -> None:
    rules = Constraints(include=(0.0,), total_time=20.0, longest=10.0, spacing=0.5)
    kept = {tuple(row) for row in all_subsets(LADDER, 3, rules).tolist()}
    for members in combinations(range(37), 3):
        evs = sorted(LADDER[index] for index in members)
        fine = (
            0.0 in evs
            and sum(2**ev for ev in evs) <= 20
            and max(2**ev for ev in evs) <= 10
            and min(b - a for a, b in pairwise(evs)) >= 0.5
        )
        assert fine == (members in kept)


def test_exposure_times_double_per_ev() -> None:
    times = exposure_time([-1.0, 0.0, 3.0], torch.tensor([[0, 1], [1, 2]]))
    assert times.tolist() == [1.5, 9.0]


def _pairwise_score(seed: int) -> module.Score:
    """A score in which members help and hinder each other, so that greedy choices go wrong."""
    generator = torch.Generator().manual_seed(seed)
    single, both = torch.randn(37, generator=generator), torch.randn(37, 37, generator=generator)

    def score(subsets: torch.Tensor) -> torch.Tensor:
        pairs = [both[subsets[:, i], subsets[:, j]] for i, j in combinations(range(subsets.shape[1]), 2)]
        return single[subsets].sum(dim=1) + torch.stack([*pairs, torch.zeros(len(subsets))]).sum(dim=0)

    return score


@pytest.mark.parametrize("seed", range(4))
def test_the_search_comes_close_to_the_best(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    score = _pairwise_score(seed)
    scores = score(all_subsets(LADDER, 3))
    _exact, value = best_subset(LADDER, 3, score)
    assert value == float(scores.max())
    monkeypatch.setattr(module, "EXHAUSTIVE", 0)
    found, reached = best_subset(LADDER, 3, score)
    assert len(set(found)) == 3
    assert float((scores > reached).float().mean()) <= 2 / len(scores)
    # No exchange of one member helps.
    neighbours = [sorted({*found, index} - {leaving}) for leaving in found for index in range(37) if index not in found]
    assert float(score(torch.tensor(neighbours)).max()) <= reached
    assert reached <= value


def test_the_search_keeps_the_constraints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXHAUSTIVE", 0)
    rules = Constraints(include=(0.0,), total_time=30.0, spacing=1.0)
    found, _ = best_subset(LADDER, 4, _pairwise_score(5), rules, beam=8)
    assert found in all_subsets(LADDER, 4, rules).tolist()


def test_what_is_not_accepted_is_named() -> None:
    with pytest.raises(UserError, match="38 exposures cannot be chosen from 37"):
        all_subsets(LADDER, 38)
    with pytest.raises(UserError, match=r"no exposure at \+0.1 EV"):
        all_subsets(LADDER, 2, Constraints(include=(0.1,)))
    with pytest.raises(UserError, match=r"no 2 of these 37 exposures meet the constraints total_time=0\.01"):
        all_subsets(LADDER, 2, Constraints(total_time=0.01))
    with pytest.raises(UserError, match="names 3 exposures and a subset has 2"):
        all_subsets(LADDER, 2, Constraints(include=(0.0, 1.0, 2.0)))
    with pytest.raises(UserError, match=r"same EV \(\+1\)"):
        all_subsets([0.0, 1.0, 1.0], 2)
    with pytest.raises(UserError, match="total_time=0"):
        Constraints(total_time=0.0)
    with pytest.raises(UserError, match="whole number of steps"):
        ev_grid(-3, 6, 0.4)
