"""The commands that the READMEs mark as runnable run, on the smallest data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

READMES = [
    REPOSITORY / "README.md",
    *sorted(path for room in ("tasks", "hdr", "experiments") for path in (REPOSITORY / room).rglob("README.md")),
]
COMMANDS = sorted(
    {
        (path.relative_to(REPOSITORY).parent.as_posix(), line.strip())
        for path in READMES
        for block in re.findall(r"```bash run\n(.*?)```", path.read_text(), re.S)
        for line in block.splitlines()
        if line.strip()
    }
)


@pytest.mark.slow
@pytest.mark.parametrize(("readme", "line"), COMMANDS, ids=[f"{readme}: {line}" for readme, line in COMMANDS])
def test_commands_run(readme: str, line: str, tmp_path: Path) -> None:
    words = shlex.split(line)
    assert words[:2] == ["python", "-m"]
    small = ["+debug=smoke", "device=cpu", "dataset.size=32"]
    done = subprocess.run(
        [sys.executable, *words[1:], *small],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_there_are_commands_to_run() -> None:
    assert len(COMMANDS) >= 5


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    for path in [*READMES, REPOSITORY / "CONTRIBUTING.md"]:
        named = set(re.findall(r"(?:`|^)make ([a-z-]+(?: [a-z-]+)*)", path.read_text(), re.M))
        for target in {word for names in named for word in names.split()[:1]}:
            assert target in targets, f"{path.name}: make {target}"


def test_links_lead_somewhere() -> None:
    for path in [*READMES, REPOSITORY / "CONTRIBUTING.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path}: {link}"
