"""Figures reach their files, and training does not care what a logger does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from hdr.engine.tracking import Tracker
from hdr.engine.train import train
from hdr.errors import UserError
from tests.engine.toy import Toy, config


def with_logger(kind: str, **settings: Any) -> dict[str, Any]:
    plain = config()
    plain["logger"] |= {"kind": kind, **settings}
    return plain


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, config(), active=True)
    for step in (1, 2, 3):
        tracker.figures(step, "train", {"loss": float(step)})
    tracker.finish()
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 4, "ki')  # a killed process
    tracker = Tracker(tmp_path, config(), active=True, resume_step=2)
    tracker.figures(3, "train", {"loss": float("nan")})
    tracker.finish()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[-1]["loss"] is None


def test_pictures_of_hdr_values_are_clipped_not_wrapped(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, config(), active=True)
    tracker.picture(7, "val/pictures", torch.full((3, 16, 16), 8.0))
    tracker.finish()
    with Image.open(tmp_path / "pictures" / "val-pictures-0000007.jpg") as picture:
        assert min(low for low, _ in picture.getextrema()) > 250


def test_training_survives_a_logger_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __init__(self, *_: Any) -> None:
            self.calls = 0

        def figures(self, *_: Any) -> None:
            raise ConnectionError("gone")

    monkeypatch.setattr("hdr.engine.tracking.WandbBackend", Failing)
    package = train(Toy(with_logger("wandb")), tmp_path / "run")
    assert package.exists()

    def unreachable(*_: Any) -> None:
        raise ConnectionError("no such host")

    monkeypatch.setattr("hdr.engine.tracking.WandbBackend", unreachable)
    assert train(Toy(with_logger("wandb")), tmp_path / "other").exists()


def test_an_unknown_logger_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"logger\.kind: found 'paper'"):
        train(Toy(with_logger("paper")), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # inside the loggers' clients
def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(Toy(with_logger("tensorboard")), tmp_path / "run")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert "val/error" in events.Tags()["scalars"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # inside the loggers' clients
def test_wandb_offline_keeps_its_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train(Toy(with_logger("wandb", mode="offline")), tmp_path / "run")
    identity = (tmp_path / "run" / "wandb_id.txt").read_text().strip()
    assert list((tmp_path / "run" / "wandb").glob(f"offline-run-*-{identity}/run-{identity}.wandb"))
