"""``mode=predict``: the task's work on each of the user's files; one bad file does not stop the others."""

from __future__ import annotations

import logging
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hdr.engine.run import write_json
from hdr.engine.task import Task
from hdr.errors import UserError
from hdr.progress import progress_bar

log = logging.getLogger(__name__)


@torch.no_grad()
def predict(task: Task, networks: dict[str, nn.Module], output: Path) -> dict[str, Any]:
    """Work through ``input``, write below ``output`` with a ``summary.json``; returns the summary.

    Raises:
        UserError: nothing to do, or (at the end, after all good files are done) some files failed.
    """
    files = task.inputs()
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with progress_bar("predict", len(files)) as bar:
        for path in files:
            bar.note(path.name)
            started = time.perf_counter()
            try:
                result = task.predict_file(networks, path, output)
                done.append({"file": str(path), "seconds": round(time.perf_counter() - started, 3), **result})
            except UserError as error:
                failed.append({"file": str(path), "reason": str(error)})
                log.warning("%s", error)
            except Exception as error:  # a defect of ours on one file must not cost the user the others
                failed.append({"file": str(path), "reason": f"{path}: {type(error).__name__}: {error}"})
                log.error("%s: %s", path, traceback.format_exc())
            bar.advance()
    summary = {"done": done, "failed": failed}
    write_json(output / "summary.json", summary)
    log.info("%d of %d files done, in %s", len(done), len(files), output)
    if failed:
        lines = "\n".join(f"  {item['reason']}" for item in failed)
        raise UserError(f"{len(failed)} of {len(files)} files failed (see {output / 'summary.json'}):\n{lines}")
    return summary
