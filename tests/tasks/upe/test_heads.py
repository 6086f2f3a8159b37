"""Heads and lookup tables: written-out formulas, limits, strength, identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from hdr.errors import UserError
from tasks.upe.heads import Affine, Division, Head, LogGain, clamp_with_gradient, roll_off
from tasks.upe.luts import CubeLut, CurveLut


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _decode(display: np.ndarray) -> np.ndarray:
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)


def _encode(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


# The shoulder ---------------------------------------------------------------------------------------------------------


def test_roll_off_is_reinhards_curve_above_the_knee() -> None:
    light, gain = np.meshgrid(np.linspace(0, 1, 201), 2 ** np.linspace(0.01, 5, 23))
    product = light * gain
    u, m = (product - 0.7) / 0.3, (gain - 0.7) / 0.3
    expected = np.where(product > 0.7, 0.7 + 0.3 * u * (1 + u / m**2) / (1 + u), product)
    found = roll_off(torch.from_numpy(light), torch.from_numpy(gain), 0.7)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("knee", [0.0, 0.3, 0.8, 0.95])
def test_roll_off_keeps_white_and_order(knee: float) -> None:
    light = torch.linspace(0, 1, 1001)[None]
    gain = torch.exp2(torch.linspace(-2, 6, 161))[:, None]
    result = roll_off(light, gain, knee)
    assert result.max() <= 1
    assert (result.diff(dim=1) >= 0).all(), "a lighter pixel must not become darker than a darker one"
    assert (result.diff(dim=0) >= -2e-7).all(), "more gain must not darken"
    assert (result[gain[:, 0] >= 1, -1] >= 1 - 2e-7).all(), "white stays white"
    below = light * gain <= knee
    assert torch.equal(result[below], (light * gain)[below])


def test_roll_off_is_exact_without_gain_and_a_product_below() -> None:
    light = _random(4000)
    assert torch.equal(roll_off(light, torch.ones(1), 0.8), light)
    assert torch.equal(roll_off(light, torch.full((1,), 0.7), 0.3), light * 0.7)


def test_roll_off_gradients() -> None:
    light = torch.tensor([0.05, 0.3, 0.61, 0.9], dtype=torch.float64, requires_grad=True)
    gain = torch.tensor([0.5, 1.7, 6.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, g: roll_off(x, g, 0.8), (light, gain))


def test_clamp_with_gradient() -> None:
    values = torch.tensor([-0.5, 0.25, 1.5], requires_grad=True)
    limited = clamp_with_gradient(values)
    assert torch.equal(limited, torch.tensor([0.0, 0.25, 1.0]))
    limited.backward(torch.tensor([1.0, 2.0, 3.0]))
    assert values.grad is not None
    assert torch.equal(values.grad, torch.tensor([1.0, 2.0, 3.0]))
    with torch.no_grad():
        assert torch.equal(clamp_with_gradient(values), limited)


# Log gain -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["linear", "display"])
@pytest.mark.parametrize("rows", [1, 3])
def test_log_gain_is_an_exposure_change(domain: Any, rows: int) -> None:
    head = LogGain(domain=domain, colour_stops=1.5 if rows == 3 else 0.0)
    assert head.rows == rows
    display = 0.5 * _random(2, 3, 6, 5)
    values = 2 * _random(2, rows, 6, 5, seed=1) - 0.7
    output, stops = head.render(display, values, 1.0)
    raw = values.double().numpy()
    mean = raw.mean(1, keepdims=True)
    bent = np.where(mean > 0, 5 * np.tanh(mean / 5), np.tanh(mean))
    expected = (bent + 1.5 * np.tanh((raw - mean) / 1.5) if rows == 3 else bent).clip(-1, 5)
    np.testing.assert_allclose(stops.numpy(), expected, atol=1e-6)
    pixels = display.double().numpy()
    if domain == "linear":
        light = _decode(pixels) * 2.0**expected
        below, result = light < 0.8, _encode(light)
    else:
        result = pixels * 2.0**expected
        below = result < 0.8
    assert below.mean() > 0.7
    np.testing.assert_allclose(output.numpy()[below], result[below], atol=2e-6)
    assert output.max() <= 1 + 1e-6


def test_log_gain_of_zero_is_exactly_the_input() -> None:
    display = torch.cat([_random(1, 3, 200, 200), torch.arange(256).repeat(1, 3, 1, 1) / 255 * torch.ones(200, 1)], 3)
    for head in (LogGain(), LogGain(domain="display"), LogGain(colour_stops=0, min_stops=0, knee=0)):
        output, stops = head.render(display, torch.zeros(1, head.rows, 200, 456), 1.0)
        assert torch.equal(output, display)
        assert torch.equal(stops, torch.zeros_like(stops))


def test_log_gain_respects_its_limits() -> None:
    values = 60 * _random(1, 3, 40, 40) - 30
    stops = LogGain(max_stops=3, min_stops=-0.5, colour_stops=0.25).stops(values)
    assert stops.max() <= 3
    assert stops.min() >= -0.5
    assert (stops.amax(1) - stops.amin(1)).max() <= 0.5 + 1e-6
    assert LogGain(min_stops=0).stops(values).min() == 0


@pytest.mark.parametrize("min_stops", [-1.0, 0.0])
def test_log_gain_can_be_learned_from_its_start(min_stops: float) -> None:
    values = torch.zeros(1, 3, 4, 4, requires_grad=True)
    display = 0.1 + 0.3 * _random(1, 3, 4, 4)
    output, _ = LogGain(min_stops=min_stops).render(display, values, 1.0)
    output.sum().backward()
    assert values.grad is not None
    assert (values.grad > 1e-3).all()


@pytest.mark.parametrize("domain", ["linear", "display"])
def test_log_gain_gradients(domain: Any) -> None:
    head = LogGain(domain=domain)
    display = (0.1 + 0.8 * _random(1, 3, 2, 3)).double()
    values = (3 * _random(1, 3, 2, 3, seed=5) - 0.5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: head.render(display, v, 0.8)[0], (values,))


# Division and affine --------------------------------------------------------------------------------------------------


def test_division_of_the_released_graph() -> None:
    display, values = _random(2, 3, 5, 4), 1.6 * _random(2, 3, 5, 4, seed=1) - 0.3
    output, field = Division().render(display, values, 1.0)
    pixels = display.double().numpy()
    illumination = np.maximum(np.minimum(values.double().numpy(), 1), pixels)
    np.testing.assert_allclose(field.numpy(), illumination, atol=1e-7)
    np.testing.assert_allclose(output.numpy(), pixels / (illumination + 1e-3), atol=1e-6)
    assert output.max() <= 1


def test_division_of_the_reimplementation() -> None:
    display, values = _random(2, 3, 5, 4), 1.6 * _random(2, 3, 5, 4, seed=1) - 0.3
    output, field = Division(eps=1e-4, constrained=False, clamp=True).render(display, values, 1.0)
    expected = (display.double() / (values.double() + 1e-4)).clamp(0, 1)
    assert torch.equal(field, values)
    torch.testing.assert_close(output.double(), expected, atol=1e-6, rtol=0)


def test_division_of_black_is_black() -> None:
    black = torch.zeros(1, 3, 2, 2)
    output, _ = Division().render(black, black, 1.0)
    assert torch.equal(output, black)


def test_affine_replaces_and_limits() -> None:
    display, values = _random(1, 3, 4, 4), 2 * _random(1, 3, 4, 4, seed=2) - 0.5
    assert torch.equal(Affine().render(display, values, 1.0)[0], values.clamp(0, 1))
    assert torch.equal(Affine(clamp=False).render(display, values, 1.0)[0], values)


HEADS: list[Head] = [
    LogGain(),
    LogGain(domain="display", colour_stops=0),
    Division(),
    Division(eps=1e-4, constrained=False, clamp=True),
    Affine(),
]


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_strength(head: Head) -> None:
    display, values = 0.4 * _random(1, 3, 7, 9), 0.3 + 0.6 * _random(1, head.rows, 7, 9, seed=1)
    assert torch.equal(head.render(display, values, 0.0)[0], display)
    half, full = head.render(display, values, 0.5)[0], head.render(display, values, 1.0)[0]
    low, high = torch.minimum(display, full), torch.maximum(display, full)
    assert ((half >= low - 1e-3) & (half <= high + 1e-3)).all()
    near = head.render(display, values, 1 - 1e-6)[0]
    torch.testing.assert_close(near, full, atol=1e-4, rtol=1e-3)


def test_half_the_strength_is_half_the_stops() -> None:
    display, values = 0.2 * _random(1, 3, 7, 9), 0.3 + 0.6 * _random(1, 3, 7, 9, seed=1)
    for head, decode in ((LogGain(), _decode), (LogGain(domain="display"), lambda x: x), (Division(), lambda x: x)):
        whole = np.log2(
            decode(head.render(display, values, 1.0)[0].double().numpy()) / decode(display.double().numpy())
        )
        half = np.log2(decode(head.render(display, values, 0.5)[0].double().numpy()) / decode(display.double().numpy()))
        np.testing.assert_allclose(half, whole / 2, atol=2e-5)


@pytest.mark.parametrize("head", HEADS, ids=str)
def test_illumination_is_a_picture(head: Head) -> None:
    display = _random(1, 3, 7, 9)
    _, field = head.render(display, 3 * _random(1, head.rows, 7, 9, seed=1) - 1, 1.0)
    picture = head.illumination(display, field)
    assert picture.min() >= 0
    assert picture.max() <= 1
    unchanged = (head.identity[:, :3] @ display.flatten(2) + head.identity[:, 3:]).view(1, head.rows, 7, 9)
    _, field = head.render(display, unchanged, 1.0)
    torch.testing.assert_close(head.illumination(display, field), torch.ones_like(field), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogGain(domain="log"), r"head\.domain: 'log' .* linear or display"),  # type: ignore[arg-type]
        (lambda: LogGain(min_stops=1), r"head\.min_stops, head\.max_stops: 1 and 5\.0"),
        (lambda: LogGain(max_stops=0), "do not enclose 0"),
        (lambda: LogGain(colour_stops=-1), r"head\.colour_stops: -1"),
        (lambda: LogGain(knee=1), r"head\.knee: 1"),
        (lambda: Division(eps=0), r"head\.eps: 0"),
        (lambda: CurveLut(8, points=1), r"lut\.points: 1"),
        (lambda: CubeLut(8, size=1), r"lut\.size, lut\.cubes: 1 and 3"),
    ],
)
def test_impossible_values_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


# Lookup tables --------------------------------------------------------------------------------------------------------


def _scramble(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)


@pytest.mark.parametrize("points", [2, 9, 17])
def test_curve_table_is_piecewise_linear_and_increasing(points: int) -> None:
    lut = CurveLut(8, points=points)
    _scramble(lut)
    table = lut(_random(2, 8, seed=3))
    assert (table.diff(dim=2) > 0).all()
    display = _random(2, 3, 6, 5)
    display[0, :, 0, 0], display[0, :, 0, 1] = 0.0, 1.0
    found = lut.look_up(display, table, 1.0)
    at = np.linspace(0, 1, points)
    for item in range(2):
        for channel in range(3):
            curve = table[item, channel].double().detach().numpy()
            expected = np.interp(display[item, channel].double().numpy(), at, curve)
            np.testing.assert_allclose(found[item, channel].detach().numpy(), expected, atol=1e-6)
    torch.testing.assert_close(lut.look_up(display, table, 0.25), display + 0.25 * (found - display))
    assert torch.equal(lut.look_up(display, table, 0.0), display)


def test_cube_table_is_trilinear() -> None:
    lut = CubeLut(8, size=5)
    _scramble(lut)
    overall = _random(2, 8, seed=3)
    table = lut(overall)
    weights = lut.predict(overall)
    expected_table = sum(weights[:, k, None, None] * lut.cubes[k] for k in range(3))
    torch.testing.assert_close(table, expected_table)
    display = _random(2, 3, 6, 5)
    display[0, :, 0, 0], display[0, :, 0, 1] = 0.0, 1.0
    found = lut.look_up(display, table, 1.0).detach().numpy()
    axis = np.linspace(0, 1, 5)
    for item in range(2):
        pixels = display[item].double().numpy()
        for channel in range(3):
            cube = table[item, channel].double().detach().numpy().reshape(5, 5, 5)
            offset = RegularGridInterpolator((axis, axis, axis), cube)(pixels.reshape(3, -1).T).reshape(6, 5)
            np.testing.assert_allclose(found[item, channel], (pixels[channel] + offset).clip(0, 1), atol=2e-6)
    assert torch.equal(lut.look_up(display, table, 0.0), display)


@pytest.mark.parametrize("lut", [CurveLut(8), CurveLut(8, points=9), CubeLut(8)], ids=["17", "9", "cube"])
def test_tables_start_as_the_identity(lut: Any) -> None:
    display = _random(2, 3, 33, 21)
    assert torch.equal(lut.look_up(display, lut(torch.randn(2, 8)), 1.0), display)


@pytest.mark.parametrize("lut", [CurveLut(8, points=5), CubeLut(8, size=3)], ids=["curves", "cube"])
def test_table_gradients(lut: Any) -> None:
    _scramble(lut)
    lut.double()
    display = (0.02 + 0.9 * _random(1, 3, 2, 3)).double().requires_grad_()
    table = (0.1 * _random(1, 3, 27 if isinstance(lut, CubeLut) else 5, seed=4)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: lut.look_up(x, t, 1.0), (display, table))
