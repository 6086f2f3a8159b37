"""Against the light: a person before a bright sky, or the view out from under leaves or out of a cave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import Daylight, daylight, luminance
from hdr.data.scenes.nature import Tree, paint_ridge, paint_tree
from hdr.data.scenes.people import paint_figure, portrait
from hdr.data.scenes.scene import Rendering
from hdr.data.scenes.solids import pick
from hdr.data.scenes.sky import paint_sky
from hdr.data.scenes.terrain import paint_ground
from hdr.data.scenes.texture import Texture, ramp

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
        )
    rows = canvas.level(None)[0]
    visible: Array = np.ones((max(rows.stop - rows.start, 0), canvas.width), dtype=np.float32)
    ground = str(rng.choice(["grass", "sand", "water", "meadow", "paving"]))
    paint_ground(canvas, rng, light, ground, visible, clear)
    if ground != "water":
        for z in sorted(np.exp(rng.uniform(np.log(14.0), np.log(60.0), int(rng.integers(0, 5)))))[::-1]:
            tree = Tree.draw(rng, float(rng.uniform(4.0, 10.0)))
            paint_tree(canvas, tree, (float(rng.uniform(-0.5, 0.5)) * float(z), float(z)), light, clear)

    ambient = light.sky * 0.35 + 0.07 * light.white
    if framed:
        _frame(canvas, rng, light)
        dim = 0.6
    else:
        people = 1 + int(rng.random() < 0.25)
        for i in range(people):
            z = float(rng.uniform(0.9, 2.0)) + 0.5 * i
            x = (float(rng.uniform(-0.2, 0.2)) + (i - (people - 1) / 2) * 0.5) * z * 0.6
            paint_figure(
                canvas,
                portrait(rng),
                (x, 1.2 + float(rng.uniform(-0.1, 0.1)), z),
                ambient,
                light.sun * 0.6,
                light.sun_direction,
                soft=0.05,
            )
        dim = 1.0
    # A photographer settles between the subject in the shade and the bright place behind it.
    key = 0.18 * float(luminance(light.white)) ** 0.5 * float(luminance(ambient) * dim) ** 0.5
    return Rendering(
        linear=canvas.finish(vignette=float(rng.uniform(0.1, 0.8)), glare=float(rng.uniform(0.008, 0.035))),
        key_luminance=key,
        white=np.asarray(light.white / luminance(light.white), dtype=np.float32),
    )


def _frame(canvas: Canvas, rng: np.random.Generator, light: Daylight) -> None:
    """Dark leaves or rock round the edge of the picture, lit only by what comes in from the front."""
    rock = rng.random() < 0.5
    outline = Texture(rng, float(rng.uniform(0.5, 0.9)), bands=4, roughness=0.5 if rock else 0.8)
    grain = Texture(rng, 0.35, bands=4, roughness=0.9)
    centre = rng.uniform(-0.12, 0.12, 2).astype(np.float32)
    stretch = rng.uniform(0.75, 1.35, 2).astype(np.float32)
    radius, rough = float(rng.uniform(0.26, 0.46)), float(rng.uniform(0.05, 0.10))
    unit = np.float32(canvas.focal)  # slopes to shorter sides
    x, y = canvas.x * unit, (canvas.y - canvas.y.mean()) * unit
    pixel = 1.0 / min(canvas.height, canvas.width)
    away = np.hypot((x - centre[0]) * stretch[0], (y - centre[1]) * stretch[1])
    noise = outline(x, y, pixel)
    inside = away - np.float32(radius) + np.float32(rough) * noise
    alpha = np.clip(inside / np.float32(pixel) + 0.5, 0.0, 1.0)
    tone = np.clip(0.7 + 0.35 * grain(x, y, pixel) + (0.25 * noise if rock else 0.0), 0.05, 2.5)
    depth = np.exp(-np.maximum(inside, 0.0) * np.float32(rng.uniform(3.0, 8.0)))
    albedo = pick(rng, [(0.2, 0.17, 0.14), (0.3, 0.25, 0.2)] if rock else [(0.05, 0.08, 0.02), (0.035, 0.06, 0.02)])
    glow = albedo * light.white * np.float32(rng.uniform(0.04, 0.22))
    radiance = glow[:, None, None] * (tone * (0.10 + 0.9 * depth))
    if not rock:
        radiance += (albedo * light.sun * 0.25)[:, None, None] * ramp(noise, 0.8, 2.0) * (1.0 - alpha * 0.5)
    canvas.paint(slice(0, canvas.height), slice(0, canvas.width), alpha, np.asarray(radiance, dtype=np.float32))
