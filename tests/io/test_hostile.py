"""Damaged, truncated, misnamed and boasting files of every format: one message each, no crash, bounded memory."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.io import Metadata, write_image
from hdr.io.jpeg_parts import pictures
from tests.io.made import XMP, exif_block

SIZE = (48, 64)
KINDS = {
    "jpeg": ("x.jpg", "display", {}),
    "gain-map": ("x.jpg", "linear", {}),
    "png": ("x.png", "display", {"bits": 16}),
    "pq-png": ("x.png", "linear", {}),
    "tiff": ("x.tif", "display", {"bits": 16}),
    "float-tiff": ("x.tif", "linear", {}),
    "webp": ("x.webp", "display", {}),
    "avif": ("x.avif", "display", {}),
    "pq-avif": ("x.avif", "linear", {}),
    "jxl": ("x.jxl", "display", {"bits": 16}),
    "float-jxl": ("x.jxl", "linear", {}),
    "zip-exr": ("x.exr", "linear", {}),
    "piz-exr": ("x.exr", "linear", {"compression": "piz"}),
    "dwaa-exr": ("x.exr", "linear", {"compression": "dwaa"}),
    "hdr": ("x.hdr", "linear", {}),
}
TRUNCATIONS, FLIPS = 20, 20


def whole_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Content and suffix of a small sound file of each kind, with metadata."""
    display = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
    metadata = Metadata(format="png", bits=8, exif=exif_block(), xmp=XMP)
    found = {}
    for kind, (name, encoding, options) in KINDS.items():
        pixels = display if encoding == "display" else display * 6
        write_image(folder / name, pixels, encoding=encoding, metadata=metadata, overwrite=True, **options)  # type: ignore[arg-type]
        found[kind] = (folder / name).read_bytes(), Path(name).suffix
    return found


def with_absurd_size(kind: str, data: bytes) -> bytes | None:
    """The file with a header that promises thousands of megapixels; None for WebP, which cannot say so."""
    if kind.endswith("png"):
        return data[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + data[24:]
    if kind in ("jpeg", "gain-map"):
        first = next(pictures(data))[0] if kind == "jpeg" else list(pictures(data))[1][0]
        start = data.index(b"\xff\xc0\0\x11\x08", first) + 5
        return data[:start] + struct.pack(">HH", 65500, 65500) + data[start + 4 :]
    if kind.endswith("tiff"):
        for tag in (256, 257):
            entry = struct.pack("<HHI", tag, 4, 1)
            place = data.index(entry) + 8
            data = data[:place] + struct.pack("<I", 2**31) + data[place + 4 :]
        return data
    if kind.endswith("avif"):
        place = data.index(b"ispe") + 8
        return data[:place] + struct.pack(">II", 2**31, 2**31) + data[place + 8 :]
    if kind.endswith("jxl"):  # not small, height in 30 bits, as wide as high
        bits = 0 | 3 << 1 | (2**30 - 1) << 3 | 1 << 33
        return b"\xff\x0a" + bits.to_bytes(8, "little") + data[-200:]
    if kind.endswith("exr"):
        place = data.index(b"dataWindow\0box2i\0") + 17 + 4
        return data[:place] + struct.pack("<4i", 0, 0, 30000, 30000) + data[place + 16 :]
    if kind == "hdr":
        return data.replace(b"-Y 48 +X 64\n", b"-Y 1000000 +X 1000000\n")
    return None


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("hostile")
    damaged = folder / "files"
    damaged.mkdir()
    whole = whole_files(folder)
    for index, (kind, (data, suffix)) in enumerate(whole.items()):
        generator = np.random.default_rng([7, index])
        for number in range(TRUNCATIONS):
            (damaged / f"{kind}-cut-{number}{suffix}").write_bytes(data[: int(generator.integers(1, len(data)))])
        for number in range(FLIPS):
            changed = bytearray(data)
            reach = len(data) if number % 2 else min(len(data), 800)  # every other one in the header
            for place in generator.integers(0, reach, int(generator.integers(1, 8))):
                changed[place] ^= 1 << int(generator.integers(0, 8))
            (damaged / f"{kind}-flip-{number}{suffix}").write_bytes(changed)
        absurd = with_absurd_size(kind, data)
        if absurd is not None:
            (damaged / f"{kind}-absurd{suffix}").write_bytes(absurd)
        (damaged / f"{kind}-empty{suffix}").write_bytes(b"")
        (damaged / f"{kind}-noise{suffix}").write_bytes(data[:16] + generator.bytes(4000))
        for other in (".jpg", ".png", ".exr", ".nef"):
            (damaged / f"{kind}-named{other}").write_bytes(data)
    report = folder / "report.json"
    command = [sys.executable, "-m", "tests.io.read_all", str(damaged), str(report)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return dict(json.loads(report.read_text()))


def of(outcomes: dict[str, dict[str, object]], beginning: str) -> dict[str, dict[str, object]]:
    files: dict[str, dict[str, object]] = outcomes["outcomes"]  # type: ignore[assignment]
    return {name: found for name, found in files.items() if name.startswith(beginning)}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_in_one_line(kind: str, outcomes: dict[str, dict[str, object]]) -> None:
    found = of(outcomes, f"{kind}-")
    assert len(found) >= TRUNCATIONS + FLIPS + 6
    for name, result in found.items():
        assert "escaped" not in result, (name, result)
        assert float(result["seconds"]) < 5, name  # type: ignore[arg-type]
        if "refused" in result:
            message = str(result["refused"])
            assert name in message
            assert "\n" not in message
            assert len(message) < 600
        elif "flip" not in name:
            assert result["read"] == [3, *SIZE], name


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files_are_mostly_refused(kind: str, outcomes: dict[str, dict[str, object]]) -> None:
    """A cut behind the pixels may be harmless; one in the middle never gives half a picture for a whole one."""
    refused = sum("refused" in result for result in of(outcomes, f"{kind}-cut-").values())
    assert refused >= TRUNCATIONS * 3 // 4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "webp"])
def test_absurd_dimensions_are_refused_by_the_header(kind: str, outcomes: dict[str, dict[str, object]]) -> None:
    for name, result in of(outcomes, f"{kind}-absurd").items():
        assert "at most 400 megapixels" in str(result.get("refused")), (name, result)


@pytest.mark.parametrize("kind", KINDS)
def test_names_do_not_matter_and_emptiness_is_said(kind: str, outcomes: dict[str, dict[str, object]]) -> None:
    for name, result in of(outcomes, f"{kind}-named").items():
        if kind.endswith("tiff") and name.endswith(".nef"):
            assert "LibRaw says" in str(result.get("refused")), "TIFF content under a RAW name is taken for a RAW"
        else:
            assert result.get("read") == [3, *SIZE], (name, result)
    for result in of(outcomes, f"{kind}-empty").values():
        assert "the file is empty" in str(result.get("refused"))


def test_memory_is_bounded(outcomes: dict[str, dict[str, object]]) -> None:
    assert float(outcomes["peak"]) < 2000, "MB"  # type: ignore[arg-type]
