"""Model packages: a folder with weights, configuration and figures, from which every other mode starts."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from hdr.engine.build import resolve
from hdr.engine.config import Plain
from hdr.engine.run import PACKAGE, write_json, write_yaml
from hdr.engine.task import Task
from hdr.errors import UserError

WEIGHTS, CONFIG, FIGURES = "model.safetensors", "config.yaml", "metrics.json"
# what a command says and a model does not hold
OF_COMMANDS = (
    "mode", "device", "resume", "checkpoint", "input", "output", "overwrite", "source", "decode", "shard", "evaluation",
    "logger", "paths",
)  # fmt: skip


def save_package(folder: Path, task: Task, weights: Mapping[str, Mapping[str, torch.Tensor]], metrics: Plain) -> None:
    """Write a package; an earlier one at ``folder`` is replaced only when the new one is complete.

    Args:
        folder: the package's folder.
        task: whose configuration describes the architecture.
        weights: network name -> state_dict, for each of ``task.package_networks``.
        metrics: figures to keep beside the weights.
    """
    building = folder.with_name(f".{folder.name}-incomplete")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    flat = {
        f"{network}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for network in task.package_networks
        for name, tensor in weights[network].items()
    }
    (building / WEIGHTS).write_bytes(save(flat))
    left_out = (*OF_COMMANDS, *task.command_keys)
    write_yaml(building / CONFIG, {key: value for key, value in task.config.items() if key not in left_out})
    write_json(building / FIGURES, metrics)
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)


def read_package_config(folder: Path) -> Plain:
    """The configuration in a package.

    Raises:
        UserError: ``folder`` is not a package.
    """
    missing = [name for name in (WEIGHTS, CONFIG, FIGURES) if not (folder / name).exists()]
    if missing:
        raise UserError(f"checkpoint={folder}: not a model package, {' and '.join(missing)} not found in it")
    config: Any = yaml.safe_load((folder / CONFIG).read_text())
    if not isinstance(config, dict) or not {"task", "task_class", "model"} <= config.keys():
        raise UserError(f"{folder / CONFIG}: not the configuration of a model package")
    return config


def task_from_package(folder: Path, command: Plain) -> Task:
    """The task that a package was trained as, under the settings of the present command.

    What a task names in ``package_keys`` (its model) comes from the package; everything else (data, evaluation, where
    to write) from the command.
    """
    stored = read_package_config(folder)
    if stored["task"] != command["task"]:
        raise UserError(f"checkpoint={folder}: a model of task '{stored['task']}', not of '{command['task']}'")
    task_class = resolve(command["task_class"], "task_class")
    task: Task = task_class({**command, **{key: stored[key] for key in task_class.package_keys}})
    task.facts = json.loads((folder / FIGURES).read_text()).get("facts", {})
    return task


def load_weights(folder: Path, networks: Mapping[str, nn.Module]) -> None:
    """Load a package's weights into ``networks``; names that the package lacks (a discriminator) stay as they are.

    Raises:
        UserError: the file is damaged, or does not fit the networks.
    """
    try:
        flat = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS}: damaged ({error})") from error
    for network in {name.split(".", 1)[0] for name in flat}:
        if network not in networks:
            raise UserError(f"{folder}: holds a network '{network}'; this task has {', '.join(networks)}")
        state = {name.split(".", 1)[1]: tensor for name, tensor in flat.items() if name.startswith(f"{network}.")}
        try:
            networks[network].load_state_dict(state)
        except RuntimeError as error:
            raise UserError(f"{folder}: the weights do not fit the network '{network}': {error}") from error


def find_package(config: Plain) -> Path:
    """The package that ``checkpoint`` names (a run folder stands for the package in it), or the one that is shipped."""
    if config["checkpoint"]:
        folder = Path(config["checkpoint"])
        inside = folder / PACKAGE
        folder = inside if inside.is_dir() else folder
    else:
        folder = shipped_package(config["task_class"])
        if not folder.is_dir():
            raise UserError(
                f"task {config['task']} ships no pretrained package: give checkpoint=<run folder or package>"
            )
    read_package_config(folder)
    return folder


def shipped_package(task_class: str) -> Path:
    """``pretrained/`` beside the module of a task."""
    resolve(task_class, "task_class")
    module = importlib.import_module(task_class.rsplit(".", 1)[0])
    return Path(str(module.__file__)).parent / "pretrained"
