"""Selection losses against formulas written out in float64, gradients, candidates that are not valid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from hdr.errors import UserError
from tasks.exposure_selection.losses import (
    TERMS,
    SelectionLoss,
    balanced_weights,
    distribution,
    expected_regret,
    hard_label,
    quality_regression,
    regret_regression,
    regrets,
    soft_label,
)
from tasks.exposure_selection.model import HistogramSelector, SubsetSelector
from tasks.exposure_selection.selector import log_probabilities
from tests.tasks.exposure_selection.examples import OFF

NAN = float("nan")
TAU, D_MAX, DELTA = 0.5, 3.0, 0.7


def example(photos: int = 3, candidates: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Values, scores and validity in float64; scores are NaN where not valid."""
    chance = torch.Generator().manual_seed(1)
    values = torch.randn(photos, candidates, generator=chance, dtype=torch.float64) * 2 + 30
    scores = torch.randn(photos, candidates, generator=chance, dtype=torch.float64) * 2 + 32
    valid = torch.rand(photos, candidates, generator=chance) > 0.3
    valid[:, 0] = True
    return values, scores.masked_fill(~valid, NAN), valid


def by_hand(values: Tensor, scores: Tensor, valid: Tensor) -> dict[str, float]:
    """Every term, photo by photo and candidate by candidate."""
    sums: dict[str, list[float]] = {name: [] for name in TERMS[:-1]}
    for v, s, ok in zip(values.numpy(), scores.numpy(), valid.numpy(), strict=True):
        v, s = v[ok], s[ok]
        logs = v - math.log(sum(math.exp(x) for x in v))
        d = s.max() - s
        sums["hard"].append(-logs[int(np.argmax(s))])
        q = [math.exp(-x / TAU) for x in d]
        sums["soft"].append(-sum(qc / sum(q) * lc for qc, lc in zip(q, logs, strict=True)))
        sums["expected"].append(sum(math.exp(lc) * dc for lc, dc in zip(logs, d, strict=True)))
        distances: dict[bool, list[float]] = {True: [], False: []}
        for vc, dc in zip(v - v[np.argmax(s)], d, strict=True):
            error = abs(vc + min(dc, D_MAX))
            if dc >= D_MAX and vc < -D_MAX:
                error = 0.0
            distances[dc >= D_MAX].append(error**2 / 2 if error <= DELTA else DELTA * (error - DELTA / 2))
        means = [sum(group) / len(group) for group in distances.values() if group]
        sums["regression"].append(sum(means) / len(means))
        error = abs(v.max() - s.max())
        sums["quality"].append(error**2 / 2 if error <= DELTA else DELTA * (error - DELTA / 2))
        m = [10 ** (-x / 10) for x in s]
        total = sum(max(m) - x for x in m)
        sums["distribution"].append(
            sum((math.exp(lc) - (max(m) - mc) / total) ** 2 for lc, mc in zip(logs, m, strict=True)) / len(m)
        )
    return {name: sum(each) / len(each) for name, each in sums.items()}


def by_functions(values: Tensor, scores: Tensor, valid: Tensor) -> dict[str, Tensor]:
    logs, regret = log_probabilities(values, valid), regrets(scores, valid)
    return {
        "hard": hard_label(logs, scores, valid),
        "soft": soft_label(logs, regret, valid, TAU),
        "expected": expected_regret(logs, regret, valid),
        "regression": regret_regression(values, regret, valid, D_MAX, DELTA),
        "quality": quality_regression(values, scores, valid, DELTA),
        "distribution": distribution(logs, scores, valid),
    }


@pytest.mark.parametrize("term", TERMS[:-1])
def test_terms_against_their_formulas(term: str) -> None:
    values, scores, valid = example()
    assert not valid.all()
    expected = by_hand(values, scores, valid)[term]
    assert by_functions(values, scores, valid)[term].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("term", TERMS[:-1])
def test_gradients(term: str) -> None:
    values, scores, valid = example()
    values.requires_grad_()
    assert gradcheck(lambda v: by_functions(v, scores, valid)[term], values)


@pytest.mark.parametrize("term", TERMS[:-1])
def test_what_is_not_valid_does_not_matter(term: str) -> None:
    values, scores, valid = example()
    plain = by_functions(values, scores, valid)[term]
    for rubbish in (NAN, torch.inf, -torch.inf, 1e30):
        values_, scores_ = (each.masked_fill(~valid, rubbish) for each in (values, scores))
        values_.requires_grad_()
        loss = by_functions(values_, scores_, valid)[term]
        assert torch.equal(loss, plain)
        (gradient,) = torch.autograd.grad(loss, values_)
        assert gradient.isfinite().all()
        assert gradient[~valid].abs().max() == 0
        assert gradient[valid].abs().max() > 0


@pytest.mark.parametrize("term", TERMS[:-1])
def test_photos_without_a_candidate_do_not_count(term: str) -> None:
    values, scores, valid = example()
    plain = by_functions(values, scores, valid)[term]
    more = [torch.cat([each, each[:1]]) for each in (values, scores, valid)]
    more[1][-1], more[2][-1] = NAN, False
    more[0].requires_grad_()
    loss = by_functions(*more)[term]
    torch.testing.assert_close(loss, plain)
    (gradient,) = torch.autograd.grad(loss, more[0])
    assert gradient.isfinite().all()
    nothing = by_functions(more[0][-1:], more[1][-1:], more[2][-1:])[term]
    assert nothing.item() == 0


def test_the_right_answer_is_the_lowest_loss() -> None:
    """Values equal to the scores minimise everything but the hard label, whose likelihood grows without end."""
    _, scores, valid = example()
    at_best = by_functions(scores.masked_fill(~valid, 0.0) / TAU, scores, valid)["soft"]
    exact = by_functions(scores.masked_fill(~valid, 0.0), scores, valid)
    assert float(exact["regression"]) == float(exact["quality"]) == 0.0
    chance = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = (scores + torch.randn(scores.shape, generator=chance, dtype=torch.float64)).masked_fill(~valid, 0.0)
        assert float(by_functions(other / TAU, scores, valid)["soft"]) > float(at_best)


def test_a_constant_added_to_all_values_changes_no_choice() -> None:
    values, scores, valid = example()
    here, there = (by_functions(v, scores, valid) for v in (values, values + 7))
    for term in ("hard", "soft", "expected", "regression", "distribution"):
        torch.testing.assert_close(here[term], there[term])


def test_hopeless_candidates_may_be_predicted_as_bad_as_one_likes() -> None:
    scores, valid = torch.tensor([[40.0, 20.0, 39.0]]), torch.ones(1, 3, dtype=torch.bool)
    values = torch.tensor([[40.0, -60.0, 39.0]], requires_grad=True)
    loss = regret_regression(values, regrets(scores, valid), valid, D_MAX, DELTA)
    assert loss.item() == 0
    # but one that is good must not be, and one that is predicted as the best must come down
    scores = torch.tensor([[40.0, 39.9, 39.0]])
    loss = regret_regression(values, regrets(scores, valid), valid, D_MAX, DELTA)
    assert torch.autograd.grad(loss, values)[0][0, 1] < 0
    values = torch.tensor([[40.0, 45.0, 39.0]], requires_grad=True)
    loss = regret_regression(values, regrets(torch.tensor([[40.0, 20.0, 39.0]]), valid), valid, D_MAX, DELTA)
    assert torch.autograd.grad(loss, values)[0][0, 1] > 0


def test_class_weights() -> None:
    labels = torch.tensor([0, 0, 0, 2, 2, 5])
    table = torch.nn.functional.one_hot(torch.cat([labels, torch.tensor([6])]), 7).double()
    table[:, 3], table[6] = NAN, NAN  # a candidate that is never valid, and a scene without any
    weights = balanced_weights(table)
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 0, 1, 0, 0, 2, 0]))
    assert float(weights[labels].mean()) == pytest.approx(1)
    values, scores, valid = example(6)
    logs = log_probabilities(values)
    valid, chosen = torch.ones_like(valid), scores.nan_to_num(0.0)
    chosen[torch.arange(6), labels] = 99.0
    expected = torch.nn.functional.cross_entropy(values, labels, weights.double())
    torch.testing.assert_close(hard_label(logs, chosen, valid, weights), expected)


def test_the_configured_sum() -> None:
    values, scores, valid = example()
    selector = SubsetSelector(width=8, channels=(8,), temperature=TAU)
    settings = {**OFF, "hard": 0.5, "soft": 2.0, "regression": 0.25, "quality": 3.0, "tau": TAU, "d_max": D_MAX}
    found = SelectionLoss({**settings, "huber": DELTA})(selector, values, scores, valid)
    # values are in the figure's unit: the temperature makes logits of them
    logits, plain = by_hand(values / TAU, scores, valid), by_hand(values, scores, valid)
    expected = {**{t: logits[t] for t in ("hard", "soft")}, **{t: plain[t] for t in ("regression", "quality")}}
    assert found.keys() == {"loss", *expected}
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value)
    assert found["loss"].item() == pytest.approx(sum(settings[name] * value for name, value in expected.items()))


def test_half_precision_values_are_judged_in_full() -> None:
    values, scores, valid = example()
    loss = SelectionLoss({**OFF, "soft": 1.0})
    half = loss(HistogramSelector(), values.bfloat16(), scores.float(), valid)["loss"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(
        half, loss(HistogramSelector(), values.bfloat16().float(), scores.float(), valid)["loss"]
    )


def test_settings_that_are_refused() -> None:
    for change, message in (
        ({}, "every weight is 0"),
        ({"soft": 1.0, "tau": 0.0}, r"loss\.tau: 0"),
        ({"soft": 1.0, "choice": "hard"}, "'hard' is not known; choose soft or straight_through"),
        ({"soft": 1.0, "balance": True}, r"weights the hard label, and loss\.hard is 0"),
        ({"soft": 1.0, "weighting": "none"}, "'none' is not known; choose one of opencv"),
    ):
        with pytest.raises(UserError, match=message):
            SelectionLoss({**OFF, **change})
    values, scores, valid = example()
    with pytest.raises(UserError, match="HistogramSelector gives logits"):
        SelectionLoss({**OFF, "quality": 1.0})(HistogramSelector(), values, scores, valid)
    with pytest.raises(UserError, match=r"loss\.tau: 0\.5 is not model\.temperature, 2"):
        SelectionLoss({**OFF, "soft": 1.0})(SubsetSelector(temperature=2), values, scores, valid)
    with pytest.raises(UserError, match="no exposures and reference"):
        SelectionLoss({**OFF, "reconstruction": 1.0})(HistogramSelector(), values, scores, valid)
