"""Checkpoints keep every value, and an earlier one survives whatever happens to the next."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from hdr.engine.checkpoint import load_checkpoint, save_checkpoint
from hdr.errors import UserError

CONTENT = {
    "networks": {"model": {"weight": torch.randn(3, 4), "count": torch.tensor(5)}},
    "optimizer": {
        "state": {0: {"step": torch.tensor(2.0), "exp_avg": torch.randn(3, 4)}},
        "groups": [{"lr": 0.1, "params": [0]}],
    },
    "best": None,
    "step": 12,
    "name": "größe",
    "half": torch.randn(5).half(),
}


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b and type(a) is type(b)


def test_round_trip_keeps_every_value_and_key_type(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", CONTENT)
    assert same(load_checkpoint(tmp_path / "a.safetensors"), CONTENT)


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, CONTENT)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as stream:
            stream.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="disk is full"):
        save_checkpoint(path, {**CONTENT, "step": 13})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign"])
def test_unreadable_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.safetensors"
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        save_checkpoint(path, CONTENT)
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"x\.safetensors"):
        load_checkpoint(path)


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="/networks/f"):
        save_checkpoint(tmp_path / "x.safetensors", {"networks": {"f": len}})
