from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hdr.ops.bilateral import slice_apply
from hdr.ops.guide import CurveGuide, PointwiseGuide, curve_guide, pointwise_guide


def pointwise_weights(channels: int = 3, units: int = 16, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((units, channels), (units,), (units,), (1,))
    weights = [0.4 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    weights[3] += 1
    return tuple(weight.to(dtype) for weight in weights)


def curve_weights(channels: int = 3, hinges: int = 16, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(4)
    shapes = ((channels, channels), (channels,), (channels, hinges), (channels, hinges), (channels,), ())
    weights = [0.05 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    weights[0] += torch.eye(channels)
    weights[2] += torch.arange(hinges) / hinges
    weights[3][:, 0] += 0.5
    weights[4] += 1 / channels
    return tuple(weight.to(dtype) for weight in weights)


def picture(channels: int = 3, size: tuple[int, int] = (21, 301), dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return (3 * torch.rand((2, channels, *size), generator=generator, dtype=torch.float64) - 0.5).to(dtype)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pointwise_guide_written_out(activation: str, channels: int) -> None:
    w1, b1, w2, b2 = (weight.numpy() for weight in pointwise_weights(channels, dtype=torch.float64))
    image = picture(channels, (4, 5), torch.float64)
    value = np.maximum(np.einsum("kc,nchw->nkhw", w1, image.numpy()) + b1[:, None, None], 0)
    value = np.einsum("k,nkhw->nhw", w2, value)[:, None] + b2
    expected = 1 / (1 + np.exp(-value)) if activation == "sigmoid" else (np.tanh(value) + 1) / 2
    found = pointwise_guide(image, *pointwise_weights(channels, dtype=torch.float64), activation)
    assert np.abs(found.numpy() - expected).max() < 1e-14


@pytest.mark.parametrize("channels", [1, 3])
def test_curve_guide_written_out(channels: int) -> None:
    weights = curve_weights(channels, dtype=torch.float64)
    matrix, bias, shifts, slopes, mix, mix_bias = (weight.numpy() for weight in weights)
    image = picture(channels, (4, 5), torch.float64)
    expected = np.empty((2, 1, 4, 5))
    for n, y, x in np.ndindex(2, 4, 5):
        colour = matrix @ image[n, :, y, x].numpy() + bias
        curves = (slopes * np.maximum(colour[:, None] - shifts, 0)).sum(1)
        expected[n, 0, y, x] = min(max(mix @ curves + mix_bias, 0), 1)
    found = curve_guide(image, *weights)
    assert np.abs(found.numpy() - expected).max() < 1e-14
    assert expected.std() > 0


def test_gradients_by_finite_differences() -> None:
    image = picture(3, (2, 2), torch.float64).requires_grad_()
    weights = [weight.requires_grad_() for weight in pointwise_weights(units=4, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda *tensors: pointwise_guide(*tensors, "tanh"), [image, *weights])
    weights = [weight.requires_grad_() for weight in curve_weights(hinges=3, dtype=torch.float64)]
    assert torch.autograd.gradcheck(curve_guide, [image, *weights])


def test_autocast_keeps_single_precision() -> None:
    image = picture()
    for guide in (PointwiseGuide(*pointwise_weights(), "sigmoid"), CurveGuide(*curve_weights())):
        with torch.autocast("cpu", torch.bfloat16):
            found = guide(image)
        assert found.dtype == torch.float32
        assert torch.equal(found, guide(image))


def guides(channels: int = 3, dtype: torch.dtype = torch.float32) -> list[PointwiseGuide | CurveGuide]:
    weights = pointwise_weights(channels, dtype=dtype)
    return [
        PointwiseGuide(*weights, activation="sigmoid"),
        PointwiseGuide(*weights, activation="tanh"),
        CurveGuide(*curve_weights(channels, dtype=dtype)),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_guide_inside_the_loops_equals_its_picture(kind: int, channels: int) -> None:
    guide, image = guides(channels)[kind], picture(channels)
    # One row of zeros but for the offset, and offsets that are the depth's number: the result is the guide itself.
    grid = torch.zeros((2, channels + 1, 9, 2, 2))
    grid[:, -1] = torch.arange(9)[:, None, None] / 8
    reference = guides(channels, torch.float64)[kind](image.double())
    found = slice_apply(grid, guide, image, convention="corner")
    assert (found - reference).abs().max() < 1e-6
    assert reference.std() > 0.03
    random = torch.randn((2, 2 * (channels + 1), 8, 5, 6), generator=torch.Generator().manual_seed(6))
    whole = slice_apply(random, guide, image)
    expected = slice_apply(random.double(), reference, image.double())
    assert (whole - expected).abs().max() < 1e-5 * expected.abs().max()
    rows = slice(5, 14)
    assert torch.equal(
        slice_apply(random, guide, image[:, :, rows], row_offset=5, full_height=image.shape[2]), whole[:, :, rows]
    )


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
def test_extreme_pixels_inside_the_loops(kind: int, value: float) -> None:
    guide, image = guides()[kind], picture()
    grid = torch.randn((2, 12, 8, 5, 6), generator=torch.Generator().manual_seed(6))
    expected = slice_apply(grid, guide, image)
    image[1, 2, 7, 150] = value
    found = slice_apply(grid, guide, image)
    assert found[1, :, 7, 150].isfinite().all() == np.isfinite(value)
    found[1, :, 7, 150] = expected[1, :, 7, 150]
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_function_of_the_image_equals_its_picture(
    kind: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hdr.ops.bilateral._PIXELS_PER_STRIP", 2 * 301 * 4)
    guide, image = guides(dtype=dtype)[kind], picture(dtype=dtype)
    grid = (0.3 * torch.randn((2, 12, 8, 5, 6), generator=torch.Generator().manual_seed(6))).to(dtype)
    expected = slice_apply(grid, guide(image), image)
    seen = []

    def function(rows: Tensor) -> Tensor:
        seen.append(rows.shape[2])
        return guide(rows)

    found = slice_apply(grid, function, image)
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 2**-8}[dtype]
    assert torch.allclose(found.double(), expected.double(), rtol=tolerance, atol=tolerance)
    assert max(seen) == 4
    assert sum(seen[1:]) == 21


def test_gradient_flows_through_the_guide() -> None:
    image = picture(size=(5, 40)).requires_grad_()
    grid = torch.randn((2, 12, 8, 5, 6), generator=torch.Generator().manual_seed(6))
    for weights, make in (
        (pointwise_weights(), lambda *tensors: PointwiseGuide(*tensors, activation="tanh")),
        (curve_weights(), lambda *tensors: CurveGuide(*tensors)),
    ):
        leaves = [weight.requires_grad_() for weight in weights]
        guide = make(*leaves)
        found = torch.autograd.grad(slice_apply(grid, guide, image).square().sum(), [*leaves, image])
        expected = torch.autograd.grad(slice_apply(grid, guide(image), image).square().sum(), [*leaves, image])
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)
        with torch.no_grad():
            assert not slice_apply(grid, guide, image).requires_grad


@pytest.mark.parametrize("kind", [1, 2])
def test_inside_a_compiled_function(kind: int) -> None:
    guide, image = guides()[kind], picture(size=(5, 40))
    grid = 0.3 * torch.randn((2, 12, 8, 5, 6), generator=torch.Generator().manual_seed(6))
    compiled = torch.compile(lambda *inner: slice_apply(inner[0], guide, inner[1]), backend="eager", fullgraph=True)
    with torch.no_grad():
        assert (compiled(grid, image) - slice_apply(grid, guide, image)).abs().max() < 1e-5


def test_weights_that_do_not_fit() -> None:
    w1, b1, w2, b2 = pointwise_weights()
    matrix, bias, shifts, slopes, mix, mix_bias = curve_weights()
    with pytest.raises(ValueError, match="'sigmoid' or 'tanh', got 'relu'"):
        pointwise_guide(picture(), w1, b1, w2, b2, "relu")
    with pytest.raises(ValueError, match="'sigmoid' or 'tanh', got 'relu'"):
        PointwiseGuide(w1, b1, w2, b2, "relu")
    with pytest.raises(ValueError, match="needs w1"):
        PointwiseGuide(w1, b1[1:], w2, b2, "tanh")
    with pytest.raises(ValueError, match="needs matrix"):
        CurveGuide(matrix, bias, shifts[:, 1:], slopes, mix, mix_bias)
    with pytest.raises(ValueError, match="a guide for 3 channels cannot look at"):
        slice_apply(torch.zeros(2, 8, 8, 5, 6), PointwiseGuide(w1, b1, w2, b2, "tanh"), picture(1))
