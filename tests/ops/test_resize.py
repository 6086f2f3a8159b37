from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdr.ops.resize import resize_antialiased, resize_by_matrices

BOTH = pytest.mark.parametrize("resize", [resize_antialiased, resize_by_matrices])


def tent(length: int, target: int) -> np.ndarray:
    """(target, length) weights written out: a tent of the width of the reduction, at least one pixel."""
    matrix = np.zeros((target, length))
    for i in range(target):
        centre = (i + 0.5) * length / target
        for j in range(length):
            matrix[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / max(length / target, 1))
        matrix[i] /= matrix[i].sum()
    return matrix


def random_linear(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * 30


@BOTH
@pytest.mark.parametrize(
    ("source", "target"),
    [((37, 53), (8, 8)), ((5, 7), (13, 9)), ((20, 6), (7, 11)), ((1, 9), (4, 2)), ((9, 1), (1, 1))],
)
def test_values_follow_the_tent_filter_both_ways(resize, source, target) -> None:
    image = random_linear(2, 3, *source)
    expected = np.einsum("ih,nchw,jw->ncij", tent(source[0], target[0]), image.numpy(), tent(source[1], target[1]))
    np.testing.assert_allclose(resize(image, target), expected, rtol=1e-10)


@BOTH
def test_reduction_agrees_with_pillow(resize) -> None:
    plane = random_linear(91, 133, dtype=torch.float32)
    expected = np.asarray(Image.fromarray(plane.numpy()).resize((16, 32), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resize(plane[None], (32, 16))[0], expected, rtol=1e-5)


@BOTH
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_constants_stay_and_the_range_is_kept(resize, height, width, new_height, new_width) -> None:
    size = (new_height, new_width)
    assert torch.allclose(resize(torch.full((1, 2, height, width), 7.25), size), torch.tensor(7.25), rtol=1e-5)
    image = random_linear(1, 2, height, width)
    result = resize(image, size)
    assert result.shape == (1, 2, *size)
    assert image.min() - 1e-6 <= result.min() <= result.max() <= image.max() + 1e-6


@BOTH
def test_same_size_is_the_identity_and_three_dimensions_equal_a_batch_of_one(resize) -> None:
    image = random_linear(3, 3, 11, 8)
    torch.testing.assert_close(resize(image, (11, 8)), image)
    whole = resize(image, (4, 5))
    torch.testing.assert_close(torch.stack([resize(item, (4, 5)) for item in image]), whole)
    torch.testing.assert_close(resize(image.mT, (5, 4)).mT, whole)


@BOTH
def test_a_pattern_finer_than_the_target_averages_out(resize) -> None:
    stripes = torch.zeros(1, 1, 128, 128)
    stripes[..., ::2] = 1
    assert (resize(stripes, (16, 16)) - 0.5).abs().max() < 0.02


@BOTH
def test_gradient(resize) -> None:
    image = random_linear(1, 2, 7, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resize(x, (3, 4)), (image,))


def test_not_a_number_spreads_only_where_the_filter_reaches() -> None:
    image = random_linear(1, 2, 64, 64)
    image[0, 0, 3, 60] = float("nan")
    result = resize_antialiased(image, (8, 8)).isnan()
    assert result[0, 0, 0, 7]
    assert not result[0, 0, 2:].any()
    assert resize_by_matrices(image, (8, 8)).isnan()[0].all(dim=(1, 2)).tolist() == [True, False]


class Resizer(torch.nn.Module):
    def __init__(self, resize) -> None:
        super().__init__()
        self.resize = resize

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.resize(image, (8, 12))


def export(module: torch.nn.Module, path: Path, opset: int, dynamo: bool) -> None:
    dynamic = {"dynamic_shapes": {"image": {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}}}
    if not dynamo:
        dynamic = {"dynamic_axes": {"image": {2: "height", 3: "width"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.rand(1, 3, 31, 45),),
            path,
            input_names=["image"],
            opset_version=opset,
            dynamo=dynamo,
            verbose=False,
            **dynamic,
        )


@pytest.mark.parametrize(
    ("resize", "opset", "dynamo"),
    [(resize_antialiased, 18, True), (resize_by_matrices, 18, True), (resize_by_matrices, 17, False)],
)
def test_onnx_export_with_dynamic_input_size(resize, opset, dynamo, tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    export(Resizer(resize), tmp_path / "resize.onnx", opset, dynamo)
    versions = [item.version for item in onnx.load(tmp_path / "resize.onnx").opset_import if item.domain == ""]
    assert versions == [opset]
    session = onnxruntime.InferenceSession(tmp_path / "resize.onnx", providers=["CPUExecutionProvider"])
    for size in ((31, 45), (60, 26), (5, 90)):
        image = random_linear(1, 3, *size, dtype=torch.float32)
        np.testing.assert_allclose(session.run(None, {"image": image.numpy()})[0], resize(image, (8, 12)), rtol=1e-5)
