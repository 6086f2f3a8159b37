"""The package that is shipped: its size, and that it beats what it has to beat on scenes that it has not seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from hdr.data.scenes import ProceduralScenes
from hdr.data.sources import SEEDS
from hdr.engine.build import build
from hdr.engine.package import load_weights, read_package_config
from tasks.exposure_selection.data import preview_of
from tasks.exposure_selection.lights import SceneLights
from tasks.exposure_selection.subsets import position
from tasks.exposure_selection.table import TableSettings, score_light
from tasks.exposure_selection.task import ExposureSelection
from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "tasks" / "exposure_selection" / "pretrained"
SCENES = 24


def test_it_is_small_and_names_no_machine() -> None:
    assert sum(path.stat().st_size for path in PACKAGE.iterdir()) < 10e6
    for name in ("config.yaml", "metrics.json"):
        text = (PACKAGE / name).read_text()
        assert not any(word in text for word in ("/home", "/tmp", "/root", "/work"))


@pytest.mark.slow
def test_it_beats_the_constant_and_the_best_partner_of_the_preview_on_unseen_scenes() -> None:
    config = read_package_config(PACKAGE)
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in config["table"].items()}
    settings = TableSettings(**values)
    network = build(config["model"])
    load_weights(PACKAGE, {"model": network})
    network.eval()
    subsets, evs = settings.subsets, settings.evs
    facts = json.loads((PACKAGE / "metrics.json").read_text())["facts"]["selection"]
    constant = [position(evs, ev) for ev in facts["constant"]]
    chosen_by_constant = int((subsets == torch.tensor(constant)).all(dim=1).nonzero())
    with_preview = (subsets == position(evs, 0.0)).any(dim=1)
    source = SceneLights(ProceduralScenes(SCENES, (128, 128), first=SEEDS["test"] + 5000), seed=0)
    regrets: dict[str, list[float]] = {"model": [], "constant": [], "with preview": []}
    for index in range(SCENES):
        row = score_light(source.light(index), settings)
        scores = row.scores["psnr"]
        preview = preview_of(row, 0.0, config["preview"], torch.Generator().manual_seed(index))
        with torch.no_grad():
            predicted = network(preview[None], torch.tensor([evs]), None, subsets)[0]
        best = float(scores.max())
        regrets["model"].append(best - float(scores[int(predicted.argmax())]))
        regrets["constant"].append(best - float(scores[chosen_by_constant]))
        regrets["with preview"].append(best - float(scores[with_preview].max()))
    means = {name: float(np.mean(values)) for name, values in regrets.items()}
    assert means["model"] < 0.6 * means["constant"], means
    assert means["model"] < means["with preview"], means


def test_the_task_reads_its_facts() -> None:
    assert ExposureSelection.package_keys == ("model", "table", "target", "preview")
    facts = json.loads((PACKAGE / "metrics.json").read_text())["facts"]["selection"]
    assert len(facts["constant"]) == 2
    assert facts["threshold"] > 0
