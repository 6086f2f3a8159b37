"""Scores of ``exposure_selection``: the selector beside constants, rules of thumb, and oracles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdr.data.loader import SampleKey, SeededDataset
from hdr.data.subset import spread
from hdr.engine.config import Plain
from hdr.engine.task import EvaluationProtocol, Metric, SampleReport
from hdr.progress import track
from tasks.exposure_selection import baselines, pictures
from tasks.exposure_selection.baselines import Memory
from tasks.exposure_selection.confidence import best_threshold, expected_regret, regret_curve
from tasks.exposure_selection.data import Previews, direction, to_preview
from tasks.exposure_selection.methods import (
    CONSTANT,
    LADDERS,
    MODEL,
    NAMES,
    OFF_LADDER,
    Scores,
    best_name,
    by_constants,
    by_oracles,
    by_rules,
    captured,
    expected_by_chance,
    figures,
    off_ladder,
    tolerances,
    within,
)
from tasks.exposure_selection.oracles import SEARCHED, Exposed, refine
from tasks.exposure_selection.scoring import FIGURES
from tasks.exposure_selection.selector import Selector, probabilities
from tasks.exposure_selection.table import Row, TableSettings

FALLBACK = "model with fallback"
TOP = (1, 3, 5)
EXPECTED_REGRET, EXPECTED_SCORE = "expected regret", "expected score"


def protocol(target: str, settings: TableSettings) -> EvaluationProtocol:
    """How scores under a figure are read; the gap is the one between the best constant and the best free subset."""
    figure = FIGURES[target]
    metrics = (
        Metric(name=NAMES[target], unit=figure.unit, higher_is_better=figure.higher_is_better, digits=figure.digits),
        Metric(name="regret", unit=figure.unit, higher_is_better=False, digits=figure.digits),
        *(Metric(name=within(value, target)) for value in tolerances(target)),
        *(Metric(name=f"top-{count}") for count in TOP),
        Metric(name="|ΔEV|", unit="EV", higher_is_better=False),
        *(Metric(name=NAMES[name], digits=4) for name in ("ssim", "mef_ssim") if name != target),
        Metric(name="captures", higher_is_better=False, digits=1),
        Metric(name="time", higher_is_better=False, digits=1),
        Metric(name="fused", unit="MPix", higher_is_better=False, digits=3),
        Metric(name=EXPECTED_REGRET, unit=figure.unit, higher_is_better=False, digits=figure.digits),
    )
    return EvaluationProtocol(
        metrics=metrics,
        baselines=(CONSTANT,),
        oracles=(best_name(settings.members),),
        description=(
            f"exposures at {settings.lowest:g} to {settings.highest:g} EV in steps of {settings.step:g}, 8 bit, "
            f"{'with' if settings.noise else 'without'} sensor noise; fusion: {settings.weighting}; reference: "
            f"{settings.reference}; regret: distance from the scene's best candidate of the table; top-n: the best is "
            "among the model's n first; |ΔEV|: mean distance per member from the best; MEF-SSIM against the five "
            "exposures from -4 to 4 EV; time: sum of exposure times, EV 0 being 1; fused: pixels that the fusion "
            "reads; `high range`: at least the training scenes' median dynamic range; `unsure`: where the fallback "
            "is taken"
        ),
    )


def fit(memory: Memory, settings: TableSettings) -> Plain:
    """Constants of the baselines and of the confidence, as JSON values; see :func:`baselines.fit`.

    ``regret_by_distance``: see :func:`tasks.exposure_selection.confidence.regret_curve`. ``threshold``: the expected
    regret above which the constant is taken; here the constant's own mean regret, until :func:`fit_threshold` has seen
    how far the network's expectations can be trusted.
    """
    evs, subsets = settings.evs, settings.subsets
    found = baselines.fit(memory, subsets, evs)
    curve = regret_curve(memory.regrets, memory.valid, subsets, evs)
    return {**found, "regret_by_distance": curve, "threshold": found["constant_regret"]}


@torch.no_grad()
def fit_threshold(
    network: Selector, samples: Previews, settings: TableSettings, fitted: Plain, count: int | None, seed: int
) -> Plain:
    """``fitted`` with the threshold at which falling back to the constant helps most.

    ``samples`` are best those of the validation split: on its training scenes a network is surer than it should be. A
    network that takes a whole stack has nothing to fall back from, and gets ``fitted`` back.
    """
    if network.takes_stack:
        return fitted
    subsets, dataset = settings.subsets, SeededDataset(samples, seed)
    chosen = spread(len(samples), count)
    rows = []
    for index in track(chosen, "fallback", len(chosen)):
        sample = dataset[SampleKey(0, index)]
        valid = sample["valid"]
        values, _ = look(network, sample["preview"], sample, subsets)
        pick, expected = decide(network, values, valid, settings, fitted)
        regrets = sample["scores"][valid].max() - sample["scores"]
        constant = baselines.least(fitted["mean_regret"], valid)
        rows.append((expected, float(regrets[pick]), float(regrets[constant])))
    expected_, found, constants = np.array(rows).T
    return {**fitted, "threshold": best_threshold(expected_, found, constants)}


def look(network: Selector, seen: Tensor, sample: dict[str, Any], subsets: Tensor) -> tuple[Tensor, float]:
    """Values (S,) of the candidates by what the network sees, on the CPU, and the seconds that this took."""
    device = next(network.parameters()).device
    scalars = sample.get("scalars")
    started = time.perf_counter()
    values = network(
        seen[None].to(device),
        sample["evs"][None].to(device),
        None if scalars is None else scalars[None].to(device),
        subsets.to(device),
    )
    return values[0].float().cpu(), time.perf_counter() - started


def decide(
    network: Selector, values: Tensor, valid: Tensor, settings: TableSettings, fitted: Plain
) -> tuple[int, float]:
    """The valid candidate of highest value, and the regret to expect of it (NaN without ``fitted`` constants)."""
    pick = int(values.masked_fill(~valid, -torch.inf).argmax())
    if not fitted:
        return pick, float("nan")
    probability = probabilities(values[None], valid[None], network.temperature)[0]
    return pick, expected_regret(probability, pick, settings.subsets, settings.evs, fitted["regret_by_distance"])


@torch.no_grad()
def evaluate_row(
    network: Selector,
    sample: dict[str, Any],
    row: Row,
    settings: TableSettings,
    target: str,
    fitted: Plain,
    *,
    memory: Memory | None = None,
    oracles: Sequence[str] = ("pair", "pair_with_preview"),
) -> SampleReport:
    """Score one scene.

    Args:
        network: in evaluation mode.
        sample: of :class:`tasks.exposure_selection.data.Previews`, without jitter.
        row: of the table, the same scene.
        settings: of the table.
        target: figure of the table.
        fitted: of :func:`fit`; without it only the model, rules, chance and the oracles.
        memory: the training scenes, for nearest neighbours.
        oracles: names of :data:`tasks.exposure_selection.oracles.ORACLES`.
    """
    evs, subsets = settings.evs, settings.subsets
    scores = Scores(target=target, subsets=subsets, values=row.scores[target] * direction(target))
    exposed = Exposed(row, settings, sorted({ev for ladder in LADDERS.values() for ev in ladder}))
    preview, around = sample["preview"], sample["evs"].tolist()
    seen = preview
    if network.takes_stack:
        seen = torch.stack([to_preview(display, preview.shape[-1]) for display in exposed.display[: len(evs)]])
    values, seconds = look(network, seen, sample, subsets)
    pick, expected = decide(network, values, scores.valid, settings, fitted)
    picks, unsure = {MODEL: pick}, False
    if fitted:
        constants = by_constants(preview, scores, evs, fitted, memory)
        unsure = expected > fitted["threshold"]
        picks |= {FALLBACK: constants[CONSTANT] if unsure else pick, **constants}
    members = {name: subsets[index].tolist() for name, index in picks.items()}
    members |= by_rules(preview, around, exposed, scores) | by_oracles(exposed, scores, oracles)
    choices = captured(exposed, scores, members)
    best = best_name(settings.members)
    if "continuous" in oracles and target in SEARCHED:
        start = choices.get(best) or captured(exposed, scores, {best: subsets[scores.best].tolist()})[best]
        moved = refine(exposed, start.evs, start.score, target)
        choices[OFF_LADDER] = off_ladder(exposed, *moved) if moved else start
    found = figures(choices, exposed, scores)
    found["random"] = expected_by_chance(scores, exposed)
    order = values.masked_fill(~scores.valid, -torch.inf).argsort(descending=True, stable=True)
    found[MODEL] |= {f"top-{count}": float(scores.best in order[:count].tolist()) for count in TOP}
    if fitted:
        found[MODEL][EXPECTED_REGRET] = expected
    if network.in_scores:
        found[MODEL][EXPECTED_SCORE] = float(values[pick]) * direction(target)
    marks = {"model": evs_of(subsets[pick], evs), "best": evs_of(subsets[scores.best], evs)}
    if fitted:
        marks["constant"] = evs_of(subsets[picks[CONSTANT]], evs)
    shown = {name: choices[name] for name in (MODEL, best) if name in choices}
    return SampleReport(
        id=row.id,
        scores=found,
        subsets=(*row.subsets, *breakdowns(row, fitted, unsure)),
        pictures=pictures.panel(
            preview,
            shown,
            exposed.reference,
            target,
            settings.weighting,
            pictures.score_map(evs, subsets, scores.values, marks),
        ),
        seconds=seconds,
    )


def evs_of(subset: Tensor, evs: Sequence[float]) -> tuple[float, ...]:
    """The EVs of one candidate."""
    return tuple(evs[index] for index in subset.tolist())


def breakdowns(row: Row, fitted: Plain, unsure: bool) -> tuple[str, ...]:
    """The parts of the results that a scene belongs to, beside its family."""
    if not fitted:
        return ()
    wide = baselines.dynamic_range(row) >= fitted["median_range"]
    return "high range" if wide else "low range", "unsure" if unsure else "confident"
