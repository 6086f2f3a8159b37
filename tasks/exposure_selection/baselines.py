"""What a selector has to beat: constants chosen on the training split, nearest neighbours, ladders, and coverage.

Regret is the distance from a scene's best candidate, in the unit of the target figure. A candidate that a scene cannot
give, because its capture was clipped, counts there as much as a random choice, so that no candidate wins by being
judged on few scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hdr.data.subset import spread
from hdr.engine.config import Plain
from hdr.ops.colour import luminance
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.progress import track
from tasks.exposure_selection.data import Scored, direction, preview_of
from tasks.exposure_selection.histogram import histogram_pyramid
from tasks.exposure_selection.subsets import all_subsets
from tasks.exposure_selection.table import Row

UP_DOWN = (1, 2, 3, 4, 5)  # EV on both sides of the preview
NEIGHBOURS = (1, 2, 4, 8, 16, 32, 64)
BAND = (0.05, 0.95)  # display values that count as usable
PERCENTILES = (0.005, 0.995)  # of luminance, between which coverage is asked for
_REACH = 6.0  # stops beyond the preview's ends up to which its tails are followed
_STEP = 0.25  # stops between the levels of a luminance distribution
_DARK, _WHITE = -10.75, 254.5 / 255  # stops below which, display value from which a preview does not tell the light
_SLACK = 1e-3  # share of the pixels that may remain uncovered


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """What is remembered of training scenes."""

    regrets: Tensor
    """(N, S), finite."""
    valid: Tensor
    """(N, S) bool: which of them were measured."""
    best: Tensor
    """(N,) the best score, higher is better."""
    histograms: Tensor
    """(N, B), cumulative, see :func:`cumulative_histogram`."""
    ranges: Tensor
    """(N,) dynamic range in stops."""
    groups: tuple[str, ...]


def remember(rows: Scored, target: str, size: int, count: int | None, seed: int) -> Memory:
    """Read ``count`` rows, spread evenly, with previews of ``size`` pixels at the table's anchor."""
    chosen = spread(len(rows), count)
    scores, histograms, ranges, groups = [], [], [], []
    for index in track(chosen, "baselines", len(chosen)):
        row = rows.row(index)
        chance = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, index]).generate_state(1)[0]))
        scores.append(row.scores[target] * direction(target))
        noise = chance if rows.settings.noise else None
        histograms.append(cumulative_histogram(preview_of(row, 0.0, size, noise)))
        ranges.append(dynamic_range(row))
        groups.append(row.group)
    stacked = torch.stack(scores)
    return Memory(
        regrets=regrets_of(stacked),
        valid=torch.isfinite(stacked),
        best=torch.where(torch.isfinite(stacked), stacked, -torch.inf).amax(dim=1),
        histograms=torch.stack(histograms),
        ranges=torch.tensor(ranges),
        groups=tuple(groups),
    )


def regrets_of(scores: Tensor) -> Tensor:
    """Regrets (N, S) >= 0 of scores (N, S), higher is better; where a score is NaN, the mean of the row's others."""
    valid = torch.isfinite(scores)
    best = torch.where(valid, scores, -torch.inf).amax(dim=1, keepdim=True)
    regrets = torch.where(valid, best - scores, 0.0)
    mean = regrets.sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True)
    return torch.where(valid, regrets, mean)


def least(regret: Tensor | Sequence[float], valid: Tensor) -> int:
    """The valid candidate of least regret (S,)."""
    return int(torch.where(valid, torch.as_tensor(regret), torch.inf).argmin())


def holding(subsets: Tensor, evs: Sequence[float], ev: float) -> Tensor:
    """Which candidates (S, k) hold the exposure ``ev``: bool (S,)."""
    return (torch.tensor(evs, dtype=torch.float64)[subsets] - ev).abs().amin(dim=1) < 1e-6


# Nearest neighbours ---------------------------------------------------------------------------------------------------


def cumulative_histogram(preview: Tensor) -> Tensor:
    """Cumulative shares (25,) of the log luminance of a preview (3, P, P) display, from -12 to 0 stops.

    The L1 distance of two, times the 0.5 stops between bins, is how far one's luminances have to be moved to become
    the other's (earth mover's distance).
    """
    return histogram_pyramid(preview[None])[0, -1].cumsum(dim=0)


def neighbours_regret(memory: Memory, histogram: Tensor, count: int) -> Tensor:
    """Mean regrets (S,) of the ``count`` training scenes whose previews are nearest in luminance."""
    distance = (memory.histograms - histogram).abs().sum(dim=1)
    return memory.regrets[distance.topk(min(count, len(distance)), largest=False).indices].mean(dim=0)


def choose_neighbours(memory: Memory) -> int:
    """The number of neighbours of least mean regret when each training scene is predicted from scenes of other groups.

    1 where there is one group only.
    """
    groups = np.array(memory.groups)
    totals = dict.fromkeys(NEIGHBOURS, 0.0)
    for index in range(len(groups)):
        others = torch.from_numpy(groups != groups[index])
        distance = (memory.histograms - memory.histograms[index]).abs().sum(dim=1).masked_fill(~others, torch.inf)
        order = distance.argsort()[: int(others.sum())][: max(NEIGHBOURS)]
        if not len(order):
            return 1
        sums = memory.regrets[order].cumsum(dim=0)
        for count in NEIGHBOURS:
            pick = least(sums[min(count, len(order)) - 1], memory.valid[index])
            totals[count] += float(memory.regrets[index, pick])
    return min(totals, key=lambda count: totals[count])


# Coverage -------------------------------------------------------------------------------------------------------------


def luminance_levels(preview: Tensor) -> tuple[Tensor, Tensor]:
    """What a preview says about the scene's luminances: levels (L,), log2 with 0 at display white, and shares (L,).

    Where a channel is clipped or the light is below the preview's dark end, the luminance is not known. The rule for
    both tails: shares fall off as a power of luminance, with the exponent that the share beyond the end and the share
    of the last stop before it give: ``P(beyond s stops) = b * (b / (b + w))**s``; followed for 6 stops at most.
    Levels lie between the percentiles 0.5 and 99.5, shares sum to 1.
    """
    light = torch.log2(luminance(srgb_to_linear(preview.double())).clamp(min=2.0**-20))
    clipped = (preview.amax(dim=0) >= _WHITE).flatten()
    values = light.flatten()
    above = float(clipped.double().mean())
    below = float(((values < _DARK) & ~clipped).double().mean())
    inside = values[(values >= _DARK) & ~clipped]
    edges = np.arange(_DARK - _REACH, _REACH + _STEP / 2, _STEP)
    counts = np.histogram(inside.numpy(), edges)[0] / values.numel()
    centres = (edges[:-1] + edges[1:]) / 2
    last, first = counts[(centres > -1) & (centres < 0)].sum(), counts[(centres > _DARK) & (centres < _DARK + 1)].sum()
    shares = counts + _tail(above, last, edges, 0.0) + _tail(below, first, -edges[::-1], -_DARK)[::-1]
    cumulative = np.cumsum(shares) / shares.sum()
    kept = (cumulative > PERCENTILES[0]) & (cumulative - shares / shares.sum() < PERCENTILES[1])
    return torch.from_numpy(centres[kept]), torch.from_numpy(shares[kept] / shares[kept].sum())


def _tail(beyond: float, within: float, edges: np.ndarray, start: float) -> np.ndarray:
    """Shares between rising ``edges`` of a power-law tail from ``start`` on that holds ``beyond`` in all."""
    if beyond <= 0:
        return np.zeros(len(edges) - 1)
    left = beyond * (beyond / (beyond + within)) ** np.clip(edges - start, 0.0, _REACH)
    shares = -np.diff(left)
    shares[np.searchsorted(edges, min(start + _REACH, edges[-1])) - 1] += left[-1]
    return shares


def cover(preview: Tensor, evs: Sequence[float], subsets: Tensor) -> tuple[Tensor, Tensor]:
    """How well subsets (S, k) of a ladder cover the luminances of a preview (3, P, P).

    Returns:
        covered: (S,) share of the pixels whose luminance some member shows between 0.05 and 0.95;
        closeness: (S,) mean over pixels of the best member's ``exp(-(x - 0.5)**2 / 0.08)``, by which ties are broken.

    Source: the idea of the least set that covers the scene's range is that of Barakat, Hone and Darcie, Minimal-
    Bracketing Sets for High-Dynamic-Range Image Capture, IEEE Trans. Image Processing 17(10), 2008.
    """
    levels, shares = luminance_levels(preview)
    light = torch.exp2(levels + torch.tensor(evs, dtype=torch.float64)[:, None])
    display = linear_to_srgb(light.clamp(max=1.0))
    usable = ((display >= BAND[0]) & (display <= BAND[1])).double()
    close = torch.exp(-((display - 0.5) ** 2) / 0.08)
    return usable[subsets].amax(dim=1) @ shares, close[subsets].amax(dim=1) @ shares


def best_cover(preview: Tensor, evs: Sequence[float], subsets: Tensor, valid: Tensor) -> int:
    """The valid candidate (S, k) that covers most; of those that cover as much, the one of highest closeness."""
    covered, closeness = cover(preview, evs, subsets)
    full = torch.where(valid, covered, -1.0)
    return int(torch.where(full >= full.max() - _SLACK, closeness, -1.0).argmax())


def fewest_cover(preview: Tensor, evs: Sequence[float], honest: Tensor) -> list[int]:
    """The fewest exposures of a ladder, of those that are ``honest`` (K,), that cover what all together can cover."""
    usable = honest.nonzero().flatten()
    kept = [evs[index] for index in usable.tolist()]
    wanted = float(cover(preview, kept, torch.arange(len(kept))[None])[0])
    size = 0
    while True:
        size += 1
        subsets = all_subsets(kept, size)
        covered, _ = cover(preview, kept, subsets)
        if float(covered.max()) >= wanted - _SLACK:
            chosen = subsets[best_cover(preview, kept, subsets, torch.ones(len(subsets), dtype=torch.bool))]
            return [int(index) for index in usable[chosen].tolist()]


# Facts of a scene -----------------------------------------------------------------------------------------------------


def dynamic_range(row: Row) -> float:
    """Stops between the luminance percentiles 0.5 and 99.5 of a scene's light."""
    light = luminance(row.linear.float() * torch.tensor(row.gains)[:, None, None])
    ends = torch.quantile(light.flatten().clamp(min=2.0**-20), torch.tensor([0.005, 0.995]))
    return float(torch.log2(ends[1] / ends[0]))


def fit(memory: Memory, subsets: Tensor, evs: Sequence[float]) -> Plain:
    """The constants of the baselines, as JSON values.

    ``mean_regret`` (S): orders the candidates; the best constant is the first that a scene can give. ``neighbours``:
    how many. ``median_range``: stops that part scenes of high and low range. ``constant``: EVs of the best constant,
    ``constant_regret`` its mean regret, ``best`` the mean of the best scores (higher is better).
    """
    mean = memory.regrets.double().mean(dim=0)
    constant = int(mean.argmin())
    return {
        "mean_regret": [round(value, 5) for value in mean.tolist()],
        "constant": [evs[index] for index in subsets[constant].tolist()],
        "constant_regret": float(mean[constant]),
        "best": float(memory.best.double().mean()),
        "neighbours": choose_neighbours(memory),
        "median_range": float(memory.ranges.median()),
    }
