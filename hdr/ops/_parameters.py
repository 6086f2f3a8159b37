"""Parameters that may differ per picture of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def per_image(value: Tensor | float, like: Tensor) -> Tensor:
    """A number, (N,) or (N, C) in the shape that broadcasts against ``like`` (N, C, H, W); four dimensions stay."""
    parameter = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return parameter[(...,) + (None,) * (4 - parameter.ndim)] if parameter.ndim else parameter
