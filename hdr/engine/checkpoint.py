"""Checkpoints: any nest of dictionaries, lists, tensors and plain values in one safetensors file.

The tensors are stored by their path in the nest, the rest as JSON in the file's header. One file means one rename, so a
checkpoint is there whole or not at all, and reading one executes nothing.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hdr.errors import UserError
from hdr.io.atomic import write_atomically

HEADER = "hdr_checkpoint"
TENSOR = "__tensor__"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``, replacing an earlier file only when the new one is complete.

    Dictionary keys may be strings or integers (optimizers number their parameters).

    Raises:
        UserError: the disk is full or the folder cannot be written; the earlier file is untouched.
        TypeError: ``content`` holds something that is neither a tensor nor plain.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _strip(content, "", tensors)
    data = save(tensors, metadata={HEADER: json.dumps(skeleton)})
    try:
        with write_atomically(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise UserError(
            f"{path}: the checkpoint ({len(data) / 1e6:.1f} MB) could not be written: {reason}. "
            "What was saved before is still there; make room and continue with resume=."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_checkpoint` wrote, tensors on the CPU.

    Raises:
        UserError: the file is missing, cut short or not a checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            header = (stream.metadata() or {}).get(HEADER)
            if header is None:
                raise UserError(f"{path}: a safetensors file, but not a checkpoint of this project")
            return _restore(json.loads(header), {name: stream.get_tensor(name) for name in stream.keys()})  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint") from None
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable checkpoint ({error})") from error


def _strip(node: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A copy of ``node`` in JSON's types; tensors move to ``tensors`` and leave their name behind."""
    if isinstance(node, torch.Tensor):
        tensors[path] = node.detach().to("cpu", copy=True).contiguous()
        return {TENSOR: path}
    if isinstance(node, dict):
        # pairs, because JSON would turn integer keys into strings
        return {"__dict__": [[key, _strip(value, f"{path}/{key}", tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        return [_strip(value, f"{path}/{index}", tensors) for index, value in enumerate(node)]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"a checkpoint cannot hold {type(node).__name__} (at {path})")


def _restore(node: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(node, dict):
        if TENSOR in node:
            return tensors[node[TENSOR]]
        return {key: _restore(value, tensors) for key, value in node["__dict__"]}
    if isinstance(node, list):
        return [_restore(value, tensors) for value in node]
    return node
