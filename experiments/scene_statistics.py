"""Figures of scene-referred pictures: dynamic range, spectrum, colour. The same for generated scenes and real files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hdr.data.panoramas import PanoramaViews, place_of
from hdr.data.scenes.light import luminance
from hdr.errors import UserError
from hdr.io import read_image

Array = npt.NDArray[np.float32]

SIDE = 256  # pixels of the square that spectra are taken of


class Figures(NamedTuple):
    """What is measured of one picture."""

    stops: float
    """log2 of the greatest luminance over the 1st percentile."""
    inner: float
    """log2 of the 99.9th over the 1st percentile of luminance, which a small sun or lamp does not move."""
    slope: float
    """Exponent a of the amplitude spectrum 1/f**a of log-luminance."""
    slope_linear: float
    """The same of luminance itself."""
    saturation: float
    """Median over the picture of (greatest - least) / greatest of linear R, G, B."""


def measure(linear: Array) -> Figures:
    """Figures of a picture (3, h, w), linear Rec. 709 in any unit; at least 32 pixels each way."""
    light = luminance(linear).astype(np.float64)
    low, high = np.percentile(light[light > 0], [1.0, 99.9])
    most = linear.max(axis=0)
    seen = most > 0
    return Figures(
        stops=float(np.log2(light.max() / low)),
        inner=float(np.log2(high / low)),
        slope=spectrum_slope(np.log2(np.maximum(light, low / 4))),
        slope_linear=spectrum_slope(light),
        saturation=float(np.median((most - np.maximum(linear.min(axis=0), 0.0))[seen] / most[seen])),
    )


def spectrum_slope(plane: npt.NDArray[Any]) -> float:
    """Exponent a of the amplitude spectrum 1/f**a of a plane's middle square.

    The square of at most 256 pixels is freed of its mean and windowed (Hann); power is averaged over all orientations
    in each of the octaves from 4 cycles per picture to a quarter cycle per pixel, and a line fitted to the logarithms
    (Field 1987, *Relations between the statistics of natural images and the response properties of cortical cells*).
    """
    side = min(*plane.shape, SIDE)
    top, left = (plane.shape[0] - side) // 2, (plane.shape[1] - side) // 2
    square = plane[top : top + side, left : left + side].astype(np.float64)
    hann = np.hanning(side + 2)[1:-1]
    window = hann[:, None] * hann[None, :]
    square = (square - (square * window).sum() / window.sum()) * window
    power = np.abs(np.fft.fft2(square)) ** 2
    cycles = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :]) * side
    edges = 2.0 ** np.arange(2, np.log2(side) - 1.99)
    amplitude = [power[(cycles >= a) & (cycles < b)].mean() for a, b in pairwise(edges)]
    return -float(np.polyfit(np.log2(edges[:-1]), 0.5 * np.log2(np.maximum(amplitude, 1e-30)), 1)[0])


def real_pictures(folder: Path, views: int = 4) -> Iterator[tuple[str, str, Array]]:
    """(kind, name, linear (3, h, w)) of the HDR files below a folder: photographs as they are, panoramas as ``views``
    perspective views each. Charts (folders named ``patterns``), pictures without colour and second copies of a picture
    are left out."""
    logger = logging.getLogger("hdr.data.panoramas")
    logger.disabled = True  # photographs are no panoramas, which need not be said
    try:
        panoramas = PanoramaViews(folder, (SIDE, SIDE * 4 // 3), views=views)
    except UserError:
        panoramas = None  # photographs only
    finally:
        logger.disabled = False
    taken = set(panoramas.paths) if panoramas is not None else set()
    for path in sorted(folder.rglob("*")):
        known = path.suffix.lower() in (".exr", ".hdr") and path not in taken
        if not known or "patterns" in path.parts or path.stem == "XYZ":
            continue
        linear = read_image(path).pixels.numpy()
        if linear.shape[0] == 3 and min(linear.shape[1:]) >= SIDE:
            yield "photograph", path.stem, np.maximum(np.nan_to_num(linear, nan=0.0, posinf=65504.0), 0.0)
    places = set()
    if panoramas is None:
        return
    for number, path in enumerate(panoramas.paths):
        place = place_of(path)
        if place in places:
            continue
        places.add(place)
        for view in range(views):
            scene = panoramas.scene(number * views + view, np.random.default_rng([number, view]))
            yield "view", scene.name, scene.linear
