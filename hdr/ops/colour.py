"""Luminance, CIE XYZ and Lab, OKLab, and colour differences, on RGB tensors with the channels at dimension -3.

All functions are element-wise over pixels, take (..., 3, H, W), work in the dtype they are given and clamp nothing.
RGB has the primaries of Rec. 709 / sRGB. Sums over channels are written out instead of using a matrix product, because
automatic mixed precision would run a product in half precision.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hdr.ops.encoding import linear_to_srgb, power_with_held_slope, srgb_to_linear

_Matrix = tuple[tuple[float, float, float], ...]

LUMINANCE_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Rec. ITU-R BT.709-6, item 3.2: luminance from linear R, G, B."""

LUMA_WEIGHTS = (0.2989, 0.587, 0.114)
"""Rec. ITU-R BT.601 as rounded by TensorFlow and MATLAB: luma from encoded R, G, B. They add up to 0.9999."""

_XYZ_FROM_LINEAR = (
    (0.4124, 0.3576, 0.1805),
    LUMINANCE_WEIGHTS,
    (0.0193, 0.1192, 0.9505),
)
"""IEC 61966-2-1:1999, 5.3 (four decimals, as printed there)."""

_WHITE = tuple(math.fsum(row) for row in _XYZ_FROM_LINEAR)
"""XYZ of R = G = B = 1: D65 as the rounded matrix has it, so that every grey has a* = b* = 0."""

# Ottosson, "A perceptual color space for image processing", 2020, with the matrix for linear sRGB of 25 January 2021.
_CONES_FROM_LINEAR = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_OKLAB_FROM_ROOTS = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_CONE_KNEE = 1e-5

_GREYISH = 0.1
"""Chroma below which `delta_e_2000` ignores hue in its gradient; one 8-bit step in one channel of a grey has 0.4."""


def _inverse(matrix: _Matrix) -> _Matrix:
    rows = torch.linalg.inv(torch.tensor(matrix, dtype=torch.float64)).tolist()
    return tuple((row[0], row[1], row[2]) for row in rows)


_LINEAR_FROM_XYZ = _inverse(_XYZ_FROM_LINEAR)
_LINEAR_FROM_CONES, _ROOTS_FROM_OKLAB = _inverse(_CONES_FROM_LINEAR), _inverse(_OKLAB_FROM_ROOTS)


def _weighted(rgb: Tensor, weights: tuple[float, float, float], dim: int) -> Tensor:
    red, green, blue = rgb.split(1, dim=dim)
    return red * weights[0] + green * weights[1] + blue * weights[2]


def _product(rgb: Tensor, matrix: _Matrix) -> Tensor:
    return torch.cat([_weighted(rgb, row, -3) for row in matrix], dim=-3)


def luminance(linear: Tensor, dim: int = -3) -> Tensor:
    """Relative luminance of linear RGB: 0.2126 R + 0.7152 G + 0.0722 B (Rec. ITU-R BT.709).

    ``linear`` has size 3 at ``dim``; that dimension is kept with size 1. The scale is that of the input.
    """
    return _weighted(linear, LUMINANCE_WEIGHTS, dim)


def luma(display: Tensor, dim: int = -3) -> Tensor:
    """Luma of display RGB: 0.2989 R + 0.587 G + 0.114 B (Rec. ITU-R BT.601); ``dim`` is kept with size 1.

    White is 0.9999, as in the implementations whose losses use these weights.
    """
    return _weighted(display, LUMA_WEIGHTS, dim)


def linear_to_xyz(linear: Tensor) -> Tensor:
    """CIE XYZ (2 degree observer, D65) of linear Rec. 709 RGB; white (1, 1, 1) is (0.9505, 1, 1.0890), Y is luminance.

    Source: IEC 61966-2-1:1999, 5.3.
    """
    return _product(linear, _XYZ_FROM_LINEAR)


def xyz_to_linear(xyz: Tensor) -> Tensor:
    """Linear Rec. 709 RGB of CIE XYZ: the inverse of `linear_to_xyz`. Colours outside the gamut get negative values."""
    return _product(xyz, _LINEAR_FROM_XYZ)


def xyz_to_lab(xyz: Tensor) -> Tensor:
    """CIE L*a*b* of XYZ relative to the white of `linear_to_xyz` (D65, Y = 1). L* of white is 100.

    Below (6/29)^3 of white the straight line of the standard is used, on into negative values.

    Source: CIE 15:2004, 8.2.1.
    """
    delta = 6 / 29
    ratio = torch.cat([plane / white for plane, white in zip(xyz.split(1, dim=-3), _WHITE, strict=True)], dim=-3)
    root = ratio.clamp(min=delta**3) ** (1 / 3)
    x, y, z = torch.where(ratio > delta**3, root, ratio / (3 * delta**2) + 4 / 29).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def lab_to_xyz(lab: Tensor) -> Tensor:
    """CIE XYZ (D65) of L*a*b*: the inverse of `xyz_to_lab`, on its straight line as well.

    Source: CIE 15:2004, 8.2.1 and appendix D.
    """
    delta = 6 / 29
    lightness, a, b = lab.split(1, dim=-3)
    y = (lightness + 16) / 116
    root = torch.cat([y + a / 500, y, y - b / 200], dim=-3)
    ratio = torch.where(root > delta, root**3, 3 * delta**2 * (root - 4 / 29))
    return torch.cat([plane * white for plane, white in zip(ratio.split(1, dim=-3), _WHITE, strict=True)], dim=-3)


def lab_to_display(lab: Tensor) -> Tensor:
    """sRGB-encoded RGB of L*a*b* (D65): the inverse of `display_to_lab`. Outside the gamut beyond [0, 1]."""
    return linear_to_srgb(xyz_to_linear(lab_to_xyz(lab)))


def linear_to_oklab(linear: Tensor) -> Tensor:
    """OKLab of linear Rec. 709 RGB; white (1, 1, 1) is (1, 0, 0), HDR values have L above 1.

    Cone responses below 0 have negative roots. The gradient of a root is held at its size at 1e-5 below that response.

    Source: Ottosson, A perceptual color space for image processing, 2020.
    """
    cones = _product(linear, _CONES_FROM_LINEAR)
    sign = 1 - 2 * (cones < 0).to(cones.dtype)
    return _product(sign * power_with_held_slope(cones * sign, 1 / 3, _CONE_KNEE), _OKLAB_FROM_ROOTS)


def oklab_to_linear(oklab: Tensor) -> Tensor:
    """Linear Rec. 709 RGB of OKLab: the inverse of `linear_to_oklab`. Outside the gamut values are negative."""
    return _product(_product(oklab, _ROOTS_FROM_OKLAB) ** 3, _LINEAR_FROM_CONES)


def display_to_lab(display: Tensor) -> Tensor:
    """CIE L*a*b* (D65) of sRGB-encoded RGB, as `xyz_to_lab` of `linear_to_xyz` of `srgb_to_linear`."""
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(display)))


def _root(square: Tensor) -> Tensor:
    """Square root whose gradient at 0 (and below, by rounding) is 0 instead of infinite; NaN stays NaN."""
    zero = square <= 0
    return torch.where(zero, 0, torch.where(zero, 1, square).sqrt())


def delta_e_76(lab1: Tensor, lab2: Tensor) -> Tensor:
    """CIE 1976 colour difference: the Euclidean distance in L*a*b*.

    (..., 3, H, W) twice gives (..., 1, H, W). The gradient is 0 where the colours are equal.

    Source: CIE 15:2004, 8.2.1.
    """
    return _root((lab1 - lab2).square().sum(dim=-3, keepdim=True))


def delta_e_2000(lab1: Tensor, lab2: Tensor) -> Tensor:
    """CIEDE2000 colour difference with kL = kC = kH = 1.

    (..., 3, H, W) twice gives (..., 1, H, W); exactly 0 for equal colours. The gradient is finite everywhere, and 0 at
    equal colours. Near the grey axis hue is arbitrary and its influence on the weights and on the rotation term has no
    bound: where a chroma is below 0.1 the value is exact, but that influence is held constant in the gradient. At
    exactly opposite hues, where the formula jumps, differences up to 180.0001 degrees count as 180, so that rounding
    does not choose the branch.

    Source: CIE 142-2001; equations as numbered by Sharma, Wu and Dalal, Color Research & Application 30(1), 2005.
    """
    l1, a1, b1 = lab1.split(1, dim=-3)
    l2, a2, b2 = lab2.split(1, dim=-3)

    # Equations 2 to 6: a* is stretched near the grey axis.
    mean_chroma = (_root(a1 * a1 + b1 * b1) + _root(a2 * a2 + b2 * b2)) / 2
    stretch = 1 + 0.5 * (1 - _chroma_weight(mean_chroma))
    a1, a2 = a1 * stretch, a2 * stretch
    chroma1, chroma2 = _root(a1 * a1 + b1 * b1), _root(a2 * a2 + b2 * b2)

    greyish = (chroma1 < _GREYISH) | (chroma2 < _GREYISH)
    hue, delta_h = _hue_terms(*(torch.where(greyish, x.detach(), x) for x in (a1, b1, a2, b2)))

    # Equations 15 to 21.
    mean_l, mean_c = (l1 + l2) / 2, (chroma1 + chroma2) / 2
    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    rotation = torch.sin(math.radians(60) * torch.exp(-(((hue - math.radians(275)) / math.radians(25)) ** 2)))
    lightness = (mean_l - 50) ** 2
    s_l = 1 + 0.015 * lightness / torch.sqrt(20 + lightness)
    s_c = 1 + 0.045 * mean_c
    s_h = 1 + 0.015 * mean_c * t
    r_t = -2 * _chroma_weight(mean_c) * rotation

    # Equation 22. The squared hue difference is what the chroma difference leaves of the distance in the a*b* plane:
    # written so, a grey is drawn straight towards the other colour.
    delta_l, delta_c = l2 - l1, chroma2 - chroma1
    plane = (a2 - a1) ** 2 + (b2 - b1) ** 2
    return _root(
        (delta_l / s_l) ** 2
        + (delta_c / s_c) ** 2
        + (plane - delta_c * delta_c) / (s_h * s_h)
        + r_t * (delta_c / s_c) * (delta_h / s_h)
    )


def _chroma_weight(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)), written so that the gradient exists at 0."""
    ratio = (chroma / 25) ** 3.5
    return ratio / torch.sqrt(1 + ratio * ratio)


def _hue_terms(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """Mean hue (equation 14, radians in [0, 2 pi)) and the signed hue difference 2 sqrt(C1 C2) sin(dh / 2) (11).

    The difference comes from the vectors instead of their angles. With P = C1 C2 = |v1| |v2| its square is
    2 (P - v1.v2), and it also equals (v1 x v2) / sqrt((P + v1.v2) / 2); each form is used in the half plane where it
    is free of cancellation.
    """
    chroma1, chroma2 = _root(a1 * a1 + b1 * b1), _root(a2 * a2 + b2 * b2)
    hue1, hue2 = torch.atan2(b1, a1), torch.atan2(b2, a2)
    hue1 = torch.where(hue1 < 0, hue1 + 2 * math.pi, hue1)
    hue2 = torch.where(hue2 < 0, hue2 + 2 * math.pi, hue2)
    total = hue1 + hue2
    far = (hue1 - hue2).abs() > math.radians(180.0001)
    mean = torch.where(far, (total + 2 * math.pi) / 2, total / 2)
    mean = torch.where(mean >= 2 * math.pi, mean - 2 * math.pi, mean)
    mean = torch.where((chroma1 == 0) | (chroma2 == 0), total, mean)  # atan2(0, 0) is 0

    product, dot, cross = chroma1 * chroma2, a1 * a2 + b1 * b2, a1 * b2 - a2 * b1
    near = dot > 1e-30  # no division of numbers that underflow
    quotient = cross / torch.where(near, (product + dot) / 2, 1).sqrt()
    size = torch.where(near, 1, (2 * (product - dot)).clamp(min=0)).sqrt()
    return mean, torch.where(near, quotient, torch.where(cross < 0, -size, size))
