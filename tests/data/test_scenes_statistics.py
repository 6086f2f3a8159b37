"""Spectra of generated scenes, and the figures that the gallery prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.gallery import histogram, table
from experiments.scene_statistics import Figures, measure, real_pictures, spectrum_slope
from hdr.data.scenes import FAMILIES, render_scene


def noise(slope: float, side: int, seed: int) -> np.ndarray:
    """Noise whose amplitude spectrum falls as 1/f**slope."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    phase = np.random.default_rng(seed).random(frequency.shape)
    return np.fft.irfft2(frequency**-slope * np.exp(2j * np.pi * phase), s=(side, side))


@pytest.mark.parametrize("slope", [0.0, 0.7, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("size", [(256, 256), (300, 411), (128, 200)])
def test_the_slope_of_made_noise_is_found(slope: float, size: tuple[int, int]) -> None:
    plane = noise(slope, 512, 1)[: size[0], : size[1]] + 3.0
    assert spectrum_slope(plane) == pytest.approx(slope, abs=0.12)


def test_figures_of_a_picture_with_known_light() -> None:
    light = np.full((100, 100), 4.0, np.float32)
    light[:4] = 1.0  # more than 1 % of the picture
    light[50, 50] = 4096.0
    linear = np.stack([light, light, light * np.float32(0.5)])
    figures = measure(linear)
    assert figures.stops == pytest.approx(12.0, abs=1e-6)
    assert figures.inner == pytest.approx(2.0, abs=1e-6)
    assert figures.saturation == pytest.approx(0.5, abs=1e-6)
    assert measure(linear * np.float32(37.0)) == pytest.approx(figures, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_scenes_have_the_spectra_of_natural_pictures(family: str) -> None:
    """Amplitude falls about as 1/f to 1/f**1.5 (photographs at hand: 0.95 to 1.57 in log-luminance)."""
    slopes = [measure(render_scene(seed, (256, 256), family).linear).slope for seed in range(10)]
    assert 1.0 < np.median(slopes) < 1.6
    assert min(slopes) > 0.6
    assert max(slopes) < 2.0


def test_the_histogram_and_the_table_show_all_groups() -> None:
    some = [Figures(8.0 + i, 7.0, 1.1, 1.0, 0.3) for i in range(10)]
    picture = histogram({"generated scenes": some, "real HDR files": some[:3]})
    assert picture.size == (680, 340)
    assert len({colour for _, colour in picture.getcolors(maxcolors=1 << 20) or []}) > 20
    lines = table({"night": some, "empty": [], "real HDR files": some[:3]}).splitlines()
    assert lines[2].startswith("| night | 10 | 12.5 (8.4 to 16.5) | 90 % |")
    assert lines[3].startswith("| real HDR files | 3 | 9.0 ")
    assert len(lines) == 4


def test_real_files_are_read_without_charts_and_copies(shared_data: Path) -> None:
    names = {name for kind, name, _ in real_pictures(shared_data / "hdr-openexr", views=1) if kind == "photograph"}
    assert "MtTamWest" in names
    assert "XYZ" not in names
