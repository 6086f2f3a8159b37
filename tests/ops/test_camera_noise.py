"""Sensor noise: its mean and variance over a million samples, its seed, its gradients."""

from __future__ import annotations

import math

import pytest
import torch

from hdr.ops.noise import add_sensor_noise

SAMPLES = 1_000_000


@pytest.mark.parametrize(
    ("level", "shot", "read"), [(0.0, 1e-3, 4e-6), (0.02, 1e-3, 4e-6), (0.5, 4e-3, 1e-5), (0.9, 0.0, 1e-4)]
)
def test_mean_and_variance_follow_the_noise_profile(level: float, shot: float, read: float) -> None:
    linear = torch.full((1, 1, 1, SAMPLES), level, dtype=torch.float64)
    noisy = add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(1))
    variance = shot * level + read
    # Five standard errors of the mean and of the variance of a normal distribution.
    assert noisy.mean().item() == pytest.approx(level, abs=5 * math.sqrt(variance / SAMPLES))
    assert noisy.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / SAMPLES))


def test_values_are_neither_clipped_nor_shared_between_channels() -> None:
    linear = torch.zeros((2, 3, 7, 5))
    linear[1] = 1.0
    noisy = add_sensor_noise(linear, 0.01, 0.01, torch.Generator().manual_seed(2))
    assert noisy[0].min() < 0
    assert noisy[1].max() > 1
    assert not torch.equal(noisy[0, 0], noisy[0, 1])


def test_the_seed_decides_and_levels_may_differ_per_picture() -> None:
    linear = torch.rand((2, 3, 9, 11), generator=torch.Generator().manual_seed(3))
    shot, read = torch.tensor([0.0, 0.02]), torch.tensor([0.0, 1e-3])
    first = add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(4))
    assert torch.equal(first, add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(4)))
    assert not torch.equal(first, add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(5)))
    assert torch.allclose(first[0], linear[0], atol=1e-5)
    assert (first[1] - linear[1]).abs().mean() > 0.02


def test_gradients_reach_signal_and_noise_level() -> None:
    linear = (torch.rand((1, 3, 2, 3), dtype=torch.float64) + 0.1).requires_grad_()
    shot = torch.tensor(0.01, dtype=torch.float64, requires_grad=True)
    read = torch.tensor(0.001, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, s, o: add_sensor_noise(x, s, o, torch.Generator().manual_seed(6)), (linear, shot, read)
    )
