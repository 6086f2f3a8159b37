"""Procedural scenes: determinism, ranges, physics of light, geometry of the camera, statistics of textures."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

from hdr.data.scenes import FAMILIES, ProceduralScenes, render_scene
from hdr.data.scenes.canvas import Canvas
from hdr.data.scenes.chart import PATCHES
from hdr.data.scenes.light import daylight, luminance, planckian, sky_radiance
from hdr.data.scenes.texture import Texture, pulses
from hdr.errors import UserError
from hdr.ops.camera import auto_exposure

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science warns at import when matplotlib is absent
    import colour

# Least number of stops between the 1st percentile of luminance and the maximum that 24 scenes of a family may have, how
# many their median has at least, and the share that lies between 8 and 16.
STOPS = {
    "outdoor": (5.0, 8.3, 0.55),
    "backlit": (5.0, 8.3, 0.55),
    "interior": (4.5, 10.0, 0.85),
    "night": (10.0, 13.0, 0.95),
    "macro": (3.5, 9.5, 0.75),
    "chart": (4.5, 8.3, 0.65),
}


def stops(linear: np.ndarray) -> float:
    light = np.tensordot([0.2126, 0.7152, 0.0722], linear.astype(np.float64), axes=1)
    return float(np.log2(light.max() / np.percentile(light, 1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_is_a_scene_bit_for_bit(family: str) -> None:
    first = render_scene(11, (97, 131), family)
    again = render_scene(11, (97, 131), family)
    assert first.linear.dtype == np.float32
    assert first.linear.shape == (3, 97, 131)
    assert np.array_equal(first.linear, again.linear)
    assert (first.family, first.night, first.key_luminance) == (family, family == "night", again.key_luminance)
    assert not np.array_equal(first.linear, render_scene(12, (97, 131), family).linear)


@pytest.mark.parametrize("family", FAMILIES)
def test_range_of_light(family: str) -> None:
    least, median, inside = STOPS[family]
    found = []
    for seed in range(24):
        scene = render_scene(seed, (96, 128), family)
        assert np.isfinite(scene.linear).all()
        assert scene.linear.min() >= 0
        assert scene.linear.max() < 65504 * 2**9
        assert scene.key_luminance is not None
        assert scene.key_luminance > 0
        assert luminance(scene.white) == pytest.approx(1, abs=1e-4)
        found.append(stops(scene.linear))
    assert least <= min(found)
    assert max(found) <= 16
    assert np.median(found) >= median
    assert np.mean([8 <= value <= 16 for value in found]) >= inside


def test_all_scenes_together_reach_far_and_have_every_family() -> None:
    scenes = [ProceduralScenes(120, (48, 48)).scene(i, np.random.default_rng(0)) for i in range(120)]
    ranges = [stops(scene.linear) for scene in scenes]
    assert sum(r >= 12 for r in ranges) >= 28
    assert sum(r >= 8 for r in ranges) >= 70
    assert max(ranges) <= 16
    assert {scene.family for scene in scenes} == set(FAMILIES)
    assert len({scene.name for scene in scenes}) == 120


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(5))
def test_the_size_does_not_change_the_scene(family: str, seed: int) -> None:
    """A large rendering, reduced, is the small one but for detail: the same composition, exposure and colour."""
    small = render_scene(seed, (64, 64), family)
    large = render_scene(seed, (256, 256), family)
    assert small.key_luminance == pytest.approx(large.key_luminance, rel=0.05)
    reduced = large.linear.reshape(3, 64, 4, 64, 4).mean(axis=(2, 4))
    a, b = (np.log2(luminance(picture) + 1e-4) for picture in (small.linear, reduced))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.93
    assert abs(np.median(a - b)) < 0.15


def test_night_scenes_ask_for_less_light_than_the_meter_gives() -> None:
    scenes = [render_scene(seed, (96, 96), "night") for seed in range(12)]
    wanted = np.array([math.log2(0.18 / (scene.key_luminance or math.nan)) for scene in scenes])
    metered = auto_exposure(torch.from_numpy(np.stack([scene.linear for scene in scenes]))).numpy()
    assert (metered - wanted > 0.5).all()
    assert np.median(metered - wanted) > 2


def test_sources_choose_families_and_split_by_seed() -> None:
    rng = np.random.default_rng(0)
    source = ProceduralScenes(30, (16, 16), first=7, families=["night", "chart"])
    found = [source.scene(i, rng) for i in range(30)]
    assert {scene.family for scene in found} == {"night", "chart"}
    assert [scene.name.split("-")[1] for scene in found] == [str(7 + i) for i in range(30)]
    with pytest.raises(IndexError):
        source.scene(30, rng)
    with pytest.raises(UserError, match=r"'nigth'; accepted are outdoor"):
        ProceduralScenes(3, (8, 8), families=["nigth"])
    with pytest.raises(UserError, match="accepted are"):
        render_scene(1, (8, 8), "sea")


@pytest.mark.parametrize("kelvin", [2000.0, 2856.0, 4000.0, 6500.0, 12000.0])
def test_illuminants_lie_on_the_planckian_locus(kelvin: float) -> None:
    """Planck's law written out and summed with the CIE 1931 observer; Krystek's fit is good to 2e-3 in x, y."""
    observer = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"]
    metres = observer.wavelengths * 1e-9
    power = 1 / (metres**5 * np.expm1(1.438776877e-2 / (metres * kelvin)))
    tristimulus = (observer.values * power[:, None]).sum(axis=0)
    expected = tristimulus[:2] / tristimulus.sum()
    linear = planckian(kelvin)
    assert luminance(linear) == pytest.approx(1, abs=1e-5)
    if linear.min() > 0:
        found = colour.XYZ_to_xy(colour.RGB_to_XYZ(linear.astype(float), "ITU-R BT.709", apply_cctf_decoding=False))
        np.testing.assert_allclose(found, expected, atol=2e-3)
    else:  # outside Rec. 709: the blue part is cut
        assert linear[2] == 0
        assert linear[0] > linear[1]


@pytest.mark.parametrize("weather", ["clear", "hazy", "broken", "overcast"])
def test_the_sky_gives_the_illuminance_that_the_weather_has(weather: str) -> None:
    """Radiance times cosine over the hemisphere is pi times the radiance of white lying flat under the sky."""
    light = daylight(weather, 40.0, 25.0)
    theta, phi = np.meshgrid((np.arange(90) + 0.5) * math.pi / 180, (np.arange(360) + 0.5) * math.pi / 180)
    total = 0.0
    for ahead in (1.0, -1.0):  # rays (x, y, 1) see the half space in front; the scene is turned for the other half
        turned = daylight(weather, 40.0, 25.0 if ahead > 0 else 205.0)
        dz = np.sin(theta) * np.cos(phi)
        front = dz > 1e-3
        x, y = (np.sin(theta) * np.sin(phi) / dz)[front], (np.cos(theta) / dz)[front]
        sky = luminance(sky_radiance(turned, x[None].astype(np.float32), y[None].astype(np.float32)))[0]
        total += float((sky * (np.cos(theta) * np.sin(theta))[front]).sum()) * (math.pi / 180) ** 2
    assert total == pytest.approx(math.pi * float(luminance(light.sky)), rel=0.03)


def test_coverage_of_a_polygon_is_its_area() -> None:
    canvas = Canvas((123, 157), focal=1.1, horizon=0.05, eye=1.6)
    triangle = [(-0.7, 0.9, 2.0), (0.8, 1.2, 2.4), (0.1, 2.3, 2.1)]
    flat = np.array([(x / z, (y - 1.6) / z) for x, y, z in triangle])
    (ax, ay), (bx, by) = flat[1] - flat[0], flat[2] - flat[0]
    region = canvas.polygon(triangle)
    assert region is not None
    assert region.alpha.sum() * canvas.pixel**2 == pytest.approx(abs(ax * by - ay * bx) / 2, rel=0.01)
    assert canvas.polygon([(x, y, -z) for x, y, z in triangle]) is None  # behind the camera
    assert canvas.polygon([(x + 50, y, z) for x, y, z in triangle]) is None  # outside the picture


def test_points_of_a_wall_lie_on_their_rays_and_in_its_plane() -> None:
    canvas = Canvas((90, 120), focal=0.9, horizon=-0.1, eye=1.7)
    a, b = (-3.0, 4.0), (2.0, 9.0)
    wall = canvas.wall(a, b, 0.0, 6.0)
    assert wall is not None
    inside = wall.region.alpha > 0.999
    x, z = np.broadcast_to(wall.x, inside.shape), np.broadcast_to(wall.depth, inside.shape)
    np.testing.assert_allclose(x / z, np.broadcast_to(canvas.x[:, wall.region.cols], inside.shape), atol=1e-5)
    rays = np.broadcast_to(canvas.y[wall.region.rows], inside.shape)
    np.testing.assert_allclose((wall.height - 1.7) / z, rays, atol=1e-5)
    length = math.dist(a, b)
    along = np.broadcast_to(wall.along, inside.shape)[inside]
    np.testing.assert_allclose(x[inside], a[0] + along * (b[0] - a[0]) / length, atol=2e-3)
    np.testing.assert_allclose(z[inside], a[1] + along * (b[1] - a[1]) / length, atol=2e-3)
    assert along.min() > -0.1
    assert along.max() < length + 0.1
    assert wall.height[inside].min() > -0.1
    assert wall.height[inside].max() < 6.1
    assert wall.normal[0] * a[0] + wall.normal[2] * a[1] < 0


def test_textures_have_natural_statistics() -> None:
    """Amplitude falls as 1/f (equal variance in each octave), variance is 1, at any offset in the plane."""
    texture = Texture(np.random.default_rng(4), 128.0, bands=3, roughness=1.0)
    s = np.arange(512, dtype=np.float32)[None]
    noise = texture(s + 1000, s.T - 333, 1.0).astype(np.float64)
    assert noise.std() == pytest.approx(1.0, abs=0.2)
    power = np.abs(np.fft.fft2(noise * np.hanning(512) * np.hanning(512)[:, None])) ** 2
    frequency = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512)[None])
    octaves = [(1 / 2**k, 2 / 2**k) for k in range(3, 8)]
    share = [np.log2(power[(frequency >= low) & (frequency < high)].mean()) / 2 for low, high in octaves]
    slope = np.polyfit([math.log2(low) for low, _ in octaves], share, 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.25)


def test_fine_bands_fade_where_pixels_are_larger_than_they_are() -> None:
    texture = Texture(np.random.default_rng(1), 64.0, bands=3)
    s = np.arange(256, dtype=np.float32)[None]
    near, far = texture(s, s.T, 1.0), texture(s, s.T, 30.0)
    assert np.abs(np.diff(far)).mean() < 0.35 * np.abs(np.diff(near)).mean()
    assert not texture(s, s.T, 1000.0).any()


@pytest.mark.parametrize("footprint", [0.01, 0.2, 3.0])
def test_pulse_trains_keep_their_mean(footprint: float) -> None:
    position = (np.arange(20000, dtype=np.float32) * np.float32(0.01))[None]
    assert pulses(position, 2.0, 0.6, footprint).mean() == pytest.approx(0.3, abs=0.01)


def test_chart_patches_are_those_of_the_published_chart() -> None:
    """Against colour-science's averages (after November 2014) under D65: within the spread of the editions."""
    chart = colour.CCS_COLOURCHECKERS["ColorChecker24 - After November 2014"]
    xyz = [colour.xyY_to_XYZ(patch) for patch in chart.data.values()]
    expected = colour.XYZ_to_RGB(
        np.array(xyz), "sRGB", illuminant=chart.illuminant, chromatic_adaptation_transform="Bradford"
    )
    lab = [colour.XYZ_to_Lab(colour.RGB_to_XYZ(v, "sRGB")) for v in (PATCHES.astype(float), np.clip(expected, 0, 1))]
    assert colour.delta_E(lab[0], lab[1], method="CIE 2000").max() < 5
