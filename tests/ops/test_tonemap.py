"""Tone mapping operators against their formulas, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from hdr.ops.camera import expose
from hdr.ops.colour import luminance
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.fusion import exposure_fusion
from hdr.ops.tonemap import TONEMAPPERS, FilmicCurve, clip, filmic, mertens, reinhard_global, reinhard_local

WEIGHTS = np.array([0.2126, 0.7152, 0.0722])
every_operator = pytest.mark.parametrize("name", TONEMAPPERS)
curves_on_luminance = pytest.mark.parametrize("function", [reinhard_global, reinhard_local, filmic])


def scene(*shape: int, seed: int = 0, stops: float = 2.5) -> torch.Tensor:
    """Light of many stops, of colours with channels between a half and one."""
    generator = torch.Generator().manual_seed(seed)
    count, _, height, width = shape
    level = torch.exp2(stops * torch.randn((count, 1, height, width), generator=generator, dtype=torch.float64))
    return level * (0.5 + 0.5 * torch.rand(shape, generator=generator, dtype=torch.float64))


def brightness(linear: torch.Tensor) -> np.ndarray:
    return np.tensordot(linear.movedim(1, -1).numpy(), WEIGHTS, axes=1)


def display_brightness(display: torch.Tensor) -> np.ndarray:
    return brightness(srgb_to_linear(display))


def keyed(light: np.ndarray, key: float) -> np.ndarray:
    return light * key / np.exp(np.log(1e-6 + light).mean(axis=(1, 2), keepdims=True))


@pytest.mark.parametrize("key", [0.09, 0.18, 0.72])
def test_reinhard_global_maps_luminance_by_equation_4(key: float) -> None:
    linear = scene(2, 3, 9, 11)
    light = keyed(brightness(linear), key)
    white = np.maximum(light.max(axis=(1, 2), keepdims=True), 1)
    expected = light * (1 + light / white**2) / (1 + light)
    np.testing.assert_allclose(display_brightness(reinhard_global(linear, key=key)), expected, rtol=1e-7, atol=1e-9)
    burnt = np.minimum(light * (1 + light / 1.5**2) / (1 + light), 1)
    np.testing.assert_allclose(display_brightness(reinhard_global(linear, key=key, white=1.5)), burnt, atol=1e-7)


def test_reinhard_global_takes_the_brightest_pixel_to_white_and_leaves_a_flat_picture_grey() -> None:
    linear = scene(2, 3, 9, 11)
    brightest = display_brightness(reinhard_global(linear)).max(axis=(1, 2))
    np.testing.assert_allclose(brightest, 1.0, rtol=1e-6)
    flat = torch.full((1, 3, 4, 5), 3.7, dtype=torch.float64)
    np.testing.assert_allclose(display_brightness(reinhard_global(flat)), 0.18, rtol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (31, 26)])
def test_reinhard_local_maps_luminance_by_equations_5_to_9(size: tuple[int, int]) -> None:
    linear = scene(2, 3, *size, seed=1)
    light = keyed(brightness(linear), 0.18)
    # Equation 5, alpha_1 = 1 / (2 sqrt 2): exp(-r^2 / (alpha s)^2) is a Gaussian of sigma = alpha s / sqrt 2.
    scales = 1.6 ** np.arange(9)
    sigmas = scales / (2 * np.sqrt(2)) / np.sqrt(2)
    v = [scipy.ndimage.gaussian_filter(light, (0, s, s), radius=(0,) + (int(np.ceil(4 * s)),) * 2) for s in sigmas]
    adapted = np.empty_like(light)
    for index in np.ndindex(light.shape):
        chosen = 0
        for i in range(8):
            activity = (v[i][index] - v[i + 1][index]) / (2**8 * 0.18 / scales[i] ** 2 + v[i][index])
            if abs(activity) >= 0.05:
                break
            chosen = i
        adapted[index] = v[chosen][index]
    expected = np.minimum(light / (1 + adapted), 1)
    np.testing.assert_allclose(display_brightness(reinhard_local(linear)), expected, rtol=1e-6, atol=1e-8)


def test_reinhard_local_keeps_detail_in_highlights_that_the_global_form_flattens() -> None:
    linear = torch.full((1, 3, 48, 96), 0.05, dtype=torch.float64)
    fine = 1 + 0.3 * torch.sin(torch.arange(48, dtype=torch.float64) * 1.5)
    linear[..., 48:] = 60.0 * fine
    deviations = [display_brightness(f(linear))[0, :, 60:84].std() for f in (reinhard_global, reinhard_local)]
    assert deviations[1] > 1.5 * deviations[0]


@pytest.mark.parametrize("curve", [FilmicCurve(), FilmicCurve(white=6.0, exposure=1.0, toe_numerator=0.01)])
def test_filmic_is_the_published_curve_on_luminance(curve: FilmicCurve) -> None:
    a, b, c, d, e, f, white, exposure = curve

    def by_hand(x: np.ndarray | float) -> np.ndarray | float:
        return (x * (a * x + c * b) + d * e) / (x * (a * x + b) + d * f) - e / f

    linear = scene(2, 3, 9, 11)
    expected = np.minimum(by_hand(brightness(linear) * exposure) / by_hand(white), 1)
    np.testing.assert_allclose(display_brightness(filmic(linear, curve)), expected, rtol=1e-6, atol=1e-9)


def test_filmic_has_the_values_of_its_author_for_greys() -> None:
    greys = torch.tensor([0.0, 0.18, 1.0, 5.6, 100.0], dtype=torch.float64).expand(1, 3, 1, 5)
    np.testing.assert_allclose(srgb_to_linear(filmic(greys))[0, 0, 0], [0.0, 0.12834, 0.49290, 1.0, 1.0], atol=2e-5)


def test_mertens_fuses_the_clipped_exposures() -> None:
    linear = scene(2, 3, 17, 23).float()
    evs = (-3.0, 0.0, 2.0)
    stack = torch.stack([linear_to_srgb((linear * 2**ev).clamp(0, 1)) for ev in evs], dim=1)
    torch.testing.assert_close(mertens(linear, evs), exposure_fusion(stack, "robust").clamp(0, 1))


def test_clip_is_srgb_of_what_fits() -> None:
    linear = torch.tensor([-2.0, 0.0, 0.5, 1.0, 65504.0]).expand(1, 3, 1, 5)
    assert clip(linear)[0, 0, 0].tolist() == pytest.approx([0.0, 0.0, 0.735357, 1.0, 1.0], abs=1e-6)


@curves_on_luminance
def test_channel_ratios_are_kept_where_colours_fit(function) -> None:
    linear = scene(1, 3, 9, 11)
    result = srgb_to_linear(function(linear))
    fits = (result.amax(dim=1) < 0.999)[0]
    assert fits.sum() > 50
    ratios = (result / luminance(result))[0][:, fits], (linear / luminance(linear))[0][:, fits]
    torch.testing.assert_close(*ratios, rtol=1e-6, atol=1e-7)


@curves_on_luminance
def test_colours_that_do_not_fit_keep_luminance_and_hue_and_lose_saturation(function) -> None:
    colours = torch.tensor([[0.0, 0.0, 4.0], [3.0, 0.1, 0.1], [1.0, -0.1, 0.2], [0.2, 0.2, 0.2]], dtype=torch.float64)
    linear = colours.T[None, :, None]
    result = srgb_to_linear(function(linear))
    assert result.min() >= 0
    assert result.max() <= 1 + 1e-12
    gain = luminance(result) / luminance(linear)
    grey = luminance(result)
    wanted, found = linear * gain - grey, result - grey
    share = (wanted * found).sum(dim=1, keepdim=True) / wanted.square().sum(dim=1, keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(found, share * wanted, rtol=1e-6, atol=1e-8)  # straight towards grey
    assert (share[..., :3] < 1 - 1e-3).any()
    touches = (result.amax(dim=1) > 1 - 1e-9) | (result.amin(dim=1) < 1e-9)
    assert (touches | (share[:, 0] > 1 - 1e-9))[..., :3].all()  # no further than needed


@every_operator
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (18, 31)])
def test_display_values_in_range_batch_equals_loop_at_odd_sizes(name: str, size: tuple[int, int]) -> None:
    operator, linear = TONEMAPPERS[name], scene(3, 3, *size, seed=4, stops=5).float()
    display = operator(linear)
    assert display.shape == linear.shape
    assert display.dtype == torch.float32
    assert display.min() >= 0
    assert display.max() <= 1
    single = torch.cat([operator(item[None]) for item in linear])
    torch.testing.assert_close(display, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["reinhard_global", "reinhard_local"])
def test_operators_with_a_key_do_not_care_for_the_unit(name: str) -> None:
    linear = scene(2, 3, 12, 9, seed=5) + 0.1
    torch.testing.assert_close(TONEMAPPERS[name](expose(linear, 7.0)), TONEMAPPERS[name](linear), rtol=1e-4, atol=1e-5)


@every_operator
def test_brighter_light_is_not_darker_and_extremes_have_finite_gradients(name: str) -> None:
    values = [-65504.0, -1.0, -6e-8, 0.0, -0.0, 1e-45, 6e-8, 1e-3, 0.18, 1.0, 5.6, 70.0, 65504.0, 1e12, 1e30]
    ramp = torch.tensor(values).expand(1, 3, 1, len(values)).clone().requires_grad_()
    display = TONEMAPPERS[name](ramp)
    display.sum().backward()
    assert torch.isfinite(display).all()
    assert torch.isfinite(ramp.grad).all()
    if name in ("clip", "filmic", "reinhard_global"):
        assert (display[0, 0, 0].diff() >= -1e-6).all()
    grid = torch.cartesian_prod(*[torch.tensor([-65504.0, -0.1, 0.0, 6e-8, 1.0, 65504.0])] * 3).T[None, :, None]
    grid = grid.clone().requires_grad_()
    display = TONEMAPPERS[name](grid)
    display.sum().backward()
    assert torch.isfinite(display).all()
    assert torch.isfinite(grid.grad).all()
    for flat in (torch.zeros(2, 3, 4, 5), torch.full((1, 3, 2, 2), 65504.0)):
        flat.requires_grad_()
        TONEMAPPERS[name](flat).sum().backward()
        assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("name", ["clip", "reinhard_global", "reinhard_local", "filmic"])
def test_a_broken_pixel_stays_alone_and_infinite_light_is_white(name: str) -> None:
    linear = scene(1, 3, 9, 11, seed=6).float()
    whole = TONEMAPPERS[name](linear.clone())
    linear[0, :, 4, 5] = torch.nan
    linear[0, :, 2, 3] = torch.inf
    display = TONEMAPPERS[name](linear)
    assert display.isnan().any(dim=1).nonzero().tolist() == [[0, 4, 5]]
    assert display[0, :, 2, 3].min() > 0.999
    assert whole.isfinite().all()


@pytest.mark.parametrize("function", [reinhard_global, reinhard_local, filmic, clip, mertens])
def test_gradients_are_those_of_the_function(function) -> None:
    linear = scene(1, 3, 3, 4, seed=7, stops=1.0) * 0.3
    if function is reinhard_global:
        function = lambda x: reinhard_global(x, white=4.0)  # noqa: E731 (else the brightest pixel's part is held)
    assert torch.autograd.gradcheck(function, (linear.requires_grad_(),))
