"""``mode=train``: the loop."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import nn

from hdr.data.loader import make_loader
from hdr.engine.checkpoint import load_checkpoint, save_checkpoint
from hdr.engine.config import Plain
from hdr.engine.devices import make_accelerator
from hdr.engine.optimization import Updater, moving_average
from hdr.engine.package import find_package, load_weights, save_package
from hdr.engine.randomness import derive_seed
from hdr.engine.run import BEST, LAST, PACKAGE, claim
from hdr.engine.signals import StopFlag
from hdr.engine.task import Batch, Stage, Task, check_stages, names_of
from hdr.engine.tracking import Tracker, Window
from hdr.engine.validate import validate
from hdr.errors import UserError
from hdr.progress import progress_bar

log = logging.getLogger(__name__)


def train(task: Task, folder: Path) -> Path:
    """Train ``task`` in ``folder``, continuing what is there; returns the model package.

    Every update is a function of the weights, the seed and the step number alone: samples, their augmentation and the
    steps' own random numbers are derived from (seed, stage, step), so a run that was killed and continued ends with the
    same weights as one that was left in peace.

    Raises:
        UserError: the folder belongs to another run, the disk is full, or the loss is not finite.
    """
    accelerator = make_accelerator(task.config)
    with claim(folder, task.config, accelerator.is_main_process):
        if (folder / PACKAGE).exists():
            log.info("%s: this run is already complete", folder)
            return folder / PACKAGE
        trainer = Trainer(task, folder, accelerator)
        with StopFlag() as stop:
            finished = trainer.run(stop)
            if not finished:
                log.warning("stopped by a signal; continue with the same command and resume=%s", folder)
                stop.hand_over()
                raise KeyboardInterrupt
    return folder / PACKAGE


class Trainer:
    """A run in progress."""

    def __init__(self, task: Task, folder: Path, accelerator: Accelerator) -> None:
        self.task, self.folder, self.accelerator = task, folder, accelerator
        self.config: Plain = task.config
        self.settings: Plain = task.config["trainer"]
        self.seed = int(task.config["seed"])
        torch.manual_seed(derive_seed(self.seed, "networks"))
        self.networks = task.networks()
        if task.config["checkpoint"] and not (folder / LAST).exists():
            load_weights(find_package(task.config), self.networks)
        for network in self.networks.values():
            network.to(accelerator.device)
            if self.settings["channels_last"]:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trainable = {n: [p for p in net.parameters() if p.requires_grad] for n, net in self.networks.items()}
        decay = self.settings["ema_decay"]
        self.averages = {n: moving_average(net, decay) for n, net in self.networks.items()} if decay else {}
        self.wrapped = {name: self._wrap(name, network) for name, network in self.networks.items()}
        self.stages = task.stages()
        check_stages(self.stages, tuple(self.networks), self.settings["accumulate"] * accelerator.num_processes)
        self.updaters: list[Updater] = []
        self.stage_index, self.stage_step, self.step = 0, 0, 0
        self.best: float | None = None
        self.waited = 0  # validations without improvement
        self.validations = 0
        self.window = Window()

    def _wrap(self, name: str, network: nn.Module) -> nn.Module:
        if not self.trainable[name]:  # nothing to exchange between processes
            return network
        wrapped: nn.Module = self.accelerator.prepare_model(network, device_placement=False)
        return torch.compile(wrapped) if self.settings["compile"] else wrapped  # type: ignore[return-value]

    @property
    def stage(self) -> Stage:
        return self.stages[self.stage_index]

    def run(self, stop: StopFlag) -> bool:
        """All that is left of the run; False when a signal ended it early."""
        self._start_stage()
        if (self.folder / LAST).exists():
            self._restore(load_checkpoint(self.folder / LAST))
            log.info("continuing %s at step %d", self.folder, self.step)
        main = self.accelerator.is_main_process
        self.tracker = Tracker(self.folder, self.config, active=main, resume_step=self.step)
        try:
            while True:
                if not self._run_stage(stop):
                    return False
                if self.stage_index + 1 < len(self.stages):
                    self._take_best()
                    self.stage_index += 1
                    self._start_stage()
                    self._save()
                else:
                    break
            self._finish()
            return True
        finally:
            self.tracker.finish()

    def _start_stage(self) -> None:
        """Fresh optimizers; the best of a stage is judged within the stage."""
        self.stage_step, self.best, self.waited = 0, None, 0
        self.accelerator._optimizers.clear()  # it would keep the moments of all earlier stages in memory
        self.updaters = [Updater(update, self.stage, self.trainable, self.accelerator) for update in self.stage.updates]

    def _take_best(self) -> None:
        """The next stage departs from the best weights of the one that ends."""
        self.accelerator.wait_for_everyone()
        for name, state in load_checkpoint(self.folder / BEST)["networks"].items():
            self.networks[name].load_state_dict(state)
            if self.averages:
                self.averages[name].module.load_state_dict(state)

    def _run_stage(self, stop: StopFlag) -> bool:
        stage, every = self.stage, self.settings["checkpoint_every"]
        if self.stage_step >= stage.steps:
            return True
        accumulate = self.settings["accumulate"]
        loader = make_loader(
            self.task.dataset("train", stage),
            seed=derive_seed(self.seed, "loader", self.stage_index),
            batch_size=stage.batch_size // accumulate,
            workers=self.settings["workers"],
            start_batch=self.stage_step * accumulate,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            train=True,
        )
        batches = iter(loader)
        with progress_bar(f"{self.config['task']} {stage.name}", stage.steps, self.stage_step) as bar:
            while self.stage_step < stage.steps:
                parts_of_step = [self._to_device(next(batches)) for _ in range(accumulate)]
                self.window.add(self._one_step(parts_of_step), stage.batch_size)
                last = self.stage_step == stage.steps
                if self.step % self.settings["log_every"] == 0 or last:
                    figures, self.window = self.window.close(), Window()
                    self.tracker.figures(self.step, "train", figures)
                    bar.note(f"loss {figures['loss']:.4f}")
                bar.advance()
                if self.stage_step % self.settings["validate_every"] == 0 or last:
                    with self.window.paused():
                        self._validate()
                stopping = self._agree(bool(stop.received))
                exhausted = self.settings["patience"] is not None and self.waited >= self.settings["patience"]
                if exhausted:
                    log.info("no improvement in %d validations: stage %s ends early", self.waited, stage.name)
                    self.stage_step = stage.steps
                if stopping or exhausted or last or self.stage_step % every == 0:
                    self._save()
                if stopping and not last:
                    return False
                if exhausted:
                    break
        return True

    def _one_step(self, parts: list[Batch]) -> dict[str, float]:
        """One update of the first optimizer, and of the others when they are due."""
        seed = derive_seed(self.seed, "step", self.stage_index, self.stage_step, self.accelerator.process_index)
        torch.manual_seed(seed)
        figures: dict[str, float] = {}
        for position, updater in enumerate(self.updaters):
            if not updater.due(self.stage_step):
                continue
            updater.begin()
            networks = self._for_step(updater)
            prefix = "" if position == 0 else f"{updater.update.name}/"
            for index, part in enumerate(parts):
                with contextlib.ExitStack() as stack:
                    if index < len(parts) - 1:  # gradients are exchanged once per update
                        for name in updater.update.networks:
                            stack.enter_context(self.accelerator.no_sync(self.wrapped[name]))
                    with self.accelerator.autocast():
                        losses = self.task.training_step(networks, part, updater.update.name, self.stage_step)
                    self._check_finite(losses["loss"], part, updater.update.name)
                    self.accelerator.backward(losses["loss"] / len(parts))
                for name, value in losses.items():
                    figures[prefix + name] = figures.get(prefix + name, 0.0) + float(value.detach()) / len(parts)
            norm, rate = updater.finish(self.stage_step, self.settings["clip_norm"])
            if not math.isfinite(norm) and not self._scale_may_fall():
                self._stop_not_finite(f"the gradient of '{updater.update.name}'", parts)
            updater.step()
            figures |= {f"{prefix}gradient_norm": norm, f"{prefix}lr": rate}
        for name, average in self.averages.items():
            average.update_parameters(self.networks[name])
        self.stage_step += 1
        self.step += 1
        return figures

    def _for_step(self, updater: Updater) -> dict[str, nn.Module]:
        """Networks for a step: those that the stage trains in training mode, wrapped where this update moves them."""
        trained = {name for update in self.stage.updates for name in update.networks}
        moved = updater.update.networks
        chosen = {name: self.wrapped[name] if name in moved else net for name, net in self.networks.items()}
        return {name: network.train(name in trained) for name, network in chosen.items()}

    def _scale_may_fall(self) -> bool:
        """Under fp16 a gradient that overflows is the scaler's to mend, until there is nothing left to reduce."""
        scaler = self.accelerator.scaler
        return scaler is not None and scaler.get_scale() >= 1

    def _check_finite(self, loss: torch.Tensor, part: Batch, update: str) -> None:
        if self._agree(not bool(torch.isfinite(loss.detach()))):
            self._stop_not_finite(f"the loss of '{update}'", [part])

    def _stop_not_finite(self, what: str, parts: list[Batch]) -> None:
        own = [name for part in parts for name in names_of(part)]
        names = ", ".join(gather_object(own) if self.accelerator.num_processes > 1 else own)
        raise UserError(
            f"{what} is not finite at step {self.step} of stage '{self.stage.name}'; the samples were: {names}. "
            f"What was last saved in {self.folder} is intact."
        )

    def _agree(self, condition: bool) -> bool:
        """True on all processes when it is true on any, so that they leave the loop together."""
        if self.accelerator.num_processes == 1:
            return condition
        flag = torch.tensor(float(condition), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)

    def _to_device(self, batch: Batch) -> Batch:
        moved: Batch = send_to_device(batch, self.accelerator.device, non_blocking=True)
        if self.settings["channels_last"]:
            for key, value in moved.items():
                if isinstance(value, torch.Tensor) and value.ndim == 4:
                    moved[key] = value.contiguous(memory_format=torch.channels_last)
        return moved

    def _evaluated(self) -> dict[str, nn.Module]:
        """The networks as they would be packaged: the moving average where there is one."""
        return {
            name: (self.averages[name].module if self.averages else net).eval() for name, net in self.networks.items()
        }

    @torch.no_grad()
    def _validate(self) -> None:
        self._average_buffers()
        figures = validate(self.task, self._evaluated(), self.accelerator, self.stage, self._picture())
        self.validations += 1
        value, sign = figures[self.stage.monitor or self.task.monitor], 1 if self._higher_is_better() else -1
        improved = math.isfinite(value) and (self.best is None or sign * (value - self.best) > 0)
        self.waited = 0 if improved else self.waited + 1
        for updater in self.updaters:
            updater.schedule.observe(improved)
        self.tracker.figures(self.step, "val", figures)
        log.info("step %d: %s", self.step, ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items()))
        if improved:
            self.best = value
            if self.accelerator.is_main_process:
                weights = {name: network.state_dict() for name, network in self._evaluated().items()}
                content = {"networks": weights, "step": self.step, "stage": self.stage.name, "figures": figures}
                save_checkpoint(self.folder / BEST, content)

    def _higher_is_better(self) -> bool:
        own = self.stage.higher_is_better
        return self.task.higher_is_better if own is None else own

    def _average_buffers(self) -> None:
        """Running statistics differ between processes, which see different samples: all continue with their mean."""
        if self.accelerator.num_processes == 1:
            return
        for network in self.networks.values():
            for buffer in network.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.accelerator.reduce(buffer, reduction="mean"))

    def _picture(self) -> Callable[[str, torch.Tensor], None] | None:
        if self.validations % self.settings["panel_every"]:
            return None
        return lambda name, display: self.tracker.picture(self.step, name, display)

    def _save(self) -> None:
        self._average_buffers()
        if self.accelerator.is_main_process:
            save_checkpoint(self.folder / LAST, self._content())
        self.accelerator.wait_for_everyone()  # nobody leaves while the file is being written

    def _content(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "averages": {name: average.state_dict() for name, average in self.averages.items()},
            "updaters": [updater.state_dict() for updater in self.updaters],
            "scaler": scaler.state_dict() if scaler is not None else None,
            "stage": self.stage.name,
            "stage_step": self.stage_step,
            "step": self.step,
            "best": self.best,
            "waited": self.waited,
            "validations": self.validations,
            "window": self.window.values,
        }

    def _restore(self, content: dict[str, Any]) -> None:
        names = [stage.name for stage in self.stages]
        self.stage_index = names.index(content["stage"])
        self._start_stage()
        for name, state in content["networks"].items():
            self.networks[name].load_state_dict(state)
        for name, state in content["averages"].items():
            self.averages[name].load_state_dict(state)
        for updater, state in zip(self.updaters, content["updaters"], strict=True):
            updater.load_state_dict(state)
        if content["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(content["scaler"])
        self.stage_step, self.step = content["stage_step"], content["step"]
        self.best, self.waited, self.validations = content["best"], content["waited"], content["validations"]
        self.window.values = content["window"]

    def _finish(self) -> None:
        if self.accelerator.is_main_process:
            if self.best is None:
                raise UserError(f"{self.folder}: no validation gave a finite figure, so there is no model to package")
            best = load_checkpoint(self.folder / BEST)
            metrics = {"step": best["step"], "steps": self.step, "stage": best["stage"], "validation": best["figures"]}
            networks = self.task.networks()
            for name, network in networks.items():
                network.load_state_dict(best["networks"][name])
                network.to(self.accelerator.device).eval().requires_grad_(False)
            facts = self.task.package_facts(networks)
            save_package(
                self.folder / PACKAGE, self.task, best["networks"], metrics | ({"facts": facts} if facts else {})
            )
        self.accelerator.wait_for_everyone()
