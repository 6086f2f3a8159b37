"""The task ``upe``: brighten underexposed photos through an estimated illumination."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hdr.data.loader import Samples
from hdr.engine.build import build
from hdr.engine.config import Plain
from hdr.engine.export import export_onnx
from hdr.engine.package import save_package
from hdr.engine.run import PACKAGE
from hdr.engine.task import Batch, EvaluationProtocol, Networks, SampleReport, Split, Stage, Task
from hdr.errors import UserError
from hdr.losses.no_reference import exposure
from hdr.metrics.image import delta_e, mean_ev_change, psnr, ssim
from tasks.upe import data, evaluation, prediction
from tasks.upe.importing import FLAVOURS, read_weights
from tasks.upe.losses import EnhancementLoss
from tasks.upe.model import Enhancer

log = logging.getLogger(__name__)

OPSET = 17  # what phone and NPU toolchains accept today


class Upe(Task):
    """Deep illumination estimation (Wang et al. 2019) on bilateral learning (Gharbi et al. 2017)."""

    monitor = "psnr"

    def __init__(self, config: Plain) -> None:
        super().__init__(config)
        self.loss = EnhancementLoss(config["loss"])
        if config["dataset"]["_target_"].endswith("unpaired_folder"):
            self.monitor, self.higher_is_better = "exposure_error", False

    def networks(self) -> dict[str, nn.Module]:
        return {"model": build_model(self.config["model"])}

    def dataset(self, split: Split, stage: Stage | None = None) -> Samples:
        return data.samples(self.config, split, whole=stage is None)

    def training_step(self, networks: Networks, batch: Batch, update: str, step: int) -> dict[str, torch.Tensor]:
        model = networks["model"]
        result = model(batch["input"])
        return self.loss(unwrapped(model), result, batch["input"], batch.get("target"))

    def validation_step(self, networks: Networks, batch: Batch, stage: Stage) -> dict[str, torch.Tensor]:
        output = networks["model"](batch["input"]).output.clamp(0, 1)
        moved = mean_ev_change(batch["input"], output)
        if "target" not in batch:
            return {"exposure_error": torch.stack([exposure(picture[None]) for picture in output]), "ev_change": moved}
        target = batch["target"]
        return {
            "psnr": psnr(output, target),
            "ssim": ssim(output, target),
            "delta_e": delta_e(output, target),
            "ev_error": mean_ev_change(target, output).abs(),
            "ev_change": moved,
        }

    def validation_pictures(self, networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
        model = unwrapped(networks["model"])
        photo = batch["input"][:4]
        result = model(photo)
        columns = [photo, result.output, model.illumination(photo, result.field)]
        if "target" in batch:
            columns.insert(2, batch["target"][:4])
        rows = torch.cat(columns, dim=3)  # one line per photo: input, result, target, illumination
        return {"pictures": torch.cat(list(rows), dim=1)[None]}

    def protocol(self) -> EvaluationProtocol:
        return evaluation.PROTOCOL

    def fit_baselines(self, samples: Samples, count: int, seed: int) -> Plain:
        return evaluation.fit_constants(samples, count, seed)

    def evaluate_sample(self, networks: Networks, sample: dict[str, Any], fitted: Plain) -> SampleReport:
        return evaluation.evaluate_sample(unwrapped(networks["model"]), sample, fitted, self.config["strength"])

    def inputs(self) -> list[Path]:
        files = super().inputs()
        self.taken = prediction.names_of(files)
        return files

    def predict_file(self, networks: Networks, path: Path, output: Path) -> dict[str, Any]:
        return prediction.predict_file(unwrapped(networks["model"]), path, output, self.config, self.taken)

    def export(self, networks: Networks, output: Path) -> dict[str, Any]:
        model = unwrapped(networks["model"]).cpu()
        example = torch.rand(1, 3, 256, 384, generator=torch.Generator().manual_seed(0))
        others = [example[:, :, :171, :301].contiguous(), example.repeat(2, 1, 3, 2)]
        result = export_onnx(
            model.export_form(self.config["strength"], opset=OPSET),
            output / "upe.onnx",
            inputs={"display": example},
            outputs=["result"],
            dynamic={name: {0: "batch", 2: "height", 3: "width"} for name in ("display", "result")},
            checks=[{"display": other} for other in others],
            tolerance=1e-4,  # a fortieth of an 8-bit step
            opset=OPSET,
            overwrite=self.config["overwrite"],
            reference=lambda display: model(display, self.config["strength"]).output,
        )
        encoded = "float32 (batch, 3, height, width), RGB, sRGB-encoded in [0, 1], any height and width"
        return {**result, "input": f"display: {encoded}", "output": f"result: {encoded}"}

    def mode_import(self, output: Path) -> Path:
        """``mode=import``: published weights (``weights``, ``flavour``) as a model package in ``output``."""
        if not self.config["weights"]:
            raise UserError(f"mode=import needs weights=<file> and flavour=<{', '.join(FLAVOURS)}>")
        options, state = read_weights(self.config["weights"], self.config["flavour"])
        model = {"_target_": "tasks.upe.model.Enhancer", **options}
        task = Upe({**self.config, "model": model, "name": self.config["flavour"]})
        package = output / PACKAGE
        if package.exists() and not self.config["overwrite"]:
            raise UserError(f"{package} already exists; give overwrite=true to replace it, or another output=")
        save_package(package, task, {"model": state}, {"imported": Path(self.config["weights"]).name})
        log.info("model package: %s", package)
        return package


def unwrapped(network: nn.Module) -> Enhancer:
    """The enhancer itself, out of wrappers for distribution and compilation."""
    for name in ("module", "_orig_mod"):
        network = getattr(network, name, network)
    assert isinstance(network, Enhancer)
    return network


def build_model(node: Plain) -> Enhancer:
    """The enhancer that a model node describes, with fresh weights."""
    model: Enhancer = build(without_defaults(node))
    return model


def without_defaults(node: Plain) -> Plain:
    """A model node without the keys that are null, which stand for the class's own default."""
    cleaned: Plain = {}
    for key, value in node.items():
        if isinstance(value, dict):
            cleaned[key] = without_defaults(value)
        elif value is not None:
            cleaned[key] = value
    return cleaned
