"""Figures about figures: intervals of a mean, and the share of a possible gain that was reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, confidence: float = 0.95, resamples: int = 2000, *, seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the mean of ``values``, reproducible from ``seed``.

    One value, or equal values, give an interval of width 0: nothing is known about their spread. Raises ValueError for
    no value or a non-finite one.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (``scipy.stats.bootstrap``).
    """
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError(f"expected one or more finite values in one dimension, found {sample}")
    if sample.size == 1:  # scipy refuses a single observation
        return float(sample[0]), float(sample[0])
    interval = bootstrap(
        (sample,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        batch=max(1, 10**7 // sample.size),  # at most 80 MB of resamples at a time
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def gap_closed(model: float, baseline: float, oracle: float) -> float | None:
    """Share of the way from ``baseline`` to ``oracle`` that ``model`` covers: (model - baseline) / (oracle - baseline).

    The same formula serves metrics where less is better. 0 is the baseline, 1 the oracle; values outside are possible.
    None where baseline and oracle are equal, since then there is no gap.
    """
    if oracle == baseline:
        return None
    return (model - baseline) / (oracle - baseline)
