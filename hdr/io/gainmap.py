"""Gain maps: HDR as an SDR picture times a stored map of gains.

With both renditions in linear light, 1.0 = SDR diffuse white, the logarithm of the gain is
g = log2((hdr + alternate_offset) / (sdr + base_offset)), and the map stores ((g - min) / (max - min)) ^ gamma.
Source: ISO 21496-1:2025; the same formulas in Adobe's "Gain map 1.0" and Google's "Ultra HDR Image Format v1.1".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io.gainmap_metadata import Channels, GainMapMetadata
from hdr.ops.encoding import linear_to_srgb

_LEAST_HEADROOM = 1.0
"""Stops that a picture asks for at least: readers divide by the headroom, and some pictures need none."""
_LEAST_RANGE = 1 / 64
"""Stops from the least to the largest gain, at least: where both renditions are equal, the range would be zero."""


def apply_gain_map(
    base: torch.Tensor, stored: torch.Tensor, metadata: GainMapMetadata, weight: float = 1.0
) -> torch.Tensor:
    """The HDR rendition (3, H, W) of the ``base`` (3, H, W), both linear, 1.0 = SDR diffuse white.

    ``stored``: the map (1 or 3, h, w) in [0, 1], of any size; it is interpolated linearly, pixel centres at
    half-integers. ``weight``: the share of the gain that is applied (``display_weight``); 1: all of it.
    """
    enlarged = resized_map(stored, (base.shape[1], base.shape[2]))
    result = torch.empty_like(base)
    for index in range(3):
        share = enlarged[min(index, len(enlarged) - 1)].clamp(0, 1)
        if metadata.gamma[index] != 1:
            share = share ** (1 / metadata.gamma[index])
        low, high = metadata.gain_min[index], metadata.gain_max[index]
        gain = torch.exp2((low + share * (high - low)) * weight)
        result[index] = (base[index] + metadata.base_offset[index]) * gain - metadata.alternate_offset[index]
    return result


def display_weight(metadata: GainMapMetadata, headroom: float) -> float:
    """The share of the gain for a display that shows ``headroom`` times SDR white (1: none of it, for an SDR base)."""
    span = metadata.alternate_headroom - metadata.base_headroom
    if span == 0:
        return 1.0 if math.log2(headroom) >= metadata.alternate_headroom else 0.0
    return min(max((math.log2(headroom) - metadata.base_headroom) / span, 0.0), 1.0)


def compute_gain_map(linear: torch.Tensor, base: torch.Tensor) -> tuple[NDArray[np.uint8], GainMapMetadata]:
    """The map (H, W, 3) that leads from ``base`` to ``linear``, both (3, H, W), >= 0, 1.0 = SDR diffuse white.

    Each channel has gains of its own over their whole range, so nothing is clipped; the largest rounding error is half
    of 1/255 of that range, in stops. Offsets are 1/64, gamma 1. The headroom is that of the largest luminance.
    """
    offset = 1 / 64
    stored = np.empty((*linear.shape[1:], 3), np.uint8)
    least: list[float] = []
    most: list[float] = []
    for index in range(3):
        gain = torch.log2((linear[index] + offset) / (base[index] + offset))
        low, high = (float(value) for value in torch.aminmax(gain))
        high = max(high, low + _LEAST_RANGE)
        stored[..., index] = ((gain - low) * (255 / (high - low))).round_().numpy()
        least.append(low)
        most.append(high)
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return stored, GainMapMetadata(
        gain_min=_channels(least),
        gain_max=_channels(most),
        alternate_headroom=max(math.log2(max(float(luminance.max()), 1.0)), _LEAST_HEADROOM),
    )


def sdr_rendition(linear: torch.Tensor) -> torch.Tensor:
    """An SDR picture (3, H, W), display, of ``linear`` (3, H, W) >= 0, 1.0 = SDR diffuse white, at its own exposure.

    M (1 + M / W^2) / (1 + M) of the largest channel M of each pixel, where W is the largest M of the picture or 1; the
    other channels keep their ratio to it. So no colour leaves the range, the gains of the channels are equal, and an
    equal map costs JPEG the fewest bits. Source: Reinhard et al. 2002, equation 4 (there of luminance).
    """
    largest = linear.amax(dim=0)
    white = max(float(largest.max()), 1.0)
    return linear_to_srgb(linear * ((1 + largest / white**2) / (1 + largest)))


def resized_map(stored: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The map (C, h, w) at another size (H, W), interpolated linearly."""
    if tuple(stored.shape[1:]) == size:
        return stored
    return torch.nn.functional.interpolate(stored[None], size, mode="bilinear", align_corners=False)[0]


def _channels(values: list[float]) -> Channels:
    red, green, blue = values
    return red, green, blue
