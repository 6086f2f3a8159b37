"""Real brackets: frames of one scene at several exposures, as a stack whose members can be chosen and fused."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from hdr.data.photos import limit_long_edge
from hdr.errors import UserError
from hdr.io.exposure_checks import Exposure
from hdr.io.metadata import Metadata
from hdr.ops.camera import KEY, log_average, quantise
from hdr.ops.encoding import linear_to_srgb, srgb_to_linear
from hdr.ops.fusion import Weighting, exposure_fusion
from hdr.ops.resize import resize_antialiased
from hdr.ops.subset_fusion import SubsetFusion
from tasks.exposure_selection.alignment import Move, align
from tasks.exposure_selection.finding import SAME
from tasks.exposure_selection.ladder import Anchor, Stack, render
from tasks.exposure_selection.scoring import score_subsets
from tasks.exposure_selection.shots import Facts, Shot, amount_of_light, read_facts, read_shot
from tasks.exposure_selection.subsets import all_subsets

log = logging.getLogger(__name__)

_WHITE = 254.5 / 255  # what an 8-bit file rounds to white
_MOST_WHITE = 0.01  # share of white pixels that a well metered frame may have
_HINT = "give the EV of each frame, in the order of names, as selection.bracket_evs=[-2,0,2]"
_CELLS = 32  # along each side, in which frames are compared
_DARKER, _MOST_DARKER = 0.03, 0.25  # display; share of cells in which a longer exposure may be darker


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a bracket, upright."""

    path: Path
    display: Tensor
    """(3, H, W), sRGB-encoded in [0, 1]."""
    exposure: Exposure
    metadata: Metadata


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """A bracket that was read, from its darkest frame to its brightest."""

    stack: Stack
    frames: tuple[Frame, ...]
    """The files behind the stack, in its order; their pictures are those of the stack."""
    base: int
    """The frame at EV 0."""
    moves: tuple[Move, ...]
    """How frames were brought into line; empty where that was not asked for."""


def read_bracket(
    paths: Sequence[str | os.PathLike[str]],
    *,
    evs: Sequence[float] | None = None,
    anchor: Anchor = "highlights",
    long_edge: int | None = None,
    alignment: bool = True,
    name: str | None = None,
) -> Frames:
    """Read the frames of one bracket.

    The EV of a frame is log2(t ISO / N^2) by its EXIF, after the rules of :mod:`hdr.io.exposure_checks`, relative to
    the frame that serves as the preview. That frame is the one which is metered as the previews of a score table are:
    with ``highlights`` the longest exposure of whose pixels at most 1 % are white in a channel (the darkest frame where
    all have more), with ``log_average`` the one whose log-average luminance is nearest to middle grey.

    RAW files are developed linear with the white balance of the first of them, clipped at saturation and sRGB-encoded;
    EXR files count as RAW that saturates at 1.0. Reduction is done in linear light. What files of 8 bits hold, and
    reduced frames, are multiples of 1/255, before they are moved.

    Args:
        paths: the frames, in any order.
        evs: EV of each, in the order of ``paths``, where EXIF does not tell or is wrong; the preview is the one at 0.
        anchor: see above.
        long_edge: largest side of the frames; None: as in the files.
        alignment: bring the frames into line (:mod:`tasks.exposure_selection.alignment`).
        name: ``id`` of the stack; by default the name of the first file.

    Raises:
        UserError: fewer than two frames; sizes, kinds of file or stated facts that differ; unknown or identical
            exposures; a frame that cannot be read; longer exposures that are darker, which shows another scene.
    """
    files = [Path(path).absolute() for path in paths]
    _check_number(files)
    levels = _stated(files, evs) if evs is not None else _by_exif(files)
    order = sorted(range(len(files)), key=levels.__getitem__)
    for before, after in pairwise(order):
        if levels[after] - levels[before] < SAME:
            raise UserError(
                f"{files[before]} and {files[after].name} have the same exposure "
                f"({levels[after] - levels[before]:.2f} EV apart); leave one of them out"
            )
    frames = read_frames([files[index] for index in order], long_edge=long_edge)
    _check_scene(frames)
    rising = [levels[index] for index in order]
    base = _base(frames, anchor) if evs is None else min(range(len(rising)), key=lambda index: abs(rising[index]))
    frames, moves = aligned(frames, base) if alignment else (frames, [])
    display = torch.stack([frame.display for frame in frames])
    stack = Stack(
        display=display,
        evs=tuple(round(level - rising[base], 4) + 0.0 for level in rising),
        id=name or frames[0].path.stem,
        group=str(frames[0].path.parent),
    )
    frames = [replace(frame, display=picture) for frame, picture in zip(frames, display, strict=True)]  # kept once
    return Frames(stack=stack, frames=tuple(frames), base=base, moves=tuple(moves))


def read_frames(files: Sequence[Path], *, long_edge: int | None = None) -> list[Frame]:
    """Frames of one scene, developed alike, in the order of ``files``; their exposures are not looked at.

    Raises:
        UserError: fewer than two, sizes or kinds of file that differ, a frame that cannot be read.
    """
    _check_number(files)
    frames: list[Frame] = []
    gains: tuple[float, float, float] | None = None
    first: tuple[bool, tuple[int, int]] | None = None
    for path in files:
        shot = read_shot(path, enough=long_edge, gains=gains)
        if shot.raw and shot.light is not None:
            gains = gains or shot.light.gains
        first = first or (shot.raw, shot.size)
        if shot.raw != first[0]:
            raise UserError(f"{path}: a bracket holds RAW files or finished pictures, not both; leave one kind out")
        if shot.size != first[1]:
            sizes = [f"{width} x {height}" for height, width in (shot.size, first[1])]
            raise UserError(
                f"{path}: {sizes[0]} pixels, and {files[0].name} of the same bracket has {sizes[1]}; the frames of a "
                "bracket have one size, upright"
            )
        display = _display(shot, long_edge)
        frames.append(Frame(path=path, display=display, exposure=shot.exposure, metadata=shot.metadata))
    return frames


def aligned(frames: Sequence[Frame], base: int) -> tuple[list[Frame], list[Move]]:
    """Frames, sorted from dark to bright, brought into line with frame ``base``; doubts are logged."""
    pictures, moves = align([frame.display for frame in frames], base)
    for frame, move in zip(frames, moves, strict=True):
        if move.moved:
            numbers = move.right, move.down, move.rotation
            log.info("%s: moved by %+.1f, %+.1f pixels, %+.2f degrees", frame.path.name, *numbers)
        elif not move.trusted:
            log.warning(
                "%s: could not be brought into line (correlation %.2f) and stays as it is", frame.path, move.correlation
            )
    return [replace(frame, display=picture) for frame, picture in zip(frames, pictures, strict=True)], moves


def score_bracket(
    stack: Stack, members: int, figures: Sequence[str] = ("psnr",), weighting: Weighting | str = "opencv"
) -> tuple[Tensor, dict[str, Tensor]]:
    """All subsets of ``members`` frames against the fusion of all frames.

    Returns:
        Subsets (S, members), and per figure of :data:`tasks.exposure_selection.scoring.FIGURES` their scores (S,).

    Raises:
        UserError: more members than frames, or an unknown figure.
    """
    subsets = all_subsets(stack.evs, members)
    reference = exposure_fusion(stack.display[None], weighting)[0].clamp(0, 1)
    return subsets, score_subsets(SubsetFusion(stack.display, weighting), stack.display, subsets, reference, figures)


def _check_number(files: Sequence[Path]) -> None:
    if len({path.resolve() for path in files}) < len(files):
        raise UserError(f"{files[0]}: a bracket names each of its frames once, and here a file comes twice")
    if len(files) < 2:
        where = f"{files[0]} is one frame" if files else "no frame was named"
        raise UserError(f"{where}; a bracket has two and more, of one scene at different exposures")


def _stated(files: Sequence[Path], evs: Sequence[float]) -> list[float]:
    if len(evs) != len(files):
        raise UserError(
            f"bracket_evs: {len(evs)} exposures for {len(files)} frames; give one per frame, in the order of names"
        )
    if not all(abs(ev) <= 30 for ev in evs):
        raise UserError(f"bracket_evs: {list(evs)}; accepted are stops relative to the preview, from -30 to 30")
    if min(abs(ev) for ev in evs) > 1e-6:
        raise UserError(
            f"bracket_evs: {list(evs)} has no 0, which is the exposure of the preview that the others relate to"
        )
    return [float(ev) for ev in evs]


def _by_exif(files: Sequence[Path]) -> list[float]:
    facts: dict[Path, Facts] = {path: read_facts(path) for path in files}
    untimed = [path.name for path in files if facts[path].exposure.exposure_time is None]
    if untimed:
        raise UserError(
            f"{files[0].parent}: {len(untimed)} of {len(files)} frames state no exposure time that can be believed "
            f"({', '.join(untimed)}); {_HINT}"
        )
    for field in ("aperture", "iso"):
        silent = [path.name for path in files if getattr(facts[path].exposure, field) is None]
        if silent and len(silent) < len(files):
            raise UserError(
                f"{files[0].parent}: {', '.join(silent)} of this bracket state no {field} and the others do, so that "
                f"their exposures cannot be compared; {_HINT}"
            )
    return [amount_of_light(facts[path].exposure) or 0.0 for path in files]


def _display(shot: Shot, long_edge: int | None) -> Tensor:
    if shot.light is not None:
        if shot.metadata.hdr is not None:
            raise UserError(
                f"{shot.path}: this is an HDR picture ({shot.metadata.hdr.kind}), not one exposure of a bracket"
            )
        light = shot.light
        light = replace(light, linear=limit_long_edge(light.linear, long_edge))
        return render(light, [0.0], 0.0, bits=None if long_edge is None else 8)[0]
    assert shot.display is not None
    display = shot.display.clamp(0, 1)
    if long_edge is None or max(display.shape[-2:]) <= long_edge:
        return display
    return quantise(linear_to_srgb(limit_long_edge(srgb_to_linear(display), long_edge)))


def _base(frames: Sequence[Frame], anchor: Anchor) -> int:
    if anchor == "highlights":
        white = [float((frame.display.amax(dim=0) >= _WHITE).float().mean()) for frame in frames]
        return max((index for index, share in enumerate(white) if share <= _MOST_WHITE), default=0)
    levels = torch.stack([log_average(srgb_to_linear(frame.display)[None])[0] for frame in frames])
    return int(torch.log2(levels / KEY).abs().argmin())


def _check_scene(frames: Sequence[Frame]) -> None:
    """Refuse pictures that get darker where they should get brighter."""
    small = [resize_antialiased(frame.display, (_CELLS, _CELLS)).mean(dim=0) for frame in frames]
    for (frame, dark), (other, bright) in pairwise(zip(frames, small, strict=True)):
        share = float((bright < dark - _DARKER).float().mean())
        if share > _MOST_DARKER:
            raise UserError(
                f"{other.path}: said to be a longer exposure than {frame.path.name}, and {share:.0%} of it is darker; "
                "these are not frames of one scene, or their exposures are stated wrongly. Name photos of different "
                f"scenes one by one or by a pattern instead of their folder; otherwise {_HINT}"
            )
