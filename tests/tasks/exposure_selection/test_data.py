"""Samples for selectors: the same at every call, with labels that move with the preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from hdr.engine.app import register_task
from hdr.errors import UserError
from hdr.io.image import write_image
from hdr.ops.encoding import srgb_to_linear
from tasks.exposure_selection.config import ExposureSelectionConfig
from tasks.exposure_selection.data import (
    EvaluationPreviews,
    Previews,
    Scored,
    light_source,
    scored,
    table_folder,
    table_settings,
    to_preview,
)
from tasks.exposure_selection.ladder import Light
from tasks.exposure_selection.lights import PictureLights, SceneLights
from tasks.exposure_selection.table import TableSettings, build_table
from tests.tasks.exposure_selection.made import light
from tests.tasks.exposure_selection.photographed import scene_light

SETTINGS = TableSettings(lowest=-2.0, highest=4.0, step=1.0, figures=("psnr", "rmse"))
BRIGHT = Light(linear=torch.full((3, 24, 24), 0.5), id="clipped", group="clipped", saturation=0.5)


class Lights:
    def __len__(self) -> int:
        return 20

    def light(self, index: int) -> Light:
        return BRIGHT if index == 19 else light(index % 4, 24)


def settings_of(*overrides: str) -> dict[str, Any]:
    register_task("exposure_selection", ExposureSelectionConfig)
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("exposure_selection", list(overrides))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return plain


def drawn(samples: Previews, index: int, seed: int = 0) -> dict[str, Any]:
    return samples.sample(index, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table")
    build_table(path, "train", Lights(), SETTINGS, {}, workers=0)
    return path


@pytest.fixture(scope="module")
def rows(folder: Path) -> Scored:
    return Scored(folder, "train", SETTINGS)


def test_rows_go_over_the_ends_of_parts(rows: Scored) -> None:
    assert len(rows) == 20
    assert rows.row(19).id == "clipped"
    assert rows.row(16).id == light(0, 24).id
    psnr, rmse = rows.scores("psnr"), rows.scores("rmse")
    assert psnr.shape == (20, 21)
    known = torch.isfinite(psnr)
    assert torch.equal(known, torch.isfinite(rmse))
    assert 0 < int((~known[19]).sum()) < 21
    assert bool(known[:19].all())
    torch.testing.assert_close(psnr[known], 20 * torch.log10(255 / -rmse[known]), rtol=1e-4, atol=1e-3)
    assert torch.equal(psnr[16], rows.row(16).scores["psnr"])


def test_an_empty_split_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"holds no scene of the split 'val'"):
        Scored(folder, "val", SETTINGS)


def test_samples_follow_from_their_generator(rows: Scored) -> None:
    samples = Previews(rows, "psnr", 16, jitter=1.0, flip=True)
    one, again, other = drawn(samples, 2), drawn(samples, 2), drawn(samples, 2, seed=1)
    assert torch.equal(one["preview"], again["preview"])
    assert torch.equal(one["evs"], again["evs"])
    assert not torch.equal(one["evs"], other["evs"])
    assert not torch.equal(one["preview"], other["preview"])
    assert one["preview"].shape == (3, 16, 16)
    assert 0 <= float(one["preview"].min()) <= float(one["preview"].max()) <= 1


def test_labels_move_with_the_preview(rows: Scored) -> None:
    as_metered = drawn(Previews(rows, "psnr", 16), 1)
    moved = [drawn(Previews(rows, "psnr", 16, jitter=1.5), 1, seed) for seed in range(8)]
    ladder = torch.tensor(SETTINGS.evs)
    assert as_metered["offset"] == 0
    torch.testing.assert_close(as_metered["evs"], ladder)
    for sample in moved:
        assert -1.5 <= sample["offset"] <= 1.5
        torch.testing.assert_close(sample["evs"] + sample["offset"], ladder)
        assert torch.equal(sample["scores"], as_metered["scores"])  # absolute exposures stay what they are
        brighter = srgb_to_linear(sample["preview"]).mean() > srgb_to_linear(as_metered["preview"]).mean()
        assert bool(brighter) == (sample["offset"] > 0)


def test_half_of_the_previews_are_mirrored(rows: Scored) -> None:
    plain, flipped = Previews(rows, "psnr", 16), Previews(rows, "psnr", 16, flip=True)
    mirrored = 0
    for seed in range(20):
        one, other = drawn(plain, 0, seed)["preview"], drawn(flipped, 0, seed)["preview"]
        mirrored += int(not torch.equal(one, other))
        assert torch.equal(other, one) or torch.equal(other, one.flip(-1))
    assert 4 < mirrored < 16


def test_what_a_scene_cannot_give_is_not_valid(rows: Scored) -> None:
    sample = drawn(Previews(rows, "rmse", 16), 19)
    scores = rows.row(19).scores["rmse"]
    assert torch.equal(sample["valid"], torch.isfinite(scores))
    assert bool(torch.isfinite(sample["scores"]).all())
    assert torch.equal(sample["scores"][sample["valid"]], -scores[sample["valid"]])  # higher is better


def test_stacks_and_references(rows: Scored) -> None:
    sample = drawn(Previews(rows, "psnr", 16, stack=True), 0)
    assert sample["stack"].shape == (7, 3, 16, 16)
    assert sample["reference"].shape == (3, 16, 16)
    means = sample["stack"].mean(dim=(1, 2, 3))
    assert bool((means.diff() > 0).all())
    torch.testing.assert_close(sample["stack"][2], sample["preview"], atol=0.05, rtol=0)  # EV 0, other noise


def test_tables_without_noise_have_previews_without_noise(tmp_path: Path) -> None:
    quiet = TableSettings(lowest=-2.0, highest=4.0, step=3.0, noise=False)
    build_table(tmp_path, "train", Lights(), quiet, {}, workers=0)
    samples = Previews(Scored(tmp_path, "train", quiet), "psnr", 16, stack=True)
    one, other = drawn(samples, 0), drawn(samples, 0, seed=1)
    assert all(torch.equal(one[name], other[name]) for name in ("preview", "stack", "reference"))


def test_evaluation_gets_the_row(rows: Scored) -> None:
    sample = drawn(EvaluationPreviews(rows, "psnr", 16), 3)
    assert sample["row"].id == sample["id"] == rows.row(3).id


def test_previews_are_stretched_to_a_square() -> None:
    wide = torch.linspace(0, 1, 64).expand(3, 20, 64)
    seen = to_preview(wide, 16)
    torch.testing.assert_close(
        seen, torch.linspace(0, 1, 64).reshape(16, 4).mean(1).expand(3, 16, 16), atol=0.02, rtol=0
    )


def test_sources_by_data_set(tmp_path: Path) -> None:
    write_image(tmp_path / "a.exr", scene_light(24, 32), encoding="linear")
    shares = "dataset.ratios={train: 0.0, val: 0.0, test: 1.0}"
    generated = light_source(settings_of("dataset.size=24", "dataset.val=3"), "val")
    assert isinstance(generated, SceneLights)
    assert len(generated) == 3
    files = settings_of("dataset=unpaired", f"dataset.root={tmp_path}", "dataset.size=16", shares)
    pictures = light_source(files, "test")
    assert isinstance(pictures, PictureLights)
    assert pictures.light(0).linear.shape == (3, 12, 16)


def test_a_table_is_named_after_all_that_it_depends_on(tmp_path: Path) -> None:
    paths = f"paths.cache={tmp_path}/cache"
    changes: list[list[str]] = [[], ["table.step=0.5"], ["seed=1"], ["dataset.size=32"], ["table.figures=[psnr,ssim]"]]
    names = [table_folder(settings_of(paths, *change)) for change in changes]
    assert len(set(names)) == len(names)
    assert table_folder(settings_of(paths, "trainer.max_steps=3", "model=exposure_selection/stack")) == names[0]
    assert table_folder(settings_of("scores=here")) == Path("here")


def test_files_that_come_or_go_make_another_table(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    write_image(photos / "a.exr", scene_light(24, 32), encoding="linear")
    shares = "dataset.ratios={train: 0.0, val: 0.0, test: 1.0}"
    config = settings_of("dataset=unpaired", f"dataset.root={photos}", "dataset.size=16", shares, "table.step=3.0",
                         f"paths.cache={tmp_path}", "trainer.workers=0")  # fmt: skip
    assert len(scored(config, "test")) == 1
    write_image(photos / "b.exr", scene_light(24, 32, seed=1), encoding="linear")
    assert len(scored(config, "test")) == 2
    folder = str(table_folder(config))
    (photos / "a.exr").unlink()
    with pytest.raises(UserError, match=r"data\.photos"):
        scored({**config, "scores": folder}, "test")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("table.figures=[]", r"table\.figures=\[\]: accepted are psnr"),
        ("table.figures=[psnr,beauty]", r"table\.figures"),
        ("target=ssim", r"target=ssim: the table is scored by psnr"),
        ("table.anchor=middle", r"table\.anchor=middle: accepted are highlights, log_average"),
        ("table.curve=gamma", r"table\.curve=gamma: accepted are srgb, bt709"),
        ("table.reference=six", r"table\.reference=six: accepted are five, dense, merged"),
        ("table.weighting=equal", r"table\.weighting=equal: accepted are opencv"),
    ],
)
def test_settings_that_cannot_be(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        table_settings(settings_of(override))
