"""Tables, intervals and gaps of ``mode=evaluate``, on figures worked out by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdr.data.subset import spread
from hdr.engine.evaluate import closed_gap, evaluate, extremes, tabulate, thin
from hdr.engine.task import EvaluationProtocol, Metric, SampleReport
from hdr.errors import UserError
from tests.engine.toy import Toy, config

UP = EvaluationProtocol(metrics=(Metric(name="q"),), baselines=("a", "b"), oracles=("o",), description="")
DOWN = EvaluationProtocol(
    metrics=(Metric(name="q", higher_is_better=False),), baselines=("a", "b"), oracles=("o",), description=""
)


def reports(*rows: tuple[float, float, float, float], subset: str = "s") -> list[SampleReport]:
    return [
        SampleReport(
            id=str(index),
            scores={name: {"q": value} for name, value in zip(("model", "a", "b", "o"), row, strict=True)},
            subsets=(subset,) if index % 2 else (),
            pictures={"x": torch.rand(3, 4, 4)},
        )
        for index, row in enumerate(rows)
    ]


def test_means_and_subsets() -> None:
    tables = tabulate(reports((1, 2, 3, 4), (3, 2, 1, 4), (5, 2, 2, 4)), UP, 200, 0)
    assert tables["all"]["model"]["q"].mean == 3
    assert tables["s"]["model"]["q"].mean == 3
    assert tables["s"]["model"]["q"].count == 1
    cell = tables["all"]["model"]["q"]
    assert 1 <= cell.low < 3 < cell.high <= 5


@pytest.mark.parametrize(("protocol", "row", "share", "baseline"), [
    (UP, (25.0, 10.0, 20.0, 30.0), 0.5, "b"),
    (DOWN, (4.0, 5.0, 8.0, 1.0), 0.25, "a"),
    (UP, (15.0, 10.0, 20.0, 30.0), -0.5, "b"),
])  # fmt: skip
def test_share_of_the_gap(protocol: EvaluationProtocol, row: tuple[float, ...], share: float, baseline: str) -> None:
    gap = closed_gap(tabulate(reports(row), protocol, 50, 0), protocol)["all"]  # type: ignore[arg-type]
    assert gap["share"] == pytest.approx(share)
    assert gap["baseline"] == baseline


def test_no_gap_is_claimed_where_there_is_none() -> None:
    assert closed_gap(tabulate(reports((1.0, 3.0, 2.0, 3.0)), UP, 50, 0), UP) == {}


def test_extremes_are_the_best_middle_and_worst_once_each() -> None:
    rows = [(float(value), 0.0, 0.0, 0.0) for value in (5, 1, 9, 3, 7)]
    chosen = [
        (caption.split(":")[0], report.scores["model"]["q"]) for caption, report in extremes(reports(*rows), UP, 1)
    ]
    assert chosen == [("best", 9.0), ("median", 5.0), ("worst", 1.0)]
    assert len({report.id for _, report in extremes(reports(*rows), UP, 3)}) == 5


def test_thin_reports_keep_what_a_panel_shows() -> None:
    report = reports((1.0, 1.0, 1.0, 1.0))[0]
    small = thin(report, width=8).pictures["x"]
    assert small.shape == (3, 8, 8)
    assert small.dtype == torch.uint8


def test_spread_takes_both_ends() -> None:
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 9) == spread(3, None) == [0, 1, 2]


def test_a_whole_evaluation(tmp_path: Path) -> None:
    task = Toy(config())
    torch.manual_seed(0)
    networks = {"model": task.networks()["model"].eval()}
    score = evaluate(task, networks, tmp_path)
    result = json.loads((tmp_path / "results.json").read_text())
    rows = list(csv.DictReader((tmp_path / "per_sample.csv").read_text().splitlines()))
    zeros = [float(row["error"]) for row in rows if row["method"] == "zero"]
    assert len(zeros) == 9
    assert result["tables"]["all"]["zero"]["error"]["mean"] == pytest.approx(np.mean(zeros))
    assert score == result["tables"]["all"]["model"]["error"]["mean"]
    assert {"all", "rising", "falling"} == result["tables"].keys()
    assert "**model**" in (tmp_path / "results.md").read_text()
    with Image.open(tmp_path / "panel.jpg") as panel:
        assert panel.height > 100


def test_constants_of_another_evaluation(tmp_path: Path) -> None:
    settings = config()
    settings["evaluation"]["constants"] = str(tmp_path / "no.json")
    with pytest.raises(UserError, match=r"evaluation\.constants"):
        evaluate(Toy(settings), {"model": Toy(settings).networks()["model"]}, tmp_path)
