"""Figures and pictures of a run: metrics.jsonl always, W&B or TensorBoard when asked; training survives them."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from hdr.engine.config import Plain
from hdr.engine.run import METRICS
from hdr.errors import UserError
from hdr.io.atomic import write_atomically

log = logging.getLogger(__name__)

PICTURE_WIDTH = 512  # pixels, the longer side; larger pictures are reduced before they go to a logger


class Backend(Protocol):
    """What a logger must offer."""

    def figures(self, step: int, values: Mapping[str, float]) -> None: ...

    def picture(self, step: int, name: str, picture: Image.Image) -> None: ...

    def finish(self) -> None: ...


class Tracker:
    """Writes a run's figures. Only the main process has one that writes; the others' do nothing.

    A resumed run first drops the lines after the step it resumes from, so that an interrupted run leaves the same file
    as an undisturbed one.
    """

    def __init__(self, folder: Path, config: Plain, *, active: bool, resume_step: int = 0) -> None:
        self.active, self.folder = active, folder
        self.backend: Backend | None = None
        if not active:
            return
        path = folder / METRICS
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= resume_step]
        with write_atomically(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept))
        self.backend = self._try(_connect, folder, config)
        self._stream = open(path, "a", buffering=1)  # noqa: SIM115 - closed by finish()

    def figures(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Note ``values`` at ``step`` (never falling within a run); ``kind`` is train or val."""
        if not self.active:
            return
        clean = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._stream.write(json.dumps({"step": step, "kind": kind, **clean}) + "\n")
        if self.backend:
            self._try(self.backend.figures, step, {f"{kind}/{name}": value for name, value in values.items()})

    def picture(self, step: int, name: str, display: torch.Tensor) -> None:
        """Note a picture: (3, H, W), display-encoded; what exceeds [0, 1] is clipped here, for the eye only.

        It is kept as a JPEG in the run folder, ``pictures/<name>-<step>.jpg``, and a reduced one goes to the logger.
        """
        if not self.active:
            return
        pixels = (display.detach().float().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        picture = Image.fromarray(pixels)
        path = self.folder / "pictures" / f"{name.replace('/', '-')}-{step:07d}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture.save(path, quality=90)
        if self.backend:
            picture.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
            self._try(self.backend.picture, step, name, picture)

    def finish(self) -> None:
        """Close the files."""
        if self.active:
            self._stream.close()
            if self.backend:
                self._try(self.backend.finish)

    def _try(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except UserError:
            raise
        except Exception as error:  # whatever a logger's client raises, training goes on
            log.warning("logger failed and is left out from here on: %s: %s", type(error).__name__, error)
            self.backend = None
            return None


def _lines(path: Path) -> list[str]:
    """Complete lines; a killed process may have left half of one at the end."""
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines() if line.endswith("}")]


def _connect(folder: Path, config: Plain) -> Backend | None:
    kind = config["logger"]["kind"]
    if kind == "none":
        return None
    if kind == "wandb":
        return WandbBackend(folder, config)
    if kind == "tensorboard":
        return TensorBoardBackend(folder)
    raise UserError(f"logger.kind: found '{kind}', accepted are none, wandb, tensorboard")


class WandbBackend:
    """Weights & Biases. The run id is kept in the run folder, so a requeued job continues its run."""

    def __init__(self, folder: Path, config: Plain) -> None:
        import wandb

        settings = config["logger"]
        id_file = folder / "wandb_id.txt"
        if not id_file.exists():
            id_file.write_text(secrets.token_hex(4))
        self._wandb = wandb
        self._run = wandb.init(
            id=id_file.read_text().strip(),
            resume="allow" if settings["mode"] == "online" else None,
            project=settings["project"],
            entity=settings["entity"],
            group=settings["group"],
            job_type=config["mode"],
            name=f"{config['task']}/{config['name']}",
            tags=[config["task"], *settings["tags"]],
            config=config,
            dir=str(folder),
            mode=settings["mode"],
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values}, step=step)

    def picture(self, step: int, name: str, picture: Image.Image) -> None:
        self._run.log({name: self._wandb.Image(picture, file_type="jpg")}, step=step)

    def finish(self) -> None:
        self._run.finish()


class TensorBoardBackend:
    """TensorBoard event files in ``<run>/tensorboard``."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("logger=tensorboard needs TensorBoard: pip install 'hdr-lab[tensorboard]'") from error
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Image.Image) -> None:
        self._writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def finish(self) -> None:
        self._writer.close()


class Window:
    """Means of the training figures between two log lines, and the speed over them."""

    def __init__(self) -> None:
        self.started, self.samples = time.monotonic(), 0
        self.values: dict[str, list[float]] = {}

    def add(self, figures: dict[str, float], samples: int) -> None:
        """Note the figures of one update of ``samples`` samples."""
        self.samples += samples
        for name, value in figures.items():
            self.values.setdefault(name, []).append(value)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time that does not count."""
        began = time.monotonic()
        yield
        self.started += time.monotonic() - began

    def close(self) -> dict[str, float]:
        """The means so far."""
        means = {name: sum(values) / len(values) for name, values in self.values.items()}
        means["samples_per_second"] = self.samples / max(1e-9, time.monotonic() - self.started)
        return means
