"""The loop: interruption, several optimizers, stages, and what is said when something goes wrong."""

from __future__ import annotations

import itertools
import json
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
from safetensors.torch import load_file

from hdr.data.loader import StepSampler
from hdr.engine.checkpoint import load_checkpoint
from hdr.engine.randomness import derive_seed
from hdr.engine.task import Stage
from hdr.engine.train import train
from hdr.errors import UserError
from tests.conftest import REPOSITORY
from tests.engine.toy import COSINE, Pair, Staged, Toy, config


def weights(folder: Path) -> dict[str, torch.Tensor]:
    networks = load_checkpoint(folder / "last.safetensors")["networks"]
    return {f"{net}.{name}": tensor for net, state in networks.items() for name, tensor in state.items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def program(kind: str, folder: Path, *pairs: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.engine.toy", kind, str(folder), *pairs]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        lines = (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else []
        if len(lines) > step:
            return
        time.sleep(0.002)
    raise AssertionError(f"the run never reached step {step}: {process.communicate()[1].decode()}")


def test_trains_and_leaves_a_package(tmp_path: Path) -> None:
    package = train(Toy(config(max_steps=60)), tmp_path / "run")
    assert {p.name for p in package.iterdir()} == {"model.safetensors", "config.yaml", "metrics.json"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    errors = [line["error"] for line in lines if line["kind"] == "val"]
    assert errors[-1] < 0.5 * errors[0]
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps)
    assert lines[-2]["gradient_norm"] > 0


def test_the_package_is_the_best_validation(tmp_path: Path) -> None:
    class Worsening(Toy):
        def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
            self.calls = getattr(self, "calls", 0) + 1
            return {"error": torch.full((len(batch["x"]),), abs(self.calls - 3.0))}

    class Coarse(Worsening):
        def dataset(self, split: str, stage: Any = None) -> Any:
            data = super().dataset(split, stage)
            data.length = 4
            return data

    train(Coarse(config(max_steps=10, validate_every=2)), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "package" / "metrics.json").read_text())["step"] == 6


PLATEAU = {"_target_": "hdr.engine.schedules.Plateau", "patience": 1, "factor": 0.5}


@pytest.mark.parametrize(("kind", "scheduler"), [(Toy, COSINE), (Toy, PLATEAU), (Pair, COSINE), (Staged, COSINE)])
def test_interrupted_again_and_again_ends_with_the_same_weights(
    tmp_path: Path, kind: type[Toy], scheduler: dict[str, Any]
) -> None:
    settings = {**config(ema_decay=0.9, accumulate=2, log_every=2, validate_every=5), "scheduler": scheduler}
    train(kind(settings), tmp_path / "whole")
    signalled = tmp_path / "parts"
    for _ in range(40):

        class Interrupted(kind):  # type: ignore[valid-type, misc]
            count = 0

            def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
                Interrupted.count += 1
                if Interrupted.count == 3:
                    os.kill(os.getpid(), signal.SIGUSR1)
                result: dict[str, torch.Tensor] = super().training_step(networks, batch, update, step)
                return result

        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            train(Interrupted(settings), signalled)
            break
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGUSR1, before)
    else:
        raise AssertionError("never finished")
    assert equal(weights(tmp_path / "whole"), weights(signalled))
    assert equal(
        load_file(tmp_path / "whole" / "package" / "model.safetensors"),
        load_file(signalled / "package" / "model.safetensors"),
    )

    def losses(folder: Path) -> list[Any]:
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [[line["step"], line["kind"], line.get("loss"), line.get("error")] for line in lines]

    assert losses(tmp_path / "whole") == losses(signalled)


@pytest.mark.slow
def test_killed_mid_epoch_with_workers_and_started_again(tmp_path: Path) -> None:
    pairs = ["max_steps=400", "workers=2", "checkpoint_every=7", "validate_every=150", "ema_decay=0.99"]
    whole = program("toy", tmp_path / "whole", *pairs)
    process = program("toy", tmp_path / "killed", *pairs)
    wait_for_step(tmp_path / "killed", 23, process)
    process.send_signal(signal.SIGKILL)
    process.wait()  # its workers may still be about; the next start must not mind
    if process.stderr:
        process.stderr.close()
    reached = load_checkpoint(tmp_path / "killed" / "last.safetensors")["step"]
    assert 0 < reached < 400
    for run in (program("toy", tmp_path / "killed", *pairs), whole):
        _, complaint = run.communicate()
        assert run.returncode == 0, complaint.decode()
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_term_saves_at_the_step_boundary_and_still_ends_the_process(tmp_path: Path) -> None:
    process = program("toy", tmp_path / "run", "max_steps=100000", "checkpoint_every=100000", "validate_every=100000")
    wait_for_step(tmp_path / "run", 5, process)
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM, complaint.decode()
    saved = load_checkpoint(tmp_path / "run" / "last.safetensors")
    logged = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert saved["step"] == logged[-1] >= 5


def torchrun(kind: str, folder: Path, *pairs: str) -> None:
    """Two processes on this machine, with gloo."""
    script = REPOSITORY / "tests" / "engine" / "distributed.py"
    launcher = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=localhost:0",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, *launcher, str(script), kind, str(folder), *pairs],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_with_running_statistics_and_one_validation_sample(tmp_path: Path) -> None:
    torchrun("normed", tmp_path / "run", "max_steps=9", "accumulate=2", "batch_size=8")
    state = weights(tmp_path / "run")
    assert state["discriminator.1.num_batches_tracked"] > 0
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    pairs = ["max_steps=20", "batch_size=4", "ema_decay=0.9"]

    class Quiet(Toy):
        def networks(self) -> dict[str, torch.nn.Module]:
            return {"model": torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.ReLU(), torch.nn.Linear(32, 6))}

    train(Quiet(config(max_steps=20, batch_size=4, ema_decay=0.9)), tmp_path / "one")
    torchrun("quiet", tmp_path / "two", *pairs)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_accumulated_parts_agree_with_the_whole_batch(tmp_path: Path) -> None:
    class Quiet(Toy):
        def networks(self) -> dict[str, torch.nn.Module]:
            return {"model": torch.nn.Linear(6, 6)}

    train(Quiet(config(accumulate=1)), tmp_path / "one")
    train(Quiet(config(accumulate=4)), tmp_path / "four")
    one, four = weights(tmp_path / "one"), weights(tmp_path / "four")
    assert all(torch.allclose(one[name], four[name], atol=1e-5) for name in one)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_samples(tmp_path: Path) -> None:
    sampler = StepSampler(22, 4, seed=derive_seed(7, "loader", 0))
    late = sampler.batch(3)[0].index  # a sample that the first epoch shows in its fourth batch

    class Bad(Toy):
        bad = late

    with pytest.raises(UserError, match=rf"not finite at step 3 .*line-{late}\b"):
        train(Bad(config()), tmp_path / "run")
    saved = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert saved["step"] == 3
    assert all(torch.isfinite(t).all() for t in saved["networks"]["model"].values())


def test_each_optimizer_moves_its_own_networks_when_it_is_due(tmp_path: Path) -> None:
    states = []

    class Watched(Pair):
        def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
            flat = {name: torch.cat([p.detach().flatten() for p in net.parameters()]) for name, net in networks.items()}
            states.append((update, step, flat))
            return super().training_step(networks, batch, update, step)

    train(Watched(config(max_steps=8)), tmp_path / "run")
    calls = [(update, step) for update, step, _ in states]
    expected = [c for s in range(8) for c in [("generator", s)] + ([("discriminator", s)] if s in (4, 6) else [])]
    assert calls == expected
    for (update, _, before), (_, _, after) in itertools.pairwise(states):
        other = "discriminator" if update == "generator" else "generator"
        assert not torch.equal(before[update], after[update])
        assert torch.equal(before[other], after[other])


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train(Toy(config(max_steps=2)), tmp_path / "run")
    with pytest.raises(UserError, match=r"trainer\.max_steps: 2 -> 3"):
        train(Toy(config(max_steps=3)), tmp_path / "run")


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    train(Toy(config(max_steps=2)), tmp_path / "run")
    before = (tmp_path / "run" / "last.safetensors").stat().st_mtime_ns
    train(Toy(config(max_steps=2)), tmp_path / "run")
    assert (tmp_path / "run" / "last.safetensors").stat().st_mtime_ns == before


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    process = program("toy", tmp_path / "run", "max_steps=100000")
    wait_for_step(tmp_path / "run", 2, process)
    try:
        with pytest.raises(UserError, match="another process"):
            train(Toy(config(max_steps=100000)), tmp_path / "run")
    finally:
        process.kill()
        process.communicate()


def test_early_stopping(tmp_path: Path) -> None:
    class Stuck(Toy):
        def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
            return {"error": torch.ones(len(batch["x"]))}

    train(Stuck(config(max_steps=1000, validate_every=3, patience=2)), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "package" / "metrics.json").read_text())["steps"] == 9


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"channels_last": True}])
def test_options_of_the_trainer(tmp_path: Path, options: dict[str, Any]) -> None:
    package = train(Toy(config(**options)), tmp_path / "run")
    assert json.loads((package / "metrics.json").read_text())["validation"]["error"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, r"trainer\.precision"),
        ({"precision": "fp16"}, "needs a GPU"),
        ({"batch_size": 5, "accumulate": 2}, r"trainer\.batch_size"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(Toy(config(**options)), tmp_path / "run")


def test_the_moving_average_follows_its_formula(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    class Watched(Toy):
        def networks(self) -> dict[str, torch.nn.Module]:
            return {"model": torch.nn.Linear(6, 6, bias=False)}

        def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
            if step:
                seen.append(networks["model"].weight.detach().double().clone())
            return super().training_step(networks, batch, update, step)

    train(Watched(config(max_steps=9, ema_decay=0.3)), tmp_path / "run")
    saved = load_checkpoint(tmp_path / "run" / "last.safetensors")
    seen.append(saved["networks"]["model"]["weight"].double())
    expected = seen[0]
    for n, current in enumerate(seen[1:], start=1):
        keep = min(0.3, (1 + n) / (10 + n))
        expected = keep * expected + (1 - keep) * current
    assert torch.allclose(saved["averages"]["model"]["module.weight"].double(), expected, atol=1e-6)


def test_what_a_task_froze_stays_frozen_and_what_rests_does_not_learn(tmp_path: Path) -> None:
    class Partly(Toy):
        network_names = ("model", "encoder")

        def networks(self) -> dict[str, torch.nn.Module]:
            encoder = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6))
            model = torch.nn.Sequential(torch.nn.Linear(6, 6).requires_grad_(False), torch.nn.Linear(6, 6))
            return {"model": model, "encoder": encoder}

        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            return [replace(stage, updates=(replace(stage.updates[0], networks=("model",)),))]

        def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
            return {"loss": (networks["model"](networks["encoder"](batch["x"])) - batch["y"]).square().mean()}

        def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
            made = networks["model"](networks["encoder"](batch["x"]))
            return {"error": (made - batch["y"]).square().mean(dim=1)}

    train(Partly(config(max_steps=1)), tmp_path / "one")
    train(Partly(config(max_steps=9)), tmp_path / "nine")
    one, nine = weights(tmp_path / "one"), weights(tmp_path / "nine")
    moved = {name for name in one if not torch.equal(one[name], nine[name])}
    assert moved == {"model.1.weight", "model.1.bias"}


def test_a_validation_that_is_not_a_number_does_not_win(tmp_path: Path) -> None:
    class Odd(Toy):
        calls = 0

        def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
            error = super().validation_step(networks, batch, stage)["error"]
            Odd.calls += len(error)
            return {"error": error * float("nan") if Odd.calls <= 9 else error}

    package = train(Odd(config(max_steps=10)), tmp_path / "run")
    assert json.loads((package / "metrics.json").read_text())["step"] == 10


def test_a_stage_departs_from_the_best_of_the_one_before_and_may_have_its_own_figure(tmp_path: Path) -> None:
    starts: list[torch.Tensor] = []

    class Watched(Staged):
        rounds = 0

        def stages(self) -> list[Stage]:
            first, second = super().stages()
            return [replace(first, monitor="age", higher_is_better=False), second]

        def training_step(self, networks: Any, batch: Any, update: str, step: int) -> dict[str, torch.Tensor]:
            starts.append(networks["model"][0].weight.detach().clone())
            return super().training_step(networks, batch, update, step)

        def validation_step(self, networks: Any, batch: Any, stage: Any) -> dict[str, torch.Tensor]:
            figures = super().validation_step(networks, batch, stage)
            Watched.rounds += 1
            return {**figures, "age": torch.full_like(figures["error"], float(Watched.rounds))}

    train(Watched(config(validate_every=2)), tmp_path / "run")
    # stage `coarse` has 6 steps and validates after 2, 4 and 6; the youngest validation counts as best
    assert torch.equal(starts[6], starts[2])
    assert not torch.equal(starts[6], starts[5])
