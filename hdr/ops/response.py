"""Camera responses: from light on the sensor to display values, and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hdr.ops.encoding import linear_to_srgb, srgb_to_linear


class Response(NamedTuple):
    """A camera's tone curve, one of a family of two parameters; each (N,) or one number for all."""

    shoulder: Tensor | float = 0.0
    """>= 0. Compresses highlights and lifts the middle, as cameras that expose low do; 0: none."""
    contrast: Tensor | float = 1.0
    """>= 1. Slope of the S-curve at display value 0.5; 1: none."""


def apply_response(linear: Tensor, response: Response) -> Tensor:
    """Render light with a camera's tone curve.

    Three steps, each monotone with 0 -> 0 and 1 -> 1: a shoulder ``x (1 + s) / (1 + s x)`` on linear light (the
    shape of Reinhard et al. 2002, eq. 3), the sRGB transfer function, and an S-curve ``t^c / (t^c + (1 - t)^c)`` on
    display values. With the default parameters it is sRGB itself. Camera and film curves (Grossberg and Nayar 2003)
    differ from sRGB in these two ways above all.

    Args:
        linear: (N, 3, H, W) or (3, H, W) in [0, 1], clipped before by the caller; 1.0 = sensor saturation.
        response: the curve.

    Returns:
        Display values in [0, 1], differentiable in light and parameters.
    """
    shoulder, contrast = _parameters(response, linear)
    t = linear_to_srgb(linear * (1.0 + shoulder) / (1.0 + shoulder * linear))
    return _contrast(t, contrast)


def invert_response(display: Tensor, response: Response) -> Tensor:
    """Light in [0, 1] from display values in [0, 1]: the inverse of :func:`apply_response`."""
    shoulder, contrast = _parameters(response, display)
    x = srgb_to_linear(_contrast(display, 1.0 / contrast))
    return x / (1.0 + shoulder - shoulder * x)


def _contrast(t: Tensor, power: Tensor) -> Tensor:
    # The ends stay where they are; just inside, values of this precision are at least so far from 0 and 1, and there
    # the gradients of powers are finite.
    limits = torch.finfo(t.dtype)
    inner = t.clamp(limits.tiny, 1.0 - limits.eps / 2)
    up, down = inner**power, (1.0 - inner) ** power
    return torch.where((power == 1.0) | (t <= 0.0) | (t >= 1.0), t, up / (up + down))


def _parameters(response: Response, like: Tensor) -> tuple[Tensor, Tensor]:
    shoulder, contrast = (torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in response)
    return tuple(v[:, None, None, None] if v.ndim else v for v in (shoulder, contrast))  # type: ignore[return-value]
