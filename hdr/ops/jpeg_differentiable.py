"""JPEG as tensor operations: what libjpeg writes and reads, bit by bit, batched, on any device, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from hdr.ops._parameters import per_image
from hdr.ops.jpeg import Subsampling
from hdr.ops.rounding import pass_through, round_straight_through

_STEPS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}
"""Rows and columns of the picture per sample of the colour channels."""

# ISO/IEC 10918-1 (ITU-T T.81), tables K.1 and K.2: quantisation steps at quality 50, rows of rising vertical frequency.
_LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)

# JFIF 1.02 colour conversion in libjpeg's fixed point, units of 2^-16: whole numbers below 2^24, exact in float32.
_LUMA = (19595.0, 38470.0, 7471.0)
_BLUE_DIFFERENCE = (-11059.0, -21709.0, 32768.0)
_RED_DIFFERENCE = (32768.0, -27439.0, -5329.0)
_RED_OF_CR, _GREEN_OF_CB, _GREEN_OF_CR, _BLUE_OF_CB = 91881.0, -22554.0, -46802.0, 116130.0
_FIXED = 65536.0

# sqrt(2) cos((2 n + 1) k pi / 16) in units of 2^-13, k down, n = 0 to 3 across: what comes out where the multipliers of
# Loeffler, Ligtenberg and Moschytz (ICASSP 1989) are rounded to 13 bits one by one, as in libjpeg's accurate transform.
_COSINES = (
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)


def jpeg_differentiable(display: Tensor, quality: Tensor | float, subsampling: Subsampling = "4:2:0") -> Tensor:
    """What is left of pictures after they were written as JPEG and read again, with a gradient.

    The forward pass follows libjpeg (default settings: accurate integer DCT, the standard's tables, "fancy"
    upsampling) through every rounding. In float64 the result is that of :func:`hdr.ops.jpeg.jpeg`, in float32 as well
    but for a few values in 100 000, where a product of more than 24 bits is rounded across a limit.

    Every rounding has gradient 1 (straight-through), every clamp the gradient of a clamp: gradients pass as if nothing
    were quantised, through colour averaging and its interpolation. The quality is a setting and gets none.

    Args:
        display: (N, 3, H, W) or (3, H, W), any size; clamped to [0, 1]. Half precision is computed in float32.
        quality: 1 to 100, the scale of libjpeg, one for all or (N,). Fractions lie between, as the formula has it.
        subsampling: resolution of the colour channels.

    Returns:
        The same shape, dtype and device; multiples of 1/255. What is said of float32 holds on CUDA while matrix
        products are not allowed to run in TF32; that is torch's default.

    Raises:
        ValueError: a quality or subsampling that libjpeg does not know.
    """
    qualities = torch.as_tensor(quality, device=display.device, dtype=torch.float32)
    if subsampling not in _STEPS or not bool(((qualities >= 1) & (qualities <= 100)).all()):
        raise ValueError(
            f"JPEG quality {quality} with subsampling {subsampling!r}: wanted 1 to 100 and one of {list(_STEPS)}"
        )
    with torch.autocast(display.device.type, enabled=False):
        pixels = display if display.dtype == torch.float64 else display.float()
        pixels = pixels.clamp(0.0, 1.0) * 255.0
        result = _codec(pixels if pixels.ndim == 4 else pixels[None], qualities, subsampling) / 255.0
        return result.view(display.shape).to(display.dtype)


def _codec(pixels: Tensor, quality: Tensor, subsampling: Subsampling) -> Tensor:
    height, width = pixels.shape[2:]
    luma_steps, chroma_steps = (_scaled(steps, quality, pixels) for steps in (_LUMA_STEPS, _CHROMA_STEPS))
    luma, chroma = _to_ycc(round_straight_through(pixels))
    down, across = _STEPS[subsampling]
    luma = _transformed(_grown(luma, -height % 8, -width % 8), luma_steps)[..., :height, :width]
    # libjpeg completes blocks of the colour channels with pixels to the right, but with averages below.
    chroma = _averaged(_grown(chroma, height % down, -width % (8 * across)), down, across)
    chroma = _transformed(_grown(chroma, -chroma.shape[2] % 8, 0), chroma_steps)
    chroma = _spread(chroma[..., : -(-height // down), : -(-width // across)], down, across)[..., :height, :width]
    return _to_rgb(luma, chroma)


def _floor(values: Tensor) -> Tensor:
    return pass_through(values, torch.floor(values))


def _rounded(values: Tensor) -> Tensor:
    """To the nearest whole number, halves upwards."""
    return _floor(values + 0.5)


def _grown(planes: Tensor, below: int, right: int) -> Tensor:
    return pad(planes, (0, right, 0, below), mode="replicate") if below or right else planes


def _to_ycc(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1, H, W) and (N, 2, H, W), whole numbers from 0 to 255."""
    red, green, blue = pixels.split(1, dim=1)

    def mixed(weights: tuple[float, float, float], offset: float) -> Tensor:
        return _floor((red * weights[0] + green * weights[1] + blue * weights[2] + offset) / _FIXED)

    centre = 128 * _FIXED + _FIXED / 2 - 1  # halves are rounded down, which keeps 255.5 in the range
    luma = mixed(_LUMA, _FIXED / 2)
    return luma, torch.cat([mixed(_BLUE_DIFFERENCE, centre), mixed(_RED_DIFFERENCE, centre)], 1)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    cb, cr = (chroma - 128).split(1, dim=1)
    half = _FIXED / 2
    red = luma + _floor((cr * _RED_OF_CR + half) / _FIXED)
    green = luma + _floor((cb * _GREEN_OF_CB + cr * _GREEN_OF_CR + half) / _FIXED)
    blue = luma + _floor((cb * _BLUE_OF_CB + half) / _FIXED)
    return torch.cat([red, green, blue], 1).clamp(0.0, 255.0)


def _averaged(planes: Tensor, down: int, across: int) -> Tensor:
    """Means over boxes, rounded to whole numbers with a bias that alternates from column to column."""
    if across == 1:
        return planes
    total = planes[..., 0::2] + planes[..., 1::2]
    if down == 2:
        total = total[..., 0::2, :] + total[..., 1::2, :]
    bias = torch.tensor((0.0, 1.0) if down == 1 else (1.0, 2.0), dtype=planes.dtype, device=planes.device)
    return _floor((total + bias.repeat(total.shape[-1] // 2)) / (down * across))


def _spread(planes: Tensor, down: int, across: int) -> Tensor:
    """Twice the columns (and rows): each new sample is 3/4 of the nearer old one and 1/4 of the other."""
    if across == 1:
        return planes
    if planes.shape[-1] <= 2:  # as libjpeg does
        return planes.repeat_interleave(2, -1).repeat_interleave(down, -2)
    rows = [planes]
    if down == 2:
        high = pad(planes, (0, 0, 1, 1), mode="replicate")
        rows = [3 * planes + high[..., :-2, :], 3 * planes + high[..., 2:, :]]
    biases = (1, 2) if down == 1 else (8, 7)
    results = []
    for row in rows:
        wide = pad(row, (1, 1, 0, 0), mode="replicate")
        left = _floor((3 * row + wide[..., :-2] + biases[0]) / (4 * down * down))
        right = _floor((3 * row + wide[..., 2:] + biases[1]) / (4 * down * down))
        results.append(torch.stack([left, right], -1).flatten(-2))
    return torch.stack(results, -2).flatten(-3, -2)


def _transformed(planes: Tensor, steps: Tensor) -> Tensor:
    """To DCT coefficients, through their quantisation, and back. (N, C, H, W), multiples of 8, in 0 to 255."""
    count, channels, height, width = planes.shape
    basis = _basis(planes)
    # libjpeg's accurate transforms keep quarters between their two passes, and whole numbers after the second.
    rows = _rounded(4 * ((planes - 128).reshape(-1, 8) @ basis.T)) / 4
    coefficients = _rounded(basis @ rows.view(-1, 8, width))
    scaled = coefficients.view(count, channels, height // 8, 8, width // 8, 8) / (8 * steps)
    # Halves, which are frequent, are rounded away from zero.
    nearest = pass_through(scaled, torch.trunc(scaled + 0.5 * scaled.sign()))
    columns = _rounded(4 * (basis.T @ (nearest * steps).view(-1, 8, width))) / 4
    values = (columns.view(-1, 8) @ basis).view(planes.shape)
    return _rounded(values / 8 + 128).clamp(0.0, 255.0)


def _basis(like: Tensor) -> Tensor:
    """sqrt(8) times the orthonormal DCT, with the precision of libjpeg's transforms."""
    left = torch.tensor(_COSINES, dtype=like.dtype, device=like.device) / 8192
    mirrored = left.flip(1)
    mirrored[1::2] *= -1
    return torch.cat([left, mirrored], 1)


def _scaled(steps: tuple[tuple[int, ...], ...], quality: Tensor, like: Tensor) -> Tensor:
    """Quantisation steps of a quality, (N or 1, 1, 1, 8, 1, 8), by libjpeg's integer formula."""
    with torch.no_grad():
        percent = torch.floor(torch.where(quality < 50, 5000 / quality, 200 - 2 * quality))
        table = torch.tensor(steps, dtype=torch.float32, device=like.device)
        scaled = torch.floor((table * per_image(percent, table) + 50) / 100).clamp(1, 255)
    return scaled.view(-1, 1, 1, 8, 1, 8).to(like.dtype)
