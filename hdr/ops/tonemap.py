"""Tone mapping: linear light of any range to display values in [0, 1], with classical operators.

All take (N, 3, H, W) linear Rec. 709, float32 or float64, and treat each picture of the batch on its own. The two
operators of Reinhard measure the picture: its unit does not matter while its values are far above 1e-6, where
`hdr.ops.camera.log_average` counts as black. `clip`, `filmic` and `mertens` take it as it is
exposed, 1.0 = diffuse white (`hdr.ops.camera.metered_ev` and `expose` bring a picture there).

`reinhard_global`, `reinhard_local` and `filmic` map luminance, and multiply the three channels of a pixel by what its
luminance is multiplied by, which keeps their ratios. A colour that then has a channel above 1 or below 0 is drawn
towards the grey of its own luminance just as far as it needs to fit: luminance and hue stay, saturation goes, and what
is as bright as white is white.

Light beyond 1e12 counts as that. A NaN pixel stays one and is not measured; in `mertens` it spreads through the
pyramids. All are differentiable with finite gradients; where an operator chooses (a scale, a limit), the choice is held
fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hdr.ops.camera import KEY, expose, log_average
from hdr.ops.colour import luminance
from hdr.ops.encoding import linear_to_srgb
from hdr.ops.fusion import exposure_fusion
from hdr.ops.gaussian import gaussian_blur

_BRIGHTEST = 1e12  # its square, times the largest exposure that the key asks for, is still a float32
_SCALE_RATIO = 1.6


def clip(linear: Tensor) -> Tensor:
    """What a display shows without tone mapping: everything above 1.0 is cut."""
    return linear_to_srgb(linear.clamp(0.0, 1.0))


def reinhard_global(linear: Tensor, *, key: float = KEY, white: float | None = None) -> Tensor:
    """The photographic operator: L (1 + L / white^2) / (1 + L), after the log-average luminance is brought to ``key``.

    ``white`` is the smallest luminance (after that scaling) that becomes white. By default it is the picture's
    brightest pixel, or 1 where that is darker: with 1 the curve is a straight line, below it would lift a dull picture
    to white.

    Source: Reinhard, Stark, Shirley and Ferwerda, ACM Trans. Graphics 21(3), 2002, equations 1, 2 and 4.
    """
    keyed, light = _keyed(linear, key)
    brightest = light.detach().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1.0) if white is None else white
    return _render(keyed, (1 + light / brightest**2) / (1 + light))


def reinhard_local(
    linear: Tensor, *, key: float = KEY, phi: float = 8.0, epsilon: float = 0.05, scales: int = 8
) -> Tensor:
    """The photographic operator with dodging and burning: L / (1 + V), V the light about the pixel.

    V is the mean luminance under the widest of ``scales`` Gaussians (sigma 0.25 x 1.6^i pixels) up to which centre and
    surround stay alike to ``epsilon`` at every scale; ``phi`` sharpens. Scales count pixels: a picture and its reduced
    copy are rendered a little differently. Beyond borders the picture is mirrored.

    Source: Reinhard et al. 2002 (see `reinhard_global`), equations 5 to 9. Equation 8 is read as the text around it:
    the largest even neighbourhood, from the smallest scale upwards.
    """
    keyed, light = _keyed(linear, key)
    centre = gaussian_blur(light, 0.25)
    adapted, even = centre, torch.ones_like(light, dtype=torch.bool)
    for i in range(scales):
        scale = _SCALE_RATIO**i
        surround = gaussian_blur(light, 0.25 * scale * _SCALE_RATIO)  # the centre of the next scale
        activity = (centre - surround).abs() / (2**phi * key / scale**2 + centre)
        even = even & (activity < epsilon)
        adapted = torch.where(even, centre, adapted)
        centre = surround
    return _render(keyed, 1 / (1 + adapted))


class FilmicCurve(NamedTuple):
    """Parameters of `filmic`, in the terms and with the values of its author."""

    shoulder_strength: float = 0.15
    linear_strength: float = 0.50
    linear_angle: float = 0.10
    toe_strength: float = 0.20
    toe_numerator: float = 0.02
    toe_denominator: float = 0.30
    white: float = 11.2
    """Light after ``exposure`` that becomes white."""
    exposure: float = 2.0
    """Multiplies the light first."""


def filmic(linear: Tensor, curve: FilmicCurve = FilmicCurve()) -> Tensor:  # noqa: B008 (immutable)
    """The film-like curve of a toe, a straight part and a shoulder: dark, with contrast; 5.6 and brighter is white.

    Source: Hable, Uncharted 2: HDR Lighting, Game Developers Conference 2010 (there per channel, here on luminance).
    """
    bounded = linear.clamp(-_BRIGHTEST, _BRIGHTEST) * curve.exposure
    light = luminance(bounded).clamp(min=0)
    return _render(bounded, _filmic_gain(light, curve) / (_filmic_gain(curve.white, curve) * curve.white))


def mertens(linear: Tensor, evs: Sequence[float] = (-4.0, -2.0, 0.0, 2.0, 4.0)) -> Tensor:
    """Exposure fusion of the photographs that a camera would take at ``evs`` (stops), clipped at white.

    Source: Mertens, Kautz and Van Reeth, Computer Graphics Forum 28(1), 2009, in the form for gradients ("robust") of
    `hdr.ops.fusion`.
    """
    stack = torch.stack([clip(expose(linear, ev)) for ev in evs], dim=1)
    return exposure_fusion(stack, "robust").clamp(0.0, 1.0)


TONEMAPPERS: dict[str, Callable[[Tensor], Tensor]] = {
    "clip": clip,
    "reinhard_global": reinhard_global,
    "reinhard_local": reinhard_local,
    "filmic": filmic,
    "mertens": mertens,
}
"""By name, with their default parameters: what panels and previews can ask for."""


def _keyed(linear: Tensor, key: float) -> tuple[Tensor, Tensor]:
    """Linear RGB with its log-average luminance at ``key``, and its luminance without what is negative or NaN."""
    bounded = linear.clamp(-_BRIGHTEST, _BRIGHTEST)
    keyed = bounded * (key / log_average(bounded))[:, None, None, None]
    light = luminance(keyed)
    return keyed, torch.where(light > 0, light, 0)


def _filmic_gain(light: Tensor | float, curve: FilmicCurve) -> Tensor | float:
    """The curve over its argument, so that black needs no division by 0. The curve itself is

    (x (A x + C B) + D E) / (x (A x + B) + D F) - E / F.
    """
    a, b, c, d, e, f = curve[:6]
    return (a * (f - e) * light + b * (c * f - e)) / (f * (light * (a * light + b) + d * f))


def _render(linear: Tensor, gain: Tensor | float) -> Tensor:
    """Display values of ``linear`` times ``gain``, with colours that do not fit drawn towards grey."""
    scaled = linear * gain
    grey = luminance(scaled).clamp(0.0, 1.0)
    high, low = scaled.amax(dim=1, keepdim=True), scaled.amin(dim=1, keepdim=True)
    above, below = high > 1, low < 0
    share = torch.minimum(
        torch.where(above, (1 - grey) / torch.where(above, high - grey, 1), 1),
        torch.where(below, grey / torch.where(below, grey - low, 1), 1),
    )
    return linear_to_srgb((grey + share * (scaled - grey)).clamp(0.0, 1.0))
