"""The command line: exit status, messages, and the commands that must not do something else than they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hdr.engine.guards import check_arguments
from hdr.engine.run import run_folder
from hdr.errors import UserError
from tests.conftest import REPOSITORY

HEAVY = ("torch", "torchvision", "cv2", "wandb", "albumentations", "kornia", "accelerate", "numba", "scipy")


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasks.upe", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "HDR_RUNS": str(folder), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.guide.knid=x", "model.guide.knid"),
        ("optimizer.lr=fast", "optimizer.lr"),
        ("model=upe/nothing", "model/upe/nothing"),
        ("mode=fly", "mode/fly"),
        ("+experiment=upe/nothing", "experiment/upe/nothing"),
        ("trainer.max_step=3", "trainer.max_step"),
        ("dataset=panoramas", "dataset.root"),  # a value that has no default
        ("model.guide.kind=magic", "guide.kind"),
        ("optimizer._target_=os.system", "os.system"),
        ("resume=/nowhere", "/nowhere"),
        ("resume=last", "resume=last"),
        ("device=abacus", "device"),
        ("hydra/launcher=submitit_local", "Add -m"),
        ("mode=predict", "input="),
        ("checkpoint=/nowhere mode=evaluate", "checkpoint=/nowhere"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(tmp_path: Path, override: str, named: str) -> None:
    done = command(*override.split(), folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_help_explains_itself_without_loading_anything_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('LOADED', [n for n in {HEAVY!r} if n in sys.modules]))\n"
        "import runpy; sys.argv = ['tasks.upe', '--help']; runpy.run_module('tasks.upe', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stdout
    assert "mode=train|evaluate|predict|export|prepare" in done.stdout


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = f"import sys, hdr, tasks, conf, hdr.engine.app; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("+sweep=upe/a,upe/b", "one sweep file"),
        ("+experiment=glob(upe/q*)", r"\+experiment/upe=glob\(q\*\)"),
    ],
)
def test_arguments_that_would_do_something_else(argument: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_arguments(["-m", argument])


def test_ordinary_arguments_pass() -> None:
    check_arguments(
        ["-m", "+experiment=upe/a,upe/b", "optimizer.lr=1e-3,1e-4", "+experiment/upe=glob(q*)", "+sweep=upe/a"]
    )


def test_an_empty_sweep_is_an_error(tmp_path: Path) -> None:
    done = command("-m", "+experiment/upe=glob(zzz*)", folder=tmp_path)
    assert done.returncode == 2
    assert "no members" in done.stderr


def test_time_in_a_sweeps_subfolder_is_refused(tmp_path: Path) -> None:
    done = command("-m", "seed=1", "hydra.sweep.subdir=${now:%H}", folder=tmp_path)
    assert done.returncode == 2
    assert "hydra.sweep.subdir" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_compiled_training(tmp_path: Path) -> None:
    done = command(
        "+debug=smoke", "device=cpu", "dataset.size=48", "model=upe/compact", "trainer.compile=true", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_runs_of_the_same_second_have_folders_of_their_own() -> None:
    assert len({run_folder("runs", "upe", "a", "train", None) for _ in range(20)}) == 20


def test_all_ranks_of_a_torchrun_share_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
    assert len({run_folder("runs", "upe", "a", "train", None) for _ in range(3)}) == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert len({run_folder("runs", "upe", "a", "train", None) for _ in range(3)}) == 1
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    with pytest.raises(SystemExit):
        run_folder("runs", "upe", "a", "train", None)


def test_resume_last_takes_the_newest_unfinished_run(tmp_path: Path) -> None:
    for name, finished in (("20260101-1", False), ("20260102-1", False), ("20260103-1", True)):
        folder = tmp_path / "upe" / "a" / name
        folder.mkdir(parents=True)
        (folder / "last.safetensors").touch()
        if finished:
            (folder / "package").mkdir()
    assert run_folder(str(tmp_path), "upe", "a", "train", "last").endswith("20260102-1")
