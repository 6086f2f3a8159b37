"""Small photos for the tests of data sets; every pixel tells where it comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hdr.data.photos import PhotoDataset


def photo(path: Path, value: int = 0, size: tuple[int, int] = (24, 32)) -> Path:
    """A photo whose red tells the row, whose green tells the column, and whose blue is ``value``."""
    rows, columns = np.indices(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([rows, columns, np.full(size, value)], -1).astype(np.uint8)).save(path)
    return path


def pairs(root: Path, names: list[str], input: str = "input", target: str = "target", suffix: str = ".png") -> None:
    for index, name in enumerate(names):
        photo(root / input / f"{name}{suffix}", index)
        photo(root / target / f"{name}{suffix}", 100 + index)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def blues(dataset: PhotoDataset, role: str) -> list[int]:
    return [round(float(dataset.sample(i, rng())[role][2, 0, 0]) * 255) for i in range(len(dataset))]
