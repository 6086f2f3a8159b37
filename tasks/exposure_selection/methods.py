"""What each method captures of a scene, and how good its fusion is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hdr.engine.config import Plain
from hdr.metrics.fusion import mef_ssim
from hdr.metrics.image import ssim
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection import baselines
from tasks.exposure_selection.baselines import UP_DOWN, Memory
from tasks.exposure_selection.confidence import distance
from tasks.exposure_selection.data import direction
from tasks.exposure_selection.oracles import SEARCHED, Exposed, best_of, coarse_triples
from tasks.exposure_selection.scoring import FIGURES
from tasks.exposure_selection.subsets import all_subsets

MODEL, CONSTANT = "model", "constant"
NAMES = {"psnr": "PSNR", "rmse": "RMSE", "ssim": "SSIM", "mef_ssim": "MEF-SSIM", "lpips": "LPIPS"}
TOLERANCES = {"psnr": (0.1, 0.5, 1.0), "rmse": (0.1, 0.5, 1.0)}  # regrets that pass for equally good
_FINE = (0.001, 0.005, 0.01)  # of figures that end at 1
_SMALLEST = 44  # pixels, below which there is no MEF-SSIM
LADDERS = {f"up-down ±{reach}": (-float(reach), 0.0, float(reach)) for reach in UP_DOWN}
OFF_LADDER = "best off the ladder (oracle)"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a method captures."""

    evs: tuple[float, ...]
    score: float
    """Under the target figure, higher is better."""
    display: Tensor
    """(k, 3, H, W), the exposures."""
    fused: Tensor
    """(3, H, W) display in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The candidates of one scene under the target figure."""

    target: str
    subsets: Tensor
    """(S, k)."""
    values: Tensor
    """(S,), higher is better; NaN where a scene cannot give a candidate."""

    @property
    def valid(self) -> Tensor:
        """(S,) bool."""
        return torch.isfinite(self.values)

    @property
    def best(self) -> int:
        """The best candidate."""
        return int(self.values.nan_to_num(nan=-torch.inf).argmax())


def best_name(members: int) -> str:
    """What the best subset of a table's size is called in the results."""
    names = {1: "exposure", 2: "pair", 3: "triple"}
    return f"best {names.get(members, f'{members} exposures')}"


def tolerances(target: str) -> tuple[float, ...]:
    """Regrets within which a choice counts as right."""
    return TOLERANCES.get(target, _FINE)


def within(value: float, target: str) -> str:
    """The name of the share of scenes whose regret is at most ``value``."""
    return f"≤{value:g} {FIGURES[target].unit}".strip()


def by_constants(
    preview: Tensor, scores: Scores, evs: Sequence[float], fitted: Plain, memory: Memory | None
) -> dict[str, int]:
    """The candidates that the training scenes speak for: method -> row of the table's candidates."""
    mean, valid = fitted["mean_regret"], scores.valid
    found = {CONSTANT: baselines.least(mean, valid)}
    with_preview = baselines.holding(scores.subsets, evs, 0.0) & valid
    if bool(with_preview.any()):
        found["constant with EV 0"] = baselines.least(mean, with_preview)
    if memory is not None:
        histogram = baselines.cumulative_histogram(preview)
        regrets = baselines.neighbours_regret(memory, histogram, fitted["neighbours"])
        found["nearest neighbours"] = baselines.least(regrets, valid)
    return found


def by_rules(preview: Tensor, around: Sequence[float], exposed: Exposed, scores: Scores) -> dict[str, list[int]]:
    """What needs no training: method -> exposures.

    ``around`` is the ladder relative to the preview.
    """
    valid = scores.valid
    candidates = valid.nonzero().flatten().tolist()
    chance = np.random.default_rng(np.random.SeedSequence(list(exposed.light.id.encode())))
    cover = baselines.best_cover(preview, around, scores.subsets, valid)
    found = {
        "random draw": scores.subsets[int(chance.choice(candidates))].tolist(),
        "coverage": scores.subsets[cover].tolist(),
        "coverage, fewest": baselines.fewest_cover(preview, around, exposed.honest[: exposed.ladder]),
    }
    for name, ladder in LADDERS.items():
        members = exposed.find(ladder)
        if bool(exposed.honest[members].all()):
            found[name] = members
    return found


def by_oracles(exposed: Exposed, scores: Scores, oracles: Sequence[str]) -> dict[str, list[int]]:
    """What is best on the ladder: method -> exposures. Under a figure that cannot be searched, only candidates."""
    settings, searched = exposed.settings, scores.target in SEARCHED
    found = {}
    if "pair" in oracles and not settings.include:
        found[best_name(settings.members)] = scores.subsets[scores.best].tolist()
    elif "pair" in oracles and searched:
        free = all_subsets(settings.evs, settings.members)
        found[best_name(settings.members)] = best_of(exposed, free, scores.target)[0]
    with_preview = baselines.holding(scores.subsets, settings.evs, 0.0) & scores.valid
    if "pair_with_preview" in oracles and bool(with_preview.any()):
        index = baselines.least(-scores.values, with_preview)
        found[f"{best_name(settings.members)} with EV 0 (oracle)"] = scores.subsets[index].tolist()
    triples = coarse_triples(exposed) if "triple" in oracles and settings.members < 3 and searched else ()
    if len(triples):
        found["best triple (oracle)"] = best_of(exposed, torch.as_tensor(triples), scores.target)[0]
    return found


def captured(exposed: Exposed, scores: Scores, members: Mapping[str, Sequence[int]]) -> dict[str, Choice]:
    """Fuse what the methods chose, each subset once; candidates keep the score that the table has."""
    known = dict(zip(map(tuple, scores.subsets.tolist()), scores.values.tolist(), strict=True))
    found: dict[tuple[int, ...], Choice] = {}
    for size in sorted({len(chosen) for chosen in members.values()}):
        subsets = sorted({tuple(sorted(chosen)) for chosen in members.values() if len(chosen) == size})
        pictures = exposed.fusion.fuse(torch.tensor(subsets)).clamp(0, 1)
        others = [subset for subset in subsets if subset not in known]
        measured = exposed.scores(torch.tensor(others), scores.target).tolist() if others else []
        values = known | dict(zip(others, measured, strict=True))
        for subset, fused in zip(subsets, pictures, strict=True):
            found[subset] = Choice(
                evs=tuple(exposed.evs[index] for index in subset),
                score=float(values[subset]),
                display=exposed.display[list(subset)],
                fused=fused,
            )
    return {name: found[tuple(sorted(chosen))] for name, chosen in members.items()}


def off_ladder(exposed: Exposed, evs: Sequence[float], score: float) -> Choice:
    """Exposures at other EVs than the ladder's."""
    display = exposed.render(evs)
    fused = exposure_fusion(display[None], exposed.settings.weighting)[0].clamp(0, 1)
    return Choice(evs=tuple(evs), score=score, display=display, fused=fused)


def figures(choices: Mapping[str, Choice], exposed: Exposed, scores: Scores) -> dict[str, dict[str, float]]:
    """The protocol's figures of each method."""
    best = scores.best
    top, best_evs = float(scores.values[best]), [exposed.evs[index] for index in scores.subsets[best].tolist()]
    similar = _similarities(choices, exposed, scores.target)
    megapixels = exposed.reference[0].numel() / 1e6
    table = {}
    for name, choice in choices.items():
        regret = top - choice.score
        row = {NAMES[scores.target]: choice.score * direction(scores.target), "regret": regret}
        row |= {within(value, scores.target): float(regret <= value) for value in tolerances(scores.target)}
        if len(choice.evs) == len(best_evs):
            row["|ΔEV|"] = float(np.abs(np.sort(choice.evs) - np.sort(best_evs)).mean())
        row |= similar[name]
        row["captures"] = float(len(choice.evs))
        row["time"] = float(np.exp2(choice.evs).sum())
        row["fused"] = len(choice.evs) * megapixels
        table[name] = row
    return table


def expected_by_chance(scores: Scores, exposed: Exposed) -> dict[str, float]:
    """The figures that a random candidate has in the mean."""
    settings, values, subsets = exposed.settings, scores.values[scores.valid].double(), scores.subsets[scores.valid]
    regrets = values.max() - values
    size = subsets.shape[1]
    return {
        NAMES[scores.target]: float(values.mean()) * direction(scores.target),
        "regret": float(regrets.mean()),
        **{within(v, scores.target): float((regrets <= v).double().mean()) for v in tolerances(scores.target)},
        "|ΔEV|": float(distance(settings.evs, subsets, scores.subsets[scores.best]).mean()),
        "captures": float(size),
        "time": float(torch.exp2(torch.tensor(settings.evs, dtype=torch.float64))[subsets].sum(dim=1).mean()),
        "fused": size * exposed.reference[0].numel() / 1e6,
    }


def _similarities(choices: Mapping[str, Choice], exposed: Exposed, target: str) -> dict[str, dict[str, float]]:
    """SSIM of each method, each picture once; MEF-SSIM, which costs ten times that, of the three that matter."""
    unique = {choice.evs: choice.fused for choice in choices.values()}
    shown: dict[str, dict[str, float]] = {name: {} for name in choices}
    if target != "ssim":
        pictures = torch.stack(list(unique.values()))
        values = ssim(pictures, exposed.reference.expand_as(pictures)).tolist()
        found = dict(zip(unique, values, strict=True))
        for name, choice in choices.items():
            shown[name]["SSIM"] = found[choice.evs]
    if target != "mef_ssim" and min(exposed.reference.shape[-2:]) >= _SMALLEST:
        chief = [name for name in (MODEL, CONSTANT, best_name(exposed.settings.members)) if name in choices]
        pictures = torch.stack([choices[name].fused for name in chief])
        for name, value in zip(chief, mef_ssim(pictures, exposed.five[None]).tolist(), strict=True):
            shown[name]["MEF-SSIM"] = value
    return shown
