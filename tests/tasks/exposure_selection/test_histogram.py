"""Histograms against loops in float64, and what moves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.ops.encoding import linear_to_srgb
from tasks.exposure_selection.histogram import (
    CELLS,
    channel_histogram,
    clipped_pyramid,
    exposed_histogram,
    histogram_pyramid,
    log_luminance,
)
from tests.tasks.exposure_selection.examples import picture


def cells(height: int, width: int) -> list[tuple[slice, slice]]:
    """The 4x4 cells row by row, then 2x2, then all; sides that 4 divides."""
    found = []
    for side in (4, 2, 1):
        h, w = height // side, width // side
        found += [(slice(r * h, r * h + h), slice(c * w, c * w + w)) for r in range(side) for c in range(side)]
    return found


def test_histogram_pyramid_against_loops() -> None:
    display = picture(2, 3, 8, 12, stops=14)
    bins = 13
    expected = np.zeros((2, CELLS, bins))
    encoded = display.double().numpy()
    light = np.where(encoded > 0.04045, ((encoded + 0.055) / 1.055) ** 2.4, encoded / 12.92)
    luminance = 0.2126 * light[:, 0] + 0.7152 * light[:, 1] + 0.0722 * light[:, 2]
    centres = np.linspace(-12, 0, bins)
    for item in range(2):
        for cell, (rows, columns) in enumerate(cells(8, 12)):
            values = luminance[item, rows, columns].ravel()
            for value in np.log2(np.maximum(values, 2.0**-12)):
                for index, centre in enumerate(centres):
                    expected[item, cell, index] += max(0.0, 1 - abs(value - centre)) / len(values)
    np.testing.assert_allclose(histogram_pyramid(display, bins).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("size", [(4, 4), (37, 53), (128, 128), (5, 300)])
def test_shares_add_up_at_any_size(size: tuple[int, int]) -> None:
    shares = histogram_pyramid(picture(2, 3, *size))
    assert shares.shape == (2, 21, 25)
    torch.testing.assert_close(shares.sum(dim=2), torch.ones(2, 21))
    torch.testing.assert_close(shares[:, 16:20].mean(dim=1), shares[:, 20])


def test_light_beyond_the_ends_counts_there() -> None:
    display = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4), torch.full((3, 4, 4), 1.5)])
    assert log_luminance(display).flatten(1)[:, 0].tolist() == [-12.0, 0.0, 0.0]
    shares = histogram_pyramid(display)
    assert shares[:, -1].argmax(dim=1).tolist() == [0, 24, 24]


def test_clipped_shares() -> None:
    display = torch.full((1, 3, 8, 8), 0.5)
    display[0, 2, 0, 0] = 1.0  # one channel is enough for white
    display[0, 0, 0, 1] = 0.0  # and not for black
    display[0, :, 7, 6:8] = 1 / 255
    found = clipped_pyramid(display)
    assert found[0, 0].tolist() == [0.25, 0.0]
    assert found[0, 15].tolist() == [0.0, 0.5]
    assert found[0, 16].tolist() == [1 / 16, 0.0]
    assert found[0, 20].tolist() == [1 / 64, 2 / 64]
    assert float(found.sum()) == pytest.approx(0.25 + 0.5 + 1 / 16 + 2 / 16 + 3 / 64)


def test_exposed_histogram_against_loops() -> None:
    chance = np.random.default_rng(0)
    shares = chance.dirichlet(np.ones(9), size=(2, 3))
    evs = np.array([[-7.3, 0.0, 0.25, 9.0], [1.1, -2.0, 3.9, 6.0]])
    bins = 8
    expected = np.zeros((2, 4, 3, bins))
    centres, step = np.linspace(-12, 0, 9), 14 / (bins - 1)
    for n, k, c, b in np.ndindex(2, 4, 3, 9):
        position = (min(max(centres[b] + evs[n, k], -10), 4) + 10) / step
        below = min(int(position), bins - 2)
        expected[n, k, c, below] += shares[n, c, b] * (1 - (position - below))
        expected[n, k, c, below + 1] += shares[n, c, b] * (position - below)
    found = exposed_histogram(torch.tensor(shares), torch.tensor(evs), bins)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_darker_preview_is_made_up_for_by_the_ev() -> None:
    light = torch.exp2(-7 * torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    evs = torch.tensor([[-2.0, 0.0, 1.5, 5.0]])
    exposed = exposed_histogram(histogram_pyramid(linear_to_srgb(light)), evs)
    darker = exposed_histogram(histogram_pyramid(linear_to_srgb(light / 8)), evs + 3)
    torch.testing.assert_close(darker, exposed, atol=2e-5, rtol=0)
    assert not torch.allclose(exposed_histogram(histogram_pyramid(linear_to_srgb(light / 8)), evs), exposed, atol=0.1)


@given(ev=st.floats(-20, 20), bins=st.integers(2, 40))
def test_exposing_keeps_all_pixels(ev: float, bins: int) -> None:
    shares = histogram_pyramid(picture(1, 3, 8, 8))
    found = exposed_histogram(shares, torch.tensor([[ev]]), bins)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(1, 1, 21))
    assert float(found.min()) >= 0


def test_channel_histograms_are_numpys() -> None:
    display = picture(2, 3, 31, 17)
    counts, shares = channel_histogram(display, legacy=True), channel_histogram(display)
    for item in range(2):
        values = display[item].numpy()
        np.testing.assert_array_equal(counts[item].numpy(), np.histogram(values, 100, (values.min(), values.max()))[0])
        np.testing.assert_allclose(shares[item].numpy(), np.histogram(values, 100, (0, 1))[0] / values.size, atol=1e-7)


def test_only_the_repaired_channel_histogram_sees_exposure() -> None:
    display = picture(1, 3, 32, 32)
    torch.testing.assert_close(channel_histogram(display / 2, legacy=True), channel_histogram(display, legacy=True))
    assert float(channel_histogram(display)[:, 50:].sum()) > 0.1
    assert float(channel_histogram(display / 2)[:, 50:].sum()) == 0
