"""Losses that judge an enhanced image without a target, from zero-reference deep curve estimation (Zero-DCE).

Source of all: Guo et al., Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement, CVPR 2020, section 3.3.
Each takes (N, C, H, W) tensors and gives the mean over the batch as a scalar.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from hdr.losses.image import forward_differences


def exposure(display: Tensor, level: float = 0.6, patch: int = 16) -> Tensor:
    """L_exp = mean over patches of |Y - level|, Y the mean of all channels in a patch of ``patch`` x ``patch`` pixels.

    ``display`` is (N, C, H, W) in [0, 1]. Patches do not overlap; those cut by the right and lower border average the
    pixels that they have. The published equation; the released code squares the difference.
    """
    return (_patch_means(display, patch) - level).abs().mean()


def colour_constancy(display: Tensor) -> Tensor:
    """L_col = (R - G)^2 + (R - B)^2 + (G - B)^2 of the mean channel values of each image: the grey-world assumption.

    ``display`` is (N, 3, H, W).
    """
    red, green, blue = display.mean(dim=(2, 3)).unbind(1)
    return ((red - green).square() + (red - blue).square() + (green - blue).square()).mean()


def spatial_consistency(enhanced: Tensor, display: Tensor, patch: int = 4) -> Tensor:
    """L_spa: the contrast between neighbouring regions should be that of the input.

    The mean over regions i of the sum over its neighbours j (left, right, above, below) of
    (|Y_i - Y_j| - |I_i - I_j|)^2, with Y and I the mean over channels and ``patch`` x ``patch`` pixels of the enhanced
    and of the input image, both (N, C, H, W). A region at the border has the neighbours that exist; the released code
    compares it with black.
    """
    after, before = _patch_means(enhanced, patch), _patch_means(display, patch)
    horizontal = after.diff(dim=3).abs() - before.diff(dim=3).abs()
    vertical = after.diff(dim=2).abs() - before.diff(dim=2).abs()
    # Each neighbouring pair occurs twice in the double sum, once from either side.
    return 2 * (horizontal.square().sum() + vertical.square().sum()) / after.numel()


def illumination_smoothness(field: Tensor) -> Tensor:
    """L_tvA = mean((|dx A| + |dy A|)^2) of curve parameters or any predicted field (N, C, H, W).

    Forward differences, without the last row and column; the mean is also over channels, where the paper adds up the
    three of each iteration: three times this. Raises ValueError if a side is shorter than 2 pixels.
    """
    dx, dy = forward_differences(field)
    return (dx.abs() + dy.abs()).square().mean()


def _patch_means(image: Tensor, patch: int) -> Tensor:
    """(N, 1, ceil(H / patch), ceil(W / patch)) means over channels and patches."""
    return F.avg_pool2d(image.mean(dim=1, keepdim=True), patch, ceil_mode=True)
