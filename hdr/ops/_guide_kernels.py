"""Compiled evaluation of a guide for one block of pixels, and what all compiled loops share.

Both guides of ``hdr.ops.guide`` are a sum over units, each a function of one weighted sum of the colour channels:
``units`` (K, I + 2) holds the weights, the bias and the weight in the sum; ``hinges`` (K, P, 2) holds shift and slope
of a unit's hinges (none for a pointwise guide, whose units are rectified); ``tail`` the bias of the sum and the factor
before the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

TENSOR_GUIDE, POINTWISE_GUIDE, CURVE_GUIDE = 0, 1, 2

# No "nnan"/"ninf": a NaN or an infinity in a pixel has to come out of that pixel.
MATH = {"contract", "reassoc", "nsz", "arcp"}
ZERO, ONE = np.float32(0), np.float32(1)


def compiled(function: Function) -> Function:
    """Compile on first call, run without the interpreter lock, keep on disk where a cache folder can be written."""
    try:
        result: Function = numba.njit(function, nogil=True, fastmath=MATH, cache=True)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        result = numba.njit(function, nogil=True, fastmath=MATH)
    return result


@compiled
def _sigmoid(values: Floats) -> None:
    """In place. exp(-v) = 2**n 2**f with |f| <= 1/2; the series for 2**f is exact to 5e-9."""
    for i in range(values.size):
        v = values[i]
        v = np.float32(30) if v > np.float32(30) else v
        v = np.float32(-30) if v < np.float32(-30) else v
        t = v * np.float32(-1.4426950408889634)
        n = np.floor(t + np.float32(0.5))
        f = (t - n) * np.float32(0.6931471805599453)
        p = np.float32(1 / 5040)
        p = p * f + np.float32(1 / 720)
        p = p * f + np.float32(1 / 120)
        p = p * f + np.float32(1 / 24)
        p = p * f + np.float32(1 / 6)
        p = p * f + np.float32(0.5)
        p = (p * f + ONE) * f + ONE
        exponent = np.int32(n) if n == n else np.int32(0)
        power = np.int32((exponent + np.int32(127)) << np.int32(23)).view(np.float32)
        values[i] = ONE / (ONE + p * power)


@compiled
def evaluate_guide(
    kind: int, pixels: Floats, units: Floats, hinges: Floats, tail: Floats, value: Floats, unit: Floats
) -> None:
    """Write the guide of a block of pixels into ``value``; ``unit`` is scratch of the same size."""
    count = value.size
    channels = pixels.shape[0]
    for i in range(count):
        value[i] = tail[0]
    for k in range(units.shape[0]):
        bias, mix = units[k, channels], units[k, channels + 1]
        if channels == 3:
            red, green, blue = units[k, 0], units[k, 1], units[k, 2]
            for i in range(count):
                unit[i] = bias + red * pixels[0, i] + green * pixels[1, i] + blue * pixels[2, i]
        else:
            for i in range(count):
                unit[i] = bias
            for c in range(channels):
                weight = units[k, c]
                for i in range(count):
                    unit[i] += weight * pixels[c, i]
        if kind == POINTWISE_GUIDE:
            for i in range(count):
                v = unit[i]
                value[i] += mix * (ZERO if v < ZERO else v)
        for h in range(hinges.shape[1]):
            shift = hinges[k, h, 0]
            slope = mix * hinges[k, h, 1]
            for i in range(count):
                v = unit[i] - shift
                value[i] += slope * (ZERO if v < ZERO else v)
    if kind == POINTWISE_GUIDE:
        for i in range(count):
            value[i] *= tail[1]
        _sigmoid(value)
