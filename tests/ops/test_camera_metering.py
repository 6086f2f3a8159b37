"""Log-average and percentile metering, and white balance, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdr.ops.camera import expose, log_average, metered_ev, white_balance

WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def scene(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.exp2(3 * torch.randn(shape, generator=generator, dtype=torch.float64))


def brightness(linear: torch.Tensor) -> np.ndarray:
    return np.tensordot(linear.movedim(1, -1).numpy(), WEIGHTS, axes=1)


def test_log_average_is_the_formula_with_and_without_a_mask() -> None:
    linear = scene(3, 3, 7, 9)
    light = brightness(linear)
    np.testing.assert_allclose(log_average(linear), np.exp(np.log(1e-6 + light).mean(axis=(1, 2))), rtol=1e-12)
    mask = torch.rand((3, 1, 7, 9), generator=torch.Generator().manual_seed(1)) < 0.3
    expected = [np.exp(np.log(1e-6 + y[m[0]]).mean()) for y, m in zip(light, mask.numpy(), strict=True)]
    np.testing.assert_allclose(log_average(linear, mask), expected, rtol=1e-12)
    shared = [np.exp(np.log(1e-6 + y[mask[0, 0].numpy()]).mean()) for y in light]
    np.testing.assert_allclose(log_average(linear, mask[:1]), shared, rtol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.37, 0.5, 0.99, 1.0])
def test_percentile_is_that_of_numpy_with_and_without_a_mask(share: float) -> None:
    linear = scene(3, 3, 7, 9, seed=2)
    mask = torch.rand((3, 1, 7, 9), generator=torch.Generator().manual_seed(1)) < 0.3
    light = brightness(linear)
    expected = -np.log2(np.quantile(light, share, axis=(1, 2)))
    np.testing.assert_allclose(metered_ev(linear, "percentile", percentile=share), expected, atol=1e-10)
    expected = [-np.log2(np.quantile(y[m[0]], share)) for y, m in zip(light, mask.numpy(), strict=True)]
    np.testing.assert_allclose(metered_ev(linear, "percentile", percentile=share, mask=mask), expected, atol=1e-10)


@pytest.mark.parametrize(("mode", "target"), [("log_average", 0.18), ("percentile", 1.0)])
def test_exposing_by_the_meter_reaches_the_target(mode, target) -> None:
    linear = scene(2, 3, 11, 13, seed=3)
    assert torch.allclose(
        metered_ev(expose(linear, metered_ev(linear, mode)), mode), torch.zeros(2).double(), atol=2e-5
    )
    light = brightness(expose(linear, metered_ev(linear, mode)))
    reached = (
        np.exp(np.log(light).mean(axis=(1, 2))) if mode == "log_average" else np.quantile(light, 0.99, axis=(1, 2))
    )
    np.testing.assert_allclose(reached, target, rtol=2e-5)
    half = metered_ev(linear, mode, target=target / 2)
    torch.testing.assert_close(half, metered_ev(linear, mode) - 1)


@pytest.mark.parametrize("mode", ["log_average", "percentile"])
def test_metering_has_right_gradients_and_treats_pictures_alone(mode) -> None:
    linear = scene(2, 3, 3, 4, seed=4)
    assert torch.autograd.gradcheck(lambda x: metered_ev(x, mode), (linear.clone().requires_grad_(),))
    single = torch.cat([metered_ev(item[None], mode) for item in linear])
    torch.testing.assert_close(metered_ev(linear, mode), single)


@pytest.mark.parametrize("mode", ["log_average", "percentile"])
def test_non_finite_pixels_do_not_count_and_extremes_survive(mode) -> None:
    linear = scene(1, 3, 4, 5, seed=5)
    broken = linear.clone()
    broken[0, 0, 0, 0], broken[0, 1, 0, 1], broken[0, 2, 0, 2] = torch.nan, torch.inf, -torch.inf
    finite = torch.ones((1, 1, 4, 5), dtype=torch.bool)
    finite[..., 0, :3] = False
    broken.requires_grad_()
    ev = metered_ev(broken, mode)
    torch.testing.assert_close(ev, metered_ev(linear, mode, mask=finite))
    ev.sum().backward()
    assert torch.isfinite(broken.grad).all()
    assert metered_ev(linear, mode, mask=torch.zeros_like(finite)).isnan().all()
    for value in (0.0, -1.0, 6e-8, 1e-45, 65504.0):
        flat = torch.full((1, 3, 1, 1), value, requires_grad=True)
        ev = metered_ev(flat, mode)
        ev.backward()
        assert torch.isfinite(ev)
        assert torch.isfinite(flat.grad).all()


def test_unknown_modes_and_percentiles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"log_average, percentile.*'spot'"):
        metered_ev(scene(1, 3, 2, 2), "spot")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="percentile"):
        metered_ev(scene(1, 3, 2, 2), "percentile", percentile=99.0)


def test_white_balance_multiplies_channels_of_all_or_each_picture() -> None:
    linear = scene(2, 3, 3, 5).float() * 65504
    gains = torch.tensor([[2.0, 1.0, 1.5], [1.2, 1.0, 3.0]])
    expected = linear * gains.view(2, 3, 1, 1)
    assert torch.equal(white_balance(linear, gains), expected)
    assert torch.equal(white_balance(linear, (2.0, 1.0, 1.5))[0], expected[0])
    assert torch.equal(white_balance(linear[0], (2.0, 1.0, 1.5)), expected[0])
    assert torch.equal(white_balance(-linear, gains), -expected)
