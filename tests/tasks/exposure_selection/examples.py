"""Pictures, ladders and small networks that several tests share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hdr.ops.encoding import linear_to_srgb
from tasks.exposure_selection.losses import TERMS
from tasks.exposure_selection.model import SubsetSelector
from tasks.exposure_selection.subsets import ev_grid

GRID = ev_grid(-3, 6, 0.25)
SMALL: dict[str, Any] = {"width": 16, "channels": (8, 12, 16)}
OFF: dict[str, Any] = {
    **dict.fromkeys(TERMS, 0.0),
    "tau": 0.5,
    "d_max": 3.0,
    "huber": 1.0,
    "choice": "soft",
    "weighting": "robust",
    "balance": False,
}
"""Loss settings without any term."""


def picture(*shape: int, seed: int = 0, stops: float = 10.0) -> torch.Tensor:
    """Display values whose log light is spread evenly over ``stops``."""
    chance = torch.Generator().manual_seed(seed)
    return linear_to_srgb(torch.exp2(-stops * torch.rand(*shape, generator=chance)))


def small(**options: Any) -> SubsetSelector:
    """A small selector in evaluation mode whose batch norms have seen pictures."""
    torch.manual_seed(0)
    selector = SubsetSelector(**{**SMALL, **options})
    with torch.no_grad():
        selector.encoder(torch.rand(8, 6, 32, 32))
    return selector.eval()


def ladder(evs: list[float], photos: int = 2) -> Tensor:
    return torch.tensor(evs, dtype=torch.float32)[None].repeat(photos, 1)


def size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
