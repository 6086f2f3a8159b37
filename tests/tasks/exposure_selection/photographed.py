"""Brackets in files, made for the tests: one light, several exposures, EXIF that says which."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdr.io import exif
from hdr.io.dng import write_dng
from hdr.io.image import write_image
from hdr.io.metadata import Metadata
from hdr.io.sensor import SensorImage
from hdr.ops.encoding import linear_to_srgb
from hdr.ops.resize import resize_antialiased
from hdr.ops.sensor import capture

START = datetime.datetime(2026, 5, 4, 12, 30, 15)
MATRIX = torch.tensor([[0.7, -0.2, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.5]], dtype=torch.float64)


def scene_light(height: int = 96, width: int = 128, *, stops: float = 9.0, finest: int = 160, seed: int = 0) -> Tensor:
    """(3, H, W) light with structure of several sizes, spread evenly over the stops from ``2**-stops`` to 1.

    Structures of less than ``finest``-th of the width are left out.
    """
    rng = np.random.default_rng(seed)
    plane = torch.zeros(3, height, width)
    for size, weight in ((4, 1.0), (12, 0.6), (40, 0.35), (160, 0.25)):
        if size > finest:
            break
        grey, colour = rng.standard_normal((1, size, size)), rng.standard_normal((3, size, size))
        noise = torch.from_numpy(grey + 0.15 * colour).float()
        plane += weight * resize_antialiased(noise, (height, width))
    ranks = plane.flatten().argsort().argsort().reshape(plane.shape) / (plane.numel() - 1)
    return torch.exp2(stops * (ranks - 1.0))


def exposed(light: Tensor, ev: float) -> Tensor:
    """Display values of an exposure, clipped at white."""
    return linear_to_srgb((light * 2.0**ev).clamp(0, 1))


def exif_block(
    time: float | None, *, iso: int | None = 100, aperture: float | None = 8.0, taken: datetime.datetime | None = START
) -> bytes | None:
    values: dict[int, str | float | int] = {exif.MAKE: "Acme", exif.MODEL: "One"}
    if time is not None:
        values[exif.EXPOSURE_TIME] = time
    if iso is not None:
        values[exif.ISO] = iso
    if aperture is not None:
        values[exif.F_NUMBER] = aperture
    if taken is not None:
        values[exif.DATE_TIME_ORIGINAL] = taken.strftime("%Y:%m:%d %H:%M:%S")
    return exif.assemble(exif.compose(values), "<")


def write_frame(path: Path, display: Tensor, time: float | None, *, bits: int = 8, **facts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = Metadata(format="png", bits=bits, exif=exif_block(time, **facts))
    write_image(path, display, encoding="display", bits=bits, metadata=metadata, overwrite=True)
    return path


def write_bracket(
    folder: Path,
    evs: Sequence[float] = (-2.0, 0.0, 2.0),
    *,
    light: Tensor | None = None,
    seconds: float = 1 / 64,
    start: datetime.datetime = START,
    pause: float = 1.0,
    first: int = 1,
    suffix: str = ".png",
    pictures: Mapping[int, Tensor] | None = None,
    **facts: Any,
) -> list[Path]:
    """Files in the order of taking, which is that of ``evs``."""
    light = scene_light() if light is None else light
    paths = []
    for index, ev in enumerate(evs):
        display = (pictures or {}).get(index, exposed(light, ev))
        taken = start + datetime.timedelta(seconds=index * pause)
        path = folder / f"IMG_{first + index:04d}{suffix}"
        paths.append(write_frame(path, display, seconds * 2.0**ev, taken=taken, **facts))
    return paths


def write_raw(path: Path, light: Tensor, ev: float, *, seconds: float = 1 / 64, **facts: Any) -> Path:
    """A noise-free DNG: ``light`` (3, H, W) in camera colours, 1.0 fills the well at 0 EV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    black, white = (256.0, 260.0, 252.0, 256.0), 16000
    samples = capture(light[None], pattern="GRBG", black_level=black, white_level=white, ev=ev)
    image = SensorImage(
        samples=samples[0, 0].to(torch.int32).to(torch.uint16),
        pattern="GRBG",
        black_level=black,
        white_level=white,
        **{
            "white_balance": (2.0, 1.0, 1.5),
            "colour_matrix": MATRIX,
            "exposure_time": seconds * 2.0**ev,
            "aperture": 8.0,
            "iso": 100.0,
            "capture_time": START,
            "make": "Acme",
            "model": "Two",
            **facts,
        },
    )
    write_dng(path, image, overwrite=True)
    return path
