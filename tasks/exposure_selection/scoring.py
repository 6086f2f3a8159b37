"""How good a subset is: its fusion beside a reference picture, under a named figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from hdr.errors import UserError
from hdr.metrics.fusion import mef_ssim
from hdr.metrics.image import ssim
from hdr.ops.fusion import Weighting, exposure_fusion
from hdr.ops.subset_fusion import SubsetFusion
from hdr.ops.tonemap import reinhard_global

ReferenceKind = Literal["five", "dense", "merged"]
FIVE = (-4.0, -2.0, 0.0, 2.0, 4.0)
_SMALLEST_MSE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure by which fused pictures are compared."""

    unit: str
    higher_is_better: bool
    digits: int


FIGURES: Mapping[str, Figure] = {
    "psnr": Figure(unit="dB", higher_is_better=True, digits=2),
    "rmse": Figure(unit="/255", higher_is_better=False, digits=2),
    "ssim": Figure(unit="", higher_is_better=True, digits=4),
    "mef_ssim": Figure(unit="", higher_is_better=True, digits=4),
    "lpips": Figure(unit="", higher_is_better=False, digits=4),
}
"""What can be scored. ``psnr`` and ``rmse`` over all channels jointly; ``ssim`` with the 11x11 Gaussian window, mean
over channels; ``mef_ssim`` against the whole stack instead of the reference; ``lpips`` (AlexNet, RGB) with the extra
``metrics``."""


def score_subsets(
    fusion: SubsetFusion, stack: Tensor, subsets: Tensor, reference: Tensor, figures: Sequence[str]
) -> dict[str, Tensor]:
    """Figures (S,), float32, of the fused and clamped pictures of subsets (S, k).

    Raises:
        UserError: an unknown figure, or one whose library is not installed.
    """
    check_figures(figures)
    found: dict[str, Tensor] = {}
    if {"psnr", "rmse"} & set(figures):
        error = fusion.mse(subsets, reference)
        found["psnr"] = -10 * torch.log10(error.clamp(min=_SMALLEST_MSE))
        found["rmse"] = 255 * error.sqrt()
    slow: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}
    if "ssim" in figures:
        slow["ssim"] = ssim
    if "mef_ssim" in figures:
        slow["mef_ssim"] = lambda fused, _: mef_ssim(fused, stack[None])
    if "lpips" in figures:
        slow["lpips"] = _lpips()
    if slow:
        found |= fusion.score(subsets, reference, slow)
    return {name: found[name].float() for name in figures}


def check_figures(figures: Sequence[str]) -> None:
    """Refuse figures that cannot be computed here.

    Raises:
        UserError: an unknown figure, or one whose library or weights are not there.
    """
    unknown = [name for name in figures if name not in FIGURES]
    if unknown:
        raise UserError(f"scores: there is no {unknown[0]!r}; accepted are {', '.join(FIGURES)}")
    if "lpips" in figures:
        _lpips()


def reference_picture(
    kind: ReferenceKind, weighting: Weighting | str, *, five: Tensor, dense: Tensor, linear: Tensor
) -> Tensor:
    """The picture (3, H, W) display that a subset's fusion should come close to.

    ``five``: the fusion of the five exposures of the original's ladder, ``five`` (5, 3, H, W); ``dense``: the fusion of
    the whole ladder, ``dense`` (K, 3, H, W); ``merged``: the scene's light, ``linear`` (3, H, W), tone mapped
    (Reinhard's global operator).
    """
    if kind == "merged":
        return reinhard_global(linear[None])[0].clamp(0, 1)
    exposures = five if kind == "five" else dense
    backend: Literal["torch", "cv2"] = "torch"
    return exposure_fusion(exposures[None], weighting, backend=backend)[0].clamp(0, 1)


@cache
def _lpips() -> Callable[[Tensor, Tensor], Tensor]:
    try:
        import lpips
    except ImportError as error:
        raise UserError("scores: lpips needs its library: pip install '.[metrics]'") from error
    try:
        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except OSError as error:  # its features are fetched by torchvision on first use
        raise UserError(
            f"scores: lpips needs AlexNet's ImageNet weights, which could not be fetched ({error}); put "
            "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth into hub/checkpoints below TORCH_HOME "
            "(by default ~/.cache/torch)"
        ) from error

    @torch.no_grad()
    def distance(a: Tensor, b: Tensor) -> Tensor:
        return network.to(a.device)(a.float() * 2 - 1, b.float() * 2 - 1).flatten()

    return distance
