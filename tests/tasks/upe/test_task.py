"""``upe`` as its users meet it: commands on files, in the order in which one would type them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from PIL import Image

from hdr.engine.app import dispatch, register_task
from hdr.engine.report import tables_as_markdown
from hdr.errors import UserError
from hdr.io import read_image
from tasks.upe.config import UpeConfig
from tasks.upe.evaluation import PROTOCOL
from tests.conftest import REPOSITORY


def run(folder: Path, *overrides: str) -> Any:
    """What ``python -m tasks.upe`` does with these settings, in this process."""
    register_task("upe", UpeConfig)
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("upe", list(overrides))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return dispatch(plain, folder)


def write_photo(path: Path, size: tuple[int, int] = (64, 48), light: float = 0.2, seed: int = 0) -> None:
    """A smooth picture with some texture, dark where ``light`` is small."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / max(size)
    picture = np.stack([0.3 + 0.6 * x, 0.4 + 0.4 * y, 0.8 - 0.5 * x * y], axis=-1) + rng.normal(0, 0.02, (*x.shape, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture.clip(0, 1) * light * 255).round().astype(np.uint8)).save(path, quality=95)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    for number in range(12):
        write_photo(root / "input" / f"{number}.png", light=0.25, seed=number)
        write_photo(root / "target" / f"{number}.png", light=1.0, seed=number)
    return root


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Path:
    """A model trained for a moment on the pairs."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, "+debug=smoke", "model=upe/compact", "dataset=paired", f"dataset.root={pairs}", "dataset.size=64",
        "trainer.max_steps=30", "trainer.validate_every=15", "optimizer.lr=3e-3", "device=cpu")  # fmt: skip
    return folder / "package"


def test_training_on_pairs_learns_to_brighten(package: Path) -> None:
    figures = json.loads((package / "metrics.json").read_text())["validation"]
    assert figures["ev_change"] > 1
    lines = [json.loads(line) for line in (package.parent / "metrics.jsonl").read_text().splitlines()]
    psnr = [line["psnr"] for line in lines if line["kind"] == "val"]
    assert psnr[-1] > psnr[0]


def test_evaluation_writes_tables_figures_and_a_panel(package: Path, pairs: Path, tmp_path: Path) -> None:
    score = run(tmp_path, "+debug=smoke", "mode=evaluate", "dataset=paired", f"dataset.root={pairs}",
                f"checkpoint={package}", "evaluation.samples=null")  # fmt: skip
    result = json.loads((tmp_path / "results.json").read_text())
    table = result["tables"]["all"]
    assert score == table["model"]["PSNR"]["mean"]
    assert set(table) >= {"model", "do nothing", "auto-levels", "CLAHE", "constant gain", "best 3x4 affine"}
    assert table["best exposure"]["PSNR"]["mean"] >= table["constant exposure"]["PSNR"]["mean"] - 1e-6
    rows = list(csv.DictReader((tmp_path / "per_sample.csv").read_text().splitlines()))
    own = [float(row["PSNR"]) for row in rows if row["method"] == "model"]
    assert np.mean(own) == pytest.approx(score)
    assert "model" in (tmp_path / "results.md").read_text()
    with Image.open(tmp_path / "panel.jpg") as panel:
        assert panel.width > 3 * 300


def test_prediction_keeps_size_and_name_and_brightens(package: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "dark.jpg", (211, 97))
    run(tmp_path / "run", "mode=predict", f"checkpoint={package}", f"input={tmp_path}/in", f"output={tmp_path}/out",
        "side_by_side=true", "illumination_map=true")  # fmt: skip
    before, after = read_image(tmp_path / "in" / "dark.jpg"), read_image(tmp_path / "out" / "dark.jpg")
    assert after.pixels.shape == before.pixels.shape
    assert after.pixels.mean() > 1.5 * before.pixels.mean()
    assert read_image(tmp_path / "out" / "dark-side-by-side.jpg").pixels.shape == (3, 97, 3 * 211)
    assert (tmp_path / "out" / "dark-illumination.png").exists()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["done"][0]["ev_change"] > 1
    assert not summary["failed"]


def test_strength_zero_gives_the_photo_back(package: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png")
    run(
        tmp_path,
        "mode=predict",
        f"checkpoint={package}",
        f"input={tmp_path}/a.png",
        f"output={tmp_path}/out",
        "strength=0",
    )
    assert torch.equal(read_image(tmp_path / "a.png").pixels, read_image(tmp_path / "out" / "a.png").pixels)


def test_strips_do_not_show(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo(tmp_path / "a.png", (61, 300))
    results = []
    for rows in (7, 1000):
        monkeypatch.setattr("tasks.upe.prediction.ROWS", rows)
        run(tmp_path, "mode=predict", f"checkpoint={package}", f"input={tmp_path}/a.png", f"output={tmp_path}/{rows}")
        results.append(read_image(tmp_path / str(rows) / "a.png").pixels)
    assert torch.equal(*results)


def test_sixteen_bit_stays_sixteen_bit(package: Path, tmp_path: Path) -> None:
    from hdr.io import write_image

    ramp = torch.linspace(0, 0.2, 4096).reshape(1, 64, 64).expand(3, -1, -1)
    write_image(tmp_path / "a.tif", ramp, encoding="display", bits=16)
    run(tmp_path, "mode=predict", f"checkpoint={package}", f"input={tmp_path}/a.tif", f"output={tmp_path}/out")
    result = read_image(tmp_path / "out" / "a.tif")
    assert result.metadata.bits == 16
    assert len(result.pixels[1].unique()) > 1000


def test_one_bad_file_does_not_stop_the_others(package: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "good.jpg")
    (tmp_path / "in" / "bad.jpg").write_bytes(b"not a photo at all")
    with pytest.raises(UserError, match=r"1 of 2 files failed[\s\S]*bad\.jpg"):
        run(tmp_path, "mode=predict", f"checkpoint={package}", f"input={tmp_path}/in", f"output={tmp_path}/out")
    assert (tmp_path / "out" / "good.jpg").exists()
    assert len(json.loads((tmp_path / "out" / "summary.json").read_text())["failed"]) == 1


def test_nothing_is_overwritten_unless_asked(package: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    command = ["mode=predict", f"checkpoint={package}", f"input={tmp_path}/a.jpg"]
    run(tmp_path, *command, f"output={tmp_path}/out")
    before = (tmp_path / "out" / "a.jpg").read_bytes()
    with pytest.raises(UserError, match="overwrite"):
        run(tmp_path, *command, f"output={tmp_path}/out", "strength=0")
    assert (tmp_path / "out" / "a.jpg").read_bytes() == before
    run(tmp_path, *command, f"output={tmp_path}/out", "strength=0", "overwrite=true")
    assert (tmp_path / "out" / "a.jpg").read_bytes() != before
    original = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(UserError):  # the output folder is the input's: the photo itself is never replaced
        run(tmp_path, *command, f"output={tmp_path}", "overwrite=true")
    assert (tmp_path / "a.jpg").read_bytes() == original


def test_inputs_of_one_name_are_refused_before_anything_is_written(package: Path, tmp_path: Path) -> None:
    for number, folder in enumerate("ab"):
        write_photo(tmp_path / folder / "1.jpg", seed=number)
    command = ["mode=predict", f"checkpoint={package}", f"output={tmp_path}/out", "overwrite=true"]
    with pytest.raises(UserError, match=r"1\.jpg stands in several folders"):
        run(tmp_path / "run", *command, f"input='{tmp_path}/*/1.jpg'")
    assert not list((tmp_path / "out").glob("*"))


def test_no_input_is_replaced_by_the_result_of_another(package: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("a.jpg", "b.png", "b.jpg")):
        write_photo(tmp_path / name, seed=number)
    command = ["mode=predict", f"checkpoint={package}", f"input={tmp_path}", "format=png", "overwrite=true"]
    run(tmp_path / "run", *command, f"output={tmp_path}/out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"a.png", "b-png.png", "b-jpg.png", "summary.json"}
    write_photo(tmp_path / "b-jpg.png", seed=3)  # the name that the result of b.jpg would have beside it
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=r"2 of 4 files failed[\s\S]*b-jpg\.png, which is one of the inputs"):
        run(tmp_path / "run", *command, f"output={tmp_path}")
    assert all((tmp_path / name).read_bytes() == content for name, content in before.items())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strength=2", "strength"),
        ("format=gif", "format"),
        ("input=/nowhere", "/nowhere"),
        ("bits=12", r"\b12 bits"),
    ],
)
def test_settings_that_cannot_be(package: Path, tmp_path: Path, override: str, message: str) -> None:
    write_photo(tmp_path / "a.png")
    with pytest.raises(UserError, match=message):
        run(
            tmp_path,
            "mode=predict",
            f"checkpoint={package}",
            f"input={tmp_path}/a.png",
            f"output={tmp_path}/o",
            override,
        )


def test_a_raw_photo_becomes_a_16_bit_tiff(package: Path, tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "raw" / "kodak-dc50.kdc"
    run(tmp_path, "mode=predict", f"checkpoint={package}", f"input={source}", f"output={tmp_path}/out")
    result = read_image(tmp_path / "out" / "kodak-dc50.tif")
    assert result.metadata.bits == 16
    assert result.pixels.shape == read_image(source).pixels.shape


@pytest.mark.slow
def test_export_agrees_with_onnxruntime_at_other_sizes(package: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    run(tmp_path, "mode=export", f"checkpoint={package}", f"output={tmp_path}/out")
    model = onnx.load(str(tmp_path / "out" / "upe.onnx"))
    assert model.opset_import[0].version == 17
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "upe.onnx"), providers=["CPUExecutionProvider"])
    write_photo(tmp_path / "a.png", (133, 77))
    photo = read_image(tmp_path / "a.png").pixels[None]
    result = torch.from_numpy(session.run(["result"], {"display": photo.numpy()})[0])
    run(
        tmp_path,
        "mode=predict",
        f"checkpoint={package}",
        f"input={tmp_path}/a.png",
        f"output={tmp_path}/out",
        "bits=16",
    )
    assert torch.allclose(result[0], read_image(tmp_path / "out" / "a.png").pixels, atol=1e-4)
    assert "onnxruntime" in (tmp_path / "out" / "model_card.md").read_text()
    with pytest.raises(UserError, match="overwrite"):
        run(tmp_path, "mode=export", f"checkpoint={package}", f"output={tmp_path}/out")


def test_prepared_photos_train_like_files(pairs: Path, tmp_path: Path) -> None:
    run(tmp_path / "prepare", "mode=prepare", f"source={pairs}", f"output={tmp_path}/cache", "trainer.workers=0")
    index = tmp_path / "cache" / "index.jsonl"
    assert len(index.read_text().splitlines()) == 12
    overrides = ["+debug=smoke", "dataset=manifest", f"dataset.path={index}", "dataset.size=48", "model=upe/compact"]
    run(tmp_path / "a", *overrides, "device=cpu")  # nothing has decided on splits: the pictures are divided
    assert (tmp_path / "a" / "package").is_dir()


def test_photos_without_targets_train_with_losses_that_need_none(pairs: Path, tmp_path: Path) -> None:
    common = ["+debug=smoke", "dataset=unpaired", f"dataset.root={pairs}/input", "dataset.size=48", "model=upe/compact"]
    with pytest.raises(UserError, match=r"loss\.reconstruction.*no_reference"):
        run(tmp_path / "a", *common)
    run(tmp_path / "b", *common, "loss=upe/no_reference", "device=cpu")
    assert "exposure_error" in json.loads((tmp_path / "b" / "package" / "metrics.json").read_text())["validation"]
    with pytest.raises(UserError, match="targets"):
        run(tmp_path / "c", *common, "loss=upe/no_reference", "mode=evaluate", f"checkpoint={tmp_path}/b")


def test_a_package_of_something_else_is_refused(package: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.yaml", "metrics.json"):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / name).write_bytes((package / name).read_bytes())
    (tmp_path / "other" / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match="damaged"):
        run(tmp_path, "mode=evaluate", f"checkpoint={tmp_path}/other")
    (tmp_path / "other" / "config.yaml").write_text("task: single_hdr\ntask_class: x\nmodel: {}\n")
    with pytest.raises(UserError, match="single_hdr"):
        run(tmp_path, "mode=evaluate", f"checkpoint={tmp_path}/other")
    with pytest.raises(UserError, match="not a model package"):
        run(tmp_path, "mode=evaluate", f"checkpoint={tmp_path}")


def test_missing_public_data_say_where_to_get_them(tmp_path: Path) -> None:
    for dataset in ("fivek", "lol"):
        with pytest.raises(UserError, match=r"(?s)Expected layout.*https://"):
            run(tmp_path / dataset, f"dataset={dataset}", f"dataset.root={tmp_path}/nothing", "device=cpu")


def test_the_table_in_the_readme_is_the_one_that_was_measured() -> None:
    folder = REPOSITORY / "tasks" / "upe"
    table = tables_as_markdown(json.loads((folder / "results" / "held-out.json").read_text()), PROTOCOL)
    rows = [line for line in table.splitlines() if line.startswith("| ") and "[" in line]
    readme = (folder / "README.md").read_text()
    assert len(rows) == 27
    assert [row for row in rows if row not in readme] == []
