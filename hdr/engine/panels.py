"""Pictures for people: rows of labelled images on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from hdr.engine.task import SampleReport
from hdr.io.atomic import write_atomically

GAP, LINE, BACKGROUND, INK = 8, 18, (24, 24, 24), (232, 232, 232)


def save_panel(path: Path, rows: Sequence[tuple[str, SampleReport]]) -> None:
    """One row per sample: a caption, and its pictures (uint8 (3, H, W)) with their labels; nothing without pictures."""
    if not rows:
        return
    font = ImageFont.load_default(size=13)
    columns = max(len(report.pictures) for _, report in rows)
    width = max(picture.shape[-1] for _, report in rows for picture in report.pictures.values())
    heights = [max(picture.shape[-2] for picture in report.pictures.values()) + 2 * LINE + GAP for _, report in rows]
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, sum(heights) + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for (caption, report), height in zip(rows, heights, strict=True):
        draw.text((GAP, top), caption, INK, font)
        for column, (label, picture) in enumerate(report.pictures.items()):
            left = GAP + column * (width + GAP)
            draw.text((left, top + LINE), label, INK, font)
            sheet.paste(to_pil(picture), (left, top + 2 * LINE))
        top += height
    with write_atomically(path) as temporary:
        sheet.save(temporary, quality=90)


def to_pil(pixels: torch.Tensor) -> Image.Image:
    """A uint8 (3, H, W) tensor as a Pillow image."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
