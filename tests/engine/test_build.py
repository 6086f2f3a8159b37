"""Only code of ours and of a few libraries can be named by a configuration."""

from __future__ import annotations

import pytest
import torch

from hdr.engine.build import build, resolve
from hdr.errors import UserError


def test_builds_what_is_allowed() -> None:
    layer = build({"_target_": "torch.nn.Linear", "in_features": 2}, out_features=3)
    assert isinstance(layer, torch.nn.Linear)
    assert layer.weight.shape == (3, 2)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "hdr.io.atomic.os.system",  # through a module of ours to what it imports
        "torch.nn.modules.module.torch.load",
        "hdr.engine.app.sys.exit",
        "torch.hub.load",
        "pathlib.Path",
    ],
)
def test_everything_else_is_refused(target: str) -> None:
    with pytest.raises(UserError, match="_target_"):
        build({"_target_": target})


def test_nested_targets_are_checked_with_their_path() -> None:
    node = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.getcwd"}]}
    with pytest.raises(UserError, match=r"_args_\[0\]\._target_"):
        build(node)


@pytest.mark.parametrize("target", ["hdr.nowhere.Thing", "hdr.engine.build.Nothing", "tasks.upe"])
def test_names_that_lead_nowhere(target: str) -> None:
    with pytest.raises(UserError, match=r"upe|Nothing|nowhere"):
        resolve(target)


def test_wrong_arguments_are_the_users_to_mend() -> None:
    with pytest.raises(UserError, match=r"torch\.nn\.Linear"):
        build({"_target_": "torch.nn.Linear", "in_feature": 2, "out_features": 3})
