"""When a computation may take shortcuts: in place, or one picture of a batch after the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def runs_forwards_only(*tensors: Tensor) -> bool:
    """Whether nobody asks for gradients or records the operations (export, tracing, compilation)."""
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return not recorded and not any(tensor.requires_grad for tensor in tensors)


def picture_by_picture(function: Callable[..., Tensor], pictures: Tensor, *parameters: Tensor) -> Tensor:
    """``function(pictures, *parameters)`` of a batch, where it pays one picture at a time.

    It pays without gradients on one CPU thread, as in a data loader's worker: what lies between the steps of one
    picture stays in the cache, and is not asked of the system anew at each step, as large blocks are. Several threads
    share a batch better than a picture.

    Args:
        function: takes pictures independently of each other to a tensor of as many.
        pictures: (N, C, H, W); without N there is but one.
        parameters: (N, ...), (1, ...) or without dimensions.
    """
    count = len(pictures) if pictures.ndim == 4 else 1
    one_thread = pictures.is_cpu and torch.get_num_threads() == 1
    if count < 2 or not one_thread or not runs_forwards_only(pictures, *parameters):
        return function(pictures, *parameters)
    result = pictures.new_empty(0)
    for i in range(count):
        own = (value[i : i + 1] if value.ndim and len(value) == count else value for value in parameters)
        done = function(pictures[i : i + 1], *own)
        if not i:
            result = done.new_empty((count, *done.shape[1:]))
        result[i] = done[0]
    return result
