"""Against the light: a person before a bright sky, or the view out from under leaves or out of a cave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas, Point
from hdr.data.scenes.frames import paint_frame
from hdr.data.scenes.light import daylight, luminance
from hdr.data.scenes.nature import Tree, paint_ridge, paint_tree, tree_shadow
from hdr.data.scenes.portrait import Portrait, paint_portrait
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.sky import paint_sky
from hdr.data.scenes.solids import pick
from hdr.data.scenes.terrain import paint_ground
from hdr.data.scenes.texture import Texture

Array = npt.NDArray[np.float32]


def draw(rng: np.random.Generator, size: tuple[int, int]) -> Rendering:
    """One scene whose light comes from behind what stands in front."""
    weather = str(rng.choice(["clear", "hazy", "broken", "overcast"], p=[0.35, 0.25, 0.2, 0.2]))
    elevation = float(rng.uniform(3.0, 12.0) if rng.random() < 0.45 else rng.uniform(15.0, 50.0))
    light = daylight(weather, elevation, float(rng.uniform(-45.0, 45.0)))
    framed = rng.random() < 0.4
    canvas = Canvas(
        size,
        focal=float(rng.uniform(0.9, 1.7) if framed else rng.uniform(1.4, 2.6)),
        horizon=float(rng.uniform(-0.25, 0.02)),
        eye=1.55,
    )
    clear = float(rng.uniform(800.0, 5000.0))
    paint_sky(canvas, rng, light)
    for depth in sorted(rng.uniform(400.0, 2500.0, int(rng.integers(1, 3))))[::-1]:
        paint_ridge(
            canvas,
            light,
            Texture(rng, depth * 0.9, roughness=0.4),
            pick(rng, [(0.06, 0.08, 0.04), (0.12, 0.11, 0.07)]),
            float(depth),
            depth * float(rng.uniform(0.01, 0.06)),
            depth * float(rng.uniform(0.01, 0.04)),
            clear,
            Texture(rng, depth * 0.05, bands=2),
        )
    rows = canvas.level(None)[0]
    visible: Array = np.ones((max(rows.stop - rows.start, 0), canvas.width), dtype=np.float32)
    ground = str(rng.choice(["grass", "sand", "water", "meadow", "paving"]))
    trees: list[tuple[Point, Tree]] = []
    for z in sorted(np.exp(rng.uniform(np.log(10.0), np.log(60.0), int(rng.integers(1, 6)))).tolist())[::-1]:
        trees.append(((float(rng.uniform(-0.5, 0.5)) * z, z), Tree.draw(rng, float(rng.uniform(4.0, 11.0)))))
    if ground == "water":
        trees = []
    if light.weather != "overcast" and rows.stop > rows.start:
        for at, tree in trees:
            tree_shadow(canvas, tree, at, light, visible, rows)
    paint_ground(canvas, rng, light, ground, visible, clear)
    for at, tree in trees:
        paint_tree(canvas, tree, at, light, clear)

    ambient = light.sky * 0.35 + 0.07 * light.white
    if framed:
        paint_frame(canvas, rng, light)
        dim = 0.6
    else:
        people = 1 + int(rng.random() < 0.25)
        for i in range(people):
            z = float(rng.uniform(0.9, 2.0)) + 0.5 * i
            x = (float(rng.uniform(-0.2, 0.2)) + (i - (people - 1) / 2) * 0.5) * z * 0.6
            where = (x, 1.2 + float(rng.uniform(-0.1, 0.1)), z)
            paint_portrait(canvas, Portrait.draw(rng), where, ambient, light.sun * 0.6, light.sun_direction)
        dim = 1.0
    # A photographer settles between the subject in the shade and the bright place behind it.
    key = 0.18 * float(luminance(light.white)) ** 0.5 * float(luminance(ambient) * dim) ** 0.5
    return Rendering(
        linear=canvas.finish(
            vignette=float(rng.uniform(0.1, 0.8)), glare=float(np.exp(rng.uniform(np.log(0.003), np.log(0.03))))
        ),
        key_luminance=key,
        white=np.asarray(light.white / luminance(light.white), dtype=np.float32),
    )
