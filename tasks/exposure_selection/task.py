"""The task ``exposure_selection``: from one preview, which few exposures to capture and fuse."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hdr.data.cache import INDEX
from hdr.data.loader import Samples
from hdr.data.manifest import read_manifest
from hdr.engine.build import build
from hdr.engine.config import Plain
from hdr.engine.prepare import prepare_photos, records_of
from hdr.engine.run import write_json
from hdr.engine.task import Batch, EvaluationProtocol, Networks, SampleReport, Split, Stage, Task
from hdr.errors import UserError
from tasks.exposure_selection import evaluation, exposing, fusing, prediction, summary
from tasks.exposure_selection.baselines import remember
from tasks.exposure_selection.choice import Safe
from tasks.exposure_selection.data import (
    EvaluationPreviews,
    Previews,
    score_captures,
    scored,
    table_folder,
    table_settings,
)
from tasks.exposure_selection.export import export_fusion, export_selector
from tasks.exposure_selection.losses import SelectionLoss, balanced_weights
from tasks.exposure_selection.oracles import check_oracles
from tasks.exposure_selection.scoring import FIVE
from tasks.exposure_selection.selector import Selector
from tasks.exposure_selection.subsets import Constraints

log = logging.getLogger(__name__)

FITTED = "selection"  # key of the fitted constants in a package's facts
FACTS = 3  # EXIF facts beside a preview
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class ExposureSelection(Task):
    """Learned exposure selection (Segal's DHDRNet), for any ladder and any number of exposures."""

    monitor = "regret"
    higher_is_better = False
    package_keys = ("model", "table", "target", "preview")
    command_keys = ("scores", "selection", "oracles", "export_fusion")

    def __init__(self, config: Plain) -> None:
        super().__init__(config)
        self.settings = table_settings(config)
        self.loss = SelectionLoss(config["loss"])
        check_oracles(config["oracles"])
        if config["model"].get("scalars", 0) not in (0, FACTS):
            raise UserError(f"model.scalars={config['model']['scalars']}: accepted are 0, and {FACTS} for EXIF facts")
        self.memory: evaluation.Memory | None = None

    def networks(self) -> dict[str, nn.Module]:
        node = dict(self.config["model"])
        if self.config["checkpoint"]:  # all weights come from the package
            node |= {name: None for name in node if name.startswith("pretrained_")}
        return {"model": build(node)}

    def dataset(self, split: Split, stage: Stage | None = None) -> Samples:
        target, size = self.config["target"], self.config["preview"]
        if stage is None:
            few = self.config["evaluation"]["fit_samples"] if split == "train" else None
            return EvaluationPreviews(scored(self.config, split, scenes=few), target, size)
        options = self.config["augmentation"]
        jitter = options["jitter"] if split == "train" else 0.0
        stack = self.loss.needs_stack or self.takes_stack
        flip = options["flip"] and split == "train"
        rows = scored(self.config, split)
        if split == "train" and self.config["loss"]["balance"]:
            self.loss.class_weights = balanced_weights(rows.scores(target))
        return Previews(rows, target, size, jitter=jitter, flip=flip, stack=stack)

    @property
    def takes_stack(self) -> bool:
        """Whether the network sees all exposures instead of one preview."""
        return bool(self.config["model"]["_target_"].endswith("StackSelector"))

    def training_step(self, networks: Networks, batch: Batch, update: str, step: int) -> dict[str, torch.Tensor]:
        model, subsets = networks["model"], self._subsets(batch)
        values = model(self._seen(batch), batch["evs"], batch["scalars"], subsets)
        return self.loss(
            unwrapped(model),
            values,
            batch["scores"],
            batch["valid"],
            subsets=subsets,
            stack=batch.get("stack"),
            reference=batch.get("reference"),
        )

    def validation_step(self, networks: Networks, batch: Batch, stage: Stage) -> dict[str, torch.Tensor]:
        values = networks["model"](self._seen(batch), batch["evs"], batch["scalars"], self._subsets(batch)).float()
        scores = batch["scores"].masked_fill(~batch["valid"], -torch.inf)
        chosen = values.masked_fill(~batch["valid"], -torch.inf).argmax(dim=1, keepdim=True)
        best = scores.amax(dim=1)
        regret = best - scores.gather(1, chosen)[:, 0]
        figures = {"regret": regret, "top_1": (scores.argmax(dim=1) == chosen[:, 0]).float()}
        if unwrapped(networks["model"]).in_scores:
            figures["quality_error"] = (values.gather(1, chosen)[:, 0] - scores.gather(1, chosen)[:, 0]).abs()
        return figures

    def package_facts(self, networks: Networks) -> Plain:
        """The constants of the training scenes, and when to fall back on them, chosen on the validation split."""
        config = self.config
        rows = scored(config, "train")
        memory = remember(rows, config["target"], config["preview"], None, config["seed"])
        fitted = evaluation.fit(memory, self.settings)
        samples = Previews(scored(config, "val"), config["target"], config["preview"])
        model = unwrapped(networks["model"])
        return {FITTED: evaluation.fit_threshold(model, samples, self.settings, fitted, None, config["seed"])}

    def protocol(self) -> EvaluationProtocol:
        return evaluation.protocol(self.config["target"], self.settings)

    def fit_baselines(self, samples: Samples, count: int, seed: int) -> Plain:
        """The constants that came with the model, or those of the training split, whose scenes neighbours come from."""
        assert isinstance(samples, Previews)
        self.memory = remember(samples.rows, self.config["target"], self.config["preview"], count, seed)
        return self.facts.get(FITTED) or evaluation.fit(self.memory, self.settings)

    def evaluate_sample(self, networks: Networks, sample: dict[str, Any], fitted: Plain) -> SampleReport:
        return evaluation.evaluate_row(
            unwrapped(networks["model"]),
            sample,
            sample["row"],
            self.settings,
            self.config["target"],
            fitted,
            memory=self.memory,
            oracles=self.config["oracles"],
        )

    def summarise(self, reports: Sequence[SampleReport], output: Path) -> Plain:
        target, resamples = self.config["target"], self.config["evaluation"]["resamples"]
        found = summary.summarise(reports, target, self.settings, output, resamples=resamples, seed=self.config["seed"])
        for line in summary.as_lines(found, target):
            log.info("%s", line)
        return found

    def inputs(self) -> list[Path]:
        self.request = self._request()
        return prediction.inputs(self.config["input"], self.request)

    def predict_file(self, networks: Networks, path: Path, output: Path) -> dict[str, Any]:
        return prediction.predict_file(unwrapped(networks["model"]), path, output, self.request)

    def mode_fuse(self, output: Path) -> None:
        """``mode=fuse``: the pictures of real brackets."""
        if not self.config["input"]:
            raise UserError("mode=fuse needs input=<a folder with a bracket or several, or a glob of its frames>")
        options = self.config["selection"]
        found = fusing.fuse_all(
            fusing.brackets_of(self.config["input"]),
            output,
            weighting=options["weighting"],
            alignment=options["align"],
            format=options["format"],
            overwrite=self.config["overwrite"],
            weight_maps=options["weight_maps"],
        )
        _finish(output, found, "fused")

    def mode_expose(self, output: Path) -> None:
        """``mode=expose``: RAW files as brackets of virtual exposures."""
        if not self.config["input"]:
            raise UserError("mode=expose needs input=<a RAW file, a folder of them, or a pattern>")
        options = self.config["selection"]
        evs, overwrite = options["evs"] or FIVE, self.config["overwrite"]
        found = exposing.expose_all(self.config["input"], output, evs, route=options["route"], overwrite=overwrite)
        _finish(output, found, "exposed")

    def export(self, networks: Networks, output: Path) -> dict[str, Any]:
        config, model = self.config, unwrapped(networks["model"]).cpu()
        path, overwrite = output / "exposure_selection.onnx", config["overwrite"]
        result = export_selector(model, path, self.settings, config["preview"], config["target"], overwrite=overwrite)
        if config["export_fusion"]:
            path, weighting = output / "fusion.onnx", config["selection"]["weighting"]
            result["fusion"] = export_fusion(config["export_fusion"], weighting, path, overwrite=overwrite)
            log.info("fusion written to %s", path)
        return result

    def prepare(self, output: Path) -> dict[str, Any]:
        """Score the scenes of the data set, or of the RAW files in ``source``, which are decoded into ``output``.

        Scenes of ``source`` become the split ``test``: they are for measuring on.
        """
        config = self.config
        if not config["source"]:
            parts = {split: scored(config, split, shard=config["shard"]) for split in SPLITS}
            counts = {split: len(part) for split, part in parts.items()}
            chart = table_folder(config) / "labels.png"
            summary.save_label_histogram(parts["train"].scores(config["target"]), self.settings, chart)
            log.info("score table: %s; which candidates are the best: %s", table_folder(config), chart)
            return {"table": str(table_folder(config)), "scenes": counts}
        index, problem = output / INDEX, None
        try:
            prepare_photos({**config, "decode": "sensor_binned"}, output)
        except UserError as error:  # files that cannot be read do not keep the others from being scored
            if not index.is_file():
                raise
            problem = error
        records = read_manifest(index)
        there = {record.id for record in records}
        missing = sum(record.id not in there for record in records_of(Path(config["source"]), raw=True))
        if missing and config["shard"]:  # a table depends on the whole list
            log.info("%d captures are not decoded yet; run this again after the other shards, for scores", missing)
            return {"index": str(index), "missing": missing}
        folder = Path(config["scores"]) if config["scores"] else output / "scores"
        table = score_captures(config, records, folder)
        for name, reason in table.failed.items():
            log.warning("%s: %s", name, reason)
        log.info("score table: %s, %d scenes scored, %d there already", folder, table.written, table.kept)
        if problem:
            raise problem
        return {"index": str(index), "table": str(folder), "scored": table.written, "kept": table.kept}

    def _seen(self, batch: Batch) -> torch.Tensor:
        seen: torch.Tensor = batch["stack"] if self.takes_stack else batch["preview"]
        return seen

    def _subsets(self, batch: Batch) -> torch.Tensor:
        return self.settings.subsets.to(batch["evs"].device)

    def _request(self) -> prediction.Request:
        options, settings = self.config["selection"], self.settings
        fitted = self.facts.get(FITTED)
        return prediction.Request(
            evs=tuple(options["evs"] or settings.evs),
            captures=options["captures"] or settings.members,
            preview=self.config["preview"],
            constraints=Constraints(
                include=tuple(options["include"]),
                total_time=options["total_time"],
                longest=options["longest"],
                spacing=options["spacing"],
            ),
            always=settings.include,
            figure=self.config["target"],
            safe=Safe.of(fitted) if fitted else None,
            anchor=settings.anchor,
            fuse=options["fuse"],
            weighting=options["weighting"],
            reference=settings.reference,
            alignment=options["align"],
            bracket_evs=tuple(options["bracket_evs"]) if options["bracket_evs"] else None,
            overwrite=self.config["overwrite"],
        )


def _finish(output: Path, found: Plain, done: str) -> None:
    """Write the summary of many files, and say which failed."""
    write_json(output / "summary.json", found)
    log.info("%d %s, in %s", len(found["done"]), done, output)
    if found["failed"]:
        lines = "\n".join(f"  {item['reason']}" for item in found["failed"])
        raise UserError(f"{len(found['failed'])} could not be {done}:\n{lines}")


def unwrapped(network: nn.Module) -> Selector:
    """The selector itself, out of wrappers for distribution and compilation."""
    for name in ("module", "_orig_mod"):
        network = getattr(network, name, network)
    assert isinstance(network, Selector)
    return network
