"""Gain maps under other primaries than sRGB, and Apple's own form."""

from __future__ import annotations

import dataclasses
import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hdr.errors import UserError
from hdr.io import read_image, write_image
from hdr.io.gainmap import compute_gain_map, sdr_rendition
from hdr.io.gainmap_metadata import ISO_HEADER, to_iso
from hdr.io.jpeg_parts import APP2, pictures, with_segments
from hdr.ops.colour import luminance
from tests.io.made import p3_profile
from tests.io.made_hdr import scene, stops

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour


def test_gains_apply_to_the_primaries_of_the_base(tmp_path: Path) -> None:
    """The same stored numbers under a Display P3 profile: the formula in P3, then the matrix; no clipping to sRGB."""
    linear = scene()
    linear[:, :40, :40] = torch.tensor([0.0, 0.5, 0.0])[:, None, None]
    write_image(tmp_path / "x.jpg", linear, encoding="linear")
    data = (tmp_path / "x.jpg").read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        profile = image.info["icc_profile"]
    plain = read_image(tmp_path / "x.jpg", hdr=True).pixels
    wide = with_profile(data, profile, p3_profile())
    (tmp_path / "p3.jpg").write_bytes(wide)
    found = read_image(tmp_path / "p3.jpg", hdr=True)
    with Image.open(io.BytesIO(wide)) as image:
        stored = np.asarray(image) / 255
    base = colour.models.eotf_sRGB(stored)
    gains = (plain.permute(1, 2, 0).numpy() + 1 / 64) / (base + 1 / 64)
    in_p3 = (stored**2.2 + 1 / 64) * gains - 1 / 64
    p3, srgb = colour.RGB_COLOURSPACES["Display P3"], colour.RGB_COLOURSPACES["sRGB"]
    expected = colour.RGB_to_RGB(in_p3, p3, srgb).transpose(2, 0, 1)
    assert np.abs(found.pixels.numpy() - expected).max() < 0.01 * expected.max()
    assert found.pixels.min() < -0.05


def test_gains_of_the_other_renditions_primaries(tmp_path: Path) -> None:
    """Computed in Display P3, flagged so, under a P3 profile in the second picture; the first one is sRGB.

    A corner is grey in SDR and red in HDR, so that the gains of its channels differ.
    """
    linear = scene()
    sdr = sdr_rendition(linear)
    linear[:, :40, :40] = torch.tensor([2.0, 0.1, 0.1])[:, None, None]
    sdr[:, :40, :40] = 0.6
    srgb, p3 = colour.RGB_COLOURSPACES["sRGB"], colour.RGB_COLOURSPACES["Display P3"]
    write_image(tmp_path / "x.jpg", linear, encoding="linear", sdr=sdr)
    data = (tmp_path / "x.jpg").read_bytes()
    first = data[: next(pictures(data))[1]]
    base = colour.models.eotf_sRGB(np.asarray(Image.open(io.BytesIO(first))) / 255)
    in_p3 = [
        torch.from_numpy(colour.RGB_to_RGB(light, srgb, p3)).permute(2, 0, 1).float()
        for light in (linear.permute(1, 2, 0).numpy(), base)
    ]
    stored, numbers = compute_gain_map(*in_p3)
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, "JPEG", quality=100, subsampling=0, icc_profile=p3_profile())
    iso = ISO_HEADER + to_iso(dataclasses.replace(numbers, base_colours=False))
    (tmp_path / "y.jpg").write_bytes(first + with_segments(stream.getvalue(), [(APP2, iso)]))
    found = read_image(tmp_path / "y.jpg", hdr=True).pixels
    assert stops(luminance(found), luminance(linear)).quantile(0.95) < 0.05
    patch = found[:, 5:35, 5:35].mean(dim=(1, 2))
    step = max(high - low for low, high in zip(numbers.gain_min, numbers.gain_max, strict=True)) / 255
    assert torch.log2(patch / torch.tensor([2.0, 0.1, 0.1])).abs().max() < 2 * step
    (tmp_path / "z.jpg").write_bytes((tmp_path / "y.jpg").read_bytes().replace(iso, ISO_HEADER + to_iso(numbers)))
    ignored = read_image(tmp_path / "z.jpg", hdr=True).pixels[:, 5:35, 5:35].mean(dim=(1, 2))
    assert torch.log2(ignored / torch.tensor([2.0, 0.1, 0.1])).abs().max() > 5 * step


def test_apple_photograph(shared_data: Path) -> None:
    """Against Apple's formula written out: the map, twice enlarged, multiplies linear Display P3."""
    path = shared_data / "hdr-display" / "apple_gainmap_new.jpg"
    photo = read_image(path, hdr=True)
    assert photo.metadata.hdr is not None
    assert (photo.metadata.hdr.peak, photo.metadata.hdr.primaries) == (pytest.approx(4.532783), "Display P3")
    data = path.read_bytes()
    (_, _), (start, end) = pictures(data)
    with Image.open(path) as image, Image.open(io.BytesIO(data[start:end])) as second:
        base, stored = np.asarray(image) / 255, np.asarray(second)
    assert stored.shape == (256, 192)
    stored = cv2.resize(stored.astype(np.float64) / 255, (384, 512), interpolation=cv2.INTER_LINEAR)
    gain = 1 + 3.532783 * bt709(stored)
    p3, srgb = colour.RGB_COLOURSPACES["Display P3"], colour.RGB_COLOURSPACES["sRGB"]
    expected = colour.RGB_to_RGB(colour.models.eotf_sRGB(base) * gain[..., None], p3, srgb)
    assert np.abs(photo.pixels.permute(1, 2, 0).numpy() - expected).max() < 0.01
    assert photo.pixels.max() > 1.5


def test_apple_headroom_of_the_maker_note(tmp_path: Path, shared_data: Path) -> None:
    """Older files have no headroom in XMP; this one's note (1.519, 0) stands for three stops."""
    data = (shared_data / "hdr-display" / "apple_gainmap_new.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(data.replace(b"HDRGainMapHeadroom", b"HDRGainMapDeadroom"))
    metadata = read_image(tmp_path / "x.jpg", hdr=True).metadata
    assert metadata.hdr is not None
    assert metadata.hdr.peak == pytest.approx(8)
    (tmp_path / "y.jpg").write_bytes((tmp_path / "x.jpg").read_bytes().replace(b"Apple iOS", b"Other iOS"))
    with pytest.raises(UserError, match="headroom is neither in XMP nor in the maker note"):
        read_image(tmp_path / "y.jpg", hdr=True)


def bt709(stored: NDArray) -> NDArray:
    return np.where(stored < 0.081, stored / 4.5, ((stored + 0.099) / 1.099) ** (1 / 0.45))


def with_profile(data: bytes, old: bytes, new: bytes) -> bytes:
    """The profile segment of the first picture exchanged; the index, which our reader does not ask, is then wrong."""
    start = data.index(b"ICC_PROFILE\0\1\1")
    segment = b"ICC_PROFILE\0\1\1" + new
    return data[: start - 2] + struct.pack(">H", len(segment) + 2) + segment + data[start + 14 + len(old) :]
