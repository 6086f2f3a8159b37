"""A scene of high dynamic range and the measure of errors, for the tests of HDR files."""

from __future__ import annotations

import torch


def scene(height: int = 180, width: int = 240) -> torch.Tensor:
    """A room with a window: walls of 0.02 to 0.2, a sky of 6 to 12, a red lamp of 30 and fine noise."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    wall = torch.stack((0.02 + 0.18 * rows, 0.02 + 0.13 * columns, 0.03 + 0.05 * rows * columns))
    window = (rows > 0.15) & (rows < 0.55) & (columns > 0.5) & (columns < 0.9)
    sky = torch.stack((6 + 0 * rows, 7 + 2 * rows, 12 - 4 * columns))
    linear = torch.where(window, sky, wall)
    lamp = 30 * torch.exp(-((rows - 0.7) ** 2 + (columns - 0.2) ** 2) / 0.002)
    linear += lamp * torch.tensor([1.0, 0.4, 0.15])[:, None, None]
    generator = torch.Generator().manual_seed(0)
    return linear * (1 + 0.02 * torch.randn(linear.shape, generator=generator)).clamp(0.9, 1.1)


def stops(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return torch.log2(found.clamp(min=1e-6) / expected.clamp(min=1e-6)).abs()
