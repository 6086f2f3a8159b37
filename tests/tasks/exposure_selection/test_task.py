"""``exposure_selection`` as its users meet it: commands on files, in the order in which one would type them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from PIL import Image

from hdr.data.shoots.writing import write_brackets
from hdr.engine.app import dispatch, register_task
from hdr.engine.build import build
from hdr.engine.package import load_weights, read_package_config
from hdr.errors import UserError
from hdr.io import read_image
from tasks.exposure_selection.config import ExposureSelectionConfig
from tasks.exposure_selection.table import PartReader, part_files
from tests.conftest import REPOSITORY
from tests.tasks.exposure_selection.photographed import scene_light, write_bracket, write_raw

SMALL = ["+debug=smoke", "device=cpu", "dataset.size=48", "dataset.train=16", "dataset.val=16", "dataset.test=16",
         "table.step=1.0", "preview=32", "model.width=16", "model.channels=[8,12,16]"]  # fmt: skip


def run(folder: Path, *overrides: str) -> Any:
    """What ``python -m tasks.exposure_selection`` does with these settings, in this process."""
    register_task("exposure_selection", ExposureSelectionConfig)
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("exposure_selection", list(overrides))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return dispatch(plain, folder)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scores")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, scores: Path) -> Path:
    """A model trained for a moment."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, *SMALL, f"scores={scores}", "trainer.max_steps=40", "trainer.batch_size=8", "trainer.validate_every=20",
        "optimizer.lr=3e-3", "augmentation.jitter=0.5")  # fmt: skip
    return folder / "package"


def predicted(tmp_path: Path, package: Path, given: Path | str, *more: str) -> dict[str, Any]:
    run(tmp_path / "run", "mode=predict", "device=cpu", f"checkpoint={package}", f"input={given}",
        f"output={tmp_path}/out", *more)  # fmt: skip
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert not summary["failed"]
    found: dict[str, Any] = summary["done"][0]
    return found


def test_training_learns_which_exposures_are_good(package: Path) -> None:
    lines = [json.loads(line) for line in (package.parent / "metrics.jsonl").read_text().splitlines()]
    validated = [line for line in lines if line["kind"] == "val"]
    assert validated[-1]["regret"] < 5  # dB; chance costs about 13
    assert validated[-1]["quality_error"] < validated[0]["quality_error"]
    facts = json.loads((package / "metrics.json").read_text())["facts"]["selection"]
    assert len(facts["mean_regret"]) == 45  # pairs of 10 exposures
    assert len(facts["constant"]) == 2
    assert facts["threshold"] > 0
    assert set(read_package_config(package)) >= {"model", "table", "target", "preview"}


def test_the_table_is_made_once(package: Path, scores: Path, tmp_path: Path) -> None:
    times = [path.stat().st_mtime_ns for path in part_files(scores, "train")]
    run(tmp_path, *SMALL, f"scores={scores}")
    assert [path.stat().st_mtime_ns for path in part_files(scores, "train")] == times
    with pytest.raises(UserError, match=r"settings\.step = 1\.0, and this run has 3\.0"):
        run(tmp_path / "other", *SMALL, f"scores={scores}", "table.step=3.0")


def test_prepare_makes_the_table_of_the_data_set(scores: Path, package: Path, tmp_path: Path) -> None:
    run(tmp_path, *SMALL, "mode=prepare", f"scores={scores}")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scenes"] == {"train": 16, "val": 16, "test": 16}
    with Image.open(scores / "labels.png") as chart:
        assert chart.size == (384, 384)


def test_evaluation_compares_with_baselines_and_oracles(package: Path, scores: Path, tmp_path: Path) -> None:
    common = [*SMALL, "mode=evaluate", f"checkpoint={package}", "trainer.workers=0"]
    score = run(tmp_path / "a", *common, f"scores={scores}", "evaluation.samples=4",
                "oracles=[pair,pair_with_preview,triple,continuous]")  # fmt: skip
    result = json.loads((tmp_path / "a" / "results.json").read_text())
    table = result["tables"]["all"]
    assert score == table["model"]["PSNR"]["mean"]
    assert set(table) >= {"model", "model with fallback", "constant", "constant with EV 0", "nearest neighbours",
                          "random", "coverage", "up-down ±2", "best pair", "best triple (oracle)"}  # fmt: skip
    assert table["best pair"]["regret"]["mean"] == pytest.approx(0, abs=1e-3)
    assert table["best pair"]["PSNR"]["mean"] >= table["constant"]["PSNR"]["mean"] - 1e-3
    assert table["best off the ladder (oracle)"]["PSNR"]["mean"] >= table["best pair"]["PSNR"]["mean"] - 1e-6
    summary = result["summary"]
    assert set(summary) == {"regret", "gaps", "confidence"}
    assert set(summary["regret"]["model"]) == {"mean", "median", "p95", "scenes"}
    assert {path.name for path in (tmp_path / "a").iterdir()} >= {
        "results.md", "per_sample.csv", "panel.jpg", "regret.png", "confidence.png"}  # fmt: skip
    with pytest.raises(UserError, match="overwrite=true"):
        run(tmp_path / "a", *common, f"scores={scores}")


def test_a_photo_gets_advice(package: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    found = predicted(tmp_path, package, tmp_path / "photo.png")
    assert found["kind"] == "photo"
    evs = [exposure["ev"] for exposure in found["exposures"]]
    assert evs == sorted(evs)
    assert all(-3 <= ev <= 6 for ev in evs)
    assert found["relative_time"] == pytest.approx(sum(2.0**ev for ev in evs), rel=1e-3)
    assert found["expected"]["figure"] == "psnr"
    assert 0 <= found["confidence"] <= 1
    chances = [option["probability"] for option in found["alternatives"]]
    assert chances == sorted(chances, reverse=True)
    limited = predicted(tmp_path / "again", package, tmp_path / "photo.png", "selection.include=[0]",
                        "selection.longest=4", "selection.captures=3", "selection.evs=[-2,-1,0,1,2,3]")  # fmt: skip
    evs = [exposure["ev"] for exposure in limited["exposures"]]
    assert len(evs) == 3
    assert 0 in evs
    assert max(evs) <= 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("selection.captures=11", "11 exposures cannot be chosen from 10"),
        ("selection.include=[0.25]", r"no exposure at \+0\.25 EV"),
        ("selection.total_time=0.01", "no 2 of these 10 exposures meet the constraints"),
        ("selection.longest=-1", r"constraints\.longest=-1"),
        ("input=/nowhere", "/nowhere"),
    ],
)
def test_requests_that_cannot_be(package: Path, tmp_path: Path, override: str, message: str) -> None:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(UserError, match=message):
        run(tmp_path, "mode=predict", "device=cpu", f"checkpoint={package}", f"input={tmp_path}/photo.png", override)


def test_a_raw_file_gets_shutter_times_and_a_picture(package: Path, tmp_path: Path) -> None:
    write_brackets(tmp_path / "shoot", count=1, evs=(-2.0, 0.0, 2.0), size=96, seed=3)
    path = sorted((tmp_path / "shoot").rglob("*.dng"))[1]
    found = predicted(tmp_path, package, path, "selection.fuse=true", "selection.format=null")
    assert found["kind"] == "raw"
    assert all("shutter" in exposure for exposure in found["exposures"])
    assert found["measured"]["psnr"] > 8
    fused = read_image(tmp_path / "out" / f"{path.stem}-fused.tif")
    assert fused.metadata.bits == 16
    assert (tmp_path / "out" / f"{path.stem}-side-by-side.jpg").exists()


def test_a_bracket_is_chosen_from_and_fused(package: Path, tmp_path: Path) -> None:
    write_bracket(tmp_path / "bracket", (-2.0, 0.0, 2.0, 4.0))
    found = predicted(tmp_path, package, tmp_path / "bracket", "selection.fuse=true")
    assert found["kind"] == "bracket"
    assert all(exposure["file"].startswith("IMG_000") for exposure in found["exposures"])
    assert found["measured"]["psnr"] > 10
    run(tmp_path / "fuse", "mode=fuse", f"input={tmp_path}/bracket", f"output={tmp_path}/fused",
        "selection.weight_maps=true")  # fmt: skip
    summary = json.loads((tmp_path / "fused" / "summary.json").read_text())["done"][0]
    assert len(summary["frames"]) == 4
    assert {path.name for path in (tmp_path / "fused").iterdir()} == {
        "summary.json", "bracket-fused.jpg", "bracket-fused-side-by-side.jpg", "bracket-fused-weights.png"}  # fmt: skip
    with pytest.raises(UserError, match="could not be fused"):
        run(tmp_path / "fuse", "mode=fuse", f"input={tmp_path}/bracket", f"output={tmp_path}/fused")


@pytest.mark.slow
def test_from_raw_files_to_figures(package: Path, scores: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_raw(tmp_path / "raw" / f"{number}.dng", scene_light(64, 96, seed=number), -2.0)
    command = [*SMALL, "mode=prepare", f"source={tmp_path}/raw", f"output={tmp_path}/cache"]

    def prepared(*more: str) -> dict[str, Any]:
        run(tmp_path / "run", *command, *more)
        found: dict[str, Any] = json.loads((tmp_path / "run" / "summary.json").read_text())
        return found

    assert prepared("shard=1/2").get("missing", 0) + prepared("shard=2/2").get("missing", 0) > 0
    first, again = prepared(), prepared()
    assert (again["scored"], again["kept"]) == (0, 3)
    assert first["table"] == again["table"] == str(tmp_path / "cache" / "scores")
    (part,) = part_files(tmp_path / "cache" / "scores", "test")
    assert len(PartReader(part)) == 3
    measure = ["+debug=smoke", "device=cpu", "mode=evaluate", f"checkpoint={package}", f"scores={first['table']}"]
    with pytest.raises(UserError, match=r"evaluation\.constants"):
        run(tmp_path / "a", *measure)
    run(tmp_path / "known", *SMALL, "mode=evaluate", f"checkpoint={package}", f"scores={scores}")
    run(tmp_path / "b", *measure, f"evaluation.constants={tmp_path}/known/results.json", "evaluation.samples=null")
    result = json.loads((tmp_path / "b" / "results.json").read_text())
    assert result["samples"] == 3
    (tmp_path / "raw" / "broken.dng").write_bytes(b"II*\0 and nothing more")
    with pytest.raises(UserError, match=r"1 of 4 captures could not be prepared:[\s\S]*broken"):
        run(tmp_path / "run", *command)


def test_a_raw_file_becomes_a_bracket(tmp_path: Path) -> None:
    source = write_raw(tmp_path / "a.dng", scene_light(64, 96), 0.0)
    run(tmp_path / "run", "mode=expose", f"input={source}", f"output={tmp_path}/out", "selection.route=libraw")
    (done,) = json.loads((tmp_path / "out" / "summary.json").read_text())["done"]
    assert done["evs"] == [-4, -2, 0, 2, 4]
    assert len(list((tmp_path / "out" / "a").glob("*.png"))) == 5


def test_balanced_hard_label_and_exif(scores: Path, package: Path, tmp_path: Path) -> None:
    run(tmp_path, *SMALL, f"scores={scores}", "loss=exposure_selection/hard_label", "loss.balance=true",
        "trainer.max_steps=2", "model.scalars=3")  # fmt: skip
    assert (tmp_path / "package" / "model.safetensors").is_file()
    with pytest.raises(UserError, match=r"loss\.balance=true weights the hard label"):
        run(tmp_path / "other", *SMALL, f"scores={scores}", "loss.balance=true")
    with pytest.raises(UserError, match=r"model\.scalars=2: accepted are 0, and 3"):
        run(tmp_path / "other", *SMALL, f"scores={scores}", "model.scalars=2")
    session = pytest.importorskip("onnxruntime").InferenceSession
    run(tmp_path / "export", "mode=export", "device=cpu", f"checkpoint={tmp_path}/package", f"output={tmp_path}/out")
    inputs = session(str(tmp_path / "out" / "exposure_selection.onnx")).get_inputs()
    assert [given.name for given in inputs] == ["preview", "evs", "subsets", "scalars"]


@pytest.mark.slow
def test_export_agrees_with_the_network(package: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    run(tmp_path, "mode=export", "device=cpu", f"checkpoint={package}", f"output={tmp_path}/out",
        "export_fusion=[2,20,30]")  # fmt: skip
    fusion = onnxruntime.InferenceSession(str(tmp_path / "out" / "fusion.onnx"))
    assert fusion.get_inputs()[0].shape[1:] == [2, 3, 20, 30]
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "exposure_selection.onnx"))
    network = build(read_package_config(package)["model"])
    load_weights(package, {"model": network})
    previews, evs = torch.rand(3, 3, 32, 32), torch.tensor([[-1.0, 0.0, 0.5, 2.0]]).repeat(3, 1)
    subsets = torch.tensor([[0, 1, 2], [1, 2, 3]])  # another ladder, and more members than it was trained with
    given = {"preview": previews.numpy(), "evs": evs.numpy(), "subsets": subsets.numpy()}
    (values,) = session.run(["values"], given)
    with torch.no_grad():
        expected = network.eval()(previews, evs, None, subsets)
    torch.testing.assert_close(torch.from_numpy(values), expected, atol=1e-3, rtol=0)
    assert "preview: float32" in (tmp_path / "out" / "model_card.md").read_text()


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_package(scores: Path, package: Path, tmp_path: Path) -> None:
    long = [*SMALL, f"scores={scores}", "trainer.max_steps=60", "trainer.checkpoint_every=5", "augmentation.jitter=0.5",
            "trainer.validate_every=30"]  # fmt: skip
    command = [sys.executable, "-m", "tasks.exposure_selection", *long, f"hydra.run.dir={tmp_path}/killed"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "killed" / "last.safetensors").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "package").exists()
    for arguments in ([f"resume={tmp_path}/killed"], [f"hydra.run.dir={tmp_path}/whole"]):
        done = subprocess.run(
            [sys.executable, "-m", "tasks.exposure_selection", *long, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
    weights = [(tmp_path / name / "package" / "model.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]
