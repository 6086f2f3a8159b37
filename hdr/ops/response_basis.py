"""Linear bases of camera responses: a mean curve and principal components, as in EMoR (Grossberg and Nayar 2003)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Direction = Literal["forward", "inverse"]


class Fit(NamedTuple):
    """How well approximations of curves describe them."""

    rmse_mean: float
    """Mean over curves of each curve's root mean square error, in units of the curve's full range."""
    rmse_max: float
    """The same of the worst curve."""
    explained: float
    """Share of the curves' variance about their own mean curve that is explained; negative where that mean alone
    would do better."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseBasis:
    """Curves as ``mean + weights @ components``, sampled over a uniform grid of [0, 1]."""

    mean: Tensor
    """(S,), from 0 to 1."""
    components: Tensor
    """(K, S), orthonormal rows whose ends are 0, so that any weights keep 0 -> 0 and 1 -> 1."""
    direction: Direction
    """``forward``: light to display values; ``inverse``: display values to light."""
    deviations: Tensor | None = None
    """(K,), standard deviations of the weights over the curves that the basis was fitted to, if they are known."""

    def project(self, curves: Tensor) -> Tensor:
        """Weights (..., K) of the least-squares fit to curves (..., S)."""
        return (curves - self.mean) @ self.components.T

    def curves(self, weights: Tensor) -> Tensor:
        """Curves (..., S) of weights (..., K). They run from 0 to 1 but need not be monotone: see
        ``hdr.ops.crf.monotone_projection``."""
        return self.mean + weights @ self.components

    def first(self, count: int) -> ResponseBasis:
        """The basis of the first ``count`` components alone; ValueError if there are fewer."""
        if not 0 <= count <= len(self.components):
            raise ValueError(f"the basis has {len(self.components)} components, {count} were asked for")
        deviations = None if self.deviations is None else self.deviations[:count]
        return ResponseBasis(
            mean=self.mean, components=self.components[:count], direction=self.direction, deviations=deviations
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> ResponseBasis:
        """A copy on a device, in another precision if asked for."""
        mean, components = self.mean.to(device, dtype), self.components.to(device, dtype)
        deviations = None if self.deviations is None else self.deviations.to(device, dtype)
        return ResponseBasis(mean=mean, components=components, direction=self.direction, deviations=deviations)

    def nearest(self, curves: Tensor) -> Tensor:
        """The curves (..., S) of this basis that are nearest to given ones, in the least-squares sense."""
        return self.curves(self.project(curves))


def fit(curves: Tensor, described: Tensor) -> Fit:
    """How well ``described`` stands for ``curves``, both (N, S)."""
    errors = (curves - described).square().mean(-1)
    variance = (curves - curves.mean(0)).square().mean()
    return Fit(float(errors.sqrt().mean()), float(errors.sqrt().max()), float(1.0 - errors.mean() / variance))


def fit_basis(curves: Tensor, count: int, direction: Direction) -> ResponseBasis:
    """Principal components of curves (N, S) that all run from 0 to 1, computed in float64, returned as they came.

    The sign of a component is chosen so that its sample of the largest magnitude is positive.

    Raises:
        ValueError: fewer curves than ``count`` + 1, or other ends.
    """
    if len(curves) <= count:
        raise ValueError(f"{count} components want at least {count + 1} curves, got {len(curves)}")
    rows = curves.double()
    if bool((rows[:, 0] != 0).any()) or bool((rows[:, -1] != 1).any()):
        raise ValueError("all curves of a basis must start at 0 and end at 1")
    mean = rows.mean(0)
    mean[-1] = 1.0  # a mean of ones may round
    centred = rows - mean
    if len(rows) > rows.shape[1]:
        centred = torch.linalg.qr(centred, mode="r").R
    _, values, components = torch.linalg.svd(centred, full_matrices=False)
    components = components[:count]
    peaks = components.gather(1, components.abs().argmax(1, keepdim=True))
    components = components * peaks.sign()
    deviations = values[:count] / (len(rows) - 1) ** 0.5
    dtype = curves.dtype
    return ResponseBasis(
        mean=mean.to(dtype), components=components.to(dtype), direction=direction, deviations=deviations.to(dtype)
    )
