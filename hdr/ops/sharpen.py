"""Sharpening."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from hdr.ops._parameters import per_image
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.gaussian import gaussian_blur


def unsharp_mask(
    display: Tensor,
    amount: Tensor | float = 1.0,
    sigma: float = 1.0,
    domain: Literal["display", "linear"] = "display",
) -> Tensor:
    """Add to a picture ``amount`` times what a Gaussian of ``sigma`` pixels takes from it: v + amount (v - G v).

    Each channel of (N, 3, H, W) on its own, without a threshold. The mask is taken on display values (``"display"``:
    haloes look alike in shadows and highlights) or on the light behind them (``"linear"``: as optics blur, so that a
    known blur is undone evenly). Beyond borders the picture is mirrored; flat parts stay as they are, also at borders.
    Nothing is clamped: at edges values go below 0 and above 1. ``amount`` is a number or (N,); negative softens. A
    non-finite pixel spreads over 4 ``sigma``. Differentiable in picture and amount.

    Raises:
        ValueError: ``sigma`` is not positive, or an unknown domain.

    Source: Gonzalez and Woods, Digital Image Processing, section 3.6 (unsharp masking).
    """
    if domain not in ("display", "linear"):
        raise ValueError(f"a picture is sharpened as display or linear values, got {domain!r}")
    values = display if domain == "display" else srgb_to_linear(display)
    sharpened = values + per_image(amount, values) * (values - gaussian_blur(values, sigma))
    return sharpened if domain == "display" else linear_to_srgb(sharpened)
