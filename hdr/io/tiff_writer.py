"""Write TIFF 6.0: 8 and 16 bit integers and 32 bit floats in deflated strips, with EXIF directories.

The general TIFF writers at hand store either 16 bit colour or an EXIF directory, not both.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io import exif
from hdr.io.colour import linear_profile, srgb_profile
from hdr.io.decoded import exif_to_write, xmp_to_write
from hdr.io.exif import Directory, Entry
from hdr.io.metadata import Metadata
from hdr.io.samples import to_samples

_STRIP_BYTES = 1 << 20
_DEFLATE, _DIFFERENCES, _FLOAT_DIFFERENCES = 8, 2, 3
_ASSOCIATED, _UNASSOCIATED = 1, 2


def write_tiff(path: Path, planes: torch.Tensor, bits: int, metadata: Metadata | None) -> None:
    """8 or 16 bit integers or 32 bit floats, RGB or RGBA (multiplied by alpha when float), EXIF, XMP and profile.

    Floats always carry a linear profile: other programs take a float file without one for gamma-encoded. Maker notes
    are left out. ``ValueError`` when the file would pass the 4 GB that TIFF can address.
    """
    alpha = metadata.alpha if metadata else None
    layers = [*planes, *([] if alpha is None else [alpha])]
    samples = to_samples(layers, bits) if bits < 32 else torch.stack(layers, dim=-1).numpy()
    block = exif_to_write(metadata, samples)
    order = exif.byte_order(block) if block else "<"
    directory = _description(samples, bits, order)
    if block:
        directory |= exif.portable(exif.read_directories(block))
    if xmp := xmp_to_write(metadata):
        directory[700] = Entry(1, len(xmp), xmp)
    if bits == 32 or (metadata and metadata.profile):
        profile = srgb_profile() if bits < 32 else linear_profile()
        directory[34675] = Entry(7, len(profile), profile)
    rows = min(len(samples), max(1, _STRIP_BYTES // samples[0].nbytes))
    offsets: list[int] = []
    with open(path, "wb") as stream, ThreadPoolExecutor(os.cpu_count()) as pool:
        stream.write(bytes(8))
        tops = range(0, len(samples), rows)
        strips: Iterable[bytes] = pool.map(lambda top: _encode(samples[top : top + rows], order), tops)
        for strip in strips:
            offsets.append(stream.tell())
            stream.write(strip)
        counts = [after - before for before, after in zip(offsets, [*offsets[1:], stream.tell()], strict=True)]
        stream.write(bytes(stream.tell() % 2))
        position = stream.tell()
        if position > 2**32 - 2**24:
            raise ValueError("it would pass the 4 GB that a TIFF file can hold; .exr has no such limit")
        directory[273] = _numbers("I", offsets, order)
        directory[278] = _numbers("I", [rows], order)
        directory[279] = _numbers("I", counts, order)
        stream.write(exif.pack_directory(directory, position, order))
        stream.seek(0)
        stream.write(exif.header(order, position))


def _description(samples: NDArray, bits: int, order: str) -> Directory:
    """The baseline fields of RGB images (TIFF 6.0, section 6) and those of alpha, predictor and sample format."""
    height, width, channels = samples.shape
    shorts = {
        258: [bits] * channels,
        259: [_DEFLATE],
        262: [2],
        277: [channels],
        284: [1],
        296: [2],
        317: [_DIFFERENCES if bits < 32 else _FLOAT_DIFFERENCES],
        339: [1 if bits < 32 else 3] * channels,
    }
    if channels == 4:
        shorts[338] = [_UNASSOCIATED if bits < 32 else _ASSOCIATED]
    fields: Directory = {tag: _numbers("H", values, order) for tag, values in shorts.items()}
    fields |= {256: _numbers("I", [width], order), 257: _numbers("I", [height], order)}
    resolution = Entry(5, 1, struct.pack(order + "II", 72, 1))
    return fields | {282: resolution, 283: resolution}


def _numbers(layout: str, values: Sequence[int], order: str) -> Entry:
    return Entry(3 if layout == "H" else 4, len(values), struct.pack(f"{order}{len(values)}{layout}", *values))


def _encode(strip: NDArray, order: str) -> bytes:
    """Differences along the rows (TIFF 6.0, section 14; floats: Technical Note 3, bytes by significance), deflated."""
    if strip.dtype == np.float32:
        differences = imagecodecs.floatpred_encode(np.ascontiguousarray(strip), axis=-2)
    else:
        differences = imagecodecs.delta_encode(np.ascontiguousarray(strip), axis=-2)
        if order == ">":
            differences = differences.astype(differences.dtype.newbyteorder(">"))
    return bytes(imagecodecs.deflate_encode(differences.tobytes(), level=4))
