"""Published classification networks, cut where a task attaches its own head; from torchvision and timm."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hdr.data.checksums import file_checksum
from hdr.errors import UserError

Output = Literal["features", "map", "classes"]


@dataclass(frozen=True)
class _Source:
    library: Literal["torchvision", "timm"]
    name: str


BACKBONES: Mapping[str, _Source] = {
    "mobilenet_v1": _Source("timm", "mobilenetv1_100"),
    "mobilenet_v2": _Source("torchvision", "mobilenet_v2"),
    "mobilenet_v3_large": _Source("timm", "mobilenetv3_large_100"),
    "squeezenet1_0": _Source("torchvision", "squeezenet1_0"),
    "squeezenet1_1": _Source("torchvision", "squeezenet1_1"),
    "resnet18": _Source("torchvision", "resnet18"),
    "efficientnet_b0": _Source("torchvision", "efficientnet_b0"),
    "efficientnet_lite0": _Source("timm", "efficientnet_lite0"),
}
"""What :func:`backbone` makes, and which library's architecture and weight files that is."""

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of the weights that torchvision publishes


class Normalise(nn.Module):
    """Subtract ``mean`` and divide by ``std``, both per channel: what weights were trained on ImageNet with."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, display: Tensor) -> Tensor:
        return (display - self.mean) / self.std


def backbone(
    name: str,
    *,
    output: Output = "features",
    normalise: bool = False,
    in_channels: int = 3,
    pretrained_file: str | None = None,
    pretrained_sha256: str | None = None,
) -> tuple[nn.Module, int]:
    """A network of :data:`BACKBONES` with fresh weights, or with those of a local file; nothing is downloaded.

    Args:
        name: which.
        output: ``features``: (N, C), what its own classifier would get, without dropout; ``map``: (N, C, h, w), before
            pooling; ``classes``: (N, 1000), its own classifier included.
        normalise: first bring display values in [0, 1] to the mean and deviation that its published weights expect.
        in_channels: of the pictures; other than 3 replaces the first convolution.
        pretrained_file: .safetensors, or a torch file with a dictionary of tensors, as the library publishes it.
        pretrained_sha256: of that file.

    Returns:
        The network, which maps (N, in_channels, H, W) to ``output``, and C (1000 for ``classes``).

    Raises:
        UserError: an unknown name; a file that is missing, has another checksum or does not fit; weights or
            normalisation for other than 3 channels.
    """
    if name not in BACKBONES:
        raise UserError(f"backbone: '{name}' is not known; choose one of {', '.join(BACKBONES)}")
    if in_channels != 3 and (normalise or pretrained_file):
        raise UserError(f"backbone: pretrained weights and their normalisation are for 3 channels, not {in_channels}")
    source = BACKBONES[name]
    build = _from_timm if source.library == "timm" else _from_torchvision
    weights = None if pretrained_file is None else _read_weights(pretrained_file, pretrained_sha256, source)
    network, width, statistics = build(source, output, in_channels, weights, pretrained_file)
    return (nn.Sequential(Normalise(*statistics), network) if normalise else network), width


_Built = tuple[nn.Module, int, tuple[tuple[float, ...], tuple[float, ...]]]


def _from_torchvision(
    source: _Source, output: Output, in_channels: int, weights: dict[str, Tensor] | None, file: str | None
) -> _Built:
    from torchvision import models

    network: nn.Module = getattr(models, source.name)(weights=None)
    if in_channels != 3:
        _replace_first_convolution(network, in_channels)
    _load(network, weights, source, file)
    if output == "classes":
        return network, 1000, _IMAGENET
    if source.name == "resnet18":
        layers: nn.Module = nn.Sequential(*list(network.children())[:-2])
        width = 512
    else:
        layers = network.get_submodule("features")
        width = [m.out_channels for m in layers.modules() if isinstance(m, nn.Conv2d)][-1]
        if source.name.startswith("squeezenet"):
            width *= 2  # its last module concatenates two convolutions
    if output == "map":
        return layers, width, _IMAGENET
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), width, _IMAGENET


def _from_timm(
    source: _Source, output: Output, in_channels: int, weights: dict[str, Tensor] | None, file: str | None
) -> _Built:
    import timm

    network: Any = timm.create_model(source.name, pretrained=False, in_chans=in_channels)
    _load(network, weights, source, file)
    statistics = tuple(network.pretrained_cfg["mean"]), tuple(network.pretrained_cfg["std"])
    if output == "classes":
        return network, 1000, statistics
    network.reset_classifier(0, global_pool="avg" if output == "features" else "")
    return network, network.head_hidden_size, statistics


def _replace_first_convolution(network: nn.Module, in_channels: int) -> None:
    path, first = next((path, m) for path, m in network.named_modules() if isinstance(m, nn.Conv2d))
    fresh = nn.Conv2d(
        in_channels,
        first.out_channels,
        kernel_size=first.kernel_size,  # type: ignore[arg-type]
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, child = path.rpartition(".")
    setattr(network.get_submodule(parent), child, fresh)


def _read_weights(file: str, sha256: str | None, source: _Source) -> dict[str, Tensor]:
    """The tensors of a weights file, none of whose content is executed."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(file)
    if not path.is_file():
        raise UserError(
            f"pretrained_file: there is no file {path}. Nothing is downloaded here: fetch the ImageNet weights that"
            f" {source.library} publishes for {source.name} elsewhere and name the file with its pretrained_sha256,"
            " or leave pretrained_file out to train from random weights"
        )
    found = file_checksum(path, "sha256").hex()
    if sha256 is None or found != sha256.lower():
        wanted = "is not given" if sha256 is None else f"is {sha256}"
        raise UserError(
            f"pretrained_sha256 {wanted}, and {path} has {found}; compare with what the publisher says, then set it"
        )
    try:
        if path.suffix == ".safetensors":
            tensors: Any = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"pretrained_file: {path} cannot be read as weights ({reason}); accepted are a .safetensors file and a"
            " torch file with a plain dictionary of tensors"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UserError(f"pretrained_file: {path} holds {type(tensors).__name__}, not a dictionary of tensors")
    return tensors


def _load(network: nn.Module, weights: dict[str, Tensor] | None, source: _Source, file: str | None) -> None:
    if weights is None:
        return
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        differences = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise UserError(
            f"pretrained_file: {file} does not fit {source.name} of {source.library}: {differences:.300}"
        ) from error
