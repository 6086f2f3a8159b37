"""Readers of EMoR and DoRF text files, on small files written here byte by byte."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.errors import UserError
from hdr.io.crf_files import read_dorf, read_emor, rgb_triplets

GRID = np.linspace(0, 1, 1024)


def number(value: float) -> str:
    """Three digits of exponent, as these files have them."""
    mantissa, exponent = f"{value:.6e}".split("e")
    return f"{mantissa}e{exponent[0]}{int(exponent[1:]):03d}"


def emor_lines(grid: str = "E = ", mean: str = "f0 = ", component: str = "h", count: int = 3) -> list[str]:
    """A basis of sines over a mean of x^0.5."""
    sines = np.sin(np.pi * np.arange(1, count + 1)[:, None] * np.arange(1024) / 1023) * (2 / 1023) ** 0.5
    lines = []
    for label, values in [
        (grid, GRID),
        (mean, GRID**0.5),
        *((f"{component}({k + 1})=", sines[k]) for k in range(count)),
    ]:
        lines.append(label)
        lines += ["   ".join(number(v) for v in four) for four in values.reshape(256, 4)]
    return lines


def written(folder: Path, lines: list[str], ending: str = "\r\n") -> Path:
    (folder / "file.txt").write_bytes((ending.join(lines) + ending).encode("ascii"))
    return folder / "file.txt"


# EMoR ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "direction"), [(("E = ", "f0 = ", "h"), "forward"), (("B = ", "g0 = ", "hinv"), "inverse")]
)
def test_emor(tmp_path: Path, labels: tuple[str, str, str], direction: str) -> None:
    path = written(tmp_path, emor_lines(*labels))
    assert b"9.775171e-004" in path.read_bytes()
    basis = read_emor(path)
    assert basis.direction == direction
    assert basis.deviations is None
    assert basis.mean.dtype == torch.float32
    np.testing.assert_allclose(basis.mean.numpy(), GRID**0.5, rtol=0, atol=1e-6)
    assert basis.components.shape == (3, 1024)
    expected = np.sin(3 * np.pi * np.arange(1024) / 1023) * (2 / 1023) ** 0.5
    np.testing.assert_allclose(basis.components[2].numpy(), expected, rtol=0, atol=1e-6)


def test_emor_with_unix_line_ends_and_a_last_empty_line(tmp_path: Path) -> None:
    assert len(read_emor(written(tmp_path, [*emor_lines(count=25), ""], "\n")).components) == 25


def changed(lines: list[str], line: int, text: str | None) -> list[str]:
    """With another text in a line (counted from 1), or without the line."""
    return [*lines[: line - 1], *([] if text is None else [text]), *lines[line:]]


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "F = ", "line 1: found 'F =', wanted the label"),
        (1, "B = ", "line 258: found the label 'f0=', wanted 'g0='"),
        (1, "f0 = ", "line 1: 'f0=' is no label of a first block"),
        (3, "0 0 0 zero", "line 3: 'zero' is not a finite number"),
        (4, "0 0 0 nan", "line 4: 'nan' is not a finite number"),
        (4, "0 0 0 1e999", "line 4: '1e999' is not a finite number"),
        (10, None, "line 1: the block 'E=' has 1020 numbers, wanted 1024"),
        (10, "1 2 3 4 5", "line 1: the block 'E=' has 1025 numbers, wanted 1024"),
        (10, "1 1 1 1", "line 1: 'E=' is not the uniform grid"),
        (259, "0.5 0.5 0.5 0.5", "line 258: the mean curve 'f0=' does not run from 0 to 1"),
        (515, "h(2)=", r"line 515: found the label 'h(2)=', wanted 'h(1)='"),
        (515, "hinv(1)=", r"line 515: found the label 'hinv(1)=', wanted 'h(1)='"),
        (780, "9 9 9 9", r"line 772: 'h(2)=' is not orthonormal"),
    ],
)
def test_damaged_bases_are_refused(tmp_path: Path, line: int, text: str | None, message: str) -> None:
    path = written(tmp_path, changed(emor_lines(), line, text))
    with pytest.raises(UserError, match=re.escape(f"{path}, {message}")):
        read_emor(path)


@pytest.mark.parametrize("lines", [257, 514])
def test_a_basis_that_ends_early(tmp_path: Path, lines: int) -> None:
    with pytest.raises(UserError, match="the file ends after this block"):
        read_emor(written(tmp_path, emor_lines()[:lines]))


# DoRF ----------------------------------------------------------------------------------------------------------------


def record(name: str, curve: np.ndarray, grid: np.ndarray = GRID) -> list[str]:
    light, brightness = ("   ".join(number(v) for v in values) for values in (grid, curve))
    return [name, "graph-log-log-pos", "I =", light, "B =", brightness]


def test_dorf(tmp_path: Path) -> None:
    curves = {"aRed": GRID**0.5, "aGreen": GRID**0.6, "bw": GRID**0.8, "aBlue": GRID**0.7}
    found = read_dorf(written(tmp_path, [line for name, curve in curves.items() for line in record(name, curve)], "\n"))
    assert found.names == tuple(curves)
    assert found.curves.dtype == torch.float32
    np.testing.assert_allclose(found.curves.numpy(), np.array(list(curves.values())), rtol=0, atol=1e-6)
    names, triplets = found.triplets()
    assert names == ("a",)
    assert torch.equal(triplets[0], found.curves[[0, 1, 3]])


def test_another_grid_is_brought_to_the_uniform_one(tmp_path: Path) -> None:
    grid = np.linspace(0, 1, 301) ** 2
    found = read_dorf(written(tmp_path, [*record("x", grid**0.5, grid), "", ""]))
    np.testing.assert_allclose(found.curves[0].numpy(), np.interp(GRID, grid, grid**0.5), rtol=0, atol=1e-6)
    assert found.triplets()[1].shape == (0, 3, 1024)


def test_triplets_by_name() -> None:
    names = [
        "Portra/Red",
        "Portra/Green",
        "Portra/Blue",
        "xRED",
        "xblue",
        "x-green",
        "xred",
        "Fred",
        "onlyGreen",
        "onlyBlue",
    ]
    assert rgb_triplets(names) == {"Portra": (0, 1, 2), "x": (3, 5, 4)}


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (3, "J =", "line 3: found 'J =', wanted 'I ='"),
        (11, "0 1", "line 11: found '0 1', wanted 'B ='"),
        (4, "0 0.5 0.5 1", "line 4: the light does not rise from value 2 (0.5)"),
        (6, "0 0.5 0.4 1", "line 6: the brightness does not rise from value 2 (0.5)"),
        (6, "0 0.5 1", "line 6: 3 values of brightness for 1024 of light"),
        (4, "0 0.5 0.9", "line 4: the light runs from 0 to 0.9, wanted 0 to 1"),
        (12, "0.1 1", "line 12: the brightness runs from 0.1 to 1, wanted 0 to 1"),
        (12, "0 x 1", "line 12: 'x' is not a finite number"),
        (12, "", "line 11: the file ends within a record of six lines that starts in line 7"),
        (10, "0", "line 10: 1 values of light; a curve has at least two"),
    ],
)
def test_damaged_curves_are_refused(tmp_path: Path, line: int, text: str, message: str) -> None:
    path = written(tmp_path, changed([*record("a", GRID), *record("b", GRID**0.5)], line, text))
    with pytest.raises(UserError, match=re.escape(f"{path}, {message}")):
        read_dorf(path)


@pytest.mark.parametrize("reader", [read_emor, read_dorf])
def test_files_of_another_kind(tmp_path: Path, reader: object) -> None:
    for content, message in ((b"\x89PNG\r\n", "not ASCII text"), (b"", ", line 1: "), (b"hello", ", line 1: ")):
        (tmp_path / "x.txt").write_bytes(content)
        with pytest.raises(UserError, match=f"{tmp_path / 'x.txt'}.*{message}"):
            reader(tmp_path / "x.txt")  # type: ignore[operator]
    with pytest.raises(UserError, match="No such file"):
        reader(tmp_path / "y.txt")  # type: ignore[operator]
    with pytest.raises(UserError, match="cannot be read"):
        reader(tmp_path)  # type: ignore[operator]
    with open(tmp_path / "large.txt", "wb") as stream:
        stream.truncate(200 << 20)
    with pytest.raises(UserError, match="200 MB"):
        reader(tmp_path / "large.txt")  # type: ignore[operator]


def test_a_real_file(shared_data: Path) -> None:
    found = read_dorf(shared_data / "crf-film" / "ektachrome-320t.crf")
    names, curves = found.triplets()
    assert names == ("Ektachrome-320TCD",)
    assert curves.shape == (1, 3, 1024)
    content = np.load(shared_data / "crf-film" / "film-responses.npz", allow_pickle=False)
    stored = {str(name): curve for name, curve in zip(content["names"], content["brightness"], strict=True)}
    same = next(stem for stem in rgb_triplets(list(stored)) if "320T" in stem)
    for channel, curve in zip(("Red", "Green", "Blue"), curves[0], strict=True):
        np.testing.assert_allclose(curve.numpy(), stored[f"{same}/{channel}"], rtol=0, atol=1e-6)
