"""Exposure fusion of many subsets of one stack, sharing all work that the subsets have in common.

An exposure's Laplacian pyramid and its weights before normalisation do not depend on the company it is in, so they are
computed once. The blurred shares of a subset sum to 1 at every level, because the kernel is normalised and the borders
are mirrored, so a subset of k needs k - 1 weight pyramids: for a pair, ``level = b + share_a * (a - b)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from hdr.ops import _subset_fusion_kernels as kernels
from hdr.ops.fusion import Weighting, fusion_weights
from hdr.ops.pyramid import collapse, gaussian_pyramid, laplacian_pyramid, level_count

Metric = Callable[[Tensor, Tensor], Tensor]
_SUBSETS_PER_CALL = 16  # of the compiled loop: a thread's share of the work


class SubsetFusion:
    """A stack of exposures of one scene, ready to be fused in any combination.

    Pictures are those of :func:`hdr.ops.fusion.exposure_fusion` (difference below 1e-6 in float32). float32 on the CPU
    runs compiled loops, on ``torch.get_num_threads()`` threads; everything else batches of tensor operations. There are
    no gradients.

    Args:
        display: (K, 3, H, W) in [0, 1], aligned.
        weighting: a weighting, or the name of a preset of :mod:`hdr.ops.fusion`.
        memory: bytes that a batch of subsets may take beside the stack itself.

    Raises:
        ValueError: another shape.
    """

    def __init__(self, display: Tensor, weighting: Weighting | str = "opencv", *, memory: int = 512 << 20) -> None:
        if display.ndim != 4 or display.shape[1] != 3 or display.numel() == 0:
            raise ValueError(f"wanted exposures (K, 3, H, W) of one scene; got {tuple(display.shape)}")
        display = display.detach()
        self.size = tuple(display.shape[-2:])
        self.memory = memory
        # One exposure after the other stays in a processor's cache; other devices want the whole stack at once.
        parts = display.split(1) if display.device.type == "cpu" else (display,)
        levels = level_count(*self.size)
        self.weights = torch.cat([fusion_weights(part, weighting) for part in parts])
        pyramids = [laplacian_pyramid(part, levels) for part in parts]
        self.details = [torch.cat(level) for level in zip(*pyramids, strict=True)]
        self._packed = self._pack() if display.device.type == "cpu" and display.dtype == torch.float32 else None

    def fuse(self, subsets: Tensor) -> Tensor:
        """Fused pictures (S, 3, H, W), not clamped, of subsets (S, k) of exposure indices.

        All at once: 12 H W bytes each, so hand over as many as fit, or use :meth:`score`.

        Raises:
            ValueError: indices that repeat within a subset or that the stack does not have.
        """
        subsets = self._checked(subsets)
        if self._packed is not None:
            pictures = torch.empty(len(subsets), 3, self.size[0] * self.size[1])
            self._run(subsets, np.empty((0, 0), np.float32), pictures.numpy())
            return pictures.unflatten(-1, self.size)
        return torch.cat([self._batch(chunk) for chunk in subsets.split(self._chunk(subsets.shape[1]))])

    def mse(self, subsets: Tensor, reference: Tensor) -> Tensor:
        """Mean squared difference (S,), float64, between each fused picture, clamped to [0, 1], and a reference.

        Args:
            subsets: (S, k) indices.
            reference: (3, H, W) display.

        Raises:
            ValueError: as for :meth:`fuse`, or a reference of another size.
        """
        subsets, reference = self._checked(subsets), self._reference(reference)
        if self._packed is not None:
            flat = np.ascontiguousarray(reference.flatten(1).numpy())
            return torch.from_numpy(self._run(subsets, flat, np.empty((0, 3, 0), np.float32)))
        return self.score(subsets, reference, {"mse": _mean_squares})["mse"]

    def score(self, subsets: Tensor, reference: Tensor, metrics: Mapping[str, Metric]) -> dict[str, Tensor]:
        """Figures of the fused pictures, clamped to [0, 1]: name -> (S,).

        Args:
            subsets: (S, k) indices.
            reference: (3, H, W) display.
            metrics: functions of (S, 3, H, W) results and references that give (S,).

        Raises:
            ValueError: as for :meth:`mse`.
        """
        subsets, reference = self._checked(subsets), self._reference(reference)
        parts: dict[str, list[Tensor]] = {name: [] for name in metrics}
        for chunk in subsets.split(self._chunk(subsets.shape[1])):
            pictures = self.fuse(chunk).clamp(0, 1)
            for name, metric in metrics.items():
                parts[name].append(metric(pictures, reference.expand_as(pictures)))
        return {name: torch.cat(values) for name, values in parts.items()}

    def _batch(self, subsets: Tensor) -> Tensor:
        weights = self.weights[subsets]
        shares = (weights / weights.sum(dim=1, keepdim=True))[:, :-1]
        pyramid = gaussian_pyramid(shares, len(self.details))
        blended = []
        for share, detail in zip(pyramid, self.details, strict=True):
            last = detail[subsets[:, -1]]
            others = detail[subsets[:, :-1]]
            blended.append(last + (share * (others - last[:, None])).sum(dim=1))
        return collapse(blended)

    def _pack(self) -> tuple[np.ndarray, ...]:
        """The layout that ``_subset_fusion_kernels`` describes."""
        sizes = np.array([detail.shape[-2:] for detail in self.details], np.int32)
        starts = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))]).astype(np.int32)
        details = torch.cat([detail.flatten(2) for detail in self.details], dim=2).contiguous().numpy()
        return self.weights.flatten(1).contiguous().numpy(), details, sizes, starts

    def _run(self, subsets: Tensor, reference: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        assert self._packed is not None
        weights, details, sizes, starts = self._packed
        indices = subsets.numpy().astype(np.int32)
        errors = np.zeros(len(indices))
        bounds = range(0, len(indices), _SUBSETS_PER_CALL)

        def work(first: int) -> None:
            part = slice(first, first + _SUBSETS_PER_CALL)
            kernels.fuse(indices[part], weights, details, sizes, starts, reference, pictures[part], errors[part])

        with ThreadPoolExecutor(max(1, min(len(bounds), torch.get_num_threads()))) as pool:
            for _ in pool.map(work, bounds):
                pass
        return errors

    def _chunk(self, members: int) -> int:
        """Subsets per batch: the pictures, and without compiled loops the members' pyramids as well."""
        planes = 6.0 if self._packed is not None else 4 / 3 * (4.0 * members + 9.0)
        each = planes * self.weights.element_size() * self.size[0] * self.size[1]
        return max(1, int(self.memory / each))

    def _checked(self, subsets: Tensor) -> Tensor:
        exposures = len(self.weights)
        ordered = subsets.sort(dim=-1).values
        if (
            subsets.ndim != 2
            or 0 in subsets.shape
            or int(ordered.min()) < 0
            or int(ordered.max()) >= exposures
            or bool((ordered[:, 1:] == ordered[:, :-1]).any())
        ):
            raise ValueError(
                f"wanted subsets (S, k) of different indices below {exposures}; got {subsets.tolist()!r:.80}"
            )
        return subsets.to(self.weights.device)

    def _reference(self, reference: Tensor) -> Tensor:
        if tuple(reference.shape) != (3, *self.size):
            raise ValueError(f"wanted a reference {(3, *self.size)}; got {tuple(reference.shape)}")
        return reference.to(self.weights)


def _mean_squares(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).double().square().mean(dim=(1, 2, 3))
