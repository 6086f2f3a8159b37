"""Pictures of a selection: what was captured, which exposure each pixel comes from, and where the best pairs lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hdr.io.atomic import write_atomically
from hdr.ops.fusion import normalised_weights
from hdr.ops.resize import resize_antialiased
from tasks.exposure_selection.data import direction
from tasks.exposure_selection.methods import Choice
from tasks.exposure_selection.scoring import FIGURES

ERROR_GAIN = 4.0  # an error of a quarter of the range is the brightest that is told apart
_INK, _PAPER, _LINES, _FAINT = (232, 232, 232), (24, 24, 24), (96, 96, 96), (160, 160, 160)
_SIDE, _EDGE = 384, 44  # of a chart, and of its margins, in pixels
_MARKS = {"constant": (64, 160, 255), "best": (64, 255, 96), "model": (255, 64, 64)}
_CURVES = ((255, 96, 96), (96, 176, 255), (96, 224, 128), (255, 208, 80), (208, 128, 255), (160, 160, 160))
_VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def panel(
    preview: Tensor, choices: Mapping[str, Choice], reference: Tensor, target: str, weighting: str, chart: Tensor
) -> dict[str, Tensor]:
    """A row of pictures for one scene: label -> (3, H, W) display.

    Args:
        preview: (3, P, P), stretched to a square as networks see it.
        choices: what was captured; the first is shown in all parts, the others only fused.
        reference: (3, H, W).
        target: the figure in the labels.
        weighting: of the fusion.
        chart: :func:`score_map`.
    """
    name, first = next(iter(choices.items()))
    size = reference.shape[-2:]
    shown = {"preview": resize_antialiased(preview[None], (size[0], size[1]))[0]}
    shown |= {f"{_named([ev])} EV": display for ev, display in zip(first.evs, first.display, strict=True)}
    shown[f"weights: {name}"] = weight_picture(first.display, weighting)
    figure = FIGURES[target]
    for title, choice in choices.items():
        score = choice.score * direction(target)
        shown[f"{_caption(title, choice.evs)}: {score:.{figure.digits}f} {figure.unit}"] = choice.fused
    shown["reference"] = reference
    shown[f"error x{ERROR_GAIN:g}: {name}"] = error_picture(first.fused, reference)
    shown[f"{target} of all pairs"] = chart
    return shown


def colour_of(values: Tensor) -> Tensor:
    """Values (H, W) in [0, 1] as colours (3, H, W) from dark violet to yellow; NaN is dark grey."""
    stops = torch.tensor(_VIRIDIS, dtype=torch.float32) / 255
    known = torch.isfinite(values)
    position = torch.where(known, values, 0.0).clamp(0, 1).float() * (len(stops) - 1)
    low = position.floor().long().clamp(max=len(stops) - 2)
    part = (position - low)[..., None]
    colours = stops[low] * (1 - part) + stops[low + 1] * part
    return torch.where(known[..., None], colours, 0.16).permute(2, 0, 1)


def weight_picture(display: Tensor, weighting: str) -> Tensor:
    """Which exposure each pixel of a fusion comes from.

    Each exposure's share of the normalised weights in a colour of its own, from blue (the darkest) over green to red.

    Args:
        display: (K, 3, H, W), rising in EV.
        weighting: preset of :mod:`hdr.ops.fusion`.

    Returns:
        (3, H, W) display.
    """
    shares = normalised_weights(display[None], weighting)[0, :, 0]
    hues = torch.linspace(0.0, 1.0, len(display)) if len(display) > 1 else torch.tensor([0.5])
    stops = torch.tensor([[0.15, 0.4, 1.0], [0.3, 0.85, 0.3], [1.0, 0.35, 0.15]])
    position = hues * 2
    low = position.floor().long().clamp(max=1)
    colours = stops[low] + (position - low)[:, None] * (stops[low + 1] - stops[low])
    return torch.einsum("khw,kc->chw", shares, colours)


def error_picture(fused: Tensor, reference: Tensor) -> Tensor:
    """The mean absolute difference over channels, times 4, as colours (3, H, W)."""
    return colour_of((fused - reference).abs().mean(dim=0) * ERROR_GAIN)


def pair_map(evs: Sequence[float], subsets: Tensor, values: Tensor, *, add: bool = False) -> Tensor:
    """Values (S,) of subsets (S, k >= 2) as a table (K, K) over two of their members; NaN where there is none.

    Row: the higher EV, column: the lower one. Of larger subsets that share two members the best is shown, or with
    ``add`` their sum.
    """
    count, known = len(evs), torch.isfinite(values)
    members = subsets[known].sort(dim=1).values
    places = [members[:, b] * count + members[:, a] for a, b in combinations(range(members.shape[1]), 2)]
    table = torch.full((count * count,), torch.nan, dtype=torch.float64)
    repeated = values[known].double().repeat(len(places))
    table = table.scatter_reduce(0, torch.cat(places), repeated, "sum" if add else "amax", include_self=False)
    return table.reshape(count, count)


def score_map(evs: Sequence[float], subsets: Tensor, scores: Tensor, marks: Mapping[str, Sequence[float]]) -> Tensor:
    """How good every pair is, (3, 384, 384) display: lower EV to the right, higher EV upwards.

    Colours go from the median to the best. ``marks`` are circles: what was chosen, what is best, the constant.
    """
    table = pair_map(evs, subsets, scores)
    best, middle = float(np.nanmax(table.numpy())), float(np.nanmedian(table.numpy()))
    sheet, draw = _chart(evs, colour_of((table - middle) / max(best - middle, 1e-9)))
    reach = max(3, _cell(evs))
    for order, (name, colour) in enumerate(_MARKS.items()):
        if name not in marks:
            continue
        for pair in combinations(sorted(marks[name]), 2):
            x, y = _place(pair[0], evs), _SIDE - _place(pair[1], evs)
            size = reach + 2 * (len(_MARKS) - order)  # those drawn later fit into the earlier ones
            for wider, ink in ((1, _PAPER), (0, colour)):  # a dark rim, to be seen on any colour
                outer = size + wider
                draw.ellipse((x - outer, y - outer, x + outer, y + outer), outline=ink, width=2 + 2 * wider)
        draw.text((_SIDE - 170, _SIDE - 100 + 16 * order), _caption(name, marks[name]), colour, _font())
    return _display(sheet)


def label_histogram(evs: Sequence[float], subsets: Tensor, best: Tensor) -> Tensor:
    """How often each pair is the best of a scene, (3, 384, 384) display.

    Args:
        evs: the ladder.
        subsets: candidates (S, k >= 2).
        best: (N,) the best candidate of each scene.
    """
    counts = torch.bincount(best, minlength=len(subsets)).double()
    table = pair_map(evs, subsets, torch.where(counts > 0, counts, torch.nan), add=True)
    largest = float(np.nanmax(table.numpy()))
    sheet, draw = _chart(evs, colour_of((table / largest).sqrt()))
    lines = [f"{len(best)} scenes", f"{int((counts > 0).sum())} of {len(subsets)} subsets are a scene's best"]
    for index in counts.argsort(descending=True, stable=True)[:5].tolist():
        named = _named([evs[i] for i in subsets[index].tolist()])
        lines.append(f"{counts[index] / len(best):.1%}  {named} EV")
    for line, text in enumerate(lines):
        draw.text((_SIDE - 250, _SIDE - 176 + 16 * line), text, _INK, _font())
    return _display(sheet)


def calibration_picture(expected: np.ndarray, found: np.ndarray, unit: str, note: str, groups: int = 8) -> Tensor:
    """Expected against found regret (N,): a dot per scene, and the means of groups of equal size; (3, 384, 384)."""
    limit = float(max(np.quantile(expected, 0.99), np.quantile(found, 0.95), 1e-6)) * 1.05
    sheet, draw = _axes(limit, limit, f"expected regret, {unit}", f"found regret, {unit}")
    ends = (_point(0, 0, limit, limit), _point(limit, limit, limit, limit))
    draw.line(ends, _FAINT)
    for x, y in zip(expected, found, strict=True):
        left, top = _point(min(x, limit), min(y, limit), limit, limit)
        draw.ellipse((left - 2, top - 2, left + 2, top + 2), fill=(96, 176, 255))
    order = np.argsort(expected, kind="stable")
    means = [(expected[part].mean(), found[part].mean()) for part in np.array_split(order, groups) if len(part)]
    points = [_point(min(x, limit), min(y, limit), limit, limit) for x, y in means]
    draw.line(points, (255, 208, 80), width=2)
    for x, y in points:
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(255, 208, 80))
    draw.text((_EDGE + 8, 4), note, _INK, _font())
    return _display(sheet)


def accuracy_picture(regrets: Mapping[str, np.ndarray], unit: str, limit: float) -> Tensor:
    """The share of scenes whose regret is at most x, for x from 0 to ``limit``, one curve per method; (3, 384, 384)."""
    sheet, draw = _axes(limit, 1.0, f"regret, {unit}", "share of scenes within")
    grid = np.linspace(0.0, limit, 200)
    for index, (name, found) in enumerate(regrets.items()):
        colour = _CURVES[index % len(_CURVES)]
        shares = np.searchsorted(np.sort(found), grid + 1e-9, side="right") / len(found)
        draw.line([_point(x, y, limit, 1.0) for x, y in zip(grid, shares, strict=True)], colour, width=2)
        draw.text((_SIDE - 170, _SIDE - _EDGE - 16 * (len(regrets) - index) - 4), name, colour, _font())
    return _display(sheet)


def save_picture(path: Path, display: Tensor) -> None:
    """Write a picture (3, H, W) as PNG."""
    with write_atomically(path) as temporary:
        _to_image(display).save(temporary, format="PNG")


def _chart(evs: Sequence[float], colours: Tensor) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A sheet with cells (3, K, K), the first row at the bottom, and EVs on both sides."""
    inner = _SIDE - 2 * _EDGE
    sheet = Image.new("RGB", (_SIDE, _SIDE), _PAPER)
    sheet.paste(_to_image(colours.flip(1)).resize((inner, inner), Image.Resampling.NEAREST), (_EDGE, _EDGE))
    draw = ImageDraw.Draw(sheet)
    for ev in (round(ev) for ev in evs if abs(ev - round(ev)) < 1e-6):
        place = _place(ev, evs)
        draw.text((place, _SIDE - _EDGE + 4), _named([ev]), _INK, _font(), anchor="mt")
        draw.text((_EDGE - 6, _SIDE - place), _named([ev]), _INK, _font(), anchor="rm")
    draw.text((_SIDE / 2, _SIDE - 6), "lower EV", _FAINT, _font(), anchor="mb")
    draw.text((6, _EDGE - 20), "higher EV", _FAINT, _font())
    return sheet, draw


def _axes(right: float, top: float, across: str, upwards: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (_SIDE, _SIDE), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for part in range(5):
        x, y = right * part / 4, top * part / 4
        draw.line((_point(x, 0, right, top), _point(x, top, right, top)), _LINES)
        draw.line((_point(0, y, right, top), _point(right, y, right, top)), _LINES)
        draw.text((_point(x, 0, right, top)[0], _SIDE - _EDGE + 4), f"{x:.2g}", _INK, _font(), anchor="mt")
        draw.text((_EDGE - 6, _point(0, y, right, top)[1]), f"{y:.2g}", _INK, _font(), anchor="rm")
    draw.text((_SIDE / 2, _SIDE - 6), across, _FAINT, _font(), anchor="mb")
    draw.text((6, _EDGE - 20), upwards, _FAINT, _font())
    return sheet, draw


def _point(x: float, y: float, right: float, top: float) -> tuple[float, float]:
    inner = _SIDE - 2 * _EDGE
    return _EDGE + x / right * inner, _SIDE - _EDGE - y / top * inner


def _place(ev: float, evs: Sequence[float]) -> float:
    """Pixels from the sheet's edge to the middle of an EV's cell; EVs between cells lie between."""
    return _EDGE + (float(np.interp(ev, evs, range(len(evs)))) + 0.5) * (_SIDE - 2 * _EDGE) / len(evs)


def _cell(evs: Sequence[float]) -> int:
    return (_SIDE - 2 * _EDGE) // len(evs) // 2


def _caption(name: str, evs: Sequence[float]) -> str:
    return f"{name}: {_named(evs)}"


def _named(evs: Sequence[float]) -> str:
    """EVs with their signs: ``-0.75, 0, +3.25``."""
    return ", ".join(f"{ev:+.4g}" if ev else "0" for ev in sorted(evs))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=12)


def _to_image(colours: Tensor) -> Image.Image:
    return Image.fromarray((colours.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def _display(sheet: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(sheet).copy()).permute(2, 0, 1).float() / 255
