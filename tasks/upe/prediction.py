"""``mode=predict``: photographs of any size and format, in strips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.io.image import read_image, write_image
from hdr.metrics.image import mean_ev_change
from tasks.upe.data import as_display
from tasks.upe.model import Enhancer

FORMATS = ("jpg", "png", "tif", "webp")
ROWS = 64  # a strip of them stays in the processor's cache


class Taken(NamedTuple):
    """Names that the inputs of a command take up."""

    inputs: frozenset[Path]  # resolved: a result never replaces one of them, be it read already or not
    doubled: frozenset[Path]  # inputs that share their stem with another one and so keep their suffix in the name


def names_of(files: Sequence[Path]) -> Taken:
    """What results must not collide with.

    Raises:
        UserError: two inputs in different folders have one name, so one result would replace the other.
    """
    same = [name for name, count in Counter(path.name for path in files).items() if count > 1]
    if same:
        raise UserError(
            f"input: {same[0]} stands in several folders, and their results would replace each other; "
            "take the folders one by one, each with its own output="
        )
    stems = Counter(path.stem for path in files)
    return Taken(
        inputs=frozenset(path.resolve() for path in files),
        doubled=frozenset(path for path in files if stems[path.stem] > 1),
    )


def predict_file(model: Enhancer, path: Path, output: Path, config: Plain, taken: Taken) -> dict[str, Any]:
    """Correct one photo and write it below ``output`` under its own name; returns what was done.

    Raises:
        UserError: the photo cannot be read, the result exists already, or a setting is out of its range.
    """
    strength = config["strength"]
    if not 0 <= strength <= 1:
        raise UserError(f"strength: found {strength}, accepted is 0 (unchanged) to 1 (full correction)")
    suffix = result_suffix(path, config["format"])
    name = path.stem if path not in taken.doubled else f"{path.stem}-{path.suffix[1:]}"
    target = output / f"{name}{suffix}"
    side, map_ = output / f"{name}-side-by-side.jpg", output / f"{name}-illumination.png"
    written = [target, *([side] if config["side_by_side"] else []), *([map_] if config["illumination_map"] else [])]
    for file in written:
        if file.resolve() in taken.inputs:
            raise UserError(
                f"{path}: its result would replace {file}, which is one of the inputs; give another output="
            )
        if file.exists() and not config["overwrite"]:
            raise UserError(f"{file} already exists; give overwrite=true to replace it, or another output=")
    photo = read_image(path)
    device = next(model.parameters()).device
    display = as_display(photo.pixels, photo.encoding)[None].to(device)
    height, width = display.shape[-2:]
    coefficients = model.coefficients(display)
    pictures = config["illumination_map"] or config["side_by_side"]
    # without further pictures the result takes the photo's place in memory, strip by strip
    result = torch.empty_like(display) if pictures else display
    light = torch.empty_like(display) if pictures else None
    moved = 0.0
    for first in range(0, height, ROWS):
        strip = display[:, :, first : first + ROWS]
        made = model.render(strip, coefficients, row_offset=first, full_height=height, strength=strength)
        moved += float(mean_ev_change(strip, made.output)) * strip.shape[2] / height
        if light is not None:
            light[:, :, first : first + ROWS] = model.illumination(strip, made.field)
        result[:, :, first : first + ROWS] = made.output
    write = {"encoding": "display", "overwrite": config["overwrite"]}
    write_image(target, result[0].cpu(), bits=config["bits"], metadata=photo.metadata, **write)
    if config["illumination_map"] and light is not None:
        write_image(map_, light[0].cpu(), bits=8, **write)
    if config["side_by_side"] and light is not None:
        write_image(side, torch.cat([display, result, light], dim=3)[0].cpu(), bits=8, **write)
    return {
        "written": [str(file) for file in written],
        "width": width,
        "height": height,
        "ev_change": round(moved, 3),
    }


def result_suffix(path: Path, wanted: str | None) -> str:
    """The suffix of a result: what is asked for, else the photo's own, else .tif (RAW, EXR and the like)."""
    if wanted is not None:
        if wanted.lstrip(".").lower() not in FORMATS:
            raise UserError(f"format: found '{wanted}', accepted are {', '.join(FORMATS)}")
        return f".{wanted.lstrip('.').lower()}"
    own = path.suffix.lower()
    if own in (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"):
        return own
    return ".tif"
