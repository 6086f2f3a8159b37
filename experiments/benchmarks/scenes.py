"""How fast scenes are drawn, family by family: ``python -m experiments.benchmarks.scenes``.

Baseline, in the same run and in turn with the others: one perspective view of a 1024 x 512 panorama at the same size,
which is what real light of the same kind costs once its file is decoded. One thread throughout; times are those that
the thread spent on a core, so that other work on the machine adds little.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hdr.data.panoramas import perspective_view
from hdr.data.scenes import FAMILIES, render_scene
from hdr.io.atomic import write_atomically

VIEW = "view of a panorama (baseline)"


@dataclass(frozen=True)
class Measurement:
    """Times of one kind of picture at one size, in milliseconds."""

    kind: str
    size: int
    median: float
    percentile_95: float
    slowest: float
    per_second: float
    ratio: float
    """Median time of the baseline over that of this kind."""


def measure(size: int, count: int) -> list[Measurement]:
    """Times of ``count`` square pictures of each kind; each seed goes through all kinds before the next."""
    panorama = torch.rand((3, 512, 1024), generator=torch.Generator().manual_seed(0))
    forms: dict[str, Callable[[int], object]] = {VIEW: lambda seed: _view(panorama, seed, size)}
    for family in FAMILIES:
        forms[family] = lambda seed, family=family: render_scene(seed, (size, size), family)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in forms}
    for draw in forms.values():
        draw(0)  # tables and code are made ready on first use
    for seed in track(range(count), f"{size} x {size}", disable=not sys.stderr.isatty()):
        for name, draw in forms.items():
            started = time.thread_time()
            draw(seed)
            times[name].append(1e3 * (time.thread_time() - started))
    return [
        Measurement(
            kind=name,
            size=size,
            median=median(values),
            percentile_95=float(np.percentile(values, 95)),
            slowest=max(values),
            per_second=1e3 * len(values) / sum(values),
            ratio=median(times[VIEW]) / median(values),
        )
        for name, values in times.items()
    ]


def _view(panorama: torch.Tensor, seed: int, size: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    yaw, pitch, roll = rng.uniform(-3.0, 3.0), rng.uniform(-0.25, 0.25), rng.normal(0.0, 0.03)
    return perspective_view(panorama, yaw, pitch, roll, float(rng.uniform(0.8, 1.5)), (size, size))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512], help="sides of square pictures")
    parser.add_argument("--count", type=int, default=40, help="seeds per family and size")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures; replaces a file there")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rows = [row for size in arguments.sizes for row in measure(size, arguments.count)]
    table = Table(title=f"{arguments.count} seeds each, one thread, milliseconds", title_justify="left")
    for heading in ("pictures", "size", "median", "95 %", "slowest", "per second", "ratio"):
        table.add_column(heading, justify="left" if heading == "pictures" else "right", no_wrap=True)
    for row in rows:
        figures = (f"{value:.1f}" for value in (row.median, row.percentile_95, row.slowest, row.per_second))
        table.add_row(row.kind, str(row.size), *figures, f"{row.ratio:.2f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if arguments.json:
        record = {"machine": platform.machine(), "measurements": [asdict(row) for row in rows]}
        with write_atomically(arguments.json) as temporary:
            Path(temporary).write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
