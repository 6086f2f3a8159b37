"""The 8-bit step of an evaluation protocol."""

from __future__ import annotations

from torch import Tensor


def round_8bit(display: Tensor) -> Tensor:
    """Display values as an 8-bit file would hold them: clamped to [0, 1], rounded to the nearest multiple of 1/255.

    Any shape. Protocols that measure on 8-bit files (as most published tables do) apply it to both images first.
    """
    return (display.clamp(0, 1) * 255).round() / 255
