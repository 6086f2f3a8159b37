from __future__ import annotations

import warnings

import numpy as np
import pytest
import skimage.metrics
import torch

from hdr.metrics import image as metrics
from hdr.metrics.image import delta_e, mean_ev_change, psnr, ssim
from hdr.metrics.quantise import round_8bit
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

ALL = [psnr, ssim, lambda a, b: ssim(a, b, "uniform7"), delta_e, mean_ev_change]


def pair(shape: tuple[int, ...] = (3, 3, 45, 61), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images with some noise between them, float32, at different levels per item."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(*shape[:2], 6, 7, generator=generator)
    a = torch.nn.functional.interpolate(coarse, shape[2:], mode="bicubic", align_corners=False).clamp(0, 1)
    scale = torch.linspace(0.02, 0.2, shape[0]).view(-1, 1, 1, 1)
    return a, (a + scale * torch.randn(shape, generator=generator)).clamp(0, 1)


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).double().numpy()


def test_psnr_agrees_with_scikit_image() -> None:
    a, b = pair()
    expected = [
        skimage.metrics.peak_signal_noise_ratio(hwc(x), hwc(y), data_range=1) for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-9)
    np.testing.assert_allclose(psnr(a * 255, b * 255, peak=255), expected, rtol=1e-6)


def test_psnr_of_identical_images_is_one_hundred() -> None:
    a, _ = pair()
    assert psnr(a, a).tolist() == [100.0] * 3
    assert psnr(a * 8, a * 8, peak=8.0).tolist() == [100.0] * 3


@pytest.mark.parametrize(
    ("window", "settings"),
    [
        ("gaussian", {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}),
        ("uniform7", {}),
    ],
)
@pytest.mark.parametrize("size", [(45, 61), (11, 12), (130, 23)])
def test_ssim_agrees_with_scikit_image(window, settings, size) -> None:
    a, b = pair((3, 3, *size))
    a[0], b[0] = 1.0, 1.0 - 1e-3  # a flat bright pair, where cancellation is worst
    expected = [
        skimage.metrics.structural_similarity(hwc(x), hwc(y), data_range=1, channel_axis=-1, **settings)
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b, window), expected, atol=1e-9)
    np.testing.assert_allclose(ssim(a * 255, b * 255, window, peak=255), expected, atol=1e-6)


def test_ssim_of_8_bit_files_agrees_with_scikit_image_on_uint8() -> None:
    a, b = (round_8bit(x) for x in pair())
    as_bytes = [(x * 255).round().byte().permute(0, 2, 3, 1).numpy() for x in (a, b)]
    expected = [skimage.metrics.structural_similarity(x, y, channel_axis=-1) for x, y in zip(*as_bytes, strict=True)]
    np.testing.assert_allclose(ssim(a, b, "uniform7"), expected, atol=1e-6)


def test_ssim_refuses_an_image_smaller_than_its_window() -> None:
    a = torch.rand(1, 3, 10, 40)
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(a, a)
    assert ssim(a, a, "uniform7").item() == pytest.approx(1.0, abs=1e-12)


def test_delta_e_agrees_with_colour_science() -> None:
    a, b = pair()
    white = colour.XYZ_to_xy(np.array([0.9505, 1.0, 1.0890]))
    matrix = colour.models.RGB_COLOURSPACE_sRGB.matrix_RGB_to_XYZ

    def lab(image: torch.Tensor) -> np.ndarray:
        return colour.XYZ_to_Lab(colour.models.eotf_sRGB(hwc(image)) @ matrix.T, illuminant=white)

    expected = [colour.difference.delta_E_CIE2000(lab(x), lab(y)).mean() for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(delta_e(a, b), expected, rtol=1e-9)
    assert (delta_e(a, a) == 0).all()


def test_mean_ev_change_of_a_known_exposure() -> None:
    a, _ = pair()
    linear = srgb_to_linear(0.2 + 0.3 * a)
    darker, brighter = linear_to_srgb(linear / 4), linear_to_srgb(linear * 2)
    # The offset for black pixels bends the scale a little in the shadows.
    np.testing.assert_allclose(mean_ev_change(darker, brighter), 3.0, atol=0.06)
    torch.testing.assert_close(mean_ev_change(darker, brighter), -mean_ev_change(brighter, darker))
    assert (mean_ev_change(a, a) == 0).all()


def test_mean_ev_change_follows_its_formula_with_black_and_white() -> None:
    a, b = pair()
    a[0], b[0] = 0.0, 1.0
    weights = np.array([0.2126, 0.7152, 0.0722])

    def log_average(image: torch.Tensor) -> float:
        luminances = colour.models.eotf_sRGB(hwc(image)) @ weights
        return float(np.exp(np.log(luminances + 1 / 255 / 12.92).mean()))

    expected = [np.log2(log_average(y) / log_average(x)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(mean_ev_change(a, b), expected, atol=1e-12)
    assert mean_ev_change(a, b)[0].item() == pytest.approx(np.log2(255 * 12.92 + 1), abs=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_batch_equals_loop_and_strips_do_not_show(metric, monkeypatch) -> None:
    a, b = pair((3, 3, 150, 33))
    whole = metric(a, b)
    assert whole.shape == (3,)
    assert whole.dtype == torch.float64
    single = torch.cat([metric(x[None], y[None]) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(whole, single, rtol=1e-12, atol=1e-14)
    monkeypatch.setattr(metrics, "_STRIP_PIXELS", 1)
    torch.testing.assert_close(metric(a, b), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("metric", ALL)
def test_not_a_number_is_not_hidden_and_stays_in_its_image(metric) -> None:
    a, b = pair()
    a[1, 2, 20, 20] = float("nan")
    assert metric(a, b).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("metric", ALL)
def test_shapes_and_types_that_do_not_match_are_refused(metric) -> None:
    a, b = pair()
    with pytest.raises(ValueError, match="one shape"):
        metric(a, b[:1])
    with pytest.raises(ValueError, match="one shape"):
        metric(a[0], b[0])
    with pytest.raises(ValueError, match="floating-point"):
        metric((a * 255).byte(), (b * 255).byte())
