from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hdr.ops.bilateral import Convention, slice_apply, slice_apply_atlas
from tests.ops.test_bilateral import CONVENTIONS, random_inputs, relative_difference


class _Atlas(nn.Module):
    def __init__(self, convention: Convention) -> None:
        super().__init__()
        self.convention = convention

    def forward(self, grid: Tensor, guide: Tensor, image: Tensor) -> Tensor:
        return slice_apply_atlas(grid, guide, image, convention=self.convention)


def inputs_like_a_network(batch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """A grid of the size in use, spread about the identity as widely as trained ones are."""
    grid, guide, image = random_inputs(batch, grid=(8, 16, 16), size=size)
    grid *= 0.1
    grid[:, [0, 5, 10]] += 1
    return grid, guide, image / 3


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("has_offset", [True, False])
@pytest.mark.parametrize("grid", [(8, 5, 6), (1, 1, 1), (3, 2, 4), (5, 7, 1)])
@pytest.mark.parametrize("size", [(23, 31), (1, 1), (1, 9), (64, 2)])
def test_equals_the_op(
    convention: Convention, has_offset: bool, grid: tuple[int, int, int], size: tuple[int, int]
) -> None:
    # In float64, where the coordinates of the flat picture are exact: any other difference would be an error.
    tensors = random_inputs(grid=grid, size=size, has_offset=has_offset, dtype=torch.float64)
    found = slice_apply_atlas(*tensors, convention=convention, has_offset=has_offset)
    assert relative_difference(found, slice_apply(*tensors, convention=convention, has_offset=has_offset)) < 1e-6


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_single_precision_is_close_enough(convention: Convention) -> None:
    tensors = inputs_like_a_network(2, (300, 400))
    found = slice_apply_atlas(*tensors, convention=convention)
    expected = slice_apply(*(tensor.double() for tensor in tensors), convention=convention)
    assert (found - expected).abs().max() < 1e-5


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="13 coefficients"):
        slice_apply_atlas(torch.zeros(1, 13, 8, 4, 4), torch.zeros(1, 1, 5, 6), torch.zeros(1, 3, 5, 6))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter's own, about its internals
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_exported_graph_runs_at_other_sizes(convention: Convention, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "atlas.onnx"
    batch, height, width = (torch.export.Dim(name, min=1) for name in ("batch", "height", "width"))
    picture = {0: batch, 2: height, 3: width}
    torch.onnx.export(
        _Atlas(convention).eval(),
        inputs_like_a_network(1, (40, 56)),
        path,
        input_names=["grid", "guide", "image"],
        output_names=["affine"],
        opset_version=17,
        dynamo=True,
        dynamic_shapes=({0: batch}, picture, picture),
        external_data=False,
        verbose=False,
    )
    model = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    samples = [node for node in model.graph.node if node.op_type == "GridSample"]
    assert [ranks[node.input[0]] for node in samples] == [4, 4]
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for items, size in ((1, (33, 71)), (2, (128, 96)), (1, (1, 50)), (1, (517, 3))):
        tensors = inputs_like_a_network(items, size)
        (found,) = session.run(None, dict(zip(["grid", "guide", "image"], (t.numpy() for t in tensors), strict=True)))
        assert (torch.from_numpy(found) - slice_apply(*tensors, convention=convention)).abs().max() < 1e-5
