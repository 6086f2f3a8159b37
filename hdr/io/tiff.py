"""Read TIFF of up to 16 bits (display) and of floats (linear), through tifffile.

Integer files are display-encoded: whatever their profile, even a linear one, they become sRGB. Float files are linear:
without a profile they are taken as linear Rec. 709; a profile, gamma-encoded or not, says how to get there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage

from hdr.io import exif as exif_block
from hdr.io.decoded import Decoded, finish
from hdr.io.samples import check_size

_COLOURS = {
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.SEPARATED: 4,
}
_ICC, _ORIENTATION = 34675, 274


def read_tiff(path: Path) -> Decoded:
    """The first full-size page of a TIFF file. ``ValueError`` for kinds of pixel that no photograph is stored in."""
    with TiffFile(path) as file:
        pages = [page for page in file.pages if isinstance(page, TiffPage) and not page.is_reduced] or [*file.pages[:1]]
        if not pages:
            raise ValueError("it holds no page that can be read")
        page = pages[0]
        check_size(page.imagewidth, page.imagelength)
        colours = _colours(page)
        samples = _channels_last(page)
        if page.photometric == PHOTOMETRIC.PALETTE:
            # 16 bit entries, of which some writers fill the upper byte only, others repeat it below
            samples, colours = (page.colormap.T[samples[..., 0]] >> 8).astype(np.uint8), 3
        tags = page.tags
        profile = tags[_ICC].value if _ICC in tags else None
        orientation = int(tags[_ORIENTATION].value) if _ORIENTATION in tags else 1
        frames = len(pages)
    extra = page.extrasamples[0] if page.extrasamples and samples.shape[2] > colours else None
    alpha = samples[..., colours] if extra in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA) else None
    samples = samples[..., :colours]
    linear = samples.dtype.kind == "f"
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        samples = np.iinfo(samples.dtype).max - samples
    if alpha is not None and extra == EXTRASAMPLE.ASSOCALPHA and not linear:
        samples = _divide_by_alpha(samples, alpha)
    exif, xmp = exif_block.blocks_of_file(path)
    return finish(
        samples,
        alpha,
        path,
        format_name="tiff",
        bits=(16 if page.bitspersample == 16 else 32) if linear else 8 * samples.itemsize,
        profile=profile,
        exif=exif,
        xmp=xmp,
        frames=frames,
        orientation=orientation if orientation in range(1, 9) else 1,
        encoding="linear" if linear else "display",
    )


def _colours(page: TiffPage) -> int:
    """Number of colour channels; ``ValueError`` where the pixels are of a kind that is not read."""
    kind = page.photometric
    colours = 3 if kind == PHOTOMETRIC.YCBCR and page.compression == 7 else _COLOURS.get(kind)  # decoded by libjpeg
    if colours is None:
        raise ValueError(f"its pixels are {getattr(kind, 'name', kind)}; grey, RGB, palette and CMYK are read")
    if page.samplesperpixel < colours or page.samplesperpixel > colours + 4 or page.imagedepth != 1:
        raise ValueError(f"it holds {page.samplesperpixel} samples per pixel in {page.imagedepth} layers")
    stored = "uint" if page.sampleformat == 1 else "float" if page.sampleformat == 3 else "signed or complex"
    if stored == "signed or complex" or (stored == "uint" and page.bitspersample > 16):
        raise ValueError(
            f"its samples are {stored} of {page.bitspersample} bits; unsigned up to 16 and floats are read"
        )
    if stored == "float" and kind not in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB):
        raise ValueError(f"its samples are floats in {kind.name}; float files are read as grey or RGB")
    return colours


def _channels_last(page: TiffPage) -> NDArray:
    """(H, W, C): unsigned integers spread over all of 8 or 16 bits, or float32."""
    stored = page.asarray()
    if stored.ndim == 2:
        stored = stored[..., None]
    elif page.planarconfig == 2:
        stored = np.moveaxis(stored, 0, -1)
    if stored.dtype.kind == "f":
        return stored.astype(np.float32, copy=False)
    if page.compression == 7 or page.bitspersample in (8, 16) or page.photometric == PHOTOMETRIC.PALETTE:
        return stored
    kind = np.uint8 if page.bitspersample < 8 else np.uint16
    return np.rint(stored * (np.iinfo(kind).max / (2**page.bitspersample - 1))).astype(kind)


def _divide_by_alpha(samples: NDArray, alpha: NDArray) -> NDArray:
    """Colours without the alpha they were multiplied by; black where it is zero."""
    peak = np.float32(np.iinfo(samples.dtype).max)
    share = np.maximum(alpha, 1)[..., None] / peak
    return np.rint(np.minimum(samples / share, peak)).astype(samples.dtype)
