"""Formats by content, and lists of photographs from what a user names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hdr.errors import UserError
from hdr.io import READABLE_SUFFIXES, WRITABLE_SUFFIXES, image_files, is_image_path
from hdr.io import files as files_module
from hdr.io.files import identify
from tests.io.made import write_dng

MAGIC = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF\0\0\0\0WEBP",
    "exr": b"\x76\x2f\x31\x01",
    "hdr": b"#?RADIANCE\n",
    "avif": b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif",
    "jxl": b"\xff\x0a",
    "raw": b"\0\0\0\x18ftypcrx ",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "notes.md", ".hidden.jpg", "deep/c.exr", "deep/.cache/d.exr", "empty/x.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def names(found: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in found]


@pytest.mark.parametrize("kind", MAGIC)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".dng", ".unknown", ""])
def test_the_content_decides_whatever_the_name(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(MAGIC[kind] + bytes(40))
    assert identify(path) == kind


def test_tiff_content_is_raw_by_name_or_by_tag(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((2, 2, 3), np.uint8), photometric="rgb")
    assert identify(tmp_path / "plain.tif") == "tiff"
    (tmp_path / "plain.tif").rename(tmp_path / "plain.nef")
    assert identify(tmp_path / "plain.nef") == "raw"
    write_dng(tmp_path / "really.tif", np.full((4, 4, 3), 0.5))
    assert identify(tmp_path / "really.tif") == "raw"
    (tmp_path / "canon.tif").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(40))
    assert identify(tmp_path / "canon.tif") == "raw"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\0\0\0\x1cftypheic", "it is a HEIC; accepted are JPEG, PNG"),
        (b"GIF89a", "it is a GIF"),
        (b"hello", r"its content \(it starts with b'hello'\)"),
    ],
)
def test_other_content_is_refused_by_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path}: .*{message}"):
        identify(path)


def test_headerless_sensor_data_is_refused_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "sensor.raw"
    path.write_bytes(bytes(1920 * 1080 * 2))
    with pytest.raises(UserError, match=r"no header.*convert it to DNG"):
        identify(path)


def test_missing_folder_and_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        identify(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="this is a folder"):
        identify(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for a writer
    with pytest.raises(UserError, match="this is a device, not a file"):
        identify(tmp_path / "pipe.jpg")

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files_module, "open", denied, raising=False)  # the tests may run as root, who is never denied
    with pytest.raises(UserError, match=r"cannot be opened \(Permission denied\)"):
        identify(tmp_path / "locked.jpg")


def test_listing_files_loads_no_heavy_package() -> None:
    code = (
        "import sys, hdr.io, hdr.io.files, hdr.io.metadata; hdr.io.image_files, hdr.io.READABLE_SUFFIXES;"
        "assert not {'torch', 'numpy', 'PIL', 'imagecodecs', 'rawpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_suffixes() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in READABLE_SUFFIXES)
    assert set(WRITABLE_SUFFIXES.items()) < set(READABLE_SUFFIXES.items())
    assert "raw" not in WRITABLE_SUFFIXES.values()
    assert is_image_path("a/B.NEF")
    assert not is_image_path("a/b.txt")
    assert not is_image_path(Path("a/.b.jpg"))


def test_a_folder_gives_its_photographs_sorted(tree: Path) -> None:
    assert names(image_files(tree), tree) == ["a.png", "b.JPG"]
    assert names(image_files(str(tree), recursive=True), tree) == ["a.png", "b.JPG", "deep/c.exr"]


def test_files_patterns_and_repetitions(tree: Path) -> None:
    assert names(image_files([tree / "notes.md"]), tree) == ["notes.md"], "a named file is taken at its word"
    assert names(image_files(str(tree / "*")), tree) == ["a.png", "b.JPG"]
    assert names(image_files(str(tree / "**" / "*.exr")), tree) == ["deep/c.exr"]
    assert names(image_files([tree, tree / "a.png", tree / "deep"]), tree) == ["a.png", "b.JPG", "deep/c.exr"]


def test_a_name_with_pattern_characters_is_itself(tree: Path) -> None:
    (tree / "a[1].png").write_bytes(b"x")
    assert names(image_files(tree / "a[1].png"), tree) == ["a[1].png"]


def test_a_list_is_relative_to_its_folder(tree: Path) -> None:
    odd = tree / "shots [2024]"
    odd.mkdir()
    (odd / "e.tif").write_bytes(b"x")
    (odd / "list.txt").write_text(f"# mine\n\n  *.tif\n../deep\n{tree / 'a.png'}\n")
    assert names(image_files(odd / "list.txt"), tree) == [
        "a.png",
        "shots [2024]/../deep/c.exr",
        "shots [2024]/e.tif",
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("none.jpg", "none.jpg: there is no such file or folder"),
        ("empty", "empty: no photographs in this folder; sub-folders were not searched; accepted are JPEG"),
        ("*.tif", r"\*.tif: 0 files match this pattern"),
        ("*.md", r"\*.md: 1 files match this pattern, none of them a photograph"),
        ("bad.txt", r"gone.jpg \(listed in .*bad.txt\): there is no such file"),
        ("void.txt", "void.txt: the list names no inputs"),
        ("binary.txt", "binary.txt: a list of inputs is UTF-8 text"),
    ],
)
def test_nothing_found_is_said(tree: Path, inputs: str, message: str) -> None:
    (tree / "bad.txt").write_text("a.png\ngone.jpg\n")
    (tree / "void.txt").write_text("# nothing\n")
    (tree / "binary.txt").write_bytes(b"\xff\xfe\0\0\x80")
    with pytest.raises(UserError, match=message):
        image_files(tree / inputs)


def test_no_inputs_at_all() -> None:
    with pytest.raises(UserError, match="no input was named"):
        image_files([])
