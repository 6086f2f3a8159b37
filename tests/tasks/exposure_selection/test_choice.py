from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hdr.errors import UserError
from tasks.exposure_selection.choice import Safe, choose, exposures_of, shutter
from tasks.exposure_selection.confidence import expected_regret
from tasks.exposure_selection.selector import Selector
from tasks.exposure_selection.subsets import Constraints, all_subsets, ev_grid
from tests.tasks.exposure_selection.selectors import Classes, Wishes

LADDER = ev_grid(-3.0, 6.0, 0.25)
PREVIEW = torch.full((3, 8, 8), 0.5)
SAFE = Safe(
    evs=(0.0, 3.5), threshold=1.0, regret_by_distance=tuple(2.0 * step for step in range(40)), best=29.0, regret=2
)


def test_the_best_subset_and_its_score() -> None:
    choice = choose(Wishes((-1.0, 3.0)), PREVIEW, LADDER, 2)
    assert choice.evs == (-1.0, 3.0)
    assert [LADDER[index] for index in choice.members] == [-1.0, 3.0]
    assert choice.value == pytest.approx(30.0)
    assert choice.regret is None
    assert not choice.safe
    assert len(choice.options) == 5
    assert choice.options[0].evs == (-1.0, 3.0)
    values = [option.value for option in choice.options]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]
    assert values[1] == pytest.approx(29.0, abs=1e-4)  # a quarter of a stop off, at 4 dB per stop


def test_confidence_counts_what_lies_within_half_a_stop() -> None:
    """Written out: softmax of all candidates, summed over those near the choice."""
    network = Wishes((-1.0, 3.0), slope=1.0)
    choice = choose(network, PREVIEW, LADDER, 2, safe=SAFE)
    subsets = all_subsets(LADDER, 2)
    near, total, spread = 0.0, 0.0, []
    for low, high in torch.tensor(LADDER)[subsets].tolist():
        weight = math.exp((-abs(low + 1) - abs(high - 3)) / network.temperature)
        total += weight
        near += weight if abs(low + 1) <= 0.5 and abs(high - 3) <= 0.5 else 0.0
        spread.append(weight)
    assert choice.confidence == pytest.approx(near / total, rel=1e-4)
    shares = torch.tensor(spread) / total
    pick = int(shares.argmax())
    assert choice.regret == pytest.approx(
        expected_regret(shares, pick, subsets, LADDER, SAFE.regret_by_distance), rel=1e-4
    )


def test_the_safe_choice_when_unsure() -> None:
    unsure = choose(Wishes((-1.0, 3.0), slope=0.01), PREVIEW, LADDER, 2, safe=SAFE)
    assert unsure.safe
    assert unsure.evs == SAFE.evs
    assert unsure.options[0].evs == (-1.0, 3.0)  # what the network would have had
    assert unsure.value == pytest.approx(30 - 0.01 * 1.5, abs=1e-4)
    sure = choose(Wishes((-1.0, 3.0), slope=40.0), PREVIEW, LADDER, 2, safe=SAFE)
    assert not sure.safe
    assert sure.regret is not None
    assert sure.regret < 1.0


@pytest.mark.parametrize(
    ("captures", "constraints", "ladder"),
    [
        (3, Constraints(), LADDER),
        (2, Constraints(longest=8.0), LADDER),
        (2, Constraints(include=(1.0,)), LADDER),
        (2, Constraints(), [-4.0, -2.0, 0.0, 2.0, 4.0]),
    ],
)
def test_a_safe_choice_that_does_not_fit_is_left(captures: int, constraints: Constraints, ladder: list[float]) -> None:
    choice = choose(Wishes((-1.0, 3.0), slope=0.01), PREVIEW, ladder, captures, constraints=constraints, safe=SAFE)
    assert not choice.safe


def test_networks_without_scores_expect_by_the_training_scenes() -> None:
    network = Classes(666)
    choice = choose(network, PREVIEW, LADDER, 2, safe=Safe(**{**vars(SAFE), "threshold": 1e9}))
    assert choice.members == all_subsets(LADDER, 2)[network.best].tolist()
    assert choice.regret is not None
    assert choice.value == pytest.approx(29.0 - choice.regret)
    assert all(option.value is None for option in choice.options)
    assert choose(network, PREVIEW, LADDER, 2).value is None
    with_preview = choose(Classes(36), PREVIEW, LADDER, 2, always=(0.0,))
    assert 0.0 in with_preview.evs
    with pytest.raises(UserError, match="tells 36 candidates apart"):
        choose(Classes(36), PREVIEW, [-2.0, 0.0, 2.0], 2)


def test_constraints() -> None:
    def wanted(**limits: object) -> tuple[float, ...]:
        chosen = Constraints(**limits)  # type: ignore[arg-type]
        return choose(Wishes((-1.0, 3.0)), PREVIEW, LADDER, 2, constraints=chosen).evs

    assert wanted(include=(0.0,)) == (0.0, 3.0)
    assert wanted(longest=4.0) == (-1.0, 2.0)
    assert wanted(total_time=2.5) == (-1.0, 1.0)
    assert wanted(spacing=5.0)[1] - wanted(spacing=5.0)[0] == 5.0
    with pytest.raises(UserError, match=r"no exposure at \+0.1 EV"):
        wanted(include=(0.1,))
    with pytest.raises(UserError, match="meet the constraints spacing=20"):
        wanted(spacing=20.0)
    with pytest.raises(UserError, match="candidates that this model knows do not meet"):
        choose(Classes(36), PREVIEW, LADDER, 2, constraints=Constraints(include=(1.0, 2.0)), always=(0.0,))


@pytest.mark.parametrize("captures", [1, 3, 5])
def test_any_number_of_captures(captures: int) -> None:
    wishes = (-2.0, 0.0, 1.0, 3.25, 5.5)[:captures]
    choice = choose(Wishes(wishes), PREVIEW, LADDER, captures)
    assert choice.evs == wishes
    assert (choice.confidence is None) == (captures == 5)  # found by search


def test_too_many_and_too_few() -> None:
    for captures in (0, -1, 4):
        with pytest.raises(UserError, match=f"{captures} exposures cannot be chosen from 3"):
            choose(Wishes((0.0,)), PREVIEW, [-2.0, 0.0, 2.0], captures)


def test_lower_may_be_better() -> None:
    class Negated(Wishes):
        def forward(self, preview: Tensor, evs: Tensor, scalars: Tensor | None, subsets: Tensor) -> Tensor:
            return super().forward(preview, evs, scalars, subsets) - 35.0

    choice = choose(Negated((-1.0, 3.0)), PREVIEW, LADDER, 2, figure="rmse")
    assert choice.value == pytest.approx(5.0)


def test_a_network_that_needs_all_exposures_is_refused() -> None:
    class Stack(Wishes):
        takes_stack = True

    network: Selector = Stack((0.0, 1.0))
    with pytest.raises(UserError, match="looks at all exposures of a scene"):
        choose(network, PREVIEW, LADDER, 2)


def test_times_of_a_camera() -> None:
    choice = choose(Wishes((-1.0, 3.0), slope=40.0), PREVIEW, LADDER, 2, safe=SAFE)
    facts = exposures_of(choice, 1 / 320, standard=True)
    assert [exposure["shutter"] for exposure in facts["exposures"]] == ["1/640 s", "1/40 s"]
    assert [exposure["seconds"] for exposure in facts["exposures"]] == pytest.approx([1 / 640, 1 / 40])
    exact = exposures_of(choice, 1 / 300, standard=False)
    assert [exposure["shutter"] for exposure in exact["exposures"]] == ["1/600 s", "1/38 s"]
    assert exposures_of(choice, None, standard=True)["exposures"] == [{"ev": -1.0}, {"ev": 3.0}]
    assert facts["relative_time"] == 8.5
    assert facts["expected"]["text"] == "30.00 dB"
    assert facts["expected"]["regret"] == pytest.approx(choice.regret, abs=1e-3)
    assert len(facts["alternatives"]) == 5


def test_times_that_would_become_one_or_that_no_camera_has_stay_exact() -> None:
    close = choose(Wishes((3.0, 3.25)), PREVIEW, LADDER, 2)
    times = [exposure["seconds"] for exposure in exposures_of(close, 1 / 430, standard=True)["exposures"]]
    assert times == pytest.approx([8 / 430, 8 / 430 * 2**0.25], rel=1e-4)
    long = choose(Wishes((0.0, 6.0)), PREVIEW, LADDER, 2)
    assert [e["seconds"] for e in exposures_of(long, 2.1, standard=True)["exposures"]] == pytest.approx([2.0, 134.4])


def test_shutter() -> None:
    assert [shutter(time) for time in (1 / 8000, 0.25, 0.5, 2.5, 30.0)] == [
        "1/8000 s",
        "1/4 s",
        "0.5 s",
        "2.5 s",
        "30 s",
    ]
