"""Exposure fusion: one display picture from several exposures of a scene, without a radiance map in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from hdr.ops.pyramid import collapse, gaussian_pyramid, laplacian_pyramid, level_count

Backend = Literal["torch", "cv2"]
_WELL_EXPOSED, _SPREAD = 0.5, 0.2  # centre and width of the exposure measure (Mertens et al. 2009, 3.1)
_GREY = (0.299, 0.587, 0.114)  # OpenCV's weights of R, G, B
_VALUES_AT_ONCE = 1 << 20  # of the stack
_WINDOW = 5  # side of the window of enfuse's local contrast


@dataclass(frozen=True, kw_only=True)
class Weighting:
    """What counts as a good pixel, and how much. The defaults are those of OpenCV's ``createMergeMertens``."""

    contrast: float = 1.0
    """Exponent (additive: factor) of the local contrast."""
    saturation: float = 1.0
    """Likewise of the colour saturation."""
    exposure: float = 0.0
    """Likewise of the closeness to middle grey."""
    epsilon: float = 1e-12
    """Added to every weight. Where all exposures are clipped or flat, the measures are rounding noise; 1e-12 (OpenCV)
    lets that noise decide, 1e-4 (:data:`PRESETS` ``robust``) gives the plain mean there, and bounded gradients."""
    additive: bool = False
    """Add the measures, as enfuse does, instead of multiplying them. Its measures differ too: closeness to middle grey
    of the luma, saturation of HSL, standard deviation in 5x5 pixels for contrast."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{field.name}={value}: wanted a number >= 0")
        if self.epsilon == 0:
            raise ValueError("epsilon=0: where all measures are 0, no exposure would have a weight")


PRESETS: Mapping[str, Weighting] = {
    "opencv": Weighting(),
    "paper": Weighting(exposure=1.0),
    "robust": Weighting(exposure=1.0, epsilon=1e-4),
    "enfuse": Weighting(contrast=0.0, saturation=0.2, exposure=1.0, additive=True),
}
"""``opencv``: its defaults, exposure off. ``paper``: all three measures (Mertens et al. 2009). ``robust``: for
gradients. ``enfuse``: the weighting of enfuse 4 with its default factors, in floating point and with this module's
pyramids (enfuse itself rounds and uses other pyramids, so pictures agree in kind only)."""


def fusion_weights(display: Tensor, weighting: Weighting | str = "opencv") -> Tensor:
    """How good each pixel of each exposure is, not yet normalised.

    The measures of Mertens, Kautz and Van Reeth (2009), 3.1, as OpenCV computes them: contrast is the absolute
    Laplacian of the luma (borders mirrored), saturation the root of the summed squared differences from the channels'
    mean, exposure the product over channels of exp(-(x - 0.5)^2 / 0.08).

    Args:
        display: (..., 3, H, W) in [0, 1]; values outside are taken as they are.
        weighting: a weighting, or the name of one of :data:`PRESETS`.

    Returns:
        (..., 1, H, W), at least ``epsilon``. Gradients are finite everywhere, also on grey and clipped pixels.
    """
    chosen = _chosen(weighting)
    weights = _added(display, chosen) if chosen.additive else _multiplied(display, chosen)
    return weights + chosen.epsilon


def normalised_weights(display: Tensor, weighting: Weighting | str = "opencv") -> Tensor:
    """:func:`fusion_weights` of exposures (N, K, 3, H, W), divided by their sum over K: (N, K, 1, H, W)."""
    weights = fusion_weights(display, weighting)
    return weights / weights.sum(dim=1, keepdim=True)


def exposure_fusion(display: Tensor, weighting: Weighting | str = "opencv", *, backend: Backend = "torch") -> Tensor:
    """Fuse exposures by blending their Laplacian pyramids (Mertens, Kautz and Van Reeth 2009, 3.2).

    Args:
        display: (N, K, 3, H, W), K exposures of N scenes in [0, 1], aligned; their order does not matter.
        weighting: a weighting, or the name of one of :data:`PRESETS`.
        backend: ``torch`` runs anywhere and has gradients; ``cv2`` is OpenCV's own code on the CPU, several times
            faster there, without gradients and with its own epsilon.

    Returns:
        (N, 3, H, W), display values. As in OpenCV nothing is clamped: strong contrasts overshoot (-0.5 to 1.05 has been
        seen); clamp for showing. Equal exposures come back unchanged.

    Raises:
        ValueError: another shape, an unknown preset or backend, or a weighting that the backend does not have.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"there is no backend {backend!r}; accepted are {', '.join(get_args(Backend))}")
    if display.ndim != 5 or display.shape[2] != 3 or display.numel() == 0:
        raise ValueError(f"wanted exposures (N, K, 3, H, W); got {tuple(display.shape)}")
    if backend == "cv2":
        return _by_opencv(display, _chosen(weighting))
    levels = level_count(*display.shape[-2:])
    # Small pictures all at once, large ones one after another, which takes half the time and memory.
    groups = display.split(max(1, _VALUES_AT_ONCE // display[:, :1].numel()), dim=1)
    weights = [fusion_weights(group, weighting) for group in groups]
    total = torch.stack([weight.sum(dim=1, keepdim=True) for weight in weights]).sum(dim=0)
    blended = [total.new_zeros(())] * levels
    for group, weight in zip(groups, weights, strict=True):
        pyramids = gaussian_pyramid(weight / total, levels), laplacian_pyramid(group, levels)
        blended = [sum_ + (w * d).sum(dim=1) for sum_, w, d in zip(blended, *pyramids, strict=True)]
    return collapse(blended)


def _chosen(weighting: Weighting | str) -> Weighting:
    if isinstance(weighting, Weighting):
        return weighting
    if weighting not in PRESETS:
        raise ValueError(f"there is no weighting {weighting!r}; accepted are {', '.join(PRESETS)}")
    return PRESETS[weighting]


def _multiplied(display: Tensor, weighting: Weighting) -> Tensor:
    weights = torch.ones_like(display[..., :1, :, :])
    if weighting.contrast:
        weights = weights * _power(_laplacian(_grey(display)).abs(), weighting.contrast)
    if weighting.saturation:
        # In OpenCV's order of operations: on grey pixels the measure is rounding noise, which decides where all
        # exposures are grey.
        red, green, blue = display.split(1, dim=-3)
        mean = (red + green + blue) * (1 / 3)
        spread = (red - mean) ** 2 + (green - mean) ** 2 + (blue - mean) ** 2
        weights = weights * _power(_root(spread), weighting.saturation)
    if weighting.exposure:
        distance = ((display - _WELL_EXPOSED) ** 2).sum(dim=-3, keepdim=True)
        weights = weights * torch.exp(-weighting.exposure * distance / (2 * _SPREAD**2))
    return weights


def _added(display: Tensor, weighting: Weighting) -> Tensor:
    weights = torch.zeros_like(display[..., :1, :, :])
    grey = _grey(display)
    if weighting.contrast:
        weights = weights + weighting.contrast * _local_deviation(grey)
    if weighting.saturation:
        high, low = display.amax(dim=-3, keepdim=True), display.amin(dim=-3, keepdim=True)
        sum_ = high + low
        reach = torch.where(sum_ > 1.0, 2.0 - sum_, sum_)
        colourful = (high > low) & (reach > 0)
        weights = weights + weighting.saturation * torch.where(
            colourful, (high - low) / torch.where(colourful, reach, 1.0), 0.0
        )
    if weighting.exposure:
        weights = weights + weighting.exposure * torch.exp(-((grey - _WELL_EXPOSED) ** 2) / (2 * _SPREAD**2))
    return weights


def _grey(display: Tensor) -> Tensor:
    red, green, blue = display.split(1, dim=-3)
    return _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue


def _laplacian(grey: Tensor) -> Tensor:
    """Sum of the four neighbours minus four times the pixel; borders mirrored without repeating the edge."""
    height, width = grey.shape[-2:]
    flat = grey.reshape(1, -1, height, width)
    # A side of one pixel is its own mirror image.
    rows = pad(flat, (0, 0, 1, 1), mode="reflect" if height > 1 else "replicate")
    columns = pad(flat, (1, 1, 0, 0), mode="reflect" if width > 1 else "replicate")
    vertical = rows[..., :-2, :] + rows[..., 2:, :]
    horizontal = columns[..., :-2] + columns[..., 2:]
    return (vertical + horizontal - 4.0 * flat).reshape(grey.shape)


def _local_deviation(grey: Tensor) -> Tensor:
    flat = grey.reshape(-1, 1, *grey.shape[-2:])

    def mean(x: Tensor) -> Tensor:
        return avg_pool2d(x, _WINDOW, stride=1, padding=_WINDOW // 2, count_include_pad=False)

    variance = (mean(flat**2) - mean(flat) ** 2).clamp(min=0.0)
    return _root(variance).reshape(grey.shape)


def _root(squares: Tensor) -> Tensor:
    """The square root with the gradient 0 at 0, where it has none."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def _power(measure: Tensor, exponent: float) -> Tensor:
    if exponent == 1.0:
        return measure
    positive = measure > 0
    return torch.where(positive, torch.where(positive, measure, 1.0) ** exponent, 0.0)


def _by_opencv(display: Tensor, weighting: Weighting) -> Tensor:
    import cv2

    if weighting.additive or weighting.epsilon != Weighting.epsilon:
        raise ValueError(f"OpenCV multiplies its measures and adds {Weighting.epsilon:g}; use backend='torch'")
    merge = cv2.createMergeMertens(weighting.contrast, weighting.saturation, weighting.exposure)
    # OpenCV takes 0 to 255 whatever the type; its first channel gets the weight of red.
    stacks = (display.detach().to("cpu", torch.float32) * 255.0).permute(0, 1, 3, 4, 2).contiguous().numpy()
    fused = [np.asarray(merge.process(list(stack))).reshape(stack.shape[1:]) for stack in stacks]
    return torch.from_numpy(np.stack(fused)).permute(0, 3, 1, 2).contiguous().to(display)
