"""Camera responses: from light on the sensor to display values, and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hdr.ops._parameters import per_image
from hdr.ops._shortcuts import picture_by_picture, runs_forwards_only
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

    def render(linear: Tensor, shoulder: Tensor, contrast: Tensor) -> Tensor:
        if not _is_number(response.shoulder, 0.0):
            linear = (linear * (1.0 + shoulder)).div_((linear * shoulder).add_(1.0))
        display = linear_to_srgb(linear)
        return display if _is_number(response.contrast, 1.0) else _contrast(display, contrast)

    return picture_by_picture(render, linear, *(per_image(value, linear) for value in response))


def invert_response(display: Tensor, response: Response) -> Tensor:
    """Light in [0, 1] from display values in [0, 1]: the inverse of :func:`apply_response`."""

    def light(display: Tensor, shoulder: Tensor, contrast: Tensor) -> Tensor:
        x = srgb_to_linear(display if _is_number(response.contrast, 1.0) else _contrast(display, 1.0 / contrast))
        return x if _is_number(response.shoulder, 0.0) else x / (x * -shoulder).add_(1.0 + shoulder)

    return picture_by_picture(light, display, *(per_image(value, display) for value in response))


def _contrast(t: Tensor, power: Tensor) -> Tensor:
    if not runs_forwards_only(t, power):
        # The ends stay where they are; just inside, values of this precision are at least so far from 0 and 1, and
        # there the gradients of powers are finite.
        limits = torch.finfo(t.dtype)
        inner = t.clamp(limits.tiny, 1.0 - limits.eps / 2)
        up, down = inner**power, (1.0 - inner) ** power
        return torch.where((power == 1.0) | (t <= 0.0) | (t >= 1.0), t, up / (up + down))
    # The same with one power. At 0 the quotient is infinite; what is outside [0, 1] stays.
    inner = t.clamp(0.0, 1.0)
    curve = (1.0 - inner).div_(inner).pow_(power).add_(1.0).reciprocal_()
    return curve.add_(inner.neg_().add_(t))


def _is_number(value: Tensor | float, number: float) -> bool:
    """Whether it is known to be that number without a look into a tensor."""
    return not isinstance(value, Tensor) and value == number
