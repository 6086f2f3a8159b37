"""What each ``mode`` does: find the model, hand over to the task, write what belongs to every task alike."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from torch import nn

from hdr.engine.build import resolve
from hdr.engine.config import Plain
from hdr.engine.devices import pick_device
from hdr.engine.package import find_package, load_weights, task_from_package
from hdr.engine.run import write_json
from hdr.engine.task import Task
from hdr.errors import UserError

log = logging.getLogger(__name__)


def train(config: Plain, folder: Path) -> float | None:
    """``mode=train``; returns the best monitored figure, for sweepers."""
    import json

    from hdr.engine.train import train as run

    task: Task = resolve(config["task_class"], "task_class")(config)
    package = run(task, folder)
    figures = json.loads((package / "metrics.json").read_text())["validation"]
    log.info("model package: %s", package)
    same = [
        word for word in sys.argv[1:] if not word.startswith(("resume=", "checkpoint=", "hydra", "-m", "--multirun"))
    ]
    again = shlex.join([*same, "mode=evaluate", f"checkpoint={package}"])
    log.info("evaluate it with: python -m tasks.%s %s", config["task"], again)
    return float(figures[task.monitor])


def evaluate(config: Plain, folder: Path) -> float | None:
    """``mode=evaluate``: tables, per-sample figures and a panel, in ``output`` or the run folder."""
    from hdr.engine.evaluate import evaluate as run

    task, networks = load_model(config)
    output = output_folder(config, folder)
    if (output / "results.json").exists() and not config["overwrite"]:
        raise UserError(f"{output} holds the results of another evaluation; give overwrite=true, or another output=")
    return run(task, networks, output)


def predict(config: Plain, folder: Path) -> None:
    """``mode=predict``: the task's work on the user's files."""
    from hdr.engine.predict import predict as run

    if not config["input"]:
        raise UserError("mode=predict needs input=<a file, a folder, a glob in quotes or a .txt list>")
    task, networks = load_model(config)
    run(task, networks, output_folder(config, folder))


def export(config: Plain, folder: Path) -> None:
    """``mode=export``: a portable model with its card."""
    from hdr.engine.export import export as run

    task, networks = load_model(config)
    run(task, networks, output_folder(config, folder))


def prepare(config: Plain, folder: Path) -> None:
    """``mode=prepare``: from source files to the tensor cache."""
    task: Task = resolve(config["task_class"], "task_class")(config)
    summary = task.prepare(Path(config["output"] or config["paths"]["cache"]))
    write_json(folder / "summary.json", summary)


def other(config: Plain, folder: Path) -> Any:
    """A mode of the task's own: its method ``mode_<name>``, which gets the output folder."""
    task: Task = resolve(config["task_class"], "task_class")(config)
    method = getattr(task, f"mode_{config['mode']}", None)
    if method is None:
        raise UserError(f"mode: task {config['task']} has no mode '{config['mode']}'")
    return method(output_folder(config, folder))


def output_folder(config: Plain, folder: Path) -> Path:
    """Where results go: ``output``, or the run folder; made if it is not there."""
    output = Path(config["output"]) if config["output"] else folder
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={output}: this folder cannot be made ({error.strerror})") from error
    return output


def load_model(config: Plain) -> tuple[Task, dict[str, nn.Module]]:
    """The task and its networks as ``checkpoint`` holds them, on the configured device, ready for inference."""
    package = find_package(config)
    log.info("model: %s", package)
    task = task_from_package(package, config)
    networks = {name: network for name, network in task.networks().items() if name in task.package_networks}
    load_weights(package, networks)
    device = pick_device(config)
    return task, {name: network.to(device).eval().requires_grad_(False) for name, network in networks.items()}
