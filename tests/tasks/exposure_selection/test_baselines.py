from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from hdr.ops.encoding import linear_to_srgb
from tasks.exposure_selection import baselines, table
from tasks.exposure_selection.data import Scored
from tasks.exposure_selection.subsets import all_subsets
from tests.tasks.exposure_selection.made import EVS, SETTINGS, memory, row

NAN = float("nan")


def grey(stops: torch.Tensor, height: int = 32) -> torch.Tensor:
    """A square preview whose columns have given luminances, in stops below white."""
    return linear_to_srgb(torch.exp2(stops.float()).clamp(max=1.0)).expand(3, height, -1).contiguous()


def test_a_candidate_that_a_scene_cannot_give_counts_as_a_random_choice() -> None:
    found = baselines.regrets_of(torch.tensor([[30.0, NAN, 27.0, 24.0], [20.0, 21.0, NAN, NAN]]))
    assert found.tolist() == [[0.0, 3.0, 3.0, 6.0], [1.0, 0.0, 0.5, 0.5]]


def test_the_constant_is_the_candidate_of_least_mean_regret() -> None:
    # Candidate 0 has the highest mean score over the scenes that can give it: it is judged on the easy one only.
    scores = [[40.0, 39.0, 30.0], [NAN, 20.0, 12.0], [NAN, 21.0, 11.0]]
    found = baselines.fit(
        memory(scores, ["a", "b", "c"], [3, 9, 15]), torch.tensor([[0, 1], [0, 2], [1, 2]]), [0, 1, 3]
    )
    assert found["constant"] == [0, 3]
    assert found["mean_regret"] == pytest.approx([(0 + 4 + 5) / 3, 1 / 3, 28 / 3], abs=1e-4)
    assert found["constant_regret"] == pytest.approx(1 / 3)
    assert found["best"] == pytest.approx((40 + 20 + 21) / 3)
    assert found["median_range"] == 1.0


def test_only_valid_candidates_are_taken() -> None:
    assert baselines.least([0.1, 0.2, 0.3], torch.tensor([False, True, True])) == 1
    subsets = all_subsets(EVS, 2)
    held = [0.0 in (EVS[a], EVS[b]) for a, b in subsets.tolist()]
    assert baselines.holding(subsets, EVS, 0.0).tolist() == held


def test_rows_are_remembered_as_the_table_has_them(tmp_path: Path) -> None:
    folder = tmp_path
    rows = [row(seed) for seed in (0, 1, 2)]
    table.claim_table(folder, SETTINGS, {})
    table._write_part(table.part_path(folder, "train", 0), rows, {})
    scored = Scored(folder, "train", SETTINGS)
    found = baselines.remember(scored, "psnr", 32, None, 0)
    scores = scored.scores("psnr").numpy()
    np.testing.assert_allclose(found.regrets, scores.max(axis=1, keepdims=True) - scores, atol=1e-5)
    np.testing.assert_allclose(found.best, scores.max(axis=1))
    assert found.groups == tuple(made.group for made in rows)
    assert found.histograms[:, -1].tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert len(baselines.remember(scored, "psnr", 32, 2, 0).groups) == 2
    again = baselines.remember(scored, "psnr", 32, None, 0)
    assert torch.equal(again.histograms, found.histograms)


def test_histograms_differ_by_the_earth_mover_s_distance() -> None:
    chance = torch.Generator().manual_seed(0)
    stops = [-11.9 * torch.rand(64, generator=chance), -6 * torch.rand(64, generator=chance) ** 2]
    a, b = (baselines.cumulative_histogram(grey(each)) for each in stops)
    expected = wasserstein_distance(stops[0].numpy(), stops[1].numpy())
    assert float((a - b).abs().sum()) * 0.5 == pytest.approx(expected, abs=0.02)


def test_neighbours_are_the_nearest_in_luminance() -> None:
    known = memory([[1, 5, 0], [2, 9, 0], [7, 3, 1]], ["a", "b", "c"], [2, 5, 20])
    histogram = known.histograms[1] * 0.9 + known.histograms[2] * 0.1
    assert torch.equal(baselines.neighbours_regret(known, histogram, 1), known.regrets[1])
    assert torch.equal(baselines.neighbours_regret(known, histogram, 2), known.regrets[:2].mean(dim=0))
    assert torch.equal(baselines.neighbours_regret(known, histogram, 8), known.regrets.mean(dim=0))


def test_the_number_of_neighbours_is_chosen_without_the_scene_s_own_group() -> None:
    chance = np.random.default_rng(0)
    positions = np.sort(chance.uniform(0, 24, 12)).repeat(2)  # twins, two of each group, with the same best candidate
    best = chance.integers(0, 6, 12).repeat(2)
    scores = 20 - np.abs(np.arange(6) - best[:, None]) + chance.normal(0, 0.1, (24, 6))
    known = memory(scores.tolist(), [str(index // 2) for index in range(24)], positions.tolist())
    regrets, histograms = known.regrets.double().numpy(), known.histograms.numpy()

    def mean_regret(count: int, apart: bool) -> float:
        total = []
        for i in range(24):
            others = [j for j in range(24) if (j // 2 != i // 2 if apart else j != i)]
            near = sorted(others, key=lambda j: np.abs(histograms[i] - histograms[j]).sum())[:count]
            total.append(regrets[i, regrets[near].mean(axis=0).argmin()])
        return float(np.mean(total))

    apart = {count: mean_regret(count, True) for count in baselines.NEIGHBOURS}
    assert min(baselines.NEIGHBOURS, key=lambda count: mean_regret(count, False)) == 1  # the twins give it away
    chosen = baselines.choose_neighbours(known)
    assert chosen != 1
    assert apart[chosen] == pytest.approx(min(apart.values()))
    assert baselines.choose_neighbours(memory([[1.0, 2.0]] * 3, ["a"] * 3, [1, 2, 3])) == 1


def test_luminances_that_the_preview_shows_are_taken_as_they_are() -> None:
    stops = torch.linspace(-8.0, -1.0, 256)
    levels, shares = baselines.luminance_levels(grey(stops))
    assert float(shares.sum()) == pytest.approx(1.0)
    assert levels[0] == pytest.approx(-8.0, abs=0.25)
    assert levels[-1] == pytest.approx(-1.0, abs=0.25)
    assert float(levels @ shares) == pytest.approx(-4.5, abs=0.1)


@pytest.mark.parametrize("exponent", [0.6, 0.9, 1.5])
def test_clipped_light_is_followed_along_a_power_law(exponent: float) -> None:
    # Light whose share above x is (16 x)**-exponent: the preview clips it at 1, and the rule has to find its end.
    rank = (torch.arange(20000) + 0.5) / 20000
    stops = -torch.log2(rank) / exponent - 4
    levels, _ = baselines.luminance_levels(grey(stops, height=1))
    true = min(float(torch.quantile(stops, 0.995)), 6.0)  # 8.7 stops for the first: it is followed for 6
    assert float(levels[-1]) == pytest.approx(true, abs=0.3)
    dark, _ = baselines.luminance_levels(grey(-10.75 - stops, height=1))
    assert float(dark[0]) == pytest.approx(-10.75 - true, abs=0.3)


def test_previews_without_any_known_light_are_no_obstacle() -> None:
    for value in (0.0, 1.0):
        levels, shares = baselines.luminance_levels(torch.full((3, 16, 16), value))
        assert len(levels) == 1
        assert float(shares.sum()) == pytest.approx(1.0)


def test_cover_is_what_the_formula_says() -> None:
    chance = torch.Generator().manual_seed(3)
    preview = grey(-9 * torch.rand(100, generator=chance))
    subsets = all_subsets(EVS, 2)
    covered, closeness = baselines.cover(preview, EVS, subsets)
    levels, shares = (found.tolist() for found in baselines.luminance_levels(preview))
    for index, pair in enumerate(combinations(EVS, 2)):
        inside = near = 0.0
        for level, share in zip(levels, shares, strict=True):
            shown = [
                float(linear_to_srgb(torch.tensor(min(1.0, 2.0 ** (level + ev)), dtype=torch.float64))) for ev in pair
            ]
            inside += share * any(0.05 <= x <= 0.95 for x in shown)
            near += share * max(np.exp(-((x - 0.5) ** 2) / 0.08) for x in shown)
        assert float(covered[index]) == pytest.approx(inside, abs=1e-9)
        assert float(closeness[index]) == pytest.approx(near, abs=1e-9)
    chosen = baselines.best_cover(preview, EVS, subsets, torch.ones(len(subsets), dtype=torch.bool))
    assert covered[chosen] >= covered.max() - 1e-3
    assert closeness[chosen] == closeness[covered >= covered.max() - 1e-3].max()
    valid = torch.arange(len(subsets)) != chosen
    assert baselines.best_cover(preview, EVS, subsets, valid) != chosen


def test_the_fewest_exposures_are_as_many_as_the_range_asks_for() -> None:
    everything = torch.ones(len(EVS), dtype=torch.bool)
    assert len(baselines.fewest_cover(grey(torch.linspace(-5, -1, 64)), EVS, everything)) == 1
    wide = grey(torch.linspace(-9.8, -0.05, 64))  # one exposure holds 7.8 stops
    assert len(baselines.fewest_cover(wide, EVS, everything)) == 2
    honest = torch.tensor([ev >= 2 for ev in EVS])
    assert all(EVS[index] >= 2 for index in baselines.fewest_cover(wide, EVS, honest))


def test_the_dynamic_range_is_that_of_the_light() -> None:
    made = row(0)
    stops = torch.linspace(-9, 1, 64 * 64).reshape(64, 64)
    changed = table.Row(**{**vars(made), "linear": torch.exp2(stops).expand(3, -1, -1).half(), "gains": (1, 1, 1)})
    assert baselines.dynamic_range(changed) == pytest.approx(9.9, abs=0.02)
