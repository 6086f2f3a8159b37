"""The sRGB transfer function in both directions, for values of any size and sign."""

from __future__ import annotations

import torch
from torch import Tensor

_DISPLAY_THRESHOLD = 0.04045
_LINEAR_THRESHOLD = 0.0031308


def srgb_to_linear(display: Tensor) -> Tensor:
    """Decode sRGB: display values to linear light, both with 1.0 = display white.

    Any shape and floating dtype; nothing is clamped: the power law goes on above 1, and negative values mirror the
    positive ones (f(-x) = -f(x)), as in the extended ranges of IEC 61966-2-1 Amd. 1. The gradient is finite
    everywhere; at 0 it is 1/12.92.

    Source: IEC 61966-2-1:1999, 5.2.
    """
    magnitude = display.abs()
    # The branch that `where` does not take still gets a gradient: clamped, it cannot be NaN.
    power = ((magnitude.clamp(min=_DISPLAY_THRESHOLD) + 0.055) / 1.055) ** 2.4
    return torch.where(magnitude > _DISPLAY_THRESHOLD, display.sign() * power, display / 12.92)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light with the sRGB transfer function; the inverse of `srgb_to_linear`.

    Any shape and floating dtype; 1.0 = display white on both sides; nothing is clamped, negative values mirror the
    positive ones. The gradient is finite everywhere; at 0 it is 12.92.

    Source: IEC 61966-2-1:1999, 5.2.
    """
    magnitude = linear.abs()
    power = 1.055 * magnitude.clamp(min=_LINEAR_THRESHOLD) ** (1 / 2.4) - 0.055
    return torch.where(magnitude > _LINEAR_THRESHOLD, linear.sign() * power, linear * 12.92)
