"""Typed configuration that all tasks share. Defaults are the reference run; every field has one line of explanation.

Groups whose members differ (dataset, model, loss, optimizer, scheduler) are declared by an empty base class here; each
member brings a subclass, stored with :func:`register`, and names it first in its YAML file. So a typo, a wrong type or
an unknown key fails while the configuration is composed, with its key path. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass(kw_only=True)
class DatasetConfig:
    """Where samples come from; members subclass this."""

    _target_: str = MISSING  # the class or function that builds the source


@dataclass(kw_only=True)
class ModelConfig:
    """A task's network; members subclass this."""

    _target_: str = MISSING  # the class or function that builds the network


@dataclass(kw_only=True)
class LossConfig:
    """A task's loss; members subclass this."""


@dataclass(kw_only=True)
class AugmentationConfig:
    """What is done to a training sample before it reaches the network; members subclass this."""


@dataclass(kw_only=True)
class OptimizerConfig:
    """One optimizer of ``torch.optim``; members subclass this."""

    _target_: str = MISSING  # class of torch.optim
    lr: float = 1e-3  # learning rate after warm-up
    weight_decay: float = 0.0  # on weights of two and more dimensions only, never on biases and norms


@dataclass(kw_only=True)
class AdamConfig(OptimizerConfig):
    """Adam (Kingma and Ba 2015)."""

    _target_: str = "torch.optim.Adam"
    betas: tuple[float, float] = (0.9, 0.999)  # decay of the first and second moment
    eps: float = 1e-8  # added to the root of the second moment


@dataclass(kw_only=True)
class AdamWConfig(AdamConfig):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    _target_: str = "torch.optim.AdamW"
    weight_decay: float = 0.01


@dataclass(kw_only=True)
class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    _target_: str = "torch.optim.SGD"
    lr: float = 1e-2
    momentum: float = 0.9  # of the velocity
    nesterov: bool = True  # look ahead along the velocity


@dataclass(kw_only=True)
class SchedulerConfig:
    """How the learning rate moves over a stage; members subclass this."""

    _target_: str = MISSING
    warmup_steps: int = 0  # linear rise from 0 to the learning rate


@dataclass(kw_only=True)
class ConstantConfig(SchedulerConfig):
    """The learning rate stays where it is after warm-up."""

    _target_: str = "hdr.engine.schedules.Constant"


@dataclass(kw_only=True)
class CosineConfig(SchedulerConfig):
    """Half a cosine from the learning rate to ``final`` times it at the end of the stage."""

    _target_: str = "hdr.engine.schedules.Cosine"
    final: float = 0.01  # factor at the last step


@dataclass(kw_only=True)
class StepConfig(SchedulerConfig):
    """A table: from each milestone on, the given factor of the learning rate holds."""

    _target_: str = "hdr.engine.schedules.Step"
    milestones: list[int] = field(default_factory=lambda: [1000])  # steps, rising
    factors: list[float] = field(default_factory=lambda: [0.1])  # one per milestone, of the learning rate


@dataclass(kw_only=True)
class PlateauConfig(SchedulerConfig):
    """Multiply by ``factor`` when the monitored metric has not improved for ``patience`` validations."""

    _target_: str = "hdr.engine.schedules.Plateau"
    factor: float = 0.5  # what the learning rate is multiplied by
    patience: int = 3  # validations without improvement
    minimum: float = 1e-3  # lowest factor


@dataclass(kw_only=True)
class TrainerConfig:
    """The training loop."""

    max_steps: int = 10000  # updates of the first optimizer, per stage unless the stage says otherwise
    batch_size: int = 16  # samples per update over all processes and accumulated parts
    accumulate: int = 1  # parts that a batch is computed in, to save memory
    precision: str = "fp32"  # fp32, bf16 or fp16
    clip_norm: float | None = 1.0  # largest norm of an update's gradient; null: no clipping
    ema_decay: float | None = None  # moving average of the weights, used for validation and the package; null: off
    validate_every: int = 500  # steps between validations; the last step always validates
    validation_samples: int | None = None  # how many samples of the validation split; null: all
    checkpoint_every: int = 500  # steps between checkpoints; stopping and finishing always save
    patience: int | None = None  # validations without improvement before a stage ends early; null: never
    log_every: int = 20  # steps between lines in metrics.jsonl
    panel_every: int = 5  # validations between pictures for the loggers
    workers: int = 2  # processes that prepare samples, per training process; 0: none
    compile: bool = False  # torch.compile the networks
    channels_last: bool = False  # store 4-D tensors with the channels last


@dataclass(kw_only=True)
class EvaluationConfig:
    """``mode=evaluate``."""

    split: str = "test"  # train, val or test
    samples: int | None = None  # at most so many, evenly spread over the split; null: all
    baselines: bool = True  # also score the baselines and oracles
    fit_samples: int = 64  # training samples on which the constants of baselines are chosen
    constants: str | None = None  # results.json of another evaluation, whose constants hold; null: choose them now
    resamples: int = 2000  # bootstrap resamples for the intervals
    panels: int = 3  # rows of best, median and worst cases in the picture


@dataclass(kw_only=True)
class LoggerConfig:
    """Where figures go beside metrics.jsonl, which is always written."""

    kind: str = "none"  # none, wandb or tensorboard
    project: str = "hdr-lab"  # W&B project
    entity: str | None = None  # W&B team or user
    group: str | None = None  # W&B group, such as a sweep's name
    tags: list[str] = field(default_factory=list)  # W&B tags
    mode: str = "online"  # W&B: online, offline or disabled


@dataclass(kw_only=True)
class PathsConfig:
    """Folders; none is absolute in a shipped file."""

    runs: str = "${oc.env:HDR_RUNS,runs}"  # run folders appear below it
    data: str = "${oc.env:HDR_DATA,data}"  # data sets that are named without a path are looked for here
    cache: str = "${oc.env:HDR_CACHE,${paths.data}/cache}"  # prepared tensors


@dataclass(kw_only=True)
class RunConfig:
    """What every task's configuration holds; a task subclasses it and adds its own keys."""

    task: str = MISSING  # the task's name
    task_class: str = MISSING  # the task's class, below tasks.
    name: str = "default"  # the experiment's name: part of the run folder
    mode: str = MISSING  # set by the group of that name
    seed: int = 0  # every random number of a run follows from it
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    resume: str | None = None  # a run folder to continue, or `last` for the newest unfinished run of this name
    checkpoint: str | None = None  # a model package; null: from scratch when training, else the shipped one
    input: str | None = None  # predict: a file, a folder, a glob or a .txt list
    output: str | None = None  # predict, export, evaluate: folder for the results; null: the run folder
    overwrite: bool = False  # predict, export: replace results that are already there
    source: str | None = None  # prepare: folder or manifest to read; null: the photos of the data set
    decode: str = "photos"  # prepare: photos, or for RAW files their sensor values: sensor, sensor_binned (half size)
    shard: str | None = None  # prepare: `3/32` does the third of 32 parts
    dataset: DatasetConfig = MISSING
    model: ModelConfig = MISSING
    loss: LossConfig = MISSING
    augmentation: AugmentationConfig = MISSING
    optimizer: OptimizerConfig = MISSING
    scheduler: SchedulerConfig = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


def register(group: str, **schemas: type) -> None:
    """Store dataclasses for the members of ``group``, which name them as ``/schema/<group>/<name>@_here_``."""
    store = ConfigStore.instance()
    for name, schema in schemas.items():
        store.store(group=f"schema/{group}", name=name, node=schema)


register("optimizer", adam=AdamConfig, adamw=AdamWConfig, sgd=SGDConfig)
register("scheduler", constant=ConstantConfig, cosine=CosineConfig, step=StepConfig, plateau=PlateauConfig)
register("trainer", trainer=TrainerConfig)
register("logger", logger=LoggerConfig)
register("paths", paths=PathsConfig)


Plain = dict[str, Any]  # a resolved configuration as plain dictionaries, lists and scalars
