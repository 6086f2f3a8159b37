"""Colours that a file declares by code points (ITU-T H.273: CICP), PQ and HLG in particular.

In `linear`, 1.0 is SDR diffuse white. PQ is absolute; its diffuse white is 203 cd/m2 (ITU-R BT.2408-7, 2.1). HLG is
shown as on a display of 1000 cd/m2 (ITU-R BT.2100-2, table 5), where BT.2408 puts diffuse white at the same 203 cd/m2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io.colour import REC709_CHROMATICITIES, gamma_profile, to_rec709_matrix
from hdr.io.metadata import HdrMetadata
from hdr.ops.encoding import hlg_to_display_light, hlg_to_linear, linear_to_pq, pq_to_linear, srgb_to_linear

DIFFUSE_WHITE = 203.0
"""cd/m2 of 1.0 (ITU-R BT.2408-7, 2.1)."""

PQ_PEAK = 10000.0 / DIFFUSE_WHITE
"""The brightest that PQ can hold: 49.26."""

HLG_PEAK = 1000.0 / DIFFUSE_WHITE

REC2020, PQ, HLG, SRGB_TRANSFER = 9, 16, 18, 13
"""Code points of H.273: primaries of BT.2020; transfer functions of BT.2100 and sRGB."""

_REC2020_CHROMATICITIES = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
_PRIMARIES: dict[int, tuple[str, tuple[float, ...]]] = {
    1: ("Rec. 709", REC709_CHROMATICITIES),
    2: ("Rec. 709", REC709_CHROMATICITIES),  # unspecified
    5: ("Rec. 601 (625 lines)", (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, 0.3127, 0.3290)),
    6: ("Rec. 601 (525 lines)", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290)),
    7: ("Rec. 601 (525 lines)", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290)),
    REC2020: ("Rec. 2020", _REC2020_CHROMATICITIES),
    11: ("DCI-P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351)),
    12: ("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)),
}
# The curves of BT.709 and its relatives describe cameras; pictures that name them are meant for sRGB displays.
_LIKE_SRGB = (1, 2, 6, 11, 13, 14, 15)
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}


@dataclass(frozen=True)
class CodePoints:
    """Primaries and transfer function by their numbers in H.273."""

    primaries: int
    transfer: int

    @property
    def kind(self) -> Literal["pq", "hlg"] | None:
        """``pq`` or ``hlg``; None for anything else."""
        return {PQ: "pq", HLG: "hlg"}.get(self.transfer)  # type: ignore[return-value]

    @property
    def name(self) -> str:
        """Name of the primaries."""
        return _primaries(self.primaries)[0]

    @property
    def chromaticities(self) -> tuple[float, ...]:
        """x, y of red, green, blue and white."""
        return _primaries(self.primaries)[1]


def to_linear(samples: NDArray, bits: int, points: CodePoints) -> torch.Tensor:
    """PQ or HLG samples (H, W, 1 or 3), integers of so many bits, as linear Rec. 709 (3, H, W), 1.0 = 203 cd/m2.

    Colours outside Rec. 709 go below zero.
    """
    planes = _decoded(samples, bits, pq_to_linear if points.kind == "pq" else hlg_to_linear)
    if points.kind == "hlg":
        planes = hlg_to_display_light(planes)
    return to_rec709(planes.div_(DIFFUSE_WHITE), points)


def display_to_linear(samples: NDArray, bits: int, points: CodePoints) -> torch.Tensor:
    """Samples (H, W, 1 or 3) for SDR displays as linear light (3, H, W) of their own primaries, 1.0 = white."""
    gamma = _GAMMAS.get(points.transfer)
    return _decoded(samples, bits, srgb_to_linear if gamma is None else lambda signal: signal**gamma)


def to_rec709(linear: torch.Tensor, points: CodePoints) -> torch.Tensor:
    """Linear light (3, H, W) of the declared primaries as linear Rec. 709; colours outside go below zero."""
    matrix = to_rec709_matrix(points.chromaticities)
    return linear if matrix is None else _times(matrix, linear)


def from_rec709(linear: torch.Tensor, points: CodePoints) -> torch.Tensor:
    """The inverse of ``to_rec709``."""
    matrix = to_rec709_matrix(points.chromaticities)
    return linear if matrix is None else _times(np.linalg.inv(matrix), linear)


def to_pq_rec2020(linear: torch.Tensor) -> torch.Tensor:
    """Linear Rec. 709 (3, H, W), 1.0 = 203 cd/m2, as a PQ signal with Rec. 2020 primaries in [0, 1].

    Clipped where PQ ends (10 000 cd/m2) and outside Rec. 2020.
    """
    wide = from_rec709(linear, CodePoints(REC2020, PQ))
    return linear_to_pq(wide.clamp_(0, PQ_PEAK).mul_(DIFFUSE_WHITE))


def light_levels(linear: torch.Tensor) -> tuple[float, float]:
    """cd/m2 of the largest channel of the picture, and of the mean over the largest channel of each pixel.

    The maximum content and frame-average light levels of CTA-861.3, by which viewers adapt a picture to their display.
    """
    brightest = linear.amax(dim=0).clamp(0, PQ_PEAK)
    return float(brightest.max()) * DIFFUSE_WHITE, float(brightest.mean(dtype=torch.float64)) * DIFFUSE_WHITE


def describe(points: CodePoints, brightest: float | None = None) -> HdrMetadata:
    """What a PQ or HLG file is; ``brightest``: its brightest pixel, 1.0 = 203 cd/m2, where the file says."""
    if points.kind == "pq":
        return HdrMetadata(kind="pq", peak=brightest or PQ_PEAK, primaries=points.name)
    return HdrMetadata(kind="hlg", peak=brightest or HLG_PEAK, primaries=points.name)


@functools.lru_cache(maxsize=64)
def display_profile(points: CodePoints) -> bytes | None:
    """An ICC profile of these code points, None when they are sRGB; ``ValueError`` where there is none (PQ, HLG)."""
    chromaticities = points.chromaticities
    if points.transfer in _LIKE_SRGB:
        if chromaticities == REC709_CHROMATICITIES:
            return None
        levels = torch.linspace(0, 1, 4096, dtype=torch.float64)
        curve = srgb_to_linear(levels).numpy().astype(np.float32)
        white = chromaticities[6:]
        return bytes(
            imagecodecs.cms_profile("rgb", primaries=chromaticities[:6], whitepoint=white, transferfunction=curve)
        )
    if points.transfer in _GAMMAS:
        return gamma_profile(_GAMMAS[points.transfer], chromaticities, grey=False)
    raise ValueError(f"its transfer function is number {points.transfer} of H.273, which is not read")


def _decoded(samples: NDArray, bits: int, curve: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    table = curve(torch.arange(2**bits, dtype=torch.float64) / (2**bits - 1)).float().numpy()
    channels = samples.shape[2]
    return torch.from_numpy(np.stack([table[samples[..., min(index, channels - 1)]] for index in range(3)]))


def _times(matrix: NDArray[np.floating], planes: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,jhw->ihw", torch.from_numpy(matrix).float(), planes)


def _primaries(number: int) -> tuple[str, tuple[float, ...]]:
    if number not in _PRIMARIES:
        raise ValueError(f"its primaries are number {number} of H.273, which are not read")
    return _PRIMARIES[number]
