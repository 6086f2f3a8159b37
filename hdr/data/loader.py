"""From a source of samples to batches: the same ones for any number of workers, and from any batch on.

Every sample's randomness follows from (seed, epoch, index) alone, and every batch from its number alone, so a run that
was interrupted goes on with exactly the batches that it would have seen.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from hdr.errors import UserError


@dataclass(frozen=True, slots=True)
class SampleKey:
    """A sample, and the pass over the data in which it is drawn."""

    epoch: int
    index: int


class Samples(Protocol):
    """Anything with a length whose items are made by ``sample(index, rng)``."""

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Sample ``index`` as a dictionary; all its randomness comes from ``rng``."""
        ...


class SampleError(UserError):
    """A sample that cannot be made because of a file or value of the user's.

    A loader's worker hands its errors over with the text of its traceback put before the message; this class finds the
    message again, so that the user reads the same whether there are workers or not.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rsplit(f"{__name__}.SampleError: ", 1)[-1].rstrip("\n"))


class SeededDataset(Dataset[dict[str, Any]]):
    """The samples of a source, each with its own generator from (seed, epoch, index).

    An item gets the keys ``id`` (its index where the source gives none) and ``index``.
    """

    def __init__(self, samples: Samples, seed: int) -> None:
        self.samples = samples
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, key.epoch, key.index]))
        try:
            sample = self.samples.sample(key.index, rng)
        except UserError as error:
            raise SampleError(str(error)) from error
        return {"id": str(key.index), **sample, "index": key.index}


class StepSampler(Sampler[list[SampleKey]]):
    """Endless training batches: batch k is a function of k.

    The epochs' permutations are laid end to end and cut into global batches, so each sample comes once per epoch, none
    is lost at an epoch's end, and a batch larger than the data set simply spans epochs. Each rank takes its contiguous
    part.

    Raises:
        UserError: the source is empty, or the batch cannot be dealt out evenly to the processes.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        start_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ) -> None:
        if length < 1:
            raise UserError("the training data hold no sample")
        if batch_size < 1 or batch_size % world_size:
            raise UserError(f"batch_size={batch_size} is not a multiple of the number of processes, {world_size}")
        self.length, self.batch_size, self.seed, self.start_batch = length, batch_size, seed, start_batch
        self.rank, self.world_size, self.shuffle = rank, world_size, shuffle
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        number = self.start_batch
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> list[SampleKey]:
        """The keys of this rank's part of batch ``number``, counted from the start of the run."""
        share = self.batch_size // self.world_size
        first = number * self.batch_size + self.rank * share
        places = (divmod(place, self.length) for place in range(first, first + share))
        return [SampleKey(epoch, int(self._permutation(epoch)[offset])) for epoch, offset in places]

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.length)
        if self._order[0] != epoch:
            # The spawn key sets this stream apart from the samples' own: SeedSequence([s, e]) equals ([s, e, 0]).
            source = np.random.SeedSequence([self.seed, epoch], spawn_key=(1,))
            self._order = epoch, np.random.default_rng(source).permutation(self.length)
        return self._order[1]


class EvaluationSampler(Sampler[list[SampleKey]]):
    """Every sample once, in order: rank r takes the r-th of ``world_size`` contiguous parts, in batches of its own."""

    def __init__(self, length: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.part = range(length * rank // world_size, length * (rank + 1) // world_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.part) / self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for first in range(0, len(self.part), self.batch_size):
            yield [SampleKey(0, index) for index in self.part[first : first + self.batch_size]]


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One batch from samples with equal keys.

    Tensors and arrays of equal shape are stacked, numbers become a tensor (float32, int64 or bool), everything else
    becomes a list.

    Raises:
        SampleError: a tensor differs in shape or type between samples (names them).
        ValueError: samples differ in keys.
    """
    keys = samples[0].keys()
    for sample in samples:
        if sample.keys() != keys:
            odd = sorted(sample.keys() ^ keys)
            raise ValueError(f"samples '{samples[0]['id']}' and '{sample['id']}' differ in the keys {', '.join(odd)}")
    return {key: _join(key, [sample[key] for sample in samples], samples) for key in keys}


def _join(key: str, values: list[Any], samples: Sequence[dict[str, Any]]) -> Any:
    if all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in values):
        return torch.tensor(np.asarray(values).tolist())
    if not all(isinstance(value, (torch.Tensor, np.ndarray)) for value in values):
        return values
    tensors = [torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in values]
    for sample, tensor in zip(samples, tensors, strict=True):
        if tensor.shape != tensors[0].shape or tensor.dtype != tensors[0].dtype:
            first = tensors[0]
            raise SampleError(
                f"'{key}' cannot be stacked: sample '{samples[0]['id']}' has {tuple(first.shape)} {first.dtype}, "
                f"sample '{sample['id']}' has {tuple(tensor.shape)} {tensor.dtype}; crop or resize to one size, or "
                "use a batch of one"
            )
    return default_collate(tensors)  # in a worker it stacks into shared memory, which saves a copy


def make_loader(
    samples: Samples,
    *,
    seed: int,
    batch_size: int,
    workers: int,
    train: bool,
    start_batch: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[dict[str, Any]]:
    """A loader of batches for this rank; it must not be sharded again.

    With ``train`` it is endless, shuffled, starts at batch ``start_batch`` of the run, and ``batch_size`` counts
    samples over all ranks. Otherwise it gives each sample once, in order, ``batch_size`` at a time on each rank.
    """
    sampler: Sampler[list[SampleKey]]
    if train:
        sampler = StepSampler(
            len(samples), batch_size, seed=seed, start_batch=start_batch, rank=rank, world_size=world_size
        )
    else:
        sampler = EvaluationSampler(len(samples), batch_size, rank=rank, world_size=world_size)
    return DataLoader(
        SeededDataset(samples, seed),
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=2 if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # its own: a loader must not draw from the run's random numbers
    )


def start_worker(worker: int) -> None:
    """What a loader's worker does first: one thread for itself, and signals left to the trainer."""
    # A stop signal often goes to the whole process group (Ctrl-C, a job's time limit). The trainer finishes its step
    # and saves, for which it needs its workers; they end when it ends, or tells them to. Libraries start threads when
    # they are imported, and these inherit what is blocked: so this comes first.
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _obey_parent() -> None:
    """End this process on the first SIGTERM that its parent sends; others' do not count."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
