"""Backbones: published sizes, every cut, weights from local files only."""

from __future__ import annotations

import hashlib
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from hdr.errors import UserError
from hdr.models.backbones import BACKBONES, backbone

# Parameters with 1000 classes: torchvision's documentation of its weights, timm's results tables (in millions there).
PUBLISHED = {
    "mobilenet_v1": 4.23e6,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5.48e6,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "resnet18": 11_689_512,
    "efficientnet_b0": 5_288_548,
    "efficientnet_lite0": 4.65e6,
}
WIDTHS = {
    "mobilenet_v1": 1024,
    "mobilenet_v2": 1280,
    "mobilenet_v3_large": 1280,
    "squeezenet1_0": 512,
    "squeezenet1_1": 512,
    "resnet18": 512,
    "efficientnet_b0": 1280,
    "efficientnet_lite0": 1280,
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a backbone asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", BACKBONES)
def test_sizes_are_the_published_ones(name: str) -> None:
    network, width = backbone(name, output="classes")
    assert width == 1000
    assert size(network) == pytest.approx(PUBLISHED[name], abs=0 if isinstance(PUBLISHED[name], int) else 5e3)


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_cuts_have_the_announced_width(name: str) -> None:
    display = torch.rand(2, 3, 70, 97)
    for output in ("features", "map", "classes"):
        network, width = backbone(name, output=output)
        found = network.eval()(display)
        assert width == (1000 if output == "classes" else WIDTHS[name])
        assert found.shape[:2] == (2, width)
        assert found.ndim == (4 if output == "map" else 2)


@torch.no_grad()
def test_features_are_what_the_own_classifier_gets() -> None:
    for name, classifier in (("mobilenet_v2", "classifier.1"), ("resnet18", "fc"), ("mobilenet_v1", "classifier")):
        torch.manual_seed(0)
        whole, _ = backbone(name, output="classes")
        torch.manual_seed(0)
        cut, _ = backbone(name)
        display = torch.rand(1, 3, 64, 64)
        last = whole.get_submodule(classifier)
        torch.testing.assert_close(last(cut.eval()(display)), whole.eval()(display))


@torch.no_grad()
def test_normalisation_is_that_of_the_published_weights() -> None:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    display = torch.rand(1, 3, 64, 64)
    torch.manual_seed(0)
    plain, _ = backbone("resnet18")
    torch.manual_seed(0)
    normalised, _ = backbone("resnet18", normalise=True)
    by_hand = (display - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(normalised.eval()(display), plain.eval()(by_hand))
    assert normalised.state_dict().keys() == {f"1.{key}" for key in plain.state_dict()}


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v1"])
def test_other_channels(name: str) -> None:
    network, width = backbone(name, in_channels=5)
    assert network.eval()(torch.rand(1, 5, 64, 64)).shape == (1, width)
    with pytest.raises(UserError, match="3 channels, not 5"):
        backbone(name, in_channels=5, normalise=True)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_large"])
@torch.no_grad()
def test_weights_from_a_file(tmp_path: Path, name: str, suffix: str) -> None:
    whole, _ = backbone(name, output="classes")
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(whole.state_dict(), path)
    else:
        safetensors.torch.save_file(whole.state_dict(), path)
    read, _ = backbone(name, output="classes", pretrained_file=str(path), pretrained_sha256=sha256(path).upper())
    display = torch.rand(1, 3, 64, 64)
    assert torch.equal(read.eval()(display), whole.eval()(display))


def test_weights_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file .*absent\.pth.*Nothing is downloaded"):
        backbone("resnet18", pretrained_file=str(tmp_path / "absent.pth"))

    path = tmp_path / "squeeze.safetensors"
    whole, _ = backbone("squeezenet1_0", output="classes")
    safetensors.torch.save_file(whole.state_dict(), path)
    with pytest.raises(UserError, match=f"is not given.*{sha256(path)}"):
        backbone("squeezenet1_0", pretrained_file=str(path))
    with pytest.raises(UserError, match=f"is {'0' * 64}.*{sha256(path)}"):
        backbone("squeezenet1_0", pretrained_file=str(path), pretrained_sha256="0" * 64)
    with pytest.raises(UserError, match="does not fit resnet18 of torchvision"):
        backbone("resnet18", pretrained_file=str(path), pretrained_sha256=sha256(path))

    for content in (b"not weights", pickle.dumps(socket.AF_INET, protocol=2)):
        path = tmp_path / "other.pth"
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as weights"):
            backbone("resnet18", pretrained_file=str(path), pretrained_sha256=sha256(path))
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="holds list"):
        backbone("resnet18", pretrained_file=str(path), pretrained_sha256=sha256(path))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="'resnet1000' is not known; choose one of mobilenet_v1, mobilenet_v2"):
        backbone("resnet1000")
