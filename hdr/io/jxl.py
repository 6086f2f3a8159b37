"""JPEG XL: lossless integers and floats, for SDR and HDR.

Decoding and encoding by libjxl; colours, EXIF and XMP are read from and written to the header and the boxes here.
"""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io.code_points import CodePoints, describe, display_profile, to_linear, to_rec709
from hdr.io.colour import gamma_profile
from hdr.io.decoded import Decoded, exif_to_write, finish, xmp_to_write
from hdr.io.jxl_header import LINEAR, SRGB, Header, boxes_of, description_box, read_header, with_transfer
from hdr.io.metadata import Encoding, Metadata
from hdr.io.samples import check_size, refuse_beyond_half, spread, to_samples

_EFFORT = 3


def read_jxl(path: Path) -> Decoded:
    """A JPEG XL file; of an animation, the first frame.

    Integers come as ``display``; PQ, HLG and floats with a linear transfer function come as ``linear`` (1.0 = SDR
    white). ``ValueError`` for colours given by an ICC profile, which cannot be read out, and for other float files.
    """
    data = path.read_bytes()
    boxes = boxes_of(data)
    header = read_header(boxes.get(b"jxlc", b""))
    check_size(header.width, header.height)
    points = _points(header)
    samples = imagecodecs.jpegxl_decode(data, index=0 if header.animated else None)
    samples = samples if samples.ndim == 3 else samples[..., None]
    if samples.dtype.kind == "u":
        samples = spread(samples, header.bits)
    colours = 3 if samples.shape[2] > 2 else 1
    alpha = samples[..., colours] if samples.shape[2] > colours else None
    samples = samples[..., :colours]
    linear = _linear(samples, points)
    profile = None
    if linear is None:
        if header.transfer:
            profile = display_profile(points)
        else:
            profile = gamma_profile(1 / header.gamma, points.chromaticities, grey=colours == 1)
    exif = description_box(boxes, b"Exif")
    return finish(
        samples if linear is None else linear.permute(1, 2, 0).numpy(),
        alpha,
        path,
        format_name="jxl",
        bits=header.bits,
        profile=profile,
        exif=exif[4 + struct.unpack(">I", exif[:4])[0] :] if exif and len(exif) > 4 else None,
        xmp=description_box(boxes, b"xml "),
        orientation=1,  # the decoder has turned the picture by the orientation of its own header
        encoding="display" if linear is None else "linear",
        hdr=describe(points) if points.kind else None,
    )


def write_jxl(path: Path, planes: torch.Tensor, bits: int, encoding: Encoding, metadata: Metadata | None) -> None:
    """Lossless, with alpha, EXIF and XMP.

    ``display``: 8 or 16 bit sRGB; ``linear``: half (16) or float (32), linear Rec. 709. ``ValueError`` when half
    cannot hold a value: too large, or NaN, which the encoder makes infinite.
    """
    alpha = metadata.alpha if metadata else None
    layers = [*planes, *([] if alpha is None else [alpha])]
    if encoding == "display":
        samples = to_samples(layers, bits)
    else:
        if bits == 16:
            refuse_beyond_half(planes)
            if bool(planes.isnan().any()):
                raise ValueError("libjxl does not keep NaN in 16 bit floats; write it with bits=32")
        samples = torch.stack(layers, dim=-1).numpy().astype(np.float16 if bits == 16 else np.float32)
    encoded = bytes(imagecodecs.jpegxl_encode(samples, lossless=True, effort=_EFFORT, usecontainer=True))
    codestream = boxes_of(encoded)[b"jxlc"]
    header = read_header(codestream)
    if encoding == "display" and header.transfer != SRGB:  # the encoder calls all integers of 16 bits linear
        encoded = encoded.replace(codestream, with_transfer(codestream, header, SRGB))
    with open(path, "wb") as stream:
        stream.write(encoded)
        if exif := exif_to_write(metadata, samples):
            stream.write(struct.pack(">I4sI", len(exif) + 12, b"Exif", 0) + exif)
        if xmp := xmp_to_write(metadata):
            stream.write(struct.pack(">I4s", len(xmp) + 8, b"xml ") + xmp)


def _points(header: Header) -> CodePoints:
    if header.has_profile:
        raise ValueError("its colours are given by an ICC profile, which is not read; djxl makes a PNG of it")
    if header.primaries not in (1, 9, 11):
        raise ValueError("its primaries are given by coordinates, which is not read; djxl makes a PNG of it")
    return CodePoints(12 if header.primaries == 11 else header.primaries, header.transfer)  # 11 has the white D65 here


def _linear(samples: NDArray, points: CodePoints) -> torch.Tensor | None:
    """Linear Rec. 709 (3, H, W) of PQ, HLG and linear float samples; None for what is meant for SDR displays."""
    if points.kind and samples.dtype.kind == "u":
        return to_linear(samples, 8 * samples.itemsize, points)
    if samples.dtype.kind == "u":
        return None
    if points.transfer != LINEAR:
        raise ValueError("its samples are floats that are not linear; linear floats are read")
    planes = np.moveaxis(samples.astype(np.float32), -1, 0)
    return to_rec709(torch.from_numpy(np.repeat(planes, 3 // len(planes), axis=0)), points)
