from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdr.engine.task import SampleReport
from tasks.exposure_selection import summary
from tests.tasks.exposure_selection.made import SETTINGS

BEST = np.array([30.0, 32.0, 28.0, 35.0, 31.0])
MODEL = np.array([1.0, 0.5, 0.0, 2.0, 4.0])
CONSTANT = np.array([2.0, 1.0, 0.5, 8.0, 3.5])
NEIGHBOURS = np.array([1.5, 0.5, 1.0, 3.0, 4.0])
EXPECTED = np.array([1.0, 0.6, 0.2, 1.5, 1.4])


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of the ranks, without ties."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


@pytest.fixture
def reports() -> list[SampleReport]:
    made = []
    for index in range(5):
        regrets = {
            "model": MODEL[index],
            "model with fallback": MODEL[index],
            "constant": CONSTANT[index],
            "nearest neighbours": NEIGHBOURS[index],
            "best pair": 0.0,
        }
        scores = {name: {"PSNR": BEST[index] - regret, "regret": regret} for name, regret in regrets.items()}
        scores["model"] |= {"expected regret": EXPECTED[index], "expected score": BEST[index] - 1.0}
        if index:
            scores["up-down ±3"] = {"PSNR": 20.0, "regret": BEST[index] - 20.0}
        made.append(SampleReport(id=str(index), scores=scores, subsets=("unsure",) if index == 3 else ("confident",)))
    return made


def test_medians_tails_and_both_gaps(reports: list[SampleReport], tmp_path: Path) -> None:
    found = summary.summarise(reports, "psnr", SETTINGS, tmp_path, resamples=200, seed=0)
    assert json.loads(json.dumps(found)) == found
    assert found["regret"]["model"] == pytest.approx(
        {"mean": 1.5, "median": 1.0, "p95": float(np.quantile(MODEL, 0.95)), "scenes": 5}
    )
    assert found["regret"]["up-down ±3"]["scenes"] == 4
    constant, neighbours = found["gaps"]["constant to best pair"], found["gaps"]["nearest neighbours to best pair"]
    assert constant["share"] == pytest.approx((3.0 - 1.5) / 3.0)
    assert constant["gap"] == pytest.approx(3.0)
    assert neighbours["share"] == pytest.approx((2.0 - 1.5) / 2.0)
    assert constant["low"] < constant["share"] < constant["high"]
    confidence = found["confidence"]
    assert confidence["expected_regret"] == pytest.approx(EXPECTED.mean())
    assert confidence["regret_rank_correlation"] == pytest.approx(0.9)  # the order but for one swap of neighbours
    assert confidence["score_rank_correlation"] == pytest.approx(spearman(BEST, BEST - MODEL))
    assert confidence["fallback_taken"] == pytest.approx(0.2)
    for name in ("regret.png", "confidence.png"):
        with Image.open(tmp_path / name) as chart:
            assert chart.size == (384, 384)
    lines = summary.as_lines(found, "psnr")
    assert lines[0].startswith("the model closes 50% [")
    assert "regret of model: mean 1.50, median 1.00, p95" in "\n".join(lines)


def test_less_is_better_turns_the_gap(reports: list[SampleReport]) -> None:
    turned = [
        SampleReport(id=r.id, scores={n: {"RMSE": f["regret"] + 5, "regret": f["regret"]} for n, f in r.scores.items()})
        for r in reports
    ]
    found = summary.gaps(turned, "rmse", SETTINGS, 50, 0)
    assert list(found) == ["constant to best pair", "nearest neighbours to best pair"]
    assert found["constant to best pair"]["share"] == pytest.approx(0.5)


def test_the_interval_draws_scenes_together() -> None:
    chance = np.random.default_rng(0)
    oracle = chance.normal(30, 5, 40)
    baseline = oracle - chance.uniform(1, 3, 40)
    low, high = summary.gap_interval(0.25 * baseline + 0.75 * oracle, baseline, oracle, 200, 0)
    # Each scene closes three quarters: however they are drawn, so do all; drawn apart, 5 dB of spread would blur it.
    assert (low, high) == pytest.approx((0.75, 0.75), abs=1e-9)
    noisy = 0.25 * baseline + 0.75 * oracle + chance.normal(0, 0.5, 40)
    low, high = summary.gap_interval(noisy, baseline, oracle, 2000, 0)
    spread = (noisy - 0.25 * baseline - 0.75 * oracle).std() / np.sqrt(40) / (oracle - baseline).mean()
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert all(np.isnan(summary.gap_interval(oracle, oracle, oracle, 10, 0)))


def test_without_constants_there_is_less_to_say(tmp_path: Path) -> None:
    reports = [SampleReport(id="a", scores={"model": {"PSNR": 20.0, "regret": 1.0}})]
    found = summary.summarise(reports, "psnr", SETTINGS, tmp_path, resamples=10, seed=0)
    assert found["gaps"] == {}
    assert found["confidence"]["expected_regret"] is None
    assert "fallback_taken" not in found["confidence"]
    assert not (tmp_path / "confidence.png").exists()
    assert summary.as_lines(found, "psnr") == ["regret of model: mean 1.00, median 1.00, p95 1.00 dB"]


def test_the_label_histogram_counts_valid_candidates_only(tmp_path: Path) -> None:
    scores = torch.full((3, len(SETTINGS.subsets)), torch.nan)
    scores[:, 4], scores[:, 9] = 20.0, 30.0
    summary.save_label_histogram(scores, SETTINGS, tmp_path / "a.png")
    summary.save_label_histogram(
        torch.where(torch.arange(21) == 9, 1.0, 0.0).expand(3, -1), SETTINGS, tmp_path / "b.png"
    )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
