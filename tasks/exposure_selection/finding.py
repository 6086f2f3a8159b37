"""Which files are a bracket: photographs of one scene, taken right after each other at different exposures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdr.errors import UserError
from hdr.io.files import READABLE_SUFFIXES, is_image_path
from tasks.exposure_selection.shots import Facts, amount_of_light, read_facts

log = logging.getLogger(__name__)

GAP = 10.0
"""Seconds between the end of one exposure and the next, as far as they may be in one bracket."""
SAME = 1 / 6
"""EV below which two exposures are one and the same; cameras step by a third and more."""


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The files of one bracket."""

    name: str
    """Its folder, relative to where it was searched; with the name of its first file where the folder has several."""
    paths: tuple[Path, ...]
    """In the order of taking, as far as that is known, else by name."""
    known: bool
    """Whether the files state their exposures; False also where nobody looked."""


def find_brackets(root: str | os.PathLike[str], *, gap: float = GAP) -> list[Bracket]:
    """The brackets in a folder and its sub-folders, hidden ones left out.

    The rule, folder by folder: of files that differ in suffix only, the RAW counts. Photographs are put in order of
    their capture time, then of their names. A new run begins where the pause since the end of the last exposure is
    longer than ``gap`` seconds, where the camera is another one, and where an exposure comes that the run already has
    (within a sixth of a stop), as in the second of two automatic brackets. Every run of two and more is a bracket.
    Photographs that state an exposure but no capture time make runs of their own by the same rule; those that state no
    exposure make one bracket, whose ``known`` is false, but for EXR and Radiance files, which then are merged results
    rather than frames. Files that cannot be read are logged and left out.

    Raises:
        UserError: ``root`` is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: brackets are looked for in a folder, and this is none")
    found: list[Bracket] = []
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder = Path(parent)
        facts, damaged = _read(_without_twins([folder / name for name in sorted(names) if is_image_path(name)]))
        for error in damaged.values():
            log.warning("%s", error)
        runs = list(_runs(facts, gap))
        place = folder.relative_to(root).as_posix() if folder != root else root.resolve().name
        for known, paths in runs:
            name = place if len(runs) == 1 else f"{place}/{paths[0].stem}"
            found.append(Bracket(name=name, paths=tuple(paths), known=known))
    return found


def bracket_in(folder: Path, *, gap: float = GAP) -> list[Path] | None:
    """The frames, if all photographs of a folder (sub-folders left out) are one bracket of known exposures.

    Files that cannot be read are among them, so that they are not missed in silence.
    """
    facts, damaged = _read(photographs(folder))
    runs = list(_runs(facts, gap))
    frames = [path for path in facts if not _is_result(path, facts[path])]
    if len(runs) == 1 and runs[0][0] and len(runs[0][1]) == len(frames):
        return [*runs[0][1], *damaged]
    return None


def photographs(folder: Path) -> list[Path]:
    """The photographs of a folder by name, sub-folders left out; of files that differ in suffix only, the RAW."""
    return _without_twins([path for path in sorted(folder.iterdir()) if path.is_file() and is_image_path(path)])


def _without_twins(paths: Sequence[Path]) -> list[Path]:
    raws = {path.stem for path in paths if READABLE_SUFFIXES[path.suffix.lower()] == "raw"}
    return [path for path in paths if path.stem not in raws or READABLE_SUFFIXES[path.suffix.lower()] == "raw"]


def _read(paths: Sequence[Path]) -> tuple[dict[Path, Facts], dict[Path, UserError]]:
    """Facts by path, and what is wrong with the files that have none."""
    facts: dict[Path, Facts] = {}
    damaged: dict[Path, UserError] = {}
    for path in paths:
        try:
            facts[path] = read_facts(path)
        except UserError as error:
            damaged[path] = error
    return facts, damaged


def _runs(facts: dict[Path, Facts], gap: float) -> Iterator[tuple[bool, list[Path]]]:
    """Whether exposures are known, and the files, of every run of two and more."""
    timed = [path for path in facts if facts[path].time and facts[path].exposure.exposure_time]
    untimed = [path for path in facts if not facts[path].time and facts[path].exposure.exposure_time]
    timed.sort(key=lambda path: (facts[path].time, path.name))
    for files in (timed, untimed):
        for run in _divided(files, facts, gap):
            if len(run) > 1:
                yield True, run
    unknown = [path for path in facts if not facts[path].exposure.exposure_time]
    unknown = [path for path in unknown if not _is_result(path, facts[path])]
    if len(unknown) > 1:
        yield False, unknown


def _is_result(path: Path, facts: Facts) -> bool:
    """An HDR picture without an exposure of its own: what frames were merged to."""
    return READABLE_SUFFIXES[path.suffix.lower()] in ("exr", "hdr") and not facts.exposure.exposure_time


def _divided(paths: Sequence[Path], facts: dict[Path, Facts], gap: float) -> Iterator[list[Path]]:
    run: list[Path] = []
    for path in paths:
        if run and not _belongs(facts[path], [facts[other] for other in run], gap):
            yield run
            run = []
        run.append(path)
    if run:
        yield run


def _belongs(new: Facts, run: Sequence[Facts], gap: float) -> bool:
    last = run[-1]
    if new.camera != last.camera:
        return False
    if new.time and last.time:
        pause = (new.time - last.time).total_seconds() - (last.exposure.exposure_time or 0.0)
        if pause > gap:
            return False
    light = amount_of_light(new.exposure)
    others = [amount_of_light(other.exposure) for other in run]
    return all(light is not None and other is not None and abs(light - other) >= SAME for other in others)
