"""Exposure, metering and quantisation against formulas written out in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.io import read_image
from hdr.ops.camera import auto_exposure, expose, quantise
from hdr.ops.encoding import srgb_to_linear

WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def scene(seed: int, size: tuple[int, int] = (40, 52), stops: float = 2.0) -> torch.Tensor:
    """Smooth log-normal light (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((1, 3, 6, 7), generator=generator) * stops
    return torch.exp2(torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False))


def tone(light: np.ndarray) -> float:
    clipped = np.clip(light, 0.0, 1.0)
    return float(np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055).mean())


def metered_by_hand(linear: torch.Tensor, darkest: float, brightest: float, highlights: float) -> float:
    """The rule of ``auto_exposure`` by a scan over exposures in float64, for pictures of at most 64 cells a side."""
    light = np.tensordot(WEIGHTS, linear[0].double().numpy(), axes=1)
    evs = np.arange(-16.0, 10.0, 0.002)
    tones = np.array([tone(light * 2.0**ev) for ev in evs])
    low, high = evs[np.argmax(tones >= darkest)], evs[np.argmax(tones >= brightest)]
    white = -np.log2(np.quantile(light, 1.0 - highlights))
    return float(np.clip(white, min(low, 12.0 - np.log2(light.max())), high))


def test_expose_scales_by_powers_of_two_and_keeps_highlights() -> None:
    linear = torch.tensor([0.0, 1e-6, 0.25, 1.0, 65504.0]).repeat(2, 3, 1, 1)
    assert torch.equal(expose(linear, 1.0), linear * 2)
    each = expose(linear, torch.tensor([-2.0, 3.0]))
    assert torch.equal(each[0], linear[0] / 4)
    assert torch.equal(each[1], linear[1] * 8)
    assert torch.equal(expose(linear, torch.tensor([-2.0, 3.0]).view(2, 1, 1, 1)), each)
    assert torch.equal(expose(linear[0], -1.0), linear[0] / 2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stops", [0.5, 2.0, 5.0])
def test_auto_exposure_follows_its_rule(seed: int, stops: float) -> None:
    linear = scene(seed, stops=stops)
    expected = metered_by_hand(linear, 0.50, 0.61, 0.015)
    assert auto_exposure(linear).item() == pytest.approx(expected, abs=0.005)


def test_each_part_of_the_rule_is_reached() -> None:
    """A flat scene is held at the bright bound, one with a large bright part at the dark bound, others go to white."""
    flat = torch.full((1, 3, 30, 30), 0.3)
    assert tone(expose(flat, auto_exposure(flat)).numpy()) == pytest.approx(0.61, abs=1e-3)
    window = torch.full((1, 3, 30, 30), 0.01)
    window[..., :10, :] = 100.0
    light = expose(window, auto_exposure(window))
    assert tone(light.numpy()) == pytest.approx(0.50, abs=1e-3)
    assert light.max() > 100
    between = scene(1, stops=1.2)
    light = np.tensordot(WEIGHTS, expose(between, auto_exposure(between))[0].numpy(), axes=1)
    assert np.quantile(light, 0.985) == pytest.approx(1.0, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), ev=st.floats(-12, 12))
def test_metering_undoes_exposure_and_ignores_size(seed: int, ev: float) -> None:
    linear = scene(seed)
    once = auto_exposure(linear)
    assert auto_exposure(expose(linear, ev)).item() == pytest.approx(once.item() - ev, abs=1e-3)
    larger = linear.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert auto_exposure(larger, highlights=0.1).item() == pytest.approx(
        auto_exposure(linear, highlights=0.1).item(), abs=0.15
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_well_exposed_and_clipped_picture_meters_at_zero(seed: int) -> None:
    linear = scene(seed, stops=1.0 + seed / 2)[:, :1].expand(1, 3, 40, 52)
    taken = expose(linear, auto_exposure(linear)).clamp(max=1.0)
    assert auto_exposure(taken).item() == pytest.approx(0.0, abs=5e-3)


def test_metering_a_batch_is_metering_its_items_at_odd_sizes() -> None:
    batch = torch.cat([scene(i, (71, 133)) for i in range(3)])
    assert torch.equal(auto_exposure(batch), torch.cat([auto_exposure(item[None]) for item in batch]))


def test_metering_survives_black_and_non_finite_pictures() -> None:
    black = torch.zeros((1, 3, 9, 9))
    assert torch.isfinite(auto_exposure(black)).all()
    broken = scene(3)
    expected = auto_exposure(broken)
    broken[0, :, 0, 0] = torch.nan
    broken[0, :, 0, 1] = -1.0
    assert auto_exposure(broken).item() == pytest.approx(expected.item(), abs=0.05)
    broken[0, :, 0, 2] = torch.inf
    assert torch.isfinite(auto_exposure(broken)).all()


def test_metering_refuses_bounds_out_of_order() -> None:
    with pytest.raises(ValueError, match="darkest"):
        auto_exposure(scene(0), darkest=0.7, brightest=0.6)


@pytest.mark.slow
def test_metering_agrees_with_real_photographs(shared_data: Path) -> None:
    """Well exposed camera pictures meter near 0, dark ones ask for light, and a bracket is told apart by its stops."""

    def meter(path: Path) -> float:
        photo = read_image(path, half_size=True)
        linear = photo.pixels if photo.encoding == "linear" else srgb_to_linear(photo.pixels)
        return float(auto_exposure(linear.clamp(0.0, 1.0)[None])[0])

    good = [meter(path) for path in sorted((shared_data / "camera-jpegs/normal-bright").glob("*.jpg"))]
    assert len(good) == 8
    assert np.abs(good).mean() < 0.2
    assert max(np.abs(good)) < 0.5
    dark = [meter(path) for path in sorted((shared_data / "camera-jpegs/dark").glob("*.jpg"))]
    assert len(dark) == 10
    assert min(dark) > 0.6
    short, right = (meter(shared_data / f"raw-bracket-nikon-d5000/{name}.dng") for name in ("1-640s", "1-160s"))
    assert short == pytest.approx(1.8, abs=0.3)
    assert abs(right) < 0.4


@pytest.mark.parametrize("bits", [1, 8, 10, 16])
def test_quantise_keeps_levels_and_rounds_between_them(bits: int) -> None:
    top = 2**bits - 1
    levels = torch.arange(min(top, 4000) + 1, dtype=torch.float64) / top
    assert torch.equal(quantise(levels, bits), levels)
    inside = levels[:-1]
    assert torch.equal(quantise(inside + 0.499 / top, bits), inside)
    assert torch.equal(quantise(inside + 0.501 / top, bits), levels[1:])
    assert quantise(torch.tensor([-0.5, 1.7]), bits).tolist() == [0.0, 1.0]
