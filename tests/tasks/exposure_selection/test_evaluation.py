from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hdr.engine.evaluate import closed_gap, tabulate
from hdr.engine.task import SampleReport
from hdr.metrics.image import psnr, ssim
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection import baselines, evaluation
from tasks.exposure_selection.baselines import Memory, regrets_of
from tasks.exposure_selection.ladder import render
from tasks.exposure_selection.scoring import FIVE
from tasks.exposure_selection.table import Row, TableSettings
from tests.tasks.exposure_selection.made import EVS, SETTINGS, Told, row, sample

SUBSETS = SETTINGS.subsets
WITH_PREVIEW = [0.0 in (EVS[a], EVS[b]) for a, b in SUBSETS.tolist()]
ALL = ("pair", "pair_with_preview", "triple", "continuous")


def remembered(rows: list[Row], settings: TableSettings = SETTINGS, target: str = "psnr") -> Memory:
    sign = -1.0 if target == "rmse" else 1.0
    scores = torch.stack([made.scores[target] * sign for made in rows])
    return Memory(
        regrets=regrets_of(scores),
        valid=torch.isfinite(scores),
        best=scores.nan_to_num(nan=-torch.inf).amax(dim=1),
        histograms=torch.stack([baselines.cumulative_histogram(sample(m, settings, target)["preview"]) for m in rows]),
        ranges=torch.tensor([baselines.dynamic_range(made) for made in rows]),
        groups=tuple(made.group for made in rows),
    )


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [row(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def memory(rows: list[Row]) -> Memory:
    return remembered(rows[:4])


@pytest.fixture(scope="module")
def fitted(memory: Memory) -> dict[str, Any]:
    return evaluation.fit(memory, SETTINGS)


def evaluate(
    made: Row, values: torch.Tensor, fitted: dict[str, Any], memory: Memory | None = None, **options: Any
) -> SampleReport:
    settings, target = options.pop("settings", SETTINGS), options.pop("target", "psnr")
    network = options.pop("network", None) or Told(values)
    seen = sample(made, settings, target)
    return evaluation.evaluate_row(network, seen, made, settings, target, fitted, memory=memory, **options)


def test_constants_are_json(fitted: dict[str, Any]) -> None:
    assert json.loads(json.dumps(fitted)) == fitted


def test_a_network_that_knows_the_scores_has_no_regret(rows: list[Row], fitted: dict[str, Any], memory: Memory) -> None:
    scores = rows[5].scores["psnr"]
    report = evaluate(rows[5], scores, fitted, memory, oracles=ALL)
    model, best = report.scores["model"], report.scores["best pair"]
    assert model["regret"] == 0.0
    assert model["PSNR"] == pytest.approx(float(scores.max()))
    assert [model[f"top-{count}"] for count in (1, 3, 5)] == [1.0, 1.0, 1.0]
    assert {key: value for key, value in model.items() if key in best} == best
    names = {metric.name for metric in evaluation.protocol("psnr", SETTINGS).metrics}
    assert names == set(model)
    assert report.id == rows[5].id
    assert rows[5].subsets[0] in report.subsets


def test_each_method_has_the_figures_of_what_it_captures(
    rows: list[Row], fitted: dict[str, Any], memory: Memory
) -> None:
    made = rows[4]
    scores = made.scores["psnr"].numpy()
    order = scores.argsort()[::-1]
    values = torch.zeros(len(SUBSETS))
    values[int(order[7])], values[int(order[3])], values[int(order[0])] = 3.0, 2.0, 1.0
    report = evaluate(made, values, fitted, memory, oracles=ALL)
    model = report.scores["model"]
    pair = [EVS[index] for index in SUBSETS[int(order[7])].tolist()]
    best = [EVS[index] for index in SUBSETS[int(order[0])].tolist()]
    regret = float(scores.max() - scores[order[7]])
    assert model["regret"] == pytest.approx(regret, abs=1e-4)
    assert [model[f"≤{limit} dB"] for limit in ("0.1", "0.5", "1")] == [float(regret <= x) for x in (0.1, 0.5, 1.0)]
    assert [model[f"top-{count}"] for count in (1, 3, 5)] == [0.0, 1.0, 1.0]
    assert model["|ΔEV|"] == pytest.approx((abs(pair[0] - best[0]) + abs(pair[1] - best[1])) / 2)
    assert model["captures"] == 2
    assert model["time"] == pytest.approx(2 ** pair[0] + 2 ** pair[1])
    assert model["fused"] == pytest.approx(2 * 64 * 64 / 1e6)
    mean = np.mean([(m.scores["psnr"].max() - m.scores["psnr"]).numpy() for m in rows[:4]], axis=0)
    assert report.scores["constant"]["PSNR"] == pytest.approx(scores[mean.argmin()], abs=1e-4)
    among = np.where(WITH_PREVIEW, mean, np.inf).argmin()
    assert report.scores["constant with EV 0"]["PSNR"] == pytest.approx(scores[among], abs=1e-4)
    held = report.scores["best pair with EV 0 (oracle)"]["PSNR"]
    assert held == pytest.approx(scores[WITH_PREVIEW].max(), abs=1e-4)
    chance = report.scores["random"]
    assert chance["PSNR"] == pytest.approx(scores.mean(), abs=1e-4)
    assert chance["≤1 dB"] == pytest.approx((scores.max() - scores <= 1).mean())
    assert chance["time"] == pytest.approx(np.mean([2 ** EVS[a] + 2 ** EVS[b] for a, b in SUBSETS.tolist()]))
    assert report.scores["random draw"]["PSNR"] in [pytest.approx(score, abs=1e-4) for score in scores.tolist()]
    assert report.scores["best off the ladder (oracle)"]["PSNR"] >= report.scores["best pair"]["PSNR"]


def test_ladders_and_similarities_are_those_of_the_fused_pictures() -> None:
    settings = replace(SETTINGS, noise=False)
    made = row(9, settings)
    report = evaluate(made, made.scores["psnr"], {}, settings=settings, oracles=("triple",))
    light = made.light()
    reference = exposure_fusion(render(light, FIVE, 0.0)[None]).clamp(0, 1)
    for reach in (1, 3, 5):
        fused = exposure_fusion(render(light, [-reach, 0, reach], 0.0)[None]).clamp(0, 1)
        found = report.scores[f"up-down ±{reach}"]
        assert found["PSNR"] == pytest.approx(float(psnr(fused, reference)[0]), abs=1e-3)
        assert found["SSIM"] == pytest.approx(float(ssim(fused, reference)[0]), abs=1e-5)
        assert found["captures"] == 3
        assert found["time"] == pytest.approx(1 + 2**reach + 2**-reach)
        assert "|ΔEV|" not in found
    triple = report.scores["best triple (oracle)"]
    assert triple["PSNR"] >= max(report.scores[f"up-down ±{reach}"]["PSNR"] for reach in (1, 2)) - 1e-4
    assert "best pair" not in report.scores  # was not asked for
    assert not {"constant", "model with fallback", "nearest neighbours"} & set(report.scores)  # nothing was fitted


def test_a_table_of_pairs_with_the_preview_is_held_against_free_pairs(rows: list[Row]) -> None:
    settings = replace(SETTINGS, include=(0.0,))
    made = row(5, settings)
    scores = made.scores["psnr"]
    assert len(scores) == 6
    report = evaluate(made, scores, evaluation.fit(remembered([made], settings), settings), settings=settings)
    assert report.scores["best pair"]["PSNR"] == pytest.approx(float(rows[5].scores["psnr"].max()), abs=0.05)
    assert report.scores["best pair with EV 0 (oracle)"]["PSNR"] == pytest.approx(float(scores.max()), abs=1e-4)
    assert report.scores["model"]["regret"] == 0.0


def test_what_a_capture_cannot_give_is_never_chosen(rows: list[Row], fitted: dict[str, Any], memory: Memory) -> None:
    clipped = (SUBSETS < 3).any(dim=1)  # honest from +1 EV on
    scores = torch.where(clipped, torch.nan, rows[2].scores["psnr"])
    made = replace(rows[2], saturation=0.5, scores={"psnr": scores})
    values = torch.arange(len(SUBSETS), 0, -1).float()  # the network would like the first best
    report = evaluate(made, values, fitted, memory, oracles=("pair", "pair_with_preview", "triple"))
    for name, figures in report.scores.items():
        assert np.isfinite(list(figures.values())).all(), name
        assert figures["regret"] >= 0 or "triple" in name
        assert figures["time"] >= (2**1 if figures["captures"] == 1 else 2**1 + 2**2), name
    first = int((~clipped).nonzero()[0])
    assert report.scores["model"]["PSNR"] == pytest.approx(float(scores[first]))
    assert not [name for name in report.scores if name.startswith("up-down") or "EV 0" in name]


def test_the_unsure_model_falls_back_on_the_constant(rows: list[Row], fitted: dict[str, Any]) -> None:
    made = rows[5]
    worst = int(made.scores["psnr"].argmin())
    values = torch.zeros(len(SUBSETS))
    values[worst] = 1e-3  # nearly anything could be best
    report = evaluate(made, values, fitted)
    assert report.scores["model"]["expected regret"] > fitted["threshold"]
    assert report.scores["model with fallback"]["PSNR"] == report.scores["constant"]["PSNR"]
    assert "unsure" in report.subsets
    values[worst] = 100.0
    report = evaluate(made, values, fitted)
    assert report.scores["model"]["expected regret"] == pytest.approx(0.0, abs=1e-6)
    assert report.scores["model with fallback"]["PSNR"] == report.scores["model"]["PSNR"]
    assert "confident" in report.subsets


def test_scenes_are_parted_at_the_median_range(rows: list[Row], fitted: dict[str, Any]) -> None:
    parts = [evaluation.breakdowns(made, fitted, False)[0] for made in rows[:4]]
    assert sorted(parts).count("high range") in (2, 3)  # the median is one of four
    widest = max(rows[:4], key=baselines.dynamic_range)
    assert evaluation.breakdowns(widest, fitted, False) == ("high range", "confident")
    assert evaluation.breakdowns(widest, {}, False) == ()


def test_networks_see_what_they_ask_for(rows: list[Row]) -> None:
    values = torch.arange(float(len(SUBSETS)))
    one, all_ = Told(values), Told(values, takes_stack=True)
    evaluate(rows[0], values, {}, network=one, oracles=())
    report = evaluate(rows[0], values, {}, network=all_, oracles=())
    assert one.seen == [(1, 3, 32, 32)]
    assert all_.seen == [(1, 7, 3, 32, 32)]
    assert "expected score" not in report.scores["model"]
    told = evaluate(rows[0], values, {}, network=Told(values, in_scores=True), oracles=())
    assert told.scores["model"]["expected score"] == 20.0


def test_figures_where_less_is_better_keep_their_sign() -> None:
    settings = replace(SETTINGS, figures=("rmse",))
    made = row(1, settings)
    fitted = evaluation.fit(remembered([made], settings, "rmse"), settings)
    scores = made.scores["rmse"]
    report = evaluate(made, -scores, fitted, settings=settings, target="rmse", oracles=ALL)
    assert report.scores["model"]["RMSE"] == pytest.approx(float(scores.min()))
    assert report.scores["random"]["RMSE"] == pytest.approx(float(scores.mean()), rel=1e-5)
    assert report.scores["random"]["regret"] == pytest.approx(float((scores - scores.min()).mean()), rel=1e-4)
    assert report.scores["best triple (oracle)"]["RMSE"] < float(scores.max())
    assert evaluation.protocol("rmse", settings).metrics[0].higher_is_better is False


def test_a_slow_figure_has_no_searched_oracles() -> None:
    settings = replace(SETTINGS, figures=("ssim",))
    made = row(1, settings)
    report = evaluate(made, made.scores["ssim"], {}, settings=settings, target="ssim", oracles=ALL)
    assert report.scores["best pair"]["SSIM"] == pytest.approx(float(made.scores["ssim"].max()))
    assert not {"best triple (oracle)", "best off the ladder (oracle)"} & set(report.scores)
    names = [metric.name for metric in evaluation.protocol("ssim", settings).metrics]
    assert len(names) == len(set(names))


class _Samples:
    """Samples of scenes for which the network's choice and the constant are known to be good or bad."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return sample(self.rows[index])


def test_the_threshold_is_where_falling_back_helps(rows: list[Row], fitted: dict[str, Any]) -> None:
    best = int(torch.tensor(fitted["mean_regret"]).argmin())
    values = torch.zeros(len(SUBSETS))
    values[(best + 5) % len(SUBSETS)] = 0.5  # one choice for all scenes, always as doubtful
    samples = _Samples(rows)
    found = evaluation.fit_threshold(Told(values), samples, SETTINGS, fitted, None, 0)  # type: ignore[arg-type]
    assert found["threshold"] == 0.0  # the constant is better in the mean: always fall back
    assert {key: value for key, value in found.items() if key != "threshold"} == {
        key: value for key, value in fitted.items() if key != "threshold"
    }
    values[best] = 1.0
    found = evaluation.fit_threshold(Told(values), samples, SETTINGS, fitted, None, 0)  # type: ignore[arg-type]
    assert found["threshold"] > 0.0  # choice and constant are one: keep it
    stack = Told(values, takes_stack=True)
    assert evaluation.fit_threshold(stack, samples, SETTINGS, fitted, None, 0) == fitted  # type: ignore[arg-type]


def test_the_engine_reads_the_gap_from_constant_to_free_pair(rows: list[Row], fitted: dict[str, Any]) -> None:
    reports = [evaluate(made, made.scores["psnr"], fitted, oracles=ALL[:3]) for made in rows[4:]]
    protocol = evaluation.protocol("psnr", SETTINGS)
    tables = tabulate(reports, protocol, 100, 0)
    # Two scenes: force the interval to the mean, so that the engine sees the gap.
    tables["all"]["best pair"]["PSNR"] = replace(
        tables["all"]["best pair"]["PSNR"], low=tables["all"]["best pair"]["PSNR"].mean
    )
    gap = closed_gap(tables, protocol)["all"]
    assert (gap["baseline"], gap["oracle"], gap["share"]) == ("constant", "best pair", 1.0)
