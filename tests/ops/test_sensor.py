"""Capture and development against the same steps in float64 numpy, one picture at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hdr.ops.bayer import PATTERNS, demosaic, mosaic
from hdr.ops.noise import noise_profile_of_iso
from hdr.ops.sensor import capture, develop, digitise, normalise

SIZES = [(2, 2), (5, 7), (8, 6), (9, 4)]
BLACK = (64.0, 66.0, 63.0, 65.0)
PHONE = {"full_well": 5000.0, "read_before": 2.0, "read_after": 3.0}


def light(size: tuple[int, int], count: int = 3, seed: int = 0) -> torch.Tensor:
    """From -0.1 to 1.9: some sites saturate."""
    return torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 0.1


def black_of_sites(black: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.array([[black[2 * (y % 2) + x % 2] for x in range(size[1])] for y in range(size[0])])


@pytest.mark.parametrize("size", SIZES)
def test_values_of_a_file_become_light(size: tuple[int, int]) -> None:
    samples = np.random.default_rng(0).integers(0, 4096, (3, 1, *size), dtype=np.uint16)
    whites = np.array([4095, 3840, 1023])
    blacks = np.array([BLACK, (0.0, 256.0, 0.0, 256.0), (1.5, 2.5, 3.5, 4.5)])
    found = normalise(torch.from_numpy(samples), torch.from_numpy(blacks), torch.from_numpy(whites))
    assert found.dtype == torch.float32
    for item, black, white, result in zip(samples, blacks, whites, found, strict=True):
        plane = black_of_sites(black, size)
        np.testing.assert_allclose(result[0].numpy(), (item[0] - plane) / (white - plane), rtol=1e-6)
    one = normalise(torch.from_numpy(samples), BLACK, 4095)
    assert torch.equal(one[:1], normalise(torch.from_numpy(samples[:1]), torch.tensor(BLACK), 4095))
    assert torch.allclose(normalise(torch.from_numpy(samples), 64.0, 4095), (torch.tensor(samples) - 64.0) / 4031)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_the_converter_adds_black_clips_and_rounds(bits: int) -> None:
    white = 2**bits - 1
    sites = light((9, 8))[:, :1]
    found = digitise(sites.float(), BLACK, white).double().numpy()
    plane = black_of_sites(np.array(BLACK), (9, 8))
    exact = np.clip(sites.float().double().numpy() * (white - plane) + plane, 0, white)
    assert np.array_equal(found, np.rint(found))
    assert np.abs(found - exact).max() <= 0.5 + 1e-7 * white
    assert found.max() == white
    back = normalise(torch.from_numpy(found), BLACK, white)
    recorded = np.clip(sites.numpy(), -plane / (white - plane), 1)  # the black level leaves room for some noise
    assert np.abs(back.numpy() - recorded).max() <= 0.5 / (white - max(BLACK)) + 1e-6
    assert torch.equal(digitise(back, BLACK, white), torch.from_numpy(found))


def test_each_picture_has_its_own_converter() -> None:
    sites, whites = light((5, 7))[:, :1], torch.tensor([1023.0, 4095.0, 65535.0])
    blacks = torch.tensor([[0.0] * 4, [64.0] * 4, [512.0, 510.0, 511.0, 513.0]])
    found = digitise(sites, blacks, whites)
    for i in range(3):
        assert torch.equal(found[i : i + 1], digitise(sites[i : i + 1], tuple(blacks[i].tolist()), float(whites[i])))


def test_a_straight_through_gradient_is_that_of_the_clip() -> None:
    sites = torch.tensor([-0.5, 0.0, 0.3, 0.999, 1.5], dtype=torch.float64).view(1, 1, 1, 5).requires_grad_()
    rounded = digitise(sites, 64.0, 1023)
    through = digitise(sites, 64.0, 1023, straight_through=True)
    assert torch.equal(rounded, through)
    assert torch.autograd.grad(rounded.sum(), sites)[0].abs().max() == 0
    assert torch.autograd.grad(through.sum(), sites)[0].flatten().tolist() == [0, 959, 959, 959, 0]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", SIZES)
def test_a_capture_without_noise(pattern: str, size: tuple[int, int]) -> None:
    """Exposure, colour of the site, black level, clip at the full well, rounding; per picture as one by one."""
    linear, evs, whites = light(size), torch.tensor([-2.0, 0.0, 1.5]), torch.tensor([4095.0, 1000.0, 65535.0])
    found = capture(linear, pattern=pattern, black_level=BLACK, white_level=whites, ev=evs)
    plane = black_of_sites(np.array(BLACK), size)
    letters = [["RGB".index(pattern[2 * (y % 2) + x % 2]) for x in range(size[1])] for y in range(size[0])]
    for item, ev, white, result in zip(linear.numpy(), evs.numpy(), whites.numpy(), found, strict=True):
        sites = np.take_along_axis(item * 2.0**ev, np.array(letters)[None], 0)[0]
        expected = np.clip(np.rint(sites * (white - plane) + plane), 0, white)
        assert np.abs(result[0].numpy() - expected).max() <= (0 if white < 5000 else 1)
    one = capture(linear[1:2], pattern=pattern, black_level=BLACK, white_level=1000, ev=0.0)
    assert torch.equal(one, found[1:2])


@pytest.mark.parametrize("model", ["gaussian", "poisson_gaussian"])
def test_noise_of_each_colour_in_units_of_the_white_level(model: str) -> None:
    """What a NoiseProfile says is what is measured in normalised sensor values, rounding to steps included."""
    shot, read = torch.tensor([[1e-3, 2e-3, 4e-3]]), torch.tensor([[1e-5, 4e-5, 2e-5]])
    level, white, black, size = 0.25, 4095, 256.0, 1200
    sites = capture(
        torch.full((1, 3, size, size), level),
        pattern="GRBG",
        black_level=black,
        white_level=white,
        shot=shot,
        read=read,
        model=model,  # type: ignore[arg-type]
        generator=torch.Generator().manual_seed(3),
    )
    found = normalise(sites.double(), black, white)
    colours = {0: found[..., 0::2, 1::2], 1: found[..., 0::2, 0::2], 2: found[..., 1::2, 0::2]}
    for channel, values in colours.items():
        variance = float(shot[0, channel]) * level + float(read[0, channel]) + 1 / 12 / (white - black) ** 2
        count = values.numel()
        assert values.mean().item() == pytest.approx(level, abs=5 * math.sqrt(variance / count))
        assert values.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / count))


def test_noise_is_clipped_with_the_light_and_comes_from_the_generator() -> None:
    linear, profile = light((31, 33), count=2), noise_profile_of_iso(torch.tensor([100.0, 6400.0]), **PHONE)

    def photograph(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return capture(
            linear,
            pattern="RGGB",
            black_level=64,
            white_level=1023,
            shot=profile[0],
            read=profile[1],
            generator=generator,
        )

    first = photograph(1)
    assert torch.equal(first, photograph(1))
    assert not torch.equal(first, photograph(2))
    assert first.max() == 1023
    clean = capture(linear, pattern="RGGB", black_level=64, white_level=1023)
    inside = (clean > 200) & (clean < 800)
    low, high = ((first - clean)[i][inside[i]].std().item() for i in (0, 1))
    assert high > 5 * low > 0


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("method", ["malvar", "bilinear"])
def test_a_capture_of_a_flat_colour_develops_to_it(pattern: str, method: str) -> None:
    """Camera RGB = colour / gains; white balance and matrix bring the scene's colour back, and highlights stay grey."""
    gains = torch.tensor([[2.0, 1.0, 1.5], [1.7, 1.0, 2.4]], dtype=torch.float64)
    matrix = torch.tensor([[1.6, -0.5, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.4, 1.4]], dtype=torch.float64)
    colour = torch.tensor([0.10, 0.20, 0.30], dtype=torch.float64)
    sensor = torch.linalg.solve(matrix, colour) / gains
    linear = sensor[:, :, None, None].expand(2, 3, 9, 12)
    raw = capture(linear, pattern=pattern, black_level=BLACK, white_level=65535)
    found = develop(
        normalise(raw, BLACK, 65535),
        pattern=pattern,
        white_balance=gains,
        matrix=matrix,
        method=method,  # type: ignore[arg-type]
    )
    assert torch.allclose(found, colour.view(1, 3, 1, 1), rtol=0, atol=2e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_saturation_before_white_balance_and_neutral_highlights(pattern: str) -> None:
    gains = torch.tensor([[2.0, 1.0, 1.5], [1.0, 1.2, 1.1]])
    raw = capture(torch.full((2, 3, 8, 8), 30.0), pattern=pattern, black_level=64, white_level=1023)
    full = normalise(raw, 64, 1023)
    assert torch.equal(full, torch.ones_like(full))
    tinted = develop(full, pattern=pattern, white_balance=gains, highlights="keep")
    assert torch.allclose(tinted, gains[:, :, None, None].expand(2, 3, 8, 8))
    neutral = develop(full, pattern=pattern, white_balance=gains)
    assert torch.allclose(neutral, torch.ones(2, 3, 8, 8))


def test_development_is_its_steps_and_a_batch_is_its_items() -> None:
    sites = light((7, 9))[:, :1] * 4
    gains = torch.tensor([[2.0, 1.0, 1.5], [1.2, 1.0, 3.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    matrices = torch.rand((3, 3, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = develop(sites, pattern="GBRG", white_balance=gains, matrix=matrices, highlights="keep")
    for i in range(3):
        balanced = demosaic(mosaic(gains[i].view(1, 3, 1, 1) * sites[i : i + 1], "GBRG"), "GBRG").numpy()[0]
        expected = np.einsum("ij,jhw->ihw", matrices[i].numpy(), balanced)
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=1e-12, atol=1e-12)
        one = develop(
            sites[i : i + 1],
            pattern="GBRG",
            white_balance=tuple(gains[i].tolist()),
            matrix=matrices[i],
            highlights="keep",
        )
        assert torch.equal(one[0], found[i])
    assert found.max() > 1


def test_gradients_through_the_whole_camera() -> None:
    """With steps so fine that rounding does not show in finite differences; with coarse ones they are the same."""
    linear = (light((4, 5), count=2) * 0.3 + 0.1).requires_grad_()
    ev = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    gains = torch.tensor([[1.8, 1.0, 1.4]], dtype=torch.float64, requires_grad=True)

    def camera(x: torch.Tensor, e: torch.Tensor, g: torch.Tensor, white: float = 2.0**40) -> torch.Tensor:
        raw = capture(
            x,
            pattern="BGGR",
            black_level=0.0,
            white_level=white,
            ev=e,
            shot=1e-3,
            read=1e-6,
            straight_through=True,
            generator=torch.Generator().manual_seed(1),
        )
        return develop(normalise(raw, 0.0, white), pattern="BGGR", white_balance=g, highlights="keep")

    assert torch.autograd.gradcheck(camera, (linear, ev, gains), eps=1e-5, atol=1e-4)
    fine, coarse = (
        torch.autograd.grad(camera(linear, ev, gains, white).sum(), (linear, ev)) for white in (2.0**40, 1023.0)
    )
    for a, b in zip(fine, coarse, strict=True):
        assert torch.allclose(a, b, rtol=1e-6)


def test_unknown_highlights_are_refused() -> None:
    with pytest.raises(ValueError, match="clip or keep"):
        develop(torch.zeros(1, 1, 4, 4), pattern="RGGB", white_balance=(1, 1, 1), highlights="blend")  # type: ignore[arg-type]
