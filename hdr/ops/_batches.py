"""Batches in main memory."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def picture_by_picture(function: Callable[..., Tensor], pictures: Tensor, *parameters: Tensor) -> Tensor:
    """``function(pictures, *parameters)`` of a batch, where it pays one picture at a time.

    It pays on the CPU without gradients: what lies between the steps of one picture stays in the cache, and is not
    asked of the system anew at each step, as large blocks are.

    Args:
        function: takes pictures independently of each other to a tensor of as many.
        pictures: (N, C, H, W); without N there is but one.
        parameters: (N, ...), (1, ...) or without dimensions.
    """
    count = len(pictures)
    with_gradient = any(tensor.requires_grad for tensor in (pictures, *parameters))
    if pictures.ndim < 4 or count < 2 or with_gradient or not pictures.is_cpu:
        return function(pictures, *parameters)
    result = pictures.new_empty(0)
    for i in range(count):
        own = (value[i : i + 1] if value.ndim and len(value) == count else value for value in parameters)
        done = function(pictures[i : i + 1], *own)
        if not i:
            result = done.new_empty((count, *done.shape[1:]))
        result[i] = done[0]
    return result
