"""``mode=export``: a selector as ONNX, and the fusion at a fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hdr.engine.export import export_onnx
from hdr.errors import UserError
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection.selector import ExportForm, Selector, SubsetSelector
from tasks.exposure_selection.subsets import all_subsets
from tasks.exposure_selection.table import TableSettings

OPSET = 17


class FusionForm(nn.Module):
    """Exposures (N, K, 3, H, W), display, to their fused picture (N, 3, H, W), clamped to [0, 1]."""

    def __init__(self, weighting: str) -> None:
        super().__init__()
        self.weighting = weighting

    def forward(self, display: Tensor) -> Tensor:
        return exposure_fusion(display, self.weighting).clamp(0, 1)


def export_selector(
    model: Selector, path: Path, settings: TableSettings, size: int, target: str, *, overwrite: bool
) -> dict[str, Any]:
    """Write a selector as ONNX; returns facts for the model card.

    Args:
        model: on the CPU, in evaluation mode.
        path: of the file.
        settings: of the table that it was trained on.
        size: side of the preview.
        target: figure that it was trained on.
        overwrite: replace the file.

    Raises:
        UserError: the model takes a whole stack, or the file is there.
    """
    if model.takes_stack:
        raise UserError("this model looks at all exposures of a scene and is no use on a camera; it is not exported")
    chance = torch.Generator().manual_seed(0)
    evs = torch.tensor([settings.evs])
    example = {"preview": torch.rand(1, 3, size, size, generator=chance), "evs": evs, "subsets": settings.subsets}
    checks, dynamic = [], {"preview": {0: "batch"}, "evs": {0: "batch"}, "values": {0: "batch"}}
    if model.in_scores:  # any ladder and any candidates; the others have fixed classes
        coarse = evs[:, ::2].repeat(2, 1)
        triples = all_subsets(coarse[0].tolist(), 3)
        previews = torch.rand(2, 3, size, size, generator=chance)
        checks = [{"preview": previews, "evs": coarse, "subsets": triples}]
        dynamic["evs"] |= {1: "exposures"}
        dynamic |= {"subsets": {0: "candidates", 1: "members"}}
        dynamic["values"] |= {1: "candidates"}
    facts = isinstance(model, SubsetSelector) and model.scalars > 0
    if isinstance(model, SubsetSelector) and facts:
        for given in (example, *checks):
            given["scalars"] = torch.full((len(given["preview"]), model.scalars), torch.nan)
            given["scalars"][:, 0] = -1.0
        dynamic["scalars"] = {0: "batch"}
    result = export_onnx(
        ExportForm(model),
        path,
        inputs=example,
        outputs=["values"],
        dynamic=dynamic,
        checks=checks,
        tolerance=1e-3,  # a thousandth of a decibel
        opset=OPSET,
        overwrite=overwrite,
    )
    return {
        **result,
        "input": (
            f"preview: float32 (batch, 3, {size}, {size}), RGB, sRGB-encoded in [0, 1]; evs: float32 (batch, "
            "exposures), the ladder in EV relative to the preview; subsets: int64 (candidates, members), indices "
            "into the ladder"
            + ("; scalars: float32 (batch, 3), log2 t, log2 (ISO / 100), log2 N^2, each / 8, NaN: unknown" * facts)
        ),
        "output": "values: float32 (batch, candidates), higher is better"
        + (f"; predicted {target}" if model.in_scores else ""),
    }


def export_fusion(size: Sequence[int], weighting: str, path: Path, *, overwrite: bool) -> dict[str, Any]:
    """Write the fusion of K exposures of H x W pixels as ONNX, for any number of scenes at once.

    Args:
        size: K, H and W; the depth of the pyramid follows from the size, so that it is fixed in the file.
        weighting: name of one of :data:`hdr.ops.fusion.PRESETS`.
        path: of the file.
        overwrite: replace it.

    Raises:
        UserError: a size that is none, or the file is there.
    """
    if len(size) != 3 or min(size) < 1:
        raise UserError(
            f"export_fusion={list(size)}: wanted are three whole numbers from 1 on, exposures, height and width, such "
            "as [2,480,640]"
        )
    exposures, height, width = size
    chance = torch.Generator().manual_seed(0)
    one, two = (torch.rand(batch, exposures, 3, height, width, generator=chance) for batch in (1, 2))
    return export_onnx(
        FusionForm(weighting),
        path,
        inputs={"display": one},
        outputs=["fused"],
        dynamic={"display": {0: "batch"}, "fused": {0: "batch"}},
        checks=[{"display": two}],
        tolerance=1e-4,
        opset=OPSET,
        overwrite=overwrite,
    )
