"""What benchmarks measure with, time, memory bandwidth and bytes that operations move, and how they keep figures."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hdr.io.atomic import write_atomically


def clock(call: Callable[[], Tensor], device: str) -> float:
    """Wall seconds of one call, its work on the device included."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def copy_bandwidth(device: str) -> float:
    """Bytes read and written per second by the fastest of several copies that no cache holds."""
    source = torch.ones(1 << 26, device=device)
    target = torch.empty_like(source).copy_(source)
    return 2 * source.nbytes / min(clock(lambda: target.copy_(source), device) for _ in range(7))


def save_record(path: Path, measurements: Sequence[dict[str, Any]]) -> None:
    """Write figures as JSON, with what they were measured on."""
    record = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "measurements": list(measurements),
    }
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")


class Traffic(TorchDispatchMode):
    """Context that adds up, in ``bytes``, what goes into and comes out of torch operations other than views."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += sum(leaf.nbytes for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
        return result
