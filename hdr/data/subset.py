"""A part of a source of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdr.data.loader import Samples


class Subset:
    """The samples at ``indices`` of another source."""

    def __init__(self, samples: Samples, indices: Sequence[int]) -> None:
        self.samples, self.indices = samples, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return self.samples.sample(self.indices[index], rng)


def spread(length: int, count: int | None) -> list[int]:
    """``count`` indices spread evenly over ``length``; all of them if ``count`` is None or larger."""
    if count is None or count >= length:
        return list(range(length))
    return [int(index) for index in np.linspace(0, length - 1, count).round()]
