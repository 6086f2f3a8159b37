"""The examples in the README of this room run, one after another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import hdr.io
from hdr.io import write_image
from hdr.io.exr import COMPRESSIONS
from hdr.io.image import _BITS
from tests.io.made_hdr import scene
from tests.io.made_sensor import flat_mosaic, sensor_dng

README = Path(hdr.io.__file__).with_name("README.md")


def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("room.exr", scene(90, 120), encoding="linear")
    sensor_dng(Path("IMG_0001.NEF"), flat_mosaic(64, 96, "GBRG", {"R": 900, "G": 1800, "B": 700}), pattern="GBRG")
    Path("frame.raw").write_bytes(bytes(1920 * 1080 * 2))
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 5
    for block in blocks:
        exec(block, names)
    assert (names["sdr"].encoding, names["hdr"].encoding, names["again"].metadata.bits) == ("display", "linear", 12)
    assert names["linear"].shape == (3, 32, 48)
    assert torch.equal(hdr.io.read_sensor("copy.dng").samples, names["image"].samples)
    assert torch.equal(hdr.io.read_image("room-copy.exr").pixels, names["photo"].pixels)


def test_tables_name_every_format_and_compression() -> None:
    text = README.read_text(encoding="utf-8")
    for suffix in hdr.io.WRITABLE_SUFFIXES:
        assert f"{suffix} " in text
    for name in COMPRESSIONS:
        assert f"`{name}`" in text
    assert set(_BITS) == set(hdr.io.WRITABLE_SUFFIXES.values())
