"""JPEG against Pillow's encoder and decoder."""

from __future__ import annotations

import io
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from hdr.ops.jpeg import Subsampling, jpeg


def picture(size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    coarse = torch.rand((1, 3, 9, 8), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)[0]


def through_pillow(display: torch.Tensor, quality: int, subsampling: str) -> torch.Tensor:
    pixels = np.rint(display.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("subsampling", get_args(Subsampling))
@pytest.mark.parametrize(("quality", "size"), [(10, (33, 47)), (75, (64, 96)), (95, (1, 1)), (100, (17, 16))])
def test_jpeg_is_what_pillow_writes_and_reads(quality: int, size: tuple[int, int], subsampling: Subsampling) -> None:
    display = picture(size)
    assert torch.equal(jpeg(display, quality, subsampling), through_pillow(display, quality, subsampling))


def test_a_batch_is_its_items_and_out_of_range_values_are_clipped() -> None:
    batch = torch.stack([picture((31, 23), seed) * 1.4 - 0.2 for seed in range(3)])
    written = jpeg(batch, 80, "4:2:2")
    assert written.shape == batch.shape
    assert torch.equal(written, torch.stack([jpeg(item.clamp(0, 1), 80, "4:2:2") for item in batch]))


@pytest.mark.parametrize(("quality", "subsampling"), [(0, "4:2:0"), (101, "4:4:4"), (50, "4:1:1")])
def test_jpeg_refuses_what_libjpeg_does_not_know(quality: int, subsampling: Subsampling) -> None:
    with pytest.raises(ValueError, match="JPEG quality"):
        jpeg(picture((8, 8)), quality, subsampling)
