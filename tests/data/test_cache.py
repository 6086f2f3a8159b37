"""The tensor cache: what is read is what was stored, and damage is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.data.cache import (
    Entry,
    entry_is_sound,
    entry_key,
    entry_path,
    pack_pixels,
    read_index,
    unpack_pixels,
    write_entry,
)
from hdr.errors import UserError

# pixels --------------------------------------------------------------------------------------------------------------


def test_an_8_bit_photo_is_stored_in_8_bits_without_loss() -> None:
    display = torch.arange(256).float().reshape(1, 16, 16) / 255
    stored, facts = pack_pixels(display, "display")
    assert stored.dtype == torch.uint8
    assert torch.equal(unpack_pixels(stored, facts), display)


def test_other_display_pixels_are_stored_in_16_bits() -> None:
    sixteen = torch.arange(65536).float().reshape(1, 256, 256) / 65535
    stored, facts = pack_pixels(sixteen, "display")
    assert stored.dtype == torch.uint16
    torch.testing.assert_close(unpack_pixels(stored, facts), sixteen, rtol=0, atol=1e-7)


@settings(deadline=None)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_linear_pixels_keep_11_bits_at_any_scale(values: list[float]) -> None:
    linear = torch.tensor(values, dtype=torch.float32).reshape(1, 1, -1)
    stored, facts = pack_pixels(linear, "linear")
    assert stored.dtype == torch.float16
    error = (unpack_pixels(stored, facts).double() - linear.double()).abs()
    # half keeps 11 bits of normal numbers; below 2**-29 of the maximum its step is 2**-39 of the maximum
    largest = linear.abs().max().double().clamp(min=2.0**-111)
    assert bool((error <= torch.maximum(linear.double().abs() * 2**-11, largest * 2**-39)).all())


def test_infinities_and_nan_stay_what_they_are() -> None:
    linear = torch.tensor([[[float("inf"), float("nan"), -float("inf"), 90_000.0, 0.0]]])
    back = unpack_pixels(*pack_pixels(linear, "linear"))
    torch.testing.assert_close(back, linear, rtol=2**-11, atol=0, equal_nan=True)
    zeros = torch.zeros(3, 2, 2)
    assert torch.equal(unpack_pixels(*pack_pixels(zeros, "linear")), zeros)


# entries -------------------------------------------------------------------------------------------------------------


def entry(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "a": torch.randint(0, 65536, (3, 20, 31), generator=generator, dtype=torch.int32).to(torch.uint16),
        "b": torch.rand(1, 20, 31, generator=generator).half(),
    }
    path = entry_path(folder, "00ff")
    write_entry(path, "00ff", tensors, {"ev": -1.5, "cfa": "RGGB"})
    return path, tensors


def test_windows_are_read_as_written(tmp_path: Path) -> None:
    path, tensors = entry(tmp_path)
    with Entry(path) as opened:
        assert opened.facts == {"ev": -1.5, "cfa": "RGGB"}
        assert sorted(opened.names()) == ["a", "b"]
        for name, tensor in tensors.items():
            assert opened.shape(name) == tuple(tensor.shape)
            assert torch.equal(opened.read(name), tensor)
            part = opened.read(name, (3, 5, 7, 11))
            assert torch.equal(part, tensor[:, 3:10, 5:16])
            part.add_(1) if part.is_floating_point() else None  # what was read belongs to the reader
        assert opened.intact()


def test_what_an_entry_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not a torch\.float32"):
        write_entry(tmp_path / "x.safetensors", "x", {"a": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match="not nothing"):
        write_entry(tmp_path / "x.safetensors", "x", {}, {})


def test_damage_is_found(tmp_path: Path) -> None:
    path, _ = entry(tmp_path)
    content = path.read_bytes()
    assert entry_is_sound(path, "00ff", every_byte=True)
    assert not entry_is_sound(path, "00fe")
    assert not entry_is_sound(tmp_path / "none.safetensors", "00ff")
    for length in (0, 7, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert not entry_is_sound(path, "00ff")
        with pytest.raises(
            UserError, match=r"00ff\.safetensors: this cache entry is damaged .*; mode=prepare builds it"
        ):
            Entry(path)
    path.write_bytes(content + b"\0")
    assert not entry_is_sound(path, "00ff")
    for place in range(len(content) - 1, 8, -97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        assert not entry_is_sound(path, "00ff", every_byte=True), place


def test_keys_depend_on_all_that_matters() -> None:
    keys = {
        entry_key({"input": "1"}, {"long_edge": None}),
        entry_key({"input": "2"}, {"long_edge": None}),
        entry_key({"target": "1"}, {"long_edge": None}),
        entry_key({"input": "1"}, {"long_edge": 512}),
        entry_key({"input": "1", "target": "1"}, {"long_edge": None}),
    }
    assert len(keys) == 5
    assert entry_key({"a": "1", "b": "2"}, {"x": 1, "y": 2}) == entry_key({"b": "2", "a": "1"}, {"y": 2, "x": 1})


def test_slices_are_read_from_the_mapped_file(tmp_path: Path) -> None:
    """A small window of a large entry costs a small part of what the whole costs."""
    tensor = torch.zeros(3, 3000, 4000, dtype=torch.uint16)
    path = entry_path(tmp_path, "aa")
    write_entry(path, "aa", {"input": tensor}, {})

    def seconds(window: tuple[int, int, int, int] | None) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            with Entry(path) as opened:
                opened.read("input", window)
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds((100, 200, 256, 256)) < seconds(None) / 5


def test_index_updates_of_several_processes_add_up(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from hdr.data.cache import update_index
from hdr.data.manifest import Record
here = Path(sys.argv[1])
(here / sys.argv[2]).touch()
while not (here / "a").exists() or not (here / "b").exists():
    time.sleep(0.01)
for i in range(40):
    update_index(here, [Record(id=f"{sys.argv[2]}-{i}", paths={"cache": Path("x")})])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], env=environment) for name in "ab"]
    assert [process.wait(300) for process in run] == [0, 0]
    assert len(read_index(tmp_path)) == 80
