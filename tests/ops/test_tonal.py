from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.optimize
import skimage.color
import torch

from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.tonal import (
    apply_affine,
    apply_gain,
    auto_levels,
    best_affine,
    best_constant_gain,
    best_gain,
    clahe,
    gamma_to_mean,
)


def display(shape: tuple[int, ...] = (3, 3, 23, 31), seed: int = 0, power: float = 2.0) -> torch.Tensor:
    """Dark images with some structure, float32."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(*shape[:2], 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, shape[2:], mode="bilinear", align_corners=False)
    return (smooth + 0.05 * torch.rand(shape, generator=generator)).clamp(0, 1) ** power


def in_8_bits(image: torch.Tensor) -> torch.Tensor:
    return (image * 255).round() / 255


def clipped_mse(result: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    return (result.double().clamp(0, 1) - target.double()).square().mean(dim=(1, 2, 3)).numpy()


@pytest.mark.parametrize(("low", "high"), [(0.005, 0.995), (0.0, 1.0), (0.1, 0.5)])
def test_auto_levels_agrees_with_numpy_quantiles(low, high) -> None:
    image = display()
    black, white = np.quantile(image.double().numpy(), [low, high], axis=(2, 3), keepdims=True)
    expected = np.clip((image.double().numpy() - black) / (white - black), 0, 1)
    np.testing.assert_allclose(auto_levels(image, low, high), expected, atol=2e-6)


def test_auto_levels_leaves_a_flat_channel_alone() -> None:
    image = display((1, 3, 9, 9))
    image[:, 1] = 0.3
    assert torch.equal(auto_levels(image)[:, 1], image[:, 1])
    assert torch.equal(auto_levels(torch.zeros(2, 3, 4, 4)), torch.zeros(2, 3, 4, 4))
    assert torch.equal(auto_levels(torch.full((1, 3, 1, 1), 0.7)), torch.full((1, 3, 1, 1), 0.7))


def test_gamma_to_mean_agrees_with_a_root_finder() -> None:
    image = display()
    result = gamma_to_mean(image, 0.5)
    for item, ours in zip(image.double().numpy(), result, strict=True):

        def excess(log_gamma: float, item: np.ndarray = item) -> float:
            r, g, b = item ** np.exp(log_gamma)
            return float((0.2989 * r + 0.587 * g + 0.114 * b).mean() - 0.5)

        gamma = np.exp(scipy.optimize.brentq(excess, -3, 3, xtol=1e-12))
        np.testing.assert_allclose(ours, item**gamma, atol=2e-5)


def test_gamma_to_mean_at_its_bounds() -> None:
    black, white = torch.zeros(1, 3, 3, 3), torch.ones(1, 3, 3, 3)
    assert torch.equal(gamma_to_mean(black, 0.5), black)
    assert torch.equal(gamma_to_mean(white, 0.5), white)
    grey = torch.full((1, 3, 3, 3), 0.1)
    # 0.9999 is the luma of white.
    assert gamma_to_mean(grey, 0.5).mean().item() == pytest.approx(0.5 / 0.9999, abs=1e-5)


def test_clahe_with_one_tile_and_no_limit_is_plain_equalisation_of_lightness() -> None:
    codes = np.random.default_rng(0).binomial(100, 0.4, (24, 32))
    lab = np.stack([codes / 2.55, np.full(codes.shape, 4.0), np.full(codes.shape, -6.0)])
    image = torch.from_numpy(skimage.color.lab2rgb(lab, channel_axis=0).astype(np.float32))
    after = skimage.color.rgb2lab(clahe(image[None], clip_limit=1e6, tiles=1)[0].double().numpy(), channel_axis=0)
    expected = np.rint(255 * np.cumsum(np.bincount(codes.ravel(), minlength=256)) / codes.size)[codes] / 2.55
    inside = (expected > 15) & (expected < 90)  # elsewhere the colour leaves the gamut and is clamped
    assert inside.mean() > 0.5
    np.testing.assert_allclose(after[0][inside], expected[inside], atol=2e-3)
    np.testing.assert_allclose(after[1:][:, inside], lab[1:][:, inside], atol=2e-3)


def test_clahe_with_tiles_agrees_with_the_8_bit_pipeline_of_opencv() -> None:
    image = in_8_bits(display((1, 3, 64, 96), power=1.0) * 0.5 + 0.2)
    as_bytes = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    lab = cv2.cvtColor(as_bytes, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (4, 4)).apply(lab[..., 0])
    expected = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(float) / 255
    difference = np.abs(clahe(image, 2.0, tiles=4)[0].permute(1, 2, 0).numpy() - expected)
    # 8-bit a* and b*: up to a few codes where rounding to Lab and back adds up.
    assert difference.mean() < 1.5 / 255
    assert difference.max() < 10 / 255


def test_clahe_raises_local_contrast_and_keeps_greys_grey() -> None:
    flat = 0.4 + 0.05 * display((1, 1, 40, 56), seed=2).expand(1, 3, -1, -1)
    result = clahe(flat)
    assert result.std() > 1.5 * flat.std()
    assert (result - result.mean(dim=1, keepdim=True)).abs().max() < 2e-3
    assert result.dtype == flat.dtype


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (9, 20)])
def test_clahe_of_tiny_images_has_their_shape(size) -> None:
    image = display((2, 3, *size))
    assert clahe(image).shape == image.shape
    assert torch.isfinite(clahe(image)).all()


def test_apply_gain_in_both_domains_does_not_clamp() -> None:
    image = display()
    gains = torch.tensor([0.5, 1.0, 7.0])
    torch.testing.assert_close(apply_gain(image, gains), torch.stack([image[0] / 2, image[1], image[2] * 7]))
    brighter = apply_gain(image, 4.0, "linear")
    torch.testing.assert_close(srgb_to_linear(brighter), 4 * srgb_to_linear(image), rtol=1e-5, atol=1e-7)
    assert apply_gain(image, gains)[2].max() > 1
    assert brighter.max() > 1


@pytest.mark.parametrize("domain", ["display", "linear"])
@pytest.mark.parametrize("rounded", [True, False])
def test_best_gain_is_as_good_as_a_fine_search(domain, rounded) -> None:
    image, target = display(), 0.9 * display(power=0.7)  # bent as no gain can bend it
    if rounded:
        image, target = in_8_bits(image), in_8_bits(target)

    def error(gain: float | torch.Tensor) -> np.ndarray:
        return clipped_mse(apply_gain(image, gain, domain), target)

    ours = error(best_gain(image, target, domain))
    candidates = 2.0 ** np.arange(-4, 6, 0.01)
    errors = np.array([error(float(gain)) for gain in candidates])
    for item, best in enumerate(errors.argmin(axis=0)):
        bounds = (candidates[best - 2], candidates[best + 2])
        found = scipy.optimize.minimize_scalar(
            lambda gain, item=item: error(gain)[item], bounds=bounds, method="bounded"
        )
        assert ours[item] <= min(found.fun, errors[best, item]) * (1 + 1e-5)


@pytest.mark.parametrize("domain", ["display", "linear"])
def test_best_gain_finds_a_gain_that_was_applied_also_with_clipping(domain) -> None:
    image = in_8_bits(display())
    gains = torch.tensor([0.21, 1.9, 6.0])
    target = apply_gain(image, gains, domain).clamp(0, 1)
    torch.testing.assert_close(best_gain(image, target, domain), gains, rtol=2e-4, atol=0)


def test_best_gain_without_clipping_is_the_closed_form() -> None:
    image, target = in_8_bits(display()) * 0.2, in_8_bits(display(seed=3)) * 0.5
    x, t = image.double(), target.double()
    expected = (x * t).sum(dim=(1, 2, 3)) / (x * x).sum(dim=(1, 2, 3))
    np.testing.assert_allclose(best_gain(image, target), expected, rtol=2e-4)


def test_best_gain_is_one_where_nothing_is_better() -> None:
    black, white, image = torch.zeros(1, 3, 4, 5), torch.ones(1, 3, 4, 5), in_8_bits(display((1, 3, 4, 5)))
    assert best_gain(black, white).item() == 1.0
    assert best_gain(white, white).item() == 1.0
    assert best_gain(image, image).item() == 1.0


def test_best_constant_gain_maximises_the_mean_psnr() -> None:
    images = [in_8_bits(display(seed=seed)) for seed in (1, 2)]
    targets = [in_8_bits(display(seed=seed, power=0.8)) for seed in (3, 4)]
    gain = best_constant_gain(iter(zip(images, targets, strict=True)))

    def mean_psnr(value: float) -> float:
        batches = zip(images, targets, strict=True)
        return float(np.mean([-10 * np.log10(clipped_mse(apply_gain(x, value), t)) for x, t in batches]))

    best = max(mean_psnr(float(2**ev)) for ev in np.arange(-4, 4, 0.01))
    assert best - 1e-3 < mean_psnr(gain) < best + 1e-3
    # Not the same as the gain of least mean error, which follows the worst images.
    assert mean_psnr(gain) > mean_psnr(1.0)


def test_best_constant_gain_of_one_image_is_its_own_within_a_step() -> None:
    image = in_8_bits(display((1, 3, 15, 15)))
    target = (image * 1.8).clamp(0, 1)
    assert abs(np.log2(best_constant_gain([(image, target)]) / 1.8)) <= 1 / 64 + 1e-6
    assert best_constant_gain([(image, image)]) == 1.0
    with pytest.raises(ValueError, match="at least one pair"):
        best_constant_gain([])


def test_best_affine_agrees_with_numpy_least_squares() -> None:
    image, target = display((3, 3, 70, 11)), display((3, 3, 70, 11), seed=1, power=0.6)
    matrices = best_affine(image, target)
    assert matrices.shape == (3, 3, 4)
    for item, wanted, ours in zip(image.double().numpy(), target.double().numpy(), matrices, strict=True):
        pixels = np.concatenate([item.reshape(3, -1), np.ones((1, item[0].size))]).T
        solution = np.linalg.lstsq(pixels, wanted.reshape(3, -1).T, rcond=None)[0]
        np.testing.assert_allclose(ours, solution.T, rtol=1e-4, atol=1e-5)


def test_best_affine_recovers_a_matrix_and_beats_every_gain() -> None:
    image = display()
    matrix = torch.tensor([[1.2, -0.1, 0.0, 0.05], [0.1, 0.9, 0.2, -0.02], [0.0, 0.3, 1.5, 0.1]]).expand(3, 3, 4)
    torch.testing.assert_close(best_affine(image, apply_affine(image, matrix)), matrix, rtol=1e-4, atol=1e-5)
    target = display(seed=5, power=0.5)
    affine = clipped_mse(apply_affine(image, best_affine(image, target)), target)
    assert (affine <= clipped_mse(apply_gain(image, best_gain(image, target)), target)).all()


def test_best_affine_of_greys_still_fits_best() -> None:
    grey, target = display((1, 1, 20, 20)).expand(1, 3, 20, 20), display((1, 3, 20, 20), seed=6)
    matrix = best_affine(grey, target)
    torch.testing.assert_close(matrix[..., :3], matrix[..., :3].mean(dim=-1, keepdim=True).expand(-1, -1, 3))
    pixels = np.stack([grey[0, 0].double().numpy().ravel(), np.ones(400)]).T
    residual = np.linalg.lstsq(pixels, target[0].double().flatten(1).T.numpy(), rcond=None)[1].sum() / 1200
    assert (apply_affine(grey, matrix) - target).square().mean().item() == pytest.approx(residual, rel=1e-5)
    # Channels that differ by rounding alone must not be told apart by enormous coefficients.
    nearly_grey = grey + 1e-7 * torch.randn((1, 3, 20, 20), generator=torch.Generator().manual_seed(0)).double()
    assert best_affine(nearly_grey, target.double()).abs().max() < 10
    assert torch.isfinite(best_affine(torch.zeros_like(target), target)).all()


@pytest.mark.parametrize(
    "function",
    [
        auto_levels,
        lambda x: gamma_to_mean(x, 0.4),
        clahe,
        lambda x: best_gain(x, (1.5 * x).clamp(0, 1)),
        lambda x: best_affine(x, x.sqrt()),
        lambda x: apply_affine(x, best_affine(x, x.sqrt())),
    ],
)
def test_batch_equals_loop(function) -> None:
    image = display()
    single = torch.cat([function(item[None]) for item in image])
    torch.testing.assert_close(function(image), single, rtol=1e-5, atol=1e-6)


def test_on_a_real_photo_the_oracles_are_ordered(shared_data: Path) -> None:
    photo = cv2.imread(str(sorted((shared_data / "photos-cc0").glob("*srgb8.png"))[0]))
    photo = cv2.resize(photo, (256, 192), interpolation=cv2.INTER_AREA)
    target = torch.from_numpy(np.ascontiguousarray(photo[..., ::-1])).permute(2, 0, 1)[None] / 255
    dark = in_8_bits(linear_to_srgb(srgb_to_linear(target) * torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)))
    nothing = clipped_mse(dark, target)
    one_gain = clipped_mse(apply_gain(dark, best_gain(dark, target, "linear"), "linear"), target)
    matrix = clipped_mse(apply_affine(dark, best_affine(dark, target)), target)
    assert matrix < one_gain < 0.2 * nothing
