"""PU21: light in cd/m2 to perceptually uniform units, so that metrics made for displays can judge HDR pictures."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

PU21Kind = Literal["banding", "banding_glare", "peaks", "peaks_glare"]

PU21_PARAMETERS: dict[str, tuple[float, ...]] = {
    "banding": (1.070275272, 0.4088273932, 0.153224308, 0.2520326168, 1.063512885, 1.14115047, 521.4527484),
    "banding_glare": (
        0.353487901,
        0.3734658629,
        8.277049286e-05,
        0.9062562627,
        0.09150303166,
        0.9099517204,
        596.3148142,
    ),
    "peaks": (1.043882782, 0.6459495343, 0.3194584211, 0.374025247, 1.114783422, 1.095360363, 384.9217577),
    "peaks_glare": (816.885024, 1479.463946, 0.001253215609, 0.9329636822, 0.06746643971, 1.573435413, 419.6006374),
}
"""p1 to p7 as the authors publish them in the repository gfxdisp/pu21 (matlab/pu21_encoder.m)."""

PU21_RANGE = (0.005, 10000.0)
"""cd/m2. The curves were fitted to this range; the authors clamp light to it before they encode it."""

_LAST_LIGHT = 1e6  # cd/m2; beyond, float32 codes of the "peaks_glare" curve lie too close to its limit


def linear_to_pu21(linear: Tensor, kind: PU21Kind = "banding_glare") -> Tensor:
    """Encode light in cd/m2: 0.005 -> 0, 100 -> about 256 (the scale of 8-bit display values).

    Any shape, float32 or float64. Nothing is clamped: above 10 000 cd/m2 the formula goes on (for infinite light it
    ends at 886, 745, 422 and 417 for the four kinds in alphabetical order); below 0.005 cd/m2, and for negative light,
    a straight line goes on with the slope that the curve has there (black is -8.4, -0.39, -6.4 and -0.53). For the
    published metrics, which clamp, clamp ``linear`` to ``PU21_RANGE`` first. NaN stays NaN.

    ``kind`` names what the curve was fitted to: visibility of smooth gradations ("banding") or of the most visible
    spatial frequency at each luminance ("peaks"), each without and with the glare in the eye. The authors recommend
    "banding_glare".

    Source: Mantiuk and Azimi, PU21: A novel perceptually uniform encoding for adapting existing quality metrics for
    HDR, Picture Coding Symposium 2021.
    """
    p1, p2, p3, p4, p5, p6, p7 = _parameters(kind)
    darkest = PU21_RANGE[0]
    u = linear.clamp(darkest, 1e30) ** p4
    code = p7 * (((p1 + p2 * u) / (1 + p3 * u)) ** p5 - p6)
    return code + torch.where(linear < darkest, (linear - darkest) * _slope(darkest, kind), 0)


def pu21_to_linear(encoded: Tensor, kind: PU21Kind = "banding_glare") -> Tensor:
    """Light in cd/m2 of PU21 values: the inverse of `linear_to_pu21` up to 1e6 cd/m2.

    Above the value of 1e6 cd/m2 a straight line goes on with the slope it has there, since the formula has a pole where
    the code of infinite light is.
    """
    p1, p2, p3, p4, p5, p6, p7 = _parameters(kind)
    darkest = PU21_RANGE[0]
    first, last = (_code(light, kind) for light in (darkest, _LAST_LIGHT))
    ratio = (encoded.clamp(first, last) / p7 + p6) ** (1 / p5)
    light = ((ratio - p1) / (p2 - p3 * ratio)) ** (1 / p4)
    below = torch.where(encoded < first, (encoded - first) / _slope(darkest, kind), 0)
    beyond = torch.where(encoded > last, (encoded - last) / _slope(_LAST_LIGHT, kind), 0)
    return light + below + beyond


def _parameters(kind: str) -> tuple[float, ...]:
    if kind not in PU21_PARAMETERS:
        raise ValueError(f"PU21 comes as {', '.join(PU21_PARAMETERS)}, got {kind!r}")
    return PU21_PARAMETERS[kind]


def _code(light: float, kind: str) -> float:
    p1, p2, p3, p4, p5, p6, p7 = _parameters(kind)
    return p7 * (((p1 + p2 * light**p4) / (1 + p3 * light**p4)) ** p5 - p6)


def _slope(light: float, kind: str) -> float:
    """Change of the code with light."""
    p1, p2, p3, p4, p5, _, p7 = _parameters(kind)
    u = light**p4
    ratio = (p1 + p2 * u) / (1 + p3 * u)
    return p7 * p5 * ratio ** (p5 - 1) * (p2 - p1 * p3) / (1 + p3 * u) ** 2 * (p4 * u / light)
