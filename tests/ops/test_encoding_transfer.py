"""BT.709, pure gamma, mu-law, stops, PQ and HLG against colour-science and formulas in Python floats."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.ops.encoding import (
    bt709_to_linear,
    display_light_to_hlg_scene,
    gamma_to_linear,
    hlg_system_gamma,
    hlg_to_display_light,
    hlg_to_linear,
    linear_to_bt709,
    linear_to_gamma,
    linear_to_hlg,
    linear_to_log2,
    linear_to_mu_law,
    linear_to_pq,
    log2_to_linear,
    mu_law_to_linear,
    power_with_held_slope,
    pq_to_linear,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour
    from colour.models.rgb.transfer_functions.itur_bt_2020 import CONSTANTS_BT2020_PRECISE
    from colour.models.rgb.transfer_functions.itur_bt_2100 import (
        gamma_function_BT2100_HLG,
        ootf_BT2100_HLG_2,
    )

Transfer = Callable[[torch.Tensor], torch.Tensor]
PAIRS: dict[str, tuple[Transfer, Transfer]] = {
    "bt709": (linear_to_bt709, bt709_to_linear),
    "gamma": (linear_to_gamma, gamma_to_linear),
    "mu_law": (linear_to_mu_law, mu_law_to_linear),
    "log2": (linear_to_log2, log2_to_linear),
    "pq": (linear_to_pq, pq_to_linear),
    "hlg": (linear_to_hlg, hlg_to_linear),
}
LIGHT = np.concatenate([[0.0], np.geomspace(1e-10, 65504, 3001)])
HALF_EXTREMES = [0.0, -0.0, 1e-45, 6e-8, 6.1e-5, 65504.0]
JOINTS = [1e-11, 1e-7, 1e-6, 2.0**-16, 0.018053968510807, 4.5 * 0.018053968510807, 1 / 12, 0.5, 7.309559e-7, 1.0]

every_pair = pytest.mark.parametrize("name", PAIRS)


def test_pq_has_the_values_of_the_standard() -> None:
    light = torch.tensor([0.0, 0.005, 0.1, 1.0, 100.0, 203.0, 1000.0, 4000.0, 10000.0], dtype=torch.float64)
    codes = linear_to_pq(light)
    # 203 cd/m2 is the reference white of ITU-R BT.2408, at 58 % of the signal.
    assert codes[0].item() == pytest.approx(7.3096e-7, rel=1e-4)
    np.testing.assert_allclose(codes[3:], [0.149946, 0.508078, 0.580689, 0.751827, 0.902572, 1.0], atol=2e-6)
    assert pq_to_linear(torch.tensor([0.0, 1.0])).tolist() == [0.0, 10000.0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-7), (torch.float64, 1e-13)])
def test_encoders_agree_with_colour_science(dtype: torch.dtype, tolerance: float) -> None:
    light = torch.tensor(LIGHT, dtype=dtype)
    exact = light.double().numpy()
    np.testing.assert_allclose(linear_to_pq(light), colour.models.eotf_inverse_ST2084(exact, 10000), atol=tolerance)
    with np.errstate(invalid="ignore"):  # it takes the logarithm of everything
        np.testing.assert_allclose(linear_to_hlg(light), colour.models.oetf_BT2100_HLG(exact), atol=tolerance)
    expected = colour.models.oetf_BT2020(exact, constants=CONSTANTS_BT2020_PRECISE)
    np.testing.assert_allclose(linear_to_bt709(light), expected, rtol=3 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_decoders_agree_with_colour_science(dtype: torch.dtype, tolerance: float) -> None:
    codes = torch.linspace(0, 1, 4097, dtype=dtype)
    exact = codes.double().numpy()
    np.testing.assert_allclose(
        pq_to_linear(codes), colour.models.eotf_ST2084(exact, 10000), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(hlg_to_linear(codes), colour.models.oetf_inverse_BT2100_HLG(exact), rtol=tolerance)
    # By formula: colour-science changes over to the power law a little late, at the joint of the rounded constants.
    power = ((exact + 0.09929682680944) / 1.09929682680944) ** (1 / 0.45)
    expected = np.where(exact <= 4.5 * 0.018053968510807, exact / 4.5, power)
    np.testing.assert_allclose(bt709_to_linear(codes), expected, rtol=tolerance, atol=tolerance)


def test_hlg_has_the_values_of_the_standard() -> None:
    light = torch.tensor([0.0, 1 / 12, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(linear_to_hlg(light), [0.0, 0.5, 1.0], atol=1e-7)
    assert hlg_system_gamma(1000) == pytest.approx(1.2)
    assert hlg_system_gamma(2000) == pytest.approx(gamma_function_BT2100_HLG(2000))


@pytest.mark.parametrize("peak", [500.0, 1000.0, 2000.0])
def test_hlg_display_light_agrees_with_colour_science_and_is_undone(peak: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand((2, 3, 5, 7), generator=generator, dtype=torch.float64) * 1.5
    gamma = hlg_system_gamma(peak)
    light = hlg_to_display_light(scene, peak, gamma)
    expected = ootf_BT2100_HLG_2(scene.movedim(1, -1).numpy(), L_W=peak)
    np.testing.assert_allclose(light.movedim(1, -1), expected, rtol=1e-9)
    torch.testing.assert_close(display_light_to_hlg_scene(light, peak, gamma), scene, rtol=1e-12, atol=0)


def test_hlg_display_light_of_black_and_negative_colours_is_finite_and_is_undone() -> None:
    scene = torch.tensor([[0.0, 1e-9, 1e-3, 12.0], [0.0, 1e-9, -1e-4, -4.0], [0.0, 1e-9, -5e-3, 9.0]])[None, :, None]
    scene.requires_grad_()
    light = hlg_to_display_light(scene)
    back = display_light_to_hlg_scene(light)
    torch.testing.assert_close(back, scene, rtol=1e-5, atol=0)
    (gradient,) = torch.autograd.grad(light.sum() + back.sum(), scene)
    assert torch.isfinite(gradient).all()
    assert light[0, :, 0, 0].tolist() == [0.0, 0.0, 0.0]
    assert torch.autograd.gradcheck(hlg_to_display_light, (scene.detach().double()[..., 1:].requires_grad_(),))


@pytest.mark.parametrize(("gamma", "value"), [(2.2, 0.4586564), (1.0, 0.18), (2.6, 0.5171)])
def test_gamma_is_the_power_law(gamma: float, value: float) -> None:
    assert linear_to_gamma(torch.tensor(0.18), gamma).item() == pytest.approx(value, abs=2e-5)
    light = torch.tensor(LIGHT)
    np.testing.assert_allclose(linear_to_gamma(light, gamma), LIGHT ** (1 / gamma), rtol=1e-14)
    np.testing.assert_allclose(gamma_to_linear(light, gamma), LIGHT**gamma, rtol=1e-14)


def test_mu_law_is_its_formula() -> None:
    values = linear_to_mu_law(torch.tensor(LIGHT))
    np.testing.assert_allclose(values, np.log(1 + 5000 * LIGHT) / np.log(5001), rtol=1e-6, atol=1e-15)
    assert linear_to_mu_law(torch.tensor([0.0, 1.0, -1.0])).tolist() == [0.0, 1.0, -1.0]
    # T(16) of the paper on single-image reconstruction, whose mu is 10.
    assert linear_to_mu_law(torch.tensor(16.0), mu=10.0).item() == pytest.approx(2.119, abs=1e-3)


def test_log2_gives_every_stop_the_same_share() -> None:
    stops = torch.arange(-12.0, 8.0, dtype=torch.float64)
    codes = linear_to_log2(torch.exp2(stops))
    expected = (np.log2(2.0 ** stops.numpy() + 2.0**-12) + 12) / 16
    np.testing.assert_allclose(codes, expected, rtol=1e-14)
    np.testing.assert_allclose(codes[8:].diff(), 1 / 16, rtol=3e-3)
    assert linear_to_log2(torch.tensor(0.0)).item() == 0.0
    with pytest.raises(ValueError, match="low < high"):
        linear_to_log2(torch.ones(1), low=3, high=3)


@every_pair
def test_decoding_undoes_encoding_over_the_half_float_range(name: str) -> None:
    encode, decode = PAIRS[name]
    both = np.concatenate([-LIGHT[::-1], LIGHT])
    exact = torch.tensor(both)
    torch.testing.assert_close(decode(encode(exact)), exact, rtol=1e-12, atol=1e-18)
    single = exact.float()
    again = decode(encode(single))
    assert again.dtype == torch.float32
    # Codes near 0 or 1 have the steps of float32: what that is in light depends on the slope of the curve at black.
    torch.testing.assert_close(again, single, rtol=2e-5, atol=2e-9)


@every_pair
@given(value=st.floats(1e-12, 1e5))
def test_curves_are_odd_and_rise(name: str, value: float) -> None:
    x = torch.tensor([value, -value, value * 1.001], dtype=torch.float64)
    for function in PAIRS[name]:
        y = function(x if function is PAIRS[name][0] else x.clamp(-9.0, 9.0))
        assert y[0] == -y[1]
        assert y[2] >= y[0]


@every_pair
def test_gradients_are_finite_and_positive_at_black_at_joints_and_at_extremes(name: str) -> None:
    for function, values in zip(PAIRS[name], (HALF_EXTREMES, [*HALF_EXTREMES[:-1], 1.9, 7.0]), strict=True):
        points = torch.tensor([s * v for v in values + JOINTS for s in (1, -1)], requires_grad=True)
        result = function(points)
        result.sum().backward()
        assert torch.isfinite(result).all()
        assert points.grad is not None
        assert torch.isfinite(points.grad).all()
        assert (points.grad >= 0).all()
    black = torch.zeros(1, requires_grad=True)
    PAIRS[name][0](black).backward()
    assert black.grad is not None
    assert black.grad > 1


@every_pair
def test_gradients_are_those_of_the_function(name: str) -> None:
    encode, decode = PAIRS[name]
    points = torch.tensor([-3.0, -0.3, 1e-3, 0.02, 0.09, 0.4, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encode, (points,))
    assert torch.autograd.gradcheck(decode, (encode(points.detach()).requires_grad_(),))


@every_pair
def test_non_finite_values_stay_in_their_place(name: str) -> None:
    for function in PAIRS[name]:
        result = function(torch.tensor([0.5, math.nan, math.inf, -math.inf]))
        assert result.isnan().tolist() == [False, True, False, False]
        if function is linear_to_pq:
            assert result[2:].tolist() == pytest.approx([1.992, -1.992], abs=1e-4)
        else:
            assert result[2:].tolist() == [math.inf, -math.inf]


def test_pq_goes_on_to_sunlight_and_decodes_any_code() -> None:
    sun = torch.tensor([65504.0, 1.6e9], dtype=torch.float64)
    torch.testing.assert_close(pq_to_linear(linear_to_pq(sun)), sun, rtol=1e-10, atol=0)
    torch.testing.assert_close(pq_to_linear(linear_to_pq(sun.float())), sun.float(), rtol=5e-4, atol=0)
    codes = torch.linspace(1.8, 5.0, 2001, dtype=torch.float64, requires_grad=True)
    light = pq_to_linear(codes)
    assert (light.diff() > 0).all()
    (slope,) = torch.autograd.grad(light.sum(), codes)
    assert slope.max() < 1e12


def test_held_slope_changes_no_value_and_bounds_the_gradient() -> None:
    base = torch.tensor([0.0, 1e-30, 1e-6, 1e-5, 1e-4, 1.0, 50.0], dtype=torch.float64, requires_grad=True)
    result = power_with_held_slope(base, 0.3, 1e-5)
    np.testing.assert_allclose(result.detach(), base.detach().numpy() ** 0.3, rtol=1e-14)
    (slope,) = torch.autograd.grad(result.sum(), base)
    expected = 0.3 * np.maximum(base.detach().numpy(), 1e-5) ** -0.7
    np.testing.assert_allclose(slope, expected, rtol=1e-12)
