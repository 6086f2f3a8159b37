"""How long a command takes before it does anything: ``python -m experiments.benchmarks.startup``.

Baseline, in the same run: importing torch alone, which the command line avoids until there is work to do.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

COMMANDS = {
    "import torch (baseline)": ["-c", "import torch"],
    "python -m tasks.upe --help": ["-m", "tasks.upe", "--help"],
    "python -m tasks.upe --cfg job": ["-m", "tasks.upe", "--cfg", "job"],
}


def measure(repetitions: int = 7) -> dict[str, list[float]]:
    """Wall seconds of each command, taken in turn so that a noisy moment touches all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(repetitions + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            if turn:  # the first round fills the caches
                seconds[name].append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Print medians, spread and the ratio to the baseline."""
    seconds = measure()
    baseline = statistics.median(seconds["import torch (baseline)"])
    table = Table(title="start-up, seconds", title_justify="left")
    for heading in ("command", "median", "min", "max", "ratio"):
        table.add_column(heading, justify="left" if heading == "command" else "right")
    for name, values in seconds.items():
        median = statistics.median(values)
        table.add_row(name, f"{median:.2f}", f"{min(values):.2f}", f"{max(values):.2f}", f"{median / baseline:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
