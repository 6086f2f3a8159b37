"""What a method must supply to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from hdr.data.loader import Samples
from hdr.engine.config import Plain
from hdr.engine.prepare import prepare_photos
from hdr.errors import UserError
from hdr.io.files import image_files

Batch = dict[str, Any]
Networks = Mapping[str, nn.Module]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Update:
    """One optimizer: which networks it moves, and when. A stage has one of these or several (a discriminator's)."""

    name: str  # handed to Task.training_step
    networks: tuple[str, ...]  # whose parameters it trains; all others stand still meanwhile
    optimizer: Plain  # configuration node
    scheduler: Plain  # configuration node
    start: int = 0  # first step of the stage at which it acts
    every: int = 1  # it acts on every n-th step


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of training with its own length, batch, data and optimizers."""

    name: str
    steps: int  # updates of its first optimizer
    batch_size: int  # samples per update, over all processes
    updates: tuple[Update, ...]
    monitor: str | None = None  # figure of validation_step that picks its best weights; None: the task's
    higher_is_better: bool | None = None  # None: as for the task's
    settings: Plain = field(default_factory=dict)  # whatever the task's dataset and steps need to know of the stage


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure in a table."""

    name: str
    unit: str = ""
    higher_is_better: bool = True
    digits: int = 2


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How ``mode=evaluate`` reads a task's scores."""

    metrics: tuple[Metric, ...]  # the first one leads: it orders panels and measures the closed gap
    baselines: tuple[str, ...]  # methods to beat, among the keys of SampleReport.scores
    oracles: tuple[str, ...]  # methods that saw the target
    description: str  # resize, encoding, peak: printed with the figures


@dataclass(frozen=True, kw_only=True)
class SampleReport:
    """The scores of one test sample."""

    id: str
    scores: Mapping[str, Mapping[str, float]]  # method -> metric -> value; the model is called `model`
    subsets: tuple[str, ...] = ()  # breakdowns it belongs to, beside `all`
    pictures: Mapping[str, torch.Tensor] = field(default_factory=dict)  # label -> (3, H, W) display, for panels
    seconds: float | None = None  # what the model took on this sample


class Task(ABC):
    """A method: networks, data, steps, evaluation, prediction and export, all from one plain configuration.

    The engine owns devices, precision, optimizers, distribution, checkpoints, run folders and tracking; a task owns
    everything that is particular to its paper. Networks are handed to the steps by the engine, because they may be
    wrapped for distributed training, compiled, or replaced by their moving average.
    """

    monitor: str  # the figure of validation_step that picks the best checkpoint
    higher_is_better: bool = True
    package_keys: ClassVar[tuple[str, ...]] = ("model",)  # configuration that belongs to a trained model
    command_keys: ClassVar[tuple[str, ...]] = ()  # configuration that a command says and a model does not hold
    network_names: ClassVar[tuple[str, ...]] = ("model",)  # keys of networks()
    package_networks: ClassVar[tuple[str, ...]] = ("model",)  # those that prediction needs; a discriminator is not

    def __init__(self, config: Plain) -> None:
        self.config = config
        self.facts: Plain = {}  # of the package that this task was read from, see package_facts

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks by name, initialised from torch's global generator, which the engine has seeded."""

    def stages(self) -> list[Stage]:
        """The parts of training in their order; one of ``trainer.max_steps`` unless a task says otherwise."""
        trainer = self.config["trainer"]
        update = Update(
            name="main",
            networks=self.network_names,
            optimizer=self.config["optimizer"],
            scheduler=self.config["scheduler"],
        )
        return [Stage(name="main", steps=trainer["max_steps"], batch_size=trainer["batch_size"], updates=(update,))]

    @abstractmethod
    def dataset(self, split: Split, stage: Stage | None = None) -> Samples:
        """The samples of a split; ``stage`` is None outside training."""

    @abstractmethod
    def training_step(self, networks: Networks, batch: Batch, update: str, step: int) -> dict[str, torch.Tensor]:
        """The scalar ``loss`` that ``update`` minimises, and named parts to log. ``step`` counts within the stage."""

    @abstractmethod
    def validation_step(self, networks: Networks, batch: Batch, stage: Stage) -> dict[str, torch.Tensor]:
        """Figures per sample, each of shape (N,)."""

    def validation_pictures(self, networks: Networks, batch: Batch) -> dict[str, torch.Tensor]:
        """Label -> (N, 3, H, W) display, for the loggers; none by default."""
        return {}

    def package_facts(self, networks: Networks) -> Plain:
        """JSON values that belong to a trained model beside its weights, such as thresholds; ``facts`` has them later.

        Called once, at the end of training, with the best networks in evaluation mode.
        """
        return {}

    # mode=evaluate -----------------------------------------------------------------------------------------------

    @abstractmethod
    def protocol(self) -> EvaluationProtocol:
        """How the scores of :meth:`evaluate_sample` are read."""

    def fit_baselines(self, samples: Samples, count: int, seed: int) -> Plain:
        """Choose the constants of the baselines on ``count`` samples of the training split."""
        return {}

    @abstractmethod
    def evaluate_sample(self, networks: Networks, sample: dict[str, Any], fitted: Plain) -> SampleReport:
        """Score one sample of the test split with the model, the baselines and the oracles."""

    def summarise(self, reports: Sequence[SampleReport], output: Path) -> Plain:
        """What the tables do not hold: JSON values for ``results.json``, and pictures below ``output``."""
        return {}

    # the other modes ---------------------------------------------------------------------------------------------

    def inputs(self) -> list[Path]:
        """What ``input`` stands for, one entry per call of :meth:`predict_file`; photographs by default."""
        return image_files(self.config["input"])

    @abstractmethod
    def predict_file(self, networks: Networks, path: Path, output: Path) -> dict[str, Any]:
        """Do the task's work on one of the user's files and write below ``output``; returns its line of the summary."""

    @abstractmethod
    def export(self, networks: Networks, output: Path) -> dict[str, Any]:
        """Write the model in a portable form below ``output`` and check it; what is returned goes to the model card."""

    def prepare(self, output: Path) -> dict[str, Any]:
        """Turn ``source`` into the tensor cache below ``output``; what is returned goes to the summary."""
        return prepare_photos(self.config, output)


def names_of(batch: Batch) -> Sequence[str]:
    """The ids of a batch's samples, for messages."""
    return [str(name) for name in batch.get("id", [])]


def check_stages(stages: Sequence[Stage], networks: Sequence[str], parts: int) -> None:
    """Refuse, before anything is trained, stages that could not be trained or resumed."""
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"stages need names of their own, found {names}")
    for stage in stages:
        unknown = {name for update in stage.updates for name in update.networks} - set(networks)
        if unknown or not stage.updates:
            raise ValueError(
                f"stage '{stage.name}' updates {sorted(unknown)}; the task's networks are {list(networks)}"
            )
        if stage.batch_size % parts:
            raise UserError(
                f"trainer.batch_size: {stage.batch_size} samples cannot be shared evenly by {parts} "
                "(trainer.accumulate x processes)"
            )
