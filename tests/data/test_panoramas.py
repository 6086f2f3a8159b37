"""Perspective views: analytic panoramas against rays in float64, seam, poles, aliasing; folders of panoramas."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.data.panoramas import SUN_LIMIT, PanoramaViews, find_panoramas, load_panorama, perspective_view, place_of
from hdr.errors import UserError
from hdr.io import write_image

DEGREE = math.pi / 180


def smooth(direction: np.ndarray) -> np.ndarray:
    """A radiance (3, ...) of a direction (3, ...), smooth over the whole sphere."""
    x, y, z = direction
    return np.stack([2 + x + 0.5 * y * z, 3 + y - 0.4 * x * x, 1.5 + 0.7 * z + 0.3 * x * y])


def panorama_of(function, height: int) -> torch.Tensor:
    """The panorama (3, H, 2H) whose pixels are the function at their centres, by the definition of the projection."""
    longitude = ((np.arange(2 * height) + 0.5) / (2 * height) - 0.5) * 2 * math.pi
    latitude = (0.5 - (np.arange(height) + 0.5) / height) * math.pi
    longitude, latitude = np.meshgrid(longitude, latitude)
    direction = np.stack([np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)])
    return torch.from_numpy(function(direction)).float()


def rays(yaw: float, pitch: float, roll: float, fov: float, size: tuple[int, int]) -> np.ndarray:
    """Unit directions (3, h, w) of a view in float64, from the camera's axes and not from a product of rotations."""
    ahead = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    up = np.cross(ahead, right)
    # Turned clockwise, the camera's right hand goes down.
    right, up = math.cos(roll) * right - math.sin(roll) * up, math.sin(roll) * right + math.cos(roll) * up
    half = math.tan(fov / 2) / max(size) * 2
    x = (np.arange(size[1]) + 0.5 - size[1] / 2) * half
    y = (size[0] / 2 - 0.5 - np.arange(size[0])) * half
    direction = ahead[:, None, None] + right[:, None, None] * x[None, None, :] + up[:, None, None] * y[None, :, None]
    return direction / np.linalg.norm(direction, axis=0)


POSES = [
    (0.0, 0.0, 0.0, 60.0),
    (35.0, 10.0, 5.0, 75.0),
    (180.0, -20.0, -30.0, 50.0),  # across the seam
    (-170.0, 85.0, 10.0, 70.0),  # over the zenith
    (20.0, -90.0, 0.0, 90.0),  # the nadir in the middle
    (123.0, 45.0, 200.0, 100.0),
]


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("size", [(33, 47), (64, 41)])
def test_views_of_an_analytic_panorama_are_the_function_of_the_rays(
    pose: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    yaw, pitch, roll, fov = (angle * DEGREE for angle in pose)
    view = perspective_view(panorama_of(smooth, 512), yaw, pitch, roll, fov, size).double().numpy()
    fine = smooth(rays(yaw, pitch, roll, fov, (size[0] * 6, size[1] * 6)))
    expected = fine.reshape(3, size[0], 6, size[1], 6).mean(axis=(2, 4))
    np.testing.assert_allclose(view, expected, atol=3e-4)


def test_up_is_up_and_right_is_right() -> None:
    panorama = panorama_of(lambda d: np.stack([d[0], d[1], d[2]]) + 1, 128)
    view = perspective_view(panorama, 0.0, 0.0, 0.0, 60 * DEGREE, (40, 40))
    assert view[0, 20, -1] > 1.3 > view[0, 20, 20] > view[0, 20, 0]
    assert view[1, 0, 20] > 1.3 > view[1, 20, 20] > view[1, -1, 20]
    assert view[2].min() > 1.7
    turned = perspective_view(panorama, 90 * DEGREE, 0.0, 0.0, 60 * DEGREE, (40, 40))
    assert turned[0].min() > 1.7
    raised = perspective_view(panorama, 0.0, 80 * DEGREE, 0.0, 60 * DEGREE, (40, 40))
    assert raised[1, 20, 20] > 1.95
    rolled = perspective_view(
        panorama, 0.0, 0.0, 90 * DEGREE, 60 * DEGREE, (40, 40)
    )  # the camera's top is at the right
    assert rolled[0, 0, 20] > 1.3 > rolled[0, -1, 20]


def test_a_full_turn_changes_nothing() -> None:
    panorama = torch.rand((3, 64, 128), generator=torch.Generator().manual_seed(0))
    pose = (1.0, 0.3, -0.2)
    view = perspective_view(panorama, *pose, 1.2, (50, 60))
    for axis in range(3):
        turned = [angle + 2 * math.pi * (i == axis) for i, angle in enumerate(pose)]
        assert torch.allclose(perspective_view(panorama, *turned, 1.2, (50, 60)), view, atol=2e-4)


def test_turning_the_panorama_turns_the_view() -> None:
    """Rolling the columns by a quarter is a turn of the camera by 90 degrees: the seam is a place like any other."""
    panorama = torch.rand((3, 64, 128), generator=torch.Generator().manual_seed(1))
    for quarter in range(4):
        rolled = panorama.roll(-32 * quarter, -1)
        ahead = perspective_view(rolled, 0.1, 0.2, 0.0, 1.3, (60, 60))
        assert torch.allclose(
            ahead, perspective_view(panorama, 0.1 + quarter * math.pi / 2, 0.2, 0.0, 1.3, (60, 60)), atol=2e-3
        )


@pytest.mark.parametrize("pose", POSES)
def test_constant_light_stays_constant(pose: tuple[float, float, float, float]) -> None:
    panorama = torch.full((3, 48, 96), 0.7)
    view = perspective_view(panorama, *(angle * DEGREE for angle in pose), (31, 22))
    assert torch.allclose(view, torch.full((3, 31, 22), 0.7), atol=1e-6)


def test_fine_detail_is_averaged_not_aliased() -> None:
    """A checkerboard of single pixels under a view eight times coarser is grey."""
    row, column = torch.meshgrid(torch.arange(512), torch.arange(1024), indexing="ij")
    panorama = ((row + column) % 2).float().expand(3, 512, 1024)
    view = perspective_view(panorama, 0.4, 0.1, 0.05, 60 * DEGREE, (21, 21))
    assert (view - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("pose", [(23.0, 11.0, 6.0), (175.0, -60.0, 40.0)])
@pytest.mark.parametrize(("height", "side"), [(256, 48), (256, 20), (250, 16), (96, 40)])
def test_coarse_views_are_means_over_the_solid_angle_of_their_pixels(
    pose: tuple[float, float, float], height: int, side: int
) -> None:
    """The hardest case, panoramas of independent spots, against 12 x 12 nearest pixels in each pixel of the view.

    Bilinear reading and the blocks of the reduction soften the spots a little, so the view may vary less; if it varied
    more, it would alias.
    """
    spots = torch.rand((3, height, 2 * height), generator=torch.Generator().manual_seed(2)) ** 4
    angles = [angle * DEGREE for angle in pose]
    view = perspective_view(spots, angles[0], angles[1], angles[2], 70 * DEGREE, (side, side)).double().numpy()
    x, y, z = rays(angles[0], angles[1], angles[2], 70 * DEGREE, (12 * side, 12 * side))
    column = ((np.arctan2(x, z) / (2 * math.pi) + 0.5) * 2 * height).astype(int) % (2 * height)
    row = np.minimum(((0.5 - np.arcsin(np.clip(y, -1, 1)) / math.pi) * height).astype(int), height - 1)
    expected = spots.double().numpy()[:, row, column].reshape(3, side, 12, side, 12).mean(axis=(2, 4))
    assert np.corrcoef(view.ravel(), expected.ravel())[0, 1] > 0.85
    assert 0.7 * expected.std() < view.std() < 1.02 * expected.std()
    assert view.mean() == pytest.approx(expected.mean(), rel=0.02)


def test_a_small_sun_keeps_its_light_in_a_coarse_view() -> None:
    panorama = torch.zeros((3, 512, 1024))
    panorama[:, 240:242, 520:522] = 1000.0
    whole = perspective_view(panorama, 0.0, 0.0, 0.0, 60 * DEGREE, (400, 400)).sum() / 400**2
    coarse = perspective_view(panorama, 0.0, 0.0, 0.0, 60 * DEGREE, (40, 40)).sum() / 40**2
    assert coarse.item() == pytest.approx(whole.item(), rel=0.1)


def test_wrong_shapes_and_angles_are_refused() -> None:
    with pytest.raises(ValueError, match="not 2:1"):
        perspective_view(torch.zeros((3, 10, 30)), 0, 0, 0, 1, (4, 4))
    with pytest.raises(ValueError, match="angle of view"):
        perspective_view(torch.zeros((3, 10, 20)), 0, 0, 0, math.pi, (4, 4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two panoramas, one of them below, a picture that is none, and a broken file."""
    (tmp_path / "more").mkdir()
    write_image(tmp_path / "hill_1k.exr", panorama_of(smooth, 64) * 10, encoding="linear")
    bright = panorama_of(smooth, 32)
    bright[:, 8, 20] = 1e5
    write_image(tmp_path / "more" / "beach.hdr", bright, encoding="linear")
    write_image(tmp_path / "crop.exr", torch.ones((3, 20, 20)), encoding="linear")
    (tmp_path / "broken.exr").write_bytes(b"\x76\x2f\x31\x01 and nothing more")
    (tmp_path / "broken.hdr").write_bytes(b"#?RADIANCE\nno size")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_a_folder_gives_its_panoramas_and_a_report_of_the_rest(folder: Path) -> None:
    paths, skipped = find_panoramas(folder)
    assert [path.name for path in paths] == ["hill_1k.exr", "beach.hdr"]
    assert len(skipped) == 3
    assert any("crop.exr: 20x20 pixels are not 2:1" in line for line in skipped)
    assert sum("header cannot be read" in line for line in skipped) == 2


def test_views_follow_index_and_rng_and_keep_the_sun_finite(folder: Path) -> None:
    views = PanoramaViews(folder, (24, 32), views=5)
    assert len(views) == 10
    assert views.groups == ["beach", "hill"]
    scene = views.scene(7, np.random.default_rng(3))
    assert scene.group == "beach"
    assert scene.name == "beach-2"
    assert scene.linear.shape == (3, 24, 32)
    assert scene.linear.dtype == np.float32
    assert np.array_equal(scene.linear, views.scene(7, np.random.default_rng(3)).linear)
    assert not np.array_equal(scene.linear, views.scene(7, np.random.default_rng(4)).linear)
    assert load_panorama(folder / "more" / "beach.hdr").max() == SUN_LIMIT
    for index in range(10):
        linear = views.scene(index, np.random.default_rng(index)).linear
        assert np.isfinite(linear).all()
        assert linear.min() >= 0
    with pytest.raises(IndexError):
        views.scene(10, np.random.default_rng(0))


def test_groups_select_panoramas(folder: Path) -> None:
    views = PanoramaViews(folder, (8, 8), views=2, groups=["hill"])
    assert len(views) == 2
    assert views.scene(1, np.random.default_rng(0)).group == "hill"
    with pytest.raises(UserError, match="group names"):
        PanoramaViews(folder, (8, 8), groups=["sea"])


def test_names_of_one_place_are_one_group() -> None:
    names = ["forest.exr", "forest_2k.hdr", "forest-8k.exr", "adams_place_bridge_1k.hdr", "bridge.exr"]
    assert [place_of(Path(name)) for name in names] == ["forest"] * 3 + ["adams_place_bridge"] * 2


def test_a_panorama_is_scaled_and_mended(tmp_path: Path) -> None:
    """Small negatives become 0; a block of 8 x 8 that rings between signs is filled with the light round it."""
    linear = panorama_of(smooth, 64)
    linear[:, 3, 3] = -0.01
    linear[:, 20, 47:49] = 60.0  # about the block's corner: the sun's halo
    linear[2, 16:24, 40:48] = 9000.0
    linear[1, 18, 42] = -700.0
    write_image(tmp_path / "sun.exr", linear, encoding="linear", bits=32)
    panorama = load_panorama(tmp_path / "sun.exr")
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    assert (panorama * weights).sum(0).median().item() == pytest.approx(1.0, rel=1e-3)
    assert panorama[:, 3, 3].tolist() == [0, 0, 0]
    block = panorama[:, 16:24, 40:48].flatten(1)
    assert (block == block[:, :1]).all()
    assert (block[:, 0] == panorama[:, 20, 48]).all()
    scale = linear[0, 40, 90] / panorama[0, 40, 90]
    intact = torch.ones((64, 128), dtype=torch.bool)
    intact[16:24, 40:48] = False
    assert torch.allclose((panorama * scale)[:, intact], linear.clamp(min=0)[:, intact], rtol=1e-5)


def test_a_sun_beyond_all_limits_stays_finite(tmp_path: Path) -> None:
    """Infinity and NaN in the file; the views are kept in half precision and stay finite too."""
    linear = panorama_of(smooth, 64)
    linear[:, 10, 30] = math.inf
    linear[:, 10, 31] = 65504.0
    linear[0, 40, 70] = math.nan
    write_image(tmp_path / "sun.exr", linear, encoding="linear", bits=32)
    panorama = load_panorama(tmp_path / "sun.exr")
    assert panorama[:, 10, 30:32].tolist() == [[SUN_LIMIT, SUN_LIMIT]] * 3
    assert panorama[0, 40, 70] == 0
    for index in range(20):
        assert np.isfinite(
            PanoramaViews(tmp_path, (40, 40), views=20).scene(index, np.random.default_rng(index)).linear
        ).all()


def test_what_is_no_panorama_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        PanoramaViews(tmp_path / "nowhere", (8, 8))
    with pytest.raises(UserError, match="no panorama in it"):
        PanoramaViews(tmp_path, (8, 8))
    write_image(tmp_path / "black.exr", torch.zeros((3, 8, 16)), encoding="linear")
    with pytest.raises(UserError, match="median luminance is 0"):
        load_panorama(tmp_path / "black.exr")
    write_image(tmp_path / "square.exr", torch.ones((3, 8, 8)), encoding="linear")
    with pytest.raises(UserError, match="twice as wide"):
        load_panorama(tmp_path / "square.exr")


def test_real_panoramas_open(shared_data: Path) -> None:
    views = PanoramaViews(shared_data / "hdr-pmndrs-512", (64, 64), views=1)
    assert len(views) == 18
    assert not views.skipped
    for index in (0, 4, 11):  # one of them is compressed so that blocks about the sun are broken
        linear = views.scene(index, np.random.default_rng(index)).linear
        assert np.isfinite(linear).all()
        assert linear.max() > 0
