"""``mode=fuse``: one display picture from the frames of a bracket, at full size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hdr.data.photos import limit_long_edge
from hdr.errors import UserError
from hdr.io.files import image_files
from hdr.io.image import write_image
from hdr.io.metadata import Metadata
from hdr.ops.fusion import PRESETS, Weighting, exposure_fusion, normalised_weights
from hdr.progress import progress_bar
from tasks.exposure_selection.brackets import Frame, aligned, read_bracket, read_frames
from tasks.exposure_selection.finding import Bracket, find_brackets, photographs
from tasks.exposure_selection.shots import read_facts

log = logging.getLogger(__name__)

SHOWN = 768
"""Longer side of each picture in side-by-side pictures, pixels."""
FORMATS = ("jpg", "png", "tif")


def brackets_of(value: str) -> list[Bracket]:
    """What ``input`` of ``mode=fuse`` stands for.

    A folder holds the brackets that :func:`tasks.exposure_selection.finding.find_brackets` finds in it; the files of a
    pattern, or of a list, are the frames of one bracket.

    Raises:
        UserError: no bracket.
    """
    folder = Path(value).expanduser()
    if not folder.is_dir():
        files = image_files(value)
        return [Bracket(name=files[0].stem, paths=tuple(files), known=False)]
    found = find_brackets(folder)
    if not found:
        raise UserError(
            f"{folder}: {len(photographs(folder))} photographs and no bracket among them, which is two and more of one "
            "scene at different exposures, taken right after each other; if these are one, name them by a pattern, "
            f"such as input='{folder}/*.jpg'"
        )
    return found


def fuse_all(
    brackets: Sequence[Bracket],
    output: Path,
    *,
    weighting: Weighting | str = "opencv",
    alignment: bool = True,
    format: str | None = None,
    overwrite: bool = False,
    weight_maps: bool = False,
) -> dict[str, Any]:
    """Fuse brackets one by one into ``output``; one that cannot be fused does not stop the others.

    Args:
        brackets: as from :func:`brackets_of`.
        output: folder that exists; pictures are called ``<bracket>-fused``.
        format: jpg, png or tif; None: jpg, or tif where the frames have more than 8 bits.

    The other arguments are those of :func:`fuse_files`.

    Returns:
        ``done`` and ``failed``, as ``mode=predict`` has them.
    """
    if format is not None and format not in FORMATS:
        raise UserError(f"format: found '{format}', accepted are {', '.join(FORMATS)}")
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with progress_bar("fuse", len(brackets)) as bar:
        for bracket in brackets:
            bar.note(bracket.name)
            try:
                suffix = format or result_format(bracket.paths[0])
                target = output / f"{bracket.name.replace('/', '-')}-fused.{suffix}"
                facts = fuse_files(
                    bracket.paths,
                    target,
                    weighting=weighting,
                    alignment=alignment,
                    overwrite=overwrite,
                    weight_maps=weight_maps,
                )
                done.append({"bracket": bracket.name, **facts})
                log.info("%s: %d frames fused into %s", bracket.name, len(bracket.paths), target)
            except UserError as error:
                failed.append({"bracket": bracket.name, "reason": str(error)})
                log.warning("%s", error)
            bar.advance()
    return {"done": done, "failed": failed}


def fuse_files(
    paths: Sequence[Path],
    output: Path,
    *,
    weighting: Weighting | str = "opencv",
    alignment: bool = True,
    overwrite: bool = False,
    weight_maps: bool = False,
) -> dict[str, Any]:
    """Fuse the frames of one bracket and write the picture, with a side-by-side beside it.

    Where all files state their exposures these are checked (:func:`tasks.exposure_selection.brackets.read_bracket`);
    otherwise frames are put in order by their brightness, as fusion itself needs no exposures. Things that moved
    between the frames show several times. Memory at the peak, with OpenCV's weighting: about 60 bytes per pixel and
    frame (three frames of 12 megapixels: 2.7 GB in all).

    Args:
        paths: the frames.
        output: the picture; its suffix tells the format (8 bits in .jpg; 16 bits in .png and .tif where the frames have
            more than 8). It carries the metadata of the frame that the others were aligned with.
        weighting: of :func:`hdr.ops.fusion.exposure_fusion`. Where all frames are grey, saturation is left out of it,
            as in OpenCV's fusion of grey pictures.
        alignment: bring frames into line.
        overwrite: replace what is there.
        weight_maps: also write how much each frame counted where, ``<output>-weights.png``.

    Returns:
        Facts for the summary.

    Raises:
        UserError: frames that are no bracket, or a result that is there already.
    """
    side = output.with_name(f"{output.stem}-side-by-side.jpg")
    maps = output.with_name(f"{output.stem}-weights.png")
    written = [output, side, *([maps] if weight_maps else [])]
    refuse_existing(written, paths, overwrite)
    files = [Path(path).absolute() for path in paths]
    facts: dict[str, Any] = {"frames": [str(path) for path in files]}
    if all(read_facts(path).exposure.exposure_time for path in files):
        bracket = read_bracket(files, alignment=alignment)
        display, moves, metadata = bracket.stack.display, bracket.moves, bracket.frames[bracket.base].metadata
        facts |= {"frames": [str(frame.path) for frame in bracket.frames], "evs": list(bracket.stack.evs)}
    else:
        frames = sorted(read_frames(files), key=lambda frame: float(frame.display.mean()))
        _refuse_equal(frames)
        base = len(frames) // 2
        frames, found = aligned(frames, base) if alignment else (frames, [])
        display, moves, metadata = torch.stack([x.display for x in frames]), tuple(found), frames[base].metadata
    fused = fuse(display, weighting)
    write_picture(output, fused, metadata, overwrite)
    small = torch.stack([limit_long_edge(frame, SHOWN) for frame in display])
    write_row(side, [*small, limit_long_edge(fused, SHOWN)], overwrite)
    if weight_maps:
        shares = normalised_weights(small[None], fitting(weighting, small))[0].expand(-1, 3, -1, -1)
        write_row(maps, list(shares), overwrite)
    facts |= {"width": fused.shape[-1], "height": fused.shape[-2], "moves": [asdict(move) for move in moves]}
    return {**facts, "written": [str(path) for path in written]}


def fuse(display: Tensor, weighting: Weighting | str = "opencv") -> Tensor:
    """The fused picture (3, H, W), clamped to [0, 1], of frames (K, 3, H, W), by the fastest way for the weighting."""
    chosen = fitting(weighting, display)
    opencv = not chosen.additive and chosen.epsilon == Weighting.epsilon
    backend: Literal["torch", "cv2"] = "cv2" if opencv and display.device.type == "cpu" else "torch"
    return exposure_fusion(display[None], chosen, backend=backend)[0].clamp_(0, 1)


def fitting(weighting: Weighting | str, display: Tensor) -> Weighting:
    """A weighting without saturation where all frames (K, 3, H, W) are grey.

    Their saturation is 0, and a product with it would leave no weight but the epsilon: the plain mean.

    Raises:
        UserError: there is no weighting of this name.
    """
    if isinstance(weighting, str):
        if weighting not in PRESETS:
            raise UserError(f"weighting: found '{weighting}', accepted are {', '.join(PRESETS)}")
        weighting = PRESETS[weighting]
    grey = torch.equal(display[:, 0], display[:, 1]) and torch.equal(display[:, 1], display[:, 2])
    return replace(weighting, saturation=0.0) if grey else weighting


def result_format(path: Path) -> str:
    """The suffix of results where none was asked for: tif (16 bits) for RAW, TIFF and HDR files, else jpg."""
    return "jpg" if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp", ".avif") else "tif"


def write_picture(path: Path, display: Tensor, metadata: Metadata | None, overwrite: bool) -> None:
    """Write a fused picture with the metadata of a frame; what belonged to that frame's own pixels is left out."""
    if metadata is not None:
        metadata = replace(metadata, alpha=None, xmp=None, source=None)
    write_image(path, display.cpu(), encoding="display", metadata=metadata, overwrite=overwrite)


def write_row(path: Path, pictures: Sequence[Tensor], overwrite: bool) -> None:
    """Pictures (3, H, W) of one height side by side, 8 bits."""
    gap = torch.ones(3, pictures[0].shape[-2], 4)
    row = [part for picture in pictures for part in (gap, picture.cpu())][1:]
    write_image(path, torch.cat(row, dim=2), encoding="display", bits=8, overwrite=overwrite)


def refuse_existing(written: Sequence[Path], inputs: Sequence[Path], overwrite: bool) -> None:
    """Refuse results that would replace an input or, without ``overwrite``, anything.

    Raises:
        UserError: so.
    """
    taken = {Path(path).resolve() for path in inputs}
    for path in written:
        if path.resolve() in taken:
            raise UserError(f"{path}: this result would replace one of the inputs; give another output=")
        if path.exists() and not overwrite:
            raise UserError(f"{path} already exists; give overwrite=true to replace it, or another output=")


def _refuse_equal(frames: Sequence[Frame]) -> None:
    for before, after in pairwise(frames):
        if torch.equal(before.display, after.display):
            raise UserError(
                f"{before.path} and {after.path.name} show the same to the last bit, so they are one exposure; "
                "leave one of them out"
            )
