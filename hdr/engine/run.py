"""Run folders: where they lie, what identifies a run, what is recorded, who may write."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.io.atomic import write_atomically

LAST, BEST, PACKAGE, METRICS = "last.safetensors", "best.safetensors", "package", "metrics.jsonl"

# Keys that do not change what a run computes: a resumed run may differ in them.
NOT_IDENTITY = (
    "resume", "device", "input", "output", "overwrite", "source", "shard", "evaluation", "logger", "paths",
    "trainer.workers", "trainer.log_every", "trainer.checkpoint_every", "trainer.panel_every", "trainer.compile",
)  # fmt: skip


def run_folder(runs: str, task: str, name: str, mode: str, resume: str | None) -> str:
    """The folder of a run; Hydra asks for it through the resolver ``hdr.run_folder``.

    A new run gets a folder of its own, named by the microsecond. Under torchrun all ranks get the same one, named
    after the launcher. ``resume`` names a folder, or ``last``: the newest unfinished run of this task and name.
    """
    parent = Path(runs) / task / (name if mode == "train" else mode)
    if resume == "last":
        unfinished = [path.parent for path in parent.glob(f"*/{LAST}") if not (path.parent / PACKAGE).exists()]
        if not unfinished:
            print(f"resume=last: there is no unfinished run in {parent}", file=sys.stderr)
            raise SystemExit(2)  # a resolver's exceptions would be buried in the configuration library's own
        return str(max(unfinished, key=lambda folder: (folder / LAST).stat().st_mtime))
    if resume:
        if not (Path(resume) / LAST).exists():
            print(f"resume={resume}: no checkpoint ({LAST}) in that folder", file=sys.stderr)
            raise SystemExit(2)
        return resume
    return str(parent / _stamp())


def _stamp() -> str:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return f"{datetime.datetime.now():%Y%m%d-%H%M%S-%f}"
    launch = os.environ["TORCHELASTIC_RUN_ID"]
    if launch in ("none", ""):
        if int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1:
            print("torchrun on several nodes needs --rdzv-id, so that all nodes share one run folder", file=sys.stderr)
            raise SystemExit(2)
        # the launcher's process id and start time (field 22 of proc(5)'s stat), which all of its ranks see alike
        launcher = os.getppid()
        started = Path(f"/proc/{launcher}/stat").read_text().rsplit(")", 1)[1].split()[19]
        launch = f"{launcher}-{started}"
    return f"torchrun-{launch}"


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_yaml(path: Path, content: Any) -> None:
    """Write ``content`` as YAML in its own order, whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@contextlib.contextmanager
def claim(folder: Path, config: Plain, main_process: bool) -> Iterator[None]:
    """Hold a run folder for one process group; record configuration and environment; refuse a different run's folder.

    Raises:
        UserError: another process is using the folder, or it belongs to a run with another configuration.
    """
    if not main_process:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            # a record lock: loader workers do not inherit it, so it ends with this process
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another process is working in this run folder") from None
        recorded = folder / "config.yaml"
        if recorded.exists():
            changes = differences(yaml.safe_load(recorded.read_text()), config)
            if changes:
                raise UserError(
                    f"{folder} belongs to a run with another configuration ({'; '.join(changes)}). "
                    "Give the same settings to continue it, or leave out resume= to start a new run."
                )
        else:
            write_yaml(recorded, config)
            write_json(folder / "environment.json", environment())
        yield


def differences(before: Plain, now: Plain) -> list[str]:
    """``key: old -> new`` for each key that belongs to a run's identity and differs."""
    old, new = _flat(before), _flat(now)
    return [
        f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, "absent") != new.get(key, "absent")
        and not any(key == skip or key.startswith(f"{skip}.") for skip in NOT_IDENTITY)
    ]


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict):
        flat: dict[str, Any] = {}
        for key, value in node.items():
            flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
        return flat
    return {prefix: list(node) if isinstance(node, tuple) else node}


def environment() -> dict[str, Any]:
    """What one needs to know to repeat a run: versions, the commit, uncommitted changes, the command."""
    packages = {}
    for name in ("torch", "accelerate", "numpy", "kornia", "hydra-core", "rawpy", "opencv-python-headless"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return {
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": packages,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": _git("diff", "HEAD"),
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
