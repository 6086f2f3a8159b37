"""Quality of a fused picture without a reference: how much of the exposures' local structure it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from hdr.ops.colour import luma
from hdr.ops.gaussian import filter_along

_WINDOW = 11
_BELL = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(6)]
# Weights of the windows from their centre outwards.
_GAUSS = [weight / (_BELL[0] + 2 * math.fsum(_BELL[1:])) for weight in _BELL]
_BOX = [1.0 / _WINDOW] * 6
_SCALES = (0.0448, 0.2856, 0.3001)  # exponents of the scales, finest first, before they are brought to a sum of 1
_STABILISER = (0.03 * 255.0) ** 2
_FLOOR = 0.001  # added to a patch's strength
_GREATEST_POWER = 10.0
_EPSILON = torch.finfo(torch.float64).eps


@torch.no_grad()
def mef_ssim(fused: Tensor, exposures: Tensor) -> Tensor:
    """MEF-SSIM of fused pictures against the exposures that they (or the full bracket) came from.

    Of each 11x11 patch the exposures give a desired one: the strongest contrast among them, and their structures
    averaged with weights that grow with contrast, the more so the better the exposures agree. The score is the
    structural similarity (without its luminance term) between desired and found patches, averaged over the picture,
    at three scales that multiply. It reads the luma, in 0 to 255; colour plays no part.

    Args:
        fused: (N, 3, H, W) display in [0, 1].
        exposures: (N, K, 3, H, W) display, or (1, K, 3, H, W) when all pictures come from one bracket.

    Returns:
        (N,) float64, at most 1, without gradient.

    Raises:
        ValueError: shapes that do not belong together, or a side below 44 pixels.

    Source: Ma, Zeng and Wang, Perceptual quality assessment for multi-exposure image fusion, IEEE Trans. Image
    Processing 24(11), 2015, equations 2 to 10.
    """
    if fused.ndim != 4 or exposures.ndim != 5 or exposures.shape[0] not in (1, len(fused)):
        raise ValueError(f"wanted (N, 3, H, W) and (N or 1, K, 3, H, W); got {(*fused.shape,)}, {(*exposures.shape,)}")
    if fused.shape[1:] != exposures.shape[2:]:
        raise ValueError(f"the fused picture is {(*fused.shape[1:],)} and its exposures are {(*exposures.shape[2:],)}")
    if min(fused.shape[-2:]) < _WINDOW * 2 ** (len(_SCALES) - 1):
        raise ValueError(f"MEF-SSIM needs 44x44 pixels or more, found {tuple(fused.shape[-2:])}")
    picture, stack = luma(fused.double())[:, 0] * 255.0, luma(exposures.double())[:, :, 0] * 255.0
    score = torch.ones(len(fused), dtype=torch.float64, device=fused.device)
    for scale, exponent in enumerate(_SCALES):
        if scale:
            picture, stack = _halve(picture), _halve(stack)
        quality = _similarity(picture, stack).mean(dim=(-2, -1))
        # Opposed structures would give a negative base; the scale then counts as worthless.
        score = score * quality.clamp(min=_EPSILON) ** (exponent / sum(_SCALES))
    return score


def _similarity(picture: Tensor, stack: Tensor) -> Tensor:
    """Similarity of each full window: picture (N, H, W), stack (N or 1, K, H, W)."""
    count = stack.shape[1]
    # Sums over the window of products of deviations, for every two exposures.
    sums = [[_covariance(stack[:, i], stack[:, j], _BOX) * _WINDOW**2 for j in range(i + 1)] for i in range(count)]
    norms = torch.stack([sums[i][i].clamp(min=0.0).sqrt() for i in range(count)], dim=1)
    together = _quadratic(sums, [torch.ones_like(norms[:, 0])] * count).clamp(min=0.0).sqrt()
    agreement = ((together + _EPSILON) / (norms.sum(dim=1) + _EPSILON)).clamp(max=1.0 - _EPSILON)
    power = torch.tan(math.pi / 2 * agreement).clamp(max=_GREATEST_POWER)[:, None]
    strength = norms + _FLOOR
    weight = (strength / _WINDOW) ** power + _EPSILON
    parts = list((weight / weight.sum(dim=1, keepdim=True) / strength).unbind(dim=1))
    length = _quadratic(sums, parts).clamp(min=0.0).sqrt()
    gain = torch.where(length > 0, strength.amax(dim=1) / torch.where(length > 0, length, 1.0), 1.0)
    parts = [gain * part for part in parts]
    spreads = [[_covariance(stack[:, i], stack[:, j], _GAUSS) for j in range(i + 1)] for i in range(count)]
    desired = _quadratic(spreads, parts)
    shared = torch.stack([part * _covariance(stack[:, i], picture, _GAUSS) for i, part in enumerate(parts)]).sum(dim=0)
    found = _covariance(picture, picture, _GAUSS)
    return (2.0 * shared + _STABILISER) / (desired + found + _STABILISER)


def _quadratic(matrix: Sequence[Sequence[Tensor]], vector: Sequence[Tensor]) -> Tensor:
    """v' M v of a symmetric matrix of maps, of which the lower triangle is given."""
    total = torch.zeros_like(vector[0])
    for i, row in enumerate(matrix):
        for j, entry in enumerate(row):
            total = total + (1.0 if i == j else 2.0) * vector[i] * vector[j] * entry
    return total


def _covariance(a: Tensor, b: Tensor, taps: Sequence[float]) -> Tensor:
    return _filter(a * b, taps) - _filter(a, taps) * _filter(b, taps)


def _filter(maps: Tensor, taps: Sequence[float]) -> Tensor:
    for dim in (-1, -2):
        maps = filter_along(maps, dim, taps)
    return maps


def _halve(maps: Tensor) -> Tensor:
    """Means of 2x2 pixels; a last odd row or column is averaged with itself."""
    height, width = maps.shape[-2:]
    flat = maps.reshape(1, -1, height, width)
    return avg_pool2d(pad(flat, (0, width % 2, 0, height % 2), mode="replicate"), 2).unflatten(1, maps.shape[:-2])[0]
