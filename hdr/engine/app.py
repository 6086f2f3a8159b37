"""The entry point behind ``python -m tasks.<name>``: composition, guards, exit status. Loads torch only to do the work.

Exit status: 0 done, 1 a defect (with its traceback), 2 something that the user can put right (one message),
130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hdr.engine.config import Plain, RunConfig
from hdr.engine.guards import check_arguments, check_composed
from hdr.engine.run import run_folder
from hdr.errors import UserError

log = logging.getLogger(__name__)

MODES = ("train", "evaluate", "predict", "export", "prepare")


class _Jobs:
    """What happened in this process, for the exit status: Hydra itself knows only 0 and 1."""

    started = 0
    mistakes = 0  # UserErrors
    defects = 0  # everything else


def register_task(name: str, schema: type[RunConfig]) -> None:
    """Make a task's schema and our resolver known to Hydra."""
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    OmegaConf.register_new_resolver("hdr.run_folder", run_folder, replace=True, use_cache=True)


def main(name: str, schema: type[RunConfig]) -> None:
    """Run the command line of task ``name``, and exit."""
    register_task(name, schema)
    # Loader workers and torch's threads share the cores: a thread that waits must not burn the one that it waits for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        check_arguments(sys.argv[1:])
        hydra.main(version_base="1.3", config_path="pkg://conf", config_name=name)(job)()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        # Hydra exits with 1 when the configuration cannot be composed, which is the user's to mend
        if end.code == 1 and not _Jobs.defects:
            sys.exit(2)
        raise
    if _Jobs.started == 0 and {"-m", "--multirun"} & set(sys.argv):
        if _runs_elsewhere(sys.argv):
            return
        print("the sweep has no members: nothing was run", file=sys.stderr)
        sys.exit(2)


def _runs_elsewhere(arguments: list[str]) -> bool:
    return any(argument.startswith(("hydra/launcher=", "+cluster=", "+cluster/")) for argument in arguments)


def job(config: DictConfig) -> Any:
    """One run: check the composed configuration and do what its mode says. Hydra calls this, also on a cluster."""
    _Jobs.started += 1
    if int(os.environ.get("RANK", "0")) > 0:
        logging.getLogger().setLevel(logging.WARNING)  # one rank tells the story
    try:
        check_composed(config, HydraConfig.get())
        plain: Plain = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
        return dispatch(plain, Path(HydraConfig.get().runtime.output_dir))
    except UserError as error:
        _Jobs.mistakes += 1
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            log.error("%s", error)  # the other members go on; Hydra itself reports only the first failure, at the end
            raise HydraException(str(error)) from None
        print(error, file=sys.stderr)
        sys.exit(2)
    except Exception:
        _Jobs.defects += 1
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            log.exception("this member of the sweep failed")
        raise


def dispatch(config: Plain, folder: Path) -> Any:
    """Do what ``mode`` says with a resolved configuration; ``folder`` is the run folder.

    Returns:
        For a sweeper: the best value of the monitored figure when training, otherwise None.
    """
    from hdr.engine import modes

    mode = config["mode"]
    folder.mkdir(parents=True, exist_ok=True)
    if mode in MODES:
        return getattr(modes, mode)(config, folder)
    return modes.other(config, folder)
