"""The reconstruction loss: its gradient leads through the fusion to the network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection.losses import SelectionLoss, chosen_exposures, reconstruction
from tasks.exposure_selection.model import SubsetSelector
from tasks.exposure_selection.selector import probabilities
from tasks.exposure_selection.subsets import all_subsets
from tests.tasks.exposure_selection.examples import OFF, picture


def stack(photos: int = 2, exposures: int = 4, side: int = 12) -> Tensor:
    scene = picture(photos, 1, 3, side, side, stops=8)
    return (scene * torch.linspace(0.3, 2.5, exposures)[:, None, None, None]).clamp(0, 1)


def test_chosen_exposures_against_loops() -> None:
    subsets, exposures = all_subsets([0.0, 1.0, 2.0, 3.0], 2), stack().double()
    probability = torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    expected = torch.zeros(2, 2, 3, 12, 12, dtype=torch.float64)
    for n in range(2):
        for c, members in enumerate(subsets.tolist()):
            for j, member in enumerate(members):
                expected[n, j] += probability[n, c] * exposures[n, member]
    torch.testing.assert_close(chosen_exposures(probability, subsets, exposures, "soft"), expected)
    hard = chosen_exposures(probability, subsets, exposures, "straight_through")
    for n in range(2):
        torch.testing.assert_close(hard[n], exposures[n, subsets[int(probability[n].argmax())]])


@pytest.mark.parametrize("choice", ["soft", "straight_through"])
def test_certain_choices_are_fused_as_they_are(choice: Any) -> None:
    subsets, exposures = all_subsets([0.0, 1.0, 2.0, 3.0], 2), stack()
    probability = torch.eye(6)[[2, 4]]
    reference = exposure_fusion(exposures[torch.arange(2)[:, None], subsets[[2, 4]]], "robust")
    errors = reconstruction(probability, subsets, exposures, reference, choice=choice, weighting="robust")
    assert float(errors.max()) < 1e-10
    moved = reconstruction(probability, subsets, exposures, reference + 0.1, choice=choice, weighting="robust")
    torch.testing.assert_close(moved, torch.full((2,), 0.01))


def test_gradient_of_the_reconstruction() -> None:
    subsets, exposures = all_subsets([0.0, 1.0, 2.0, 3.0], 2), stack(side=6).double()
    reference = exposure_fusion(exposures, "robust")
    values = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def error(values: Tensor) -> Tensor:
        return reconstruction(
            probabilities(values), subsets, exposures, reference, choice="soft", weighting="robust"
        ).sum()

    assert gradcheck(error, values)


def test_straight_through_has_the_gradient_at_the_choice() -> None:
    subsets, exposures = all_subsets([0.0, 1.0, 2.0, 3.0], 2), stack(side=6).double()
    reference = exposure_fusion(exposures, "robust")
    values = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def errors(probability: Tensor, choice: Any) -> Tensor:
        return reconstruction(probability, subsets, exposures, reference, choice=choice, weighting="robust").sum()

    probability = probabilities(values)
    (found,) = torch.autograd.grad(errors(probability, "straight_through"), values)
    certain = torch.eye(6, dtype=torch.float64)[values.argmax(dim=1)].requires_grad_()
    (there,) = torch.autograd.grad(errors(certain, "soft"), certain)
    p = probability.detach()
    expected = p * (there - (p * there).sum(dim=1, keepdim=True))  # through the softmax
    torch.testing.assert_close(found, expected)
    assert float(found.abs().max()) > 1e-4


def test_the_reconstruction_teaches_the_network() -> None:
    """The published loss of that name gave no gradient: here it leads from the wrong pair to the right one."""
    evs, exposures = [0.0, 1.0, 2.0, 3.0], stack(photos=1, side=24)
    subsets = all_subsets(evs, 2)
    reference = exposure_fusion(exposures[:, [1, 3]], "robust")
    torch.manual_seed(0)
    selector = SubsetSelector(width=16, channels=(8, 8), dropout=0.0)
    loss = SelectionLoss({**OFF, "reconstruction": 1.0})
    assert loss.needs_stack
    optimizer = torch.optim.Adam(selector.parameters(), lr=1e-2)
    scores, valid = torch.zeros(1, 6), torch.ones(1, 6, dtype=torch.bool)
    errors = []
    for _ in range(60):
        values = selector.eval()(exposures[:, 1], torch.tensor([evs]), None, subsets)
        found = loss(selector, values, scores, valid, subsets=subsets, stack=exposures, reference=reference)
        errors.append(found["loss"].item())
        optimizer.zero_grad()
        found["loss"].backward()
        gradient = selector.psi_exposure.weight.grad
        assert gradient is not None
        assert gradient.isfinite().all()
        optimizer.step()
    assert errors[-1] < 0.2 * errors[0]
    assert subsets[int(values.argmax())].tolist() == [1, 3]
