"""Schedules against torch's own."""

from __future__ import annotations

import pytest
import torch

from hdr.engine.schedules import Constant, Cosine, Plateau, Step
from hdr.errors import UserError


def torch_rates(make, steps: int) -> list[float]:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_equals_torch() -> None:
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=49, eta_min=0.05), 50)
    schedule = Cosine(final=0.05)
    assert [schedule.factor(i, 50) for i in range(50)] == pytest.approx(expected, abs=1e-12)


def test_step_equals_torch_multistep() -> None:
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 7], gamma=0.5), 12)
    schedule = Step([3, 7], [0.5, 0.25])
    assert [schedule.factor(i, 12) for i in range(12)] == pytest.approx(expected)


def test_plateau_equals_torch() -> None:
    values = [1.0, 0.9, 0.91, 0.92, 0.93, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.0)
    schedule, best = Plateau(factor=0.5, patience=3), float("inf")
    for value in values:
        reference.step(value)
        schedule.observe(value < best)
        best = min(best, value)
        assert schedule.factor(100, 200) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_warm_up_is_linear_and_reaches_one() -> None:
    for schedule in (Constant(4), Cosine(4), Step([10], [0.1], 4), Plateau(warmup_steps=4)):
        assert [schedule.factor(i, 20) for i in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_plateau_state_survives() -> None:
    one, two = Plateau(patience=2), Plateau(patience=2)
    one.observe(False)
    two.load_state_dict(one.state_dict())
    one.observe(False)
    two.observe(False)
    assert one.factor(5, 10) == two.factor(5, 10) == 0.5


def test_uneven_table_is_refused() -> None:
    with pytest.raises(UserError, match=r"scheduler\.milestones"):
        Step([5, 3], [0.1, 0.2])
