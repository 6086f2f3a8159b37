"""Result tables for the terminal and for Markdown."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from hdr.engine.task import EvaluationProtocol


def print_tables(result: dict[str, Any], protocol: EvaluationProtocol) -> None:
    """Print what ``mode=evaluate`` found on standard output."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"protocol: {result['protocol']}", highlight=False, soft_wrap=True)
    for subset, table in result["tables"].items():
        shown = Table(
            title=f"{subset} ({table['model'][protocol.metrics[0].name]['count']} samples)", title_justify="left"
        )
        shown.add_column("method")
        for heading in _headings(protocol):
            shown.add_column(heading, justify="right")
        for method, row in table.items():
            style = "bold" if method == "model" else "dim" if method in protocol.oracles else ""
            shown.add_row(_label(method, protocol), *_figures(row, protocol), style=style)
        console.print(shown)
    for line in [*_gap_lines(result), _cost_line(result)]:
        console.print(line, highlight=False, soft_wrap=True)


def tables_as_markdown(result: dict[str, Any], protocol: EvaluationProtocol) -> str:
    """The same as Markdown."""
    data = ", ".join(f"{key} {value}" for key, value in result["data"].items() if value is not None)
    lines = [f"Model: {result['checkpoint']}. Data, split {result['split']}: {data}.", ""]
    lines += [f"Protocol: {result['protocol']}", ""]
    for subset, table in result["tables"].items():
        count = table["model"][protocol.metrics[0].name]["count"]
        lines += [f"**{subset}** ({count} samples)", "", f"| method | {' | '.join(_headings(protocol))} |"]
        lines.append("|---|" + "---:|" * len(protocol.metrics))
        for method, row in table.items():
            name = _label(method, protocol)
            lines.append(f"| {f'**{name}**' if method == 'model' else name} | {' | '.join(_figures(row, protocol))} |")
        lines.append("")
    return "\n".join([*lines, *_gap_lines(result), "", _cost_line(result), ""])


def _headings(protocol: EvaluationProtocol) -> list[str]:
    return [f"{m.name} {m.unit} {'↑' if m.higher_is_better else '↓'}".replace("  ", " ") for m in protocol.metrics]


def _label(method: str, protocol: EvaluationProtocol) -> str:
    return f"{method} (oracle)" if method in protocol.oracles else method


def _figures(row: dict[str, Any], protocol: EvaluationProtocol) -> list[str]:
    cells = []
    for metric in protocol.metrics:
        cell = row.get(metric.name)
        if cell is None:
            cells.append("")
            continue
        d = metric.digits
        cells.append(f"{cell['mean']:.{d}f} [{cell['low']:.{d}f}, {cell['high']:.{d}f}]")
    return cells


def _gap_lines(result: dict[str, Any]) -> list[str]:
    return [
        f"{subset}: the model closes {gap['share']:.0%} of the gap in {gap['metric']} between the best baseline "
        f"({gap['baseline']}) and the best oracle ({gap['oracle']})"
        for subset, gap in result["closed_gap"].items()
    ]


def _cost_line(result: dict[str, Any]) -> str:
    cost = result["cost"]
    seconds = cost["median_seconds_per_sample"]
    time = f", {seconds * 1000:.1f} ms per sample (median)" if seconds is not None else ""
    memory = f"peak memory {cost['peak_memory_bytes'] / 2**20:,.0f} MiB"
    return f"cost: {cost['parameters']:,} parameters{time}, {memory}, on {cost['device']}"
