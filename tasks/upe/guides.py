"""Guides: where along the depth of the bilateral grid each pixel is read.

A guide is a function of a pixel's own colour, (N, 3, H, W) display in [0, 1] -> (N, 1, H, W) in [0, 1], so that any
part of a picture can be computed without the rest. Ours start as luma spread over the whole range: all depths of the
grid are in use from the first step on, whereas a guide that starts in the middle tends to stay there.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.ops import guide as op
from hdr.ops.colour import LUMA_WEIGHTS

_END = 0.02  # a sigmoid cannot reach 0 and 1; this far from either it still has a useful gradient


class PointwiseGuide(nn.Module):
    """A network of one hidden layer per pixel: 3 - ``features`` - 1.

    Source: the pointwise variant published with Gharbi et al. 2017; with ``activation="tanh"`` and batch norm it is the
    guide of github.com/hermosayhl/DeepUPE_pytorch. A tanh is mapped from (-1, 1) to (0, 1) for slicing.

    The hidden units start as hinges on luma whose sum, through the activation, is a ramp from 0.02 at black to 0.98 at
    white. With ``batch_norm`` this holds once the running statistics are in use (evaluation), because in training the
    batch's own statistics replace the offsets of the hinges.
    """

    def __init__(self, *, features: int = 16, activation: op.Activation = "sigmoid", batch_norm: bool = False) -> None:
        super().__init__()
        if activation not in ("sigmoid", "tanh"):
            raise UserError(f"guide.activation: '{activation}' is not known; choose sigmoid or tanh")
        if features < 1:
            raise UserError(f"guide.features: {features} is not possible; it is at least 1")
        self.activation: op.Activation = activation
        self.conv1 = nn.Conv2d(3, features, 1)
        self.norm = nn.BatchNorm2d(features) if batch_norm else None
        self.conv2 = nn.Conv2d(features, 1, 1)
        self._start_as_luma(features)

    @torch.no_grad()
    def _start_as_luma(self, features: int) -> None:
        knots = torch.linspace(0, 1, features + 1, dtype=torch.float64)
        wanted = torch.logit(_END + (1 - 2 * _END) * knots)
        if self.activation == "tanh":
            wanted = wanted / 2  # sigmoid(x) = (tanh(x / 2) + 1) / 2
        slopes = wanted.diff() * features
        assert self.conv1.bias is not None
        assert self.conv2.bias is not None
        self.conv1.weight.copy_(torch.tensor(LUMA_WEIGHTS)[None, :, None, None].expand_as(self.conv1.weight))
        self.conv1.bias.copy_(-knots[:-1])
        self.conv2.weight.copy_(slopes.diff(prepend=slopes.new_zeros(1))[None, :, None, None])
        self.conv2.bias.copy_(wanted[:1])

    def record(self) -> op.PointwiseGuide:
        """The guide as plain weights, batch norm folded in by its running statistics."""
        weight, bias = self.conv1.weight.flatten(1), self.conv1.bias
        assert bias is not None
        assert self.conv2.bias is not None
        if self.norm is not None:
            mean, variance = self.norm.running_mean, self.norm.running_var
            assert mean is not None
            assert variance is not None
            scale = self.norm.weight * (variance + self.norm.eps).rsqrt()
            weight, bias = weight * scale[:, None], (bias - mean) * scale + self.norm.bias
        return op.PointwiseGuide(weight, bias, self.conv2.weight.flatten(), self.conv2.bias, self.activation)

    def forward(self, display: torch.Tensor) -> torch.Tensor:
        if self.norm is None or not self.training:
            return self.record()(display)
        with torch.autocast(display.device.type, enabled=False):  # a rounded guide moves the depth that is read
            score = self.conv2(F.relu(self.norm(self.conv1(display))))
        return torch.sigmoid(2 * score if self.activation == "tanh" else score)


class CurveGuide(nn.Module):
    """A 3 x 3 colour matrix, a curve of ``points`` hinges per channel, and a weighted sum, clipped to [0, 1].

    Source: Gharbi et al. 2017, section 3.4.1, equations 7 and 8; the published weights of Wang et al. 2019 have 16
    hinges at 0, 1/16, ..., 15/16, so 112 parameters. It starts as luma.
    """

    def __init__(self, *, points: int = 16) -> None:
        super().__init__()
        if points < 1:
            raise UserError(f"guide.points: {points} is not possible; it is at least 1")
        self.matrix = nn.Conv2d(3, 3, 1)
        self.shifts = nn.Parameter(torch.arange(points).div(points).repeat(3, 1))
        self.slopes = nn.Parameter(F.one_hot(torch.zeros(3, dtype=torch.long), points).float())
        self.mix = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            assert self.matrix.bias is not None
            assert self.mix.bias is not None
            self.matrix.weight.copy_(torch.eye(3)[:, :, None, None])
            self.matrix.bias.zero_()
            self.mix.weight.copy_(torch.tensor(LUMA_WEIGHTS)[None, :, None, None])
            self.mix.bias.zero_()

    def record(self) -> op.CurveGuide:
        """The guide as plain weights."""
        assert self.matrix.bias is not None
        assert self.mix.bias is not None
        matrix, mix = self.matrix.weight.flatten(1), self.mix.weight.flatten()
        return op.CurveGuide(matrix, self.matrix.bias, self.shifts, self.slopes, mix, self.mix.bias)

    def forward(self, display: torch.Tensor) -> torch.Tensor:
        return self.record()(display)


def guide_occupancy_penalty(guide: torch.Tensor, bins: int) -> torch.Tensor:
    """How unevenly a batch of guides uses ``bins`` equal bins of [0, 1]: near 0 when evenly, near 1 when all in one.

    ``guide`` is (N, 1, H, W). One minus the entropy of the soft histogram over the whole batch, divided by log(bins).
    The batch is taken together because a single dark picture rightly uses the dark end only.

    Each value is shared among the bins by a Gaussian of half a bin's deviation. Sharing it linearly between two bins,
    as slicing does, would give no push to leave them: an empty bin further away has no gradient.

    Raises:
        ValueError: fewer than 2 bins.
    """
    if bins < 2:
        raise ValueError(f"a histogram of {bins} bins has no spread; use at least 2")
    centres = torch.arange(bins, device=guide.device, dtype=guide.dtype) + 0.5
    distance = (guide.flatten() * bins).unsqueeze(0) - centres.unsqueeze(1)
    shares = torch.softmax(-2 * distance.square(), dim=0).mean(dim=1)
    # The floor keeps the gradient finite where a share underflows to 0.
    return 1 + (shares * shares.clamp(min=1e-30).log()).sum() / math.log(bins)
