"""Rounding that lets gradients through."""

from __future__ import annotations

import torch
from torch import Tensor


def round_straight_through(values: Tensor) -> Tensor:
    """The nearest integers of finite values; the gradient is 1, as if nothing had been rounded.

    Source: the straight-through estimator of Bengio, Léonard and Courville, arXiv:1308.3432, 2013.
    """
    return pass_through(values, torch.round(values))


def pass_through(values: Tensor, rounded: Tensor) -> Tensor:
    """``rounded``, exactly, with the gradient of ``values``, which must be finite where it needs one."""
    return rounded.detach() + (values - values.detach()) if values.requires_grad else rounded
