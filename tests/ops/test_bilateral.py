from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from hdr.ops import _bilateral_torch
from hdr.ops.bilateral import Convention, slice_apply, slice_grid
from tests.ops import bilateral_oracle

CONVENTIONS: tuple[Convention, ...] = ("centred", "corner")


def random_inputs(
    batch: int = 2,
    outputs: int = 3,
    inputs: int = 3,
    grid: tuple[int, int, int] = (8, 5, 6),
    size: tuple[int, int] = (23, 31),
    has_offset: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Grid of normal values, guide from -0.1 to 1.1, image from 0 to 3."""
    generator = torch.Generator().manual_seed(seed)
    coefficients = outputs * (inputs + has_offset)
    return (
        torch.randn((batch, coefficients, *grid), generator=generator, dtype=torch.float64).to(dtype),
        (1.2 * torch.rand((batch, 1, *size), generator=generator, dtype=torch.float64) - 0.1).to(dtype),
        (3 * torch.rand((batch, inputs, *size), generator=generator, dtype=torch.float64)).to(dtype),
    )


def relative_difference(found: Tensor, expected: Tensor) -> float:
    if expected.numel() == 0:
        return 0.0
    return ((found.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1)).item()


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("has_offset", [True, False])
@pytest.mark.parametrize(
    ("grid", "size"),
    [((8, 5, 6), (11, 13)), ((1, 1, 1), (3, 2)), ((3, 2, 4), (1, 1)), ((5, 7, 9), (4, 1)), ((2, 3, 1), (1, 6))],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_the_written_out_formula(
    convention: Convention,
    has_offset: bool,
    grid: tuple[int, int, int],
    size: tuple[int, int],
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    tensors = random_inputs(outputs=2, inputs=3, grid=grid, size=size, has_offset=has_offset, dtype=dtype)
    expected = bilateral_oracle.slice_apply(*(tensor.double().numpy() for tensor in tensors), convention, has_offset)
    found = slice_apply(*tensors, convention=convention, has_offset=has_offset)
    assert found.dtype == dtype
    assert np.abs(found.double().numpy() - expected).max() < tolerance * max(1, np.abs(expected).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("convention", "aligned"), [("centred", False), ("corner", True)])
def test_slice_grid_equals_grid_sample_with_border(dtype: torch.dtype, convention: Convention, aligned: bool) -> None:
    grid, guide, _ = random_inputs(dtype=dtype, size=(37, 41))
    height, width = guide.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    if aligned:
        x, y = 2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1
    else:
        x, y = (2 * x + 1) / width - 1, (2 * y + 1) / height - 1
    place = torch.stack([x.expand(2, -1, -1), y.expand(2, -1, -1), 2 * guide[:, 0].double() - 1], -1)
    expected = functional.grid_sample(grid.double(), place[:, None], padding_mode="border", align_corners=aligned)
    found = slice_grid(grid, guide, convention=convention)
    assert relative_difference(found, expected[:, :, 0]) < (1e-13 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("has_offset", [True, False])
@pytest.mark.parametrize("sizes", [((3, 2, 3), (5, 4)), ((1, 2, 2), (1, 3)), ((4, 1, 1), (3, 1))])
def test_gradients_by_finite_differences(
    convention: Convention, has_offset: bool, sizes: tuple[tuple[int, int, int], tuple[int, int]]
) -> None:
    depths = sizes[0][0]
    grid, guide, image = random_inputs(
        outputs=2, inputs=2, grid=sizes[0], size=sizes[1], has_offset=has_offset, dtype=torch.float64
    )
    # well inside the cells and well beyond both ends: the op has kinks at the depths themselves
    cells = torch.arange(guide.numel()).reshape(guide.shape) % (depths + 1) - 1 + 0.2 + 0.6 * guide.clamp(0, 1)
    guide = (cells + 0.5) / depths if convention == "centred" else cells / max(depths - 1, 1)
    leaves = [tensor.requires_grad_() for tensor in (grid, guide, image)]
    assert torch.autograd.gradcheck(
        lambda *tensors: slice_apply(*tensors, convention=convention, has_offset=has_offset), leaves
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    outputs=st.integers(1, 3),
    inputs=st.integers(0, 4),
    has_offset=st.booleans(),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 40), st.one_of(st.integers(1, 70), st.integers(600, 700))),
    convention=st.sampled_from(CONVENTIONS),
    seed=st.integers(0, 1000),
)
def test_compiled_loops_equal_torch_operations(
    batch: int,
    outputs: int,
    inputs: int,
    has_offset: bool,
    grid: tuple[int, int, int],
    size: tuple[int, int],
    convention: Convention,
    seed: int,
) -> None:
    has_offset = has_offset or inputs == 0
    tensors = random_inputs(batch, outputs, inputs, grid, size, has_offset, seed=seed)
    weight = torch.randn((batch, outputs, *size), generator=torch.Generator().manual_seed(seed))
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
        out = slice_apply(*leaves, convention=convention, has_offset=has_offset)
        results.append([out, *torch.autograd.grad((out * weight).sum(), leaves)])
    for found, expected in zip(*results, strict=True):
        assert relative_difference(found, expected) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_identity_grid_gives_the_input(dtype: torch.dtype, convention: Convention) -> None:
    _, guide, image = random_inputs(dtype=dtype, size=(19, 333))
    image = 40 * image  # far above 1: nothing may clamp
    grid = torch.zeros((2, 12, 8, 5, 6), dtype=dtype)
    grid[:, [0, 5, 10]] = 1
    found = slice_apply(grid, guide, image, convention=convention)
    assert torch.allclose(found, image, rtol=1e-6, atol=0)
    assert found.max() > 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_equals_loop_over_items(dtype: torch.dtype) -> None:
    grid, guide, image = random_inputs(batch=3, dtype=dtype)
    together = slice_apply(grid, guide, image)
    for n in range(3):
        one = slice(n, n + 1)
        assert torch.equal(together[one], slice_apply(grid[one], guide[one], image[one]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_rows_in_portions_equal_the_whole(dtype: torch.dtype, convention: Convention) -> None:
    grid, guide, image = random_inputs(dtype=dtype, size=(41, 300))
    whole = slice_apply(grid, guide, image, convention=convention)
    coefficients = slice_grid(grid, guide, convention=convention)
    for first, end in ((0, 1), (1, 17), (17, 40), (40, 41)):
        rows = slice(first, end)
        portion = {"convention": convention, "row_offset": first, "full_height": 41}
        assert torch.equal(slice_apply(grid, guide[:, :, rows], image[:, :, rows], **portion), whole[:, :, rows])
        assert torch.equal(slice_grid(grid, guide[:, :, rows], **portion), coefficients[:, :, rows])


def test_portions_inside_the_torch_form_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [tensor.requires_grad_() for tensor in random_inputs(dtype=torch.float64)]
    results = []
    for size in (1 << 30, 1):
        monkeypatch.setattr(_bilateral_torch, "_COEFFICIENTS_PER_PORTION", size)
        out = slice_apply(*tensors)
        results.append([out, *torch.autograd.grad(out.square().sum(), tensors)])
    assert torch.equal(results[0][0], results[1][0])
    for found, expected in zip(*results, strict=True):
        assert relative_difference(found, expected) < 1e-13


class _LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coefficient_planes_never_exist_at_full_size(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(_bilateral_torch, "_COEFFICIENTS_PER_PORTION", 12 * 300)
    tensors = [tensor.requires_grad_() for tensor in random_inputs(batch=1, size=(200, 300), dtype=dtype)]
    with _LargestTensor() as mode:
        slice_apply(*tensors).square().sum().backward()
    assert tensors[0].grad is not None
    assert mode.largest == tensors[2].numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("needed", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_only_wanted_gradients_are_computed(dtype: torch.dtype, needed: tuple[int, int, int]) -> None:
    tensors = random_inputs(dtype=dtype)
    everything = [tensor.clone().requires_grad_() for tensor in tensors]
    slice_apply(*everything).square().sum().backward()
    some = [tensor.clone().requires_grad_(bool(need)) for tensor, need in zip(tensors, needed, strict=True)]
    out = slice_apply(*some)
    assert out.requires_grad == any(needed)
    if any(needed):
        out.square().sum().backward()
    for tensor, reference, need in zip(some, everything, needed, strict=True):
        if need:
            assert tensor.grad is not None
            assert reference.grad is not None
            assert torch.equal(tensor.grad, reference.grad)
        else:
            assert tensor.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_layout_does_not_matter(dtype: torch.dtype) -> None:
    grid, guide, image = random_inputs(dtype=dtype)
    expected = slice_apply(grid, guide, image)
    wide = torch.zeros((2, 3, 23, 62), dtype=dtype)
    wide[..., ::2] = image
    assert torch.equal(slice_apply(grid, guide, wide[..., ::2]), expected)
    assert torch.equal(slice_apply(grid, guide, image.to(memory_format=torch.channels_last)), expected)
    turned = grid.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    assert torch.equal(slice_apply(turned, guide.mT.contiguous().mT, image), expected)
    flat = guide[:, :, :1, :1].expand(-1, -1, 23, 31)
    assert torch.equal(slice_apply(grid, flat, image), slice_apply(grid, flat.contiguous(), image))
    gradient = torch.autograd.grad(slice_apply(grid, guide, image.requires_grad_()).sum(), image)[0]  # expanded ones
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_pixel_that_is_not_finite_stays_alone(dtype: torch.dtype, bad: float) -> None:
    grid, guide, image = random_inputs(dtype=dtype, size=(9, 400))
    expected = slice_apply(grid, guide, image)
    spoiled = image.clone()
    spoiled[0, 1, 4, 200] = bad
    found = slice_apply(grid, guide, spoiled)
    assert not found[0, :, 4, 200].isfinite().any()
    found[0, :, 4, 200] = expected[0, :, 4, 200]
    assert relative_difference(found, expected) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_guide_that_is_not_finite(dtype: torch.dtype) -> None:
    grid, guide, image = random_inputs(dtype=dtype, size=(9, 400))
    guide[0, 0, 4, 200] = float("nan")
    guide[0, 0, 5, 201] = float("inf")
    found = slice_apply(grid, guide, image)
    guide[0, 0, 4, 200], guide[0, 0, 5, 201] = 0.5, 1.0
    expected = slice_apply(grid, guide, image)
    assert found[0, :, 4, 200].isnan().all()
    found[0, :, 4, 200] = expected[0, :, 4, 200]
    assert relative_difference(found, expected) < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_computes_in_single(dtype: torch.dtype) -> None:
    grid, guide, image = (tensor.to(dtype) for tensor in random_inputs())
    found = slice_apply(grid, guide, image)
    assert found.dtype == dtype
    assert torch.equal(found, slice_apply(grid.float(), guide.float(), image.float()).to(dtype))
    assert slice_apply(grid, guide, image.float()).dtype == torch.float32


def test_autocast_changes_nothing() -> None:
    tensors = [tensor.requires_grad_() for tensor in random_inputs()]
    expected = slice_apply(*tensors)
    gradients = torch.autograd.grad(expected.sum(), tensors)
    for dtype in (torch.float32, torch.float64):
        given = [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]
        with torch.autocast("cpu", torch.bfloat16):
            found = slice_apply(*given)
        assert found.dtype == dtype
        assert relative_difference(found, expected) < 1e-6
        for one, other in zip(torch.autograd.grad(found.sum(), given), gradients, strict=True):
            assert relative_difference(one, other) < 1e-6


def test_inside_a_compiled_function() -> None:
    tensors = [tensor.requires_grad_() for tensor in random_inputs(size=(9, 12))]
    compiled = torch.compile(lambda *inner: 2 * slice_apply(*inner), backend="aot_eager", fullgraph=True)
    found = compiled(*tensors)
    expected = 2 * slice_apply(*tensors)
    assert relative_difference(found, expected) < 1e-5
    gradients = [torch.autograd.grad(out.square().sum(), tensors) for out in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        assert relative_difference(one, other) < 1e-5


@pytest.mark.parametrize(
    ("shapes", "keywords", "words"),
    [
        (((1, 12, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5)), {}, "expected a grid"),
        (((1, 12, 8, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {}, "expected a grid"),
        (((2, 12, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {}, "same batch size"),
        (((1, 13, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {}, "13 coefficients .* rows of 4"),
        (((1, 10, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {"has_offset": False}, "3 channels without an offset"),
        (((1, 10, 8, 4, 4), (1, 1, 5, 6), (1, 0, 5, 6)), {"has_offset": False}, "0 channels without an offset"),
        (((1, 12, 8, 4, 4), (1, 1, 6, 5), (1, 3, 5, 6)), {}, r"expected a guide \(1, 1, 5, 6\)"),
        (((1, 12, 8, 4, 4), (1, 3, 5, 6), (1, 3, 5, 6)), {}, r"expected a guide \(1, 1, 5, 6\)"),
        (((1, 12, 8, 4, 4), (1, 1, 0, 6), (1, 3, 0, 6)), {}, "is empty"),
        (((1, 12, 0, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {}, "is empty"),
        (((1, 12, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {"convention": "edge"}, "'centred' or 'corner', got 'edge'"),
        (((1, 12, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {"row_offset": -1}, "rows -1 to 4"),
        (((1, 12, 8, 4, 4), (1, 1, 5, 6), (1, 3, 5, 6)), {"row_offset": 3, "full_height": 7}, "a picture of 7 rows"),
    ],
)
def test_shapes_that_do_not_fit(shapes: tuple[Any, ...], keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        slice_apply(*(torch.zeros(shape) for shape in shapes), **keywords)


def test_guide_without_channels() -> None:
    with pytest.raises(ValueError, match=r"expected a guide \(N, 1, H, W\), got \(1, 5, 6\)"):
        slice_grid(torch.zeros(1, 12, 8, 4, 4), torch.zeros(1, 5, 6))


def test_different_devices() -> None:
    grid, guide, image = random_inputs()
    with pytest.raises(ValueError, match="grid is on meta, picture on cpu"):
        slice_apply(grid.to("meta"), guide, image)
    with pytest.raises(ValueError, match="guide is on meta, picture on cpu"):
        slice_apply(grid, guide.to("meta"), image)
