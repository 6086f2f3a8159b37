"""Guides: published parameter counts, the ramp they start as, written-out formulas, occupancy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hdr.errors import UserError
from tasks.upe.guides import CurveGuide, PointwiseGuide, guide_occupancy_penalty


def _scramble(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.2, 2.0, generator=generator)


def _picture(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("guide", "count"), [(PointwiseGuide(batch_norm=True), 113), (PointwiseGuide(), 81), (CurveGuide(), 112)]
)
def test_parameter_counts_are_the_published_ones(guide: torch.nn.Module, count: int) -> None:
    assert sum(parameter.numel() for parameter in guide.parameters()) == count


@pytest.mark.parametrize(
    "guide",
    [
        PointwiseGuide(),
        PointwiseGuide(activation="tanh"),
        PointwiseGuide(features=5),
        PointwiseGuide(batch_norm=True).eval(),
        CurveGuide(),
    ],
    ids=["sigmoid", "tanh", "narrow", "batch-norm", "curves"],
)
def test_starts_as_luma_over_the_whole_range(guide: torch.nn.Module) -> None:
    grey = torch.linspace(0, 1, 101).repeat(1, 3, 1, 1)
    ramp = guide(grey)[0, 0, 0]
    assert ramp[0] <= 0.021
    assert ramp[-1] >= 0.979
    assert (ramp.diff() > 0).all()
    assert (ramp - torch.linspace(0, 1, 101)).abs().max() < 0.05
    colour = torch.tensor([0.9, 0.2, 0.4])
    level = (colour * torch.tensor([0.2989, 0.587, 0.114])).sum()
    assert guide(colour[None, :, None, None]).item() == pytest.approx(guide(level.repeat(1, 3, 1, 1)).item(), abs=2e-4)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_pointwise_guide_is_its_formula(activation: Any, batch_norm: bool) -> None:
    guide = PointwiseGuide(activation=activation, batch_norm=batch_norm).eval()
    _scramble(guide)
    display = _picture(2, 3, 5, 7)
    state = {name: value.double().numpy() for name, value in guide.state_dict().items()}
    pixels = display.double().numpy()
    hidden = np.einsum("kc,nchw->nkhw", state["conv1.weight"][:, :, 0, 0], pixels) + state["conv1.bias"][:, None, None]
    if batch_norm:
        mean, variance = state["norm.running_mean"][:, None, None], state["norm.running_var"][:, None, None]
        hidden = (hidden - mean) / np.sqrt(variance + 1e-5)
        hidden = hidden * state["norm.weight"][:, None, None] + state["norm.bias"][:, None, None]
    score = np.einsum("k,nkhw->nhw", state["conv2.weight"][0, :, 0, 0], np.maximum(hidden, 0)) + state["conv2.bias"]
    expected = (np.tanh(score) + 1) / 2 if activation == "tanh" else 1 / (1 + np.exp(-score))
    np.testing.assert_allclose(guide(display)[:, 0].detach().numpy(), expected, atol=2e-6)


def test_batch_norm_uses_the_batch_in_training() -> None:
    guide = PointwiseGuide(batch_norm=True)
    _scramble(guide)
    display = _picture(2, 3, 6, 5)
    hidden = torch.nn.functional.conv2d(display, guide.conv1.weight, guide.conv1.bias)
    mean, variance = hidden.mean((0, 2, 3), keepdim=True), hidden.var((0, 2, 3), unbiased=False, keepdim=True)
    assert guide.norm is not None
    hidden = (hidden - mean) / (variance + 1e-5).sqrt() * guide.norm.weight.view(-1, 1, 1)
    hidden = (hidden + guide.norm.bias.view(-1, 1, 1)).relu()
    expected = torch.sigmoid(torch.nn.functional.conv2d(hidden, guide.conv2.weight, guide.conv2.bias))
    torch.testing.assert_close(guide(display), expected)


def test_curve_guide_is_its_formula() -> None:
    guide = CurveGuide(points=5)
    _scramble(guide)
    guide.mix.weight.data *= 0.2  # so that most values, but not all, stay between the clips
    assert guide.mix.bias is not None
    guide.mix.bias.data.fill_(0.5)
    display = 6 * _picture(2, 3, 5, 7) - 2
    state = {name: value.double().numpy() for name, value in guide.state_dict().items()}
    colour = np.einsum("oc,nchw->nohw", state["matrix.weight"][:, :, 0, 0], display.double().numpy())
    colour = colour + state["matrix.bias"][:, None, None]
    curves = np.zeros_like(colour)
    for channel in range(3):
        for point in range(5):
            hinge = np.maximum(colour[:, channel] - state["shifts"][channel, point], 0)
            curves[:, channel] += state["slopes"][channel, point] * hinge
    expected = np.einsum("c,nchw->nhw", state["mix.weight"][0, :, 0, 0], curves) + state["mix.bias"]
    inside = (expected > 0) & (expected < 1)
    assert 0.3 < inside.mean() < 1
    np.testing.assert_allclose(guide(display)[:, 0].detach().numpy(), expected.clip(0, 1), atol=2e-6)


def test_occupancy_penalty_at_its_ends() -> None:
    even = torch.linspace(0, 1, 20001)[None, None, None]
    assert guide_occupancy_penalty(even, 8).item() == pytest.approx(0, abs=1e-4)
    assert guide_occupancy_penalty(even, 2).item() == pytest.approx(0, abs=1e-6)
    levels = [guide_occupancy_penalty(torch.full((2, 1, 3, 4), level), 8).item() for level in (0.0, 0.5, 1.0)]
    assert min(levels) > 0.6
    assert max(levels) < 1


def test_occupancy_penalty_is_the_entropy_of_shared_bins() -> None:
    guide = _picture(2, 1, 4, 5) ** 3
    counts = np.zeros(6)
    for value in guide.double().numpy().ravel():
        weights = [math.exp(-(((value - (k + 0.5) / 6) / (0.5 / 6)) ** 2) / 2) for k in range(6)]
        counts += np.array(weights) / sum(weights)
    shares = counts / counts.sum()
    expected = 1 + sum(share * math.log(share) for share in shares) / math.log(6)
    assert guide_occupancy_penalty(guide, 6).item() == pytest.approx(expected, abs=1e-6)


def test_occupancy_penalty_spreads_a_narrow_guide() -> None:
    scores = (0.02 * torch.randn(400, generator=torch.Generator().manual_seed(3))).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.05)
    before = guide_occupancy_penalty(torch.sigmoid(scores)[None, None, None], 8).item()
    for _ in range(60):
        optimizer.zero_grad()
        guide_occupancy_penalty(torch.sigmoid(scores)[None, None, None], 8).backward()
        assert scores.grad is not None
        assert scores.grad.isfinite().all()
        optimizer.step()
    assert guide_occupancy_penalty(torch.sigmoid(scores)[None, None, None], 8).item() < before / 4


def test_occupancy_penalty_gradient() -> None:
    guide = (0.1 + 0.7 * _picture(1, 1, 3, 4)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: guide_occupancy_penalty(values, 5), (guide,))


def test_impossible_values_are_refused() -> None:
    with pytest.raises(UserError, match=r"guide\.activation: 'relu' .* sigmoid or tanh"):
        PointwiseGuide(activation="relu")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"guide\.features: 0"):
        PointwiseGuide(features=0)
    with pytest.raises(UserError, match=r"guide\.points: 0"):
        CurveGuide(points=0)
    with pytest.raises(ValueError, match="at least 2"):
        guide_occupancy_penalty(torch.zeros(1, 1, 2, 2), 1)
