"""Where a pixel falls in a bilateral grid: the one place that knows the two coordinate conventions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Convention = Literal["centred", "corner"]


@dataclass(frozen=True)
class Lookup:
    """How one call reads the grid; coordinates are absolute, so that rows can be worked on in any portions."""

    convention: Convention
    outputs: int
    has_offset: bool
    row_offset: int
    full_height: int

    def rows(self, cells: int, height: int) -> tuple[Tensor, Tensor]:
        """Cell (int64) and fraction (float64) of each of ``height`` rows."""
        return self._axis(cells, self.row_offset, height, self.full_height)

    def columns(self, cells: int, width: int) -> tuple[Tensor, Tensor]:
        """Cell (int64) and fraction (float64) of each column."""
        return self._axis(cells, 0, width, width)

    def depth(self, depths: int) -> tuple[float, float]:
        """(scale, offset) from guide to depth in cells, before it is held to the first and the last cell."""
        return (float(depths), -0.5) if self.convention == "centred" else (float(depths - 1), 0.0)

    def portion(self, first: int) -> Lookup:
        """The same lookup for rows that start ``first`` rows further down."""
        return Lookup(self.convention, self.outputs, self.has_offset, self.row_offset + first, self.full_height)

    def _axis(self, cells: int, first: int, count: int, full: int) -> tuple[Tensor, Tensor]:
        position = torch.arange(first, first + count, dtype=torch.float64)
        if self.convention == "centred":
            position = (position + 0.5) * cells / full - 0.5
        elif full > 1:
            position = position * (cells - 1) / (full - 1)
        else:
            position = torch.full_like(position, (cells - 1) / 2)
        position = position.clamp(0, cells - 1)
        cell = position.floor()
        return cell.long(), position - cell
