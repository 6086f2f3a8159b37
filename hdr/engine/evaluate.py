"""``mode=evaluate``: the model beside baselines and oracles, with intervals, subsets and pictures."""

from __future__ import annotations

import csv
import io
import json
import logging
import resource
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from hdr.data.loader import SampleKey, SeededDataset, start_worker
from hdr.data.subset import spread
from hdr.engine.config import Plain
from hdr.engine.panels import save_panel
from hdr.engine.randomness import derive_seed
from hdr.engine.report import print_tables, tables_as_markdown
from hdr.engine.run import write_json
from hdr.engine.task import EvaluationProtocol, SampleReport, Samples, Task
from hdr.errors import UserError
from hdr.io.atomic import write_atomically
from hdr.metrics.statistics import bootstrap_interval, gap_closed
from hdr.progress import track

log = logging.getLogger(__name__)

MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of a table: the mean over samples and its bootstrap interval."""

    mean: float
    low: float
    high: float
    count: int


Tables = dict[str, dict[str, dict[str, Cell]]]  # subset -> method -> metric


@torch.no_grad()
def evaluate(task: Task, networks: dict[str, nn.Module], output: Path) -> float:
    """Score every sample of the split, print and write the tables; returns the model's mean of the leading metric.

    Files below ``output``: ``results.json`` (tables, protocol, cost), ``results.md``, ``per_sample.csv``, ``panel.jpg``
    (best, median and worst cases by the leading metric).

    Raises:
        UserError: the split is empty, or a sample cannot be read.
    """
    settings, seed = task.config["evaluation"], int(task.config["seed"])
    split = settings["split"]
    if split not in ("train", "val", "test"):
        raise UserError(f"evaluation.split: found '{split}', accepted are train, val, test")
    protocol = task.protocol()
    fitted = constants(task) if settings["baselines"] else {}
    samples = task.dataset(split)
    indices = spread(len(samples), settings["samples"])
    if not indices:
        raise UserError(f"evaluation.split={split}: this data set has no samples in it")
    reports = []
    for sample in track(_loader(samples, indices, task), "evaluate", total=len(indices)):
        reports.append(thin(task.evaluate_sample(networks, sample, fitted)))
    tables = tabulate(reports, protocol, settings["resamples"], seed)
    result: dict[str, Any] = {
        "task": task.config["task"],
        "checkpoint": task.config["checkpoint"] or "shipped",
        "data": task.config["dataset"],
        "protocol": protocol.description,
        "split": split,
        "samples": len(reports),
        "constants": fitted,
        "cost": cost(networks, reports),
        "closed_gap": closed_gap(tables, protocol),
        "summary": task.summarise(reports, output),
        "tables": {s: {m: {k: vars(c) for k, c in row.items()} for m, row in t.items()} for s, t in tables.items()},
    }
    write_json(output / "results.json", result)
    write_text(output / "results.md", tables_as_markdown(result, protocol))
    write_text(output / "per_sample.csv", as_csv(reports, protocol))
    save_panel(output / "panel.jpg", extremes(reports, protocol, settings["panels"]))
    print_tables(result, protocol)
    log.info("written to %s: results.json, results.md, per_sample.csv, panel.jpg", output)
    return tables["all"][MODEL][protocol.metrics[0].name].mean


def constants(task: Task) -> Plain:
    """The constants of the baselines: chosen on the training split, or those of an earlier evaluation."""
    settings = task.config["evaluation"]
    if settings["constants"] is None:
        log.info("choosing the constants of the baselines on %d training samples", settings["fit_samples"])
        seed = derive_seed(int(task.config["seed"]), "baselines")
        return task.fit_baselines(task.dataset("train"), settings["fit_samples"], seed)
    try:
        found: Plain = json.loads(Path(settings["constants"]).read_text())["constants"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"evaluation.constants={settings['constants']}: not the results.json of an evaluation ({error})"
        ) from error
    return found


def _loader(samples: Samples, indices: Sequence[int], task: Task) -> DataLoader[Any]:
    """One sample at a time, in order, read ahead by workers; each has the same random numbers in every evaluation."""
    seed = derive_seed(int(task.config["seed"]), "split", 2)
    keys = [SampleKey(0, index) for index in indices]
    workers = min(task.config["trainer"]["workers"], len(indices), 4)  # whole photos wait in memory for their turn
    return DataLoader(
        SeededDataset(samples, seed),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        prefetch_factor=1 if workers else None,
        worker_init_fn=start_worker,
    )


def thin(report: SampleReport, width: int = 384) -> SampleReport:
    """The report with pictures reduced to what a panel shows, so that thousands of samples fit in memory."""
    small = {}
    for label, display in report.pictures.items():
        height = max(1, round(display.shape[-2] * width / display.shape[-1]))
        reduced = torch.nn.functional.interpolate(
            display[None].float().cpu(), (height, width), mode="bilinear", antialias=True
        )
        small[label] = (reduced[0].clamp(0, 1) * 255).round().byte()
    return SampleReport(
        id=report.id, scores=report.scores, subsets=report.subsets, pictures=small, seconds=report.seconds
    )


def tabulate(reports: Sequence[SampleReport], protocol: EvaluationProtocol, resamples: int, seed: int) -> Tables:
    """Means with 95 % bootstrap intervals, for all samples and each subset."""
    subsets = ["all", *dict.fromkeys(name for report in reports for name in report.subsets)]
    tables: Tables = {}
    for subset in subsets:
        members = [report for report in reports if subset == "all" or subset in report.subsets]
        table: dict[str, dict[str, Cell]] = {}
        for method in dict.fromkeys(name for report in members for name in report.scores):
            row = {}
            for metric in protocol.metrics:
                values = np.array(
                    [r.scores[method][metric.name] for r in members if metric.name in r.scores.get(method, {})]
                )
                if len(values):
                    low, high = bootstrap_interval(values, resamples=resamples, seed=seed)
                    row[metric.name] = Cell(mean=float(values.mean()), low=low, high=high, count=len(values))
            table[method] = row
        tables[subset] = table
    return tables


def closed_gap(tables: Tables, protocol: EvaluationProtocol) -> dict[str, dict[str, Any]]:
    """Per subset: how much of the way from the best baseline to the best oracle the model goes, by the leading metric.

    0 is the baseline, 1 the oracle; negative means that the baseline is better. A subset where the best baseline lies
    within the oracle's interval, or shows the same figure, has no gap to speak of and is left out.
    """
    metric = protocol.metrics[0]
    sign = 1 if metric.higher_is_better else -1
    gaps = {}
    for subset, table in tables.items():
        cells = {method: row[metric.name] for method, row in table.items() if metric.name in row}
        baselines = [method for method in protocol.baselines if method in cells]
        oracles = [method for method in protocol.oracles if method in cells]
        if not baselines or not oracles:
            continue
        baseline = max(baselines, key=lambda method: sign * cells[method].mean)
        oracle = max(oracles, key=lambda method: sign * cells[method].mean)
        edge = cells[oracle].low if metric.higher_is_better else cells[oracle].high
        if sign * (edge - cells[baseline].mean) > 10**-metric.digits:
            share = gap_closed(cells[MODEL].mean, cells[baseline].mean, cells[oracle].mean)
            gaps[subset] = {"baseline": baseline, "oracle": oracle, "metric": metric.name, "share": share}
    return gaps


def cost(networks: dict[str, nn.Module], reports: Sequence[SampleReport]) -> dict[str, Any]:
    """Size, time per sample and peak memory of the evaluation."""
    seconds = [report.seconds for report in reports if report.seconds is not None]
    parameters = [p for network in networks.values() for p in network.parameters()]
    device = parameters[0].device if parameters else torch.device("cpu")
    peak = (
        torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "parameters": sum(parameter.numel() for parameter in parameters),
        "median_seconds_per_sample": statistics.median(seconds) if seconds else None,
        "peak_memory_bytes": peak,
        "device": str(device),
    }


def extremes(
    reports: Sequence[SampleReport], protocol: EvaluationProtocol, count: int
) -> list[tuple[str, SampleReport]]:
    """The ``count`` best, middle and worst samples by the model's leading metric, with a caption; none twice."""
    metric = protocol.metrics[0]
    ranked = sorted(reports, key=lambda r: r.scores[MODEL][metric.name], reverse=metric.higher_is_better)
    middle = max(0, len(ranked) // 2 - count // 2)
    groups = {"best": ranked[:count], "median": ranked[middle : middle + count], "worst": ranked[::-1][:count][::-1]}
    chosen: list[tuple[str, SampleReport]] = []
    seen: set[str] = set()
    for name, members in groups.items():
        for report in members:
            if report.id not in seen and report.pictures:
                seen.add(report.id)
                value = report.scores[MODEL][metric.name]
                chosen.append((f"{name}: {report.id}, {metric.name} {value:.{metric.digits}f} {metric.unit}", report))
    return chosen


def as_csv(reports: Sequence[SampleReport], protocol: EvaluationProtocol) -> str:
    """One line per sample and method."""
    text = io.StringIO()
    names = [metric.name for metric in protocol.metrics]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "subsets", "method", *names])
    for report in reports:
        for method, figures in report.scores.items():
            writer.writerow([report.id, " ".join(report.subsets), method, *(figures.get(name, "") for name in names)])
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write ``text``, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text)
