"""Small sensor captures and DNG files of them for the tests of data; every sample tells where it comes from."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdr.io.dng import write_dng
from hdr.io.sensor import SensorImage

CAPTURE = SensorImage(
    samples=torch.zeros(2, 2, dtype=torch.uint16),
    pattern="GRBG",
    black_level=(64.0, 65.0, 66.0, 68.0),
    white_level=4000,
    white_balance=(2.0, 1.0, 1.5),
    colour_matrix=torch.tensor([[0.7, -0.2, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.5]], dtype=torch.float64),
    orientation=6,
    exposure_time=0.01,
    aperture=4.0,
    iso=200.0,
    focal_length=35.0,
    baseline_exposure=0.25,
    noise_profile=((1e-4, 1e-6), (2e-4, 2e-6), (3e-4, 3e-6)),
    capture_time=datetime.datetime(2026, 5, 4, 12, 30, 15),
    make="Maker",
    model="Model 1",
)


def capture(size: tuple[int, int] = (40, 60), seed: int = 0, gain: float = 1.0, **facts: Any) -> SensorImage:
    """Random samples between black and white; ``gain`` brightens them."""
    values = np.random.default_rng(seed).integers(80, 900, size) * gain
    return replace(CAPTURE, samples=torch.from_numpy(values.clip(0, 4000).astype(np.uint16)), **facts)


def dng(path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dng(path, capture(**options), overwrite=True)
    return path
