"""JPEG and WebP through Pillow: 8 bit, display-encoded."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from hdr.io.colour import srgb_profile
from hdr.io.decoded import Decoded, exif_to_write, finish, xmp_to_write
from hdr.io.gainmap_jpeg import find_gain_map, hdr_rendition
from hdr.io.metadata import Metadata
from hdr.io.samples import check_size, to_samples

log = logging.getLogger(__name__)

JPEG_QUALITY = 95
_JPEG_LIMITS = {"exif": 65533, "xmp": 65533 - 29}  # a marker segment holds 65533 bytes; 29 of them announce XMP


def read_jpeg(path: Path, *, hdr: bool) -> Decoded:
    """A JPEG file: grey, YCbCr, RGB or CMYK. Of a multi-picture file, the first picture.

    ``hdr``: where the file has a gain map, the HDR rendition, ``linear``.
    """
    data = path.read_bytes()
    samples, carried, _ = _load(JpegImageFile, io.BytesIO(data))
    try:
        part = find_gain_map(data, carried["exif"])
    except ValueError as error:
        if hdr:
            raise
        log.warning("%s: %s; the gain map is passed over", path, error)
        part = None
    facts = part.describe(carried["profile"]) if part else None
    if not hdr or part is None:
        return finish(samples, None, path, format_name="jpeg", bits=8, hdr=facts, **carried)
    linear = hdr_rendition(samples, carried.pop("profile"), part)
    return finish(linear, None, path, format_name="jpeg", bits=8, profile=None, encoding="linear", hdr=facts, **carried)


def read_webp(path: Path) -> Decoded:
    """A WebP file, lossy or lossless; the first frame of an animation."""
    samples, carried, frames = _load(WebPImageFile, io.BytesIO(path.read_bytes()))
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    return finish(samples[..., :3], alpha, path, format_name="webp", bits=8, frames=frames, **carried)


def write_jpeg(path: Path, planes: torch.Tensor, metadata: Metadata | None) -> None:
    """Quality 95 without chroma subsampling, without alpha. Metadata beyond JPEG's 64 kB is logged and left out."""
    samples = to_samples(list(planes), 8)
    carried = _carried(metadata, samples)
    for name, limit in _JPEG_LIMITS.items():
        if len(carried.get(name, b"")) > limit:
            log.warning("%s: the %s block is longer than JPEG allows and is left out", path, name.upper())
            del carried[name]
    Image.fromarray(samples).save(path, "JPEG", quality=JPEG_QUALITY, subsampling=0, **carried)


def write_webp(path: Path, planes: torch.Tensor, metadata: Metadata | None) -> None:
    """Lossless, with alpha: lossy WebP always halves the chroma resolution, where JPEG does not have to."""
    alpha = metadata.alpha if metadata else None
    samples = to_samples([*planes, *([] if alpha is None else [alpha])], 8)
    Image.fromarray(samples).save(path, "WEBP", lossless=True, exact=True, method=0, **_carried(metadata, samples))


def _load(reader: type[ImageFile], stream: io.BytesIO) -> tuple[NDArray, dict[str, Any], int]:
    """Samples (H, W, C), embedded blocks, number of frames. Pillow's own picture is freed on return."""
    # Pillow looks up the resolution in the EXIF block and warns of any odd field there.
    with warnings.catch_warnings(action="ignore"), reader(stream) as image:
        check_size(*image.size)
        image.load()
        samples = np.asarray(image)
        blocks = image.info
        carried = {"profile": blocks.get("icc_profile"), "exif": blocks.get("exif"), "xmp": blocks.get("xmp")}
        return samples if samples.ndim == 3 else samples[..., None], carried, getattr(image, "n_frames", 1)


def _carried(metadata: Metadata | None, samples: NDArray) -> dict[str, bytes]:
    """Keyword arguments of Pillow's writers."""
    carried: dict[str, bytes] = {}
    if exif := exif_to_write(metadata, samples):
        carried["exif"] = b"Exif\0\0" + exif
    if xmp := xmp_to_write(metadata):
        carried["xmp"] = xmp
    if metadata and metadata.profile:
        carried["icc_profile"] = srgb_profile()
    return carried
