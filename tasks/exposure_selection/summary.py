"""What a table of means does not show: medians and tails of the regret, the gap with its interval, the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdr.engine.config import Plain
from hdr.engine.task import SampleReport
from hdr.metrics.statistics import gap_closed
from tasks.exposure_selection import pictures
from tasks.exposure_selection.evaluation import EXPECTED_REGRET, EXPECTED_SCORE, FALLBACK
from tasks.exposure_selection.methods import CONSTANT, MODEL, NAMES, best_name, tolerances
from tasks.exposure_selection.scoring import FIGURES
from tasks.exposure_selection.table import TableSettings

CURVES = (MODEL, FALLBACK, CONSTANT, "constant with EV 0", "nearest neighbours", "coverage")  # drawn, where they are
LEARNT = ("random", CONSTANT, "constant with EV 0", "nearest neighbours", "coverage")
"""Baselines that capture as many exposures as the model; the best of them is the harder one to beat."""


def summarise(
    reports: Sequence[SampleReport], target: str, settings: TableSettings, output: Path, *, resamples: int, seed: int
) -> Plain:
    """Figures of an evaluation as JSON values; the charts ``regret.png`` and ``confidence.png`` go to ``output``.

    ``regret``: method -> mean, median, 95th percentile, scenes. ``gaps``: from the best constant, and from the best
    baseline of as many exposures, to the best free subset: the share of it that the model closes, with a 95 % interval.
    ``confidence``: rank correlation of expected with found regret, and of expected with found score where the network
    predicts scores; means of both; the share of scenes in which the fallback was taken.
    """
    found = by_method(reports, "regret")
    unit = FIGURES[target].unit
    result: Plain = {
        "regret": {
            name: {
                "mean": float(values.mean()),
                "median": float(np.median(values)),
                "p95": float(np.quantile(values, 0.95)),
                "scenes": len(values),
            }
            for name, values in found.items()
        },
        "gaps": gaps(reports, target, settings, resamples, seed),
        "confidence": confidence(reports, target),
    }
    curves = {name: found[name] for name in CURVES if name in found}
    limit = max(2 * tolerances(target)[-1], float(np.quantile(found[MODEL], 0.9)))
    pictures.save_picture(output / "regret.png", pictures.accuracy_picture(curves, unit, limit))
    expected = by_method(reports, EXPECTED_REGRET)
    if MODEL in expected:
        rank = result["confidence"]["regret_rank_correlation"]
        note = "one value throughout" if rank is None else f"rank correlation {rank:.2f}"
        chart = pictures.calibration_picture(expected[MODEL], found[MODEL], unit, note)
        pictures.save_picture(output / "confidence.png", chart)
    return result


def as_lines(summary: Plain, target: str) -> list[str]:
    """The summary for a terminal."""
    figure = FIGURES[target]
    lines = []
    for name, gap in summary["gaps"].items():
        share = f"{gap['share']:.0%} [{gap['low']:.0%}, {gap['high']:.0%}]"
        lines.append(f"the model closes {share} of the gap of {gap['gap']:.{figure.digits}f} {figure.unit}: {name}")
    for name in (MODEL, CONSTANT):
        if name in summary["regret"]:
            row = summary["regret"][name]
            numbers = ", ".join(f"{key} {row[key]:.{figure.digits}f}" for key in ("mean", "median", "p95"))
            lines.append(f"regret of {name}: {numbers} {figure.unit}")
    return lines


def by_method(reports: Sequence[SampleReport], metric: str) -> dict[str, np.ndarray]:
    """Method -> the values of a metric over the samples that have it, in their order."""
    methods = dict.fromkeys(name for report in reports for name in report.scores)
    values = {
        name: np.array([r.scores[name][metric] for r in reports if metric in r.scores.get(name, {})])
        for name in methods
    }
    return {name: found for name, found in values.items() if len(found)}


def gaps(
    reports: Sequence[SampleReport], target: str, settings: TableSettings, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The gaps between a baseline and the best free subset, and the model's share of each."""
    found = {name: values for name, values in by_method(reports, NAMES[target]).items() if len(values) == len(reports)}
    ceiling = best_name(settings.members)
    known = [name for name in LEARNT if name in found]
    if ceiling not in found or CONSTANT not in known:
        return {}
    sign = 1 if FIGURES[target].higher_is_better else -1
    strongest = max(known, key=lambda name: sign * found[name].mean())
    result = {}
    for baseline in dict.fromkeys((CONSTANT, strongest)):
        share = gap_closed(found[MODEL].mean(), found[baseline].mean(), found[ceiling].mean())
        if share is None:
            continue
        low, high = gap_interval(found[MODEL], found[baseline], found[ceiling], resamples, seed)
        width = abs(float(found[ceiling].mean() - found[baseline].mean()))
        result[f"{baseline} to {ceiling}"] = {"share": share, "low": low, "high": high, "gap": width}
    return result


def gap_interval(
    model: np.ndarray, baseline: np.ndarray, oracle: np.ndarray, resamples: int, seed: int
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the closed share, scenes (N,) drawn together for all three.

    Draws without a gap are left out; NaN where no draw has one.
    """
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(resamples):
        drawn = rng.integers(len(model), size=len(model))
        share = gap_closed(model[drawn].mean(), baseline[drawn].mean(), oracle[drawn].mean())
        if share is not None:
            shares.append(share)
    if not shares:
        return float("nan"), float("nan")
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def confidence(reports: Sequence[SampleReport], target: str) -> Plain:
    """How far the model knows what it does not know; None where there is nothing to compare."""
    from scipy.stats import spearmanr

    def rank(expected: np.ndarray | None, found: np.ndarray) -> float | None:
        if expected is None or len(expected) != len(found) or len(found) < 3:
            return None
        if np.ptp(expected) == 0 or np.ptp(found) == 0:
            return None
        return float(spearmanr(expected, found).statistic)

    found, scores = by_method(reports, "regret")[MODEL], by_method(reports, NAMES[target])[MODEL]
    expected, foreseen = (by_method(reports, name).get(MODEL) for name in (EXPECTED_REGRET, EXPECTED_SCORE))
    result: Plain = {
        "expected_regret": None if expected is None else float(expected.mean()),
        "found_regret": float(found.mean()),
        "regret_rank_correlation": rank(expected, found),
        "expected_score": None if foreseen is None else float(foreseen.mean()),
        "found_score": float(scores.mean()),
        "score_rank_correlation": rank(foreseen, scores),
    }
    if any(FALLBACK in report.scores for report in reports):
        result["fallback_taken"] = float(np.mean(["unsure" in report.subsets for report in reports]))
    return result


def save_label_histogram(scores: torch.Tensor, settings: TableSettings, path: Path) -> None:
    """Draw which subsets are the best of scenes with scores (N, S), higher is better, NaN where not valid."""
    best = torch.where(torch.isfinite(scores), scores, -torch.inf).argmax(dim=1)
    pictures.save_picture(path, pictures.label_histogram(settings.evs, settings.subsets, best))
