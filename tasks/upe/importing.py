"""Published weights of three public networks, read into our :class:`~tasks.upe.model.Enhancer`.

Facts about names, shapes and packings: the repositories named in :data:`FLAVOURS`. All three differ in the order of the
coefficients, one works in BGR; here every difference is folded into the weights, so the result is an ordinary RGB
enhancer that can be run, exported and trained on.

A TensorFlow checkpoint is brought into a plain file once, where TensorFlow is installed::

    reader = tf.train.load_checkpoint("checkpoints/model.ckpt")
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("inference/")]
    safetensors.numpy.save_file({name: reader.get_tensor(name) for name in names}, "official.safetensors")
"""

from __future__ import annotations

import os
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import safetensors
import safetensors.torch
import torch

from hdr.errors import UserError
from tasks.upe.model import Enhancer
from tasks.upe.networks import COARSEST, NETWORKS

Flavour = Literal["seed", "official", "creo"]
State = dict[str, torch.Tensor]


class Packing(Protocol):
    """Where a published network keeps a coefficient: output channel, input channel (3: offset), depth -> index."""

    def __call__(self, row: int, column: int, z: int, depth: int) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of a published network."""

    options: dict[str, Any]  # our enhancer's arguments
    packing: Packing
    tensorflow: bool = False  # names and layouts of its variables
    bgr: bool = False  # channel order of its pictures


FLAVOURS: dict[str, Source] = {
    # github.com/hermosayhl/DeepUPE_pytorch, checkpoints/simple_batch_16/*.pth
    "seed": Source(
        options={
            "network": NETWORKS["seed"],
            "guide": {"kind": "pointwise", "activation": "tanh", "batch_norm": True},
            "head": {"kind": "division", "eps": 1e-4, "constrained": False, "clamp": True},
            "thumbnail": "bilinear",
            "convention": "corner",
        },
        packing=lambda row, column, z, depth: (row * 4 + column) * depth + z,
        bgr=True,
    ),
    # github.com/dvlab-research/DeepUPE, checkpoints/model.ckpt (TensorFlow 1)
    "official": Source(
        options={
            "network": {**NETWORKS["official"], "padding": "same_tf"},
            "guide": {"kind": "curves"},
            "head": {"kind": "division", "eps": 1e-3, "constrained": True},
            "thumbnail": "nearest",
        },
        packing=lambda row, column, z, depth: (column * 3 + row) * depth + z,
        tensorflow=True,
    ),
    # github.com/creotiv/hdrnet-pytorch with its default options; users' own weights
    "creo": Source(
        options={
            "network": NETWORKS["hdrnet"],
            "guide": {"kind": "pointwise", "batch_norm": True},
            "head": {"kind": "affine"},
            "thumbnail": "antialiased",
        },
        packing=lambda row, column, z, depth: z * 12 + (row * 3 + column if column < 3 else 9 + row),
    ),
}

_TORCH_NAMES = (
    ("network.splat.", "coeffs.splat_features."),
    ("network.global_convs.", "coeffs.global_features_conv."),
    ("network.global_fc.", "coeffs.global_features_fc."),
    ("network.local.", "coeffs.local_features."),
    ("network.prediction.", "coeffs.conv_out.conv."),
    ("guides.0.conv1.", "guide.conv1.conv."),
    ("guides.0.norm.", "guide.conv1.bn."),
    ("guides.0.conv2.", "guide.conv2.conv."),
    (".linear.", ".fc."),
    (".norm.", ".bn."),
)
_TENSORFLOW_NAMES = {
    "guides.0.matrix.weight": "guide/ccm",
    "guides.0.matrix.bias": "guide/ccm_bias",
    "guides.0.shifts": "guide/shifts",
    "guides.0.slopes": "guide/slopes",
    "guides.0.mix.weight": "guide/channel_mixing/weights",
    "guides.0.mix.bias": "guide/channel_mixing/biases",
    "network.prediction.weight": "coefficients/prediction/conv1/weights",
    "network.prediction.bias": "coefficients/prediction/conv1/biases",
}
_TENSORFLOW_LAYERS = {
    "splat": "splat/conv",
    "global_convs": "global/conv",
    "global_fc": "global/fc",
    "local": "local/conv",
}


def import_weights(path: str | os.PathLike[str], flavour: Flavour) -> Enhancer:
    """The enhancer of a published network, in evaluation mode, with the weights of a ``.safetensors`` or ``.pth`` file.

    A ``.pth`` file is read with ``weights_only=True``; nothing in it is executed.

    Raises:
        UserError: unknown flavour; a file that is missing, unreadable or holds anything but named tensors; names or
            shapes that differ from the published ones (all of them are listed).
    """
    options, state = read_weights(path, flavour)
    enhancer = Enhancer(**options)
    enhancer.load_state_dict(state)
    return enhancer.eval()


def read_weights(path: str | os.PathLike[str], flavour: Flavour) -> tuple[dict[str, Any], State]:
    """The arguments and the state dictionary of that enhancer; raises as :func:`import_weights`."""
    if flavour not in FLAVOURS:
        raise UserError(f"weights: '{flavour}' is not a known network; choose one of {', '.join(FLAVOURS)}")
    source = FLAVOURS[flavour]
    published = _read_tensors(Path(path))
    ours = Enhancer(**source.options).state_dict()
    theirs = {name: _tensorflow_name(name) if source.tensorflow else _torch_name(name) for name in ours}
    state: State = {}
    problems = [f"unexpected {name}" for name in sorted(set(published) - set(theirs.values()))]
    for name, target in ours.items():
        found = published.get(theirs[name])
        if found is None:
            problems.append(f"missing {theirs[name]}")
            continue
        wanted = _tensorflow_shape(name, target) if source.tensorflow else target.shape
        if found.shape != wanted:
            problems.append(f"{theirs[name]} is {tuple(found.shape)} instead of {tuple(wanted)}")
            continue
        state[name] = _from_tensorflow(name, found, target) if source.tensorflow else found
    if problems:
        raise UserError(
            f"{path}: not the weights of '{flavour}' ({len(problems)} differences): "
            + "; ".join(problems)
            + f". Check that the file belongs to this network; the others are {', '.join(set(FLAVOURS) - {flavour})}"
        )
    _unpack(state, source)
    return source.options, state


def _read_tensors(path: Path) -> State:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give a .safetensors or .pth file of named tensors")
    try:
        if path.suffix == ".safetensors":
            tensors: Any = safetensors.torch.load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: cannot be read as weights ({reason}); accepted is a .safetensors file, or a .pth file that"
            " holds a plain dictionary of tensors (a file that pickles whole objects is refused)"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise UserError(f"{path}: holds {type(tensors).__name__}, not a plain dictionary of names and tensors")
    return tensors


def _torch_name(name: str) -> str:
    for ours, theirs in _TORCH_NAMES:
        name = name.replace(ours, theirs)
    return name


def _tensorflow_name(name: str) -> str:
    if name in _TENSORFLOW_NAMES:
        return f"inference/{_TENSORFLOW_NAMES[name]}"
    match = re.fullmatch(r"network\.(\w+)\.(\d+)\.(?:conv|linear)\.(weight|bias)", name)
    assert match is not None, name
    layer, index, kind = match.groups()
    suffix = "weights" if kind == "weight" else "biases"
    return f"inference/coefficients/{_TENSORFLOW_LAYERS[layer]}{int(index) + 1}/{suffix}"


def _tensorflow_shape(name: str, target: torch.Tensor) -> torch.Size:
    """TensorFlow keeps kernels as (height, width, in, out) and matrices as (in, out)."""
    shape = tuple(target.shape)
    if name == "guides.0.matrix.weight":
        shape = (3, 3)
    elif name == "guides.0.shifts":
        shape = (1, 1, *shape)
    elif name == "guides.0.slopes":
        shape = (1, 1, 1, *shape)
    elif len(shape) == 4:
        shape = (shape[2], shape[3], shape[1], shape[0])
    elif len(shape) == 2:
        shape = (shape[1], shape[0])
    return torch.Size(shape)


def _from_tensorflow(name: str, tensor: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    if name.startswith("guides.0.s"):  # shifts and slopes differ by leading ones only
        return tensor.reshape(target.shape)
    if name == "network.global_fc.0.linear.weight":  # it flattens (y, x, channel), we flatten (channel, y, x)
        tensor = tensor.unflatten(0, (COARSEST, COARSEST, -1)).permute(2, 0, 1, 3).flatten(0, 2)
    if tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1).contiguous()
    return tensor.t().reshape(target.shape).contiguous() if tensor.ndim == 2 else tensor


def _unpack(state: State, source: Source) -> None:
    """Bring the coefficients into our order, and pictures into RGB, in place."""
    depth = source.options["network"]["depth"]
    channel = (2, 1, 0, 3) if source.bgr else (0, 1, 2, 3)
    order = [
        source.packing(channel[row], channel[column], z, depth)
        for row in range(3)
        for column in range(4)
        for z in range(depth)
    ]
    for name in ("network.prediction.weight", "network.prediction.bias"):
        state[name] = state[name][order]
    if source.bgr:
        for name in ("network.splat.0.conv.weight", "guides.0.conv1.weight"):
            state[name] = state[name].flip(1)
