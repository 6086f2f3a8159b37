from __future__ import annotations

import pytest
import torch

from hdr.ops import _bilateral_torch
from hdr.ops.bilateral import Convention, slice_apply, slice_apply_atlas, slice_grid
from hdr.ops.guide import CurveGuide, PointwiseGuide
from tests.ops.test_bilateral import CONVENTIONS, random_inputs, relative_difference
from tests.ops.test_guide import curve_weights, pointwise_weights

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("has_offset", [True, False])
@pytest.mark.parametrize(
    ("grid", "size"), [((8, 16, 16), (123, 301)), ((1, 1, 1), (3, 2)), ((3, 2, 4), (1, 1)), ((5, 7, 9), (1, 40))]
)
def test_equals_the_processor(
    convention: Convention, has_offset: bool, grid: tuple[int, int, int], size: tuple[int, int]
) -> None:
    tensors = random_inputs(grid=grid, size=size, has_offset=has_offset)
    results = []
    for device, dtype in (("cuda", torch.float32), ("cpu", torch.float64)):
        leaves = [tensor.to(device, dtype).requires_grad_() for tensor in tensors]
        out = slice_apply(*leaves, convention=convention, has_offset=has_offset)
        results.append([tensor.cpu() for tensor in (out, *torch.autograd.grad(out.square().sum(), leaves))])
    for found, expected in zip(*results, strict=True):
        assert relative_difference(found, expected) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(dtype: torch.dtype) -> None:
    tensors = [tensor.cuda() for tensor in random_inputs()]
    expected = slice_apply(*tensors)
    with torch.autocast("cuda", dtype):
        assert torch.equal(slice_apply(*tensors), expected)
    half = [tensor.to(dtype) for tensor in tensors]
    assert torch.equal(slice_apply(*half), slice_apply(*(tensor.float() for tensor in half)).to(dtype))


def test_not_a_number_in_the_guide_stays_alone() -> None:
    grid, guide, image = (tensor.cuda() for tensor in random_inputs())
    expected = slice_apply(grid, guide, image)
    guide[1, 0, 3, 4] = float("nan")
    found = slice_apply(grid, guide, image)
    assert found[1, :, 3, 4].isnan().all()
    found[1, :, 3, 4] = expected[1, :, 3, 4]
    assert torch.equal(found, expected)


def test_guides_and_the_exported_form() -> None:
    grid, _, image = (tensor.cuda() for tensor in random_inputs())
    grid *= 0.1
    for guide in (
        PointwiseGuide(*(weight.cuda() for weight in pointwise_weights()), activation="tanh"),
        CurveGuide(*(weight.cuda() for weight in curve_weights())),
    ):
        expected = slice_apply(grid, guide(image), image)
        assert torch.allclose(slice_apply(grid, guide, image), expected, atol=1e-6)
        assert torch.allclose(slice_apply_atlas(grid, guide(image), image), expected, atol=1e-5)


def test_memory_is_bounded_by_a_portion() -> None:
    grid, guide, image = (tensor.cuda() for tensor in random_inputs(batch=1, size=(3000, 4000)))
    torch.cuda.reset_peak_memory_stats()
    start = torch.cuda.memory_allocated()
    slice_apply(grid, guide, image)
    portion = 4 * _bilateral_torch._COEFFICIENTS_PER_PORTION
    assert torch.cuda.max_memory_allocated() - start < image.nbytes + 16 * portion
    assert slice_grid(grid, guide[:, :, :8]).shape == (1, 12, 8, 4000)
