"""The simulated camera as one would write it down in float32 numpy, a picture at a time: the benchmark's baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SITES = [(np.s_[row::2, column::2], channel) for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))]
"""RGGB."""


def exposed_sites(light: np.ndarray, ev: float) -> np.ndarray:
    """(3, H, W) to (H, W): stops, and the colour of each site."""
    light = light * np.float32(2.0**ev)
    sites = np.empty(light.shape[1:], np.float32)
    for at, channel in _SITES:
        sites[at] = light[channel][at]
    return sites


def with_noise(sites: np.ndarray, shot: float, read: float, rng: np.random.Generator) -> np.ndarray:
    """Variance S x + O."""
    return sites + rng.standard_normal(sites.shape, np.float32) * np.sqrt(shot * sites + read)


def digitised(sites: np.ndarray, black: Sequence[float], white: float) -> np.ndarray:
    """Black level, clip, rounding."""
    offset = _plane(black, sites)
    return np.round(np.clip(sites * (white - offset) + offset, 0, white))


def developed(
    raw: np.ndarray,
    black: Sequence[float],
    white: float,
    white_balance: Sequence[float],
    matrix: Sequence[Sequence[float]],
) -> np.ndarray:
    """(H, W) to linear (3, H, W): black level, white balance, neutral highlights, Malvar's filters, matrix."""
    offset = _plane(black, raw)
    gains = _plane([white_balance[channel] for _, channel in _SITES], raw)
    balanced = np.minimum((raw - offset) / (white - offset) * gains, np.float32(min(white_balance)))
    return np.tensordot(np.array(matrix, np.float32), _malvar(balanced), 1)


def display(linear: np.ndarray, shoulder: float, contrast: float) -> np.ndarray:
    """Clip, shoulder, sRGB, S-curve, 8 bits."""
    linear = np.clip(linear, 0, 1)
    linear = linear * (1 + shoulder) / (1 + shoulder * linear)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    up, down = encoded**contrast, (1 - encoded) ** contrast
    return (np.round(up / (up + down) * 255) / 255).astype(np.float32)


def _plane(of_sites: Sequence[float], like: np.ndarray) -> np.ndarray:
    plane = np.empty_like(like)
    for (at, _), value in zip(_SITES, of_sites, strict=True):
        plane[at] = value
    return plane


def _malvar(sites: np.ndarray) -> np.ndarray:
    height, width = sites.shape
    rows = np.concatenate([sites[:2], sites, sites[-2:]])
    wide = np.concatenate([rows[:, :2], rows, rows[:, -2:]], 1)

    def at(down: int, right: int) -> np.ndarray:
        return wide[2 + down : 2 + down + height, 2 + right : 2 + right + width]

    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    along, across = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    green = (4 * sites + 2 * (beside + above) - along - across) / 8
    in_row = (5 * sites + 4 * beside - corners - along + across / 2) / 8
    in_column = (5 * sites + 4 * above - corners - across + along / 2) / 8
    opposite = (6 * sites + 2 * corners - 1.5 * (along + across)) / 8
    result = np.stack([sites] * 3)
    result[1, 0::2, 0::2], result[1, 1::2, 1::2] = green[0::2, 0::2], green[1::2, 1::2]
    result[0, 0::2, 1::2], result[2, 1::2, 0::2] = in_row[0::2, 1::2], in_row[1::2, 0::2]
    result[0, 1::2, 0::2], result[2, 0::2, 1::2] = in_column[1::2, 0::2], in_column[0::2, 1::2]
    result[0, 1::2, 1::2], result[2, 0::2, 0::2] = opposite[1::2, 1::2], opposite[0::2, 0::2]
    return result
