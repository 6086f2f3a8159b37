"""The exposures of a scene: virtual ones, rendered from linear light, or those of a real bracket."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from hdr.ops.camera import expose, metered_ev, quantise, white_balance
from hdr.ops.encoding import linear_to_bt709, linear_to_srgb
from hdr.ops.noise import add_sensor_noise
from hdr.ops.primaries import apply_matrix

Anchor = Literal["highlights", "log_average"]
Curve = Literal["srgb", "bt709"]
_CURVES = {"srgb": linear_to_srgb, "bt709": linear_to_bt709}
UNKNOWN = (math.nan, math.nan, math.nan)
EXIF_UNIT = 8.0
"""EV that one unit of :func:`exif_scalars` stands for, which brings them to a size that networks like."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """Light on a sensor, from which any exposure can be rendered."""

    linear: Tensor
    """(3, H, W), colours of the sensor, >= 0, any unit."""
    id: str
    group: str
    """What a split may not tear apart: the place, the burst, the day of a camera."""
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """White balance, the smallest 1; applied after the sensor has clipped."""
    matrix: Tensor | None = None
    """(3, 3), balanced sensor colours to linear Rec. 709; None: they are."""
    saturation: float = math.inf
    """Value of ``linear`` above which the light is not known, because the capture was clipped there."""
    shot: float = 0.0
    """Shot noise S of one exposure in units of its full well, as in a DNG's NoiseProfile."""
    read: float = 0.0
    """Read noise O, likewise."""
    exif: tuple[float, float, float] = UNKNOWN
    """:func:`exif_scalars` of the exposure that saturates at 1.0; of no meaning where there was none."""
    subsets: tuple[str, ...] = field(default=())
    """Breakdowns that its scores belong to."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Exposures of one scene as a camera would write them."""

    display: Tensor
    """(K, 3, H, W), sRGB- or BT.709-encoded, multiples of 1/255."""
    evs: tuple[float, ...]
    """EV of each, rising, relative to the preview."""
    id: str
    group: str
    subsets: tuple[str, ...] = field(default=())


def exif_scalars(exposure_time: float | None, iso: float | None, aperture: float | None) -> tuple[float, float, float]:
    """EXIF facts beside an image, as selectors take them: log2 t, log2 (ISO / 100) and log2 N^2, in units of 8 EV.

    NaN where not known (None).
    """
    values = exposure_time, None if iso is None else iso / 100, None if aperture is None else aperture**2
    time, gain, stop = (math.nan if value is None else math.log2(value) / EXIF_UNIT for value in values)
    return time, gain, stop


def preview_ev(light: Light, anchor: Anchor = "highlights", percentile: float = 0.99) -> float:
    """Stops for :func:`hdr.ops.camera.expose` that give the preview, EV 0 of the ladder.

    ``highlights``: a share ``percentile`` of the pixels stays below saturation in every channel, as cameras that fuse
    bursts expose; ``log_average``: the log-average luminance becomes middle grey, as a plain meter does.
    """
    if anchor == "log_average":
        return float(metered_ev(light.linear[None], "log_average"))
    brightest = light.linear.amax(dim=0).flatten().float()
    rank = max(1, math.ceil(percentile * brightest.numel()))
    return -math.log2(max(float(brightest.kthvalue(rank).values), 1e-20))


def darkest_honest(light: Light, anchor_ev: float) -> float:
    """The lowest EV of the ladder at which a virtual exposure shows what a camera would have seen.

    Scaling down a capture that was clipped gives grey where a real, shorter exposure has detail; from the exposure at
    which the clipped light fills the virtual well on, both agree.
    """
    return -math.inf if math.isinf(light.saturation) else -math.log2(light.saturation) - anchor_ev


def render(
    light: Light,
    evs: Sequence[float] | Tensor,
    anchor_ev: float,
    *,
    curve: Curve = "srgb",
    bits: int | None = 8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Virtual exposures (K, 3, H, W), display: noise, full well, white balance, colour, tone curve, rounding.

    ``x_e = curve(clip(M (g * clip(2^e L + n, 0, 1)), 0, 1))`` with noise n of variance S x + O, drawn anew for each
    exposure; without a ``generator`` there is none. Without ``bits`` nothing is rounded, and the result is
    differentiable in ``evs``, except where it is clipped.
    """
    steps = torch.as_tensor(evs, dtype=light.linear.dtype, device=light.linear.device) + anchor_ev
    signal = expose(light.linear.expand(len(steps), -1, -1, -1), steps)
    if generator is not None:
        signal = add_sensor_noise(signal, light.shot, light.read, generator)
    linear = white_balance(signal.clamp(0.0, 1.0), light.gains)
    # The channel with the smallest gain saturates first at 1: what is brighter in the others is not known there.
    linear = linear.clamp(max=1.0)
    if light.matrix is not None:
        linear = apply_matrix(linear, light.matrix.to(linear))
    display = _CURVES[curve](linear.clamp(0.0, 1.0))
    return display if bits is None else quantise(display, bits)
