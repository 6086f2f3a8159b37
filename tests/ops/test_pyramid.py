from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hdr.ops.pyramid import (
    collapse,
    expand_level,
    gaussian_pyramid,
    laplacian_pyramid,
    level_count,
    reduce_level,
)

SIZES = [(1, 1), (1, 6), (2, 2), (2, 3), (3, 4), (5, 7), (17, 33), (64, 64), (65, 97), (128, 31)]


def _picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _opencv(operation: str, image: torch.Tensor, **options: object) -> np.ndarray:
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return np.atleast_3d(getattr(cv2, operation)(pixels, **options))


@pytest.mark.parametrize("size", SIZES)
def test_reduce_and_expand_are_opencvs(size: tuple[int, int]) -> None:
    image = _picture(3, *size)
    height, width = size
    half = ((height + 1) // 2, (width + 1) // 2)
    small = reduce_level(image)
    expected = _opencv("pyrDown", image).reshape(*half, 3)
    np.testing.assert_allclose(small.permute(1, 2, 0).numpy(), expected, atol=1e-6)
    large = expand_level(small, size)
    expected = _opencv("pyrUp", small, dstsize=(width, height)).reshape(height, width, 3)
    np.testing.assert_allclose(large.permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_reduce_is_the_kernel_written_out() -> None:
    signal = _picture(9).double()
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    mirrored = np.pad(signal.numpy(), 2, mode="reflect")
    expected = np.array([kernel @ mirrored[i : i + 5] for i in range(0, 9, 2)])
    # A picture that does not change along the other axis is filtered along one only.
    np.testing.assert_allclose(reduce_level(signal.expand(4, 9))[0].numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(reduce_level(signal[:, None].expand(9, 4))[:, 0].numpy(), expected, atol=1e-12)


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_laplacian_pyramid_collapses_to_the_picture(height: int, width: int) -> None:
    image = _picture(2, 3, height, width, seed=height * 41 + width) * 100
    levels = level_count(height, width)
    pyramid = laplacian_pyramid(image, levels)
    assert [tuple(level.shape[-2:]) for level in pyramid] == [
        tuple(level.shape[-2:]) for level in gaussian_pyramid(image, levels)
    ]
    assert float((collapse(pyramid) - image).abs().max()) < 1e-6 * 100 * 4


def test_levels_reach_down_to_the_shorter_side() -> None:
    for size in range(1, 5000):
        assert level_count(size, 9999) == int(np.log2(size)) + 1


def test_large_and_small_values_survive() -> None:
    image = torch.tensor([65504.0, 1e-40, -3.0, 2.0]).repeat(8, 2)[None]
    assert torch.equal(expand_level(torch.full((1, 3, 3), 65504.0), (5, 6)), torch.full((1, 5, 6), 65504.0))
    assert float(reduce_level(image).abs().max()) > 1e4
    torch.testing.assert_close(collapse(laplacian_pyramid(image, 4)), image, rtol=1e-6, atol=0.02)


def test_a_batch_is_its_items_and_gradients_are_right() -> None:
    image = _picture(3, 2, 7, 10)
    torch.testing.assert_close(reduce_level(image), torch.stack([reduce_level(item) for item in image]))
    small = image[:1, :1].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tuple(laplacian_pyramid(x, 3)), small)


def test_a_level_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="not half of 9 x 8"):
        expand_level(torch.zeros(1, 4, 4), (9, 8))
