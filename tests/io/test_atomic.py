"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hdr.io.atomic import write_atomically


def test_a_new_file_appears_with_the_users_permissions(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "a.txt") as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("all of it")
        assert not (tmp_path / "a.txt").exists()
    plain = tmp_path / "plain.txt"
    plain.write_text("")
    assert (tmp_path / "a.txt").read_text() == "all of it"
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "a.txt"
    if there:
        path.write_text("before")

    def interrupted() -> None:
        with write_atomically(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == (["a.txt"] if there else [])
    assert not there or path.read_text() == "before"
