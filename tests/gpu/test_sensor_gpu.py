from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from hdr.ops.bayer import PATTERNS, Demosaicing, bin_mosaic, demosaic, mosaic
from hdr.ops.jpeg import Subsampling, jpeg
from hdr.ops.jpeg_differentiable import jpeg_differentiable
from hdr.ops.noise import NoiseModel, add_sensor_noise
from hdr.ops.sensor import capture, develop, normalise
from tests.ops.test_bayer import light
from tests.ops.test_jpeg_differentiable import picture

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

GAINS = torch.tensor([[2.0, 1.0, 1.5], [1.7, 1.0, 2.4]])
MATRIX = torch.tensor([[1.6, -0.5, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.4, 1.4]])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("method", get_args(Demosaicing))
@pytest.mark.parametrize("size", [(2, 2), (7, 10), (121, 64)])
def test_mosaics_equal_the_processors(pattern: str, method: Demosaicing, size: tuple[int, int]) -> None:
    linear = light(size).float()
    sites = mosaic(linear.cuda(), pattern)
    assert torch.equal(sites.cpu(), mosaic(linear, pattern))
    assert torch.allclose(bin_mosaic(sites, pattern).cpu(), bin_mosaic(sites.cpu(), pattern), rtol=1e-6)
    gradients = []
    for device in ("cuda", "cpu"):
        leaf = sites.detach().to(device).requires_grad_()
        out = demosaic(leaf, pattern, method)
        gradients.append((out.detach().cpu(), torch.autograd.grad(out.square().sum(), leaf)[0].cpu()))
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [(9, 7), (64, 100)])
def test_the_camera_equals_the_processors(size: tuple[int, int]) -> None:
    linear, results = (light(size) * 0.04).float(), []
    for device in ("cuda", "cpu"):
        raw = capture(
            linear.to(device),
            pattern="GRBG",
            black_level=(64.0, 65.0, 63.0, 64.0),
            white_level=4095,
            ev=torch.tensor([-1.0, 1.5], device=device),
        )
        sites = normalise(raw, (64.0, 65.0, 63.0, 64.0), 4095)
        with torch.autocast(device, torch.float16 if device == "cuda" else torch.bfloat16):
            results.append(develop(sites, pattern="GRBG", white_balance=GAINS.to(device), matrix=MATRIX.to(device)))
    assert results[0].dtype == torch.float32
    apart = (results[0].cpu() - results[1]).abs()
    assert apart.max() <= 8 / 4031  # a step of the converter, amplified by white balance and matrix
    assert (apart > 1e-5).float().mean() < 0.01


@pytest.mark.parametrize("model", get_args(NoiseModel))
@pytest.mark.parametrize(("level", "shot", "read"), [(0.02, 1e-3, 4e-6), (0.5, 4e-3, 1e-5), (0.003, 4e-3, 1e-7)])
def test_noise_has_its_mean_and_variance(level: float, shot: float, read: float, model: NoiseModel) -> None:
    linear = torch.full((1, 1, 1000, 1000), level, device="cuda")
    noisy, again = (
        add_sensor_noise(linear, shot, read, torch.Generator("cuda").manual_seed(1), model) for _ in range(2)
    )
    assert torch.equal(noisy, again)
    variance = shot * level + read
    excess = shot**3 * level / variance**2 if model == "poisson_gaussian" else 0.0
    assert noisy.double().mean().item() == pytest.approx(level, abs=5 * math.sqrt(variance / 1e6))
    assert noisy.double().var().item() == pytest.approx(variance, rel=5 * math.sqrt((2 + excess) / 1e6))


@pytest.mark.parametrize("subsampling", get_args(Subsampling))
@pytest.mark.parametrize("size", [(3, 4), (75, 101), (256, 256)])
def test_jpeg_is_libjpegs(size: tuple[int, int], subsampling: Subsampling) -> None:
    display, qualities = picture(size), torch.tensor([30.0, 92.0], device="cuda")
    written = jpeg(display, [30, 92], subsampling)
    exact = jpeg_differentiable(display.double().cuda(), qualities, subsampling)
    assert torch.equal((exact.cpu() * 255).round(), (written * 255).round().double())
    with torch.autocast("cuda", torch.float16):
        found = jpeg_differentiable(display.cuda(), qualities, subsampling)
    apart = ((found.cpu() - written) * 255).abs().round()
    assert apart.max() <= 3
    assert (apart > 0).sum() <= max(1e-4 * apart.numel(), 3 * 64)
