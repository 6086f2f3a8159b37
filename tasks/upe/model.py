"""The enhancer: a small network looks at a thumbnail, and what it finds is applied to every pixel of the photo.

``coefficients`` is the part that sees the whole picture and costs the same for every size; ``apply`` is pointwise given
its result, so it can be run on strips of rows. ``forward`` does both.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from hdr.errors import UserError
from hdr.ops.bilateral import Convention, GuideFunction, slice_apply, slice_apply_atlas
from hdr.ops.resize import resize_antialiased, resize_by_matrices
from tasks.upe.guides import CurveGuide, PointwiseGuide
from tasks.upe.heads import Affine, Division, Head, LogGain
from tasks.upe.luts import CubeLut, CurveLut
from tasks.upe.networks import HDRNetCoefficients

Thumbnail = Literal["smooth", "antialiased", "bilinear", "nearest"]

GUIDES: dict[str, Callable[..., nn.Module]] = {"pointwise": PointwiseGuide, "curves": CurveGuide}
HEADS: dict[str, Callable[..., Head]] = {"log_gain": LogGain, "division": Division, "affine": Affine}
LUTS: dict[str, Callable[..., nn.Module]] = {"curves": CurveLut, "cube": CubeLut}


class Coefficients(NamedTuple):
    """All that ``apply`` needs to know of the whole picture."""

    grid: torch.Tensor  # (N, C, depth, grid_size, grid_size)
    table: torch.Tensor | None  # of the lookup table
    coarse: torch.Tensor | None  # (N, rows, H/2, W/2), what the coarser pyramid levels add up to


class EnhancerOutput(NamedTuple):
    """What the enhancer makes of a picture."""

    output: torch.Tensor  # (N, 3, H, W) display
    field: torch.Tensor  # (N, 1 or 3, H, W): stops of gain (log_gain), illumination (division), raw result (affine)
    guide: torch.Tensor | None  # (N, 1, H, W) in [0, 1]; None without gradients, where it stays inside the kernel
    grid: torch.Tensor  # (N, C, depth, grid_size, grid_size)


class Enhancer(nn.Module):
    """Photo in, photo out, of any size: coefficient network, guide, head, and optional stages after it.

    A new enhancer leaves every picture as it is. In ``guide``, ``head`` and ``lut``, an option of None has its default.

    The network sees a square thumbnail of fixed size, whatever the photo's aspect, so a photo gets the same correction
    at every size up to what resizing changes. ``thumbnail="smooth"`` keeps that small: after the antialiased reduction
    it blurs once more (1/4, 1/2, 1/4 in x and y), because the highest frequencies of a thumbnail are those that depend
    on how, and how often, a photo was resized, sharpened or denoised before. The other three are the protocols of
    published networks.

    Args:
        network: options of :class:`~tasks.upe.networks.HDRNetCoefficients` but ``outputs``.
        guide: ``kind`` pointwise or curves, and the options of that class in ``tasks.upe.guides``.
        head: ``kind`` log_gain, division or affine, and the options of that class in ``tasks.upe.heads``.
        affine: a second set of 12 coefficients per cell mixes the channels after the head (colour and saturation, which
            gains cannot change).
        lut: ``kind`` curves or cube, and the options of that class in ``tasks.upe.luts``; None, or a ``kind`` of None,
            for no table.
        levels: 1, or the levels of a pyramid, each with its guide and coefficients, whose values are added up from
            coarse to fine (the pyramid variant published with Gharbi et al. 2017 has 3, and 9 rows).
        thumbnail: how the network's input is made: ``"smooth"``, ``"antialiased"`` (bilinear), ``"bilinear"`` or
            ``"nearest"`` (both without antialiasing).
        convention: where grid cells lie, see ``hdr.ops.bilateral``; ``"corner"`` only for imported weights.

    Raises:
        UserError: an unknown kind or a value out of its range, with its key.
    """

    def __init__(
        self,
        *,
        network: Mapping[str, Any] | None = None,
        guide: Mapping[str, Any] | None = None,
        head: Mapping[str, Any] | None = None,
        affine: bool = False,
        lut: Mapping[str, Any] | None = None,
        levels: int = 1,
        thumbnail: Thumbnail = "smooth",
        convention: Convention = "centred",
    ) -> None:
        super().__init__()
        if levels < 1:
            raise UserError(f"levels: {levels} is not possible; use 1, or more for a pyramid")
        if thumbnail not in ("smooth", "antialiased", "bilinear", "nearest"):
            raise UserError(f"thumbnail: '{thumbnail}' is not known; choose smooth, antialiased, bilinear or nearest")
        if convention not in ("centred", "corner"):
            raise UserError(f"convention: '{convention}' is not known; choose centred or corner")
        self.thumbnail_kind = thumbnail
        self.convention = convention
        self.levels = levels
        self.portable = False
        self.resize = resize_antialiased
        self.head: Head = _choose("head", HEADS, {"kind": "log_gain"} if head is None else head)
        self.affine = Affine() if affine else None
        self.rows = [self.head.rows] * levels + ([self.affine.rows] if self.affine else [])
        self.network = HDRNetCoefficients(**(network or {}), outputs=4 * sum(self.rows))
        guide = {"kind": "pointwise"} if guide is None else guide
        self.guides = nn.ModuleList(_choose("guide", GUIDES, guide) for _ in range(levels))
        self.lut = _choose("lut", LUTS, lut, self.network.global_width) if lut and lut.get("kind") else None
        coarse = torch.zeros(self.head.rows * (levels - 1), 4)
        identity = [coarse, self.head.identity] + ([self.affine.identity] if self.affine else [])
        self.network.set_constant(torch.cat(identity).flatten())

    def forward(self, display: torch.Tensor, strength: float = 1.0) -> EnhancerOutput:
        """(N, 3, H, W) display in [0, 1] -> the result, as ``render`` of ``coefficients``.

        Raises:
            ValueError: another shape.
        """
        return self.render(display, self.coefficients(display), strength=strength)

    def coefficients(self, display: torch.Tensor) -> Coefficients:
        """Look at the whole picture, (N, 3, H, W) display; raises ValueError for another shape."""
        if display.ndim != 4 or display.shape[1] != 3 or 0 in display.shape:
            raise ValueError(f"an enhancer takes pictures of shape (N, 3, H, W), got {tuple(display.shape)}")
        grid, overall = self.network(self.thumbnail(display))
        table = self.lut(overall) if self.lut is not None else None
        return Coefficients(grid, table, self._coarse_levels(display, grid) if self.levels > 1 else None)

    def thumbnail(self, display: torch.Tensor) -> torch.Tensor:
        """The network's view of a picture, (N, 3, net_size, net_size); the aspect ratio is given up."""
        size = (self.network.net_size, self.network.net_size)
        if self.thumbnail_kind == "nearest":
            return F.interpolate(display, size, mode="nearest-exact")
        if self.thumbnail_kind == "bilinear":
            return F.interpolate(display, size, mode="bilinear", align_corners=False)
        thumbnail = self.resize(display, size)
        return _blur(thumbnail) if self.thumbnail_kind == "smooth" else thumbnail

    def render(
        self,
        display: torch.Tensor,
        coefficients: Coefficients,
        *,
        row_offset: int = 0,
        full_height: int | None = None,
        strength: float = 1.0,
    ) -> EnhancerOutput:
        """Apply what was found in the whole picture to all of it, or to the rows from ``row_offset`` on.

        ``display`` is (N, 3, h, W), the whole width; ``full_height`` is the height of the picture it is a part of. Each
        pixel gets what it gets when the whole picture is rendered at once. ``strength`` from 0 to 1 mixes with the
        input: a gain (log_gain, division) is raised to that power, so half the strength is half the stops; affine and
        table are mixed linearly. 0 returns the input exactly.
        """
        finest = self._parts(coefficients.grid)[self.levels - 1]
        guide = self._guide(display)
        values = self._slice(finest, guide, display, row_offset, full_height)
        if coefficients.coarse is not None:
            values = values + _enlarge(coefficients.coarse, display, row_offset, full_height)
        output, field = self.head.render(display, values, strength)
        if self.affine is not None:
            mixed = self._slice(self._parts(coefficients.grid)[-1], guide, output, row_offset, full_height)
            output, _ = self.affine.render(output, mixed, strength)
        if self.lut is not None:
            output = self.lut.look_up(output, coefficients.table, strength)
        return EnhancerOutput(output, field, guide if isinstance(guide, torch.Tensor) else None, coefficients.grid)

    @torch.no_grad()
    def strips(
        self, display: torch.Tensor, *, rows: int = 64, strength: float = 1.0
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """The result in strips of ``rows`` rows, from the top, each with its first row: memory for one strip at a time.

        ``display`` is the whole picture, (N, 3, H, W); use a model in evaluation mode.
        """
        coefficients = self.coefficients(display)
        height = display.shape[2]
        for first in range(0, height, rows):
            strip = display[:, :, first : first + rows]
            rendered = self.render(strip, coefficients, row_offset=first, full_height=height, strength=strength)
            yield first, rendered.output

    def illumination(self, display: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
        """The field of an output as a picture of the scene's light, (N, 3, H, W) in [0, 1]; white where unchanged."""
        return self.head.illumination(display, field).expand_as(display)

    def export_form(self, strength: float = 1.0, *, opset: int = 18) -> ExportForm:
        """The same model as a module that maps a tensor to a tensor and can be exported to ONNX."""
        return ExportForm(self, strength, opset)

    def _parts(self, grid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The grid's coefficients by pyramid level, coarsest first, then those of the affine stage."""
        return grid.split([4 * rows for rows in self.rows], dim=1)

    def _guide(self, display: torch.Tensor) -> torch.Tensor | GuideFunction:
        """The finest guide; as a formula where only the picture is wanted, so that it never exists in memory."""
        guide = cast(PointwiseGuide | CurveGuide, self.guides[0])
        formula = self.affine is None and not (self.training or self.portable or torch.is_grad_enabled())
        return guide.record() if formula else guide(display)

    def _slice(
        self,
        grid: torch.Tensor,
        guide: torch.Tensor | GuideFunction,
        image: torch.Tensor,
        row_offset: int = 0,
        full_height: int | None = None,
    ) -> torch.Tensor:
        if self.portable and isinstance(guide, torch.Tensor):
            return slice_apply_atlas(grid, guide, image, convention=self.convention)
        return slice_apply(
            grid, guide, image, convention=self.convention, row_offset=row_offset, full_height=full_height
        )

    def _coarse_levels(self, display: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """The values of all levels but the finest, added up at half the size of the picture."""
        pictures = [display]
        for _ in range(1, self.levels):
            height, width = pictures[-1].shape[2:]
            pictures.append(self.resize(pictures[-1], (max(1, height // 2), max(1, width // 2))))
        total: torch.Tensor | None = None
        for part, guide, picture in zip(self._parts(grid), reversed(self.guides), reversed(pictures[1:]), strict=False):
            values = self._slice(part, guide(picture), picture)
            total = values if total is None else _enlarge(total, picture) + values
        assert total is not None
        return total


class ExportForm(nn.Module):
    """An enhancer as a function of one tensor, in operations that ONNX has.

    (N, 3, H, W) display in [0, 1] -> (N, 3, H, W) display, any height and width. It holds a copy of the enhancer, in
    evaluation mode. From opset 18 on (``torch.onnx.export(dynamo=True)``) the thumbnail is one antialiased Resize; for
    16 and 17 (``dynamo=False``) it is two matrix products, which cost more on large photos.
    """

    def __init__(self, enhancer: Enhancer, strength: float, opset: int) -> None:
        super().__init__()
        if opset < 16:
            raise UserError(f"opset: {opset} has no GridSample; use 16 or more")
        self.enhancer = copy.deepcopy(enhancer)
        self.enhancer.portable = True
        self.enhancer.resize = resize_antialiased if opset >= 18 else resize_by_matrices
        self.strength = strength
        self.eval()

    def forward(self, display: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.enhancer(display, self.strength).output
        return output


def _choose(key: str, kinds: Mapping[str, Callable[..., Any]], options: Mapping[str, Any], *args: Any) -> Any:
    """Make ``options["kind"]`` with the other options; those that are None keep their default."""
    rest = {name: value for name, value in options.items() if value is not None}
    kind = rest.pop("kind", None)
    if kind not in kinds:
        raise UserError(f"{key}.kind: '{kind}' is not known; choose one of {', '.join(kinds)}")
    parameters = inspect.signature(kinds[kind]).parameters.values()
    accepted = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for name in rest:
        if name not in accepted:
            raise UserError(f"{key}.{name}: not an option of {key}.kind={kind}, which has {', '.join(accepted)}")
    return kinds[kind](*args, **rest)


def _blur(picture: torch.Tensor) -> torch.Tensor:
    """Binomial low-pass (1/4, 1/2, 1/4) in x and y; the edge is repeated."""
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    rows = (padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]) / 4
    return (rows[:, :, :, :-2] + 2 * rows[:, :, :, 1:-1] + rows[:, :, :, 2:]) / 4


def _enlarge(
    values: torch.Tensor, like: torch.Tensor, row_offset: int = 0, full_height: int | None = None
) -> torch.Tensor:
    """``values`` of a whole picture resized bilinearly to the width of ``like`` and to the rows that it holds."""
    height, width = like.shape[2:]
    count = values.shape[2]
    centres = torch.arange(height, device=like.device, dtype=like.dtype) + (row_offset + 0.5)
    position = (centres * count / (full_height or height) - 0.5).clamp(0, count - 1)
    above = position.floor().long()
    below = (above + 1).clamp(max=count - 1)
    lines = torch.lerp(values[:, :, above], values[:, :, below], (position - above)[:, None])
    return F.interpolate(lines, (height, width), mode="bilinear", align_corners=False)
