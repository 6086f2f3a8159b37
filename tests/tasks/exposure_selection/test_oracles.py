from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from hdr.errors import UserError
from hdr.metrics.image import psnr
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection.ladder import preview_ev, render
from tasks.exposure_selection.oracles import Exposed, best_of, check_oracles, coarse_triples, refine
from tasks.exposure_selection.scoring import FIVE
from tasks.exposure_selection.subsets import all_subsets
from tasks.exposure_selection.table import TableSettings
from tests.tasks.exposure_selection.made import EVS, SETTINGS, light, row

QUIET = replace(SETTINGS, noise=False)


@pytest.mark.parametrize("settings", [SETTINGS, QUIET, replace(SETTINGS, reference="merged", curve="bt709")])
def test_exposures_are_those_that_the_table_was_scored_with(settings: TableSettings) -> None:
    made = row(3, settings)
    exposed = Exposed(made, settings, [-5.0, 0.0, 5.0])
    assert exposed.evs == [*EVS, -5.0, 5.0]
    # The table's light is in half precision, which turns some values to the next of the 255.
    np.testing.assert_allclose(exposed.scores(settings.subsets, "psnr"), made.scores["psnr"], atol=0.15)
    scene = light(3)
    exact = replace(made, linear=scene.linear * 2.0 ** preview_ev(scene, settings.anchor))
    found = Exposed(exact, settings).scores(settings.subsets, "psnr")
    np.testing.assert_allclose(found, made.scores["psnr"], atol=0.01)


def test_scores_are_of_the_fused_pictures() -> None:
    made = row(4, QUIET)
    exposed = Exposed(made, QUIET, [5.0])
    scene = made.light()
    reference = exposure_fusion(render(scene, FIVE, 0.0)[None]).clamp(0, 1)
    for evs in ((-1.0, 3.0, 5.0), (0.0, 2.0, 5.0)):
        fused = exposure_fusion(render(scene, evs, 0.0)[None]).clamp(0, 1)
        found = exposed.scores(torch.tensor([exposed.find(evs)]), "psnr")
        assert float(found[0]) == pytest.approx(float(psnr(fused, reference)[0]), abs=1e-3)
    rmse = exposed.scores(torch.tensor([[0, 3]]), "rmse")
    assert float(rmse[0]) == pytest.approx(
        -255 * 10 ** (-float(exposed.scores(torch.tensor([[0, 3]]), "psnr")[0]) / 20)
    )
    with pytest.raises(ValueError, match="not all of them were rendered"):
        exposed.find([-4.0])


def test_the_best_triple_is_the_best_of_all() -> None:
    made = row(5, QUIET)
    exposed = Exposed(made, QUIET)
    scene = made.light()
    reference = exposure_fusion(render(scene, FIVE, 0.0)[None], backend="cv2").clamp(0, 1)
    found: dict[tuple[int, ...], float] = {}
    for members in combinations(range(len(EVS)), 3):
        stack = render(scene, [EVS[index] for index in members], 0.0)
        found[members] = float(psnr(exposure_fusion(stack[None], backend="cv2").clamp(0, 1), reference)[0])
    triples = coarse_triples(exposed)
    assert sorted(map(tuple, triples.tolist())) == sorted(found)
    best, score = best_of(exposed, triples, "psnr")
    # OpenCV's own fusion is the judge here: where weights are rounding noise, the two differ.
    assert score == pytest.approx(max(found.values()), abs=0.1)
    assert found[tuple(best)] == pytest.approx(max(found.values()), abs=0.1)


def test_triples_are_half_a_stop_apart() -> None:
    settings = replace(TableSettings(), noise=False)
    exposed = Exposed(row(0), settings)
    triples = coarse_triples(exposed)
    assert len(triples) == math.comb(19, 3) == 969
    evs = torch.tensor(exposed.evs)[triples]
    assert torch.equal(evs * 2, (evs * 2).round())


def test_exposures_that_a_capture_cannot_give_are_never_best() -> None:
    made = replace(row(6), saturation=2.0)  # clipped one stop above the preview's white: honest from -1 EV on
    exposed = Exposed(made, SETTINGS)
    assert [ev for ev, fine in zip(exposed.evs, exposed.honest, strict=True) if fine] == EVS[1:]
    assert 0 not in coarse_triples(exposed)
    pairs = torch.tensor([[0, 4], [0, 5], [1, 2]])
    assert best_of(exposed, pairs, "psnr")[0] == [1, 2]
    assert len(coarse_triples(Exposed(replace(row(6), saturation=2.0**-3), SETTINGS))) == 0  # two are left


@pytest.mark.parametrize("wanted", [(-0.6, 2.6), (-0.3, 3.3)])
def test_refinement_finds_exposures_between_the_steps(wanted: tuple[float, float]) -> None:
    exposed = Exposed(row(2, QUIET, 96), QUIET)
    exposed.reference = exposure_fusion(render(exposed.light, wanted, 0.0)[None])[0].clamp(0, 1)
    start, score = best_of(exposed, all_subsets(EVS, 2), "psnr")
    found = refine(exposed, [exposed.evs[index] for index in start], score, "psnr")
    assert found is not None
    evs, reached = found
    assert reached > score + 10.0
    fused = exposure_fusion(render(exposed.light, evs, 0.0)[None]).clamp(0, 1)
    assert reached == pytest.approx(float(psnr(fused, exposed.reference[None])[0]), abs=1e-3)
    assert evs == pytest.approx(list(wanted), abs=0.05)


def test_refinement_that_finds_nothing_better_says_so() -> None:
    exposed = Exposed(row(7), SETTINGS)
    exposed.reference = exposed.fusion.fuse(torch.tensor([[1, 5]]))[0].clamp(0, 1)
    assert refine(exposed, [-1.0, 3.0], 100.0, "psnr") is None


def test_refinement_stays_with_what_the_capture_can_give() -> None:
    exposed = Exposed(replace(row(8), saturation=2.0), SETTINGS)
    found = refine(exposed, [-1.0, 3.0], -torch.inf, "psnr")
    assert found is not None
    assert min(found[0]) >= -1.0
    assert max(found[0]) <= SETTINGS.highest


def test_unknown_oracles_are_named() -> None:
    check_oracles(["pair", "continuous"])
    with pytest.raises(UserError, match="no 'pairs'; accepted are pair, pair_with_preview, triple, continuous"):
        check_oracles(["pairs"])
