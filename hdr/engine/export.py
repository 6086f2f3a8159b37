"""``mode=export``: a portable model with a model card, checked against the original before it is handed over."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hdr.engine.evaluate import write_text
from hdr.engine.package import find_package
from hdr.engine.task import Task
from hdr.errors import UserError
from hdr.io.atomic import write_atomically

log = logging.getLogger(__name__)


def export(task: Task, networks: dict[str, nn.Module], output: Path) -> dict[str, Any]:
    """Export ``task``'s model below ``output`` with ``model_card.md``; returns what the task reported."""
    result = task.export(networks, output)
    figures = json.loads((find_package(task.config) / "metrics.json").read_text())
    write_text(output / "model_card.md", model_card(task, result, figures))
    log.info("written to %s: %s, model_card.md", output, result["file"])
    return result


def export_onnx(
    module: nn.Module,
    path: Path,
    *,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    checks: Sequence[Mapping[str, torch.Tensor]],
    tolerance: float,
    opset: int,
    overwrite: bool = False,
    reference: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Write ``module`` as ONNX and prove that onnxruntime computes the same.

    Args:
        module: in eval mode, on the CPU.
        path: the .onnx file.
        inputs: example tensors by name, in the order of ``module.forward``.
        outputs: names of what it returns.
        dynamic: input or output name -> axis -> symbol.
        checks: further inputs, of other sizes, on which both are compared.
        tolerance: largest absolute difference allowed.
        opset: of the default ONNX domain; from 18 on written by torch's present exporter, below by its older one.
        overwrite: replace an existing file.
        reference: what to compare with; the module itself if None.

    Returns:
        ``file``, ``opset``, ``bytes`` and, per check, its shapes and the largest difference.

    Raises:
        UserError: the ONNX extra is not installed, or the file exists.
        RuntimeError: the exported model differs by more than ``tolerance``; the file is not written.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError("mode=export needs ONNX: pip install 'hdr-lab[onnx]'") from error
    if path.exists() and not overwrite:
        raise UserError(f"{path} already exists; give overwrite=true to replace it, or another output=")
    with write_atomically(path) as temporary:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            # below opset 18 only the tracing exporter writes; torch announces its retirement at every call
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                str(temporary),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
                opset_version=opset,
                dynamo=opset >= 18,
            )
        onnx.checker.check_model(onnx.load(str(temporary)))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        parity = []
        for check in [inputs, *checks]:
            with torch.no_grad():
                expected = (reference or module)(*check.values())
            expected = (expected,) if isinstance(expected, torch.Tensor) else tuple(expected)
            got = session.run(list(outputs), {name: tensor.numpy() for name, tensor in check.items()})
            worst = max(float((a - torch.from_numpy(b)).abs().max()) for a, b in zip(expected, got, strict=True))
            shapes = {name: list(tensor.shape) for name, tensor in check.items()}
            parity.append({"shapes": shapes, "largest_difference": worst})
            if not worst <= tolerance:
                raise RuntimeError(
                    f"{path}: onnxruntime differs from torch by {worst:.2e} at {shapes} (allowed {tolerance:.0e})"
                )
        size = temporary.stat().st_size
    return {
        "file": path.name,
        "format": "onnx",
        "opset": opset,
        "bytes": size,
        "tolerance": tolerance,
        "parity": parity,
    }


def model_card(task: Task, result: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """What someone needs to know who gets only the exported file."""
    config = task.config
    parity = "\n".join(
        f"| {' '.join(str(shape) for shape in check['shapes'].values())} | {check['largest_difference']:.1e} |"
        for check in result["parity"]
    )
    return f"""# {config["task"]}: {result["file"]}

| what | value |
|---|---|
| format | {result["format"]}, opset {result["opset"]}, {result["bytes"] / 1e6:.2f} MB |
| input | {result.get("input", "")} |
| output | {result.get("output", "")} |
| trained as | {config["name"] if not config["checkpoint"] else config["checkpoint"]} |
| figures | {json.dumps(figures)} |
| model | `{json.dumps(config["model"])}` |

Largest difference between onnxruntime and torch, absolute, allowed {result["tolerance"]:.0e}:

| shape | difference |
|---|---|
{parity}
"""
