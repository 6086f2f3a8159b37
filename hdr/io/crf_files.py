"""Files of camera responses that users bring: EMoR's bases and DoRF's curves (Grossberg and Nayar 2003).

Both databases are text. Neither comes with this project; both can be had from their makers.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdr.errors import UserError
from hdr.ops.crf import SAMPLES
from hdr.ops.response_basis import Direction, ResponseBasis

_LARGEST_FILE = 1 << 27  # DoRF's 201 curves take 7 MB
_END_TOLERANCE = 1e-4
_LABELS: dict[Direction, tuple[str, str, str]] = {"forward": ("E=", "f0=", "h"), "inverse": ("B=", "g0=", "hinv")}
_LABEL = re.compile(r"(E|B|f0|g0|h\(\d+\)|hinv\(\d+\))=")
_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseCurves:
    """Named forward curves of a file."""

    names: tuple[str, ...]
    curves: Tensor
    """(N, SAMPLES), float32, over uniform light in [0, 1]; they nowhere decrease and run from 0 to 1."""

    def triplets(self) -> tuple[tuple[str, ...], Tensor]:
        """Names and curves (M, 3, SAMPLES) of those that come as red, green and blue (see :func:`rgb_triplets`)."""
        found = rgb_triplets(self.names)
        rows = torch.tensor(list(found.values()), dtype=torch.long).reshape(-1, 3)
        return tuple(found), self.curves[rows]


def rgb_triplets(names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Where in ``names`` the red, green and blue curve of the same film or camera stand, by its common name.

    Names belong together that differ only in ending on Red, Green or Blue, in upper or lower case, with or without a
    separator before. Of names that occur twice the first counts; incomplete sets are left out.
    """
    parts: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        for channel in _CHANNELS:
            if name.lower().endswith(channel):
                parts.setdefault(name[: -len(channel)].rstrip(" /_-"), {}).setdefault(channel, index)
    return {stem: (found["red"], found["green"], found["blue"]) for stem, found in parts.items() if len(found) == 3}


def read_emor(path: str | os.PathLike[str]) -> ResponseBasis:
    """EMoR's ``emor.txt`` (forward) or ``invemor.txt`` (inverse): mean and all components, usually 25.

    Blocks of 1024 numbers, four to a line, each under a label: the grid (``E =`` or ``B =``), the mean (``f0 =`` or
    ``g0 =``), then the components ``h(1)=`` or ``hinv(1)=`` and so on.

    Raises:
        UserError: a file that is not such a basis; it names the line.
    """
    path = Path(path)
    blocks = list(_emor_blocks(path))
    direction: Direction | None = next((d for d, names in _LABELS.items() if blocks and names[0] == blocks[0][1]), None)
    if direction is None:
        line, label = (blocks[0][0], blocks[0][1]) if blocks else (1, "")
        raise _bad(path, line, f"'{label}' is no label of a first block; emor.txt starts with 'E=', invemor.txt 'B='")
    grid, mean, component = _LABELS[direction]
    wanted = [grid, mean, *(f"{component}({k})=" for k in range(1, len(blocks) - 1))]
    for (line, label, values), name in zip(blocks, wanted, strict=False):
        if label != name:
            raise _bad(path, line, f"found the label '{label}', wanted '{name}'")
        if len(values) != SAMPLES:
            raise _bad(path, line, f"the block '{label}' has {len(values)} numbers, wanted {SAMPLES}")
    if len(blocks) < 3:
        raise _bad(path, blocks[-1][0], "the file ends after this block; wanted a grid, a mean and components")
    table = np.array([values for _, _, values in blocks])
    if np.abs(table[0] - np.linspace(0.0, 1.0, SAMPLES)).max() > _END_TOLERANCE:
        raise _bad(path, blocks[0][0], f"'{grid}' is not the uniform grid from 0 to 1")
    if np.abs(table[1, [0, -1]] - (0.0, 1.0)).max() > _END_TOLERANCE:
        raise _bad(path, blocks[1][0], f"the mean curve '{mean}' does not run from 0 to 1")
    products = table[2:] @ table[2:].T
    worst = int(np.abs(products - np.eye(len(products))).max(1).argmax())
    if np.abs(products - np.eye(len(products))).max() > 1e-3:
        raise _bad(path, blocks[2 + worst][0], f"'{blocks[2 + worst][1]}' is not orthonormal to the other components")
    tensors = torch.from_numpy(table).float()
    return ResponseBasis(mean=tensors[1], components=tensors[2:], direction=direction)


def read_dorf(path: str | os.PathLike[str]) -> ResponseCurves:
    """Response curves in DoRF's text form: ``dorfCurves.txt`` or a file of one film (``.crf``).

    Records of six lines: name, kind, ``I =``, the light, ``B =``, the brightness. Curves on another grid than the
    uniform one of 1024 samples are brought to it by linear interpolation.

    Raises:
        UserError: a file that is not of this form, or a curve that does not rise from 0 to 1; it names the line.
    """
    path = Path(path)
    lines = _lines(path)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise _bad(path, 1, "the file is empty")
    names, curves = [], []
    for start in range(0, len(lines), 6):
        record = lines[start : start + 6]
        if len(record) < 6:
            raise _bad(path, len(lines), f"the file ends within a record of six lines that starts in line {start + 1}")
        for offset, label in ((2, "I"), (4, "B")):
            if not re.fullmatch(rf"{label}\s*=", record[offset].strip()):
                raise _bad(path, start + offset + 1, f"found '{_short(record[offset])}', wanted '{label} ='")
        light = _rising(path, start + 4, record[3], "light", strictly=True)
        brightness = _rising(path, start + 6, record[5], "brightness", strictly=False)
        if len(light) != len(brightness):
            raise _bad(path, start + 6, f"{len(brightness)} values of brightness for {len(light)} of light")
        names.append(record[0].strip())
        curves.append(np.interp(np.linspace(0.0, 1.0, SAMPLES), light, brightness))
    return ResponseCurves(names=tuple(names), curves=torch.from_numpy(np.array(curves)).float())


def _emor_blocks(path: Path) -> Iterator[tuple[int, str, list[float]]]:
    """Line, label and numbers of each block."""
    block: tuple[int, str, list[float]] | None = None
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        label = "".join(text.split())
        if _LABEL.fullmatch(label):
            if block:
                yield block
            block = (number, label, [])
        elif text:
            if block is None:
                raise _bad(path, number, f"found '{_short(text)}', wanted the label 'E=' or 'B='")
            block[2].extend(_numbers(path, number, text))
    if block:
        yield block


def _rising(path: Path, line: int, text: str, what: str, *, strictly: bool) -> NDArray[np.float64]:
    values = np.array(_numbers(path, line, text))
    if len(values) < 2:
        raise _bad(path, line, f"{len(values)} values of {what}; a curve has at least two")
    if np.abs(values[[0, -1]] - (0.0, 1.0)).max() > _END_TOLERANCE:
        raise _bad(path, line, f"the {what} runs from {values[0]:g} to {values[-1]:g}, wanted 0 to 1")
    steps = np.diff(values)
    if (steps <= 0).any() if strictly else (steps < 0).any():
        at = int(np.argmax(steps <= 0 if strictly else steps < 0)) + 1
        raise _bad(path, line, f"the {what} does not rise from value {at} ({values[at - 1]:g}) to the next")
    return (values - values[0]) / (values[-1] - values[0])


def _numbers(path: Path, line: int, text: str) -> list[float]:
    numbers = []
    for word in text.split():
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise _bad(path, line, f"'{_short(word)}' is not a finite number")
        numbers.append(value)
    return numbers


def _lines(path: Path) -> list[str]:
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise UserError(f"{path}: {size >> 20} MB; files of camera responses have a few MB of text")
        return path.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: not ASCII text; accepted are emor.txt, invemor.txt and DoRF curves") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 40 else f"{text[:40]}..."


def _bad(path: Path, line: int, message: str) -> UserError:
    return UserError(f"{path}, line {line}: {message}")
