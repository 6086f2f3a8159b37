"""Small tasks for the engine's tests: a network with dropout, a two-optimizer pair, several stages."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hdr.engine.config import EvaluationConfig, LoggerConfig, TrainerConfig
from hdr.engine.task import EvaluationProtocol, Metric, SampleReport, Stage, Task, Update

ADAM = {"_target_": "torch.optim.Adam", "lr": 1e-2, "weight_decay": 0.0}
COSINE = {"_target_": "hdr.engine.schedules.Cosine", "warmup_steps": 3, "final": 0.1}


def config(**trainer: Any) -> dict[str, Any]:
    """A resolved configuration; keyword arguments change trainer keys."""
    defaults = {
        "max_steps": 12,
        "batch_size": 4,
        "validate_every": 5,
        "checkpoint_every": 1,
        "workers": 0,
        "log_every": 1,
    }
    return {
        "task": "toy",
        "task_class": "tests.engine.toy.Toy",
        "name": "default",
        "mode": "train",
        "seed": 7,
        "device": "cpu",
        "checkpoint": None,
        "dataset": {},
        "model": {},
        "loss": {},
        "augmentation": {},
        "optimizer": dict(ADAM),
        "scheduler": dict(COSINE),
        "trainer": asdict(TrainerConfig(**{**defaults, **trainer})),  # type: ignore[arg-type]
        "evaluation": asdict(EvaluationConfig(samples=None, resamples=100)),
        "logger": asdict(LoggerConfig()),
    }


class Lines:
    """Noisy points of y = A x, random anew in every epoch."""

    def __init__(self, length: int = 22, bad: int | None = None) -> None:
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        x = rng.normal(size=6).astype(np.float32)
        y = np.cumsum(x) + 0.01 * rng.normal(size=6).astype(np.float32)
        if index == self.bad:
            y[0] = np.nan
        return {"id": f"line-{index}", "x": torch.from_numpy(x), "y": torch.from_numpy(y.astype(np.float32))}


class Toy(Task):
    """Regression with dropout, so that a step's own random numbers matter."""

    monitor = "error"
    higher_is_better = False
    bad: int | None = None  # index of a sample with NaN

    def networks(self) -> dict[str, nn.Module]:
        return {"model": nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 6))}

    def dataset(self, split: str, stage: Stage | None = None) -> Lines:
        return Lines(22, self.bad) if split == "train" else Lines(9)

    def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
        loss = (networks["model"](batch["x"]) - batch["y"]).square().mean()
        return {"loss": loss, "root": loss.detach().sqrt()}

    def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
        return {"error": (networks["model"](batch["x"]) - batch["y"]).square().mean(dim=1)}

    def protocol(self) -> EvaluationProtocol:
        return EvaluationProtocol(
            metrics=(Metric(name="error", higher_is_better=False),),
            baselines=("zero",),
            oracles=("truth",),
            description="toy",
        )

    def evaluate_sample(self, networks: Any, sample: Any, fitted: Any) -> SampleReport:
        y = sample["y"]
        error = float((networks["model"](sample["x"][None])[0] - y).square().mean())
        return SampleReport(
            id=sample["id"],
            scores={"model": {"error": error}, "zero": {"error": float(y.square().mean())}, "truth": {"error": 0.0}},
            subsets=("rising" if y[-1] > y[0] else "falling",),
            pictures={"y": y.reshape(1, 2, 3).expand(3, 2, 3)},
        )

    def predict_file(self, networks: Any, path: Path, output: Path) -> dict[str, Any]:
        return {}

    def export(self, networks: Any, output: Path) -> dict[str, Any]:
        return {}


class Pair(Toy):
    """A generator and a discriminator with an optimizer each; the second starts later and acts on every other step."""

    network_names = ("generator", "discriminator")
    package_networks = ("generator",)

    def networks(self) -> dict[str, nn.Module]:
        return {
            "generator": nn.Linear(6, 6),
            "discriminator": nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)),
        }

    def stages(self) -> list[Stage]:
        settings = self.config["trainer"]
        slow = {"_target_": "torch.optim.SGD", "lr": 1e-3}
        updates = (
            Update(name="generator", networks=("generator",), optimizer=ADAM, scheduler=COSINE),
            Update(
                name="discriminator", networks=("discriminator",), optimizer=slow,
                scheduler={"_target_": "hdr.engine.schedules.Constant"}, start=4, every=2,
            ),
        )  # fmt: skip
        return [Stage(name="main", steps=settings["max_steps"], batch_size=settings["batch_size"], updates=updates)]

    def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
        made = networks["generator"](batch["x"])
        if update == "generator":
            fooled = nn.functional.softplus(-networks["discriminator"](made)).mean()
            return {"loss": (made - batch["y"]).square().mean() + 0.1 * fooled, "fooled": fooled.detach()}
        real, fake = networks["discriminator"](batch["y"]), networks["discriminator"](made.detach())
        return {"loss": nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()}

    def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
        return {"error": (networks["generator"](batch["x"]) - batch["y"]).square().mean(dim=1)}


class Staged(Toy):
    """Two stages with other lengths, batches and optimizers."""

    def stages(self) -> list[Stage]:
        constant = {"_target_": "hdr.engine.schedules.Constant"}
        first = Update(name="main", networks=("model",), optimizer=ADAM, scheduler=COSINE)
        second = Update(name="main", networks=("model",), optimizer={**ADAM, "lr": 1e-3}, scheduler=constant)
        return [
            Stage(name="coarse", steps=6, batch_size=2, updates=(first,)),
            Stage(name="fine", steps=7, batch_size=4, updates=(second,), settings={"size": 2}),
        ]


TASKS = {"toy": Toy, "pair": Pair, "staged": Staged}


def main(kind: str, folder: str, *pairs: str) -> None:
    """Train one of the tasks as a program of its own: ``python -m tests.engine.toy toy FOLDER key=value ...``."""
    import json

    from hdr.engine.train import train

    trainer = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in pairs)}
    train(TASKS[kind](config(**trainer)), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
