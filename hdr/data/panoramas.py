"""Perspective photographs out of equirectangular HDR panoramas."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from hdr.data.scenes.scene import Scene
from hdr.errors import UserError
from hdr.io import read_image
from hdr.ops.colour import luminance

logger = logging.getLogger(__name__)

SUN_LIMIT = 2.0**12
"""Radiance is held at this multiple of a panorama's median luminance: the sun stays finite."""

_SUFFIXES = (".hdr", ".exr")
_RADIANCE_SIZE = re.compile(rb"\n\n([+-][XY]) +(\d+) +([+-][XY]) +(\d+)[ \r]*\n")
_RESOLUTION = re.compile(r"[-_]\d+k$")
# Published under two names each; both show one place and must stay on one side of a split.
_SAME_PLACE = {"bridge": "adams_place_bridge", "hall": "dancing_hall"}


def perspective_view(
    panorama: Tensor, yaw: float, pitch: float, roll: float, fov: float, size: tuple[int, int]
) -> Tensor:
    """What a pinhole camera in the middle of an equirectangular panorama sees.

    Bilinear interpolation in the panorama, across its seam and over its poles. Where the view is coarser than the
    panorama, each pixel averages as many rays as it covers panorama pixels; where it is far coarser, the panorama is
    reduced by area first. So nothing aliases.

    Args:
        panorama: (3, H, W) linear, W = 2 H. Its middle column is straight ahead, columns run to the right, rows from
            the zenith down.
        yaw: radians, positive turns the camera to the right.
        pitch: radians, positive raises it.
        roll: radians, positive turns the camera clockwise, so that the picture's content turns anticlockwise.
        fov: angle of view across the longer side, radians, below pi.
        size: height and width of the view in pixels.

    Returns:
        (3, h, w) linear in the panorama's unit.

    Raises:
        ValueError: a panorama that is not 2:1, or an angle of view outside (0, pi).
    """
    if panorama.shape[-1] != 2 * panorama.shape[-2]:
        raise ValueError(f"a panorama of {panorama.shape[-1]}x{panorama.shape[-2]} pixels is not 2:1")
    if not 0.0 < fov < math.pi:
        raise ValueError(f"an angle of view of {fov} radians is not between 0 and pi")
    height, width = size
    slope = 2.0 * math.tan(fov / 2.0) / max(size)
    ratio = slope * panorama.shape[-1] / (2.0 * math.pi)
    if ratio >= 6.0:  # leaves 3 to 6 pixels of the panorama to a pixel of the view: the blocks stay well below it
        panorama = _reduced(panorama, int(ratio / 3.0))
    rays = math.ceil(slope * panorama.shape[-1] / (2.0 * math.pi))
    rows, cols = height * rays, width * rays
    x = (torch.arange(cols, dtype=torch.float64) + 0.5 - cols / 2.0) * (slope / rays)
    y = (rows / 2.0 - 0.5 - torch.arange(rows, dtype=torch.float64)) * (slope / rays)
    turn = _rotation(yaw, pitch, roll)
    along, up, ahead = (
        (float(turn[i, 0]) * x[None, :] + (float(turn[i, 1]) * y[:, None] + float(turn[i, 2]))).float()
        for i in range(3)
    )
    # Positions in pixels, pixel centres at half-integers, with a border of one pixel added below.
    h, w = panorama.shape[-2:]
    column = (torch.atan2(along, ahead) / (2.0 * math.pi) + 0.5) * w + 1.0
    row = (0.5 - torch.atan2(up, torch.hypot(along, ahead)) / math.pi) * h + 1.0
    grid = torch.stack([2.0 * column / (w + 2) - 1.0, 2.0 * row / (h + 2) - 1.0], dim=-1)
    view = grid_sample(_bordered(panorama)[None], grid[None].to(panorama), mode="bilinear", align_corners=False)
    return (avg_pool2d(view, rays) if rays > 1 else view)[0]


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Camera to world (3, 3): x right, y up, z ahead; roll first, then pitch, then yaw."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]])
    about_z = np.array([[cr, sr, 0.0], [-sr, cr, 0.0], [0.0, 0.0, 1.0]])
    return about_y @ about_x @ about_z


def _bordered(panorama: Tensor) -> Tensor:
    """One more pixel all round: the other side of the seam, and what lies beyond the poles."""
    half = panorama.shape[-1] // 2
    tall = torch.cat([panorama[:, :1].roll(half, -1), panorama, panorama[:, -1:].roll(half, -1)], dim=-2)
    return torch.cat([tall[..., -1:], tall, tall[..., :1]], dim=-1)


def _reduced(panorama: Tensor, factor: int) -> Tensor:
    """Area means over blocks of the largest power of two <= ``factor`` that divides the height."""
    power = 2 ** int(math.log2(factor))
    while panorama.shape[-2] % power:
        power //= 2
    return avg_pool2d(panorama[None], power)[0] if power > 1 else panorama


class PanoramaViews:
    """A source of scenes: views of the panoramas in a folder, from a level camera turned anywhere.

    Panoramas are read when they are first needed and kept in half precision, reduced to what the views can show.
    Their exposure is arbitrary: scenes are scaled to a median luminance of 1.

    Args:
        root: folder with .hdr and .exr files; sub-folders are searched. Files that are not 2:1 panoramas are left out,
            reported once and listed in ``skipped``.
        size: height and width of the views.
        views: per panorama.
        groups: panoramas to use, by group name; None: all. Group names are file names without suffix and resolution.
        fov: angle of view across the longer side, degrees, drawn between these two.
        pitch: greatest angle up or down, degrees; roll: its standard deviation, degrees.
        night: pattern (a regular expression) in the group names of places that are meant to stay dark; None: no place.

    Raises:
        UserError: no such folder, or no panorama in it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: tuple[int, int],
        *,
        views: int = 64,
        groups: Sequence[str] | None = None,
        fov: tuple[float, float] = (45.0, 85.0),
        pitch: float = 15.0,
        roll: float = 1.5,
        night: str | None = None,
    ) -> None:
        self.size, self.views, self.fov, self.pitch, self.roll = size, views, fov, pitch, roll
        self.paths, self.skipped = find_panoramas(root)
        if groups is not None:
            self.paths = [path for path in self.paths if place_of(path) in groups]
        if not self.paths:
            raise UserError(f"{root}: none of the panoramas in it has one of the group names {sorted(groups or ())}")
        self.night = re.compile(night) if night is not None else None
        self._kept: dict[Path, Tensor] = {}

    @property
    def groups(self) -> list[str]:
        """The places shown, each once, sorted: what a split may not tear apart."""
        return sorted({place_of(path) for path in self.paths})

    def __len__(self) -> int:
        return len(self.paths) * self.views

    def scene(self, index: int, rng: np.random.Generator) -> Scene:
        """A view of panorama ``index // views``; where the camera looks comes from ``rng``."""
        if not 0 <= index < len(self):
            raise IndexError(f"view {index} of {len(self)}")
        path = self.paths[index // self.views]
        yaw, pitch = rng.uniform(-math.pi, math.pi), math.radians(rng.uniform(-self.pitch, self.pitch))
        roll, fov = math.radians(rng.normal(0.0, self.roll)), math.radians(rng.uniform(*self.fov))
        view = perspective_view(self._panorama(path).float(), yaw, pitch, roll, fov, self.size)
        return Scene(
            linear=view.numpy(),
            name=f"{path.stem}-{index % self.views}",
            group=place_of(path),
            family="panorama",
            night=self.night is not None and self.night.search(place_of(path)) is not None,
            key_luminance=None,
            white=np.ones(3, dtype=np.float32),
        )

    def _panorama(self, path: Path) -> Tensor:
        if path not in self._kept:
            panorama = load_panorama(path)
            narrow = (
                2.0 * math.tan(math.radians(self.fov[0]) / 2.0) / max(self.size) * panorama.shape[-1] / (2.0 * math.pi)
            )
            self._kept[path] = _reduced(panorama, max(int(narrow), 1)).half()
        return self._kept[path]


def load_panorama(path: str | os.PathLike[str]) -> Tensor:
    """A panorama (3, H, W), linear, finite, >= 0, median luminance 1, at most :data:`SUN_LIMIT`.

    Negative values, which lossy compression leaves, become 0, blocks that it has broken about the sun are filled from
    around them, infinity counts as the limit and NaN as 0.

    Raises:
        UserError: the file cannot be read, is not 2:1, or is black.
    """
    photo = read_image(path)
    linear = photo.pixels
    if photo.encoding != "linear" or linear.shape[-1] != 2 * linear.shape[-2]:
        raise UserError(
            f"{os.fspath(path)}: {linear.shape[-1]}x{linear.shape[-2]} pixels, {photo.encoding}; an equirectangular "
            "panorama is linear and twice as wide as high"
        )
    linear = torch.nan_to_num(linear, nan=0.0, posinf=float("inf"), neginf=0.0)
    median = float(luminance(linear).median())
    if not 0.0 < median < float("inf"):
        raise UserError(
            f"{os.fspath(path)}: its median luminance is {median}; a panorama shows light in all directions"
        )
    return (_mended(linear, median) / median).clamp(0.0, SUN_LIMIT)


def _mended(linear: Tensor, median: float) -> Tensor:
    """Blocks that lossy compression has broken about the sun, filled with the brightest light round them.

    DWA compression works on blocks of 8 x 8; where the sun overflows it, the block rings between large values of both
    signs and one channel may drown the others. The small negative values that it leaves elsewhere stay.
    """
    broken = {(int(y) // 8 * 8, int(x) // 8 * 8) for y, x in (linear.amin(0) < -median).nonzero()}
    if not broken:
        return linear
    intact = torch.ones(linear.shape[-2:], dtype=torch.bool)
    for y, x in broken:
        intact[y : y + 8, x : x + 8] = False
    mended = linear.clone()
    for y, x in broken:
        ring = (slice(max(y - 1, 0), y + 9), slice(max(x - 1, 0), x + 9))
        around = linear[:, ring[0], ring[1]][:, intact[ring]]
        mended[:, y : y + 8, x : x + 8] = around.amax(1)[:, None, None] if around.numel() else median
    return mended


def find_panoramas(root: str | os.PathLike[str]) -> tuple[list[Path], list[str]]:
    """The panoramas below a folder, sorted, and one line for each .hdr or .exr file that is none.

    Raises:
        UserError: no such folder, or no panorama in it.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; name one with equirectangular .hdr or .exr files")
    paths, skipped = [], []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and not p.name.startswith(".")):
        found = _size_in_header(path)
        if found is None:
            skipped.append(f"{path}: its header cannot be read; it is damaged or of another format than its name says")
        elif found[0] != 2 * found[1]:
            skipped.append(f"{path}: {found[0]}x{found[1]} pixels are not 2:1, so it is no panorama")
        else:
            paths.append(path)
    for line in skipped:
        logger.warning("left out: %s", line)
    if not paths:
        raise UserError(
            f"{folder}: no panorama in it ({len(skipped)} other .hdr or .exr files); accepted are linear 2:1 files"
        )
    return paths, skipped


def _size_in_header(path: Path) -> tuple[int, int] | None:
    """Width and height, without decoding the pixels: a folder may hold hundreds of large panoramas."""
    if path.suffix.lower() == ".exr":
        import OpenEXR

        try:
            with OpenEXR.File(str(path), header_only=True) as file:
                low, high = file.header()["dataWindow"]
        except (RuntimeError, OSError, KeyError):
            return None
        return int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1
    with open(path, "rb") as stream:
        found = _RADIANCE_SIZE.search(stream.read(65536))
    if found is None:
        return None
    sides = {found[1][-1:]: int(found[2]), found[3][-1:]: int(found[4])}
    return sides.get(b"X", 0), sides.get(b"Y", 0)


def place_of(path: Path) -> str:
    """The group of a panorama file: its name without suffix and resolution, one name per place."""
    name = _RESOLUTION.sub("", path.stem)
    return _SAME_PLACE.get(name, name)
