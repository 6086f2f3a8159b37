from __future__ import annotations

import numpy as np
import pytest
import torch

from hdr.losses.no_reference import colour_constancy, exposure, illumination_smoothness, spatial_consistency


def image(shape: tuple[int, ...] = (2, 3, 37, 21), seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def patch_means(grey: np.ndarray, patch: int) -> np.ndarray:
    """Means of one (H, W) plane over patches, the last ones with the pixels that are left."""
    tops, lefts = range(0, grey.shape[0], patch), range(0, grey.shape[1], patch)
    return np.array([[grey[top : top + patch, left : left + patch].mean() for left in lefts] for top in tops])


@pytest.mark.parametrize("size", [(37, 21), (32, 16), (5, 40), (1, 1)])
def test_exposure_written_out(size) -> None:
    display = image((2, 3, *size))
    expected = [np.abs(patch_means(item.mean(axis=0), 16) - 0.6).mean() for item in display.numpy()]
    assert exposure(display).item() == pytest.approx(np.mean(expected), rel=1e-12)
    assert exposure(torch.full((1, 3, *size), 0.25)).item() == pytest.approx(0.35, rel=1e-5)
    assert exposure(torch.full((1, 3, *size), 0.25), level=0.25).item() == pytest.approx(0, abs=1e-7)


def test_colour_constancy_written_out() -> None:
    display = image()
    expected = []
    for item in display.numpy():
        r, g, b = item.mean(axis=(1, 2))
        expected.append((r - g) ** 2 + (r - b) ** 2 + (g - b) ** 2)
    assert colour_constancy(display).item() == pytest.approx(np.mean(expected), rel=1e-12)
    assert colour_constancy(display[:, :1].expand(-1, 3, -1, -1)).item() == 0.0


@pytest.mark.parametrize("size", [(13, 22), (8, 8), (3, 9), (4, 4)])
def test_spatial_consistency_written_out(size) -> None:
    enhanced, display = image((2, 3, *size), 1), image((2, 3, *size), 2)
    expected = []
    for y_item, i_item in zip(enhanced.numpy(), display.numpy(), strict=True):
        y, i = patch_means(y_item.mean(axis=0), 4), patch_means(i_item.mean(axis=0), 4)
        total = 0.0
        for row, column in np.ndindex(y.shape):
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if 0 <= r < y.shape[0] and 0 <= c < y.shape[1]:
                    total += (abs(y[row, column] - y[r, c]) - abs(i[row, column] - i[r, c])) ** 2
        expected.append(total / y.size)
    assert spatial_consistency(enhanced, display).item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_spatial_consistency_ignores_an_offset_and_an_inversion() -> None:
    display = image()
    assert spatial_consistency(display + 0.3, display).item() == pytest.approx(0, abs=1e-12)
    assert spatial_consistency(1 - display, display).item() == pytest.approx(0, abs=1e-12)
    assert spatial_consistency(2 * display, display).item() > 1e-4


def test_illumination_smoothness_written_out() -> None:
    field = image((2, 24, 7, 5)) - 0.5
    values = field.numpy()
    dx = np.diff(values, axis=3)[:, :, :-1]
    dy = np.diff(values, axis=2)[..., :-1]
    assert illumination_smoothness(field).item() == pytest.approx(((np.abs(dx) + np.abs(dy)) ** 2).mean(), rel=1e-12)
    assert illumination_smoothness(torch.full((1, 3, 4, 4), 0.7)).item() == 0.0
    with pytest.raises(ValueError, match="at least 2x2"):
        illumination_smoothness(field[..., :1])


LOSSES = [exposure, colour_constancy, lambda x: spatial_consistency(x, image().to(x)), illumination_smoothness]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, None])
def test_gradients_are_finite_on_black_grey_white_and_noise(loss, level) -> None:
    display = (image().float() if level is None else torch.full((2, 3, 37, 21), level)).requires_grad_()
    value = loss(display)
    value.backward()
    assert torch.isfinite(value)
    assert display.grad is not None
    assert torch.isfinite(display.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_the_function(loss) -> None:
    display = image(seed=4).requires_grad_()
    assert torch.autograd.gradcheck(loss, (display,), fast_mode=True)


@pytest.mark.parametrize("loss", [exposure, colour_constancy, illumination_smoothness])
def test_batch_is_the_mean_over_items(loss) -> None:
    display = image((3, 3, 19, 23), 5)
    single = torch.stack([loss(item[None]) for item in display])
    torch.testing.assert_close(loss(display), single.mean(), rtol=1e-12, atol=1e-14)
