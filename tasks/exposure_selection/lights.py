"""Scenes to expose: generated ones, views of panoramas, HDR pictures, RAW captures in files or in the tensor cache."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hdr.data.cache import ROLE, Entry
from hdr.data.captures import BinnedImage, read_binned
from hdr.data.decode import is_raw_path
from hdr.data.exposure_pairs import read_noise
from hdr.data.manifest import Record
from hdr.data.photos import PhotoDataset, limit_long_edge
from hdr.data.scenes.scene import SceneSource
from hdr.errors import UserError
from hdr.io.samples import orient
from hdr.io.sensor import SensorImage, binned, read_sensor
from hdr.ops.primaries import camera_to_rgb, daylight_balance
from tasks.exposure_selection.ladder import Light, exif_scalars

BINNED = 64
"""Sensor pixels that one pixel of a scene stands for: an eighth of a camera's width and height, as in the original."""
USUAL = (1e-4, 1e-7)
"""Noise (S, O) of single sensor pixels of a usual camera at base ISO, for captures that do not state theirs."""
SHOT = (1e-4, 4e-3)
"""Shot noise S of single sensor pixels, log-uniform over scenes; read noise follows from it."""


class LightSource(Protocol):
    """Lights by index."""

    def __len__(self) -> int: ...

    def light(self, index: int) -> Light:
        """Light ``index``, the same at every call.

        Raises:
            UserError: its file cannot be read.
        """
        ...


class SceneLights:
    """Scenes of a source (generated, or views of panoramas), on a sensor that sees linear Rec. 709."""

    def __init__(self, source: SceneSource, seed: int) -> None:
        self.source, self.seed = source, seed

    def __len__(self) -> int:
        return len(self.source)

    def light(self, index: int) -> Light:
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, index]))
        scene = self.source.scene(index, rng)
        white = torch.from_numpy(scene.white).double().clamp(min=1e-3)
        gains = (white.max() / white).tolist()
        shot, read = _noise(rng)
        return Light(
            linear=torch.from_numpy(scene.linear),
            id=scene.name,
            group=scene.group,
            gains=(gains[0], gains[1], gains[2]),
            shot=shot,
            read=read,
            subsets=(scene.family,),
        )


class PictureLights:
    """HDR pictures in files (EXR, Radiance, float TIFF), as light on a Rec. 709 sensor, and RAW files.

    All are reduced to the data set's ``long_edge``. RAW files give what :class:`CaptureLights` gives of them.
    """

    def __init__(self, photos: PhotoDataset, role: str, seed: int) -> None:
        self.photos, self.role, self.seed = photos, role, seed

    def __len__(self) -> int:
        return len(self.photos)

    def light(self, index: int) -> Light:
        record = self.photos.records[index]
        path = record.paths.get(self.role)
        if path is not None and is_raw_path(path):
            image = read_sensor(path)
            shot, read = image.noise_profile[1] if image.noise_profile else USUAL
            # two greens are averaged
            return _capture_light(record, binned(image), image, (shot / 2, read / 2), self.photos.long_edge)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, index]))
        sample = self.photos.sample(index, rng)
        if sample[f"{self.role}_encoding"] != "linear":
            raise UserError(
                f"{sample['id']}: exposures can be made of light only (EXR, Radiance, float TIFF, RAW); this is a "
                "finished picture. Brackets of finished pictures are for mode=predict and mode=fuse"
            )
        linear = torch.nan_to_num(sample[self.role], nan=0.0, posinf=torch.finfo(torch.float32).max).clamp(min=0.0)
        if not float(linear.max()) > 0:
            raise UserError(f"{sample['id']}: this picture is black")
        shot, read = _noise(rng)
        return Light(linear=linear, id=sample["id"], group=sample["group"], shot=shot, read=read)


class CaptureLights:
    """RAW captures that ``mode=prepare decode=sensor_binned`` has cached, reduced to ``long_edge``.

    The light is known up to the capture's own saturation. A virtual exposure that is longer adds noise of its own to
    the capture's, which averaging over the pixels of the reduced picture has made small.
    """

    def __init__(self, records: list[Record], long_edge: int) -> None:
        self.records, self.long_edge = records, long_edge
        if not records:
            raise UserError("this split holds no capture")

    def __len__(self) -> int:
        return len(self.records)

    def light(self, index: int) -> Light:
        record = self.records[index]
        if ROLE not in record.paths:
            raise UserError(f"'{record.id}' is not a cache entry; prepare it with mode=prepare decode=sensor_binned")
        role = next(iter(record.metadata.get(ROLE, {}).get("sensor", {})), "input")
        with Entry(record.paths[ROLE]) as entry:
            capture = read_binned(entry, role=role)
        shot, read = capture.noise_profile[1] if capture.noise_profile else (USUAL[0] / 2, USUAL[1] / 2)
        return _capture_light(record, capture.linear(), capture, (shot, read), self.long_edge)


def _capture_light(
    record: Record,
    planes: Tensor,
    capture: BinnedImage | SensorImage,
    noise: tuple[float, float],
    long_edge: int | None,
) -> Light:
    """The light of a capture: its half-size ``planes`` (3, H, W), 1.0 = saturation, upright and reduced.

    ``noise``: (S, O) of a pixel of the green plane.
    """
    upright = torch.from_numpy(orient(planes.permute(1, 2, 0).numpy(), capture.orientation).transpose(2, 0, 1).copy())
    linear = limit_long_edge(upright, long_edge).clamp(min=0.0)
    pixels = max(1.0, planes.numel() / linear.numel())
    gains, matrix = capture.white_balance, capture.colour_matrix
    if gains is None:
        gains = (1.0, 1.0, 1.0) if matrix is None else daylight_balance(matrix)
    return Light(
        linear=linear,
        id=record.id,
        group=record.group,
        gains=gains,
        matrix=None if matrix is None else camera_to_rgb(matrix).float(),
        saturation=1.0,
        shot=noise[0] / pixels,
        read=noise[1] / pixels,
        exif=exif_scalars(capture.exposure_time, capture.iso, capture.aperture),
    )


def _noise(rng: np.random.Generator) -> tuple[float, float]:
    shot = math.exp(rng.uniform(math.log(SHOT[0]), math.log(SHOT[1])))
    return shot / BINNED, read_noise(shot, rng) / BINNED
