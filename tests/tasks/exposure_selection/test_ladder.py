"""Virtual exposures against their formula in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hdr.ops.encoding import srgb_to_linear
from tasks.exposure_selection.ladder import Light, darkest_honest, preview_ev, render

MATRIX = torch.tensor([[1.7, -0.5, -0.2], [-0.2, 1.6, -0.4], [0.05, -0.6, 1.55]])
GAINS = (2.1, 1.0, 1.6)


def light(height: int = 5, width: int = 7, **facts: Any) -> Light:
    """Eight stops on both sides of 1."""
    rng = np.random.default_rng(0)
    linear = torch.from_numpy(np.exp2(rng.uniform(-8, 3, (3, height, width)))).float()
    return Light(linear=linear, id="a", group="a", **facts)


def srgb(x: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def bt709(x: np.ndarray) -> np.ndarray:
    """Rec. ITU-R BT.709-6, item 1.2, with the four digits of its printed form."""
    return np.where(x < 0.018, 4.5 * x, 1.099 * np.maximum(x, 1e-9) ** 0.45 - 0.099)


@pytest.mark.parametrize(("curve", "formula", "close"), [("srgb", srgb, 2e-6), ("bt709", bt709, 5e-4)])
def test_rendering_is_its_formula(curve: Any, formula: Any, close: float) -> None:
    given, evs, anchor = light(gains=GAINS, matrix=MATRIX), [-3.0, 0.0, 1.75, 6.0], 0.6
    found = render(given, evs, anchor, curve=curve, bits=None)
    signal = given.linear.double().numpy()[None] * 2.0 ** (np.array(evs) + anchor)[:, None, None, None]
    balanced = np.minimum(signal.clip(0, 1) * np.array(GAINS)[:, None, None], 1)
    linear = np.einsum("rc,kchw->krhw", MATRIX.double().numpy(), balanced).clip(0, 1)
    assert found.shape == (4, 3, 5, 7)
    np.testing.assert_allclose(found.numpy(), formula(linear), atol=close)
    assert 0.05 < (linear == 1).mean() < 0.95  # clipped and other pixels are both there
    rounded = render(given, evs, anchor, curve=curve) * 255
    assert torch.allclose(rounded, rounded.round(), atol=1e-4)
    assert float((rounded / 255 - found).abs().max()) <= 0.5 / 255 + 1e-6


def test_a_clipped_sensor_gives_white_and_not_the_colour_of_its_gains() -> None:
    given = Light(linear=torch.full((3, 2, 2), 4.0), id="a", group="a", gains=GAINS)
    assert torch.equal(render(given, [0.0], 0.0), torch.ones(1, 3, 2, 2))


def test_evs_have_gradients() -> None:
    linear = light().linear.double() * 2.0**-9  # below clipping and rounding nothing
    given = Light(linear=linear, id="a", group="a", gains=GAINS)
    evs = torch.tensor([0.0, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: render(given, x, 0.0, bits=None), (evs,))


def test_noise_has_the_stated_variance_and_is_new_for_each_exposure() -> None:
    shot, read = 4e-4, 1e-5
    given = Light(linear=torch.full((3, 200, 200), 0.1), id="a", group="a", shot=shot, read=read)
    seen = render(given, [0.0, 0.0, 1.0], 0.0, bits=None, generator=torch.Generator().manual_seed(1))
    signal = srgb_to_linear(seen.double()).flatten(1)
    expected = torch.tensor([shot * 0.1 + read, shot * 0.1 + read, shot * 0.2 + read], dtype=torch.float64)
    torch.testing.assert_close(signal.var(dim=1), expected, rtol=0.02, atol=0)
    torch.testing.assert_close(signal.mean(dim=1), torch.tensor([0.1, 0.1, 0.2]).double(), rtol=1e-3, atol=0)
    assert abs(float(torch.corrcoef(signal[:2])[0, 1])) < 0.02
    again = render(given, [0.0, 0.0, 1.0], 0.0, bits=None, generator=torch.Generator().manual_seed(1))
    assert torch.equal(seen, again)
    assert float(render(given, [0.0], 0.0, bits=None).std()) < 1e-6  # none without a generator


@pytest.mark.parametrize("shape", [(40, 50), (13, 17)])
def test_the_preview_keeps_its_highlights(shape: tuple[int, int]) -> None:
    given = light(*shape)
    stops = preview_ev(given)
    brightest = given.linear.amax(dim=0).double().numpy() * 2.0**stops
    over = int((brightest > 1 + 1e-6).sum())
    assert over == math.floor(0.01 * brightest.size)
    assert (np.abs(brightest - 1) < 1e-6).any()  # no darker than it has to be
    dark = Light(linear=given.linear * 2.0**-5, id="a", group="a")
    assert preview_ev(dark) == pytest.approx(stops + 5, abs=1e-5)


def test_the_plain_meter_makes_the_log_average_grey() -> None:
    given = light(40, 50)
    weights = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)[:, None, None]
    exposed = given.linear.double() * 2.0 ** preview_ev(given, "log_average")
    assert float((exposed * weights).sum(dim=0).log().mean().exp()) == pytest.approx(0.18, rel=1e-3)


def test_a_black_light_has_a_preview() -> None:
    black = Light(linear=torch.zeros(3, 4, 4), id="a", group="a")
    assert math.isfinite(preview_ev(black))


def test_exposures_of_a_clipped_capture_are_true_down_to_the_honest_limit() -> None:
    truth = light(20, 20)
    saturation, anchor = 0.5, 0.8
    capture = Light(linear=truth.linear.clamp(max=saturation), id="a", group="a", saturation=saturation)
    lowest = darkest_honest(capture, anchor)
    assert lowest == pytest.approx(1.0 - anchor)
    assert darkest_honest(truth, anchor) == -math.inf
    for above in (0.0, 0.25, 2.0):
        assert torch.equal(render(capture, [lowest + above], anchor), render(truth, [lowest + above], anchor))
    assert not torch.equal(render(capture, [lowest - 0.25], anchor), render(truth, [lowest - 0.25], anchor))
