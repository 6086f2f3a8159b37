"""Bayer mosaics: taking one colour per site, and putting the other two back.

A pattern is named by the colours of the top-left 2x2 block, row by row: RGGB, BGGR, GRBG or GBRG. Nothing here clamps:
values above 1 and below 0 survive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Demosaicing = Literal["malvar", "bilinear"]

_CHANNELS = {"RGGB": (0, 1, 1, 2), "BGGR": (2, 1, 1, 0), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1)}
PATTERNS = tuple(_CHANNELS)


def pattern_channels(pattern: str) -> tuple[int, int, int, int]:
    """The RGB channel (0, 1, 2) of each site of the 2x2 block, row by row. ValueError for any other arrangement."""
    if pattern not in _CHANNELS:
        raise ValueError(f"Bayer pattern {pattern!r}: wanted one of {', '.join(PATTERNS)}")
    return _CHANNELS[pattern]


def crop_pattern(pattern: str, top: int, left: int) -> str:
    """The pattern of a mosaic without its first ``top`` rows and ``left`` columns.

    A mosaic flipped upside down begins with its last row, so its pattern is ``crop_pattern(pattern, H - 1, 0)`` for an
    even H and ``pattern`` for an odd one, as the formula gives; likewise for columns.
    """
    pattern_channels(pattern)
    return "".join(pattern[2 * ((row + top) % 2) + (column + left) % 2] for row in (0, 1) for column in (0, 1))


def mosaic(linear: Tensor, pattern: str) -> Tensor:
    """Keep the one colour that the sensor has at each site: (N, 3, H, W) to (N, 1, H, W), any size.

    Raises:
        ValueError: another shape or pattern.
    """
    channels = pattern_channels(pattern)
    if linear.ndim != 4 or linear.shape[1] != 3:
        raise ValueError(f"a mosaic is made from (N, 3, H, W), got {tuple(linear.shape)}")
    sites = linear.new_empty((linear.shape[0], 1, *linear.shape[2:]))
    for site, channel in enumerate(channels):
        row, column = divmod(site, 2)
        sites[:, 0, row::2, column::2] = linear[:, channel, row::2, column::2]
    return sites


def bin_mosaic(mosaic: Tensor, pattern: str) -> Tensor:
    """One RGB pixel per 2x2 block: R, the mean of both G, B. (N, 1, H, W) to (N, 3, H // 2, W // 2).

    An odd last row or column is dropped. The colours of a block are taken as if they were at one place, its centre:
    R and B are half a pixel of the result apart from each other along the diagonal.

    Raises:
        ValueError: another shape or pattern.
    """
    channels = pattern_channels(pattern)
    height, width = _checked_size(mosaic)
    planes = _planes(mosaic[..., : height // 2 * 2, : width // 2 * 2])
    red, blue = (planes[channels.index(channel)] for channel in (0, 2))
    first, second = (plane for plane, channel in zip(planes, channels, strict=True) if channel == 1)
    return torch.stack([red, (first + second) / 2, blue], 1)


def demosaic(mosaic: Tensor, pattern: str, method: Demosaicing = "malvar") -> Tensor:
    """Estimate the two colours that each site of a mosaic lacks: (N, 1, H, W) to (N, 3, H, W), any size from 2x2.

    ``"bilinear"``: the mean of the two or four nearest sites of the wanted colour. ``"malvar"``: the same plus a share
    of the Laplacian of the colour that was measured there, linear filters of 5x5. Both keep what was measured, are
    exact where each colour is constant or a linear ramp, and are linear, so that they may come before or after an
    exposure. Malvar's filters overshoot at edges by design: results may be negative or above the greatest input.
    They assume that colours change together, which holds after white balance rather than before.

    Borders: beyond an edge, the outermost two rows (columns) repeat, so that every site keeps its colour. A value that
    is not finite spoils its 5x5 (3x3) neighbourhood only. The gradient is exact.

    Source: Malvar, He and Cutler, High-quality linear interpolation for demosaicing of Bayer-patterned color images,
    ICASSP 2004, figure 2.

    Raises:
        ValueError: another shape, pattern or method, or a side of one.
    """
    channels = pattern_channels(pattern)
    height, width = _checked_size(mosaic)
    if method not in ("malvar", "bilinear"):
        raise ValueError(f"demosaicing {method!r}: wanted malvar or bilinear")
    whole = pad(mosaic, (0, width % 2, 0, height % 2), mode="reflect") if height % 2 or width % 2 else mosaic
    blocks = pad(torch.stack(_planes(whole), 1), (1, 1, 1, 1), mode="replicate")
    colours: tuple[list[Tensor], ...] = ([], [], [])
    for site, channel in enumerate(channels):
        row, column = divmod(site, 2)
        at = partial(_sites, blocks, row, column)
        if channel == 1:
            horizontal, vertical = _at_green(at, method)
            beside = channels[2 * row + 1 - column]  # the colour of this row
            values = {1: at(0, 0), beside: horizontal, 2 - beside: vertical}
        else:
            green, opposite = _at_red_or_blue(at, method)
            values = {channel: at(0, 0), 1: green, 2 - channel: opposite}
        for wanted, planes in enumerate(colours):
            planes.append(values[wanted])
    together = torch.stack([plane for planes in colours for plane in planes], 1).unflatten(1, (3, 2, 2))
    return together.permute(0, 1, 4, 2, 5, 3).reshape(-1, 3, *whole.shape[2:])[..., :height, :width]


def _planes(mosaic: Tensor) -> list[Tensor]:
    """Views (N, h, w) of the four sites of all blocks. In main memory, faster than pixel_unshuffle."""
    return [mosaic[:, 0, row::2, column::2] for row in (0, 1) for column in (0, 1)]


def _sites(blocks: Tensor, row: int, column: int, down: int, right: int) -> Tensor:
    """(N, h, w): of every block, the value so far from its site (row, column). ``blocks`` has one more all around."""
    down, right = row + down + 2, column + right + 2
    height, width = blocks.shape[2] - 2, blocks.shape[3] - 2
    plane = blocks[:, 2 * (down % 2) + right % 2]
    return plane[:, down // 2 : down // 2 + height, right // 2 : right // 2 + width]


def _at_green(at: Callable[[int, int], Tensor], method: Demosaicing) -> tuple[Tensor, Tensor]:
    """At green sites, the colours of the horizontal and of the vertical neighbours."""
    horizontal, vertical = (at(0, -1) + at(0, 1)) / 2, (at(-1, 0) + at(1, 0)) / 2
    if method == "bilinear":
        return horizontal, vertical
    along, across = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    rest = at(0, 0) * 0.625 - (at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)) * 0.125
    return (
        horizontal + rest - along * 0.125 + across * 0.0625,
        vertical + rest - across * 0.125 + along * 0.0625,
    )


def _at_red_or_blue(at: Callable[[int, int], Tensor], method: Demosaicing) -> tuple[Tensor, Tensor]:
    """At red (blue) sites: green and blue (red)."""
    green = (at(0, -1) + at(0, 1) + at(-1, 0) + at(1, 0)) / 4
    opposite = (at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)) / 4
    if method == "bilinear":
        return green, opposite
    laplacian = at(0, 0) - (at(0, -2) + at(0, 2) + at(-2, 0) + at(2, 0)) / 4
    return green + laplacian / 2, opposite + laplacian * 0.75


def _checked_size(mosaic: Tensor) -> tuple[int, int]:
    if mosaic.ndim != 4 or mosaic.shape[1] != 1 or min(mosaic.shape[2:]) < 2:
        raise ValueError(f"a mosaic is (N, 1, H, W) of at least 2 x 2, got {tuple(mosaic.shape)}")
    return mosaic.shape[2], mosaic.shape[3]
