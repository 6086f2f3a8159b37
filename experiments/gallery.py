"""Pictures and figures of the generated scenes: ``python -m experiments.gallery docs``.

Writes ``scenes.jpg``, a sheet of scenes by family, and ``scenes-range.png``, the histogram of their dynamic range, and
prints the table of measured figures. With ``--real FOLDER`` the same is measured of the HDR files in that folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

from experiments.scene_statistics import Figures, measure, real_pictures
from hdr.data.scenes import FAMILIES, ProceduralScenes, Scene, render_scene
from hdr.io.atomic import write_atomically
from hdr.ops.tonemap import mertens

SIZE = (192, 256)  # height and width of one picture on the sheet
PER_FAMILY = 5
MEASURED = (256, 341)  # height and width of the scenes that are measured
INK, PALE, BLUE, ORANGE = (40, 40, 44), (214, 214, 218), (58, 110, 165), (214, 120, 40)


def main() -> None:
    """Write the pictures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write scenes.jpg and scenes-range.png; replaces them")
    parser.add_argument("--real", type=Path, default=None, help="folder with .exr and .hdr files to compare with")
    parser.add_argument("--count", type=int, default=200, help="scenes in the histogram: seeds 0, 1, 2 and so on")
    parser.add_argument("--first", type=int, default=43, help="seed of the first scene of each family on the sheet")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    picture = sheet(arguments.first)
    with write_atomically(arguments.folder / "scenes.jpg") as temporary:
        picture.save(temporary, format="JPEG", quality=80, optimize=True)
    found = generated_figures(arguments.count)
    real = real_figures(arguments.real) if arguments.real is not None else {}
    groups = {"generated scenes": list(chain.from_iterable(found.values()))}
    if real:
        groups["real HDR files"] = list(chain.from_iterable(real.values()))
    with write_atomically(arguments.folder / "scenes-range.png") as temporary:
        histogram(groups).save(temporary, format="PNG", optimize=True)
    sys.stdout.write(table({**found, **groups, **real}) + "\n")


def sheet(first: int) -> Image.Image:
    """``PER_FAMILY`` scenes of each family in a row, with the dynamic range of each."""
    height, width = SIZE
    page = Image.new("RGB", (PER_FAMILY * (width + 4) - 4, len(FAMILIES) * (height + 4) - 4), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for row, family in enumerate(track(FAMILIES, "drawing")):
        for column in range(PER_FAMILY):
            scene = render_scene(first + column, SIZE, family)
            at = (column * (width + 4), row * (height + 4))
            page.paste(shown(scene), at)
            label = f"{family} {first + column}   {measure(scene.linear).stops:.1f} stops"
            for shift, colour in (((1, 1), (0, 0, 0)), ((0, 0), (255, 255, 255))):
                draw.text((at[0] + 5 + shift[0], at[1] + 4 + shift[1]), label, fill=colour, font=font)
    return page


def shown(scene: Scene) -> Image.Image:
    """A scene at its key exposure, white balanced, as a fusion of exposures from below to above it."""
    assert scene.key_luminance is not None  # generated scenes know their key light
    balanced = scene.linear * (0.18 / scene.key_luminance / scene.white[:, None, None] ** 0.85)
    evs = (-3.0, -1.0, 1.0) if scene.night else (-4.0, -2.0, 0.0, 2.0)
    display = mertens(torch.from_numpy(balanced.astype(np.float32))[None], evs)[0]
    return Image.fromarray((display.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def generated_figures(count: int) -> dict[str, list[Figures]]:
    """Figures of ``count`` scenes with the families' usual shares, by family."""
    source = ProceduralScenes(count, MEASURED)
    found: dict[str, list[Figures]] = {family: [] for family in FAMILIES}
    for index in track(range(count), "measuring scenes"):
        scene = source.scene(index, np.random.default_rng(0))
        found[scene.family].append(measure(scene.linear))
    return found


def real_figures(folder: Path) -> dict[str, list[Figures]]:
    """Figures of the HDR photographs below a folder, and of perspective views of the panoramas there."""
    found: dict[str, list[Figures]] = {}
    for kind, _, linear in track(real_pictures(folder), "measuring real files", total=None):
        found.setdefault({"photograph": "real photographs", "view": "views of panoramas"}[kind], []).append(
            measure(linear)
        )
    return found


def histogram(groups: dict[str, list[Figures]], step: float = 1.0) -> Image.Image:
    """Share of the pictures of each group per ``step`` stops of dynamic range, drawn at twice the size and reduced."""
    scale, left, right, top, bottom = 2, 58, 16, 40, 52
    width, height = 680 * scale, 340 * scale
    page = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    fonts = {size: ImageFont.load_default(size * scale) for size in (12, 13)}
    stops = {name: np.array([figures.stops for figures in found]) for name, found in groups.items()}
    most = max(18.0, float(np.ceil(max(values.max() for values in stops.values()))))
    edges = np.arange(0.0, most + step, step)
    share = {name: 100.0 * np.histogram(values, edges)[0] / values.size for name, values in stops.items()}
    highest = 5.0 * np.ceil(max(values.max() for values in share.values()) / 5.0)
    x0, x1, y0, y1 = left * scale, width - right * scale, height - bottom * scale, top * scale

    def across(value: float) -> float:
        return x0 + (x1 - x0) * value / most

    def up(value: float) -> float:
        return y0 + (y1 - y0) * value / highest

    for value in np.arange(0.0, highest + 1.0, 5.0):
        draw.line([(x0, up(value)), (x1, up(value))], fill=PALE, width=scale)
        draw.text((x0 - 6 * scale, up(value)), f"{value:.0f} %", fill=INK, font=fonts[12], anchor="rm")
    bar = step / (len(groups) + 0.4)
    for number, (name, colour) in enumerate(zip(groups, (BLUE, ORANGE), strict=False)):
        for edge, value in zip(edges, share[name], strict=False):
            start = across(edge + step * 0.5 + (number - len(groups) / 2) * bar)
            draw.rectangle([start, up(value), start + across(bar) - x0 - scale, y0], fill=colour)
        label = f"{name}: {stops[name].size}, median {np.median(stops[name]):.1f} stops"
        at = ((left + 4 + number * 300) * scale, 18 * scale)
        draw.rectangle([at[0], at[1] - 6 * scale, at[0] + 12 * scale, at[1] + 6 * scale], fill=colour)
        draw.text((at[0] + 18 * scale, at[1]), label, fill=INK, font=fonts[13], anchor="lm")
    draw.line([(x0, y0), (x1, y0)], fill=INK, width=scale)
    for value in range(0, int(most) + 1, 2):
        draw.line([(across(value), y0), (across(value), y0 + 4 * scale)], fill=INK, width=scale)
        draw.text((across(value), y0 + 7 * scale), str(value), fill=INK, font=fonts[12], anchor="mt")
    caption = "dynamic range in stops: log2 of greatest luminance over its 1st percentile"
    draw.text(((x0 + x1) / 2, height - 8 * scale), caption, fill=INK, font=fonts[13], anchor="mb")
    return page.resize((width // scale, height // scale), Image.Resampling.LANCZOS)


def table(groups: dict[str, list[Figures]]) -> str:
    """The figures as a Markdown table: medians, and 5th to 95th percentiles."""

    def spread(values: Iterable[float], digits: int) -> str:
        low, middle, high = np.percentile(list(values), [5, 50, 95])
        return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    def row(name: str, found: Sequence[Figures]) -> str:
        inside = 100 * np.mean([8.0 <= figures.stops <= 16.0 for figures in found])
        cells = [name, str(len(found)), spread((f.stops for f in found), 1), f"{inside:.0f} %"]
        cells += [spread((f.inner for f in found), 1), spread((f.slope for f in found), 2)]
        cells += [spread((f.slope_linear for f in found), 2), spread((f.saturation for f in found), 2)]
        return "| " + " | ".join(cells) + " |"

    heads = ["", "pictures", "stops", "8 to 16", "stops to 99.9 %", "slope, log", "slope, linear", "saturation"]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    return "\n".join(lines + [row(name, found) for name, found in groups.items() if found])


if __name__ == "__main__":
    main()
