from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hdr.metrics.statistics import bootstrap_interval, gap_closed


def test_interval_of_normal_values_is_near_the_analytic_one() -> None:
    values = np.random.default_rng(0).normal(20, 3, 400)
    half = norm.ppf(0.975) * values.std() / np.sqrt(values.size)
    low, high = bootstrap_interval(values, seed=1)
    # The bounds of 2000 resamples scatter by about 4 % of the half width.
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_interval_agrees_with_resampling_written_out() -> None:
    values = np.random.default_rng(3).exponential(2.0, 25)
    rng = np.random.default_rng(4)
    means = np.sort([values[rng.integers(0, 25, 25)].mean() for _ in range(20000)])
    low, high = bootstrap_interval(values, confidence=0.9, resamples=20000, seed=5)
    assert low == pytest.approx(np.quantile(means, 0.05), rel=0.02)
    assert high == pytest.approx(np.quantile(means, 0.95), rel=0.02)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for i in range(300):
        low, high = bootstrap_interval(rng.normal(0, 1, 40), confidence=0.9, resamples=300, seed=i)
        hits += low <= 0 <= high
    assert 0.82 < hits / 300 < 0.95  # 0.9 +- 4 standard errors on the low side; the percentile method is a bit narrow


def test_same_seed_same_interval_and_wider_with_more_confidence() -> None:
    values = [1.0, 2.0, 4.0, 9.0, 3.0]
    assert bootstrap_interval(values, seed=7) == bootstrap_interval(values, seed=7)
    assert bootstrap_interval(values, seed=7) != bootstrap_interval(values, seed=8, confidence=0.5)
    narrow, wide = bootstrap_interval(values, 0.5, seed=7), bootstrap_interval(values, 0.99, seed=7)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("values", [[3.5], [3.5, 3.5], [3.5] * 9])
def test_interval_without_spread_collapses(values: list[float]) -> None:
    assert bootstrap_interval(values, seed=0) == (3.5, 3.5)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf"), 2.0], [[1.0, 2.0]]])
def test_values_without_an_interval_are_refused(values) -> None:
    with pytest.raises(ValueError, match="finite values"):
        bootstrap_interval(values, seed=0)


def test_gap_closed_in_both_directions() -> None:
    assert gap_closed(model=24.0, baseline=20.0, oracle=28.0) == 0.5
    assert gap_closed(model=6.0, baseline=10.0, oracle=2.0) == 0.5  # a metric where less is better
    assert gap_closed(model=18.0, baseline=20.0, oracle=28.0) == -0.25
    assert gap_closed(model=20.0, baseline=20.0, oracle=20.0) is None
