"""Every shipped configuration composes, lacks nothing, and builds its model, loss and optimizer."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.types import RunMode
from omegaconf import OmegaConf

from hdr.engine.app import register_task
from hdr.engine.build import build, resolve
from tests.conftest import REPOSITORY

CONF = REPOSITORY / "conf"
TASKS = [path.stem for path in CONF.glob("*.yaml") if path.stem != "base"]
# values that only a user can give
GIVEN = {
    "panoramas": ["dataset.root=x"],
    "mixed": ["dataset.panoramas.root=x"],
    "paired": ["dataset.root=x"],
    "listed": ["dataset.file=x"],
    "unpaired": ["dataset.root=x"],
    "manifest": ["dataset.path=x"],
}


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    for task in TASKS:
        schemas = vars(importlib.import_module(f"tasks.{task}.config")).values()
        register_task(task, next(s for s in schemas if isinstance(s, type) and getattr(s, "task", None) == task))
    with initialize_config_module("conf", version_base="1.3"):
        yield


def members(group: str) -> list[str]:
    """``task: overrides`` for every file of a group that a task can use."""
    found = []
    for path in sorted((CONF / group).rglob("*.yaml")):
        name = path.relative_to(CONF / group).with_suffix("").as_posix()
        owner = name.split("/")[0]
        found += [f"{task} {name}" for task in ([owner] if owner in TASKS else TASKS)]
    return found


def check(task: str, overrides: list[str]) -> dict[str, Any]:
    config = compose(task, overrides)
    assert not OmegaConf.missing_keys(config)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    made = resolve(plain["task_class"])(plain)
    torch.manual_seed(0)
    networks = made.networks()
    assert networks.keys() == set(made.network_names)
    for stage in made.stages():
        for update in stage.updates:
            parameters = [p for name in update.networks for p in networks[name].parameters()]
            build(update.optimizer, parameters)
            assert build(update.scheduler).factor(0, stage.steps) >= 0
    return plain


@pytest.mark.parametrize("case", [case for group in ("experiment", "debug") for case in members(group)])
def test_experiments(case: str) -> None:
    task, name = case.split()
    group = "debug" if (CONF / "debug" / f"{name}.yaml").exists() else "experiment"
    overrides = [f"+{group}={name}"]
    text = (CONF / group / f"{name}.yaml").read_text()
    if "dataset: mixed" in text:
        overrides += GIVEN["mixed"]
    check(task, overrides)


@pytest.mark.parametrize("case", members("sweep"))
def test_sweeps(case: str) -> None:
    """Every member that a sweep file starts."""
    task, name = case.split()
    sweep = f"+sweep={name}"
    hydra = compose(task, [sweep], return_hydra_config=True).hydra
    assert hydra.mode == RunMode.MULTIRUN, f"{name}: without hydra.mode: MULTIRUN only one member would run"
    choices = [[f"{key}={value}" for value in values.split(",")] for key, values in hydra.sweeper.params.items()]
    assert choices
    for overrides in product(*choices):
        check(task, [sweep, *overrides])


@pytest.mark.parametrize(
    "group", ["dataset", "model", "loss", "optimizer", "scheduler", "augmentation", "trainer", "logger"]
)
def test_members_of_groups(group: str) -> None:
    for case in members(group):
        task, name = case.split()
        given = GIVEN.get(name, []) if group == "dataset" else []
        without_targets = ["loss=upe/no_reference"] if (task, name) == ("upe", "unpaired") else []
        check(task, [f"{group}={name}", *given, *without_targets])


FILES = sorted(path for group in ("experiment", "sweep") for path in (CONF / group).rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiment_files_say_what_they_cost_and_bring(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0] == "# @package _global_"
    head = "\n".join(line for line in lines[:12] if line.startswith("#"))
    for word in ("python -m tasks.", "Cost:", "Expect:"):
        assert word in head, f"{path}: its head does not give '{word}'"
