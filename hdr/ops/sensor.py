"""A sensor's part in a picture: from light to the numbers of a RAW file, and from those back to linear RGB.

The order is that of a camera. Light is exposed, each site sees one colour, noise comes on top, and the converter clips
and rounds: saturation happens before white balance. Parameters may differ per picture of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from hdr.ops._parameters import per_image
from hdr.ops._shortcuts import picture_by_picture
from hdr.ops.bayer import PATTERNS as PATTERNS
from hdr.ops.bayer import Demosaicing, pattern_channels
from hdr.ops.bayer import bin_mosaic as bin_mosaic
from hdr.ops.bayer import crop_pattern as crop_pattern
from hdr.ops.bayer import demosaic as demosaic
from hdr.ops.bayer import mosaic as mosaic
from hdr.ops.camera import expose
from hdr.ops.noise import NoiseModel, add_sensor_noise
from hdr.ops.primaries import apply_matrix
from hdr.ops.rounding import round_straight_through

BlackLevel = Tensor | Sequence[float] | float
Highlights = Literal["clip", "keep"]


def normalise(samples: Tensor, black_level: BlackLevel, white_level: Tensor | float) -> Tensor:
    """Sensor values to linear light: black becomes 0, saturation 1. Nothing is clamped: noise goes below 0.

    Args:
        samples: (N, 1, H, W), integer (any width) or floating; integers become float32.
        black_level: one value, four for the sites of the 2x2 block row by row, or (N, 4).
        white_level: one value or (N,), above the black level.
    """
    samples = samples if samples.is_floating_point() else samples.float()
    black, white = _black_plane(black_level, samples), per_image(white_level, samples)
    return (samples - black).div_(white - black)


def digitise(
    linear: Tensor, black_level: BlackLevel, white_level: Tensor | float, straight_through: bool = False
) -> Tensor:
    """Linear light to sensor values: the black level is added, the sum clipped to [0, white level] and rounded.

    Floating point that holds whole numbers, exact for converters of up to 16 bits in float32 (``.to(torch.uint16)``
    for a file).

    Args:
        linear: (N, 1, H, W), 1.0 = saturation.
        black_level: as in :func:`normalise`, whose inverse this is within half a step.
        white_level: one value or (N,).
        straight_through: give the rounding the gradient 1, instead of 0. Clipped values have none in either case.
    """
    black, white = _black_plane(black_level, linear), per_image(white_level, linear)
    values = torch.minimum((linear * (white - black)).add_(black).clamp_(min=0.0), white)
    return round_straight_through(values) if straight_through else torch.round(values)


def capture(
    linear: Tensor,
    *,
    pattern: str,
    black_level: BlackLevel,
    white_level: Tensor | float,
    ev: Tensor | float = 0.0,
    shot: Tensor | float = 0.0,
    read: Tensor | float = 0.0,
    model: NoiseModel = "gaussian",
    straight_through: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take a RAW photograph of light: expose, keep one colour per site, add noise, clip at the full well, digitise.

    Clipping comes after the noise, once: a site that is nearly full may be saturated or not, by chance.

    Args:
        linear: (N, 3, H, W), light in the sensor's own colours; 1.0 fills the well at ``ev`` 0. Values above survive
            up to the clip.
        pattern: Bayer pattern, for all.
        black_level: sensor value of no light, as in :func:`normalise`.
        white_level: sensor value of a full well, one or (N,).
        ev: stops by which the light is scaled, one or (N,).
        shot: S of :func:`hdr.ops.noise.add_sensor_noise` in units of the full well: one, (N,), or for R, G, B (N, 3)
            or (1, 3). :func:`hdr.ops.noise.noise_profile_of_iso` gives values.
        read: O, likewise. Both 0: no noise, and no random numbers are drawn.
        model: of the noise.
        straight_through: as in :func:`digitise`.
        generator: for the noise, of the device of ``linear``.

    Returns:
        (N, 1, H, W) sensor values, whole numbers in [0, white level].

    Raises:
        ValueError: another shape, pattern or noise model.
    """
    sites = expose(mosaic(linear, pattern), ev)
    if any(isinstance(level, Tensor) or level for level in (shot, read)):
        shot_plane, read_plane = (_colour_plane(level, pattern, sites) for level in (shot, read))
        sites = add_sensor_noise(sites, shot_plane, read_plane, generator, model)
    return digitise(sites, black_level, white_level, straight_through)


def develop(
    mosaic: Tensor,
    *,
    pattern: str,
    white_balance: Tensor | Sequence[float],
    matrix: Tensor | None = None,
    highlights: Highlights = "clip",
    method: Demosaicing = "malvar",
) -> Tensor:
    """Linear RGB from a normalised mosaic: white balance, highlights, demosaicing, colour matrix.

    After white balance the channels saturate at different values, so that a saturated neutral area is tinted (magenta,
    as a rule). ``highlights="clip"`` clips every site at the smallest of the three, which makes such areas neutral at
    the price of what the other channels still recorded; ``"keep"`` leaves them for a caller that masks or reconstructs
    them. Demosaicing comes after the balance, which is what its filters assume; at edges it may still overshoot.

    Args:
        mosaic: (N, 1, H, W) from :func:`normalise`, 1.0 = saturation.
        pattern: Bayer pattern.
        white_balance: multipliers of R, G, B, (3,) or (N, 3), the smallest as a rule 1.
        matrix: balanced camera RGB to the wanted primaries, (3, 3) or (N, 3, 3); rows that add up to 1 keep neutral
            colours neutral. None: the result stays in camera RGB.
        highlights: see above.
        method: of :func:`hdr.ops.bayer.demosaic`.

    Returns:
        (N, 3, H, W); with ``"clip"`` white is the smallest multiplier, up to overshoot; nothing else is clamped.

    Raises:
        ValueError: another shape, pattern, method or kind of highlights.
    """
    if highlights not in ("clip", "keep"):
        raise ValueError(f"highlights {highlights!r}: wanted clip or keep")
    gains = torch.as_tensor(white_balance, dtype=mosaic.dtype, device=mosaic.device).view(-1, 3)

    def colours(mosaic: Tensor, gains: Tensor, *matrices: Tensor) -> Tensor:
        balanced = mosaic * _colour_plane(gains, pattern, mosaic)
        if highlights == "clip":
            balanced = torch.minimum(balanced, per_image(gains.amin(-1), mosaic))
        linear = demosaic(balanced, pattern, method)
        return apply_matrix(linear, matrices[0]) if matrices else linear

    return picture_by_picture(colours, mosaic, gains, *([] if matrix is None else [matrix.view(-1, 3, 3)]))


def _black_plane(black_level: BlackLevel, like: Tensor) -> Tensor:
    level = torch.as_tensor(black_level, dtype=like.dtype, device=like.device)
    return _site_plane(level.view(-1, 4), like) if level.ndim else level


def _colour_plane(level: Tensor | float, pattern: str, like: Tensor) -> Tensor:
    """What is given per picture stays so; (M, 3) for R, G, B becomes (M, 1, H, W), the value of each site's colour."""
    level = torch.as_tensor(level, dtype=like.dtype, device=like.device)
    if level.ndim < 2:
        return level
    return _site_plane(level[:, list(pattern_channels(pattern))], like)


def _site_plane(values: Tensor, like: Tensor) -> Tensor:
    """(M, 4), of the sites of a block, to (M, 1, H, W)."""
    height, width = like.shape[-2:]
    return values.view(-1, 1, 2, 2).repeat(1, 1, (height + 1) // 2, (width + 1) // 2)[..., :height, :width]
