"""Head and shoulders of a person facing the camera."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.people import CLOTH, HAIR, SKIN
from hdr.data.scenes.solids import colour, pick
from hdr.data.scenes.texture import Texture, ramp

Array = npt.NDArray[np.float32]

_CENTRE, _HIGH, _WIDE = 0.365, 0.128, 0.082  # the head: metres above the chest, half its height, half its width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Portrait:
    """How somebody looks; lengths in metres about the chest, 1.2 m above the ground."""

    skin: Array
    cloth: Array
    hair: Array
    long_hair: float
    """How far the hair falls below the chin; 0: it is short."""
    fringe: float
    build: float
    turn: float
    """Sideways shift of the features: where the head is turned to."""
    collar: float
    weave: Texture
    strands: Texture

    @staticmethod
    def draw(rng: np.random.Generator) -> Portrait:
        return Portrait(
            skin=pick(rng, SKIN),
            cloth=pick(rng, CLOTH),
            hair=pick(rng, HAIR),
            long_hair=float(rng.uniform(0.04, 0.28)) if rng.random() < 0.5 else 0.0,
            fringe=float(rng.uniform(0.30, 0.62)),
            build=float(rng.uniform(0.9, 1.15)),
            turn=float(rng.uniform(-0.016, 0.016)),
            collar=float(rng.uniform(0.0, 0.12)),
            weave=Texture(rng, 0.12, roughness=0.8),
            strands=Texture(rng, 0.05, bands=3, roughness=0.9),
        )


class _Painter:
    """The part of the picture about one person, and the light on surfaces given by their normals."""

    def __init__(
        self, canvas: Canvas, region: tuple[slice, slice, Array, Array, float], ambient: Array, key: Array, sun: Array
    ) -> None:
        self.canvas, (self.rows, self.cols, self.x, self.y, self.foot) = canvas, region
        self.ambient, self.key, self.sun = ambient, key, sun

    def about(self, left: float, right: float, low: float, high: float) -> _Painter:
        """The same for a part of the picture: the rectangle that holds these metres."""
        c0, c1 = (int(n) for n in np.searchsorted(self.x[0], [left, right]))
        r0, r1 = (int(n) for n in np.searchsorted(-self.y[:, 0], [-high, -low]))
        rows = slice(self.rows.start + r0, self.rows.start + r1)
        cols = slice(self.cols.start + c0, self.cols.start + c1)
        region = (rows, cols, self.x[:, c0:c1], self.y[r0:r1], self.foot)
        return _Painter(self.canvas, region, self.ambient, self.key, self.sun)

    def edge(self, distance: Array) -> Array:
        """Coverage from a distance inwards, in metres."""
        return np.asarray(np.clip(distance * np.float32(1.0 / self.foot) + 0.5, 0.0, 1.0), np.float32)

    def matt(self, albedo: Array, nx: Array, ny: Array, tone: Array, soft: float = 0.06) -> Array:
        """Radiance (3, h, w) of a matt surface; ``soft`` wraps the key light round edges."""
        nz = -np.sqrt(np.maximum(1.0 - nx * nx - ny * ny, 0.0))
        facing = nx * self.sun[0] + ny * self.sun[1] + nz * self.sun[2]
        lit = np.clip((facing + np.float32(soft)) * np.float32(1.0 / (1.0 + soft)), 0.0, 1.0)
        around = (0.62 + 0.38 * ny) * (0.7 - 0.3 * nz)
        radiance = (albedo * self.ambient)[:, None, None] * (around * tone)
        if lit.any():
            radiance += (albedo * self.key)[:, None, None] * (lit * tone)
        return np.asarray(radiance, dtype=np.float32)

    def lay(self, alpha: Array, radiance: Array) -> None:
        self.canvas.paint(self.rows, self.cols, alpha, radiance)


def paint_portrait(
    canvas: Canvas, look: Portrait, at: tuple[float, float, float], ambient: Array, key: Array, direction: Array
) -> None:
    """Paint somebody whose chest is at the world point ``at``.

    ``ambient`` is the radiance (3,) of white from all round, ``key`` that of white facing the unit vector
    ``direction``.
    """
    region = canvas.around(at[0], at[1], at[2], -0.36, 0.36, -1.2, 0.56)
    if region is None:
        return
    painter = _Painter(canvas, region, ambient, key, direction)
    if look.long_hair:
        _hair_behind(painter.about(-0.15, 0.15, -0.15, 0.5), look)
    _bust(painter.about(-0.36, 0.36, -1.2, 0.32), look)
    _head(painter.about(-0.12, 0.12, 0.2, 0.56), look)


def _strands(p: _Painter, look: Portrait) -> Array:
    return np.asarray(np.exp(0.4 * look.strands(p.x * 2.5, p.y * 0.35, p.foot * 1.5)), np.float32)


def _hair_behind(p: _Painter, look: Portrait) -> None:
    if not p.x.size or not p.y.size:
        return
    x, y, strands = p.x, p.y, _strands(p, look)
    end = _CENTRE - _HIGH - look.long_hair
    width = np.float32(0.105) + 0.018 * ramp(np.float32(_CENTRE) - y, 0.0, 0.2)
    width = width * np.sqrt(np.clip((np.float32(_CENTRE + 0.09) - y) * np.float32(1 / 0.09), 0.0, 1.0))
    nx = np.clip(x / np.maximum(width, 1e-3), -1.0, 1.0)
    alpha = p.edge(np.asarray(width - np.abs(x), np.float32))
    alpha = alpha * p.edge(y - np.float32(end) + 0.05 * nx * nx + 0.02 * (strands - 1.0))
    p.lay(alpha, p.matt(look.hair, nx, np.zeros_like(nx), strands, soft=0.2))


def _bust(p: _Painter, look: Portrait) -> None:
    """Neck, sloping shoulders, arms: the half-width as a function of the height, turned about the middle."""
    if not p.x.size or not p.y.size:
        return
    x, y = p.x, p.y
    b = np.float32(look.build)
    slope = ramp(np.float32(0.205) - y, 0.0, 0.13) ** 0.8
    width = (np.float32(0.056) + 0.165 * slope + 0.03 * ramp(-y, -0.09, 0.12)) * b
    nx = np.clip(x / width, -1.0, 1.0)
    ny = 0.75 * slope * (1.0 - slope) * 4.0 * np.ones_like(nx) * 0.85
    nx = nx * np.sqrt(np.maximum(1.0 - ny * ny, 0.0))
    alpha = p.edge(width - np.abs(x)) * p.edge(np.float32(_CENTRE - 0.06) - y)
    folds: Array = np.exp(0.13 * look.weave(x, y, p.foot))
    arms = 1.0 - 0.45 * np.exp(-(((np.abs(x) - 0.165 * b) / 0.012) ** 2)) * ramp(-y, -0.03, 0.1)
    chin = 1.0 - 0.65 * ramp(y, 0.17, 0.25)  # the head keeps light from the neck
    p.lay(alpha, p.matt(look.skin, nx, np.asarray(ny, np.float32), np.asarray(chin, np.float32)))
    dip = np.float32(look.collar) * np.clip(1.0 - np.abs(x) / 0.075, 0.0, 1.0)
    neckline = np.asarray(np.float32(0.15) - dip - y, np.float32)
    cloth = alpha * p.edge(neckline)
    p.lay(cloth, p.matt(look.cloth, nx, np.asarray(ny, np.float32), folds * arms))


def _head(p: _Painter, look: Portrait) -> None:
    """An egg with the relief of nose, brows and cheeks in its normals, features painted on, hair over it."""
    if not p.x.size or not p.y.size:
        return
    strands = _strands(p, look)
    x, v = p.x, (p.y - np.float32(_CENTRE)) * np.float32(1.0 / _HIGH)
    wide = np.float32(_WIDE) * (1.0 - 0.22 * ramp(-v, 0.05, 1.0))
    u = x / wide
    nx, ny = u * 0.92, v * 0.85
    radius = (np.abs(u) ** 2.2 + np.abs(v) ** 2.2) ** np.float32(1 / 2.2)
    face = p.edge((1.0 - radius) * np.float32(_WIDE))
    for ear in (-1.0, 1.0):
        away = np.hypot((x - ear * _WIDE) / 0.016, (v + 0.08) / 0.22)
        ear_side = np.full_like(u, 0.7 * ear)
        shaded = np.full_like(u, 0.8)
        p.lay(p.edge(np.asarray((1.0 - away) * 0.016, np.float32)), p.matt(look.skin, ear_side, 0 * u, shaded))
    s = u - np.float32(look.turn / _WIDE)

    def bump(cu: float, cv: float, du: float, dv: float) -> Array:
        return np.asarray(np.exp(-(((s - cu) / du) ** 2) - ((v - cv) / dv) ** 2), np.float32)

    nose = bump(0.0, -0.18, 0.16, 0.30)
    tip = bump(0.0, -0.34, 0.18, 0.12)
    nx = nx + (nose + tip) * s * 2.2
    ny = ny - tip * 0.45 + 0.25 * bump(0.0, -0.86, 0.4, 0.16)
    sockets = bump(-0.42, 0.10, 0.26, 0.14) + bump(0.42, 0.10, 0.26, 0.14)
    cheeks = bump(-0.5, -0.3, 0.28, 0.25) + bump(0.5, -0.3, 0.28, 0.25)
    tone = (1.0 - 0.4 * sockets - 0.3 * bump(0.0, -0.46, 0.22, 0.05)) * (1.0 + 0.08 * cheeks)
    size = np.maximum(np.sqrt(nx * nx + ny * ny), 1.0)
    skin = p.matt(look.skin, nx / size, ny / size, np.asarray(tone, np.float32))
    flat = (p.ambient * 0.75)[:, None, None]
    blush = np.clip(bump(0.0, -0.62, 0.34, 0.075) * 1.8, 0.0, 0.8)  # lips
    skin *= 1.0 + (colour(0.8, 0.5, 0.5)[:, None, None] - 1.0) * blush
    skin *= 1.0 - 0.6 * np.clip(bump(0.0, -0.625, 0.3, 0.018) * 1.5, 0.0, 1.0)
    for side in (-0.42, 0.42):
        eye = np.clip(2.2 - 2.2 * np.hypot((s - side) / 0.19, (v - 0.08) / 0.055), 0.0, 1.0)
        iris = np.clip(3.0 - 3.0 * np.hypot((s - side) / 0.10, (v - 0.08) / 0.065), 0.0, 1.0)
        skin += (colour(0.5, 0.47, 0.45)[:, None, None] * flat - skin) * eye
        skin += (colour(0.025, 0.018, 0.014)[:, None, None] * flat - skin) * (eye * iris)
        lid = np.clip(1.0 - np.abs((v - 0.135 + 0.6 * (s - side) ** 2) / 0.02), 0.0, 1.0)
        skin *= 1.0 - 0.7 * lid * (np.abs(s - side) < 0.22)
        brow = np.clip(
            1.4 - 1.4 * np.hypot((s - side * 1.02) / 0.24, (v - 0.25 + 0.5 * (s - side) ** 2) / 0.05), 0, 0.8
        )
        skin += (look.hair[:, None, None] * flat - skin) * brow
    p.lay(face, np.asarray(skin, np.float32))
    # Hair: a cap over the skull down to the fringe, and beside the ears.
    outer = (np.abs(x / (_WIDE * 1.17)) ** 2.2 + np.abs((v - 0.06) / 1.10) ** 2.2) ** np.float32(1 / 2.2)
    line = np.float32(look.fringe) - 0.9 * np.maximum(np.abs(u) - 0.35, 0.0) ** 1.4 + 0.04 * (strands - 1.0)
    down = np.float32(-0.9 if look.long_hair else 0.0)
    beside = ramp(np.abs(u), 0.86, 0.98) * ramp(v, float(down), float(down) + 0.15)
    cap = p.edge((1.0 - outer) * np.float32(_WIDE)) * np.maximum(p.edge((v - line) * np.float32(_HIGH)), beside)
    hx, hy = np.clip(x / (_WIDE * 1.17), -1.0, 1.0), np.clip((v - 0.06) / 1.1, -1.0, 1.0)
    long_ = np.maximum(np.sqrt(hx * hx + hy * hy), 1.0)
    p.lay(np.asarray(cap, np.float32), p.matt(look.hair, hx / long_, hy / long_, strands, soft=0.2))
