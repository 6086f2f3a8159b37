from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hdr.ops.fusion import normalised_weights
from tasks.exposure_selection import pictures
from tasks.exposure_selection.methods import Choice
from tasks.exposure_selection.subsets import all_subsets, ev_grid

EVS = ev_grid(-3, 6, 0.25)
PAIRS = all_subsets(EVS, 2)
_SIDE, _EDGE = 384, 44


def place(low: float, high: float) -> tuple[int, int]:
    """Row and column of a pair's cell in a chart of 37 EVs."""
    cell = (_SIDE - 2 * _EDGE) / 37
    across, up = _EDGE + (EVS.index(low) + 0.5) * cell, _EDGE + (EVS.index(high) + 0.5) * cell
    return int(_SIDE - up), int(across)


def test_colours_rise_from_violet_to_yellow() -> None:
    found = pictures.colour_of(torch.tensor([[0.0, 1.0, 2.0, float("nan")]]))
    assert (found[:, 0, 0] * 255).round().tolist() == [68, 1, 84]
    assert (found[:, 0, 1] * 255).round().tolist() == [253, 231, 37]
    assert torch.equal(found[:, 0, 1], found[:, 0, 2])
    assert found[:, 0, 3].tolist() == pytest.approx([0.16] * 3)
    ramp = pictures.colour_of(torch.linspace(0, 1, 100)[None]).mean(dim=(0, 1))
    assert bool((ramp.diff() > 0).all())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_weights_mix_the_exposures_colours(count: int) -> None:
    chance = torch.Generator().manual_seed(count)
    display = torch.rand(count, 3, 12, 9, generator=chance)
    found = pictures.weight_picture(display, "opencv")
    shares = normalised_weights(display[None], "opencv")[0, :, 0]
    pure = [pictures.weight_picture(torch.rand(1, 3, 4, 4, generator=chance), "opencv")[:, 0, 0]]
    if count > 1:
        # Colours of single exposures: those of a stack in which the others are black.
        only = torch.zeros(count, count, 3, 8, 8)
        pure = []
        for index in range(count):
            only[index, index] = torch.rand(3, 8, 8, generator=chance)
            pure.append(pictures.weight_picture(only[index], "opencv")[:, 4, 4])
    mixed = sum(share * colour[:, None, None] for share, colour in zip(shares, pure, strict=True))
    torch.testing.assert_close(found, mixed, atol=1e-5, rtol=0)
    assert len({tuple((colour * 100).round().tolist()) for colour in pure}) == count


def test_errors_are_shown_four_times_as_large() -> None:
    reference = torch.full((3, 4, 4), 0.5)
    assert torch.equal(pictures.error_picture(reference, reference), pictures.colour_of(torch.zeros(4, 4)))
    shifted = pictures.error_picture(reference + torch.tensor([0.3, 0.0, 0.0])[:, None, None], reference)
    torch.testing.assert_close(shifted, pictures.colour_of(torch.full((4, 4), 0.4)))


def test_the_pair_map_has_each_pair_in_its_cell() -> None:
    evs = [0.0, 1.0, 2.0, 3.0]
    subsets = all_subsets(evs, 2)
    values = torch.tensor([5.0, 4.0, 3.0, float("nan"), 1.0, 0.0])
    table = pictures.pair_map(evs, subsets, values)
    for (low, high), value in zip(subsets.tolist(), values.tolist(), strict=True):
        assert table[high, low].item() == pytest.approx(value, nan_ok=True)
    assert int(torch.isfinite(table).sum()) == 5


@pytest.mark.parametrize("add", [False, True])
def test_larger_subsets_share_the_cells_of_their_pairs(add: bool) -> None:
    evs = [0.0, 1.0, 2.0, 3.0, 4.0]
    subsets = all_subsets(evs, 3)
    values = torch.rand(len(subsets), generator=torch.Generator().manual_seed(0))
    table = pictures.pair_map(evs, subsets, values, add=add)
    for low, high in combinations(range(5), 2):
        both = [float(v) for s, v in zip(subsets.tolist(), values, strict=True) if low in s and high in s]
        assert table[high, low].item() == pytest.approx(sum(both) if add else max(both))


def test_the_score_map_marks_the_choices_where_they_are() -> None:
    scores = -(torch.tensor(EVS)[PAIRS] - torch.tensor([-1.0, 3.0])).abs().sum(dim=1)
    scores[0] = float("nan")
    marks = {"model": (0.0, 4.0), "best": (-1.0, 3.0)}
    found = pictures.score_map(EVS, PAIRS, scores, marks)
    plain = pictures.score_map(EVS, PAIRS, scores, {})
    assert found.shape == (3, _SIDE, _SIDE)
    row, column = place(-1.0, 3.0)
    assert (plain[:, row, column] * 255).round().tolist() == [253, 231, 37]  # the best pair is yellow
    changed = (found - plain).abs().amax(dim=0) > 0
    for low, high in marks.values():
        row, column = place(low, high)
        assert bool(changed[row - 8 : row + 9, column - 8 : column + 9].any())
    row, column = place(2.0, 5.0)
    assert not bool(changed[row - 8 : row + 9, column - 8 : column + 9].any())


def test_the_label_histogram_is_brightest_where_most_scenes_are() -> None:
    often, once = PAIRS.tolist().index([8, 24]), PAIRS.tolist().index([4, 30])  # (-1, 3) and (-2, 4.5)
    found = pictures.label_histogram(EVS, PAIRS, torch.tensor([often] * 9 + [once]))
    row, column = place(-1.0, 3.0)
    assert (found[:, row, column] * 255).round().tolist() == [253, 231, 37]
    row, column = place(-2.0, 4.5)
    single = found[:, row, column]
    torch.testing.assert_close(single, pictures.colour_of(torch.tensor([[1 / 3]]))[:, 0, 0], atol=0.003, rtol=0)
    row, column = place(-2.0, 1.0)
    assert float(found[:, row, column].max()) < 0.2


def test_charts_of_regret_and_confidence() -> None:
    chance = np.random.default_rng(0)
    found = chance.gamma(2.0, 1.0, 40)
    for chart in (
        pictures.calibration_picture(found + 0.1, found, "dB", "rank correlation 1.00"),
        pictures.calibration_picture(np.zeros(3), np.zeros(3), "dB", ""),
        pictures.accuracy_picture({"model": found, "constant": found * 2}, "dB", 3.0),
    ):
        assert chart.shape == (3, _SIDE, _SIDE)
        assert float(chart.std()) > 0.02


def test_a_curve_passes_through_the_shares() -> None:
    chart = pictures.accuracy_picture({"model": np.array([0.5, 0.5, 1.5, 9.0])}, "dB", 2.0)
    inner = _SIDE - 2 * _EDGE
    red = (chart[0] > 0.9) & (chart[1] < 0.5)
    for regret, share in ((0.25, 0.0), (1.0, 0.5), (1.8, 0.75)):
        column = round(_EDGE + regret / 2.0 * inner)
        rows = red[:, column].nonzero().flatten().float()
        assert float(rows.mean()) == pytest.approx(_SIDE - _EDGE - share * inner, abs=2)


def test_the_panel_shows_the_way_from_preview_to_error(tmp_path: Path) -> None:
    display = torch.rand(2, 3, 20, 30)
    first = Choice(evs=(-0.75, 3.0), score=30.123, display=display, fused=display[0])
    second = Choice(evs=(0.0, 4.0), score=31.0, display=display, fused=display[1])
    shown = {"model": first, "best pair": second}
    panel = pictures.panel(torch.rand(3, 16, 16), shown, display[1], "psnr", "opencv", torch.zeros(3, 8, 8))
    assert list(panel) == [
        "preview",
        "-0.75 EV",
        "+3 EV",
        "weights: model",
        "model: -0.75, +3: 30.12 dB",
        "best pair: 0, +4: 31.00 dB",
        "reference",
        "error x4: model",
        "psnr of all pairs",
    ]
    assert {tuple(picture.shape) for label, picture in panel.items() if "pairs" not in label} == {(3, 20, 30)}
    path = tmp_path / "chart.png"
    pictures.save_picture(path, torch.full((3, 4, 5), 0.5))
    assert np.asarray(Image.open(path)).tolist() == [[[128] * 3] * 5] * 4
