"""Files to tensors and back. Names are loaded when they are first used, so that ``hdr.io.files`` needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdr.io.atomic import write_atomically
    from hdr.io.dng import write_dng
    from hdr.io.files import READABLE_SUFFIXES, WRITABLE_SUFFIXES, image_files, is_image_path
    from hdr.io.image import Photo, read_image, write_image
    from hdr.io.metadata import Encoding, HdrMetadata, Metadata, SensorMetadata
    from hdr.io.sensor import SensorImage, read_sensor

__all__ = [
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Encoding",
    "HdrMetadata",
    "Metadata",
    "Photo",
    "SensorImage",
    "SensorMetadata",
    "image_files",
    "is_image_path",
    "read_image",
    "read_sensor",
    "write_atomically",
    "write_dng",
    "write_image",
]

_HOMES = {
    "atomic": ("write_atomically",),
    "dng": ("write_dng",),
    "files": ("READABLE_SUFFIXES", "WRITABLE_SUFFIXES", "image_files", "is_image_path"),
    "image": ("Photo", "read_image", "write_image"),
    "metadata": ("Encoding", "HdrMetadata", "Metadata", "SensorMetadata"),
    "sensor": ("SensorImage", "read_sensor"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"hdr.io.{module}"), name)
    raise AttributeError(f"module 'hdr.io' has no attribute '{name}'")
