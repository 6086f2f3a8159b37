from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.exposure_selection.confidence import best_threshold, distance, expected_regret, regret_curve
from tasks.exposure_selection.subsets import all_subsets

EVS = [-1.0, 0.0, 1.0, 2.0]
PAIRS = all_subsets(EVS, 2)  # (-1,0) (-1,1) (-1,2) (0,1) (0,2) (1,2)


def test_distance_is_the_mean_over_members_in_order() -> None:
    assert distance(EVS, PAIRS, PAIRS[0]).tolist() == [0.0, 0.5, 1.0, 1.0, 1.5, 2.0]
    assert distance(EVS, PAIRS, torch.tensor([3, 1])).tolist() == [1.5, 1.0, 0.5, 0.5, 0.0, 0.5]


def test_the_curve_is_the_mean_regret_by_distance() -> None:
    regrets = torch.tensor([[0.0, 1.0, 2.0, 4.0, 5.0, 9.0], [3.0, 2.0, 7.0, 1.0, 1.5, 0.0]])
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[1, 2] = False
    curve = regret_curve(regrets, valid, PAIRS, EVS)
    assert len(curve) == 3 * 8 + 1
    assert curve[0] == 0.0
    # 0.5 away: scene 0: (-1,1); scene 1, whose best is (1,2): (0,2).
    assert curve[4] == pytest.approx((1.0 + 1.5) / 2)
    # 1 away: (-1,2), (0,1); and (0,1), while (-1,2), 1 away as well, is not valid.
    assert curve[8] == pytest.approx((2.0 + 4.0 + 1.0) / 3, abs=1e-5)
    assert curve[6] == pytest.approx((curve[4] + curve[8]) / 2, abs=1e-4)  # nothing lies there: between its neighbours
    assert curve[-1] == curve[16]  # nor beyond: the last that was seen


def test_expected_regret_weighs_what_may_be_best() -> None:
    curve = [0.0] * 4 + [2.0] * 4 + [10.0] * 20
    probability = torch.tensor([0.5, 0.2, 0.3, 0.0, 0.0, 0.0])
    assert expected_regret(probability, 0, PAIRS, EVS, curve) == pytest.approx(0.2 * 2.0 + 0.3 * 10.0)
    assert expected_regret(torch.eye(6)[4], 4, PAIRS, EVS, curve) == 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from([0.5, 1.0, 2.0, 3.5]), st.floats(0, 9), st.floats(0, 9)), min_size=1, max_size=12
    )
)
def test_no_threshold_is_better(rows: list[tuple[float, float, float]]) -> None:
    expected, found, constant = np.array(rows).T

    def mean(threshold: float) -> float:
        return float(np.where(expected > threshold, constant, found).mean())

    chosen = best_threshold(expected, found, constant)
    assert mean(chosen) <= min(mean(threshold) for threshold in [-1.0, 0.0, *expected]) + 1e-12


def test_without_gain_the_model_keeps_all_that_it_has_seen() -> None:
    expected = np.array([2.0, 1.0, 3.0])
    assert best_threshold(expected, np.ones(3), np.full(3, 2.0)) == 3.0
    assert best_threshold(expected, np.ones(3), np.ones(3)) == 3.0
    assert best_threshold(expected, np.array([5.0, 1.0, 5.0]), np.full(3, 2.0)) == 1.0
    assert best_threshold(expected, np.full(3, 5.0), np.full(3, 2.0)) == 0.0
