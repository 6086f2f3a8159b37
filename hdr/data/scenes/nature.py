"""Trees, hills, rocks and bushes."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
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
            leaves=Texture(rng, height * 0.22, bands=3, roughness=0.9),
            gaps=float(rng.uniform(0.25, 0.5)),
        )


def paint_tree(canvas: Canvas, tree: Tree, at: Point, light: Daylight, clear: float) -> None:
    """A tree standing at (X, Z) in daylight."""
    h = tree.height
    found = canvas.around(at[0], 0.0, at[1], -0.56 * h, 0.56 * h, -0.02 * h, 1.12 * h)
    if found is None:
        return
    darken_below(canvas, at, 0.12 * h, 0.55)
    rows, cols, x, y, foot = found
    noise = tree.leaves(x, y, foot)
    best = np.full(noise.shape, -1e3, dtype=np.float32)
    toward = np.zeros_like(best)
    sun = light.sun_direction
    for lx, ly, radius in tree.lobes:
        dx, dy = x - lx, y - ly
        distance = np.sqrt(dx * dx + dy * dy)
        inside = radius - distance
        facing = (dx * sun[0] + dy * sun[1]) * np.float32(1.0 / radius)
        np.copyto(toward, facing, where=inside > best)
        np.maximum(best, inside, out=best)
    scale = np.float32(0.10 * h * tree.gaps * 2.0)
    alpha = np.clip((best + scale * noise) / np.float32(foot) * 0.7 + 0.5, 0.0, 1.0)
    # Leaves let some sun through: what faces away still gets a third of it when the sun stands behind the tree.
    direct = np.clip(0.35 - 0.5 * sun[2] * 0.6 + 0.6 * toward + 0.18 * noise, 0.05, 1.0)
    shade = np.clip(0.65 + 0.25 * noise + 0.5 * (best * np.float32(-1.0 / (0.2 * h)) + 0.5), 0.06, 1.5)
    leaf = tree.leaf[:, None, None]
    radiance = leaf * (light.sky[:, None, None] * (0.75 * shade) + light.sun[:, None, None] * (direct * shade))
    trunk_width = np.float32(0.028 * h) * (1.3 - 0.5 * np.clip(y / (0.6 * h), 0, 1))
    trunk = np.clip((trunk_width - np.abs(x + 0.01 * h * np.sin(y * 7.0 / h))) / foot + 0.5, 0.0, 1.0)
    trunk = trunk * np.clip((np.float32(0.68 * h) - y) / foot, 0.0, 1.0) * np.clip(y / foot + 0.5, 0.0, 1.0)
    side = np.clip(0.5 + 0.5 * (x / trunk_width) * np.sign(sun[0]), 0.0, 1.0) * max(0.15 - float(sun[2]), 0.15)
    bark = tree.bark[:, None, None] * (light.sky[:, None, None] * 0.5 + light.sun[:, None, None] * (side * 0.7))
    canvas.paint(rows, cols, np.asarray(trunk, np.float32), faded(light, np.asarray(bark, np.float32), at[1], clear))
    canvas.paint(rows, cols, alpha, faded(light, np.asarray(radiance, np.float32), at[1], clear))


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
    tone = np.ones(alpha.shape, np.float32)
    if grain is not None:
        tone = np.clip(1.0 + 0.35 * grain(x, y * 1.6, foot), 0.2, 2.0)
    radiance = faded(light, lit[:, None, None] * tone, depth, clear)
    canvas.paint(rows, slice(0, canvas.width), alpha, radiance)


def tree_shadow(canvas: Canvas, tree: Tree, at: Point, light: Daylight, onto: Array, rows: slice) -> None:
    """Darken the sun's visibility ``onto`` under a tree: the crown as an ellipse on the ground, and the trunk."""
    sun = light.sun_direction
    if sun[1] < 0.03:
        return
    h = tree.height
    flat = max(float(np.hypot(sun[0], sun[2])), 1e-3)
    ux, uz = -float(sun[0]) / flat, -float(sun[2]) / flat
    run = flat / float(sun[1])
    along, across = 0.36 * h * float(np.hypot(1.0, run)), 0.38 * h
    centre = (at[0] + ux * run * 0.66 * h, at[1] + uz * run * 0.66 * h)
    angles = np.linspace(0.0, 2 * np.pi, 12, endpoint=False)
    crown = [
        (centre[0] + ux * along * c - uz * across * s, centre[1] + uz * along * c + ux * across * s)
        for c, s in zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True)
    ]
    w = 0.025 * h
    trunk = [
        (at[0] - uz * w, at[1] + ux * w),
        (at[0] + uz * w, at[1] - ux * w),
        (centre[0] + uz * w, centre[1] - ux * w),
        (centre[0] - uz * w, centre[1] + ux * w),
    ]
    for outline in (crown, trunk):
        shade_ground(canvas, canvas.polygon([(x, 0.0, z) for x, z in outline], soft=3.0), onto, rows, 0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mound:
    """A rock, a bush or a hedge: a rounded heap, in metres about the middle of its base."""

    width: float
    height: float
    albedo: Array
    ragged: float
    """How far its outline departs from an ellipse."""
    outline: Texture
    grain: Texture

    @staticmethod
    def draw(rng: np.random.Generator, rock: bool) -> Mound:
        width = float(rng.uniform(0.8, 4.0) if rock else rng.uniform(0.8, 3.0))
        rocks = [(0.22, 0.2, 0.18), (0.1, 0.095, 0.09), (0.3, 0.27, 0.22)]
        bushes = [(0.05, 0.085, 0.025), (0.04, 0.06, 0.02), (0.09, 0.11, 0.03), (0.2, 0.05, 0.07), (0.3, 0.24, 0.04)]
        return Mound(
            width=width,
            height=width * float(rng.uniform(0.3, 0.7)),
            albedo=pick(rng, rocks if rock else bushes),
            ragged=0.12 if rock else 0.22,
            outline=Texture(rng, width * 0.5, bands=3, roughness=0.6),
            grain=Texture(rng, width * 0.25, bands=3, roughness=1.0),
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
    alpha = alpha * np.clip(y / np.float32(foot) + 0.5, 0.0, 1.0)
    noise = mound.grain(x, y, foot)
    sun = light.sun_direction
    facing = u * 0.7 * sun[0] + v * sun[1] - 0.45 * sun[2] + 0.35 * noise + 0.2 * edge
    direct = np.clip(facing, 0.0, 1.0)
    around = np.clip(0.25 + 0.45 * v + 0.25 * noise, 0.03, 1.2)
    albedo = mound.albedo[:, None, None]
    radiance = albedo * (light.sky[:, None, None] * around + light.sun[:, None, None] * direct)
    canvas.paint(rows, cols, alpha, faded(light, np.asarray(radiance, np.float32), at[1], clear))
