"""Sensor captures in the tensor cache: what is stored of a RAW, and how a part of it is read back."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hdr.data.cache import Entry, Window
from hdr.errors import UserError
from hdr.io.sensor import SensorImage

_NOT_STORED = ("samples", "source")  # the tensor itself, and a path that says nothing once the file has moved


@dataclass(frozen=True, kw_only=True, eq=False)
class BinnedImage:
    """A capture at half size: a pixel is a 2x2 block of the mosaic; not white balanced, in the camera's own colours.

    What the other fields mean stands at :class:`hdr.io.sensor.SensorImage`.
    """

    planes: torch.Tensor
    """uint16 (3, H // 2, W // 2): R, the mean of the two greens (halves rounded to even), B, in sensor values. Where
    only one of the two greens is saturated, G lies below the white level."""
    black_level: tuple[float, float, float]
    """Sensor value of black in R, G, B."""
    white_level: int
    white_balance: tuple[float, float, float] | None
    colour_matrix: torch.Tensor | None
    orientation: int
    exposure_time: float | None
    aperture: float | None
    iso: float | None
    focal_length: float | None
    baseline_exposure: float
    noise_profile: tuple[tuple[float, float], ...] | None
    """(S, O) of R, G, B; both are halved for G, as two values were averaged."""
    capture_time: datetime.datetime | None
    make: str | None
    model: str | None

    def linear(self) -> torch.Tensor:
        """Float32 (3, H // 2, W // 2), black at 0 and saturation at 1; noise below black stays negative."""
        black = torch.tensor(self.black_level)[:, None, None]
        return (self.planes.float() - black) / (self.white_level - black)


def bin_samples(image: SensorImage) -> torch.Tensor:
    """The planes of :class:`BinnedImage`; an odd last row or column is left out."""
    samples = image.samples.numpy()
    height, width = (side // 2 * 2 for side in samples.shape)
    site: dict[str, list[np.ndarray]] = {colour: [] for colour in "RGB"}
    for place, colour in enumerate(image.pattern):
        site[colour].append(samples[place // 2 : height : 2, place % 2 : width : 2])
    total = site["G"][0].astype(np.uint32) + site["G"][1]
    green = (total + (total >> 1 & 1)) >> 1
    return torch.from_numpy(np.stack([site["R"][0], green.astype(np.uint16), site["B"][0]]))


def describe_sensor(image: SensorImage, *, binned: bool) -> dict[str, Any]:
    """Everything but the samples as JSON values, from which :func:`read_capture` or :func:`read_binned` restore it."""
    facts = {
        field.name: _plain(getattr(image, field.name))
        for field in dataclasses.fields(image)
        if field.name not in _NOT_STORED
    }
    facts["binned"] = binned
    if binned:
        levels = list(zip(image.pattern, image.black_level, strict=True))
        facts["black_level"] = [float(np.mean([level for c, level in levels if c == colour])) for colour in "RGB"]
        if image.noise_profile is not None:
            red, green, blue = image.noise_profile
            facts["noise_profile"] = _plain((red, tuple(value / 2 for value in green), blue))
    return facts


def read_capture(entry: Entry, window: Window | None = None, role: str = "input") -> SensorImage:
    """The mosaic that ``decode=sensor`` stored for ``role``, or the part of it in ``window``, with all its facts.

    Only the window's bytes are read. Its top and left are even, so that the pattern of the whole holds for the part.

    Raises:
        UserError: the entry has no such capture, or holds it binned.
    """
    facts = _facts(entry, role, binned=False)
    if window is not None and (window[0] % 2 or window[1] % 2):
        raise ValueError(f"a window of a mosaic starts at even rows and columns, not at {window[0]}, {window[1]}")
    names = [field.name for field in dataclasses.fields(SensorImage) if field.name in facts]
    return SensorImage(samples=entry.read(role, window), **{name: _restored(name, facts[name]) for name in names})


def read_binned(entry: Entry, window: Window | None = None, role: str = "input") -> BinnedImage:
    """The planes that ``decode=sensor_binned`` stored for ``role``, or those in ``window``, counted in their pixels.

    Raises:
        UserError: the entry has no such capture, or holds its mosaic.
    """
    facts = _facts(entry, role, binned=True)
    names = [field.name for field in dataclasses.fields(BinnedImage) if field.name in facts]
    return BinnedImage(planes=entry.read(role, window), **{name: _restored(name, facts[name]) for name in names})


def _facts(entry: Entry, role: str, *, binned: bool) -> Mapping[str, Any]:
    captures: Mapping[str, Mapping[str, Any]] = entry.facts.get("sensor", {})
    wanted = "sensor_binned" if binned else "sensor"
    if role not in captures or captures[role]["binned"] != binned:
        there = ", ".join(f"{name} ({'binned' if c['binned'] else 'mosaic'})" for name, c in captures.items())
        raise UserError(
            f"{entry.path}: this cache entry has sensor captures of {there or 'no role'}; '{role}' was wanted as "
            f"mode=prepare decode={wanted} stores it"
        )
    return captures[role]


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _restored(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "colour_matrix":
        return torch.tensor(value, dtype=torch.float64)
    if name == "capture_time":
        return datetime.datetime.fromisoformat(value)
    return _tuples(value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
