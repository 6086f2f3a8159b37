"""``mode=expose``: RAW files as brackets of virtual exposures in files, at an eighth of their size."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor
from torch.nn.functional import avg_pool2d

from hdr.data.decode import is_raw_path
from hdr.errors import UserError
from hdr.io import exif
from hdr.io.files import image_files
from hdr.io.image import write_image
from hdr.io.metadata import Metadata
from hdr.progress import track
from tasks.exposure_selection.fusing import refuse_existing
from tasks.exposure_selection.ladder import render
from tasks.exposure_selection.libraw_route import libraw_exposures
from tasks.exposure_selection.shots import Facts, read_facts, read_shot

log = logging.getLogger(__name__)

Route = Literal["linear", "libraw"]
REDUCTION = 8
"""By which both sides are divided, as in the original."""


def expose_all(
    value: str, output: Path, evs: Sequence[float], *, route: Route = "linear", overwrite: bool = False
) -> dict[str, Any]:
    """Write a bracket of each RAW file that ``value`` (``input=``) names, ``output/<name>/<n>_<EV>.png``.

    The files state the exposure time that a camera would have needed, so that ``mode=fuse`` and ``mode=predict`` take
    the folder as they take a bracket of a camera.

    Args:
        value: file, folder, pattern or list; of a folder the RAW files.
        output: folder that exists.
        evs: relative to the file as shot, rising.
        route: ``linear`` as :func:`tasks.exposure_selection.ladder.render` has it, sRGB-encoded, without noise;
            ``libraw`` as :func:`tasks.exposure_selection.libraw_route.libraw_exposures`, which is the original's.
        overwrite: replace files.

    Returns:
        ``done`` and ``failed``, as ``mode=predict`` has them.

    Raises:
        UserError: an unknown route, EVs that do not rise, no RAW file, or two of one name.
    """
    if route not in get_args(Route):
        raise UserError(f"selection.route={route}: accepted are {', '.join(get_args(Route))}")
    if any(after <= before for before, after in pairwise(evs)):
        raise UserError(f"selection.evs={list(evs)}: wanted are exposures from dark to bright, each once")
    paths = [path for path in image_files(value) if is_raw_path(path)]
    if not paths:
        raise UserError(f"input={value}: no RAW file, and virtual exposures are made of RAW files")
    if len({path.stem for path in paths}) < len(paths):
        raise UserError(f"input={value}: several RAW files have one name; take them folder by folder")
    done, failed = [], []
    for path in track(paths, "expose", len(paths)):
        try:
            files = _expose(path, output / path.stem, evs, route, overwrite)
            done.append({"file": str(path), "route": route, "evs": list(evs), "written": [str(file) for file in files]})
        except UserError as error:
            failed.append({"file": str(path), "reason": str(error)})
            log.warning("%s", error)
    return {"done": done, "failed": failed}


def _expose(path: Path, folder: Path, evs: Sequence[float], route: Route, overwrite: bool) -> list[Path]:
    files = [folder / f"{index:02d}_{ev:+g}EV.png" for index, ev in enumerate(evs)]
    refuse_existing(files, [path], overwrite)
    display = libraw_exposures(path, evs, reduction=REDUCTION) if route == "libraw" else linear_exposures(path, evs)
    facts = read_facts(path)
    if facts.exposure.exposure_time is None:
        log.warning(
            "%s states no exposure time, nor will its exposures: give selection.bracket_evs=[%s] with their folder",
            path,
            ",".join(f"{ev:g}" for ev in evs),
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, picture, ev in zip(files, display, evs, strict=True):
        metadata = Metadata(format="png", bits=8, exif=_stated(facts, ev))
        write_image(file, picture, encoding="display", bits=8, metadata=metadata, overwrite=overwrite)
    return files


def linear_exposures(path: str | os.PathLike[str], evs: Sequence[float]) -> Tensor:
    """Virtual exposures (K, 3, H // 8, W // 8) of a RAW file, display: its light, reduced, then exposed.

    Raises:
        UserError: the file cannot be read, or is smaller than one reduced pixel.
    """
    shot = read_shot(Path(path))
    assert shot.light is not None
    height, width = shot.size
    if min(height, width) < REDUCTION:
        raise UserError(f"{path}: {width} x {height} pixels cannot be reduced by {REDUCTION}")
    return render(replace(shot.light, linear=avg_pool2d(shot.light.linear, REDUCTION)), evs, 0.0)


def _stated(facts: Facts, ev: float) -> bytes | None:
    """The EXIF block of a virtual exposure: that of the file, with the time that the exposure would have taken."""
    exposure = facts.exposure
    values: dict[int, str | float | int] = {}
    if exposure.exposure_time is not None:
        values[exif.EXPOSURE_TIME] = exposure.exposure_time * 2.0**ev
    if exposure.iso is not None:
        values[exif.ISO] = round(exposure.iso)
    if exposure.aperture is not None:
        values[exif.F_NUMBER] = exposure.aperture
    if facts.camera:
        values[exif.MODEL] = facts.camera
    if facts.time is not None:
        values[exif.DATE_TIME_ORIGINAL] = facts.time.strftime("%Y:%m:%d %H:%M:%S")
    return exif.assemble(exif.compose(values), "<")
