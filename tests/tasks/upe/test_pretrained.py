"""The shipped package on real photographs: it helps dark ones, leaves good ones alone, at every size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hdr.data.exposure_pairs import ExposurePairs, ExposureSettings
from hdr.data.scenes import ProceduralScenes
from hdr.data.sources import SEEDS
from hdr.engine.package import WEIGHTS, load_weights, read_package_config, shipped_package
from hdr.io import read_image
from hdr.metrics.image import delta_e, mean_ev_change, psnr
from hdr.metrics.quantise import round_8bit
from hdr.ops import tonal
from hdr.ops.resize import resize_antialiased
from tasks.upe.data import as_display
from tasks.upe.model import Enhancer
from tasks.upe.task import build_model
from tests.tasks.upe.test_task import run

PACKAGE = shipped_package("tasks.upe.task.Upe")


@pytest.fixture(scope="module")
def model() -> Enhancer:
    model = build_model(read_package_config(PACKAGE)["model"])
    load_weights(PACKAGE, {"model": model})
    return model.eval().requires_grad_(False)


def photo(path: Path, long_edge: int | None = None, half_size: bool = False) -> torch.Tensor:
    read = read_image(path, half_size=half_size)
    display = as_display(read.pixels, read.encoding)[None]
    if long_edge is None or max(display.shape[2:]) <= long_edge:
        return display
    scale = long_edge / max(display.shape[2:])
    return resize_antialiased(display, (round(display.shape[2] * scale), round(display.shape[3] * scale)))


def correct(model: Enhancer, display: torch.Tensor) -> torch.Tensor:
    return torch.cat([strip for _, strip in model.strips(display)], dim=2)


def change(model: Enhancer, display: torch.Tensor) -> float:
    return float(mean_ev_change(display, correct(model, display)))


def test_it_is_small() -> None:
    assert (PACKAGE / WEIGHTS).stat().st_size <= 3_000_000


def test_well_exposed_photos_stay_as_they_are(model: Enhancer, shared_data: Path) -> None:
    changes = [
        change(model, photo(path, 1200)) for path in sorted((shared_data / "camera-jpegs/normal-bright").iterdir())
    ]
    assert len(changes) == 8
    assert np.mean(np.abs(changes)) < 0.15


@pytest.mark.slow
def test_dark_photos_are_lifted(model: Enhancer, shared_data: Path) -> None:
    changes = [change(model, photo(path, 1200)) for path in sorted((shared_data / "camera-jpegs/dark").iterdir())]
    assert np.median(changes) > 0.5
    assert min(changes) > -0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["camera-jpegs/dark", "camera-jpegs/normal-bright"])
def test_the_result_does_not_depend_on_the_size_of_the_photo(model: Enhancer, shared_data: Path, name: str) -> None:
    for path in sorted((shared_data / name).iterdir()):
        assert abs(change(model, photo(path)) - change(model, photo(path, 512))) < 0.1, path.name


@pytest.mark.slow
def test_a_raw_frame_two_stops_down_comes_closer_to_the_next_than_by_any_classical_means(
    model: Enhancer, shared_data: Path
) -> None:
    folder = shared_data / "raw-bracket-nikon-d5000"
    dark, target = photo(folder / "1-640s.dng"), photo(folder / "1-160s.dng")
    pairs = generated_pairs(48)
    constants = {domain: tonal.best_constant_gain(pairs, domain) for domain in ("display", "linear")}
    mean = float(np.mean([float(pair[1].mean()) for pair in pairs]))
    others = {
        "do nothing": dark,
        "auto-levels": tonal.auto_levels(dark),
        "gamma": tonal.gamma_to_mean(dark, mean),
        "CLAHE": tonal.clahe(dark),
        "constant gain": tonal.apply_gain(dark, constants["display"]),
        "constant exposure": tonal.apply_gain(dark, constants["linear"], "linear"),
    }
    ours = round_8bit(correct(model, dark))
    for name, other in others.items():
        other = round_8bit(other)
        assert float(psnr(ours, target)) > float(psnr(other, target)), name
        assert float(delta_e(ours, target)) < float(delta_e(other, target)), name


@pytest.mark.slow
def test_it_exports_within_a_hundred_thousandth(model: Enhancer, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    run(tmp_path, "mode=export", f"output={tmp_path}")
    session = onnxruntime.InferenceSession(str(tmp_path / "upe.onnx"), providers=["CPUExecutionProvider"])
    for index, (dark, _) in enumerate(generated_pairs(3)):
        picture = dark[:, :, : 192 - 17 * index, : 192 - 31 * index].contiguous()
        (result,) = session.run(["result"], {"display": picture.numpy()})
        assert float((torch.from_numpy(result) - correct(model, picture)).abs().max()) < 1e-5


@pytest.mark.slow
def test_night_scenes_stay_dark(model: Enhancer) -> None:
    """Unseen generated nights, exposed as they are meant to be."""
    scenes = ProceduralScenes(24, (192, 192), first=SEEDS["test"], families=["night"])
    pairs = ExposurePairs(scenes, ExposureSettings(identity_night=1.0))
    changes = [change(model, pairs.sample(index, np.random.default_rng(index))["input"][None]) for index in range(24)]
    assert np.mean(np.abs(changes)) < 0.15
    assert np.median(np.abs(changes)) < 0.02


def generated_pairs(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Underexposed training pairs, on which the constants of the baselines are chosen."""
    settings = ExposureSettings(identity=0.0, identity_night=0.0)
    pairs = ExposurePairs(ProceduralScenes(count, (192, 192)), settings)
    samples = [pairs.sample(index, np.random.default_rng(index)) for index in range(count)]
    return [(sample["input"][None], sample["target"][None]) for sample in samples]
