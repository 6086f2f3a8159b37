"""Sensor noise: its mean, variance and shape over a million samples, its seed, its gradients, its growth with ISO."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats

from hdr.ops.noise import NoiseModel, add_sensor_noise, noise_profile_of_iso
from hdr.ops.sensor import capture

SAMPLES = 1_000_000


@pytest.mark.parametrize("model", get_args(NoiseModel))
@pytest.mark.parametrize(
    ("level", "shot", "read"),
    [(0.0, 1e-3, 4e-6), (0.02, 1e-3, 4e-6), (0.5, 4e-3, 1e-5), (0.9, 0.0, 1e-4), (0.003, 4e-3, 0.0), (0.5, 1e-5, 1e-8)],
)
def test_mean_and_variance_follow_the_noise_profile(level: float, shot: float, read: float, model: NoiseModel) -> None:
    linear = torch.full((1, 1, 1, SAMPLES), level, dtype=torch.float64)
    noisy = add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(1), model)
    variance = shot * level + read
    # The fourth cumulant of shot * Poisson(level / shot) adds to the spread of the sample variance.
    excess = shot**3 * level / variance**2 if model == "poisson_gaussian" else 0.0
    # Five standard errors of the mean and of the variance.
    assert noisy.mean().item() == pytest.approx(level, abs=5 * math.sqrt(variance / SAMPLES))
    assert noisy.var().item() == pytest.approx(variance, rel=5 * math.sqrt((2 + excess) / SAMPLES) + 1e-12 / variance)


@pytest.mark.parametrize("electrons", [0.3, 2.0, 40.0])
def test_few_electrons_arrive_in_whole_numbers(electrons: float) -> None:
    shot = 1 / 512
    linear = torch.full((1, 1, 1, 200_000), electrons * shot, dtype=torch.float64)
    noisy = add_sensor_noise(linear, shot, 0.0, torch.Generator().manual_seed(1), "poisson_gaussian")
    counts = noisy.flatten().numpy() / shot
    assert np.abs(counts - np.rint(counts)).max() < 0.01
    low, high = int(electrons - 3 * math.sqrt(electrons)), int(electrons + 3 * math.sqrt(electrons)) + 1
    edges = [-np.inf, *np.arange(max(low, 0) + 0.5, high), np.inf]
    expected = np.diff(stats.poisson.cdf(edges, electrons)) * len(counts)
    assert stats.chisquare(np.histogram(counts, edges)[0], expected).pvalue > 1e-3


def test_shapes_differ_where_read_noise_is_low_and_agree_where_light_is_plenty() -> None:
    for electrons, read_electrons in ((1.0, 0.5), (9.0, 2.0), (5000.0, 2.0), (20_000.0, 0.0)):
        shot = 1 / 40_000
        linear = torch.full((1, 1, 1, SAMPLES), electrons * shot, dtype=torch.float64)
        read = (read_electrons * shot) ** 2
        skewness = electrons / (electrons + read_electrons**2) ** 1.5 if electrons <= 10_000 else 0.0
        found = [
            stats.skew(add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(2), model).flatten().numpy())
            for model in get_args(NoiseModel)
        ]
        assert found[0] == pytest.approx(0, abs=0.02)
        assert found[1] == pytest.approx(skewness, abs=0.02)


@pytest.mark.parametrize("model", get_args(NoiseModel))
def test_levels_per_channel(model: NoiseModel) -> None:
    linear = torch.full((2, 3, 300, 300), 0.2, dtype=torch.float64)
    shot = torch.tensor([[1e-3, 2e-3, 3e-3], [4e-3, 5e-3, 0.0]], dtype=torch.float64)
    read = torch.tensor([[1e-4, 0.0, 2e-4]], dtype=torch.float64)
    noisy = add_sensor_noise(linear, shot, read, torch.Generator().manual_seed(3), model)
    variances = noisy.var((2, 3))
    assert torch.allclose(variances, shot * 0.2 + read, rtol=5 * math.sqrt(2.1 / 90_000))


def test_counts_pass_the_gradient_of_their_mean_and_bear_broken_values() -> None:
    linear = torch.tensor([0.0, 1e-4, 0.5, torch.nan, torch.inf, -0.1]).view(1, 1, 1, 6).requires_grad_()
    noisy = add_sensor_noise(linear, 1e-3, 1e-6, torch.Generator().manual_seed(1), "poisson_gaussian")
    (gradient,) = torch.autograd.grad(noisy[..., [0, 1, 2, 5]].sum(), linear)
    assert gradient.flatten()[[0, 1, 2, 5]].tolist() == [1, 1, 1, 1]
    assert torch.isfinite(noisy[..., [0, 1, 2, 5]]).all()
    assert noisy[..., 3].isnan()
    assert (noisy[..., 4] == torch.inf).all()
    with pytest.raises(ValueError, match="poisson_gaussian"):
        add_sensor_noise(linear, 0.0, 0.0, model="poisson")  # type: ignore[arg-type]


@pytest.mark.parametrize("model", get_args(NoiseModel))
def test_infinite_light_fills_the_well(model: NoiseModel) -> None:
    light = torch.full((1, 3, 8, 8), torch.inf)
    light[..., 0] = 65504.0
    values = capture(light, pattern="RGGB", black_level=64.0, white_level=1023, shot=0.01, read=1e-4, model=model)
    assert (values == 1023).all()


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


def test_shot_noise_doubles_and_read_noise_rises_from_flat_to_square() -> None:
    iso = torch.tensor([50.0, 100.0, 200.0, 400.0, 51_200.0, 102_400.0])
    shot, read = noise_profile_of_iso(iso, full_well=50_000.0, read_before=2.5, read_after=20.0)
    assert torch.allclose(shot * 50_000, torch.tensor([1.0, 1.0, 2.0, 4.0, 512.0, 1024.0]))
    assert (read[2] / read[1]).item() == pytest.approx(1.0, abs=0.06)
    assert (read[5] / read[4]).item() == pytest.approx(4.0, rel=0.001)
    one = noise_profile_of_iso(400.0, full_well=50_000.0, read_before=2.5, read_after=20.0, levels=4095.0)
    assert one[0] == shot[3]
    assert (one[1] - read[3]).item() == pytest.approx(1 / (12 * 4095**2), rel=1e-3)


def test_the_profile_is_the_noise_of_electrons_that_were_counted() -> None:
    """Electrons as integers, noise before the gain, the gain, noise after it, the converter: in float64 numpy."""
    rng = np.random.default_rng(0)
    full_well, before, after, iso, levels, light = 20_000.0, 3.0, 9.0, 800.0, 1023, 0.15
    gain = iso / 100.0
    electrons = rng.poisson(light * full_well / gain, SAMPLES) + rng.normal(0.0, before, SAMPLES)
    saturation = (electrons * gain + rng.normal(0.0, after, SAMPLES)) / full_well
    values = np.rint(saturation * levels) / levels
    shot, read = noise_profile_of_iso(iso, full_well=full_well, read_before=before, read_after=after, levels=levels)
    assert values.mean() == pytest.approx(light, abs=5 * values.std() / math.sqrt(SAMPLES))
    assert values.var() == pytest.approx(shot.item() * light + read.item(), rel=5 * math.sqrt(2 / SAMPLES))


def test_the_model_of_two_read_noises_fits_a_camera() -> None:
    """Nikon D3, 14 bits: read noise at ISO 200 to 6400 as measured by B. Claff, 2008; one "electron" is one step."""
    measured = np.array([4.73, 6.86, 11.85, 20.25, 38.84, 78.07])
    iso = torch.tensor([200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0])
    _, read = noise_profile_of_iso(iso, full_well=16_383.0, read_before=2.43, read_after=4.05, base_iso=200.0)
    np.testing.assert_allclose(read.sqrt().numpy() * 16_383, measured, rtol=0.12)


@pytest.mark.parametrize("wrong", [{"full_well": 0.0}, {"base_iso": -1.0}, {"read_before": -1.0}, {"levels": 0.0}])
def test_impossible_sensors_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        noise_profile_of_iso(100.0, **{"full_well": 5e4, "read_before": 2.0, "read_after": 3.0, **wrong})
