"""No room imports from a room above it, and no task imports another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# each room, and the rooms of hdr that it may use
FLOORS = {
    "ops": {"ops"},
    "io": {"ops", "io"},
    "losses": {"ops", "losses"},
    "metrics": {"ops", "metrics"},
    "data": {"ops", "io", "losses", "metrics", "data"},
    "models": {"ops", "io", "losses", "metrics", "data", "models"},
    "engine": {"ops", "io", "losses", "metrics", "data", "models", "engine"},
}
FILES = [path for top in ("hdr", "tasks", "experiments") for path in sorted((REPOSITORY / top).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_arrows_point_down(path: Path) -> None:
    room = path.relative_to(REPOSITORY).parts
    for name in imported(path):
        parts = name.split(".")
        if room[0] == "hdr":
            assert parts[0] not in ("tasks", "experiments", "conf"), f"{path} imports {name}"
            if parts[0] == "hdr" and len(parts) > 1 and len(room) > 2 and parts[1] not in ("errors", "progress"):
                assert parts[1] in FLOORS[room[1]], f"{path} imports {name}"
        if room[0] == "tasks" and parts[0] == "tasks" and len(parts) > 1 and len(room) > 2:
            assert parts[1] == room[1], f"{path} imports {name}"
        if room[0] == "tasks":
            assert parts[0] != "experiments", f"{path} imports {name}"


LONG = {
    "_bilateral_kernels.py",  # numba's cache does not notice changes in other files, so the kernels stay in one
}


@pytest.mark.parametrize("path", [path for path in FILES if path.name not in LONG])
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350, f"{path} hides a second room"
