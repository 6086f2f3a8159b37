"""Losses between a result and a target, and smoothness of a predicted field.

Each takes (N, C, H, W) tensors and gives the mean over the batch as a scalar. Nothing is clamped. Results and targets
are display images where colours or structure are compared; the plain distances serve any encoding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hdr.ops.colour import delta_e_2000, display_to_lab, luma
from hdr.ops.similarity import Window, ssim_map


def masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``value`` over the valid elements: sum(value * mask) / sum(mask); 0 if none is valid.

    ``mask`` is boolean or holds weights in [0, 1], and broadcasts against ``value`` (a (N, 1, H, W) mask counts once
    for each channel). What stands at a weight of 0 does not matter, be it NaN; its gradient is 0.
    """
    weight = mask.to(value.dtype).expand_as(value)
    total = torch.where(weight > 0, value * weight, 0).sum()
    count = weight.sum()
    return total / torch.where(count > 0, count, 1)


def reconstruction(result: Tensor, target: Tensor) -> Tensor:
    """mean((R - T)^2) of the finished result R = I / S: the form in the released graph of Wang et al.

    Source: Wang et al., Underexposed Photo Enhancement using Deep Illumination Estimation, CVPR 2019, released model.
    """
    return (result - target).square().mean()


def reconstruction_by_illumination(display: Tensor, illumination: Tensor, target: Tensor) -> Tensor:
    """mean((I - S T)^2) with the illumination S: the form in the paper of Wang et al.

    Per pixel it is S^2 times the other form, so that it weighs the darkest regions least. ``illumination`` may have one
    channel.

    Source: Wang et al., CVPR 2019, reconstruction loss (the norm taken as a mean).
    """
    return (display - illumination * target).square().mean()


def charbonnier(result: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    """mean(sqrt((R - T)^2 + epsilon^2)): an L1 distance with a rounded tip; ``epsilon`` where the two are equal.

    Source: Charbonnier et al., ICIP 1994; as a loss Lai et al., CVPR 2017.
    """
    return torch.sqrt((result - target).square() + epsilon**2).mean()


def cosine_colour(result: Tensor, target: Tensor) -> Tensor:
    """mean(1 - cos) of the angle between the RGB vectors of result and target, per pixel.

    Both vectors are divided by sqrt(max(|v|^2, 1e-12)): a black pixel on either side counts 1.

    Source: Wang et al., CVPR 2019, color loss (an angle in the paper, this cosine in the released graph).
    """
    result, target = _single(result), _single(target)
    result = result * result.square().sum(dim=1, keepdim=True).clamp(min=1e-12).rsqrt()
    target = target * target.square().sum(dim=1, keepdim=True).clamp(min=1e-12).rsqrt()
    return (1 - (result * target).sum(dim=1)).mean()


def edge_aware_smoothness(
    field: Tensor,
    guide_display: Tensor,
    exponent: float = 1.2,
    scale: float = 1.0,
    eps: float = 1e-4,
    cap: float | None = None,
    per_channel: bool = False,
) -> Tensor:
    """mean(wx (dx S)^2 + wy (dy S)^2) with w = scale / (|d ln(guide + eps)|^exponent + eps): smooth where the guide is.

    ``field`` is (N, C, H, W), for example an illumination or a log gain; ``guide_display`` (N, 3, H, W) in [0, 1]. One
    weight from the luma of the guide serves all channels; with ``per_channel`` each channel of the field has the weight
    of the same channel of the guide. Forward differences, without the last row and column. ``cap`` limits the weights,
    which reach scale / eps in flat regions. No gradient flows into the guide.

    The released graph of Wang et al. is half of this with ``scale=1.5`` (times 2 in its total); the PyTorch port by
    hermosayhl is this with ``scale=1.5, per_channel=True`` (times 0.05).

    Raises ValueError if a side is shorter than 2 pixels.

    Source: Wang et al., CVPR 2019, smoothness loss; weights after Lischinski et al., SIGGRAPH 2006.
    """
    field, guide = _single(field), _single(guide_display.detach())
    edges = forward_differences(torch.log((guide if per_channel else luma(guide)) + eps))
    wx, wy = (scale / (edge.abs() ** exponent + eps) for edge in edges)
    if cap is not None:
        wx, wy = wx.clamp(max=cap), wy.clamp(max=cap)
    dx, dy = forward_differences(field)
    return (wx * dx.square() + wy * dy.square()).mean()


def ssim_loss(result: Tensor, target: Tensor, window: Window = "gaussian") -> Tensor:
    """1 - mean SSIM of display images, over all full windows and channels; see `hdr.ops.similarity.ssim_map`.

    Raises ValueError if the images are smaller than the window.
    """
    return 1 - ssim_map(_single(result), _single(target), window).mean()


def delta_e_loss(result: Tensor, target: Tensor) -> Tensor:
    """Mean CIEDE2000 colour difference of display images, in its own units (1 is just noticeable).

    Scale it by about 0.01 to 0.05 beside losses on values in [0, 1]. See `hdr.ops.colour.delta_e_2000`.
    """
    return delta_e_2000(display_to_lab(_single(result)), display_to_lab(_single(target))).mean()


def forward_differences(field: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the right and to the lower neighbour, each (..., H - 1, W - 1).

    Raises ValueError if a side is shorter than 2 pixels.
    """
    if min(field.shape[-2:]) < 2:
        raise ValueError(f"smoothness needs at least 2x2 pixels, found {tuple(field.shape[-2:])}")
    corner = field[..., :-1, :-1]
    return field[..., :-1, 1:] - corner, field[..., 1:, :-1] - corner


def _single(value: Tensor) -> Tensor:
    """Half precision to float32: logarithms, norms and variances of images do not survive it."""
    return value if value.dtype == torch.float64 else value.float()
