"""Lookup tables: a colour transform of the whole picture, predicted from the global features.

They act after the head, on (N, 3, H, W) display in [0, 1], and start as the identity. ``forward`` predicts the table
from the (N, features) vector of the coefficient network, ``look_up`` uses it on any part of the picture.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from hdr.errors import UserError
from tasks.upe.heads import clamp_with_gradient


class CurveLut(nn.Module):
    """One increasing piecewise linear curve per channel, with ``points`` equidistant points, from (0, 0) to (1, 1).

    The rises between points are a softmax, so the curve cannot turn back; flat ends move the black and the white point.
    """

    def __init__(self, features: int, *, points: int = 17) -> None:
        super().__init__()
        if points < 2:
            raise UserError(f"lut.points: {points} is not possible; a curve has at least 2")
        self.points = points
        self.predict = nn.Linear(features, 3 * (points - 1))
        nn.init.zeros_(self.predict.weight)
        nn.init.zeros_(self.predict.bias)

    def forward(self, overall: torch.Tensor) -> torch.Tensor:
        """(N, features) -> the curves, (N, 3, points)."""
        rises = self.predict(F.relu(overall)).unflatten(1, (3, self.points - 1)).float().softmax(dim=2)
        return F.pad(rises.cumsum(dim=2), (1, 0))

    def look_up(self, display: torch.Tensor, table: torch.Tensor, strength: float) -> torch.Tensor:
        position = display.clamp(0, 1).flatten(2) * (self.points - 1)
        below = position.detach().floor().clamp(max=self.points - 2)
        index = below.long()
        low, high = table.gather(2, index), table.gather(2, index + 1)
        result = (low + (position - below) * (high - low)).view_as(display)
        return display + strength * (result - display)


class CubeLut(nn.Module):
    """Offsets to the colour on a cube of ``size`` points per axis, a weighted sum of learned cubes, read trilinearly.

    Source: Zeng et al., "Learning Image-adaptive 3D Lookup Tables for High Performance Photo Enhancement in Real-time"
    (2020), with the identity written apart, so that cubes of zeros are exactly the identity.
    """

    def __init__(self, features: int, *, size: int = 9, cubes: int = 3) -> None:
        super().__init__()
        if size < 2 or cubes < 1:
            raise UserError(f"lut.size, lut.cubes: {size} and {cubes} are not possible; use at least 2 and 1")
        self.size = size
        self.predict = nn.Linear(features, cubes)
        self.cubes = nn.Parameter(torch.zeros(cubes, 3, size**3))

    def forward(self, overall: torch.Tensor) -> torch.Tensor:
        """(N, features) -> the offsets, (N, 3, size^3), with blue running fastest."""
        weights = self.predict(F.relu(overall)).float()
        return (weights[:, :, None, None] * self.cubes).sum(dim=1)

    def look_up(self, display: torch.Tensor, table: torch.Tensor, strength: float) -> torch.Tensor:
        position = display.clamp(0, 1).flatten(2) * (self.size - 1)
        below = position.detach().floor().clamp(max=self.size - 2)
        red, green, blue = (position - below).split(1, dim=1)
        strides = torch.tensor([self.size**2, self.size, 1], device=display.device)
        corner = (below.long() * strides[:, None]).sum(dim=1, keepdim=True)
        offset = torch.zeros_like(position)
        for r, g, b in _CORNERS:
            weight = (red if r else 1 - red) * (green if g else 1 - green) * (blue if b else 1 - blue)
            index = corner + (r * self.size**2 + g * self.size + b)
            offset = offset + weight * table.gather(2, index.expand(-1, 3, -1))
        return clamp_with_gradient(display + strength * offset.view_as(display))


_CORNERS = [(r, g, b) for r in (0, 1) for g in (0, 1) for b in (0, 1)]
