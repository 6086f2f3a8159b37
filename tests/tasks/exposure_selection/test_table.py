"""Score tables: whole parts only, resumable at any point, and never mixed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hdr.errors import UserError
from hdr.ops.fusion import exposure_fusion
from tasks.exposure_selection.ladder import Light, render
from tasks.exposure_selection.scoring import _lpips, reference_picture
from tasks.exposure_selection.table import (
    PART,
    PartReader,
    Row,
    TableSettings,
    build_table,
    claim_table,
    identity_of,
    part_files,
    part_path,
    score_light,
)
from tests.conftest import REPOSITORY
from tests.tasks.exposure_selection.made import light

SETTINGS = TableSettings(lowest=-2.0, highest=4.0, step=2.0, figures=("psnr", "rmse"))


class Lights:
    """Some generated lights; a few are broken."""

    def __init__(self, count: int = 40, broken: tuple[int, ...] = ()) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def light(self, index: int) -> Light:
        if index in self.broken:
            raise UserError(f"scene {index} is broken")
        given = light(index % 3, 24)
        return replace(given, id=f"scene {index}", linear=given.linear * (1 + index))


def build(folder: Path, source: Lights | None = None, settings: TableSettings = SETTINGS, **how: Any) -> Any:
    return build_table(folder, "train", source or Lights(), settings, {"name": "a"}, **{"workers": 0, **how})


def rows(folder: Path) -> list[Row]:
    return [part.row(index) for part in map(PartReader, part_files(folder, "train")) for index in range(len(part))]


def same(one: Row, other: Row) -> bool:
    facts = ("id", "group", "gains", "shot", "read", "saturation", "subsets")
    return (
        torch.equal(one.linear, other.linear)
        and all(torch.equal(one.scores[name], other.scores[name]) for name in SETTINGS.figures)
        and all(getattr(one, name) == getattr(other, name) for name in facts)
    )


def agree(one: Path, other: Path) -> bool:
    return all(same(a, b) for a, b in zip(rows(one), rows(other), strict=True))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def made_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made in a process of its own: libraries that other tests load into this one change the last bits of its sums."""
    folder = tmp_path_factory.mktemp("elsewhere")
    build(folder, workers=1)
    return folder


def test_scoring_depends_on_nothing_but_its_arguments() -> None:
    given = light(1, 24)
    assert same(score_light(given, SETTINGS), score_light(given, SETTINGS))
    other = score_light(given, replace(SETTINGS, seed=1))
    assert not torch.equal(other.scores["psnr"], score_light(given, SETTINGS).scores["psnr"])


def test_a_row_can_be_exposed_again() -> None:
    settings = replace(SETTINGS, noise=False, reference="dense")
    row = score_light(light(1, 32), settings)
    stack = render(row.light(), settings.evs, 0.0)
    reference = reference_picture("dense", "opencv", five=stack, dense=stack, linear=row.linear.float())
    for members, score in zip(settings.subsets[::2], row.scores["psnr"][::2], strict=True):
        error = (exposure_fusion(stack[members][None])[0].clamp(0, 1) - reference).double().square().mean()
        assert float(-10 * error.log10()) == pytest.approx(float(score), abs=0.3)  # light is kept in half precision


def test_light_beyond_half_precision_stays_finite() -> None:
    given = light(1, 24)
    given.linear[:, 0, 0] = 1e12
    row = score_light(given, SETTINGS)
    assert bool(torch.isfinite(row.linear).all())
    assert torch.equal(render(row.light(), [-2.0], 0.0)[0, :, 0, 0], torch.ones(3))


def test_a_table_holds_every_scene_in_order(table: Path) -> None:
    assert [path.name for path in part_files(table, "train")] == [f"train-0000{n}.safetensors" for n in range(3)]
    found = rows(table)
    assert [row.id for row in found] == [f"scene {index}" for index in range(40)]
    source = Lights()
    assert all(same(row, score_light(source.light(index), SETTINGS)) for index, row in enumerate(found))
    part = PartReader(part_path(table, "train", 2))
    assert len(part) == 40 - 2 * PART
    assert torch.equal(part.scores("rmse")[3], found[35].scores["rmse"])


def test_what_is_there_stays(table: Path, tmp_path: Path) -> None:
    times = [path.stat().st_mtime_ns for path in part_files(table, "train")]
    summary = build(table)
    assert (summary.written, summary.kept) == (0, 40)
    assert [path.stat().st_mtime_ns for path in part_files(table, "train")] == times


def test_a_damaged_part_is_named_and_made_again(table: Path, tmp_path: Path) -> None:
    build(tmp_path)
    path = part_path(tmp_path, "train", 1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"train-00001\.safetensors: this part of a score table is damaged"):
        PartReader(path)
    summary = build(tmp_path)
    assert (summary.written, summary.kept) == (16, 24)
    assert agree(tmp_path, table)


def test_shards_together_are_the_whole(table: Path, tmp_path: Path) -> None:
    written = [build(tmp_path, shard=f"{part}/3").written for part in (1, 2, 3)]
    assert sum(written) == 40
    assert agree(tmp_path, table)
    with pytest.raises(UserError, match="shard=4/3"):
        build(tmp_path, shard="4/3")


@pytest.mark.slow
def test_processes_make_the_same_table(made_elsewhere: Path, tmp_path: Path) -> None:
    build(tmp_path, workers=2)
    assert agree(tmp_path, made_elsewhere)


def test_a_few_scenes_are_enough_where_no_more_are_asked_for(tmp_path: Path) -> None:
    summary = build(tmp_path, scenes=20)
    assert summary.written == PART + 8  # the first and the last part
    assert len(part_files(tmp_path, "train")) == 2
    assert build(tmp_path).written == PART


def test_broken_scenes_are_told_and_left_out(tmp_path: Path) -> None:
    source = Lights(20, broken=(3, 17))
    first, again = build(tmp_path, source), build(tmp_path, source)
    for summary in (first, again):  # also when all is there already
        assert summary.failed == {"train 3": "scene 3 is broken", "train 17": "scene 17 is broken"}
    assert [row.id for row in rows(tmp_path)] == [f"scene {n}" for n in range(20) if n not in (3, 17)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 1.0}, r"table with settings\.step = 2\.0, and this run has 1\.0"),
        ({"figures": ("ssim",)}, r"settings\.figures = \['psnr', 'rmse'\]"),
        ({"include": (0.0,)}, r"settings\.include = \[\]"),
    ],
)
def test_tables_of_other_settings_are_not_continued(table: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(table, settings=replace(SETTINGS, **change))


def test_tables_of_other_data_are_not_continued(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.name = 'a', and this run has 'b'; give another folder"):
        claim_table(table, SETTINGS, {"name": "b"})
    assert identity_of(table) == {"name": "a"}
    assert identity_of(tmp_path) is None


def test_figures_that_cannot_be_computed_leave_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _lpips.cache_clear()
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match="lpips needs its library"):
        build(tmp_path, settings=replace(SETTINGS, figures=("psnr", "lpips")))
    assert not list(tmp_path.iterdir())


SLOW = """
import sys, time
from pathlib import Path
from tests.tasks.exposure_selection.test_table import Lights, build

class Slow(Lights):
    def light(self, index):
        time.sleep(0.05)
        return super().light(index)

build(Path(sys.argv[1]), Slow())
"""


@pytest.mark.slow
def test_a_killed_run_leaves_whole_parts_and_goes_on(made_elsewhere: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], env=environment) as process:
        deadline = time.monotonic() + 60
        while not part_files(tmp_path, "train"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    found = part_files(tmp_path, "train")
    assert 0 < len(found) < 3
    assert all(len(PartReader(path)) == PART for path in found)
    summary = build(tmp_path, workers=1)
    assert summary.kept == PART * len(found)
    assert summary.written == 40 - summary.kept
    assert agree(tmp_path, made_elsewhere)
