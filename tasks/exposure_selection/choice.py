"""From a network's values to a choice of exposures that a person can act on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hdr.data.shoots.body import TIMES
from hdr.engine.config import Plain
from hdr.errors import UserError
from tasks.exposure_selection.confidence import expected_regret
from tasks.exposure_selection.scoring import FIGURES
from tasks.exposure_selection.selector import Selector, probabilities
from tasks.exposure_selection.subsets import EXHAUSTIVE, Constraints, all_subsets, allowed, best_subset, position

NEIGHBOURHOOD = 0.5
"""EV by which each exposure of a choice may differ from the chosen one to count as the same advice."""
_SHOWN = 5  # alternatives
_SAME = 1 / 6  # EV: half a step of camera shutters


@dataclass(frozen=True, kw_only=True)
class Safe:
    """What training scenes say of a ladder: the exposures for when the network is not sure, and when that is."""

    evs: tuple[float, ...]
    """The best constant exposures."""
    threshold: float
    """The largest expected regret with which the network is followed."""
    regret_by_distance: tuple[float, ...]
    """See :func:`tasks.exposure_selection.confidence.regret_curve`."""
    best: float
    """The mean score of the best subsets, higher is better; with ``regret`` it tells what to expect of networks that
    do not predict scores."""
    regret: float
    """The mean regret of the constant."""

    @classmethod
    def of(cls, fitted: Plain) -> Safe:
        """From what :func:`tasks.exposure_selection.evaluation.fit_threshold` found."""
        return cls(
            evs=tuple(fitted["constant"]),
            threshold=fitted["threshold"],
            regret_by_distance=tuple(fitted["regret_by_distance"]),
            best=fitted["best"],
            regret=fitted["constant_regret"],
        )


@dataclass(frozen=True, kw_only=True)
class Option:
    """One subset."""

    evs: tuple[float, ...]
    value: float | None
    """The predicted score in the figure's unit; None where the network gives none."""
    probability: float | None
    """Of being the best of all candidates; None where not all of them were looked at."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to capture."""

    members: list[int]
    """Indices into the ladder, rising."""
    evs: tuple[float, ...]
    figure: str
    value: float | None
    """The score to expect of this choice: as the network predicts it, or where it predicts none the training scenes'
    best less the regret to expect; None where neither tells."""
    regret: float | None
    """How far below the best subset the network's own choice is to be expected, in the figure's unit; None after a
    search, and without what training scenes say."""
    confidence: float | None
    """The network's probability that the best subset is its choice or a neighbour, all of whose exposures lie within
    half a stop of its own. None after a search."""
    safe: bool
    """Whether the safe choice took the place of the network's."""
    options: tuple[Option, ...]
    """The network's five best, its own choice first."""


@torch.no_grad()
def choose(
    network: Selector,
    preview: Tensor,
    evs: Sequence[float],
    captures: int,
    *,
    constraints: Constraints | None = None,
    always: Sequence[float] = (),
    figure: str = "psnr",
    safe: Safe | None = None,
    scalars: Sequence[float] | None = None,
) -> Choice:
    """Choose ``captures`` exposures of a ladder.

    All candidates are looked at as long as there are 50,000 at most; beyond, a search finds one that no exchange of one
    exposure improves (:func:`tasks.exposure_selection.subsets.best_subset`).

    Args:
        network: a selector, in eval mode.
        preview: (3, P, P) display.
        evs: the ladder relative to the preview, rising.
        captures: members of a subset.
        constraints: what a subset has to respect.
        always: EVs that are in all candidates that the network knows; for networks with fixed classes.
        figure: what it was trained on, of :data:`tasks.exposure_selection.scoring.FIGURES`.
        safe: taken where the regret to expect is above its threshold, if it fits the ladder, the number and the
            constraints.
        scalars: EXIF facts of the preview (:func:`tasks.exposure_selection.ladder.exif_scalars`).

    Raises:
        UserError: too few exposures, constraints that nothing meets, or a network that cannot work from one preview or
            with this ladder.
    """
    if network.takes_stack:
        raise UserError(
            "this model looks at all exposures of a scene, so that there is nothing left to choose for capturing; give "
            "the checkpoint of another one"
        )
    limits = constraints or Constraints()
    device = next(network.parameters()).device
    given, ladder = preview[None].to(device), torch.tensor([list(evs)], dtype=torch.float32, device=device)
    facts = None if scalars is None else torch.tensor([list(scalars)], device=device)
    sign = 1.0 if FIGURES[figure].higher_is_better else -1.0

    def values_of(subsets: Tensor) -> Tensor:
        values: Tensor = network(given, ladder, facts, subsets.to(device))
        return values[0].float().cpu()

    confidence = regret = None
    if math.comb(len(evs), max(captures, 0)) <= EXHAUSTIVE:
        subsets = all_subsets(evs, captures, Constraints(include=tuple(always)))
        valid = _meets(evs, subsets, limits)
        values = values_of(subsets)
        shares = probabilities(values[None], valid[None], network.temperature)[0]
        order = values.masked_fill(~valid, -torch.inf).argsort(descending=True, stable=True)
        order = order[: min(_SHOWN, int(valid.sum()))]
        pick = int(order[0])
        confidence = _confidence(evs, subsets, shares, pick)
        if safe is not None:
            regret = expected_regret(shares, pick, subsets, evs, safe.regret_by_distance)
        best, scores, likely = subsets[order].tolist(), values[order].tolist(), shares[order].tolist()
    else:
        found, score = best_subset(evs, captures, values_of, limits)
        best, scores, likely = [found], [score], [None]
    options = tuple(
        Option(evs=_evs(evs, members), value=sign * score if network.in_scores else None, probability=share)
        for members, score, share in zip(best, scores, likely, strict=True)
    )
    members, value = best[0], options[0].value
    if value is None and safe is not None and regret is not None:
        value = sign * (safe.best - regret)
    fallback = None
    if safe is not None and regret is not None and regret > safe.threshold:
        fallback = _fitting(safe, evs, captures, limits)
    if safe is not None and fallback is not None:
        members = fallback
        score = float(values_of(torch.tensor([fallback]))[0]) if network.in_scores else safe.best - safe.regret
        value = sign * score
    return Choice(
        members=members,
        evs=_evs(evs, members),
        figure=figure,
        value=value,
        regret=regret,
        confidence=confidence,
        safe=fallback is not None,
        options=options,
    )


def exposures_of(choice: Choice, seconds: float | None, *, standard: bool) -> dict[str, Any]:
    """A choice as JSON values.

    Args:
        choice: what was chosen.
        seconds: exposure time at EV 0, at whose aperture and ISO the others are meant too; None: not known.
        standard: give the nearest times that cameras have, in thirds of a stop, instead of the exact ones. Times that
            lie beyond those of cameras, or would become one, stay as they are.
    """
    exposures: list[dict[str, Any]] = [{"ev": round(ev, 3)} for ev in choice.evs]
    if seconds is not None:
        times = [seconds * 2.0**ev for ev in choice.evs]
        if standard:
            times = _standard(times)
        for exposure, time in zip(exposures, times, strict=True):
            exposure |= {"seconds": float(f"{time:.6g}"), "shutter": shutter(time)}
    figure = FIGURES[choice.figure]
    expected = None
    if choice.value is not None:
        value = round(choice.value, figure.digits + 1)
        expected = {"figure": choice.figure, "value": value, "text": f"{value:.{figure.digits}f} {figure.unit}".strip()}
        if choice.regret is not None:
            expected["regret"] = round(choice.regret, figure.digits + 1)
    return {
        "exposures": exposures,
        "relative_time": round(sum(2.0**ev for ev in choice.evs), 4),
        "expected": expected,
        "confidence": None if choice.confidence is None else round(choice.confidence, 3),
        "safe": choice.safe,
        "alternatives": [
            {
                "evs": [round(ev, 3) for ev in option.evs],
                "expected": None if option.value is None else round(option.value, figure.digits + 1),
                "probability": None if option.probability is None else round(option.probability, 4),
            }
            for option in choice.options
        ],
    }


def shutter(seconds: float) -> str:
    """An exposure time as cameras show it: ``1/640 s``, ``2.5 s``; below 0.3 s as a part of a second."""
    return f"1/{round(1 / seconds)} s" if seconds < 0.3 else f"{seconds:.2g} s"


def _standard(times: Sequence[float]) -> list[float]:
    nearest = [min(TIMES, key=lambda known: abs(math.log2(known / time))) for time in times]
    doubled = len(set(nearest)) < len(nearest)
    return [
        time if doubled or abs(math.log2(near / time)) > 1 / 3 else near
        for near, time in zip(nearest, times, strict=True)
    ]


def _meets(evs: Sequence[float], subsets: Tensor, constraints: Constraints) -> Tensor:
    """Which subsets (S, k) meet all constraints: bool (S,).

    Raises:
        UserError: none does.
    """
    required = [position(evs, ev) for ev in constraints.include]
    valid = allowed(evs, subsets, constraints)
    for index in required:
        valid = valid & (subsets == index).any(dim=1)
    if not bool(valid.any()):
        all_subsets(evs, subsets.shape[1], constraints)  # says which constraints these are
        raise UserError("selection: the candidates that this model knows do not meet the constraints")
    return valid


def _confidence(evs: Sequence[float], subsets: Tensor, shares: Tensor, chosen: int) -> float:
    levels = torch.tensor(list(evs), dtype=torch.float64)[subsets]
    near = ((levels - levels[chosen]).abs() <= NEIGHBOURHOOD + 1e-6).all(dim=1)
    return float(shares[near].sum())


def _fitting(safe: Safe | None, evs: Sequence[float], captures: int, constraints: Constraints) -> list[int] | None:
    """The members of the safe choice, if the ladder has them and the constraints allow them."""
    if safe is None or len(safe.evs) != captures:
        return None
    members = [min(range(len(evs)), key=lambda index: abs(evs[index] - ev)) for ev in sorted(safe.evs)]
    if len(set(members)) < captures or any(
        abs(evs[index] - ev) > _SAME for index, ev in zip(members, sorted(safe.evs), strict=True)
    ):
        return None
    required = {position(evs, ev) for ev in constraints.include}
    fits = bool(allowed(evs, torch.tensor([members]), constraints)[0]) and required <= set(members)
    return members if fits else None


def _evs(evs: Sequence[float], members: Sequence[int]) -> tuple[float, ...]:
    return tuple(float(evs[index]) for index in members)
