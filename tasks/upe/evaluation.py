"""Scores of ``upe``: the model beside classical corrections and beside oracles that saw the target."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from hdr.data.loader import SampleKey, Samples, SeededDataset
from hdr.data.photos import limit_long_edge
from hdr.data.subset import spread
from hdr.engine.config import Plain
from hdr.engine.task import EvaluationProtocol, Metric, SampleReport
from hdr.errors import UserError
from hdr.metrics.image import delta_e, mean_ev_change, psnr, ssim
from hdr.metrics.quantise import round_8bit
from hdr.ops import tonal
from hdr.ops.colour import luma
from hdr.ops.encoding import srgb_to_linear
from hdr.progress import track
from tasks.upe.model import Enhancer

FIT_EDGE = 512  # pixels: constants are chosen on reduced photos, all of which are held in memory
UNDEREXPOSED = 15 / 255  # a target brighter than the input by this in mean luma: the photo needed light

PROTOCOL = EvaluationProtocol(
    metrics=(
        Metric(name="PSNR", unit="dB"),
        Metric(name="SSIM", digits=3),
        Metric(name="ΔE2000", higher_is_better=False),
        Metric(name="EV error", unit="EV", higher_is_better=False),
    ),
    baselines=("do nothing", "auto-levels", "gamma to mean", "CLAHE", "constant gain", "constant exposure"),
    oracles=("best exposure", "best 3x4 affine"),
    description=(
        "sRGB at the photo's own size (dataset.long_edge reduces it), results rounded to 8 bit, peak 1; PSNR over all "
        "channels jointly, SSIM 11x11 Gaussian per channel, mean CIEDE2000 (D65), EV error: difference of log-average "
        "luminance; `underexposed`: the target's mean luma is at least 15/255 above the input's, `do-no-harm`: the rest"
    ),
)


def fit_constants(samples: Samples, count: int, seed: int) -> Plain:
    """Constants of the baselines: the gain of highest mean PSNR on training pairs, and their targets' mean luma."""
    dataset = SeededDataset(samples, seed)
    pairs = []
    for index in track(spread(len(samples), count), "baselines", min(count, len(samples))):
        photo, target = pair_of(dataset[SampleKey(0, index)])
        pairs.append((limit_long_edge(photo[0], FIT_EDGE)[None], limit_long_edge(target[0], FIT_EDGE)[None]))
    return {
        "gain": tonal.best_constant_gain(pairs),  # of the display values
        "exposure": tonal.best_constant_gain(pairs, "linear"),  # of the light
        "mean_luma": float(np.mean([float(luma(target).mean()) for _, target in pairs])),
    }


@torch.no_grad()
def evaluate_sample(model: Enhancer, sample: dict[str, Any], fitted: Plain, strength: float) -> SampleReport:
    """Score one pair; without ``fitted`` constants only the model and doing nothing.

    Raises:
        UserError: the data set has no targets.
    """
    photo, target = (picture.to(next(model.parameters()).device) for picture in pair_of(sample))
    started = time.perf_counter()
    output = torch.cat([strip for _, strip in model.strips(photo, strength=strength)], dim=2)
    if output.is_cuda:
        torch.cuda.synchronize(output.device)
    seconds = time.perf_counter() - started
    results: dict[str, Callable[[], torch.Tensor]] = {"model": lambda: output, "do nothing": lambda: photo}
    if fitted:
        results |= {
            "auto-levels": lambda: tonal.auto_levels(photo),
            "gamma to mean": lambda: tonal.gamma_to_mean(photo, fitted["mean_luma"]),
            "CLAHE": lambda: tonal.clahe(photo),
            "constant gain": lambda: tonal.apply_gain(photo, fitted["gain"]),
            "constant exposure": lambda: tonal.apply_gain(photo, fitted["exposure"], "linear"),
            "best exposure": lambda: tonal.apply_gain(photo, tonal.best_gain(photo, target, "linear"), "linear"),
            "best 3x4 affine": lambda: tonal.apply_affine(photo, tonal.best_affine(photo, target)),
        }
    brighter = float(luma(target).mean() - luma(photo).mean())
    return SampleReport(
        id=sample["id"],
        scores={name: figures(round_8bit(result()), target) for name, result in results.items()},
        subsets=("underexposed" if brighter >= UNDEREXPOSED else "do-no-harm",),
        pictures={
            "input": photo[0],
            "result": output[0],
            "target": target[0],
            "gain": gain_picture(photo[0], output[0]),
        },
        seconds=seconds,
    )


def pair_of(sample: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Input and target of a sample, (1, 3, H, W) each."""
    if "target" not in sample:
        raise UserError("mode=evaluate measures the distance to targets, and this data set has none; use a paired one")
    return sample["input"][None], sample["target"][None]


def figures(result: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    """The protocol's figures of one result, both (1, 3, H, W) display."""
    return {
        "PSNR": float(psnr(result, target)),
        "SSIM": float(ssim(result, target)),
        "ΔE2000": float(delta_e(result, target)),
        "EV error": float(mean_ev_change(target, result).abs()),
    }


def gain_picture(before: torch.Tensor, after: torch.Tensor, stops: float = 4.0) -> torch.Tensor:
    """Where light was added: luminance gain from 0 (black) to ``stops`` EV (white), (3, H, W) display."""
    low = 1 / 1024  # keeps the ratio of two blacks at 1
    ratio = (srgb_to_linear(after).mean(dim=0) + low) / (srgb_to_linear(before).mean(dim=0) + low)
    return (torch.log2(ratio) / stops).clamp(0, 1).expand(3, -1, -1)
