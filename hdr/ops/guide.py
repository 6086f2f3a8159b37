"""Guides of a bilateral grid: the scalar picture that says at which depth of the grid a pixel is looked up.

Both forms look at one pixel at a time, so that a picture can be worked on in strips. Each exists as a function of
plain tensors (for networks that train) and as a small record of the same tensors, which ``hdr.ops.bilateral`` can
evaluate inside its kernel so that the guide never exists in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Activation = Literal["sigmoid", "tanh"]


def pointwise_guide(image: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, activation: Activation) -> Tensor:
    """Guide of a two-layer network at every pixel: ``activation(w2 . relu(w1 rgb + b1) + b2)``.

    Batch normalisation after the first layer belongs folded into ``w1`` and ``b1``. Computed in float32 (float64 for
    float64 input) also under autocast, because a rounded guide moves the depth at which the grid is read.

    Args:
        image: (N, I, H, W), any encoding, any range.
        w1, b1: (K, I) and (K,). w2, b2: (K,) and one value.
        activation: ``"sigmoid"``, or ``"tanh"`` mapped from [-1, 1] to [0, 1].

    Returns:
        (N, 1, H, W) in [0, 1].

    Source: Gharbi et al. 2017 (HDRNet), section 3.4.1; the tanh form is that of the DeepUPE re-implementation.
    """
    _check_activation(activation)
    with torch.autocast(image.device.type, enabled=False):
        image, w1, b1, w2, b2 = _common_type(image, w1, b1, w2, b2)
        hidden = torch.nn.functional.conv2d(image, w1[:, :, None, None], b1).relu_()
        value = torch.nn.functional.conv2d(hidden, w2[None, :, None, None], b2.reshape(1))
        return torch.sigmoid(value if activation == "sigmoid" else 2 * value)


def curve_guide(
    image: Tensor, matrix: Tensor, bias: Tensor, shifts: Tensor, slopes: Tensor, mix: Tensor, mix_bias: Tensor
) -> Tensor:
    """Guide of one curve per colour channel: colour matrix, a sum of hinges per channel, weighted sum, clip to [0, 1].

    ``clip(mix . sum_k slopes_k relu(matrix rgb + bias - shifts_k) + mix_bias)``. Computed in float32 (float64 for
    float64 input) also under autocast.

    Args:
        image: (N, I, H, W), any encoding, any range.
        matrix, bias: (I, I) and (I,). shifts, slopes: (I, K). mix, mix_bias: (I,) and one value.

    Returns:
        (N, 1, H, W) in [0, 1].

    Source: Gharbi et al. 2017 (HDRNet), section 3.4.1, equations 9 and 10.
    """
    with torch.autocast(image.device.type, enabled=False):
        image, matrix, bias, shifts, slopes, mix, mix_bias = _common_type(
            image, matrix, bias, shifts, slopes, mix, mix_bias
        )
        mixed = torch.nn.functional.conv2d(image, matrix[:, :, None, None], bias)
        curves = torch.zeros_like(mixed)
        for k in range(shifts.shape[1]):
            curves = curves + slopes[:, k, None, None] * (mixed - shifts[:, k, None, None]).relu()
        return torch.nn.functional.conv2d(curves, mix[None, :, None, None], mix_bias.reshape(1)).clamp(0, 1)


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value, and torch.compile hashes callables
class PointwiseGuide:
    """The weights of ``pointwise_guide``; calling it on an image gives the guide."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    activation: Activation

    def __post_init__(self) -> None:
        _check_activation(self.activation)
        if self.w1.ndim != 2 or self.b1.shape != self.w1.shape[:1] or self.w2.shape != self.b1.shape:
            raise ValueError(
                "a pointwise guide needs w1 (K, I), b1 (K,) and w2 (K,), got "
                f"{tuple(self.w1.shape)}, {tuple(self.b1.shape)} and {tuple(self.w2.shape)}"
            )

    def __call__(self, image: Tensor) -> Tensor:
        return pointwise_guide(image, self.w1, self.b1, self.w2, self.b2, self.activation)

    @property
    def channels(self) -> int:
        return self.w1.shape[1]

    def tensors(self) -> tuple[Tensor, ...]:
        return self.w1, self.b1, self.w2, self.b2


@dataclass(frozen=True, eq=False)  # tensors do not compare to one truth value, and torch.compile hashes callables
class CurveGuide:
    """The weights of ``curve_guide``; calling it on an image gives the guide."""

    matrix: Tensor
    bias: Tensor
    shifts: Tensor
    slopes: Tensor
    mix: Tensor
    mix_bias: Tensor

    def __post_init__(self) -> None:
        channels = self.matrix.shape[:1]
        if (
            self.matrix.ndim != 2
            or self.matrix.shape[0] != self.matrix.shape[1]
            or not self.bias.shape == self.mix.shape == self.shifts.shape[:1] == channels
            or self.shifts.ndim != 2
            or self.shifts.shape != self.slopes.shape
        ):
            raise ValueError(
                "a curve guide needs matrix (I, I), bias (I,), shifts and slopes (I, K) and mix (I,), got "
                + ", ".join(str(tuple(tensor.shape)) for tensor in self.tensors()[:5])
            )

    def __call__(self, image: Tensor) -> Tensor:
        return curve_guide(image, *self.tensors())

    @property
    def channels(self) -> int:
        return self.matrix.shape[1]

    def tensors(self) -> tuple[Tensor, ...]:
        return self.matrix, self.bias, self.shifts, self.slopes, self.mix, self.mix_bias


def _check_activation(activation: str) -> None:
    if activation not in ("sigmoid", "tanh"):
        raise ValueError(f"activation must be 'sigmoid' or 'tanh', got {activation!r}")


def _common_type(*tensors: Tensor) -> tuple[Tensor, ...]:
    kind = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
    return tuple(tensor.to(kind) for tensor in tensors)
