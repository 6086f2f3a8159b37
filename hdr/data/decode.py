"""How a capture's files become the tensors of a cache entry: developed photos, or the sensor's own values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from hdr.data.cache import pack_pixels
from hdr.data.captures import bin_samples, describe_sensor
from hdr.data.photos import limit_long_edge
from hdr.io import READABLE_SUFFIXES, read_image

_CAMERA = ("exposure_time", "aperture", "iso", "make", "model")  # what is kept of a photo's metadata
_INDEXED = (*_CAMERA, "level", "decisions")  # what of a sensor capture's facts is repeated in the index

Tensors = dict[str, torch.Tensor]
Facts = dict[str, Any]


class Decode(Protocol):
    """How a capture's files become tensors. It is sent to worker processes, so it must be picklable."""

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON values that tell this decode from every other; a version among them."""
        ...

    def __call__(self, paths: Mapping[str, Path]) -> tuple[Tensors, Facts]:
        """Tensors (uint8, uint16 or half) and facts (JSON values) of the capture whose files are ``paths``.

        What stands under ``index`` in the facts is repeated in the cache's index, where it can be read and filtered
        without opening the entries.
        """
        ...


def is_raw_path(path: Path) -> bool:
    """Whether the name of a file is that of a camera RAW."""
    return READABLE_SUFFIXES.get(path.suffix.lower()) == "raw"


@dataclass(frozen=True, kw_only=True)
class PhotoDecode:
    """Every role's photo as (3, H, W) pixels in its own encoding, optionally reduced."""

    long_edge: int | None = None  # larger photos are reduced to this, antialiased, in their encoding
    half_size: bool = False  # develop RAW files at half width and height, which is much faster

    @property
    def parameters(self) -> dict[str, Any]:
        """The kind of decode, its version and its settings."""
        return {"decode": "photo", "version": 1, **asdict(self)}

    def __call__(self, paths: Mapping[str, Path]) -> tuple[Tensors, Facts]:
        """Packed pixels by role, and for each role how to unpack them."""
        tensors: Tensors = {}
        facts: Facts = {}
        for role, path in paths.items():
            photo = read_image(path, half_size=self.half_size)
            pixels = limit_long_edge(photo.pixels, self.long_edge)
            tensors[role], facts[role] = pack_pixels(pixels, photo.encoding)
            told = {name: getattr(photo.metadata, name) for name in _CAMERA}
            facts[role]["camera"] = {name: value for name, value in told.items() if value is not None}
        return tensors, {"pixels": facts}


@dataclass(frozen=True, kw_only=True)
class SensorDecode:
    """The sensor values of every RAW, as the camera measured them; other photos as :class:`PhotoDecode` has them.

    A RAW becomes uint16: its mosaic (H, W) or, ``binned``, the planes R, G, B (3, H // 2, W // 2), where a pixel is a
    2x2 block of the mosaic and G the mean of its two greens. Nothing is developed: levels, matrix, white balance and
    noise profile stand in the facts. So do exposure time, aperture and ISO as far as :mod:`hdr.io.exposure_checks`
    believes them, with its decisions. Read entries with :func:`hdr.data.captures.read_capture` and
    :func:`hdr.data.captures.read_binned`.
    """

    binned: bool = False  # half size planes instead of the mosaic: three quarters of its bytes, no demosaicking to do

    @property
    def parameters(self) -> dict[str, Any]:
        """The kind of decode, its version and its settings."""
        return {"decode": "sensor", "version": 1, **asdict(self)}

    def __call__(self, paths: Mapping[str, Path]) -> tuple[Tensors, Facts]:
        """Sensor values (and packed pixels of other photos) by role, and for each role what is needed to use them."""
        from hdr.io.exposure_checks import check_exposure
        from hdr.io.exposure_fields import read_exposure_fields
        from hdr.io.exposure_levels import judge_levels, measure_level
        from hdr.io.sensor import read_sensor

        tensors, facts = PhotoDecode()({role: path for role, path in paths.items() if not is_raw_path(path)})
        sensors: Facts = {}
        exposures, levels = [], []
        for role, path in paths.items():
            if not is_raw_path(path):
                continue
            image = read_sensor(path)
            exposure, decisions = check_exposure(read_exposure_fields(path))
            image = replace(image, exposure_time=exposure.exposure_time, aperture=exposure.aperture, iso=exposure.iso)
            exposures.append(exposure)
            levels.append(measure_level(image))
            tensors[role] = bin_samples(image) if self.binned else image.samples
            sensors[role] = describe_sensor(image, binned=self.binned)
            sensors[role] |= {"level": asdict(levels[-1]), "decisions": [asdict(decision) for decision in decisions]}
        if len(sensors) > 1:  # the captures of one record show one scene
            for sensor, decision in zip(sensors.values(), judge_levels(levels, exposures), strict=True):
                sensor["decisions"].append(asdict(decision))
        index = {role: {name: sensor[name] for name in _INDEXED} for role, sensor in sensors.items()}
        return tensors, {**facts, "sensor": sensors, "index": {"sensor": index}}
