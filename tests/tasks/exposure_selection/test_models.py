"""Our selector: its size, what its values may and may not depend on, learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hdr.errors import UserError
from tasks.exposure_selection.model import SubsetSelector
from tasks.exposure_selection.selector import ev_features, judge, log_probabilities, probabilities
from tasks.exposure_selection.subsets import all_subsets, ev_grid
from tests.tasks.exposure_selection.examples import GRID, ladder, picture, size, small


def test_ours_fits_its_package() -> None:
    assert size(SubsetSelector()) == 769_538
    assert size(SubsetSelector(scalars=5)) < 2_500_000
    assert 300_000 < size(SubsetSelector().encoder) < 1_000_000


@torch.no_grad()
def test_members_in_any_order() -> None:
    selector, subsets = small(), all_subsets(GRID, 3)[::97]
    display = picture(2, 3, 32, 32)
    values = selector(display, ladder(GRID), None, subsets)
    assert values.std(dim=1).min() > 1e-4
    for order in ([2, 0, 1], [1, 0, 2]):
        torch.testing.assert_close(selector(display, ladder(GRID), None, subsets[:, order]), values)


@torch.no_grad()
def test_ladder_in_any_order_and_of_any_length() -> None:
    selector, display = small(), picture(2, 3, 32, 32)
    values = selector(display, ladder(GRID), None, all_subsets(GRID, 2))
    order = torch.randperm(len(GRID), generator=torch.Generator().manual_seed(3))
    shuffled = [GRID[int(i)] for i in order]
    inverse = order.argsort()
    found = selector(display, ladder(shuffled), None, inverse[all_subsets(GRID, 2)])
    torch.testing.assert_close(found, values)
    # the same EVs in a ladder that has few others
    coarse = ev_grid(-3, 6, 1)
    chosen = torch.tensor([[GRID.index(coarse[i]) for i in row] for row in all_subsets(coarse, 2).tolist()])
    of_coarse = selector(display, ladder(coarse), None, all_subsets(coarse, 2))
    torch.testing.assert_close(of_coarse, selector(display, ladder(GRID), None, chosen))


@torch.no_grad()
def test_only_evs_relative_to_the_preview_matter() -> None:
    """Naming the exposures from another zero moves ladder and preview alike, and nothing else."""
    selector, display, subsets = small(), picture(2, 3, 32, 32), all_subsets(GRID, 2)
    values = selector(display, ladder(GRID), None, subsets)
    for offset in (-2.0, 1.25):
        labels = torch.tensor(GRID) + offset  # EVs by another meter, by which the preview itself is at `offset`
        torch.testing.assert_close(selector(display, (labels - offset)[None].repeat(2, 1), None, subsets), values)
    assert not torch.allclose(selector(display, ladder(GRID) + 1, None, subsets), values, atol=1e-3)


@torch.no_grad()
def test_one_network_for_every_number_of_members() -> None:
    selector, display, grid = small(), picture(2, 3, 32, 32), ev_grid(-3, 6, 1)
    embedding = selector.embed(display, ladder(grid))
    padded = []
    for k in (1, 2, 3, 4):
        subsets = all_subsets(grid, k)
        values = selector(display, ladder(grid), None, subsets)
        assert values.shape == (2, len(subsets))
        assert values.isfinite().all()
        parts = torch.cat([selector.score(embedding, part) for part in subsets.split(17)], dim=1)
        torch.testing.assert_close(parts, values)
        padded.append((F.pad(subsets, (0, 4 - k), value=-1), values))
    mixed = selector.score(embedding, torch.cat([subsets for subsets, _ in padded]))
    torch.testing.assert_close(mixed, torch.cat([values for _, values in padded], dim=1))


@torch.no_grad()
def test_batch_is_a_loop_over_its_items() -> None:
    selector, display, subsets = small(), picture(3, 3, 37, 53), all_subsets(GRID, 2)
    evs = torch.stack([torch.tensor(GRID) + offset for offset in (-1.0, 0.0, 0.7)])
    whole = selector(display, evs, None, subsets)
    for item in range(3):
        alone = selector(display[item : item + 1], evs[item : item + 1], None, subsets)
        torch.testing.assert_close(alone[0], whole[item], atol=2e-5, rtol=1e-6)


@torch.no_grad()
def test_unknown_scalars() -> None:
    selector, display, subsets = small(scalars=2), picture(1, 3, 32, 32), all_subsets(GRID, 2)
    nan = float("nan")

    def values(*scalars: float) -> Tensor:
        found: Tensor = selector(display, ladder(GRID, 1), torch.tensor([scalars]), subsets)
        return found

    assert values(nan, 1.0).isfinite().all()
    torch.testing.assert_close(values(nan, nan), selector(display, ladder(GRID, 1), None, subsets))
    assert not torch.allclose(values(nan, 1.0), values(0.0, 1.0), atol=1e-5)  # unknown is not zero
    with pytest.raises(ValueError, match="2 scalars per photo, got 3"):
        values(1.0, 2.0, 3.0)


@torch.no_grad()
def test_black_and_white_previews_have_finite_values() -> None:
    display = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)])
    assert small()(display, ladder(GRID), None, all_subsets(GRID, 2)).isfinite().all()


def test_gradients_reach_every_parameter() -> None:
    selector = small(scalars=2).train()
    values = selector(picture(4, 3, 32, 32), ladder(GRID, 4), torch.ones(4, 2), all_subsets(GRID, 2))
    values.square().mean().backward()
    for name, parameter in selector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_ev_features_tell_neighbours_apart_and_never_repeat() -> None:
    features = ev_features(torch.linspace(-14, 14, 28 * 4 + 1))
    distances = torch.cdist(features, features) + 10 * torch.eye(len(features))
    assert float(distances.min()) > 0.2


def test_judgement_and_probabilities() -> None:
    values = torch.tensor([[31.0, 33.0, 40.0, 32.5], [1.0, 2.0, 3.0, 4.0]])
    valid = torch.tensor([[True, True, False, True], [False, False, False, False]])
    relative, quality = judge(values, valid)
    assert relative[0].tolist() == [-2.0, 0.0, -torch.inf, -0.5]
    assert quality.tolist() == [33.0, -torch.inf]
    weights = torch.tensor([-4.0, 0.0, -1.0]).exp()
    found = probabilities(values, valid, 0.5)
    torch.testing.assert_close(found[0, [0, 1, 3]], weights / weights.sum())
    assert found[0, 2] == 0
    assert found[1].tolist() == [0.0] * 4
    torch.testing.assert_close(log_probabilities(values), values.log_softmax(dim=1))
    assert judge(values).relative[1].tolist() == [-3.0, -2.0, -1.0, 0.0]


def test_learning_eight_photos() -> None:
    """Scores that follow from the scene's light: the network finds them within 100 steps."""
    evs = ev_grid(-1, 4, 1)
    subsets = all_subsets(evs, 2)
    stops = torch.linspace(2, 9, 8)
    previews = torch.cat([picture(1, 3, 24, 24, seed=i, stops=float(s)) for i, s in enumerate(stops)])
    members = ladder(evs, 1)[0][subsets]
    middle, range_ = members.mean(dim=1), members.diff(dim=1)[:, 0]
    scores = 35 - (middle - stops[:, None] / 3).square() - (range_ - stops[:, None] / 2).abs()
    selector = small(dropout=0.0).train()
    optimizer = torch.optim.Adam(selector.parameters(), lr=5e-3)
    losses = []
    for _ in range(100):
        values = selector(previews, ladder(evs, 8), None, subsets)
        losses.append(F.mse_loss(values, scores))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.05 * losses[0].item()
    regret = scores.amax(dim=1) - scores.gather(1, values.argmax(dim=1, keepdim=True))[:, 0]
    assert float(regret.mean()) < 0.3


def test_values_out_of_range() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"bins": 1}, "bins 1"),
        ({"width": 0}, "width 0"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"dropout": 1.0}, "dropout 1"),
    ]
    for options, message in refused:
        with pytest.raises(UserError, match=message):
            SubsetSelector(**options)
