"""Pairs of photographs of one scene: as a camera wrote it with too little light, and well exposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from hdr.data.scenes.scene import Scene, SceneSource
from hdr.errors import UserError
from hdr.ops.camera import auto_exposure, expose, quantise
from hdr.ops.jpeg import Subsampling, jpeg
from hdr.ops.noise import add_sensor_noise
from hdr.ops.response import Response, apply_response

Range = Sequence[float]
_SUBSAMPLING: tuple[Subsampling, ...] = ("4:2:0", "4:2:2", "4:4:4")


@dataclass(frozen=True, kw_only=True)
class ExposureSettings:
    """How pairs are taken. Ranges are pairs (least, greatest); shares are probabilities from 0 to 1."""

    ev: Range = (-4.0, -0.5)
    """Stops by which the input of a pair that asks for correction misses its target; uniform."""
    identity: float = 0.35
    """Share of samples whose target is the input's own exposure, so that good pictures are left alone."""
    identity_night: float = 0.85
    """The same for scenes that are meant to be dark."""
    identity_ev: Range = (-0.35, 0.6)
    """Stops off the metered exposure in those samples: taste differs, and some are slightly over-exposed."""
    darkest: float = 0.50
    """Least mean tone that the meter lets a target have, see :func:`hdr.ops.camera.auto_exposure`."""
    brightest: float = 0.61
    """Greatest mean tone, likewise."""
    night_tone: Range = (0.16, 0.32)
    """Least and greatest mean tone for night scenes whose light is not known (photographed panoramas)."""
    highlights: float = 0.015
    """Share of the picture that the meter lets reach white, likewise."""
    srgb: float = 0.6
    """Share of cameras whose response is sRGB itself (RAW developed without a tone curve)."""
    shoulder: Range = (0.0, 1.2)
    """Highlight compression of the other cameras."""
    contrast: Range = (1.0, 1.5)
    """S-curve of the other cameras."""
    white_balance: Range = (0.75, 1.0)
    """How far the camera takes out the colour of the key light: 0 not at all, 1 fully."""
    tint: float = 0.03
    """Standard deviation of the error of the white balance, in natural logarithms per channel; input and target share
    it, so that the pair teaches exposure and not colour."""
    noise: float = 0.8
    """Share of inputs with sensor noise."""
    shot: Range = (1e-4, 4e-3)
    """Shot noise S of the inputs, log-uniform; read noise follows from it."""
    jpeg: float = 0.8
    """Share of inputs that went through JPEG; the others are 8-bit without it."""
    quality: Range = (60.0, 98.0)
    """Quality of that JPEG."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = _LIMITS[field.name]
            values = value if isinstance(value, Sequence) else [value]
            ranged = isinstance(field.default, tuple)
            if (
                ranged != isinstance(value, Sequence)
                or (ranged and len(values) != 2)
                or not all(isinstance(v, (int, float)) and low <= v <= high for v in values)
                or list(values) != sorted(values)
            ):
                wanted = "two numbers in rising order, both" if ranged else "a number"
                raise UserError(f"exposure.{field.name} is {value!r}; accepted is {wanted} from {low:g} to {high:g}")
        if not self.darkest < self.brightest:
            raise UserError(
                f"exposure.darkest ({self.darkest:g}) must be below exposure.brightest ({self.brightest:g})"
            )


_SHARE = (0.0, 1.0)
_LIMITS: dict[str, tuple[float, float]] = {
    "ev": (-12.0, 12.0),
    "identity": _SHARE,
    "identity_night": _SHARE,
    "identity_ev": (-12.0, 12.0),
    "darkest": (0.01, 0.99),
    "brightest": (0.01, 0.99),
    "night_tone": (0.01, 0.99),
    "highlights": (0.0, 0.5),
    "srgb": _SHARE,
    "shoulder": (0.0, 20.0),
    "contrast": (1.0, 5.0),
    "white_balance": _SHARE,
    "tint": (0.0, 0.5),
    "noise": _SHARE,
    "shot": (1e-7, 1.0),
    "jpeg": _SHARE,
    "quality": (1.0, 100.0),
}


class ExposurePairs:
    """Pairs (input, target) of every scene of a source.

    The target is the scene at the exposure that the meter chooses (scenes known to be dark: at the exposure that the
    scene itself asks for), without noise. The input is the same scene through the same camera ``ev`` stops off, with
    noise, clipping, 8 bits and JPEG. Both go through the same response: then the mapping from input to target is a pure
    change of exposure in linear light, ``response(2**-ev * inverse response(input))``, which can be learnt from the
    input alone, and an input that is exposed well is its own target. A fixed response for the target would ask the
    network to undo unknown tone curves, and to change pictures that are good.

    In identity samples input and target have the same exposure, near the metered one.

    A dark input of a day scene differs from a night scene in that its highlights are not clipped and its histogram
    ends early, while lamps and windows at night reach white.

    Args:
        source: scenes to photograph.
        settings: how.
    """

    def __init__(self, source: SceneSource, settings: ExposureSettings) -> None:
        self.source, self.settings = source, settings

    def __len__(self) -> int:
        return len(self.source)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Pair ``index``, all chance from ``rng``.

        Returns:
            ``input`` and ``target``, display (3, H, W); ``ev``, stops by which the input misses the target (0 for
            identity samples); ``identity`` and ``night`` (bool), ``family``, ``group``, ``id`` (str).
        """
        scene = self.source.scene(index, rng)
        s = self.settings
        response = self._response(rng)
        light = self._balanced(scene, rng)
        well = self._metered(scene, light, response)
        identity = rng.random() < (s.identity_night if scene.night else s.identity)
        if identity:
            well += _uniform(rng, s.identity_ev)
        ev = 0.0 if identity else _uniform(rng, s.ev)
        target = apply_response(expose(light, well).clamp(0.0, 1.0), response)
        taken = expose(light, well + ev)
        if rng.random() < s.noise:
            shot = math.exp(_uniform(rng, [math.log(level) for level in s.shot]))
            taken = add_sensor_noise(taken, shot, read_noise(shot, rng), _torch_generator(rng))
        display = quantise(apply_response(taken.clamp(0.0, 1.0), response))
        if rng.random() < s.jpeg:
            subsampling = _SUBSAMPLING[int(rng.choice(3, p=(0.6, 0.2, 0.2)))]
            display = jpeg(display, int(rng.integers(int(s.quality[0]), int(s.quality[1]) + 1)), subsampling)
        return {
            "id": scene.name,
            "input": display,
            "target": target,
            "ev": ev,
            "identity": identity,
            "night": scene.night,
            "family": scene.family,
            "group": scene.group,
        }

    def _response(self, rng: np.random.Generator) -> Response:
        s = self.settings
        if rng.random() < s.srgb:
            return Response()
        return Response(_uniform(rng, s.shoulder), _uniform(rng, s.contrast))

    def _balanced(self, scene: Scene, rng: np.random.Generator) -> Tensor:
        """The scene's light after the camera's white balance."""
        s = self.settings
        error = rng.normal(0.0, s.tint, 3) if s.tint else np.zeros(3)
        gains = np.exp(error) / np.maximum(scene.white, 0.05) ** _uniform(rng, s.white_balance)
        return torch.from_numpy(scene.linear) * torch.from_numpy(gains.astype(np.float32))[:, None, None]

    def _metered(self, scene: Scene, light: Tensor, response: Response) -> float:
        """Stops to the good exposure of a scene."""
        s = self.settings
        if scene.night and scene.key_luminance is not None:
            ev = math.log2(0.18 / scene.key_luminance)
        else:
            darkest, brightest = s.night_tone if scene.night else (s.darkest, s.brightest)
            ev = float(auto_exposure(light[None], darkest=darkest, brightest=brightest, highlights=s.highlights)[0])
        # A curve with a shoulder lifts the middle; cameras that have one expose that much lower and gain highlights.
        shoulder = cast(float, response.shoulder)
        return ev - math.log2((1.0 + shoulder) / (1.0 + 0.25 * shoulder))


def read_noise(shot: float, rng: np.random.Generator) -> float:
    """A read noise O that goes with a shot noise S: log O ~ N(2.18 log S + 1.2, 0.26).

    Source: Brooks et al. 2019, "Unprocessing Images for Learned Raw Denoising", section 3.1, fitted to the Darmstadt
    Noise Dataset.
    """
    return math.exp(rng.normal(2.18 * math.log(shot) + 1.2, 0.26))


def _uniform(rng: np.random.Generator, between: Range) -> float:
    return float(rng.uniform(between[0], between[1]))


def _torch_generator(rng: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(rng.integers(1 << 62)))
