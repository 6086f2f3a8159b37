"""``mode=predict``: which exposures to capture, from one photo, RAW file or bracket."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdr.data.photos import limit_long_edge
from hdr.errors import UserError
from hdr.io.exposure_checks import Exposure
from hdr.io.files import image_files, is_image_path
from hdr.metrics.image import psnr
from hdr.ops.fusion import Weighting
from tasks.exposure_selection.brackets import Frames, read_bracket, score_bracket
from tasks.exposure_selection.choice import Choice, Safe, choose, exposures_of
from tasks.exposure_selection.data import to_preview
from tasks.exposure_selection.finding import bracket_in, photographs
from tasks.exposure_selection.fusing import (
    SHOWN,
    fitting,
    fuse,
    refuse_existing,
    result_format,
    write_picture,
    write_row,
)
from tasks.exposure_selection.ladder import Anchor, Light, exif_scalars, preview_ev, render
from tasks.exposure_selection.scoring import FIVE, ReferenceKind, reference_picture
from tasks.exposure_selection.selector import Selector
from tasks.exposure_selection.shots import Shot, read_shot
from tasks.exposure_selection.subsets import Constraints

log = logging.getLogger(__name__)

SMALLEST = 16
"""Pixels along the shorter side below which a picture says nothing about a scene."""
_ENOUGH = 1024  # pixels along the longer side, for a preview
_COMPARED = 10_000  # subsets of a bracket that are compared, which takes a minute
_EQUAL = 60.0  # dB; what is nearer is equal, as both have 8 bits


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a prediction."""

    evs: tuple[float, ...]
    """The exposures to choose from, relative to the photo; a bracket has its own."""
    captures: int
    """How many to choose."""
    preview: int
    """Side of the preview that the network sees."""
    constraints: Constraints = field(default_factory=Constraints)
    always: tuple[float, ...] = ()
    """EVs in all candidates that the network was trained on."""
    figure: str = "psnr"
    """What the network predicts."""
    safe: Safe | None = None
    """What to fall back on."""
    standard_times: bool = True
    """Round shutter times to those that cameras have, in thirds of a stop."""
    anchor: Anchor = "highlights"
    """How HDR pictures are metered, and which frame of a bracket is the preview."""
    fuse: bool = False
    """Write the fused picture of RAW files, HDR pictures and brackets."""
    weighting: Weighting | str = "opencv"
    reference: ReferenceKind = "five"
    """What the fused picture of a RAW file is compared with."""
    alignment: bool = True
    """Bring the frames of brackets into line."""
    bracket_evs: tuple[float, ...] | None = None
    """EV of each frame of a bracket, in the order of names, where EXIF does not tell."""
    overwrite: bool = False


def inputs(value: str, request: Request) -> list[Path]:
    """What ``input`` stands for: files, and folders that are one bracket each.

    A folder, and each folder directly in it, counts as a bracket where all its photographs are one by the rule of
    :func:`tasks.exposure_selection.finding.find_brackets`; otherwise its photographs count one by one, of sub-folders
    only the brackets. Patterns, lists and single files always name photographs one by one.

    Raises:
        UserError: nothing to do, or two inputs whose results would have one name.
    """
    folder = Path(value).expanduser()
    if not folder.is_dir():
        found = image_files(value)
    elif _is_bracket(folder, request):
        found = [folder]
    else:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = [path for path in below if _is_bracket(path, request)]
        if not found or any(is_image_path(path) for path in folder.iterdir()):
            found = [*image_files(folder), *found]
    if request.fuse:
        names: dict[str, Path] = {}
        for path in found:
            other = names.setdefault(_name(path), path)
            if other != path:
                raise UserError(
                    f"input: the results of {other} and {path} would have one name; take them one by one, each with "
                    "its own output="
                )
    return found


def predict_file(network: Selector, path: Path, output: Path, request: Request) -> dict[str, Any]:
    """Choose exposures for one input and, if asked, write what they give below ``output``.

    A finished photo is its own preview, at EV 0. A RAW file is shown as shot: 1.0 is saturation, EV 0 its own exposure.
    An HDR picture is exposed as ``request.anchor`` says. In a bracket the preview is the frame that
    :func:`tasks.exposure_selection.brackets.read_bracket` puts at EV 0, and the choice is among its frames.

    With ``request.fuse`` the chosen exposures of a RAW file or HDR picture are made from it: honest above 0 EV but for
    the noise, which they amplify instead of collecting light; below 0 EV what the file has clipped stays flat and grey.

    Args:
        network: on its device, in eval mode.
        path: one of :func:`inputs`.
        output: a folder that exists.
        request: what is asked.

    Returns:
        Its line of the summary: ``kind``, ``exposures``, ``expected``, ``confidence``, ``safe``, ``alternatives`` and,
        when fused, ``written`` and the ``measured`` PSNR beside the reference; for brackets also ``subsets``:
        the PSNR of every subset of as many frames, the best one, and the regret of the choice, unless there are more
        than 10,000.

    Raises:
        UserError: the input cannot be read or is too small, no choice meets the constraints, or a result that is there.
    """
    if path.is_dir():
        return _bracket(network, path, output, request)
    shot = read_shot(path, enough=_ENOUGH)
    light, preview_stop = _metered(shot, request)
    if light is not None:
        preview = render(replace(light, linear=limit_long_edge(light.linear, _ENOUGH)), [0.0], preview_stop)[0]
    else:
        assert shot.display is not None
        preview = shot.display.clamp(0, 1)
    _refuse_tiny(path, preview)
    # an HDR picture was merged or rendered: what it states is not the exposure of its preview
    exposure = (
        Exposure(exposure_time=None, aperture=None, iso=None)
        if shot.light is not None and not shot.raw
        else shot.exposure
    )
    choice = _choose(network, preview, request.evs, exposure, request)
    kind = "raw" if shot.raw else "photo" if light is None else "hdr"
    facts: dict[str, Any] = {"kind": kind, "clipped": round(shot.clipped, 4)}
    facts |= exposures_of(choice, shot.exposure.exposure_time, standard=request.standard_times)
    if request.fuse and light is None:
        facts["note"] = (
            "a finished picture cannot be exposed anew: fuse=true takes a RAW file or a folder with a bracket"
        )
        log.warning("%s: %s", path, facts["note"])
    elif request.fuse:
        facts |= _fuse_light(path, choice, output, request)
    _say(path, facts)
    return facts


def _bracket(network: Selector, folder: Path, output: Path, request: Request) -> dict[str, Any]:
    paths = photographs(folder) if request.bracket_evs else bracket_in(folder) or photographs(folder)
    read = read_bracket(
        paths,
        evs=request.bracket_evs,
        anchor=request.anchor,
        long_edge=None if request.fuse else _ENOUGH,
        alignment=request.alignment,
        name=folder.name,
    )
    stack = read.stack
    preview = stack.display[read.base]
    _refuse_tiny(folder, preview)
    choice = _choose(network, preview, stack.evs, read.frames[read.base].exposure, request)
    facts: dict[str, Any] = {"kind": "bracket", "frames": [frame.path.name for frame in read.frames]}
    facts |= exposures_of(choice, read.frames[read.base].exposure.exposure_time, standard=False)
    for exposure, member in zip(facts["exposures"], choice.members, strict=True):
        exposure["file"] = read.frames[member].path.name
    if request.fuse:
        facts |= _fuse_bracket(folder, read, choice, output, request)
    _say(folder, facts)
    return facts


def _choose(network: Selector, preview: Tensor, evs: Sequence[float], exposure: Exposure, request: Request) -> Choice:
    return choose(
        network,
        to_preview(preview, request.preview),
        evs,
        request.captures,
        constraints=request.constraints,
        always=request.always,
        figure=request.figure,
        safe=request.safe,
        scalars=exif_scalars(exposure.exposure_time, exposure.iso, exposure.aperture),
    )


def _metered(shot: Shot, request: Request) -> tuple[Light | None, float]:
    """The light of a file, if it has any, and the stops that show it at EV 0."""
    if shot.light is None:
        return None, 0.0
    return shot.light, 0.0 if shot.raw else preview_ev(shot.light, request.anchor)


def _fuse_light(path: Path, choice: Choice, output: Path, request: Request) -> dict[str, Any]:
    picture, side = _targets(path, result_format(path), output, [path], request)
    shot = read_shot(path)
    light, stop = _metered(shot, request)
    assert light is not None
    fused = fuse(render(light, choice.evs, stop, bits=None), request.weighting)
    write_picture(picture, fused, shot.metadata, request.overwrite)
    small = replace(light, linear=limit_long_edge(light.linear, SHOWN))
    five = render(small, FIVE, stop)
    dense = render(small, request.evs, stop) if request.reference == "dense" else five
    exposed = small.linear * 2.0**stop
    reference = reference_picture(request.reference, request.weighting, five=five, dense=dense, linear=exposed)
    shown = fuse(render(small, choice.evs, stop), request.weighting)
    write_row(side, [render(small, [0.0], stop)[0], shown, reference], request.overwrite)
    facts = _measured(shown, reference, [picture, side])
    if shot.light is not None and shot.light.saturation < float("inf") and min(choice.evs) < 0:
        facts["note"] = (
            f"{shot.clipped:.1%} of the file is clipped: below 0 EV its highlights are flat and grey here, where a "
            "real capture has detail"
        )
    return facts


def _fuse_bracket(folder: Path, read: Frames, choice: Choice, output: Path, request: Request) -> dict[str, Any]:
    files = [frame.path for frame in read.frames]
    picture, side = _targets(folder, result_format(files[0]), output, files, request)
    display = read.stack.display
    fused, all_ = fuse(display[choice.members], request.weighting), fuse(display, request.weighting)
    write_picture(picture, fused, read.frames[read.base].metadata, request.overwrite)
    write_row(side, [limit_long_edge(x, SHOWN) for x in (display[read.base], fused, all_)], request.overwrite)
    return {**_measured(fused, all_, [picture, side]), **_compared(read, choice, request)}


def _compared(read: Frames, choice: Choice, request: Request) -> dict[str, Any]:
    """All subsets of a bracket against the fusion of all its frames, reduced: what another choice would have given."""
    members = len(choice.members)
    if math.comb(len(read.stack.evs), members) > _COMPARED:
        return {}
    small = torch.stack([limit_long_edge(frame, SHOWN) for frame in read.stack.display])
    stack = replace(read.stack, display=small)
    subsets, scores = score_bracket(stack, members, weighting=fitting(request.weighting, small))
    figures = [round(min(score, _EQUAL), 2) for score in scores["psnr"].tolist()]
    ordered = sorted(zip(figures, subsets.tolist(), strict=True), key=lambda pair: -pair[0])
    listed = [{"evs": [round(stack.evs[index], 3) for index in subset], "psnr": figure} for figure, subset in ordered]
    chosen = next(figure for figure, subset in ordered if subset == choice.members)
    return {"subsets": {"best": listed[0], "regret": round(listed[0]["psnr"] - chosen, 2), "scores": listed}}


def _targets(source: Path, suffix: str, output: Path, files: Sequence[Path], request: Request) -> tuple[Path, Path]:
    picture, side = output / f"{_name(source)}-fused.{suffix}", output / f"{_name(source)}-side-by-side.jpg"
    refuse_existing([picture, side], files, request.overwrite)
    return picture, side


def _name(source: Path) -> str:
    return source.resolve().name if source.is_dir() else source.stem


def _measured(fused: Tensor, reference: Tensor, written: Sequence[Path]) -> dict[str, Any]:
    figure = min(float(psnr(fused[None], reference[None])[0]), _EQUAL)
    return {"measured": {"psnr": round(figure, 2)}, "written": [str(path) for path in written]}


def _is_bracket(folder: Path, request: Request) -> bool:
    if request.bracket_evs:
        return len(photographs(folder)) == len(request.bracket_evs)
    return bracket_in(folder) is not None


def _refuse_tiny(path: Path, preview: Tensor) -> None:
    height, width = preview.shape[-2:]
    if min(height, width) < SMALLEST:
        raise UserError(f"{path}: {width} x {height} pixels say too little of a scene; wanted are {SMALLEST} and more")


def _say(path: Path, facts: dict[str, Any]) -> None:
    """One line for the terminal."""
    parts = [
        f"{exposure['ev']:+.2f} EV" + (f" ({exposure['shutter']})" if "shutter" in exposure else "")
        for exposure in facts["exposures"]
    ]
    line = f"{path.name}: capture {' and '.join(parts)}"
    if facts["expected"]:
        line += f"; {facts['expected']['text']} expected"
    if facts["confidence"] is not None:
        line += f", confidence {facts['confidence']:.0%}"
    log.info("%s%s", line, "; the safe choice, as the model is not sure" if facts["safe"] else "")
