"""Brackets and shoots as folders of DNG files, with a manifest of everything that is known of them."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hdr.data.manifest import Record, read_manifest, write_manifest
from hdr.data.scenes import render_scene
from hdr.data.shoots.body import Body, bodies
from hdr.data.shoots.bracket import bracket, bracket_settings
from hdr.data.shoots.camera import exposure_error, key_luminance
from hdr.data.shoots.session import Shoot, Taken, plan_shoot, take_photos
from hdr.data.shoots.style import draw_style
from hdr.errors import UserError
from hdr.io.atomic import write_atomically
from hdr.io.dng import write_dng
from hdr.io.sensor import SensorImage
from hdr.io.sidecar import write_sidecar
from hdr.progress import Bar, progress_bar

GENERATOR = 1
"""Raised whenever the same plan gives other photos than before."""
PLAN, MANIFEST = "plan.json", "manifest.jsonl"
_SMALLEST, _LARGEST = 48, 4096
_THUMBNAIL = (32, 48)
_FIRST_DAY = datetime.datetime(2024, 1, 1)


def write_brackets(folder: Path, *, count: int, evs: Sequence[float], size: int, seed: int) -> list[Record]:
    """Photograph ``count`` procedural scenes at several exposures, one folder of DNGs each.

    What is there already is kept if the folder's plan (these arguments) is the same, so that an interrupted run can be
    continued.

    Args:
        folder: made if missing; else empty, or of the same plan.
        evs: stops from the metered exposure, in the order of taking.
        size: longer side in pixels, even.

    Returns:
        What ``manifest.jsonl`` in the folder holds: a record a bracket, whose paths have the roles ``ev-2``, ``ev+0``
        and so on; the metadata say the true exposures.

    Raises:
        UserError: arguments out of range, a folder with something else in it, exposures beyond every camera.
    """
    _check("count", count, 1)
    _check_size(size)
    _check("seed", seed, 0)
    if not evs or len({_role(ev) for ev in evs}) != len(evs) or not all(-20.0 <= ev <= 20.0 for ev in evs):
        raise UserError(f"evs: found {[*evs]}; accepted are different numbers from -20 to 20")
    evs = [float(ev) for ev in evs]
    plans = [_plan_bracket(f"bracket-{index:04d}", evs, (seed, index)) for index in range(count)]
    _begin(folder, {"kind": "bracket", "count": count, "evs": evs, "size": size, "seed": seed})
    records = []
    with progress_bar("brackets", count) as bar:
        for plan in plans:
            records.append(_write_bracket(folder / plan.name, plan, evs, size))
            bar.advance(plan.name)
    write_manifest(folder / MANIFEST, records, replace=True)
    return records


class _Bracket(NamedTuple):
    name: str
    scene: int
    body: Body
    start: datetime.datetime
    seed: tuple[int, ...]


def _plan_bracket(name: str, evs: Sequence[float], seed: tuple[int, ...]) -> _Bracket:
    """A scene and a body by chance, of those bodies whose range holds all the exposures."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    scene = int(rng.integers(1 << 32))
    start = _FIRST_DAY + datetime.timedelta(minutes=int(rng.integers(600 * 1440)))
    key = key_luminance(render_scene(scene, _THUMBNAIL))
    reasons = []
    for model in rng.permutation(list(bodies())).tolist():
        try:
            bracket_settings(bodies()[model], key, evs)
        except UserError as error:
            reasons.append(error)
        else:
            return _Bracket(name, scene, bodies()[model], start, (*seed, 1))
    raise reasons[0]


def _role(ev: float) -> str:
    return f"ev{ev + 0.0:+g}"  # -0 becomes 0


def _write_bracket(folder: Path, plan: _Bracket, evs: Sequence[float], size: int) -> Record:
    finished = _finished(folder)
    if finished:
        return finished[0]
    folder.mkdir(exist_ok=True)
    scene = render_scene(plan.scene, (round(size / 3) * 2, size))
    rng = np.random.default_rng(np.random.SeedSequence(plan.seed))
    images = bracket(scene, plan.body, evs, rng, start=plan.start)
    key = key_luminance(scene)
    settings = bracket_settings(plan.body, key, evs)
    paths, shots = {}, {}
    for number, (ev, step, image) in enumerate(zip(evs, settings, images, strict=True), start=1):
        role = _role(ev)
        paths[role] = folder / f"IMG_{number:04d}.dng"
        _write_once(paths[role], image)
        shots[role] = {"settings": str(step), "ev": round(exposure_error(plan.body, key, step), 4)}
    facts = {"camera": plan.body.model, "family": scene.family, "night": scene.night, "key": key, "exposures": shots}
    record = Record(id=folder.name, paths=paths, group=scene.group, metadata=facts)
    write_manifest(folder / MANIFEST, [record])
    return record


def write_shoots(
    folder: Path, *, shoots: int, photos: int, styles: int, size: int, seed: int, edited: int | None = None
) -> list[Record]:
    """Take virtual photo shoots, one folder of DNGs and Lightroom sidecars each.

    Photographers take turns: shoot ``i`` has the style ``i mod styles``. What is there already is kept if the folder's
    plan (these arguments) is the same.

    Args:
        folder: made if missing; else empty, or of the same plan.
        photos: of each shoot.
        styles: how many photographers share the shoots.
        size: longer side in pixels, even.
        edited: how many photos of each shoot, by chance, have a sidecar; None: all.

    Returns:
        What ``manifest.jsonl`` in the folder holds: a record a photo, grouped by shoot, with the true slider values
        in the metadata whether it has a sidecar or not.

    Raises:
        UserError: arguments out of range, or a folder with something else in it.
    """
    _check("shoots", shoots, 1)
    _check("photos", photos, 1)
    _check("styles", styles, 1, shoots)
    _check_size(size)
    _check("seed", seed, 0)
    if edited is None:
        edited = photos
    _check("edited", edited, 0, photos)
    arguments = {"shoots": shoots, "photos": photos, "styles": styles, "size": size, "seed": seed, "edited": edited}
    _begin(folder, {"kind": "shoots", **arguments})
    photographers = [
        draw_style(f"style-{i:02d}", np.random.default_rng(np.random.SeedSequence([seed, 1, i]))) for i in range(styles)
    ]
    records: list[Record] = []
    with progress_bar("photos", shoots * photos) as bar:
        for index in range(shoots):
            plan = plan_shoot(f"shoot-{index:02d}", photographers[index % styles], photos, (seed, 0, index))
            chosen = np.random.default_rng(np.random.SeedSequence([seed, 2, index])).permutation(photos)[:edited]
            records += _write_shoot(folder / plan.name, plan, size, set(chosen.tolist()), bar)
    write_manifest(folder / MANIFEST, records, replace=True)
    return records


def _write_shoot(folder: Path, plan: Shoot, size: int, edited: set[int], bar: Bar) -> list[Record]:
    records = _finished(folder)
    if not records:
        folder.mkdir(exist_ok=True)
        for number, taken in enumerate(take_photos(plan, size)):
            records.append(_write_photo(folder, plan, taken, number in edited))
            bar.advance(plan.name)
        write_manifest(folder / MANIFEST, records)
    else:
        for _ in records:
            bar.advance(plan.name)
    return records


def _write_photo(folder: Path, plan: Shoot, taken: Taken, edited: bool) -> Record:
    paths = {"raw": folder / f"{taken.frame.name}.dng"}
    _write_once(paths["raw"], taken.image)
    if edited:
        paths["sidecar"] = paths["raw"].with_suffix(".xmp")
        if not paths["sidecar"].exists():
            evening = (taken.frame.capture_time + datetime.timedelta(hours=12)).replace(tzinfo=datetime.UTC)
            write_sidecar(paths["sidecar"], taken.sliders, paths["raw"].name, evening)
    return Record(
        id=f"{plan.name}/{taken.frame.name}",
        paths=paths,
        group=plan.name,
        metadata={
            "style": plan.style.name,
            "kind": plan.kind,
            "camera": plan.body.model,
            "burst": taken.frame.place,
            "capture_time": taken.frame.capture_time.isoformat(timespec="milliseconds"),
            "settings": str(taken.settings),
            "facts": taken.facts.as_dict(),
            "sliders": taken.sliders,
            "clean": {name: round(value, 4) for name, value in taken.clean.items()},
            "noise": {name: round(value, 4) for name, value in plan.style.noise.items()},
            "edited": edited,
        },
    )


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make the folder and note the plan in it, or make sure that it holds this plan."""
    text = json.dumps({"generator": GENERATOR, **plan}, indent=1) + "\n"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: this is a file; name a folder")
    note = folder / PLAN
    if note.is_file():
        if note.read_text(encoding="utf-8") != text:
            raise UserError(f"{note}: this folder holds photos of another plan; name another folder or repeat its plan")
        return
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: this folder is not empty and has no {PLAN}; name a new or an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(note) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error}); name a folder of your own") from error


def _finished(folder: Path) -> list[Record]:
    """The records of a subfolder that was finished before and still has all its files; none: there is work to do."""
    manifest = folder / MANIFEST
    if not manifest.exists():
        return []
    records = read_manifest(manifest)
    if all(path.exists() for record in records for path in record.paths.values()):
        return records
    manifest.unlink()
    return []


def _write_once(path: Path, image: SensorImage) -> None:
    if not path.exists():
        write_dng(path, image)


def _check(name: str, value: int, least: int, greatest: float = math.inf) -> None:
    if not least <= value <= greatest:
        wanted = f"{least} or more" if greatest == math.inf else f"{least} to {greatest:.0f}"
        raise UserError(f"{name} is {value}; accepted is {wanted}")


def _check_size(size: int) -> None:
    if not _SMALLEST <= size <= _LARGEST or size % 2:
        raise UserError(f"size is {size}; accepted is an even number of pixels from {_SMALLEST} to {_LARGEST}")
