"""Colours of files to sRGB primaries: ICC profiles through Little CMS, chromaticities by matrix.

Rendering is relative colorimetric with black point compensation: colours inside sRGB keep their measured appearance
(the perceptual tables of camera and print profiles restyle all of them), white stays white, and the black of a print
profile becomes black instead of a grey. Colours outside sRGB are clipped, as 8 and 16 bit formats force it.
"""

from __future__ import annotations

import functools
import io
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray

from hdr.ops.primaries import CHROMATICITIES, adaptation_matrix, rgb_to_xyz_matrix, white_xyz

log = logging.getLogger(__name__)

REC709_CHROMATICITIES = CHROMATICITIES["rec709"]
"""x, y of red, green, blue (ITU-R BT.709, also IEC 61966-2-1) and of the white D65."""

_SPACES = {b"GRAY": ("gray", 1), b"RGB ": ("rgb", 3), b"CMYK": ("cmyk", 4)}
_ROWS_PER_TASK = 256


@functools.cache
def srgb_profile() -> bytes:
    """An sRGB profile to embed. Its creation date is fixed, so that equal pixels make equal files."""
    return _undated(imagecodecs.cms_profile("srgb"))


@functools.cache
def adobe_rgb_profile() -> bytes:
    """Adobe RGB (1998): for camera files that declare it in their EXIF only."""
    return _undated(imagecodecs.cms_profile("adobergb"))


@functools.cache
def linear_profile() -> bytes:
    """Linear Rec. 709."""
    return _undated(gamma_profile(1.0, None, grey=False))


def gamma_profile(gamma: float, chromaticities: Sequence[float] | None, grey: bool) -> bytes:
    """Profile of a file that gives only a decoding exponent and, perhaps, chromaticities (the gAMA and cHRM of PNG)."""
    if grey:
        return bytes(imagecodecs.cms_profile("gray", gamma=gamma))
    values = [float(value) for value in chromaticities or REC709_CHROMATICITIES]
    return bytes(imagecodecs.cms_profile("rgb", primaries=values[:6], whitepoint=values[6:], gamma=gamma))


def from_profile(
    samples: NDArray, profile: bytes | None, encoding: Literal["display", "linear"]
) -> tuple[NDArray, str | None]:
    """Samples (H, W, C) under ``profile`` as sRGB, with the profile's name; unchanged where they are sRGB already.

    C is 1, 3 or, for integers, 4 (CMYK, larger is more ink). ``display``: uint8 or uint16 in, sRGB-encoded uint16 out.
    ``linear``: float32 in, linear Rec. 709 float32 out, unbounded. Profiles that place a coarse set of colours within a
    thousandth of where sRGB has them count as sRGB: the samples stay exact. A profile that is damaged or meant for
    another kind of pixel is logged and passed over, as viewers do.
    """
    if profile is None:
        return _without_profile(samples), None
    space, channels = _SPACES.get(profile[16:20], ("", 0))
    name = profile_name(profile)
    if samples.shape[2] == 1 and channels == 3:
        samples = np.repeat(samples, 3, axis=2)
    if name is None or samples.shape[2] != channels or (samples.shape[2] == 4 and encoding == "linear"):
        log.warning("an embedded colour profile (%s) does not fit the pixels and is passed over", name or "unreadable")
        return _without_profile(samples), None
    target = srgb_profile() if encoding == "display" else linear_profile()
    if space == "rgb" and _is_identity(profile, target):
        return samples, name
    # Little CMS samples transforms on a coarse grid (errors up to 0.05 from 16 bit) unless told not to; from 8 bit RGB
    # it computes exactly enough (half a step of 8 bits) and twenty times faster.
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    if samples.dtype != np.uint8 or space != "rgb":
        flags |= int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)
    kind = np.uint16 if encoding == "display" else np.float32
    converted = np.empty((*samples.shape[:2], 3), kind)

    def convert(top: int) -> None:
        rows = np.ascontiguousarray(samples[top : top + _ROWS_PER_TASK])
        converted[top : top + _ROWS_PER_TASK] = _transform(rows, profile, target, space, kind, flags)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Little CMS works outside the interpreter lock
        list(pool.map(convert, range(0, len(samples), _ROWS_PER_TASK)))
    return converted[..., 1:2] if space == "gray" else converted, name  # one channel: grey to the last bit


def to_rec709_matrix(
    chromaticities: Sequence[float], adopted_neutral: Sequence[float] | None = None
) -> NDArray[np.float64] | None:
    """3x3 matrix from linear RGB of these chromaticities (red, green, blue, white: x, y each) to linear Rec. 709.

    The neutral (``adopted_neutral``, else the white) becomes the white D65 by the Bradford transform, so that R = G = B
    stays neutral. CIE XYZ values, recognisable by the unit primaries, are absolute: they have no white of their own and
    are not adapted. None when the chromaticities are those of Rec. 709. Primaries on one line: ``ValueError``.
    Sources: SMPTE RP 177-1993 (matrix from chromaticities); Lam 1985 (Bradford), as in ICC.1:2022 annex E.
    """
    values = np.asarray(chromaticities, np.float64)
    neutral = values[6:] if adopted_neutral is None else np.asarray(adopted_neutral, np.float64)
    if np.allclose(values, REC709_CHROMATICITIES, atol=1e-4) and np.allclose(neutral, values[6:], atol=1e-4):
        return None
    to_xyz = rgb_to_xyz_matrix(values.tolist())
    if adopted_neutral is None and np.allclose(values[:6], (1, 0, 0, 1, 0, 0), atol=1e-4):
        adapted = to_xyz
    else:
        adapted = adaptation_matrix(white_xyz(neutral.tolist()), white_xyz(REC709_CHROMATICITIES[6:])) @ to_xyz
    return torch.linalg.solve(rgb_to_xyz_matrix("rec709"), adapted).numpy()


def luminance_weights(chromaticities: Sequence[float]) -> NDArray[np.float64]:
    """Weights (3,) of linear R, G, B in luminance for these chromaticities."""
    return rgb_to_xyz_matrix([float(value) for value in chromaticities])[1].numpy()


@functools.lru_cache(maxsize=64)
def profile_name(profile: bytes) -> str | None:
    """The name in the profile; None when it is damaged or cannot be converted from."""
    from PIL import ImageCms

    space, channels = _SPACES.get(profile[16:20], ("", 0))
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(opened).strip()
        _transform(np.zeros((1, 1, channels), np.uint8), profile, srgb_profile(), space, np.uint16, 0)
    except (OSError, ValueError, ImageCms.PyCMSError, imagecodecs.CmsError):
        return None
    return name or "unnamed"


def _without_profile(samples: NDArray) -> NDArray:
    """Grey and RGB as they are; CMYK by the plain complement, which is all there is without a profile of the inks."""
    if samples.shape[2] != 4:
        return samples
    peak = np.float32(np.iinfo(samples.dtype).max)
    paper = peak - samples.astype(np.float32)
    return np.rint(paper[..., :3] * (paper[..., 3:] / peak)).astype(samples.dtype)


def _transform(samples: NDArray, profile: bytes, target: bytes, space: str, kind: type, flags: int) -> NDArray:
    return imagecodecs.cms_transform(
        samples[..., 0] if space == "gray" else samples,
        profile,
        target,
        colorspace=space,
        outcolorspace="rgb",
        outdtype=kind,
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=flags,
    )


@functools.lru_cache(maxsize=64)
def _is_identity(profile: bytes, target: bytes) -> bool:
    levels = np.linspace(0, 1, 9, dtype=np.float32)
    probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    flags = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION | imagecodecs.CMS.FLAGS.NOOPTIMIZE
    found = _transform(np.ascontiguousarray(probe), profile, target, "rgb", np.float32, int(flags))
    return bool(np.abs(found - probe).max() < 1e-3)


def _undated(profile: bytes) -> bytes:
    """Bytes 24 to 35 of the header are the date (ICC.1:2022, 7.2.10): 1 January 2000."""
    return profile[:24] + bytes((7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0)) + profile[36:]
