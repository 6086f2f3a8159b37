"""Transfer functions between linear light and encoded values, each in both directions, for values of any size and sign.

Unless its docstring says otherwise, a function takes any shape in float32 or float64, keeps the dtype, clamps nothing
and mirrors negative values (f(-x) = -f(x)); NaN stays NaN and infinity stays infinite. Gradients are finite everywhere.
Where a curve of the literature starts with an infinite slope at black, its values are exact, but below a declared
amount of light its gradient is held at the slope that it has there. PU21 is in `hdr.ops.perceptual`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import threshold

from hdr.ops._shortcuts import runs_forwards_only

_DISPLAY_THRESHOLD = 0.04045
_LINEAR_THRESHOLD = 0.0031308

# Rec. ITU-R BT.2020-2, table 4, note 1: the pair that makes the curve and its slope continuous.
_BT709_ALPHA = 1.09929682680944
_BT709_BETA = 0.018053968510807

# SMPTE ST 2084:2014, 5.2.
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_D = _PQ_C2 - _PQ_C3  # = 1 - c1
_PQ_PEAK = 10000.0
_PQ_KNEE = 1e-11
_PQ_BRIGHTEST = 1e6  # of the peak

# Rec. ITU-R BT.2100-2, table 5.
_HLG_A = 0.17883277
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * math.log(4 * _HLG_A)
_HLG_KNEE = 1e-6
_HLG_DARKEST = 1e-6
_REC2020_LUMINANCE = (0.2627, 0.6780, 0.0593)

_GAMMA_KNEE = 2.0**-16


def srgb_to_linear(display: Tensor) -> Tensor:
    """Decode sRGB: display values to linear light, both with 1.0 = display white.

    Any shape and floating dtype; nothing is clamped: the power law goes on above 1, and negative values mirror the
    positive ones (f(-x) = -f(x)), as in the extended ranges of IEC 61966-2-1 Amd. 1. The gradient is finite
    everywhere; at 0 it is 1/12.92.

    Source: IEC 61966-2-1:1999, 5.2.
    """
    return _power_after_line(display, _DISPLAY_THRESHOLD, 12.92, 0.055, 2.4)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light with the sRGB transfer function; the inverse of `srgb_to_linear`.

    Any shape and floating dtype; 1.0 = display white on both sides; nothing is clamped, negative values mirror the
    positive ones. The gradient is finite everywhere; at 0 it is 12.92.

    Source: IEC 61966-2-1:1999, 5.2.
    """
    return _root_after_line(linear, _LINEAR_THRESHOLD, 12.92, 0.055, 1 / 2.4)


def linear_to_bt709(linear: Tensor) -> Tensor:
    """The reference camera curve of video: 4.5 L near black, else 1.0993 L^0.45 - 0.0993; 1.0 = reference white.

    The constants have the fifteen digits that join both parts with one slope (the 1.099 and 0.018 of the printed
    curve leave a small step). The gradient at 0 is 4.5.

    Source: Rec. ITU-R BT.709-6, item 1.2; the constants from Rec. ITU-R BT.2020-2, table 4.
    """
    return _root_after_line(linear, _BT709_BETA, 4.5, _BT709_ALPHA - 1, 0.45)


def bt709_to_linear(encoded: Tensor) -> Tensor:
    """Undo the camera curve of video: the inverse of `linear_to_bt709`, not the curve of a television (BT.1886)."""
    return _power_after_line(encoded, 4.5 * _BT709_BETA, 4.5, _BT709_ALPHA - 1, 1 / 0.45)


def linear_to_gamma(linear: Tensor, gamma: float = 2.2) -> Tensor:
    """Pure power law L^(1 / gamma) for ``gamma`` >= 1; 1.0 = white. Below 2^-16 the gradient is held."""
    sign, magnitude = _split(linear)
    return sign * power_with_held_slope(magnitude, 1 / gamma, _GAMMA_KNEE)


def gamma_to_linear(encoded: Tensor, gamma: float = 2.2) -> Tensor:
    """The inverse of `linear_to_gamma`: V^gamma."""
    sign, magnitude = _split(encoded)
    return sign * magnitude**gamma


def linear_to_mu_law(linear: Tensor, mu: float = 5000.0) -> Tensor:
    """Range compression ln(1 + mu L) / ln(1 + mu): 0 -> 0 and 1 -> 1; slope 587 at black for mu = 5000.

    Source: Kalantari and Ramamoorthi, ACM Trans. Graphics 36(4), 2017 (the shape is that of ITU-T G.711).
    """
    sign, magnitude = _split(linear)
    return sign * torch.log1p(mu * magnitude) / math.log1p(mu)


def mu_law_to_linear(encoded: Tensor, mu: float = 5000.0) -> Tensor:
    """The inverse of `linear_to_mu_law`. In float32 it is infinite from about 10.4 on (mu = 5000), as is its slope."""
    sign, magnitude = _split(encoded)
    return sign * torch.expm1(magnitude * math.log1p(mu)) / mu


def linear_to_log2(linear: Tensor, low: float = -12.0, high: float = 4.0) -> Tensor:
    """Stops on a scale: (log2(L + 2^low) - low) / (high - low), with ``low`` and ``high`` in EV about L = 1.0.

    Black is 0, 2^high is 1 (to 2^(low - high)), and from a few stops above ``low`` on, a stop is 1 / (high - low) of
    the scale. The offset 2^low gives black a place and a slope: 2^-low / ((high - low) ln 2).

    Raises:
        ValueError: ``low`` is not below ``high``.
    """
    _check_stops(low, high)
    sign, magnitude = _split(linear)
    return sign * torch.log1p(magnitude * 2.0**-low) / (math.log(2) * (high - low))


def log2_to_linear(encoded: Tensor, low: float = -12.0, high: float = 4.0) -> Tensor:
    """The inverse of `linear_to_log2`. In float32 it is infinite beyond 128 EV."""
    _check_stops(low, high)
    sign, magnitude = _split(encoded)
    return sign * torch.expm1(magnitude * (math.log(2) * (high - low))) * 2.0**low


def linear_to_pq(linear: Tensor) -> Tensor:
    """Perceptual quantiser: light in cd/m2 to code values, 10 000 cd/m2 -> 1.

    Black has the code 7.3e-7; negative light mirrors positive light, so that there is a step of twice that at 0. Above
    10 000 cd/m2 the formula goes on, towards 1.99 for infinite light. Below 1e-7 cd/m2 the gradient is held.

    Source: SMPTE ST 2084:2014, 5.3; also Rec. ITU-R BT.2100-2, table 4.
    """
    sign, light = _split(linear)
    u = power_with_held_slope((light / _PQ_PEAK).clamp(max=1e30), _PQ_M1, _PQ_KNEE)
    # ((c1 + c2 u) / (1 + c3 u))^m2 with c1 = 1 - (c2 - c3): as a logarithm near 1 it loses nothing to rounding.
    return sign * torch.exp(_PQ_M2 * torch.log1p(-_PQ_D * (1 - u) / (1 + _PQ_C3 * u)))


def pq_to_linear(encoded: Tensor) -> Tensor:
    """Code values of `linear_to_pq` to light in cd/m2: its inverse up to 1e10 cd/m2.

    Codes within 7.3e-7 of 0 are black. Above the code of 1e10 cd/m2 (1.84) a straight line goes on with the slope it
    has there: the formula has a pole at 1.99.

    Source: SMPTE ST 2084:2014, 5.2.
    """
    sign, code = _split(encoded)
    inside = code.clamp(_PQ_BLACK_CODE, _PQ_LAST_CODE)
    missing = -torch.expm1(torch.log(inside) / _PQ_M2)  # 1 - code^(1 / m2)
    u = ((_PQ_D - missing) / (_PQ_D + _PQ_C3 * missing)).clamp(min=0)
    beyond = torch.where(code > _PQ_LAST_CODE, (code - _PQ_LAST_CODE) * _PQ_LAST_SLOPE, 0)
    return sign * (u ** (1 / _PQ_M1) * _PQ_PEAK + beyond)


def linear_to_hlg(linear: Tensor) -> Tensor:
    """Hybrid log-gamma camera curve: scene light, 1.0 = peak of the signal, to code values; 1/12 -> 0.5 and 1 -> 1.

    Below 1e-6 the gradient is held.

    Source: Rec. ITU-R BT.2100-2, table 5, OETF (ARIB STD-B67).
    """
    sign, light = _split(linear)
    low = power_with_held_slope(3 * light, 0.5, 3 * _HLG_KNEE)
    high = _HLG_A * torch.log(12 * light.clamp(min=1 / 12) - _HLG_B) + _HLG_C
    return sign * torch.where(light <= 1 / 12, low, high)


def hlg_to_linear(encoded: Tensor) -> Tensor:
    """Code values of `linear_to_hlg` to scene light: its inverse. In float32 it is infinite from about 16.4 on."""
    sign, code = _split(encoded)
    high = (torch.exp((code.clamp(min=0.5) - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return sign * torch.where(code <= 0.5, code * code / 3, high)


def hlg_system_gamma(peak: float) -> float:
    """System gamma of a display with ``peak`` cd/m2 in the reference surround: 1.2 at 1000 cd/m2.

    Source: Rec. ITU-R BT.2100-2, table 5, note 5f (for 400 to 2000 cd/m2).
    """
    return 1.2 + 0.42 * math.log10(peak / 1000)


def hlg_to_display_light(linear: Tensor, peak: float = 1000.0, gamma: float = 1.2) -> Tensor:
    """The opto-optical transfer of HLG: scene light of `hlg_to_linear` to light on the display in cd/m2.

    ``linear`` is (..., 3, H, W) RGB of Rec. 2020 primaries, 1.0 = peak of the signal. Every channel is multiplied by
    ``peak`` Y^(gamma - 1) with the luminance Y of its pixel (the black level of the display is 0); the multiplier is
    that of Y = 1e-6 below this luminance, where the standard's has an infinite slope. ``gamma`` is 1.2 or, for a peak
    other than 1000 cd/m2, that of `hlg_system_gamma`.

    Source: Rec. ITU-R BT.2100-2, table 5, OOTF.
    """
    return linear * (peak * _rec2020_luminance(linear).clamp(min=_HLG_DARKEST) ** (gamma - 1))


def display_light_to_hlg_scene(light: Tensor, peak: float = 1000.0, gamma: float = 1.2) -> Tensor:
    """The inverse of `hlg_to_display_light`: (..., 3, H, W) cd/m2, Rec. 2020, to scene light for `linear_to_hlg`."""
    relative = light / peak
    luminance = _rec2020_luminance(relative).clamp(min=_HLG_DARKEST**gamma)
    return relative * luminance ** (1 / gamma - 1)


def power_with_held_slope(base: Tensor, exponent: float, knee: float) -> Tensor:
    """``base ** exponent`` for ``base`` >= 0 and an exponent below 1; below ``knee`` its gradient is that at ``knee``.

    The values are exact. The gradient of the power itself has no bound towards 0.
    """
    above = base.clamp(min=knee) ** exponent
    fixed = base.detach()
    below = fixed**exponent + (base - fixed) * (exponent * knee ** (exponent - 1))
    return torch.where(base > knee, above, below)


def _root_after_line(values: Tensor, joint: float, slope: float, offset: float, exponent: float) -> Tensor:
    """``slope x`` up to the joint, ``(1 + offset) x^exponent - offset`` above it; mirrored."""
    magnitude = values.abs()
    if _wants_no_gradient(values):
        # In place. Up to the joint the root is made infinite; above it, it is below the line.
        root = threshold(magnitude, joint, torch.inf).pow_(exponent).mul_(1 + offset).sub_(offset)
        return torch.minimum(root, magnitude.mul_(slope), out=root).copysign_(values)
    # The branch that `where` does not take still gets a gradient: clamped, it cannot be NaN.
    root = (1 + offset) * magnitude.clamp(min=joint) ** exponent - offset
    return torch.where(magnitude > joint, values.sign() * root, values * slope)


def _power_after_line(values: Tensor, joint: float, slope: float, offset: float, exponent: float) -> Tensor:
    """The inverse of `_root_after_line`, with its slope and offset."""
    magnitude = values.abs()
    if _wants_no_gradient(values):
        # In place. Up to the joint the power is made 0; above it, it is above the line.
        power = threshold(magnitude, joint, -offset).add_(offset).div_(1 + offset).pow_(exponent)
        return torch.maximum(power, magnitude.div_(slope), out=power).copysign_(values)
    power = ((magnitude.clamp(min=joint) + offset) / (1 + offset)) ** exponent
    return torch.where(magnitude > joint, values.sign() * power, values / slope)


def _wants_no_gradient(values: Tensor) -> bool:
    """Whether a curve in two pieces may be computed in place, which saves most of its time on a CPU.

    The bits are those of the ordinary way; where the pieces join without a step (BT.709), up to four roundings differ.
    """
    return values.dtype == torch.float32 and runs_forwards_only(values)


def _split(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sign and magnitude; 0 counts as positive, so that the magnitude's gradient there is 1 and not 0."""
    sign = 1 - 2 * (values < 0).to(values.dtype)
    return sign, values * sign


def _rec2020_luminance(linear: Tensor) -> Tensor:
    red, green, blue = linear.split(1, dim=-3)
    weights = _REC2020_LUMINANCE
    return red * weights[0] + green * weights[1] + blue * weights[2]


def _check_stops(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"wanted low < high in stops, got {low} and {high}")


def _pq_last() -> tuple[float, float]:
    """Code of the brightest light that `pq_to_linear` takes by the formula, and the slope of light over code there."""
    u = _PQ_BRIGHTEST**_PQ_M1
    ratio = (_PQ_C1 + _PQ_C2 * u) / (1 + _PQ_C3 * u)
    code = ratio**_PQ_M2
    code_over_u = _PQ_M2 * code / ratio * (_PQ_C2 - _PQ_C1 * _PQ_C3) / (1 + _PQ_C3 * u) ** 2
    return code, _PQ_PEAK * _PQ_BRIGHTEST / (_PQ_M1 * u) / code_over_u


_PQ_BLACK_CODE = _PQ_C1**_PQ_M2
_PQ_LAST_CODE, _PQ_LAST_SLOPE = _pq_last()
