"""The picture plane: a level pinhole camera, regions of planes in perspective, painting with coverage, the lens."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from hdr.data.scenes.light import REC709_LUMINANCE

Array = npt.NDArray[np.float32]
Point = tuple[float, float]
NEAR = 0.25  # metres; nothing nearer is drawn
MOST_STOPS = 15.4  # between the dark end and the brightest point of a picture


@dataclasses.dataclass(frozen=True)
class Region:
    """A part of the picture: which rows and columns, and how much of each pixel is covered (h, w), 0 to 1."""

    rows: slice
    cols: slice
    alpha: Array


@dataclasses.dataclass(frozen=True)
class Wall:
    """What is seen of an upright rectangle, with the coordinates of its plane."""

    region: Region
    along: Array
    """Metres from its left end, (1, w)."""
    height: Array
    """Metres above the ground, (h, w)."""
    depth: Array
    """Metres into the picture, (1, w)."""
    footprint: Array
    """Metres per pixel along the wall, (1, w): many where one looks along it."""
    rise: Array
    """Metres per pixel in height, (1, w)."""
    normal: Array
    """Unit normal (3,) towards the camera."""

    x: Array
    """World X, (1, w)."""


class Canvas:
    """Radiance (3, h, w) in the making, seen by a level camera ``eye`` metres above the ground.

    World: X right, Y up from the ground, Z into the picture, metres. A pixel looks along (x, y, 1); uprights stay
    upright (the horizon is moved by shifting the lens, not by tilting the camera), so the depth of an upright plane
    depends on the column alone and that of a level plane on the row alone. Lengths on the picture are in units of its
    shorter side, which makes the composition independent of the size in pixels.
    """

    def __init__(self, size: tuple[int, int], *, focal: float, horizon: float, eye: float) -> None:
        """``focal``: focal length in shorter sides; ``horizon``: its height above the middle, in shorter sides."""
        self.height, self.width = size
        side = min(size)
        self.focal = focal
        self.pixel = 1.0 / (side * focal)
        self.eye = eye
        columns = np.arange(self.width, dtype=np.float32) + np.float32(0.5 - self.width / 2)
        rows = np.float32(self.height / 2 - 0.5) - np.arange(self.height, dtype=np.float32)
        self.x: Array = (columns * np.float32(self.pixel))[None, :]
        self.y: Array = ((rows - np.float32(horizon * side)) * np.float32(self.pixel))[:, None]
        self.linear: Array = np.zeros((3, self.height, self.width), dtype=np.float32)

    def window(self, left: float, right: float, low: float, high: float) -> tuple[slice, slice] | None:
        """Rows and columns that hold the slopes given, with a pixel to spare; None when outside the picture."""
        x0, y0 = float(self.x[0, 0]), float(self.y[0, 0])
        c0 = max(int(np.floor(max((left - x0) / self.pixel, -2.0))) - 1, 0)
        c1 = min(int(np.ceil(min((right - x0) / self.pixel, self.width + 2.0))) + 2, self.width)
        r0 = max(int(np.floor(max((y0 - high) / self.pixel, -2.0))) - 1, 0)
        r1 = min(int(np.ceil(min((y0 - low) / self.pixel, self.height + 2.0))) + 2, self.height)
        return (slice(r0, r1), slice(c0, c1)) if r1 > r0 and c1 > c0 else None

    def around(
        self, x: float, y: float, z: float, left: float, right: float, low: float, high: float
    ) -> tuple[slice, slice, Array, Array, float] | None:
        """A standing card at depth ``z``: rows, columns, local coordinates (1, w) and (h, 1) in metres about (x, y),
        metres per pixel. ``left`` to ``high`` is the card's extent in local metres."""
        if z <= NEAR:
            return None
        found = self.window((x + left) / z, (x + right) / z, (y + low - self.eye) / z, (y + high - self.eye) / z)
        if found is None:
            return None
        rows, cols = found
        return rows, cols, self.x[:, cols] * z - x, self.y[rows] * z + (self.eye - y), z * self.pixel

    def polygon(self, points: list[tuple[float, float, float]], soft: float = 1.0, grow: float = 0.0) -> Region | None:
        """Coverage of a convex polygon of world points; ``soft`` is the width of its edge in pixels at 256 px.

        ``grow`` pixels are added all round: faces that meet must overlap, or the background shines through the seam.
        """
        clipped = _clip_near(points)
        if len(clipped) < 3:
            return None
        flat = [(x / z, (y - self.eye) / z) for x, y, z in clipped]
        edges = list(zip(flat, flat[1:] + flat[:1], strict=True))
        area = 0.5 * sum(p[0] * q[1] - q[0] * p[1] for p, q in edges)
        if abs(area) < 0.05 * self.pixel**2:
            return None
        width = max(soft * self.pixel * min(self.height, self.width) / 256.0, self.pixel) if soft > 1.0 else self.pixel
        margin = width / 2 + grow * self.pixel
        xs, ys = [p[0] for p in flat], [p[1] for p in flat]
        found = self.window(min(xs) - margin, max(xs) + margin, min(ys) - margin, max(ys) + margin)
        if found is None:
            return None
        rows, cols = found
        alpha: Array | None = None
        sign = 1.0 if area > 0 else -1.0
        for (x0, y0), (x1, y1) in edges:
            ex, ey = x1 - x0, y1 - y0
            length = math.hypot(ex, ey)
            if length < 1e-9:
                continue
            a, b = np.float32(-sign * ey / length / width), np.float32(sign * ex / length / width)
            offset = np.float32(margin / width) - a * np.float32(x0) - b * np.float32(y0)
            inside = self.x[:, cols] * a + (self.y[rows] * b + offset)
            alpha = inside if alpha is None else np.minimum(alpha, inside, out=alpha)
        if alpha is None:
            return None
        return Region(rows, cols, np.clip(alpha, 0.0, 1.0, out=alpha))

    def wall(self, a: Point, b: Point, bottom: float, top: float, grow: float = 0.0) -> Wall | None:
        """The upright rectangle over the ground points ``a`` and ``b`` (X, Z), from ``bottom`` to ``top`` metres."""
        outline = [(a[0], bottom, a[1]), (b[0], bottom, b[1]), (b[0], top, b[1]), (a[0], top, a[1])]
        region = self.polygon(outline, grow=grow)
        if region is None:
            return None
        length = float(np.hypot(b[0] - a[0], b[1] - a[1]))
        dx, dz = (b[0] - a[0]) / length, (b[1] - a[1]) / length
        distance = a[0] * dz - a[1] * dx
        x = self.x[:, region.cols]
        slope = x * np.float32(dz) - np.float32(dx)
        floor = np.float32(1e-4)
        slope = np.where(np.abs(slope) < floor, np.copysign(floor, np.float32(distance)), slope)
        depth = np.clip(np.float32(distance) / slope, NEAR, 1e4).astype(np.float32)
        along = (x * depth - np.float32(a[0])) * np.float32(dx) + (depth - np.float32(a[1])) * np.float32(dz)
        normal = np.array([-dz, 0.0, dx], dtype=np.float32)
        if normal[0] * a[0] + normal[2] * a[1] > 0:
            normal = -normal
        cosine = np.maximum(np.abs(x * normal[0] + normal[2]) / np.sqrt(1.0 + x * x), 0.05)
        return Wall(
            region=region,
            along=along.astype(np.float32),
            height=(self.y[region.rows] * depth + np.float32(self.eye)).astype(np.float32),
            depth=depth,
            footprint=(depth * np.float32(self.pixel) / cosine).astype(np.float32),
            rise=(depth * np.float32(self.pixel)).astype(np.float32),
            normal=normal,
            x=(x * depth).astype(np.float32),
        )

    def level(
        self, region: Region | None, at: float = 0.0, far: float = 4000.0
    ) -> tuple[slice, slice, Array, Array, Array]:
        """Coordinates of the level plane at height ``at`` behind a region (None: all rows below or above the horizon).

        Returns rows, columns, X (h, w), Z (h, 1) and metres per pixel (h, 1).
        """
        drop = at - self.eye
        if region is None:
            seen = np.flatnonzero(self.y[:, 0] * drop > 0)
            rows = slice(int(seen[0]), int(seen[-1]) + 1) if seen.size else slice(0, 0)
            cols = slice(0, self.width)
        else:
            rows, cols = region.rows, region.cols
        y = self.y[rows]
        y = np.where(y * drop > 1e-6, y, np.float32(np.copysign(1e-6, drop)))
        z = np.minimum(np.float32(drop) / y, far).astype(np.float32)
        footprint = (z * z * np.float32(self.pixel / abs(drop)) + z * np.float32(self.pixel)).astype(np.float32)
        return rows, cols, self.x[:, cols] * z, z, footprint

    def paint(self, rows: slice, cols: slice, alpha: npt.NDArray[Any] | float, radiance: Array) -> None:
        """Lay ``radiance`` ((3, h, w), or (3,) for one colour) over the picture where ``alpha`` covers it."""
        colour = radiance[:, None, None] if radiance.ndim == 1 else radiance
        part = self.linear[:, rows, cols]
        if isinstance(alpha, float) and alpha == 1.0:
            part[:] = colour
            return
        part += (colour - part) * np.asarray(alpha, dtype=np.float32)

    def add(self, rows: slice, cols: slice, amount: Array, radiance: Array) -> None:
        """Add light: ``amount`` (h, w) times the colour (3,)."""
        self.linear[:, rows, cols] += radiance[:, None, None] * amount

    def mirrored(self, rows: slice, cols: slice, left: float, right: float, depth: float, blur: float) -> Array:
        """What a mirror on the ground would show of the walls of a room or street, (3, h, w).

        The walls stand at X = ``left`` and ``right`` and at Z = ``depth``; ``blur`` is the height of the smear in
        shorter sides. The mirror image of a wall point at depth Z stands 2 eye / Z below it, in the same column.
        """
        x, y = self.x[:, cols], self.y[rows]
        side = np.where(x < 0.0, np.float32(left), np.float32(right)) / np.where(np.abs(x) < 1e-4, np.float32(1e-4), x)
        wall = np.minimum(np.abs(side), np.float32(depth))
        seen = -y - np.float32(2.0 * self.eye) / wall
        row = (self.y[0, 0] - seen) * np.float32(1.0 / self.pixel)
        column = np.broadcast_to(np.arange(cols.start, cols.stop, dtype=np.float32)[None, :], row.shape)
        picture = np.ascontiguousarray(self.linear.transpose(1, 2, 0))
        smear = 2 * int(0.5 * blur * min(self.height, self.width)) + 1
        shown = cv2.remap(
            cv2.blur(picture, (1, smear)),
            np.ascontiguousarray(column),
            np.ascontiguousarray(row, dtype=np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(shown.transpose(2, 0, 1), dtype=np.float32)

    def finish(self, *, vignette: float, glare: float) -> Array:
        """What reaches the sensor: ``vignette`` stops lost in the corners, a share ``glare`` of all light scattered
        (near halo and wide veil), highlights held at 2**MOST_STOPS times the dark end of the picture.

        The dark end is the 1st percentile of luminance, taken of one pixel in each of at most 128 x 128 cells.

        Returns (3, h, w), finite and >= 0.
        """
        picture = np.ascontiguousarray(self.linear.transpose(1, 2, 0))
        coarse = coarsened(picture)
        # An upper bound of the dark end, so that the veil does not hang on light that is cut afterwards.
        dark = float(np.percentile(coarse[..., 1], 2.0)) + 0.002 * glare * float(coarse[..., 1].mean())
        np.minimum(coarse, np.float32(2.0**MOST_STOPS * dark), out=coarse)
        veil = 0.6 * cv2.GaussianBlur(coarse, (0, 0), 0.9) + 0.4 * cv2.GaussianBlur(coarse, (0, 0), 5.0)
        veil = cv2.resize(veil, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        picture = cv2.addWeighted(picture, 1.0 - glare, veil, glare, 0.0)
        cells = (min(self.width, 128), min(self.height, 128))
        sparse = cv2.resize(picture, cells, interpolation=cv2.INTER_NEAREST)
        dark = float(np.percentile(sparse @ REC709_LUMINANCE, 1.0))
        picture = cv2.threshold(picture, 2.0**MOST_STOPS * dark, 0.0, cv2.THRESH_TRUNC)[1]
        rx = (np.arange(self.width, dtype=np.float32) + 0.5) / self.width * 2.0 - 1.0
        ry = (np.arange(self.height, dtype=np.float32) + 0.5) / self.height * 2.0 - 1.0
        corner = 2.0 ** (vignette / 2.0) - 1.0
        falloff = 1.0 / (1.0 + np.float32(corner / 2.0) * (rx[None, :] ** 2 + ry[:, None] ** 2)) ** 2
        result = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)
        result *= falloff
        return np.maximum(result, 0.0, out=result)


def coarsened(picture: Array) -> Array:
    """Area means of a picture (h, w, 3) in 64 cells along its longer side: what does not hang on its size in pixels."""
    height, width = picture.shape[:2]
    scale = 64 / max(height, width)
    cells = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(picture, cells, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _clip_near(points: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Cut a convex polygon at the near plane."""
    kept: list[tuple[float, float, float]] = []
    for i, p in enumerate(points):
        q = points[(i + 1) % len(points)]
        if p[2] >= NEAR:
            kept.append(p)
        if (p[2] < NEAR) != (q[2] < NEAR):
            t = (NEAR - p[2]) / (q[2] - p[2])
            kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1]), NEAR))
    return kept
