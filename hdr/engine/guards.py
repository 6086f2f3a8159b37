"""Commands that Hydra would accept and do something else with than their writer meant."""

from __future__ import annotations

import re
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hdr.errors import UserError


def check_arguments(arguments: list[str]) -> None:
    """Refuse command lines that would silently do the wrong thing.

    Raises:
        UserError: several sweep files in one command (only a part would run); a glob over a group's sub-folder in a
            form that matches nothing.
    """
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key.lstrip("+") == "sweep" and "," in value:
            raise UserError(
                f"{argument}: one sweep file per command; of several, only a part would run. Start them one by one."
            )
        pattern = re.match(r"glob\((.*)/([^/]*)\)$", value)
        if pattern:
            folder, rest = pattern.groups()
            raise UserError(f"{argument}: this pattern matches nothing; write {key}/{folder}=glob({rest})")


def check_composed(config: DictConfig, hydra: Any) -> None:
    """Refuse a composed configuration that cannot do what it says.

    Raises:
        UserError: a value is missing; a launcher was chosen but this is no multirun, so everything would run here; a
            sweep's sub-folder depends on the time, so a requeued job would not find its checkpoint.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(
            f"no value for {', '.join(missing)}: give {missing[0]}=... on the command line, or choose a group "
            "member that sets it"
        )
    launcher = hydra.runtime.choices.get("hydra/launcher", "basic")
    if hydra.mode == RunMode.RUN and launcher != "basic":
        raise UserError(
            f"hydra/launcher={launcher} is used by a multirun only: without -m this would run here, on this machine. "
            "Add -m, or use a +cluster= file, which sets it."
        )
    if hydra.mode == RunMode.MULTIRUN and config.get("resume"):
        raise UserError("resume= does nothing in a multirun; to continue a sweep give hydra.sweep.dir=<its folder>")
    raw: Any = OmegaConf.to_container(hydra, resolve=False)
    if "now:" in str(raw["sweep"]["subdir"]):
        raise UserError(
            f"hydra.sweep.subdir: '{raw['sweep']['subdir']}' contains the time; a requeued job would start in a new "
            "folder, without its checkpoint. Use ${hydra.job.num}."
        )
