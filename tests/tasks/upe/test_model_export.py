"""The enhancer as ONNX: the exported graph gives the same picture at other sizes than it was traced with."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch

from hdr.errors import UserError
from tasks.upe.model import Enhancer
from tests.tasks.upe.variants import picture, variant


def _onnx_difference(enhancer: Enhancer, opset: int, strength: float = 1.0) -> float:
    onnxruntime = pytest.importorskip("onnxruntime")
    example = picture(1, 3, 48, 64)
    form = enhancer.export_form(strength, opset=opset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters warn of their own future
        if opset >= 18:
            program = torch.onnx.export(
                form, (example,), dynamo=True, opset_version=opset, dynamic_shapes=({2: "h", 3: "w"},), verbose=False
            )
            assert program is not None
            model = program.model_proto.SerializeToString()
        else:
            stream = io.BytesIO()
            axes = {"display": {2: "h", 3: "w"}}
            torch.onnx.export(
                form,
                (example,),
                stream,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=opset,
                input_names=["display"],
                dynamic_axes=axes,
            )
            model = stream.getvalue()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    differences = []
    for size in ((48, 64), (131, 87)):
        display = picture(1, 3, *size, seed=5)
        with torch.no_grad():
            expected = enhancer(display, strength).output.numpy()
        found = session.run(None, {session.get_inputs()[0].name: display.numpy()})[0]
        differences.append(float(np.abs(found - expected).max()))
    return max(differences)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "opset"),
    [("log_gain", 18), ("log_gain", 17), ("everything", 18), ("cube", 18), ("pyramid", 18), ("seed", 18)],
)
def test_exported_model_agrees_at_two_sizes(name: str, opset: int) -> None:
    enhancer = variant(name)
    if name == "seed":  # a division by next to nothing would magnify rounding
        enhancer.network.prediction.weight.data *= 0.1
    assert _onnx_difference(enhancer, opset, strength=0.8) < 1e-5


def test_export_form_is_a_copy_that_agrees() -> None:
    enhancer = variant("everything").train()
    form = enhancer.export_form()
    assert enhancer.training
    assert not enhancer.portable
    display = picture(1, 3, 21, 34)
    torch.testing.assert_close(form(display), enhancer.eval()(display).output, atol=3e-6, rtol=0)
    older = enhancer.export_form(0.0, opset=16)
    assert torch.equal(older(display), display)
    with pytest.raises(UserError, match="opset: 15"):
        enhancer.export_form(opset=15)
