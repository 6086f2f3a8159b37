"""Light from generated scenes, HDR pictures and RAW files, and which exposures a capture can give honestly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hdr.data.decode import SensorDecode
from hdr.data.manifest import Record, read_manifest
from hdr.data.photos import PhotoDataset
from hdr.data.prepare import prepare
from hdr.data.scenes import ProceduralScenes
from hdr.errors import UserError
from hdr.io.image import write_image
from hdr.ops.primaries import daylight_balance
from hdr.ops.resize import resize_antialiased
from tasks.exposure_selection.data import Previews, Scored
from tasks.exposure_selection.ladder import preview_ev
from tasks.exposure_selection.lights import BINNED, SHOT, USUAL, CaptureLights, PictureLights, SceneLights
from tasks.exposure_selection.table import TableSettings, build_table, score_light
from tests.tasks.exposure_selection.photographed import MATRIX, scene_light, write_raw


def picture(path: Path, pixels: torch.Tensor, **how: Any) -> PictureLights:
    write_image(path, pixels, **how)
    records = [Record(id="a", paths={"input": path}, group="place")]
    return PictureLights(PhotoDataset(records, ("input",), long_edge=16), "input", 0)


def cached(folder: Path, *names: str, long_edge: int = 32) -> CaptureLights:
    records = [Record(id=name, paths={"input": folder / name}, group="day") for name in names]
    summary = prepare(records, folder / "cache", SensorDecode(binned=True))
    assert not summary.failed
    return CaptureLights(read_manifest(summary.index), long_edge)


def in_file(path: Path, long_edge: int = 32) -> PictureLights:
    records = [Record(id=path.name, paths={"merged": path}, group="day")]
    return PictureLights(PhotoDataset(records, ("merged",), long_edge=long_edge), "merged", 0)


def test_generated_scenes_are_the_same_at_every_call() -> None:
    source = SceneLights(ProceduralScenes(3, (24, 32)), 0)
    assert len(source) == 3
    first, again, other = source.light(1), source.light(1), source.light(2)
    assert torch.equal(first.linear, again.linear)
    assert (first.shot, first.read, first.gains) == (again.shot, again.read, again.gains)
    assert (first.id, first.shot) != (other.id, other.shot)
    assert first.linear.shape == (3, 24, 32)
    assert min(first.gains) == pytest.approx(1.0)
    assert SHOT[0] / BINNED <= first.shot <= SHOT[1] / BINNED
    assert first.saturation == np.inf
    assert len(first.subsets) == 1


def test_hdr_pictures_are_light(tmp_path: Path) -> None:
    pixels = scene_light(32, 48, finest=12) * 100
    source = picture(tmp_path / "a.exr", pixels, encoding="linear")
    found = source.light(0)
    torch.testing.assert_close(found.linear, resize_antialiased(pixels[None], (11, 16))[0], rtol=1e-3, atol=0)  # halves
    assert (found.id, found.group, found.saturation, found.matrix) == ("a", "place", np.inf, None)
    assert torch.equal(source.light(0).linear, found.linear)


def test_pixels_that_are_no_light_do_not_spread(tmp_path: Path) -> None:
    pixels = torch.ones(3, 16, 16)
    pixels[:, 0, 0] = torch.tensor([float("nan"), -float("inf"), -1.0])
    found = picture(tmp_path / "a.exr", pixels, encoding="linear").light(0).linear
    expected = torch.ones(3, 16, 16)
    expected[:, 0, 0] = 0.0
    assert torch.equal(found, expected)


def test_finished_and_black_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a: exposures can be made of light only"):
        picture(tmp_path / "a.png", torch.rand(3, 20, 20), encoding="display").light(0)
    with pytest.raises(UserError, match="a: this picture is black"):
        picture(tmp_path / "b.exr", torch.zeros(3, 20, 20), encoding="linear").light(0)


def test_captures_from_the_cache(tmp_path: Path) -> None:
    y, x = torch.meshgrid(torch.linspace(0.1, 0.5, 64), torch.linspace(0.0, 0.4, 96), indexing="ij")
    light = torch.stack([y, x + 0.1, y + x])
    write_raw(tmp_path / "a.dng", light, 0.0, noise_profile=((1e-3, 1e-6), (2e-3, 4e-6), (3e-3, 1e-6)))
    found = cached(tmp_path, "a.dng", long_edge=24).light(0)
    assert found.linear.shape == (3, 16, 24)
    expected = torch.nn.functional.avg_pool2d(light[None], 4)[0]
    inside = (slice(None), slice(1, -1), slice(1, -1))  # the filter is cut off at the borders
    torch.testing.assert_close(found.linear[inside], expected[inside], rtol=0, atol=4e-3)  # a site off, at most
    assert found.gains == (2.0, 1.0, 1.5)
    assert found.saturation == 1.0
    assert found.group == "day"
    # 48 x 32 pixels of two greens each became 24 x 16
    assert found.shot == pytest.approx(2e-3 / 2 / 4)
    assert found.read == pytest.approx(4e-6 / 2 / 4)
    assert found.matrix is not None
    torch.testing.assert_close(found.matrix.sum(dim=1), torch.ones(3))


def test_raw_files_give_what_the_cache_gives(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.dng", scene_light(64, 96), 1.0)
    cache, file = cached(tmp_path, "a.dng").light(0), in_file(tmp_path / "a.dng").light(0)
    torch.testing.assert_close(cache.linear, file.linear, atol=1e-4, rtol=0)  # greens were rounded to whole numbers
    assert (cache.gains, cache.saturation, cache.id, cache.group) == (
        file.gains,
        file.saturation,
        file.id,
        file.group,
    )
    assert (cache.shot, cache.read) == pytest.approx((file.shot, file.read))
    assert (cache.shot, cache.read) == pytest.approx((USUAL[0] / 2 / 2.25, USUAL[1] / 2 / 2.25), rel=0.1)


def test_exif_stands_beside_the_light(tmp_path: Path) -> None:
    """Of a capture at half saturation the preview, of twice the time, is what the network gets the facts of."""
    light = 0.5 * torch.ones(3, 32, 32)
    write_raw(tmp_path / "a.dng", light, 0.0, seconds=1 / 64, iso=400.0, aperture=4.0)
    write_raw(tmp_path / "b.dng", light, 0.0, exposure_time=None, iso=None, aperture=2.0)
    lights, settings = cached(tmp_path, "a.dng", "b.dng"), TableSettings(step=3.0)
    assert lights.light(0).exif == pytest.approx((-6 / 8, 2 / 8, 4 / 8))
    build_table(tmp_path / "table", "test", lights, settings, {}, workers=0)
    samples = Previews(Scored(tmp_path / "table", "test", settings), "psnr", 16, jitter=1.0)
    known, unknown = (samples.sample(index, np.random.default_rng(0)) for index in range(2))
    assert known["scalars"].tolist() == pytest.approx([(-5 + known["offset"]) / 8, 2 / 8, 4 / 8], abs=2e-3)
    assert unknown["scalars"].isnan().tolist() == [True, True, False]
    assert float(unknown["scalars"][2]) == pytest.approx(2 / 8)


def test_captures_without_white_balance_get_daylight(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.dng", scene_light(), 0.0, white_balance=None)
    assert cached(tmp_path, "a.dng").light(0).gains == pytest.approx(daylight_balance(MATRIX), rel=1e-3)
    assert in_file(tmp_path / "a.dng").light(0).gains == pytest.approx(daylight_balance(MATRIX), rel=1e-3)


def test_captures_stand_upright(tmp_path: Path) -> None:
    light = scene_light(64, 96)
    write_raw(tmp_path / "a.dng", light, 0.0)
    write_raw(tmp_path / "b.dng", light, 0.0, orientation=6)  # the camera was turned: rows are columns
    source = cached(tmp_path, "a.dng", "b.dng")
    torch.testing.assert_close(source.light(1).linear, torch.rot90(source.light(0).linear, -1, (1, 2)))


def test_what_is_no_cache_entry_is_named(tmp_path: Path) -> None:
    record = Record(id="a.dng", paths={"input": tmp_path / "a.dng"})
    with pytest.raises(UserError, match=r"'a\.dng' is not a cache entry.*sensor_binned"):
        CaptureLights([record], 32).light(0)
    with pytest.raises(UserError, match="no capture"):
        CaptureLights([], 32)


def test_a_clipped_capture_is_scored_only_where_it_is_honest(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.dng", scene_light(64, 96), 4.0)  # a good third of it is white
    light = cached(tmp_path, "a.dng").light(0)
    assert preview_ev(light) == pytest.approx(0.0, abs=0.01)
    settings = TableSettings(lowest=-2.0, highest=3.0, step=1.0)
    row = score_light(light, settings)
    honest = torch.tensor(settings.evs)[settings.subsets].amin(dim=1) >= 0
    assert torch.equal(torch.isfinite(row.scores["psnr"]), honest)
    assert 0 < int(honest.sum()) < len(honest)


def test_an_underexposed_capture_gives_the_exposures_that_its_headroom_holds(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.dng", scene_light(64, 96), -3.0)  # nothing of it is white: three stops are left
    light = cached(tmp_path, "a.dng").light(0)
    settings = TableSettings(lowest=-6.0, highest=2.0, step=1.0)
    row = score_light(light, settings)
    known = torch.isfinite(row.scores["psnr"])
    lowest = torch.tensor(settings.evs)[settings.subsets[known].amin(dim=1)].min()
    limit = -preview_ev(light)
    assert limit <= float(lowest) < limit + 1
    assert limit < -2
