"""Enhancers of every kind, small and with random coefficients, for the tests beside this file."""

from __future__ import annotations

from typing import Any

import torch

from tasks.upe.model import Enhancer

SMALL = {"net_size": 32, "grid_size": 8, "depth": 4}

VARIANTS: dict[str, dict[str, Any]] = {
    "log_gain": {},
    "display": {"head": {"kind": "log_gain", "domain": "display", "colour_stops": 0.0}},
    "division": {"head": {"kind": "division"}, "guide": {"kind": "curves"}},
    "affine": {"head": {"kind": "affine"}},
    "seed": {
        "network": {**SMALL, "batch_norm": True},
        "guide": {"kind": "pointwise", "activation": "tanh", "batch_norm": True},
        "head": {"kind": "division", "eps": 1e-4, "constrained": False, "clamp": True},
        "convention": "corner",
        "thumbnail": "bilinear",
    },
    "pyramid": {"levels": 3},
    "pyramid-affine": {"levels": 3, "head": {"kind": "affine"}},
    "everything": {"affine": True, "lut": {"kind": "curves"}, "network": {**SMALL, "histogram_bins": 8}},
    "cube": {"affine": True, "lut": {"kind": "cube", "size": 5}},
}


def variant(name: str, *, scrambled: bool = True) -> Enhancer:
    torch.manual_seed(3)
    enhancer = Enhancer(**{"network": SMALL, **VARIANTS[name]}).eval()
    if scrambled:
        scramble(enhancer)
    return enhancer


def scramble(enhancer: Enhancer, spread: float = 0.05) -> None:
    """Leave the identity: what a trained network has, but at random."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        prediction = enhancer.network.prediction
        prediction.weight.normal_(0, spread, generator=generator)
        for parameter in enhancer.guides.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        if enhancer.lut is not None:
            for parameter in enhancer.lut.parameters():
                parameter.normal_(0, 0.1, generator=generator)


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))
