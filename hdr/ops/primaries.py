"""RGB colour spaces: matrices from primaries and whites, adaptation between whites, and from a camera's own RGB.

Matrices are computed in float64 on the CPU and handed out as such; `apply_matrix` brings them to the image. A matrix
takes linear RGB in which 1.0 means the same amount of light in every channel, so that R = G = B is the space's white.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CHROMATICITIES: dict[str, tuple[float, ...]] = {
    "rec709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    "rec2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    "display_p3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    "acescg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
    "aces2065_1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767),
}
"""CIE 1931 x, y of red, green, blue and white. Sources: Rec. ITU-R BT.709-6 (also sRGB), BT.2020-2, SMPTE EG 432-1 with
the white D65, Academy S-2014-004 (primaries AP1) and SMPTE ST 2065-1 (AP0)."""

_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))

Space = str | Sequence[float]
"""A name in `CHROMATICITIES`, or eight numbers in the same order."""


def rgb_to_xyz_matrix(space: Space) -> Tensor:
    """(3, 3) float64: linear RGB of ``space`` to CIE XYZ under its own white, whose Y is 1.

    Raises:
        ValueError: an unknown name, not eight numbers, primaries on one line, or a white without luminance.

    Source: SMPTE RP 177-1993.
    """
    values = _chromaticities(space)
    x, y = values[:6].view(3, 2).T
    columns = torch.stack([x, y, 1 - x - y])
    if torch.linalg.det(columns).abs() <= 1e-6:
        raise ValueError(f"the primaries {values[:6].tolist()} span no colour space")
    return columns * torch.linalg.solve(columns, white_xyz(values[6:].tolist()))


def white_xyz(chromaticity: Sequence[float]) -> Tensor:
    """(3,) float64: XYZ with Y = 1 of a white given by its CIE 1931 x, y. Raises ValueError where y is not positive."""
    x, y = chromaticity
    if not y > 0:
        raise ValueError(f"a white point of x {x:g}, y {y:g} has no luminance")
    return torch.tensor([x / y, 1.0, (1 - x - y) / y], dtype=torch.float64)


def adaptation_matrix(source: Tensor, target: Tensor) -> Tensor:
    """(3, 3) float64: XYZ seen under the white ``source`` to the XYZ that looks alike under ``target`` (Bradford).

    Both are (3,) float64, see `white_xyz`. Source: Lam 1985, as in ICC.1:2022 annex E.
    """
    cone = torch.tensor(_BRADFORD, dtype=torch.float64)
    return torch.linalg.inv(cone) @ torch.diag((cone @ target) / (cone @ source)) @ cone


def conversion_matrix(source: Space, target: Space) -> Tensor:
    """(3, 3) float64: linear RGB of one space to that of another, white to white.

    Where the whites differ, by `adaptation_matrix`. Raises ValueError as `rgb_to_xyz_matrix`.
    """
    whites = [white_xyz(_chromaticities(space)[6:].tolist()) for space in (source, target)]
    to_xyz, from_xyz = rgb_to_xyz_matrix(source), torch.linalg.inv(rgb_to_xyz_matrix(target))
    return from_xyz @ adaptation_matrix(*whites) @ to_xyz


def apply_matrix(linear: Tensor, matrix: Tensor) -> Tensor:
    """Multiply every pixel (as a column) of (..., 3, H, W) by ``matrix``: (3, 3), or (N, 3, 3) for (N, 3, H, W).

    Nothing is clamped: colours outside the target's gamut get negative values. Differentiable in both. The products
    are written out because automatic mixed precision would run a matrix product in half precision.
    """
    rows = matrix.to(linear)[..., None, None]
    red, green, blue = linear.split(1, dim=-3)
    return (rows[..., 0, :, :] * red).addcmul_(rows[..., 1, :, :], green).addcmul_(rows[..., 2, :, :], blue)


def convert_primaries(linear: Tensor, source: Space, target: Space) -> Tensor:
    """Linear RGB (..., 3, H, W) of one space to another; HDR values and negative ones survive.

    White stays white (Bradford adaptation where the spaces differ in it). Raises ValueError as `rgb_to_xyz_matrix`.
    """
    return apply_matrix(linear, conversion_matrix(source, target))


def camera_to_rgb(colour_matrix: Tensor, space: Space = "rec709") -> Tensor:
    """(3, 3) float64: white-balanced camera RGB to linear RGB of ``space``.

    The camera's response to the linear RGB of Rec. 709 is scaled per channel so that the camera's white (equal values
    after white balance) is the white of the space, and inverted; other spaces follow by `conversion_matrix`. This is
    the rendering of dcraw and LibRaw: the scene's white, whatever its colour, becomes the white of the space. CIE XYZ
    (D65) is ``rgb_to_xyz_matrix("rec709")`` times the matrix to Rec. 709.

    Args:
        colour_matrix: (3, 3), CIE XYZ under D65 to the camera's RGB: DNG's ColorMatrix for D65.

    Raises:
        ValueError: another shape, a channel that does not respond to white, a singular matrix, or an unknown space.

    Source: the DNG specification 1.7, chapter 6 (ColorMatrix); Coffin's dcraw for the scaling.
    """
    if colour_matrix.shape != (3, 3):
        raise ValueError(f"a colour matrix has the shape (3, 3), got {tuple(colour_matrix.shape)}")
    response = colour_matrix.detach().to("cpu", torch.float64) @ rgb_to_xyz_matrix("rec709")
    white = response.sum(dim=1, keepdim=True)
    if not (white > 0).all():
        raise ValueError(
            f"the colour matrix {colour_matrix.tolist()} gives white the camera values {white[:, 0].tolist()}"
        )
    scaled = response / white
    if torch.linalg.det(scaled).abs() <= 1e-6:
        raise ValueError(f"the colour matrix {colour_matrix.tolist()} cannot be inverted")
    return conversion_matrix("rec709", space) @ torch.linalg.inv(scaled)


def daylight_balance(colour_matrix: Tensor) -> tuple[float, float, float]:
    """White balance multipliers R, G, B, the smallest 1, that make daylight (D65) grey in a camera's colours.

    For captures whose own white balance is not known: ``1 / (M w)`` with w the XYZ of D65.

    Args:
        colour_matrix: as for `camera_to_rgb`.

    Raises:
        ValueError: another shape, or a channel that does not respond to white.

    Source: the DNG specification 1.7, chapter 6 (camera neutral of a white).
    """
    if colour_matrix.shape != (3, 3):
        raise ValueError(f"a colour matrix has the shape (3, 3), got {tuple(colour_matrix.shape)}")
    neutral = colour_matrix.detach().to("cpu", torch.float64) @ white_xyz(CHROMATICITIES["rec709"][6:])
    if not (neutral > 0).all():
        raise ValueError(f"the colour matrix {colour_matrix.tolist()} gives white the camera values {neutral.tolist()}")
    red, green, blue = (neutral.max() / neutral).tolist()
    return red, green, blue


def _chromaticities(space: Space) -> Tensor:
    if isinstance(space, str) and space not in CHROMATICITIES:
        raise ValueError(f"colour spaces are {', '.join(CHROMATICITIES)}, got {space!r}")
    values = CHROMATICITIES[space] if isinstance(space, str) else space
    if len(values) != 8:
        raise ValueError(f"a colour space has 8 chromaticities (red, green, blue, white: x, y each), got {len(values)}")
    return torch.tensor(values, dtype=torch.float64)
