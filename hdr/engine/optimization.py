"""One update of a stage: its optimizer, schedule, gradient clipping and, for all of a run, moving averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hdr.engine.build import build
from hdr.engine.task import Stage, Update

Trainable = Mapping[str, list[nn.Parameter]]  # network -> the parameters that its task did not freeze


class Updater:
    """Moves the networks of one :class:`Update`; what a task has frozen in them stays frozen."""

    def __init__(self, update: Update, stage: Stage, trainable: Trainable, accelerator: Accelerator) -> None:
        self.update, self.stage, self.accelerator = update, stage, accelerator
        self.moving = [p for name in update.networks for p in trainable[name]]
        self.resting = [p for name, own in trainable.items() if name not in update.networks for p in own]
        groups = parameter_groups(self.moving, update.optimizer.get("weight_decay", 0.0))
        self.optimizer = accelerator.prepare_optimizer(build(update.optimizer, groups))
        self.schedule = build(update.scheduler)
        self.rate = float(update.optimizer["lr"])

    def due(self, step: int) -> bool:
        """Does it act on this step of the stage?"""
        return step >= self.update.start and (step - self.update.start) % self.update.every == 0

    def begin(self) -> None:
        """Before the losses are computed: only the own networks take gradients, which start from nothing."""
        for parameter in self.moving:
            parameter.requires_grad_(True)
        for parameter in self.resting:
            parameter.requires_grad_(False)
        self.optimizer.zero_grad(set_to_none=True)

    def finish(self, step: int, clip_norm: float | None) -> tuple[float, float]:
        """After the backward passes: clip, set the learning rate, move. Returns gradient norm and learning rate."""
        self.accelerator.unscale_gradients(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.moving, clip_norm if clip_norm is not None else float("inf"))
        rate = self.rate * self.schedule.factor(step, self.stage.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return float(norm), rate

    def step(self) -> None:
        """Move the networks; under fp16 a step whose gradients overflowed is skipped and the scale reduced."""
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def parameter_groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Weights of two and more dimensions decay; biases, norms and scalars do not."""
    if not weight_decay:
        return [{"params": parameters}]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``network`` that follows it with weight min(decay, (1 + n) / (10 + n)) after n updates, buffers too."""

    @torch.no_grad()
    def average(averaged: Sequence[torch.Tensor], current: Sequence[torch.Tensor], count: torch.Tensor | int) -> None:
        n = int(count)
        keep = min(decay, (1 + n) / (10 + n))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new.to(old.dtype), 1 - keep)
            else:
                old.copy_(new)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
