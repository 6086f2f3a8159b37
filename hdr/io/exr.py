"""OpenEXR: scene-linear half and float images, through the Academy's own module.

Values are kept as stored, negative and non-finite ones included (the standard allows both), on the file's own scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hdr.io.colour import REC709_CHROMATICITIES, luminance_weights, to_rec709_matrix
from hdr.io.decoded import Decoded
from hdr.io.metadata import Metadata
from hdr.io.samples import check_size, refuse_beyond_half, to_plane

COMPRESSIONS = {
    "none": "NO_COMPRESSION",
    "rle": "RLE_COMPRESSION",
    "zips": "ZIPS_COMPRESSION",
    "zip": "ZIP_COMPRESSION",
    "piz": "PIZ_COMPRESSION",
    "pxr24": "PXR24_COMPRESSION",
    "b44": "B44_COMPRESSION",
    "b44a": "B44A_COMPRESSION",
    "dwaa": "DWAA_COMPRESSION",
    "dwab": "DWAB_COMPRESSION",
}
"""Names of the compressions and of their constants in the module. The first five lose nothing; pxr24 rounds 32 bit
floats to 24 bits, b44, b44a (half only) and dwaa, dwab lose more."""

# Standard attributes (OpenEXR "Standard Attributes", 3.x) and the fields of Metadata that they are.
_FACTS = {
    "expTime": "exposure_time",
    "aperture": "aperture",
    "isoSpeed": "iso",
    "cameraMake": "make",
    "cameraModel": "model",
}


def read_exr(path: Path) -> Decoded:
    """The first part of an EXR file that holds a picture: RGB, Y or Y/RY/BY, with or without A, as linear Rec. 709.

    Of R, G and B at least one must be there; missing ones are zero, as in OpenEXR's own RGBA interface. Pixels cover
    the data window. Colours stay multiplied by alpha, as the format has them. ``ValueError`` for files without such
    channels.
    """
    import OpenEXR

    try:
        file = OpenEXR.File(str(path), separate_channels=True, header_only=True)
    except RuntimeError:
        raise ValueError("its header is damaged, cut short or makes no sense") from None
    with file:
        index = _picture_part([part.header for part in file.parts])
        low, high = file.parts[index].header["dataWindow"]
        check_size(int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        if index >= len(file.parts):
            raise ValueError("the pixels cannot be read to the end: it is truncated or damaged")
        header = dict(file.parts[index].header)  # closing the file empties it
        stored = {name: channel.pixels for name, channel in file.parts[index].channels.items()}
    height, width = int(high[1]) - int(low[1]) + 1, int(high[0]) - int(low[0]) + 1
    half = all(pixels.dtype == np.float16 for pixels in stored.values())
    chromaticities = tuple(header.get("chromaticities", REC709_CHROMATICITIES))
    with np.errstate(invalid="ignore", over="ignore"):  # inf and NaN are values here
        if "Y" in stored and not {"R", "G", "B"} & set(stored):
            planes = _from_luminance_chroma(stored, height, width, chromaticities)
        else:
            zero = np.zeros((height, width), np.float32)
            planes = np.stack([stored.get(name, zero) for name in "RGB"]).astype(np.float32)
        if not _is_grey(stored):
            matrix = to_rec709_matrix(chromaticities, header.get("adoptedNeutral"))
            if matrix is not None:
                planes = np.einsum("ij,jhw->ihw", matrix.astype(np.float32), planes)
    facts: dict[str, Any] = {field: header[name] for name, field in _FACTS.items() if header.get(name)}
    metadata = Metadata(
        format="exr",
        bits=16 if half else 32,
        source=path,
        alpha=to_plane(stored["A"]) if "A" in stored else None,
        **facts,
    )
    return torch.from_numpy(np.ascontiguousarray(planes)), "linear", metadata


def write_exr(
    path: Path, planes: torch.Tensor, bits: int, metadata: Metadata | None, compression: str | None = None
) -> None:
    """Half (16) or float (32) RGB or RGBA with Rec. 709 chromaticities and the exposure attributes.

    ``compression``: a name of ``COMPRESSIONS``; default: zip, which loses nothing. ``ValueError`` when a finite value
    is too large for half.
    """
    import OpenEXR

    alpha = metadata.alpha if metadata else None
    channels: dict[str, NDArray] = {}
    for name, plane in zip("RGBA", [*planes, *([] if alpha is None else [alpha])], strict=False):
        if bits == 16:
            refuse_beyond_half(plane)
        channels[name] = np.ascontiguousarray(plane.numpy(), np.float16 if bits == 16 else np.float32)
    header: dict[str, Any] = {
        "compression": getattr(OpenEXR, COMPRESSIONS[compression or "zip"]),
        "type": OpenEXR.scanlineimage,
        "chromaticities": REC709_CHROMATICITIES,
    }
    for name, field in _FACTS.items():
        value = getattr(metadata, field) if metadata else None
        if value is not None:
            header[name] = value
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def _picture_part(headers: list[Mapping[str, Any]]) -> int:
    found = []
    for index, header in enumerate(headers):
        names = {channel.name for channel in header["channels"]}
        steps = {channel.name: (channel.xSampling, channel.ySampling) for channel in header["channels"]}
        found.append(", ".join(sorted(names)))
        kind = str(header.get("type", ""))
        rgb = bool(names & set("RGB")) and all(steps[name] == (1, 1) for name in names & set("RGBA"))
        if "deep" in kind:
            found[-1] += " (deep)"
        elif rgb or ("Y" in names and _chroma_is_readable(steps)):
            return index
    raise ValueError(f"it has the channels {'; '.join(found)}; R, G, B or Y, RY, BY or Y are read")


def _chroma_is_readable(steps: Mapping[str, tuple[int, int]]) -> bool:
    chroma = {steps.get("RY"), steps.get("BY")}
    return steps["Y"] == (1, 1) and chroma in ({None}, {(1, 1)}, {(2, 2)})


def _is_grey(stored: Mapping[str, NDArray]) -> bool:
    return "Y" in stored and not {"R", "G", "B", "RY"} & set(stored)


def _from_luminance_chroma(
    stored: Mapping[str, NDArray], height: int, width: int, chromaticities: tuple[float, ...]
) -> NDArray[np.float32]:
    """RGB (3, H, W) of the file's primaries from Y, RY = (R - Y) / Y and BY = (B - Y) / Y.

    Chroma of half size stands at the even columns and rows (OpenEXR "Technical Introduction", luminance/chroma images).
    It is interpolated linearly: a sharper filter overshoots at edges and makes channels negative.
    """
    luminance = stored["Y"].astype(np.float32)
    if "RY" not in stored:
        return np.broadcast_to(luminance, (3, height, width)).copy()
    ry, by = (full_size_chroma(stored[name].astype(np.float32), height, width) for name in ("RY", "BY"))
    weights = luminance_weights(chromaticities).astype(np.float32)
    red, blue = (ry + 1) * luminance, (by + 1) * luminance
    return np.stack((red, (luminance - weights[0] * red - weights[2] * blue) / weights[1], blue))


def full_size_chroma(chroma: NDArray, height: int, width: int) -> NDArray:
    """Chroma (height, width) from half its size, rounded up; neighbours beyond the last sample repeat it."""
    if chroma.shape == (height, width):
        return chroma
    for axis, size in ((0, height), (1, width)):
        after = np.concatenate((chroma, chroma.take([-1], axis)), axis).take(range(1, chroma.shape[axis] + 1), axis)
        pairs = np.stack((chroma, (chroma + after) / 2), axis + 1)
        shape = list(chroma.shape)
        shape[axis] *= 2
        chroma = pairs.reshape(shape).take(range(size), axis)
    return chroma
