"""Samples for ``upe``: display-encoded input, and the target where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hdr.data.exposure_pairs import ExposurePairs, ExposureSettings
from hdr.data.geometry import centre_square, crop_and_flip
from hdr.data.loader import Samples
from hdr.data.photos import PhotoDataset
from hdr.engine.build import build
from hdr.engine.config import Plain
from hdr.engine.task import Split
from hdr.errors import UserError
from hdr.ops.encoding import linear_to_srgb


def samples(config: Plain, split: Split, *, whole: bool) -> Samples:
    """The samples of a split of ``config["dataset"]``.

    Args:
        config: the resolved configuration.
        split: train, val or test.
        whole: photos as they are (evaluation) instead of one size (training and validation).
    """
    node = dict(config["dataset"])
    if node["_target_"].startswith("hdr.data.sources."):
        return ExposurePairs(build(node, split=split), ExposureSettings(**config["augmentation"]["exposure"]))
    size, long_edge = node.pop("size"), node.pop("long_edge")
    if whole:
        return DisplayPhotos(build(node, split=split, long_edge=long_edge))
    if split == "train":
        geometry = config["augmentation"]["geometry"] or crop_and_flip(size)
    else:
        geometry = centre_square(size)
    return DisplayPhotos(build(node, split=split, geometry=geometry))


class DisplayPhotos:
    """Photos with every role display-encoded; linear ones (RAW, EXR) are clipped at 1 and sRGB-encoded."""

    def __init__(self, photos: PhotoDataset) -> None:
        if "input" not in photos.roles:
            raise UserError(
                f"dataset: this one has pictures for {', '.join(photos.roles)} only, and upe corrects photographs "
                "(input); choose one with photographs, or generated scenes and panoramas"
            )
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        sample = self.photos.sample(index, rng)
        return {
            "id": sample["id"],
            **{role: as_display(sample[role], sample[f"{role}_encoding"]) for role in self.photos.roles},
        }


def as_display(pixels: torch.Tensor, encoding: str) -> torch.Tensor:
    """Pixels of a file as sRGB-encoded display values in [0, 1]; linear light that a display cannot show is clipped."""
    return linear_to_srgb(pixels).clamp(0, 1) if encoding == "linear" else pixels
