"""The examples in the README of this room run, one after another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

import hdr.ops

README = Path(hdr.ops.__file__).with_name("README.md")


def test_examples_run() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S):
        exec(block, names)
    assert names["samples"].shape == (4, 1, 128, 192)
    for name in ("linear", "photo", "again", "radiance", "fused"):
        assert names[name].shape == (4, 3, 128, 192)
        assert torch.isfinite(names[name]).all()
    # The bracket was made without noise, so that merging gives back what was not clipped in every frame.
    kept = names["light"] < 1
    torch.testing.assert_close(
        (names["radiance"] / names["times"][1].reciprocal())[kept], names["light"][kept], rtol=1e-3, atol=1e-4
    )


def test_the_table_names_every_module() -> None:
    text = README.read_text(encoding="utf-8")
    for path in README.parent.glob("[a-z]*.py"):
        if path.stem != "rounding":  # a part of others
            assert f"`{path.stem}`" in text
