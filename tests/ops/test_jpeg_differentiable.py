"""JPEG as tensor operations against libjpeg's files, and its gradients against the chain without rounding."""

from __future__ import annotations

import io
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d, interpolate

from hdr.io import read_image
from hdr.ops.camera import quantise
from hdr.ops.jpeg import Subsampling, jpeg
from hdr.ops.jpeg_differentiable import _CHROMA_STEPS, _LUMA_STEPS, _scaled, jpeg_differentiable

SUBSAMPLINGS: tuple[Subsampling, ...] = get_args(Subsampling)


def picture(size: tuple[int, int], count: int = 2, seed: int = 0) -> torch.Tensor:
    """Shapes and texture in colour, 8 bits, clipped at both ends here and there."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, size[0] // 12 + 2, size[1] // 12 + 2), generator=generator)
    texture = torch.randn((count, 3, *size), generator=generator)
    return quantise(interpolate(coarse, size, mode="nearest") * 1.1 - 0.05 + 0.04 * texture)


def check_is_libjpegs(display: torch.Tensor, quality: int, subsampling: Subsampling) -> None:
    """Equal in float64; in float32 all but one value in 10 000, or one block, and those within three levels."""
    written = jpeg(display, quality, subsampling)
    exact = jpeg_differentiable(display.double(), quality, subsampling)
    assert torch.equal((exact * 255).round(), (written * 255).round().double())
    apart = ((jpeg_differentiable(display, quality, subsampling) - written) * 255).abs().round()
    assert apart.max() <= 3
    assert (apart > 0).sum() <= max(1e-4 * apart.numel(), 3 * 64)


@pytest.mark.parametrize("quality", range(1, 101))
def test_quantisation_steps_are_those_in_libjpegs_files(quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]  # row by row
    for table, steps in zip((tables[0], tables[1]), (_LUMA_STEPS, _CHROMA_STEPS), strict=True):
        found = _scaled(steps, torch.tensor(float(quality)), torch.zeros(1))
        assert found.flatten().tolist() == list(table)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [1, 10, 40, 50, 75, 90, 97, 100])
def test_areas_of_one_colour_are_exactly_libjpegs(quality: int, subsampling: Subsampling) -> None:
    """Conversion, averages, halves in coefficients, interpolation and clamps, all colours of the cube's corners."""
    generator = torch.Generator().manual_seed(quality)
    coarse = torch.randint(0, 256, (2, 3, 7, 9), generator=generator) / 255
    coarse[0, :, 0, :8] = torch.tensor([[r, g, b] for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)]).T
    display = coarse.repeat_interleave(16, -1).repeat_interleave(16, -2)
    check_is_libjpegs(display, quality, subsampling)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 4), (9, 5), (17, 16), (30, 33), (64, 96), (75, 101)])
def test_pictures_of_any_size_are_libjpegs(size: tuple[int, int], quality: int, subsampling: Subsampling) -> None:
    check_is_libjpegs(picture(size), quality, subsampling)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_photographs_are_libjpegs(shared_data: Path, subsampling: Subsampling) -> None:
    for path in sorted((shared_data / "photos-cc0").glob("*.png")):
        for quality in (10, 50, 90, 98):
            check_is_libjpegs(read_image(path).pixels[:, :251, :301], quality, subsampling)


def test_a_batch_is_its_items_each_with_its_quality() -> None:
    batch, qualities = picture((31, 23), count=3), torch.tensor([20.0, 75.0, 98.0])
    for subsampling in SUBSAMPLINGS:
        found = jpeg_differentiable(batch, qualities, subsampling)
        real = jpeg(batch, [20, 75, 98], subsampling)
        for item, quality, one, written in zip(batch, qualities, found, real, strict=True):
            assert torch.equal(jpeg_differentiable(item, quality, subsampling), one)
            assert torch.equal(jpeg(item, int(quality), subsampling), written)


def test_values_out_of_range_are_clipped_and_dtypes_kept() -> None:
    display = picture((17, 21)) * 1.6 - 0.3
    expected = jpeg_differentiable(display.clamp(0, 1), 80)
    assert torch.equal(jpeg_differentiable(display, 80), expected)
    double = jpeg_differentiable(display.double(), 80)
    assert double.dtype == torch.float64
    assert ((double - expected).abs() > 1e-6).float().mean() <= 1e-3
    half = jpeg_differentiable(display.half(), 80)
    assert torch.equal(half, jpeg_differentiable(display.half().float(), 80).half())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(jpeg_differentiable(display, 80), expected)


def test_fractional_qualities_lie_between() -> None:
    display = picture((48, 48))
    losses = [(jpeg_differentiable(display, q) - display).square().mean().item() for q in (30, 30.5, 31)]
    assert losses == sorted(losses, reverse=True)


def without_rounding(display: torch.Tensor, subsampling: Subsampling) -> torch.Tensor:
    """The chain if nothing were rounded: JFIF matrices, box averages, linear interpolation; the DCT cancels out."""
    r, g, b = display.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = torch.stack([(b - y) / 1.772, (r - y) / 1.402], 1)
    box = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}[subsampling]
    chroma = interpolate(avg_pool2d(chroma, box), display.shape[2:], mode="bilinear", align_corners=False)
    cb, cr = chroma.unbind(1)
    return torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 1)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [10.0, 90.0])
def test_gradients_are_those_without_rounding(quality: float, subsampling: Subsampling) -> None:
    display = (picture((32, 48)).double() * 0.3 + 0.35).requires_grad_()
    weights = torch.randn(display.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((out * weights).sum(), display)[0]
        for out in (jpeg_differentiable(display, quality, subsampling), without_rounding(display, subsampling))
    )
    # The constants of libjpeg's transforms have 13 bits: there and back is the identity up to about 2^-13.
    assert torch.allclose(found, expected, atol=5 * 2**-13)


@pytest.mark.parametrize("quality", [1.0, 10.0, 50.0, 100.0])
def test_gradients_are_finite_and_stop_at_clamps(quality: float) -> None:
    display = (picture((33, 41)) * 1.4 - 0.2).requires_grad_()
    plain = jpeg_differentiable(display.detach(), quality)
    found = jpeg_differentiable(display, quality)
    assert torch.equal(found, plain)
    (gradient,) = torch.autograd.grad((found - display.detach()).square().sum(), display)
    assert torch.isfinite(gradient).all()
    inside = (display > 0) & (display < 1)
    assert (gradient[inside] != 0).float().mean() > 0.9
    assert gradient[(display < 0) | (display > 1)].abs().max() == 0


def test_what_is_not_a_number_stays_near() -> None:
    display = picture((64, 64), count=2)
    expected = jpeg_differentiable(display, 90)
    display[0, 1, 20, 37] = torch.nan
    found = jpeg_differentiable(display, 90)
    near = torch.zeros((64, 64), dtype=torch.bool)
    near[16 - 1 : 32 + 1, 32 - 1 : 48 + 1] = True  # the 16x16 block, and what its averages are spread to
    assert torch.equal(found[..., ~near], expected[..., ~near])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize(
    ("quality", "subsampling"), [(0.5, "4:2:0"), (101, "4:4:4"), (50, "4:1:1"), (torch.nan, "4:2:0")]
)
def test_what_libjpeg_does_not_know_is_refused(quality: float, subsampling: Subsampling) -> None:
    with pytest.raises(ValueError, match="JPEG quality"):
        jpeg_differentiable(picture((8, 8)), quality, subsampling)


def test_real_jpeg_wants_a_quality_for_each_picture() -> None:
    with pytest.raises(ValueError, match="2 JPEG qualities for 3 pictures"):
        jpeg(picture((8, 8), count=3), [50, 60])
