"""Merging an exposure bracket to one radiance map."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from hdr.ops.crf import apply_curve

Weights = Literal["hat", "gaussian", "noise"]
Domain = Literal["linear", "log"]

_LEAST_VARIANCE = 1e-12
_VALUES_AT_ONCE = 1 << 20
"""Values of the stack that are worked on together: few enough to stay in a processor's cache."""

_Noise = tuple[Tensor | float, Tensor | float]


def merge_exposures(
    stack: Tensor,
    times: Tensor,
    *,
    inverse: Tensor | None = None,
    weights: Weights = "hat",
    domain: Domain = "linear",
    black: float = 0.0,
    white: float = 0.98,
    noise: _Noise | None = None,
) -> Tensor:
    """The radiance of a static scene from pictures of it at different exposures.

    Each value z of frame k, decoded to light x, is an estimate x / t_k of radiance. Estimates are averaged per channel
    with weights w:

    - ``linear``: sum of w t x over sum of w t^2, the least-squares radiance (Robertson et al. 2003);
    - ``log``: the exponential of the mean of ln(x / t) with weights w (Debevec and Malik 1997, eq. 6). Values without
      light (x <= 0) have no logarithm and count as not valid.

    The weights:

    - ``hat``: a triangle over z, 0 at 0 and 1, 1 at 1/2 (Debevec and Malik, eq. 4);
    - ``gaussian``: a bell over z, 0 at 0 and 1 (Robertson et al., brought to 0 at the ends);
    - ``noise``: inverse variance, from the variance S x + O of ``noise``. It is taken at the x that a first merge
      expects in each frame, not at the noisy x itself, because weights that follow the noise would make dark radiance
      too dark.

    A value is valid where black <= z <= white. Where no frame has a valid value of any weight, the longest exposure
    not above ``white`` decides: for scenes darker than all frames the longest; for a gap between two frames the shorter
    one; and if all frames are saturated, the shortest, whose clipped value is a lower bound. NaN is never valid, and
    comes out only where all frames have it.

    Differentiable in the stack, through values and weights (those of ``noise`` count as constant), and in the curves.
    Large pictures are merged some rows at a time: without gradients that takes little memory beside stack and result.

    Args:
        stack: (N, K, C, H, W), aligned frames. Without ``inverse``: linear light, 1.0 = sensor saturation, not clamped.
            With it: display values in [0, 1].
        times: (K,) or (N, K), above 0: exposure times, or any numbers proportional to exposure, such as ``2.0**ev``.
        inverse: inverse response curves (N or 1, C or 1, S) that decode the stack, as ``hdr.ops.crf.apply_curve`` takes
            them.
        weights: see above.
        domain: see above.
        black: noise floor. For RAW, where noise goes below 0, a negative number keeps dark averages unbiased.
        white: saturation.
        noise: S and O as in a DNG's NoiseProfile (for x at 1.0 = saturation), each of a shape that broadcasts to
            (N, K, C): one number, (C,) by channel, (K, 1) where frames differ in sensitivity. Wanted with
            ``weights="noise"``, and only there.

    Returns:
        (N, C, H, W), radiance: light per unit of ``times``. Times t_k it is on the scale of frame k.

    Raises:
        ValueError: unknown weights or domain, shapes that do not match, times not above 0, thresholds out of order,
            ``noise`` missing or not used.
    """
    if weights not in get_args(Weights) or domain not in get_args(Domain):
        raise ValueError(
            f"weights {weights!r} in the domain {domain!r}: wanted one of {', '.join(get_args(Weights))} and one of "
            f"{', '.join(get_args(Domain))}"
        )
    times = _checked(stack, times, black, white)
    if (weights == "noise") != (noise is not None):
        raise ValueError("weights='noise' and the parameter noise go together")
    rows = max(1, _VALUES_AT_ONCE // max(1, stack[..., :1, :].numel()))
    parts = [_merged(part, times, inverse, weights, domain, black, white, noise) for part in stack.split(rows, dim=-2)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def _merged(
    stack: Tensor,
    times: Tensor,
    inverse: Tensor | None,
    weights: Weights,
    domain: Domain,
    black: float,
    white: float,
    noise: _Noise | None,
) -> Tensor:
    """:func:`merge_exposures` of some rows, with times (N, K, 1, 1, 1)."""
    frames = stack.unbind(1)
    lights = frames if inverse is None else [apply_curve(frame, inverse) for frame in frames]
    durations = times.unbind(1)
    valid = [(z >= black) & (z <= white) for z in frames]
    if domain == "log":
        valid = [v & (x > 0) for v, x in zip(valid, lights, strict=True)]

    if noise is not None:
        expected = _expected(lights, durations, valid)
        shot, read = (torch.as_tensor(v).to(stack).expand(stack.shape[:3])[..., None, None] for v in noise)
    top = bottom = torch.zeros_like(lights[0])
    for k, (z, x, t) in enumerate(zip(frames, lights, durations, strict=True)):
        # NaN times 0 is NaN: what is not valid is replaced, not only weighted with 0
        if noise is not None:
            w = _inverse_variance(expected * t, shot[:, k], read[:, k], domain)
        else:
            w = (_hat if weights == "hat" else _gaussian)(torch.where(valid[k], z, 0.5))
        w = torch.where(valid[k], w, 0.0)
        if domain == "log":
            estimate = torch.where(valid[k], x, 1.0).log() - t.log()
        else:
            w, estimate = w * t.square(), torch.where(valid[k], x, 0.0) / t
        top, bottom = top + w * estimate, bottom + w
    merged = top / torch.where(bottom > 0, bottom, 1.0)
    if domain == "log":
        merged = merged.exp()
    return torch.where(bottom > 0, merged, _without_valid(frames, lights, durations, white))


def _expected(lights: list[Tensor] | tuple[Tensor, ...], durations: tuple[Tensor, ...], valid: list[Tensor]) -> Tensor:
    """Light over time, both summed over valid frames: the best estimate under photon noise alone.

    Without gradient: it decides how much a frame counts, not what it says.
    """
    with torch.no_grad():
        light = time = torch.zeros_like(lights[0])
        for x, t, v in zip(lights, durations, valid, strict=True):
            light, time = light + torch.where(v, x, 0.0), time + torch.where(v, t, 0.0)
        return light / torch.where(time > 0, time, 1.0)


def _inverse_variance(light: Tensor, shot: Tensor, read: Tensor, domain: Domain) -> Tensor:
    """Of light, or of its logarithm (whose error is the relative one)."""
    light = light.clamp(min=0.0)
    variance = (shot * light + read).clamp(min=_LEAST_VARIANCE)
    return light.square() / variance if domain == "log" else 1.0 / variance


def _without_valid(
    frames: tuple[Tensor, ...], lights: list[Tensor] | tuple[Tensor, ...], durations: tuple[Tensor, ...], white: float
) -> Tensor:
    """Radiance by the longest exposure that is not saturated, by the shortest one where all are; NaN is none."""
    radiance = torch.full_like(lights[0], torch.nan)
    shortest, longest = torch.full_like(lights[0], torch.inf), torch.zeros_like(lights[0])
    for z, x, t in zip(frames, lights, durations, strict=True):
        saturated = z > white
        longer = (z <= white) & (t > longest)
        shorter = saturated & (t < shortest) & (longest == 0)
        radiance = torch.where(longer | shorter, x / t, radiance)
        shortest, longest = (
            torch.where(saturated, torch.minimum(shortest, t), shortest),
            torch.where(longer, t, longest),
        )
    return radiance


def _hat(z: Tensor) -> Tensor:
    return (1.0 - (2.0 * z - 1.0).abs()).clamp(min=0.0)


def _gaussian(z: Tensor) -> Tensor:
    at_end = math.exp(-4.0)
    return (((-4.0 * (2.0 * z - 1.0).square()).exp() - at_end) / (1.0 - at_end)).clamp(min=0.0)


def _checked(stack: Tensor, times: Tensor, black: float, white: float) -> Tensor:
    """Times (N, K, 1, 1, 1)."""
    if stack.ndim != 5 or times.shape not in ((stack.shape[1],), tuple(stack.shape[:2])):
        raise ValueError(
            f"wanted a stack (N, K, C, H, W) and times (K,) or (N, K), got {tuple(stack.shape)}, {tuple(times.shape)}"
        )
    if not bool(((times > 0) & times.isfinite()).all()):
        raise ValueError(f"times must be above 0, got {times.tolist()}")
    if not black < white:
        raise ValueError(f"wanted black < white, got {black}, {white}")
    return times.to(stack).expand(stack.shape[:2])[..., None, None, None]
