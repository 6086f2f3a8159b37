"""Camera and film responses from closed forms, with parameters drawn at random.

Five shapes that real responses are made of. Each takes light x in [0, 1] to display values, increases strictly, and is
scaled to run from 0 to 1:

power:     x^g; g 0.35 to 1.1
offset:    (1 + a) x^g - a, and below the tangent through 0 that tangent, as in sRGB and BT.709; g 0.35 to 0.8,
           a 0.01 to 0.2
shoulder:  x^n / (x^n + s^n) (Naka and Rushton 1966; n = 1: Reinhard et al. 2002, eq. 3); n 0.5 to 1.3, s 0.08 to 3
S-curve:   on u = x^g, the log-odds of u times c plus b; g 0.3 to 0.8, c 0.8 to 2, b -0.6 to 0.6
film:      the characteristic curve of Hurter and Driffield (1890): density D = ln(1 + (x/t)^p) - ln(1 + (x/s)^p) is
           straight in log x between a toe at t and a shoulder at s, and bends there the more softly the smaller p; t 1
           to 3 decades below white, s 0.7 below to 0.5 above, p 0.8 to 3. Half of the films show density, half the
           transmittance of a positive, 10^(r D), r 0.4 to 2.2.

Exponents, s of the shoulder, c and p are drawn evenly in their logarithm, the others evenly; each shape equally often.
The ranges were set by what is plausible for cameras and films. Measured film curves were then used only to see whether
a kind of shape was missing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hdr.ops.crf import SAMPLES, monotone_projection
from hdr.ops.response_basis import ResponseBasis

Samples = NDArray[np.float64]

_FLAT = 0.05
_ATTEMPTS = 100


def sample_curves(rng: np.random.Generator, count: int) -> Tensor:
    """Forward curves (count, 1, SAMPLES), float32, drawn from the family of this module.

    They nowhere decrease, and run from 0 to 1.
    """
    return torch.from_numpy(family(rng, count)).float()[:, None]


def sample_basis_curves(rng: np.random.Generator, count: int, basis: ResponseBasis) -> Tensor:
    """Curves (count, 1, S) of a basis's direction, with weights normally distributed as its deviations say.

    Less tied to closed forms than :func:`sample_curves`, and less plausible: weights come together that never do in a
    real response. The isotonic projection makes the curves monotone; where it leaves more than a twentieth of a curve
    flat, the curve is drawn anew.

    Raises:
        ValueError: a basis that does not know its deviations, or one whose curves are nearly all that flat.
    """
    if basis.deviations is None:
        raise ValueError("this basis does not know the deviations of its weights; one made by fit_basis does")
    kept = basis.mean.new_empty(0, len(basis.mean))
    for _ in range(_ATTEMPTS):
        normal = torch.from_numpy(rng.standard_normal((count, len(basis.components)))).to(basis.mean.dtype)
        curves = monotone_projection(basis.curves(normal * basis.deviations))
        flat = (curves.diff(dim=-1) == 0).float().mean(-1)
        kept = torch.cat([kept, curves[flat <= _FLAT]])[:count]
        if len(kept) == count:
            return kept[:, None]
    raise ValueError(f"{_ATTEMPTS * count} draws from this basis gave only {len(kept)} curves that are not mostly flat")


def family(rng: np.random.Generator, count: int) -> Samples:
    """The curves of :func:`sample_curves` in float64, (count, SAMPLES)."""
    curves = np.empty((count, SAMPLES))
    shape = rng.integers(0, len(_SHAPES), count)
    grid = np.linspace(0.0, 1.0, SAMPLES)[None]
    for number, draw in enumerate(_SHAPES):
        chosen = shape == number
        curves[chosen] = draw(rng, int(chosen.sum()), grid)
    # rounding can make the last digit fall where a curve is nearly flat
    return np.maximum.accumulate(curves / curves[:, -1:], axis=1).clip(max=1.0)


def _power(rng: np.random.Generator, count: int, x: Samples) -> Samples:
    return x ** _log_uniform(rng, count, 0.35, 1.1)


def _offset(rng: np.random.Generator, count: int, x: Samples) -> Samples:
    g, a = _log_uniform(rng, count, 0.35, 0.8), _uniform(rng, count, 0.01, 0.2)
    touch = (a / ((1 + a) * (1 - g))) ** (1 / g)
    return np.where(x > touch, (1 + a) * np.maximum(x, touch) ** g - a, x * g * (1 + a) * touch ** (g - 1))


def _shoulder(rng: np.random.Generator, count: int, x: Samples) -> Samples:
    n, s = _log_uniform(rng, count, 0.5, 1.3), _log_uniform(rng, count, 0.08, 3.0)
    return x**n / (x**n + s**n)


def _s_curve(rng: np.random.Generator, count: int, x: Samples) -> Samples:
    u, c = x ** _log_uniform(rng, count, 0.3, 0.8), _log_uniform(rng, count, 0.8, 2.0)
    up = np.exp(_uniform(rng, count, -0.6, 0.6)) * u**c
    return up / (up + (1 - u) ** c)


def _film(rng: np.random.Generator, count: int, x: Samples) -> Samples:
    toe, shoulder = 10 ** _uniform(rng, count, -3.0, -1.0), 10 ** _uniform(rng, count, -0.7, 0.5)
    p = _log_uniform(rng, count, 0.8, 3.0)

    def density(light: Samples) -> Samples:
        return np.log1p((light / toe) ** p) - np.log1p((light / shoulder) ** p)

    relative = density(x) / density(np.ones_like(x[:, -1:]))
    transmits = rng.random((count, 1)) < 0.5
    return np.where(transmits, 10 ** (_uniform(rng, count, 0.4, 2.2) * relative) - 1, relative)


def _uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Samples:
    return rng.uniform(low, high, (count, 1))


def _log_uniform(rng: np.random.Generator, count: int, low: float, high: float) -> Samples:
    return np.exp(_uniform(rng, count, np.log(low), np.log(high)))


_SHAPES: tuple[Callable[[np.random.Generator, int, Samples], Samples], ...] = (
    _power,
    _offset,
    _shoulder,
    _s_curve,
    _film,
)
