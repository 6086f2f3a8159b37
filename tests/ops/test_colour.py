from __future__ import annotations

import warnings

import numpy as np
import pytest
import skimage.color
import torch

from hdr.ops.colour import (
    delta_e_76,
    delta_e_2000,
    display_to_lab,
    linear_to_xyz,
    luma,
    luminance,
    xyz_to_lab,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

# Sharma, Wu and Dalal (2005), table 1: L1 a1 b1 L2 a2 b2 and the difference to four decimals.
SHARMA = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)


def random_display(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * scale


def channels_last(image: torch.Tensor) -> np.ndarray:
    return image.movedim(-3, -1).numpy()


def as_pixels(values: np.ndarray) -> torch.Tensor:
    """(K, 3) colours as a (1, 3, 1, K) tensor."""
    return torch.from_numpy(values.T.copy())[None, :, None]


def test_luminance_and_luma_weights_shape_and_range() -> None:
    image = random_display(2, 3, 5, 7, scale=40.0)
    r, g, b = image.numpy().transpose(1, 0, 2, 3)
    assert luminance(image).shape == (2, 1, 5, 7)
    np.testing.assert_allclose(luminance(image)[:, 0], 0.2126 * r + 0.7152 * g + 0.0722 * b, rtol=1e-12)
    np.testing.assert_allclose(luma(image)[:, 0], 0.2989 * r + 0.587 * g + 0.114 * b, rtol=1e-12)
    torch.testing.assert_close(luminance(image.movedim(1, -1), dim=-1).movedim(-1, 1), luminance(image))
    assert luminance(torch.ones(3, 1, 1)).item() == pytest.approx(1.0, abs=1e-6)


def test_luminance_is_y_of_xyz() -> None:
    image = random_display(3, 5, 7, scale=9.0)
    torch.testing.assert_close(linear_to_xyz(image)[1:2], luminance(image), rtol=0, atol=0)


def test_xyz_agrees_with_colour_science() -> None:
    linear = random_display(2, 3, 4, 5, scale=6.0)
    matrix = colour.models.RGB_COLOURSPACE_sRGB.matrix_RGB_to_XYZ
    np.testing.assert_allclose(channels_last(linear_to_xyz(linear)), channels_last(linear) @ matrix.T, atol=1e-12)


def test_lab_agrees_with_colour_science_also_below_zero_and_above_one() -> None:
    linear = random_display(2, 3, 6, 5, scale=4.0) - 0.1
    white = colour.XYZ_to_xy(np.array([0.9505, 1.0, 1.0890]))
    expected = colour.XYZ_to_Lab(channels_last(linear_to_xyz(linear)), illuminant=white)
    np.testing.assert_allclose(channels_last(xyz_to_lab(linear_to_xyz(linear))), expected, atol=1e-9)


def test_display_to_lab_agrees_with_scikit_image() -> None:
    display = random_display(2, 3, 9, 11)
    # skimage has the matrix with six decimals and its own white: entries differ by up to 7e-5 of a unit, times 500.
    expected = skimage.color.rgb2lab(channels_last(display))
    np.testing.assert_allclose(channels_last(display_to_lab(display)), expected, atol=0.03)


def test_greys_have_no_chroma() -> None:
    greys = torch.linspace(0, 3, 50).expand(3, 1, 50)
    lab = display_to_lab(greys)
    assert lab[1:].abs().max() < 2e-4
    assert lab[0, 0, 0] == 0
    assert display_to_lab(torch.ones(3, 1, 1))[0].item() == pytest.approx(100, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ciede2000_reproduces_the_published_table(dtype: torch.dtype) -> None:
    lab1, lab2 = as_pixels(SHARMA[:, :3]).to(dtype), as_pixels(SHARMA[:, 3:6]).to(dtype)
    assert len(SHARMA) == 34
    np.testing.assert_allclose(delta_e_2000(lab1, lab2)[0, 0, 0], SHARMA[:, 6], rtol=0, atol=6e-5)
    np.testing.assert_allclose(delta_e_2000(lab2, lab1)[0, 0, 0], SHARMA[:, 6], rtol=0, atol=6e-5)


def test_differences_agree_with_colour_science_and_scikit_image() -> None:
    generator = np.random.default_rng(1)
    lab1 = generator.uniform([0, -100, -100], [100, 100, 100], (4000, 3))
    near = lab1 + generator.normal(0, 3, lab1.shape)
    far = generator.uniform([0, -100, -100], [130, 100, 100], (4000, 3))
    lab1, lab2 = np.concatenate([lab1, lab1]), np.concatenate([near, far])
    ours = delta_e_2000(as_pixels(lab1), as_pixels(lab2))[0, 0, 0].numpy()
    np.testing.assert_allclose(ours, colour.difference.delta_E_CIE2000(lab1, lab2), rtol=1e-9)
    np.testing.assert_allclose(ours, skimage.color.deltaE_ciede2000(lab1, lab2), rtol=1e-9)
    single = delta_e_2000(as_pixels(lab1).float(), as_pixels(lab2).float())[0, 0, 0].numpy()
    np.testing.assert_allclose(single, ours, rtol=2e-4, atol=2e-4)
    euclidean = delta_e_76(as_pixels(lab1), as_pixels(lab2))[0, 0, 0].numpy()
    np.testing.assert_allclose(euclidean, np.linalg.norm(lab1 - lab2, axis=1), rtol=1e-12)


def test_greys_against_greys_and_colours_agree_with_scikit_image() -> None:
    grey = np.array([[50.0, 0, 0], [20, 0, 0], [70, 0, 0], [0, 0, 0], [100, 0, 0]])
    other = np.array([[60.0, 0, 0], [20, 15, -60], [70, -20, -90], [0, 1e-5, 0], [100, -30, 40]])
    expected = skimage.color.deltaE_ciede2000(grey, other)
    np.testing.assert_allclose(delta_e_2000(as_pixels(grey), as_pixels(other))[0, 0, 0], expected, rtol=1e-9)
    np.testing.assert_allclose(delta_e_2000(as_pixels(other), as_pixels(grey))[0, 0, 0], expected, rtol=1e-9)


@pytest.mark.parametrize("difference", [delta_e_2000, delta_e_76])
def test_equal_colours_differ_by_exactly_zero_with_zero_gradient(difference) -> None:
    lab = display_to_lab(random_display(1, 3, 8, 9).float()).requires_grad_()
    result = difference(lab, lab.detach().clone())
    result.sum().backward()
    assert (result == 0).all()
    assert lab.grad is not None
    assert (lab.grad == 0).all()


@pytest.mark.parametrize("difference", [delta_e_2000, delta_e_76])
def test_gradient_through_display_values_is_finite_on_greys_and_extremes(difference) -> None:
    levels = [0.0, 1e-20, 1e-6, 0.04045, 0.5, 1.0, 2.0]
    a = torch.tensor([[i, i, i] for i in levels for _ in levels] + [[0.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
    b = torch.tensor([[i, i, i] for _ in levels for i in levels] + [[0.5, 0.5, 0.5], [0.0, 0.0, 1.0]])
    a, b = a.T[:, None].clone().requires_grad_(), b.T[:, None].clone().requires_grad_()
    difference(display_to_lab(a), display_to_lab(b)).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert torch.isfinite(a.grad).all()
    assert torch.isfinite(b.grad).all()


def test_gradient_stays_small_for_chroma_of_any_size() -> None:
    sizes = [0.0, 1e-38, 1e-30, 1e-22, 1e-12, 1e-7, 1e-5, 1e-3, 1.0, 100.0]
    ab = torch.cartesian_prod(*[torch.tensor(sizes + [-size for size in sizes[1:]])] * 4).T
    lightness = torch.full_like(ab[0], 50)
    lab1 = torch.stack([lightness, ab[0], ab[1]])[:, None].requires_grad_()
    lab2 = torch.stack([lightness, ab[2], ab[3]])[:, None].requires_grad_()
    delta_e_2000(lab1, lab2).sum().backward()
    assert lab1.grad is not None
    assert lab2.grad is not None
    assert lab1.grad.abs().max() < 20
    assert lab2.grad.abs().max() < 20


def test_gradient_draws_a_grey_towards_the_colour() -> None:
    grey = torch.tensor([50.0, 0.0, 0.0]).view(3, 1, 1).requires_grad_()
    target = torch.tensor([50.0, 12.0, -30.0]).view(3, 1, 1)
    delta_e_2000(grey, target).sum().backward()
    assert grey.grad is not None
    assert grey.grad[1] < 0
    assert grey.grad[2] > 0


def test_gradients_are_those_of_the_function() -> None:
    a, b = random_display(3, 3, 4, seed=3).requires_grad_(), random_display(3, 3, 4, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: delta_e_2000(display_to_lab(x), display_to_lab(y)), (a, b))
    assert torch.autograd.gradcheck(lambda x, y: delta_e_76(display_to_lab(x), display_to_lab(y)), (a, b))


def test_batch_equals_loop_and_nan_stays_in_its_pixel() -> None:
    a, b = random_display(3, 3, 5, 7, seed=5), random_display(3, 3, 5, 7, seed=6)
    whole = delta_e_2000(display_to_lab(a), display_to_lab(b))
    assert whole.shape == (3, 1, 5, 7)
    single = [delta_e_2000(display_to_lab(x), display_to_lab(y)) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(whole, torch.stack(single), rtol=1e-12, atol=1e-12)
    a[1, 2, 3, 4] = float("nan")
    broken = delta_e_2000(display_to_lab(a), display_to_lab(b)).isnan()
    assert broken[1, 0, 3, 4]
    assert broken.sum() == 1
