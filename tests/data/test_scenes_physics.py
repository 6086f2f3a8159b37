"""What light does in generated scenes: mirrors, small sources, shadows, the lens, illuminants."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from hdr.data.scenes import render_scene
from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.light import SUN_DISC, SUN_DISC_LIMIT, SUN_RADIUS, daylight, luminance, schlick
from hdr.data.scenes.nature import Tree, tree_shadow
from hdr.data.scenes.solids import spark, sun_glint

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour


def camera(side: int = 256) -> Canvas:
    return Canvas((side, side), focal=1.0, horizon=0.0, eye=1.6)


def locus_distance(linear: np.ndarray) -> float:
    """Least distance in CIE 1960 u, v from black bodies of 1500 to 25000 K: Planck's law, summed with the observer."""
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"]
    metres = observer.wavelengths * 1e-9
    kelvin = 1e6 / np.arange(40.0, 667.0, 2.0)[:, None]
    power = 1 / (metres**5 * np.expm1(1.438776877e-2 / (metres * kelvin)))
    bodies = power @ observer.values
    light = colour.RGB_to_XYZ(linear.astype(float), "ITU-R BT.709", apply_cctf_decoding=False)

    def uv(xyz: np.ndarray) -> np.ndarray:
        total = xyz @ np.array([1.0, 15.0, 3.0])
        return np.stack([4 * xyz[..., 0] / total, 6 * xyz[..., 1] / total], axis=-1)

    return float(np.linalg.norm(uv(bodies) - uv(light), axis=-1).min())


@pytest.mark.parametrize("family", ["night", "macro", "chart"])
def test_key_lights_under_lamps_lie_on_the_planckian_locus(family: str) -> None:
    """A mixture of two black bodies lies a little below the locus; 0.006 is the tolerance of good white lamps."""
    for seed in range(8):
        assert locus_distance(render_scene(seed, (32, 32), family).white) < 0.006


@pytest.mark.parametrize("weather", ["clear", "hazy", "broken"])
def test_the_sun_lies_on_the_locus_and_reddens_as_it_sinks(weather: str) -> None:
    suns = [daylight(weather, elevation, 30.0).sun for elevation in (60.0, 30.0, 12.0, 8.0)]
    assert all(locus_distance(sun) < 0.002 for sun in suns)
    ratios = [float(sun[0] / sun[2]) for sun in suns]
    assert ratios == sorted(ratios)


def test_sun_and_open_shade_differ_as_light_meters_find() -> None:
    """White in the sun over white in the shade of the open sky under a clear sky: between two and four stops."""
    for elevation in (30.0, 45.0, 60.0):
        light = daylight("clear", elevation, 120.0)
        shade = light.lit(np.array([0.0, 0.0, -1.0], np.float32), visible=0.0)
        sunlit = light.lit(np.array([0.0, 1.0, 0.0], np.float32))
        assert 2.0 < math.log2(float(luminance(sunlit) / luminance(shade))) < 4.0


def test_schlick_follows_fresnel() -> None:
    """Unpolarised Fresnel reflectance of glass (n = 1.5) written out; Schlick's fit is good to 0.02 to 75 degrees."""
    cosine = np.cos(np.radians(np.arange(0.0, 76.0, 5.0)))
    inside = np.sqrt(1 - (1 - cosine**2) / 1.5**2)
    s = ((cosine - 1.5 * inside) / (cosine + 1.5 * inside)) ** 2
    p = ((1.5 * cosine - inside) / (1.5 * cosine + inside)) ** 2
    np.testing.assert_allclose(schlick(0.04, cosine.astype(np.float32)), (s + p) / 2, atol=0.025)
    assert schlick(0.04, np.zeros(1, np.float32)) == pytest.approx(1.0)


@pytest.mark.parametrize("depth", [2.0, 9.0, 60.0])
def test_a_small_source_keeps_its_light_at_any_size(depth: float) -> None:
    """Luminance times solid angle is that of the source, whether it covers many pixels or a part of one."""
    found = []
    for side in (64, 256, 768):
        canvas = camera(side)
        spark(canvas, (0.3, 1.7, depth), 0.05, np.array([3.0, 2.0, 1.0], np.float32))
        found.append(float(canvas.linear[1].sum()) * canvas.pixel**2)
    np.testing.assert_allclose(found, 2.0 * math.pi * (0.05 / depth) ** 2, rtol=0.1)


def test_the_suns_image_in_paint_has_the_suns_light() -> None:
    """A convex mirror of radius R shows a disc of radius R/2 times the sun's; its luminance is that of the sun times
    the reflectance, held at the limit."""
    light = daylight("clear", 50.0, 20.0)
    disc = SUN_DISC * float(luminance(light.sun)) / 4.0e4
    for curvature, mirror in ((0.3, 0.05), (0.5, 0.02)):
        canvas = camera(512)
        for i in range(50):  # wherever between the pixels it falls
            sun_glint(canvas, (-3.0 + 0.1237 * i, 1.6 + 0.0171 * i, 8.0), curvature, light, mirror)
        flux = float(luminance(canvas.linear).sum()) * canvas.pixel**2 / 50
        assert flux == pytest.approx(disc * mirror * math.pi * (curvature * SUN_RADIUS / 2 / 8.0) ** 2, rel=0.03)
    canvas = camera(512)
    sun_glint(canvas, (0.0, 1.6, 2.0), 60.0, light, 0.9)
    assert luminance(canvas.linear).max() == pytest.approx(SUN_DISC_LIMIT, rel=0.01)
    overcast = camera(64)
    sun_glint(overcast, (0.0, 1.6, 2.0), 1.0, daylight("overcast", 50.0, 20.0), 0.9)
    assert not overcast.linear.any()


def test_a_mirror_on_the_ground_obeys_the_law_of_reflection() -> None:
    """A lamp at height h on the wall at depth Z appears where a lamp at -h behind the ground would be seen."""
    canvas = Canvas((512, 512), focal=0.8, horizon=0.1, eye=1.5)
    depth, height, x = 6.0, 2.2, 0.7
    spark(canvas, (x, height, depth), 0.08, np.ones(3, np.float32))
    rows, cols, *_ = canvas.level(None)
    shown = np.zeros_like(canvas.linear[0])
    shown[rows, cols] = canvas.mirrored(rows, cols, -50.0, 50.0, depth, 0.0)[0]
    at = np.average(np.indices(shown.shape).reshape(2, -1), axis=1, weights=shown.ravel())
    expected_y = (-height - canvas.eye) / depth
    assert np.interp(at[0], np.arange(512), canvas.y[:, 0]) == pytest.approx(expected_y, abs=2 * canvas.pixel)
    assert np.interp(at[1], np.arange(512), canvas.x[0]) == pytest.approx(x / depth, abs=2 * canvas.pixel)


def test_the_shadow_of_a_tree_lies_away_from_the_sun() -> None:
    canvas = Canvas((300, 300), focal=0.7, horizon=0.25, eye=3.0)
    tree = Tree.draw(np.random.default_rng(3), 6.0)
    rows, _, x, z, _ = canvas.level(None)
    light = daylight("clear", 45.0, -90.0)  # from the left: shadows to the right, as long as things are tall
    visible = np.ones((rows.stop - rows.start, 300), np.float32)
    tree_shadow(canvas, tree, (-2.0, 12.0), light, visible, rows)
    dark = 1.0 - visible
    weights = dark * np.broadcast_to(z * z * z, dark.shape)  # area on the ground per pixel grows with the cube of depth
    middle = tree.lobes.mean(axis=0)
    assert np.average(x, weights=weights) == pytest.approx(-2.0 + middle[0] + middle[1], abs=0.8)
    assert np.average(np.broadcast_to(z, dark.shape), weights=weights) == pytest.approx(12.0, abs=0.6)
    assert dark.max() > 0.9


def test_the_lens_keeps_light_and_holds_the_range() -> None:
    canvas = camera(200)
    canvas.linear[:] = 1.0
    assert np.allclose(canvas.finish(vignette=0.0, glare=0.02), 1.0, atol=1e-5)
    canvas.linear[:, 90:110, 90:110] = 1e9
    picture = luminance(canvas.finish(vignette=0.0, glare=0.0))
    assert picture.max() / np.percentile(picture, 1) <= 2**16
    assert picture.max() / np.percentile(picture, 1) > 2**15
    canvas.linear[:] = 1.0
    vignetted = canvas.finish(vignette=1.0, glare=0.0)[1]
    assert vignetted[100, 100] == pytest.approx(1.0, abs=1e-3)
    assert vignetted[0, 0] == pytest.approx(0.5, abs=0.02)
