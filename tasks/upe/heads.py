"""Heads: what the coefficients that are read from the grid do to a pixel.

A head says how many affine rows it needs (``rows``), which coefficients leave a picture as it is (``identity``), and
turns the rows' values into a picture (``render``). All take a ``strength``: 0 gives the input back exactly, 1 the full
result, between them a gain is interpolated in stops and anything else linearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from hdr.errors import UserError
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear

Domain = Literal["linear", "display"]

_LN2 = math.log(2)  # the older ONNX exporter knows exp, but not exp2


class Head(Protocol):
    """What the enhancer needs of a head."""

    @property
    def rows(self) -> int:
        """Affine rows of 4 coefficients per grid cell."""
        ...

    @property
    def identity(self) -> torch.Tensor:
        """The (rows, 4) coefficients that change nothing."""
        ...

    def render(self, display: torch.Tensor, values: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, H, W) display and the (N, rows, H, W) values of the rows -> the result, and the head's field."""
        ...

    def illumination(self, display: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """The field as a picture of the light that fell on the scene, (N, 1 or 3, H, W) in [0, 1]; white: unchanged."""
        ...


@dataclass(frozen=True, kw_only=True)
class LogGain:
    """Multiply by ``G = 2 ** g`` and roll highlights off; the rows give ``g`` in stops (EV).

    The same correction as a division by an illumination S = 1 / G, but without a division and an epsilon, bounded by
    construction, and exactly the input where ``g`` is 0. The field is ``g``: (N, 3, H, W), or (N, 1, H, W) with one
    gain for all channels.

    In linear light ``g`` is what a change of exposure does, whatever the pixel's level. On display values
    the same factor acts as a contrast stretch of about 2.2 times as many stops and shifts colours towards the
    primaries, but it is the domain in which the published methods divide.

    Args:
        domain: light that is multiplied: ``"linear"`` or ``"display"``.
        max_stops: upper limit of ``g``, approached smoothly by the mean of the channels.
        min_stops: lower limit of ``g``, likewise; at most 0, which forbids darkening.
        colour_stops: limit of how far a channel's gain may leave the mean of the three; 0 gives one gain for all.
        knee: level in the chosen domain above which a gain over 1 is rolled off, so that white stays white; below 1.
    """

    domain: Domain = "linear"
    max_stops: float = 5.0
    min_stops: float = -1.0
    colour_stops: float = 1.0
    knee: float = 0.8

    def __post_init__(self) -> None:
        if self.domain not in ("linear", "display"):
            raise UserError(f"head.domain: '{self.domain}' is not known; choose linear or display")
        if not self.min_stops <= 0 < self.max_stops:
            raise UserError(
                f"head.min_stops, head.max_stops: {self.min_stops} and {self.max_stops}"
                " do not enclose 0 stops; use for example -1 and 5"
            )
        if self.colour_stops < 0:
            raise UserError(f"head.colour_stops: {self.colour_stops} is negative; use 0 for one gain for all channels")
        if not 0 <= self.knee < 1:
            raise UserError(f"head.knee: {self.knee} is not in [0, 1)")

    @property
    def rows(self) -> int:
        return 3 if self.colour_stops else 1

    @property
    def identity(self) -> torch.Tensor:
        return torch.zeros(self.rows, 4)

    def stops(self, values: torch.Tensor) -> torch.Tensor:
        """The limited gain in stops; near 0 it is ``values`` itself, so that training starts with full gradients."""
        mean = values.mean(dim=1, keepdim=True)
        darker = _bend(mean, -self.min_stops) if self.min_stops else mean
        stops = torch.where(mean >= 0, _bend(mean, self.max_stops), darker)
        if self.colour_stops:
            stops = stops + _bend(values - mean, self.colour_stops)
        return stops.clamp(self.min_stops, self.max_stops)

    def render(self, display: torch.Tensor, values: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
        stops = self.stops(values)
        gain = torch.exp(stops * (strength * _LN2))
        if self.domain == "display":
            return roll_off(display, gain, self.knee), stops
        linear = srgb_to_linear(display)
        gained = roll_off(linear, gain, self.knee)
        encoded = linear_to_srgb(gained)
        # Decoding and encoding round; where nothing was gained, nothing may change.
        rounding = torch.where(gained == linear, display - encoded, 0.0)
        return encoded + rounding.detach(), stops

    def illumination(self, display: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        return torch.exp(field * -_LN2).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Division:
    """Divide by an illumination: ``R = I / (S + eps)``; the rows give S for each channel.

    Source: Wang et al. 2019, section 3.1; there ``constrained`` with ``I <= S <= 1``, so that the result stays in
    [0, 1]. The released graph has ``eps`` 1e-3, constrained, not clamped; github.com/hermosayhl/DeepUPE_pytorch has
    1e-4, unconstrained, clamped. The field is S, (N, 3, H, W). Starts at S = 1, where the result is I / (1 + eps).

    Args:
        eps: added to S.
        constrained: limit S to [I, 1].
        clamp: limit the result to [0, 1]; see :func:`clamp_with_gradient`.
    """

    eps: float = 1e-3
    constrained: bool = True
    clamp: bool = False

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise UserError(f"head.eps: {self.eps} is not positive, so black would be divided by 0")

    @property
    def rows(self) -> int:
        return 3

    @property
    def identity(self) -> torch.Tensor:
        return torch.tensor([[0.0, 0.0, 0.0, 1.0]]).repeat(3, 1)

    def render(self, display: torch.Tensor, values: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
        illumination = torch.maximum(values.clamp(max=1), display) if self.constrained else values
        divisor = illumination + self.eps
        if strength != 1:
            divisor = divisor.clamp(min=self.eps) ** strength
        result = display / divisor
        return (clamp_with_gradient(result) if self.clamp else result), illumination

    def illumination(self, display: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        return field.clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Replace each colour by a 3 x 4 affine function of itself (Gharbi et al. 2017, section 3.3).

    The field is the unclamped result, (N, 3, H, W) display.

    Args:
        clamp: limit the result to [0, 1]; see :func:`clamp_with_gradient`.
    """

    clamp: bool = True

    @property
    def rows(self) -> int:
        return 3

    @property
    def identity(self) -> torch.Tensor:
        return torch.eye(3, 4)

    def render(self, display: torch.Tensor, values: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
        result = values if strength == 1 else display + strength * (values - display)
        return (clamp_with_gradient(result) if self.clamp else result), values

    def illumination(self, display: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        return ((display + 1e-3) / (field.clamp(min=0) + 1e-3)).clamp(0, 1)


def roll_off(light: torch.Tensor, gain: torch.Tensor, knee: float) -> torch.Tensor:
    """``light * gain`` with a soft shoulder: exact up to ``knee``, and 1 stays 1 under any gain of 1 or more.

    ``light`` is in [0, 1], ``gain`` positive and broadcastable. Above the knee, with u = (light gain - knee) / (1 -
    knee) and m the u of light 1, the result is knee + (1 - knee) u (1 + u / m^2) / (1 + u), the tone curve of Reinhard
    et al., "Photographic Tone Reproduction for Digital Images" (2002), equation 4, with white at m. It has slope 1 at
    the knee, is increasing in light and in gain, never exceeds 1, and for a gain of 1 or less is the plain product.
    """
    product = light * gain
    white = 1 + (gain - 1).clamp(min=0) / (1 - knee)
    excess = ((product - knee) / (1 - knee)).clamp(min=0)
    shoulder = knee + (1 - knee) * excess * (1 + excess / white.square()) / (1 + excess)
    return torch.where((product > knee) & (gain > 1), shoulder.clamp(max=1), product)


def clamp_with_gradient(display: torch.Tensor) -> torch.Tensor:
    """Limit to [0, 1], but let gradients through as if there were no limit.

    A plain clamp gives a pixel beyond the range no gradient, so one that is too bright and should not be stays so.
    """
    limited = display.clamp(0, 1)
    if not torch.is_grad_enabled():
        return limited
    return limited.detach() + (display - display.detach())


def _bend(value: torch.Tensor, limit: float) -> torch.Tensor:
    """``value`` with slope 1 at 0, approaching ``limit`` and ``-limit``."""
    return limit * torch.tanh(value / limit)
