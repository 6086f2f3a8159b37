"""Mosaics, their crops and their binning, site by site."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdr.ops.bayer import PATTERNS, bin_mosaic, crop_pattern, mosaic, pattern_channels

SIZES = [(2, 2), (3, 5), (8, 6), (7, 10), (11, 9)]


def light(size: tuple[int, int], count: int = 2, seed: int = 0) -> torch.Tensor:
    """Values from -0.5 to 50, so that clamping anywhere would show."""
    return (
        torch.rand((count, 3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 50.5 - 0.5
    )


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", [(1, 1), *SIZES])
def test_mosaic_keeps_the_colour_of_each_site(pattern: str, size: tuple[int, int]) -> None:
    linear = light(size)
    sites = mosaic(linear, pattern)
    assert sites.shape == (2, 1, *size)
    for row in range(size[0]):
        for column in range(size[1]):
            channel = "RGB".index(pattern[2 * (row % 2) + column % 2])
            assert torch.equal(sites[:, 0, row, column], linear[:, channel, row, column])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", SIZES)
def test_binning_takes_red_mean_green_and_blue_of_each_block(pattern: str, size: tuple[int, int]) -> None:
    sites = light(size)[:, :1]
    binned = bin_mosaic(sites, pattern)
    height, width = size[0] // 2, size[1] // 2
    assert binned.shape == (2, 3, height, width)
    blocks = sites[:, 0, : 2 * height, : 2 * width].numpy().reshape(2, height, 2, width, 2).transpose(0, 1, 3, 2, 4)
    letters = np.array(list(pattern)).reshape(2, 2)
    for channel, letter in enumerate("RGB"):
        expected = blocks[..., letters == letter].mean(-1)
        np.testing.assert_allclose(binned[:, channel].numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("offset", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 3), (5, 4)])
def test_the_pattern_of_a_crop(pattern: str, offset: tuple[int, int]) -> None:
    linear, (top, left) = light((9, 8)), offset
    cropped = crop_pattern(pattern, top, left)
    assert torch.equal(mosaic(linear, pattern)[..., top:, left:], mosaic(linear[..., top:, left:], cropped))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("size", SIZES)
def test_the_pattern_of_a_flip(pattern: str, size: tuple[int, int]) -> None:
    linear, (height, width) = light(size), size
    upside_down = crop_pattern(pattern, height - 1, 0)
    assert torch.equal(mosaic(linear, pattern).flip(-2), mosaic(linear.flip(-2), upside_down))
    mirrored = crop_pattern(pattern, 0, width - 1)
    assert torch.equal(mosaic(linear, pattern).flip(-1), mosaic(linear.flip(-1), mirrored))


def test_gradients_reach_the_sites_that_were_kept() -> None:
    linear = light((3, 5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mosaic(x, "GRBG"), linear)
    (gradient,) = torch.autograd.grad(mosaic(linear, "GRBG").sum(), linear)
    assert torch.equal(gradient.sum(1), torch.ones(2, 3, 5, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: bin_mosaic(x, "BGGR"), light((5, 4))[:, :1].requires_grad_())


def test_what_is_no_mosaic_is_refused() -> None:
    with pytest.raises(ValueError, match="RGBG"):
        pattern_channels("RGBG")
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        mosaic(torch.zeros(1, 1, 4, 4), "RGGB")
    with pytest.raises(ValueError, match="at least 2 x 2"):
        bin_mosaic(torch.zeros(1, 3, 4, 4), "RGGB")
    with pytest.raises(ValueError, match="RGBG"):
        crop_pattern("RGBG", 0, 0)
