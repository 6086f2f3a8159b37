"""Trees, hills, rocks and bushes."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point, Region
from hdr.data.scenes.light import Daylight
from hdr.data.scenes.solids import darken_below, faded, pick, shade_ground
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    """A broad-leaved tree as a few round lobes on a trunk, all in metres about its foot."""

    lobes: Array
    """(n, 3): x, y, radius."""
    height: float
    leaf: Array
    bark: Array
    leaves: Texture
    gaps: float

    @staticmethod
    def draw(rng: np.random.Generator, height: float, autumn: bool = False) -> Tree:
        n = int(rng.integers(5, 9))
        angle, reach = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.random(n)) * height * 0.26
        lobes = np.stack(
            [np.cos(angle) * reach, height * 0.66 + np.sin(angle) * reach * 0.85, height * rng.uniform(0.12, 0.24, n)],
            1,
        )
        greens = [(0.055, 0.095, 0.025), (0.035, 0.07, 0.03), (0.09, 0.12, 0.03), (0.04, 0.06, 0.02)]
        browns = [(0.22, 0.10, 0.02), (0.30, 0.16, 0.02), (0.16, 0.05, 0.02)]
        return Tree(
            lobes=lobes.astype(np.float32),
            height=height,
            leaf=pick(rng, browns if autumn else greens),
            bark=pick(rng, [(0.10, 0.075, 0.05), (0.16, 0.14, 0.12)]),
            leaves=Texture(rng, height * 0.22, bands=3, roughness=0.75),
            gaps=float(rng.uniform(0.25, 0.5)),
        )


def paint_tree(canvas: Canvas, tree: Tree, at: Point, light: Daylight, clear: float) -> None:
    """A tree standing at (X, Z) in daylight."""
    darken_below(canvas, at, 0.12 * tree.height, 0.55)
    _trunk(canvas, tree, at, light, clear)
    h, lobes, sun = tree.height, tree.lobes, light.sun_direction
    scale = float(0.14 * h * tree.gaps)
    reach = lobes[:, 2] + 1.5 * scale
    found = canvas.around(
        at[0],
        0.0,
        at[1],
        float((lobes[:, 0] - reach).min()),
        float((lobes[:, 0] + reach).max()),
        float((lobes[:, 1] - reach).min()),
        float((lobes[:, 1] + reach).max()),
    )
    if found is None:
        return
    rows, cols, x, y, foot = found
    noise = tree.leaves(x, y, foot)
    best, facing, low = _lobes(lobes, x, y, sun)
    low = np.clip(low, -1.0, 1.0)
    alpha = np.clip((best + np.float32(scale) * np.minimum(noise, 1.4)) * np.float32(0.7 / foot) + 0.5, 0.0, 1.0)
    # Clumps of leaves shade what lies deeper. Leaves let some sun through: with the sun behind it the crown glows.
    hidden = np.clip(0.385 - 0.32 * low, 0.05, 0.7) * np.exp(np.minimum(0.95 * noise - 0.4, 0.9))
    direct = np.maximum(0.25 + 0.75 * facing, 0.0) + np.float32(0.35 * max(float(sun[2]), 0.0)) * (1.0 - low)
    direct *= np.clip(0.35 + 0.5 * noise, 0.015, 1.2)
    radiance = (tree.leaf * light.sky)[:, None, None] * hidden
    radiance += (tree.leaf * light.sun)[:, None, None] * direct
    if light.weather != "overcast":  # waxy leaves here and there mirror the sun
        wax = np.clip(noise - 1.8, 0.0, 1.0) * np.clip(0.3 + facing, 0.0, 1.0)
        radiance += light.sun[:, None, None] * (wax * wax)
    canvas.paint(rows, cols, alpha, faded(light, radiance, at[1], clear))


def _lobes(lobes: Array, x: Array, y: Array, sun: Array) -> tuple[Array, Array, Array]:
    """Depth below the crown's surface, cosine towards the sun and how far down it faces, at the lobe that is nearest.

    They vary slowly, so they are worked out on a coarser grid where the crown is large.
    """
    shape = (y.shape[0], x.shape[1])
    coarse = tuple(-(-n // 4) if n > 24 else n for n in shape)

    def spread(line: Array, n: int) -> Array:
        at = (np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(line.size / n) - np.float32(0.5)
        step = (line[-1] - line[0]) / max(line.size - 1, 1)
        return np.asarray(line[0] + at * step, np.float32)

    x, y = spread(x[0], coarse[1])[None, :], spread(y[:, 0], coarse[0])[:, None]
    best = np.full(coarse, -1e3, dtype=np.float32)
    facing, low = np.zeros_like(best), np.zeros_like(best)
    for lx, ly, radius in lobes:
        dx, dy = x - lx, y - ly
        square = dx * dx + dy * dy
        inside = radius - np.sqrt(square)
        bulge = np.sqrt(np.maximum(radius * radius - square, 0.0))
        nearest = inside > best
        np.copyto(facing, (dx * sun[0] + dy * sun[1] - bulge * sun[2]) * np.float32(1.0 / radius), where=nearest)
        np.copyto(low, dy * np.float32(-1.0 / radius), where=nearest)
        np.maximum(best, inside, out=best)
    if coarse == shape:
        return best, facing, low
    size = (shape[1], shape[0])
    fine = [cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in (best, facing, low)]
    return fine[0].astype(np.float32), fine[1].astype(np.float32), fine[2].astype(np.float32)


def _trunk(canvas: Canvas, tree: Tree, at: Point, light: Daylight, clear: float) -> None:
    h, sun = tree.height, light.sun_direction
    found = canvas.around(at[0], 0.0, at[1], -0.06 * h, 0.06 * h, -0.02 * h, 0.7 * h)
    if found is None:
        return
    rows, cols, x, y, foot = found
    width = np.float32(0.028 * h) * (1.3 - 0.5 * np.clip(y / (0.6 * h), 0, 1))
    alpha = np.clip((width - np.abs(x + 0.01 * h * np.sin(y * 7.0 / h))) / foot + 0.5, 0.0, 1.0)
    alpha = alpha * np.clip((np.float32(0.68 * h) - y) / foot, 0.0, 1.0) * np.clip(y / foot + 0.5, 0.0, 1.0)
    side = np.clip(0.5 + 0.5 * (x / width) * np.sign(sun[0]), 0.0, 1.0) * max(0.15 - float(sun[2]), 0.15)
    furrows = np.exp(0.5 * tree.leaves(x * 6.0, y, foot * 4.0)) * np.clip(1.1 - 0.8 * y / (0.6 * h), 0.25, 1.0)
    bark = light.sky[:, None, None] * 0.4 + light.sun[:, None, None] * (side * 0.7)
    bark = tree.bark[:, None, None] * bark * furrows
    canvas.paint(rows, cols, np.asarray(alpha, np.float32), faded(light, np.asarray(bark, np.float32), at[1], clear))


def paint_ridge(
    canvas: Canvas,
    light: Daylight,
    texture: Texture,
    albedo: Array,
    depth: float,
    height: float,
    rough: float,
    clear: float,
    grain: Texture | None = None,
) -> None:
    """A line of hills or woods across the picture at ``depth`` metres; ``rough`` is the height of its ups and downs."""
    x = canvas.x * depth
    foot = depth * canvas.pixel
    top = height + rough * texture(x, np.zeros((1, 1), np.float32), foot)
    found = canvas.window(float(canvas.x[0, 0]), float(canvas.x[0, -1]), -canvas.eye / depth, float(top.max()) / depth)
    if found is None:
        return
    rows = found[0]
    y = canvas.y[rows] * depth + canvas.eye
    alpha = np.clip((top - y) / foot + 0.5, 0.0, 1.0) * np.clip(y / foot + 1.0, 0.0, 1.0)
    lit = albedo * light.lit(np.array([0.0, 0.7, -0.7], np.float32))
    if grain is None:
        radiance = np.broadcast_to(faded(light, lit, depth, clear)[:, None, None], (3, *alpha.shape))
    else:
        noise = grain(x, y * 1.6, foot)
        # Crowns of the trees, or rocks: the sun catches what stands out, and below the edge it is dark.
        tone = np.exp(0.5 * noise) * np.clip(0.45 + 0.8 * y / np.float32(max(height, 1.0)), 0.2, 1.2)
        radiance = faded(light, lit[:, None, None] * np.minimum(tone, 2.5), depth, clear)
    canvas.paint(rows, slice(0, canvas.width), alpha, radiance)


def tree_shadow(canvas: Canvas, tree: Tree, at: Point, light: Daylight, onto: Array, rows: slice) -> None:
    """Darken the sun's visibility ``onto`` (rows of the ground, full width) under a tree.

    Each lobe throws an ellipse, drawn out along the sun's azimuth; gaps in the leaves let spots of sun through.
    """
    sun = light.sun_direction
    if sun[1] < 0.03:
        return
    flat = max(float(np.hypot(sun[0], sun[2])), 1e-3)
    ux, uz = -float(sun[0]) / flat, -float(sun[2]) / flat
    run = flat / float(sun[1])
    stretch = float(np.hypot(1.0, run))
    reach = tree.lobes[:, 2] * 1.3
    along = tree.lobes[:, 1] * run
    ends = [float((along - reach * stretch).min()), float((along + reach * stretch).max())]
    wide = float((np.abs(tree.lobes[:, 0]) + reach).max())
    outline = [
        (at[0] + ux * a - uz * b, 0.0, at[1] + uz * a + ux * b)
        for a, b in ((ends[0], -wide), (ends[1], -wide), (ends[1], wide), (ends[0], wide))
    ]
    region = canvas.polygon(outline)
    if region is None:
        return
    r = slice(max(region.rows.start, rows.start), min(region.rows.stop, rows.stop))
    if r.stop > r.start:
        _, cols, x, z, foot = canvas.level(Region(r, region.cols, region.alpha))
        a = (x - np.float32(at[0])) * np.float32(ux) + (z - np.float32(at[1])) * np.float32(uz)
        b = (z - np.float32(at[1])) * np.float32(ux) - (x - np.float32(at[0])) * np.float32(uz)
        best = np.full(a.shape, -1e3, dtype=np.float32)
        for lx, ly, radius in tree.lobes:
            da, db = (a - (ly * run + lx * ux)) * np.float32(1.0 / stretch), b + lx * np.float32(uz)
            np.maximum(best, radius - np.sqrt(da * da + db * db), out=best)
        best += np.float32(0.2 * tree.height * tree.gaps) * tree.leaves(a * np.float32(1.0 / stretch), b, foot)
        soft = np.maximum(foot, np.float32(0.02 * tree.height))
        view = onto[r.start - rows.start : r.stop - rows.start, cols]
        np.minimum(view, 1.0 - 0.95 * np.clip(best / soft + 0.5, 0.0, 1.0), out=view)
    w = 0.025 * tree.height
    end = float(along.mean())
    trunk = [(0.0, -w), (end, -w), (end, w), (0.0, w)]
    stem = [(at[0] + ux * a - uz * b, 0.0, at[1] + uz * a + ux * b) for a, b in trunk]
    shade_ground(canvas, canvas.polygon(stem), onto, rows, 0.95)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mound:
    """A rock, a bush or a hedge: a rounded heap, in metres about the middle of its base."""

    width: float
    height: float
    albedo: Array
    ragged: float
    """How far its outline departs from an ellipse."""
    contrast: float
    """Depth of the dark between leaves, or of the rock's relief."""
    outline: Texture
    grain: Texture

    @staticmethod
    def draw(rng: np.random.Generator, rock: bool) -> Mound:
        width = float(rng.uniform(0.8, 4.5) if rock else rng.uniform(0.8, 3.0))
        rocks = [(0.22, 0.2, 0.18), (0.1, 0.095, 0.09), (0.045, 0.043, 0.042), (0.28, 0.25, 0.21)]
        bushes = [(0.05, 0.085, 0.025), (0.04, 0.06, 0.02), (0.09, 0.11, 0.03), (0.2, 0.05, 0.07), (0.3, 0.24, 0.04)]
        return Mound(
            width=width,
            height=width * float(rng.uniform(0.3, 0.7)),
            albedo=pick(rng, rocks if rock else bushes),
            ragged=0.16 if rock else 0.22,
            contrast=0.5 if rock else 0.9,
            outline=Texture(rng, width * (0.9 if rock else 0.5), bands=3, roughness=0.22 if rock else 0.6),
            grain=Texture(rng, width * (0.5 if rock else 0.25), bands=4, roughness=0.6 if rock else 1.0),
        )


def paint_mound(canvas: Canvas, mound: Mound, at: Point, light: Daylight, clear: float) -> None:
    """A mound on the ground at (X, Z) in daylight."""
    width, height = mound.width, mound.height
    found = canvas.around(at[0], 0.0, at[1], -0.75 * width, 0.75 * width, -0.02 * height, 1.5 * height)
    if found is None:
        return
    darken_below(canvas, at, 0.62 * width, 0.6)
    rows, cols, x, y, foot = found
    u, v = x * np.float32(2.0 / width), y * np.float32(1.0 / height)
    edge = mound.outline(x, y, foot)
    inside = 1.0 - np.sqrt(u * u * np.sqrt(np.abs(u)) + v * v) + np.float32(mound.ragged) * edge
    alpha = np.clip(inside * np.float32(0.5 * min(width, 2 * height) / foot) + 0.5, 0.0, 1.0)
    ragged = y + np.float32(0.05 * height) * (edge - 0.6 + 0.8 * u * u)
    alpha = alpha * np.clip(ragged / np.float32(foot) + 0.5, 0.0, 1.0)
    noise = mound.grain(x, y, foot)
    sun = light.sun_direction
    facing = u * 0.7 * sun[0] + v * sun[1] - 0.45 * sun[2] + 0.5 * mound.contrast * noise + 0.2 * edge
    direct = np.clip(facing, 0.0, 1.0)
    around = np.clip(0.1 + 0.6 * v, 0.03, 1.0) * np.exp(np.minimum(mound.contrast * (noise - 0.4), 0.8))
    albedo = mound.albedo[:, None, None]
    radiance = albedo * (light.sky[:, None, None] * around + light.sun[:, None, None] * direct)
    canvas.paint(rows, cols, alpha, faded(light, np.asarray(radiance, np.float32), at[1], clear))
