"""The tables in the README are those that were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "tasks" / "exposure_selection"


def rows(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Methods as lines of a Markdown table."""
    lines = []
    for name, cells in table.items():
        psnr, regret = cells["PSNR"], cells["regret"]
        near = "" if "≤0.5 dB" not in cells else f"{cells['≤0.5 dB']['mean']:.2f}"
        lines.append(
            f"| {name} | {psnr['mean']:.2f} [{psnr['low']:.2f}, {psnr['high']:.2f}] | {regret['mean']:.2f} | {near} | "
            f"{cells['captures']['mean']:.1f} | {cells['time']['mean']:.1f} |"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["held-out", "exr-photographs"])
def test_tables_are_the_measured_ones(name: str) -> None:
    measured = json.loads((FOLDER / "results" / f"{name}.json").read_text())["tables"]["all"]
    assert rows(measured) in (FOLDER / "README.md").read_text()
