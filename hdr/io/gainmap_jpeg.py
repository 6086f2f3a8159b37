"""Gain-map JPEG (Ultra HDR): an SDR picture that every program shows, and a second JPEG with the way to HDR.

Read: ISO 21496-1, Adobe's and Google's XMP, Apple's own form. Written: ISO 21496-1 and XMP, so that readers of either
see HDR. The pictures are coded by libjpeg; segments, index and metadata are put together here.
Sources: ISO 21496-1:2025; Google, "Ultra HDR Image Format v1.1"; CIPA DC-007-2009.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from hdr.io import gainmap_metadata as numbers
from hdr.io.apple import gain_from_apple_map, headroom_from_maker_note
from hdr.io.code_points import PQ_PEAK
from hdr.io.colour import from_profile, profile_name, srgb_profile
from hdr.io.decoded import exif_to_write, xmp_to_write
from hdr.io.gainmap import apply_gain_map, compute_gain_map, resized_map, sdr_rendition
from hdr.io.gainmap_metadata import GainMapMetadata
from hdr.io.jpeg_parts import (
    APP1,
    APP2,
    SEGMENT_LIMIT,
    XMP_HEADER,
    content_after,
    join_with_index,
    pictures,
    with_segments,
)
from hdr.io.metadata import HdrMetadata, Metadata
from hdr.io.samples import check_size, to_samples
from hdr.ops.encoding import srgb_to_linear

log = logging.getLogger(__name__)

_SDR_QUALITY, _MAP_QUALITY = 95, 100


@dataclass(frozen=True, kw_only=True, eq=False)
class GainMapPart:
    """The second picture of a file and what its samples mean."""

    jpeg: bytes
    metadata: GainMapMetadata | None
    """None: the map is Apple's."""
    headroom: float
    """Factor over SDR white at which the map applies in full."""

    def describe(self, profile: bytes | None) -> HdrMetadata:
        """``profile``: that of the first picture."""
        primaries = profile_name(profile) if profile else None
        return HdrMetadata(kind="gain map", peak=self.headroom, primaries=primaries or "Rec. 709")


def find_gain_map(data: bytes, exif: bytes | None) -> GainMapPart | None:
    """The gain map of a JPEG file; None where it has none. ``ValueError`` where its metadata are damaged.

    ``exif``: the block of the first picture, whose maker note older Apple files need.
    """
    found = list(pictures(data))
    for start, end in found[1:]:
        jpeg = data[start:end]
        iso = content_after(jpeg, 0, APP2, numbers.ISO_HEADER)
        xmp = content_after(jpeg, 0, APP1, XMP_HEADER)
        metadata = numbers.from_iso(iso) if iso else None
        if metadata is None and xmp:
            metadata = numbers.from_xmp(xmp)
        if metadata is not None:
            if metadata.base_headroom > metadata.alternate_headroom:
                raise ValueError("its base picture is the HDR rendition, which is not read")
            return GainMapPart(jpeg=jpeg, metadata=metadata, headroom=2**metadata.alternate_headroom)
        headroom = numbers.apple_headroom(xmp) if xmp else None
        if headroom is not None:
            headroom = headroom or (headroom_from_maker_note(exif) if exif else None)
            if headroom is None:
                raise ValueError("its gain map is Apple's and the headroom is neither in XMP nor in the maker note")
            return GainMapPart(jpeg=jpeg, metadata=None, headroom=max(headroom, 1.0))
    if found and data.find(b"\xff\xd8\xff", found[-1][1]) >= 0 and _announces_gain_map(data):
        raise ValueError("the gain map that it announces is not whole: the file is truncated or damaged")
    return None


def hdr_rendition(samples: NDArray[np.uint8], profile: bytes | None, part: GainMapPart) -> NDArray[np.float32]:
    """Linear Rec. 709 (H, W, 3), 1.0 = SDR diffuse white, at the full capacity of the file.

    ``samples``: the base (H, W, 1 or 3) as stored, under ``profile``. Gains apply to the primaries of the base, or to
    those of the map's own profile where the metadata say so; what then lies outside Rec. 709 is below zero.
    """
    if samples.shape[2] not in (1, 3):
        raise ValueError(f"its SDR picture has {samples.shape[2]} channels; a gain map belongs to grey or RGB")
    base, to_rec709 = linear_base(samples, profile if samples.shape[2] == 3 else None)
    stored, map_profile = _decode(part.jpeg)
    if part.metadata is None:
        result = base * gain_from_apple_map(resized_map(stored[:1], (base.shape[1], base.shape[2])), part.headroom)
    else:
        if not part.metadata.base_colours and map_profile is not None:
            alternate = linear_base(np.zeros((1, 1, 3), np.uint8), map_profile)[1]
            base = _times(torch.linalg.inv(alternate) @ to_rec709, base)
            to_rec709 = alternate
        result = apply_gain_map(base, stored, part.metadata)
    return _times(to_rec709, result).permute(1, 2, 0).numpy()


def linear_base(samples: NDArray[np.uint8], profile: bytes | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Linear light (3, H, W) of the samples in their own primaries, and the matrix (3, 3) from there to Rec. 709.

    ``ValueError`` when the profile is not a matrix with a curve per channel, which is what gains can be applied to.
    """
    levels = torch.linspace(0, 1, 256, dtype=torch.float64)
    curves, matrix = srgb_to_linear(levels).float().expand(3, 256), torch.eye(3)
    ramps = torch.zeros(4, 256, 3)  # of red, green, blue and grey
    for index in range(3):
        ramps[index, :, index] = ramps[3, :, index] = levels.float()
    converted, name = from_profile(ramps.numpy(), profile, "linear")
    if name is not None:
        light = torch.from_numpy(converted)
        matrix = light[:3, 255].T.contiguous()
        curves = torch.stack([light[i] @ matrix[:, i] / matrix[:, i].square().sum() for i in range(3)])
        if not torch.allclose(curves.T @ matrix.T, light[3], atol=2e-3):
            raise ValueError("its colour profile is no matrix with curves, and a gain map applies to nothing else")
    table, channels = curves.numpy(), samples.shape[2]
    planes = np.stack([table[index][samples[..., min(index, channels - 1)]] for index in range(3)])
    return torch.from_numpy(planes), matrix


def write_gain_map_jpeg(path: Path, linear: torch.Tensor, sdr: torch.Tensor | None, metadata: Metadata | None) -> None:
    """``linear`` (3, H, W), 1.0 = SDR diffuse white, as the HDR rendition of ``sdr`` (3, H, W), display-encoded.

    Both have sRGB primaries; ``linear`` is clipped to [0, 49.26], where PQ ends as well. Without ``sdr``,
    ``sdr_rendition`` makes it. The map has the size of the picture and is computed against the SDR picture as it was
    written, so that what JPEG does to that is undone; that is why its quality is the higher one.
    """
    linear = linear.clamp(0, PQ_PEAK)
    sdr = sdr_rendition(linear) if sdr is None else sdr.detach().to("cpu", torch.float32)
    samples = to_samples([*sdr], 8)
    exif = exif_to_write(metadata, samples)
    block = {"exif": b"Exif\0\0" + exif} if exif else {}
    if exif and len(exif) > SEGMENT_LIMIT - 6:
        log.warning("%s: the EXIF block is longer than JPEG allows and is left out", path)
        block = {}
    first = _encode(samples, _SDR_QUALITY, icc_profile=srgb_profile(), **block)
    base = linear_base(np.asarray(Image.open(io.BytesIO(first))), None)[0]
    stored, gains = compute_gain_map(linear, base)
    second = with_segments(
        _encode(stored, _MAP_QUALITY),
        [(APP1, XMP_HEADER + numbers.to_xmp(gains)), (APP2, numbers.ISO_HEADER + numbers.to_iso(gains))],
    )
    packet = numbers.directory_xmp(len(second), xmp_to_write(metadata))
    if len(packet) > SEGMENT_LIMIT - len(XMP_HEADER):
        log.warning("%s: the XMP block is longer than JPEG allows and is left out", path)
        packet = numbers.directory_xmp(len(second), None)
    first = with_segments(first, [(APP1, XMP_HEADER + packet), (APP2, numbers.ISO_HEADER + numbers.ISO_VERSION)])
    path.write_bytes(join_with_index(first, second))


def _announces_gain_map(data: bytes) -> bool:
    xmp = content_after(data, 0, APP1, XMP_HEADER) or b""
    return numbers.NAMESPACE in xmp or content_after(data, 0, APP2, numbers.ISO_HEADER) is not None


def _encode(samples: NDArray[np.uint8], quality: int, **carried: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(samples).save(stream, "JPEG", quality=quality, subsampling=0, **carried)
    return stream.getvalue()


def _decode(jpeg: bytes) -> tuple[torch.Tensor, bytes | None]:
    """The map (1 or 3, h, w) in [0, 1] and its colour profile."""
    with JpegImageFile(io.BytesIO(jpeg)) as image:
        check_size(*image.size)
        if image.mode not in ("L", "RGB"):
            raise ValueError(f"its gain map has the mode {image.mode}; grey and RGB are read")
        samples = np.asarray(image)
        profile = image.info.get("icc_profile")
    planes = samples[None] if samples.ndim == 2 else np.moveaxis(samples, -1, 0)
    return torch.from_numpy(planes.astype(np.float32) / np.float32(255)), profile


def _times(matrix: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    if torch.equal(matrix, torch.eye(3)):
        return planes
    return torch.einsum("ij,jhw->ihw", matrix, planes)
