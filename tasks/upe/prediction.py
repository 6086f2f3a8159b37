"""``mode=predict``: photographs of any size and format, in strips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hdr.engine.config import Plain
from hdr.errors import UserError
from hdr.io.image import read_image, write_image
from hdr.metrics.image import mean_ev_change
from tasks.upe.data import as_display
from tasks.upe.model import Enhancer

FORMATS = ("jpg", "png", "tif", "webp")
ROWS = 64  # a strip of them stays in the processor's cache


def predict_file(model: Enhancer, path: Path, output: Path, config: Plain) -> dict[str, Any]:
    """Correct one photo and write it below ``output`` under its own name; returns what was done.

    Raises:
        UserError: the photo cannot be read, the result exists already, or a setting is out of its range.
    """
    strength = config["strength"]
    if not 0 <= strength <= 1:
        raise UserError(f"strength: found {strength}, accepted is 0 (unchanged) to 1 (full correction)")
    photo = read_image(path)
    suffix = result_suffix(path, photo.encoding, config["format"])
    bits = config["bits"] or (16 if photo.metadata.bits > 8 and suffix in (".png", ".tif") else 8)
    target = output / f"{path.stem}{suffix}"
    if target.exists() and not config["overwrite"]:
        raise UserError(f"{target} already exists; give overwrite=true to replace it, or another output=")
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
    written = [target]
    write_image(target, result[0].cpu(), bits=bits, metadata=photo.metadata, **write)
    if config["illumination_map"] and light is not None:
        written.append(output / f"{path.stem}-illumination.png")
        write_image(written[-1], light[0].cpu(), bits=8, **write)
    if config["side_by_side"] and light is not None:
        written.append(output / f"{path.stem}-side-by-side.jpg")
        write_image(written[-1], torch.cat([display, result, light], dim=3)[0].cpu(), bits=8, **write)
    return {
        "written": [str(file) for file in written],
        "width": width,
        "height": height,
        "ev_change": round(moved, 3),
    }


def result_suffix(path: Path, encoding: str, wanted: str | None) -> str:
    """The suffix of a result: what is asked for, else the photo's own, else .tif (RAW and linear files)."""
    if wanted is not None:
        if wanted.lstrip(".").lower() not in FORMATS:
            raise UserError(f"format: found '{wanted}', accepted are {', '.join(FORMATS)}")
        return f".{wanted.lstrip('.').lower()}"
    own = path.suffix.lower()
    if encoding == "display" and own in (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"):
        return own
    return ".tif"
