"""Bringing the frames of a hand-held bracket into line: one shift, and if it helps one rotation, per frame.

Frames of different exposure are compared after the darker one has been given the histogram of the brighter one, which
also clips its highlights where those of the brighter one are clipped, so that both show the same. The motion between
neighbours is then the one of highest correlation (ECC: Evangelidis and Psarakis, IEEE TPAMI 30(10), 2008), found from
coarse to fine; motions are chained up to the frame that stays. Things that moved within the scene are not followed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_FINEST, _COARSEST = 1024, 96  # longer side at which motion is measured, in pixels
_LEVELS = 1024  # of the histograms
_BLUR = 5  # pixels, of the filter before correlation
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
_LEAST_CORRELATION = 0.6
_FARTHEST = 0.1  # share of the longer side: a larger shift is a mistake, or another scene
_WORTHWHILE = 0.9  # a rotation has to leave less than this share of what correlation lacks with a shift alone
_STILL = 0.15  # pixels: smaller motions are not worth an interpolation

Matrix = NDArray[np.float64]
Plane = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Move:
    """What was done to a frame."""

    right: float = 0.0
    """Pixels by which the middle of the picture was moved to the right."""
    down: float = 0.0
    """Likewise downwards."""
    rotation: float = 0.0
    """Degrees, clockwise as seen."""
    correlation: float = 1.0
    """With the neighbour that it was compared with, after the motion; 1 is the best."""
    trusted: bool = True
    """Whether the motion could be told; a frame whose motion is in doubt stays where it is."""
    moved: bool = False
    """Whether it was: motions too small to matter are left alone."""


def align(frames: Sequence[Tensor], base: int) -> tuple[list[Tensor], list[Move]]:
    """Frames moved onto frame ``base``, and cut to the part that all of them show.

    Args:
        frames: display (3, H, W) each, sorted from dark to bright, of one size.
        base: the frame that stays.

    Returns:
        Frames of one size, at most the old one (bicubic, clamped to [0, 1] where they were moved), and what was done.
    """
    height, width = frames[0].shape[-2:]
    motions: list[Matrix] = [np.eye(3) for _ in frames]
    correlations, trusted = [1.0] * len(frames), [True] * len(frames)
    greys, scale = _greys(frames)
    for index in [*range(base - 1, -1, -1), *range(base + 1, len(frames))]:
        neighbour = index + 1 if index < base else index - 1
        motion, correlations[index] = _motion(greys[neighbour], greys[index], index < neighbour)
        trusted[index] = trusted[neighbour] and correlations[index] >= _LEAST_CORRELATION
        if trusted[index]:
            motions[index] = _rescaled(motion, scale) @ motions[neighbour]
    moves = [_described(*found, (height, width)) for found in zip(motions, correlations, trusted, strict=True)]
    applied = [motion for motion, move in zip(motions, moves, strict=True) if move.moved]
    top, bottom, left, right = _common(applied, (height, width))
    return [
        (_warped(frame, motion) if move.moved else frame)[:, top:bottom, left:right].contiguous()
        for frame, motion, move in zip(frames, motions, moves, strict=True)
    ], moves


def _greys(frames: Sequence[Tensor]) -> tuple[list[Plane], tuple[float, float]]:
    """Frames as grey planes of at most ``_FINEST`` pixels, and the size (x, y) of a pixel in those of the frames."""
    height, width = frames[0].shape[-2:]
    shrink = min(1.0, _FINEST / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    planes = [np.ascontiguousarray(frame.mean(dim=0).numpy()) for frame in frames]
    if shrink < 1:
        planes = [np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA)) for plane in planes]
    return [plane.astype(np.float32) for plane in planes], (width / size[0], height / size[1])


def _motion(still: Plane, moving: Plane, moving_is_darker: bool) -> tuple[Matrix, float]:
    """``still(x) = moving(motion x)``, homogeneous, and the correlation that it reaches; 0 where nothing was found."""
    dark, bright = (moving, still) if moving_is_darker else (still, moving)
    dark, bright = _matched(dark, bright)
    moving, still = (dark, bright) if moving_is_darker else (bright, dark)
    sides = [max(still.shape)]
    while sides[-1] / 2 >= _COARSEST:
        sides.append(sides[-1] / 2)
    shift: Matrix = np.eye(3)
    correlation = 0.0
    for side in reversed(sides):
        small, scale = _reduced([still, moving], side)
        shift, correlation = _correlate(small[0], small[1], shift, scale, cv2.MOTION_TRANSLATION)
    rotated, better = _correlate(still, moving, shift, (1.0, 1.0), cv2.MOTION_EUCLIDEAN)
    if 1 - better < _WORTHWHILE * (1 - correlation):
        shift, correlation = rotated, better
    middle = np.array([still.shape[1] / 2, still.shape[0] / 2, 1.0])
    too_far = np.abs(shift @ middle - middle).max() > _FARTHEST * max(still.shape)
    return shift, 0.0 if too_far else correlation


def _correlate(
    still: Plane, moving: Plane, start: Matrix, scale: tuple[float, float], kind: int
) -> tuple[Matrix, float]:
    """A motion in pixels of the finest level, refined on planes whose pixels are ``scale`` of those."""
    first = _rescaled(start, (1 / scale[0], 1 / scale[1]))[:2].astype(np.float32)
    try:
        correlation, found = cv2.findTransformECC(still, moving, first, kind, _STOP, None, _BLUR)
    except cv2.error:  # does not converge, or there is nothing to see
        return start, 0.0
    if not (np.isfinite(found).all() and math.isfinite(correlation)):
        return start, 0.0
    return _rescaled(np.vstack([found, [0.0, 0.0, 1.0]]).astype(np.float64), scale), float(correlation)


def _reduced(planes: list[Plane], side: float) -> tuple[list[Plane], tuple[float, float]]:
    height, width = planes[0].shape
    shrink = side / max(height, width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = [np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32) for plane in planes]
    return small, (width / size[0], height / size[1])


def _matched(dark: Plane, bright: Plane) -> tuple[Plane, Plane]:
    """The dark plane with the histogram of the bright one, and the bright one in the same steps."""
    steps = [np.clip(np.round(plane * (_LEVELS - 1)), 0, _LEVELS - 1).astype(np.int64) for plane in (dark, bright)]
    counts = [np.bincount(step.ravel(), minlength=_LEVELS) / step.size for step in steps]
    middles = np.cumsum(counts[0]) - counts[0] / 2
    table = np.searchsorted(np.cumsum(counts[1]), middles).clip(0, _LEVELS - 1)
    top = np.float32(_LEVELS - 1)
    return table[steps[0]].astype(np.float32) / top, steps[1].astype(np.float32) / top


def _rescaled(motion: Matrix, scale: tuple[float, float]) -> Matrix:
    """A motion between pictures whose pixels are ``scale`` (x, y) smaller; centres lie at half-integers there."""
    to_large = np.array([[scale[0], 0, scale[0] / 2 - 0.5], [0, scale[1], scale[1] / 2 - 0.5], [0, 0, 1]])
    return np.asarray(to_large @ motion @ np.linalg.inv(to_large))


def _described(motion: Matrix, correlation: float, trusted: bool, size: tuple[int, int]) -> Move:
    height, width = size
    corners = np.array([[0, width, 0, width, width / 2], [0, 0, height, height, height / 2], [1, 1, 1, 1, 1]])
    displaced = (corners - motion @ corners)[:2]
    return Move(
        right=round(float(displaced[0, -1]), 2),
        down=round(float(displaced[1, -1]), 2),
        rotation=round(math.degrees(math.atan2(-motion[1, 0], motion[0, 0])), 3) + 0.0,
        correlation=round(correlation, 4),
        trusted=trusted,
        moved=bool(np.abs(displaced).max() >= _STILL),
    )


def _common(motions: Sequence[Matrix], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the largest upright rectangle about which every motion leads into the frame."""
    height, width = size
    top, bottom, left, right = 0.0, height - 1.0, 0.0, width - 1.0
    for motion in motions:
        corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
        x, y = (np.linalg.inv(motion) @ corners)[:2]
        top, bottom = max(top, y[0], y[1]), min(bottom, y[2], y[3])
        left, right = max(left, x[0], x[2]), min(right, x[1], x[3])
    return math.ceil(top), math.floor(bottom) + 1, math.ceil(left), math.floor(right) + 1


def _warped(frame: Tensor, motion: Matrix) -> Tensor:
    height, width = frame.shape[-2:]
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    planes = [
        cv2.warpAffine(plane.numpy(), motion[:2], (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for plane in frame
    ]
    return torch.from_numpy(np.stack(planes)).clamp(0, 1)
