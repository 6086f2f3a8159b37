"""Selectors as ONNX: the same values for other ladders, subsets and numbers of photos than they were traced with."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection.export import export_fusion
from tasks.exposure_selection.model import BackboneSelector, Selector
from tasks.exposure_selection.selector import ExportForm
from tasks.exposure_selection.subsets import all_subsets, ev_grid
from tests.tasks.exposure_selection.examples import GRID, ladder, picture, small


def exported(selector: Selector, opset: int, *example: Tensor) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    names = ["preview", "evs", "subsets", "scalars"][: len(example)]
    axes = {"preview": {0: "n"}, "evs": {0: "n", 1: "k"}, "subsets": {0: "s", 1: "members"}, "values": {0: "n", 1: "s"}}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of their own future
        if opset < 18:
            torch.onnx.export(
                ExportForm(selector),
                example,
                stream,  # type: ignore[arg-type]
                input_names=names,
                output_names=["values"],
                dynamic_axes={name: axes.get(name, {0: "n"}) for name in [*names, "values"]},
                opset_version=opset,
                dynamo=False,
            )
        else:
            shapes = tuple(axes.get(name, {0: "n"}) for name in names)
            program = torch.onnx.export(
                ExportForm(selector), example, input_names=names, output_names=["values"], opset_version=opset,
                dynamo=True, dynamic_shapes=shapes, verbose=False,
            )  # fmt: skip
            assert program is not None
            stream.write(program.model_proto.SerializeToString())
    return onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.slow
@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("scalars", [0, 2])
@torch.no_grad()
def test_onnx_agrees_at_other_ladders_and_subsets(opset: int, scalars: int) -> None:
    selector = small(scalars=scalars)
    facts = [torch.tensor([[float("nan"), 2.0]]).repeat(2, 1)] if scalars else []
    session = exported(selector, opset, picture(2, 3, 32, 32), ladder(GRID), all_subsets(GRID, 2), *facts)
    for grid, k, photos in ((GRID, 2, 1), (ev_grid(-2, 5, 0.5), 3, 3), ([0.0, 2.0], 1, 2)):
        display, evs, subsets = picture(photos, 3, 32, 32, seed=5), ladder(grid, photos), all_subsets(grid, k)
        given = {"preview": display, "evs": evs, "subsets": subsets}
        known = None
        if scalars:
            known = torch.tensor([[1.0, float("nan")]]).repeat(photos, 1)
            given["scalars"] = known
        found = session.run(["values"], {name: tensor.numpy() for name, tensor in given.items()})[0]
        torch.testing.assert_close(torch.from_numpy(found), selector(display, evs, known, subsets), atol=1e-4, rtol=0)


@pytest.mark.slow
@torch.no_grad()
def test_onnx_of_a_class_selector() -> None:
    selector = BackboneSelector(classes=10, backbone="squeezenet1_1", head="convolution").eval()
    display, evs, subsets = picture(2, 3, 64, 64), ladder(GRID), torch.zeros(10, 2, dtype=torch.long)
    session = exported(selector, 17, display, evs, subsets)
    given = {"preview": display, "evs": evs, "subsets": subsets}
    inputs = {name: given[name].numpy() for name in [each.name for each in session.get_inputs()]}
    found = session.run(["values"], inputs)[0]
    torch.testing.assert_close(torch.from_numpy(found), selector.logits(display), atol=1e-5, rtol=1e-5)


def test_onnx_of_the_fusion(tmp_path: Path) -> None:
    """Odd sizes, another number of scenes than it was traced with, against OpenCV's own fusion."""
    onnxruntime = pytest.importorskip("onnxruntime")
    facts = export_fusion([3, 37, 50], "opencv", tmp_path / "fusion.onnx", overwrite=False)
    assert facts["opset"] == 17
    session = onnxruntime.InferenceSession(str(tmp_path / "fusion.onnx"), providers=["CPUExecutionProvider"])
    display = torch.stack([picture(3, 3, 37, 50, seed=seed) for seed in range(3)])
    (fused,) = session.run(["fused"], {"display": display.numpy()})
    expected = exposure_fusion(display, backend="cv2").clamp(0, 1)
    torch.testing.assert_close(torch.from_numpy(fused), expected, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="already exists"):
        export_fusion([3, 37, 50], "opencv", tmp_path / "fusion.onnx", overwrite=False)
    with pytest.raises(UserError, match=r"three whole numbers from 1 on"):
        export_fusion([3, 37], "opencv", tmp_path / "other.onnx", overwrite=False)
