"""Batches: the same for any number of workers and from any batch on; each sample once per epoch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hdr.data.loader import EvaluationSampler, SampleError, SampleKey, SeededDataset, StepSampler, collate, make_loader
from hdr.errors import UserError


class Noise:
    """Samples of pure chance, with every kind of value."""

    def __init__(self, length: int = 11) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "id": f"photo {index}",
            "image": torch.from_numpy(rng.standard_normal((3, 5, 7)).astype(np.float32)),
            "ev": float(rng.uniform(-4, 4)),
            "input_encoding": "linear",
            "process": os.getpid(),
        }


class Broken(Noise):
    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        if index == 3:
            raise UserError("a.png: truncated\nsave it again")
        return super().sample(index, rng)


def equal(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def batches(count: int, workers: int, start: int = 0, **options: Any) -> list[dict[str, Any]]:
    loader = make_loader(Noise(), seed=5, batch_size=4, workers=workers, train=True, start_batch=start, **options)
    taken = list(islice(loader, count))
    for batch in taken:
        del batch["process"]
    return taken


def same(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    return len(first) == len(second) and all(
        list(a) == list(b) and all(equal(a[key], b[key]) for key in a) for a, b in zip(first, second, strict=True)
    )


# the sampler ---------------------------------------------------------------------------------------------------------

lengths = st.integers(1, 40)
shares = st.integers(1, 9)
worlds = st.integers(1, 4)


@settings(deadline=None)
@given(lengths, shares, worlds, st.integers(0, 2**63 - 1), st.booleans())
def test_each_sample_comes_once_per_epoch_and_ranks_share_each_batch(
    length: int, share: int, world: int, seed: int, shuffle: bool
) -> None:
    size = share * world
    ranks = [
        StepSampler(length, size, seed=seed, rank=rank, world_size=world, shuffle=shuffle) for rank in range(world)
    ]
    alone = StepSampler(length, size, seed=seed, shuffle=shuffle)
    count = 3 * length // size + 1
    stream = [key for number in range(count) for key in alone.batch(number)]
    assert stream == [key for number in range(count) for rank in ranks for key in rank.batch(number)]
    assert all(len(rank.batch(number)) == share for rank in ranks for number in range(count))
    for epoch in range(len(stream) // length):
        part = stream[epoch * length : (epoch + 1) * length]
        assert {key.epoch for key in part} == {epoch}
        assert sorted(key.index for key in part) == list(range(length))
        assert shuffle or [key.index for key in part] == list(range(length))


@settings(deadline=None)
@given(lengths, shares, st.integers(0, 50), st.integers(0, 2**32))
def test_a_run_goes_on_where_it_stopped(length: int, size: int, start: int, seed: int) -> None:
    whole = islice(StepSampler(length, size, seed=seed), start, start + 5)
    rest = islice(StepSampler(length, size, seed=seed, start_batch=start), 5)
    assert list(whole) == list(rest)


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [key.index for key in StepSampler(50, 50, seed=seed).batch(epoch)]

    orders = [order(seed, epoch) for seed in range(5) for epoch in range(5)]
    assert len({tuple(o) for o in orders}) == 25
    # The order is not drawn from the numbers of sample 0: SeedSequence([s, e]) and ([s, e, 0]) are one.
    assert order(3, 2) != np.random.default_rng(np.random.SeedSequence([3, 2, 0])).permutation(50).tolist()
    places = Counter(order(seed, 0).index(7) // 10 for seed in range(500))
    assert all(60 <= places[part] <= 140 for part in range(5))  # 100 expected, 8.9 standard deviation


def test_batches_that_cannot_be_dealt_out_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size=6 is not a multiple of the number of processes, 4"):
        StepSampler(10, 6, seed=0, world_size=4)
    with pytest.raises(UserError, match="hold no sample"):
        StepSampler(0, 6, seed=0)


@settings(deadline=None)
@given(st.integers(0, 40), shares, worlds)
def test_evaluation_takes_each_sample_once_in_order(length: int, size: int, world: int) -> None:
    samplers = [EvaluationSampler(length, size, rank=rank, world_size=world) for rank in range(world)]
    keys = [key for sampler in samplers for batch in sampler for key in batch]
    assert keys == [SampleKey(0, index) for index in range(length)]
    for sampler in samplers:
        sizes = [len(batch) for batch in sampler]
        assert len(sampler) == len(sizes)
        assert all(s == size for s in sizes[:-1])
        assert all(0 < s <= size for s in sizes)


# seeds ---------------------------------------------------------------------------------------------------------------


def test_a_sample_follows_from_seed_epoch_and_index() -> None:
    keys = [SampleKey(epoch, index) for epoch in range(3) for index in range(5)]
    values = {(s, key): SeededDataset(Noise(), s)[key]["ev"] for s in (0, 1) for key in keys}
    assert len(set(values.values())) == 30
    assert all(SeededDataset(Noise(), s)[key]["ev"] == value for (s, key), value in values.items())
    expected = np.random.default_rng(np.random.SeedSequence([1, 2, 4])).standard_normal((3, 5, 7)).astype(np.float32)
    np.testing.assert_array_equal(SeededDataset(Noise(), 1)[SampleKey(2, 4)]["image"].numpy(), expected)


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes")  # on machines with fewer cores
def test_workers_change_nothing() -> None:
    alone = batches(7, workers=0)
    assert same(alone, batches(7, workers=1))
    assert same(alone, batches(7, workers=3))
    assert same(alone[4:], batches(3, workers=2, start=4))
    assert alone[0]["image"].dtype == alone[0]["ev"].dtype == torch.float32
    assert (
        len({value for batch in alone for value in batch["ev"].tolist()}) == 28
    )  # no stream twice, also across epochs
    assert alone[0]["id"] == [f"photo {i}" for i in alone[0]["index"].tolist()]
    assert alone[0]["input_encoding"] == ["linear"] * 4


def test_ranks_together_are_one_process() -> None:
    alone = batches(4, workers=0)
    ranks = [batches(4, workers=0, rank=rank, world_size=2) for rank in range(2)]
    for number, batch in enumerate(alone):
        assert torch.equal(batch["image"], torch.cat([rank[number]["image"] for rank in ranks]))


def test_evaluation_is_finite_and_repeats() -> None:
    loader = make_loader(Noise(), seed=1, batch_size=4, workers=2, train=False)
    passes = [[batch["index"].tolist() for batch in loader] for _ in range(2)]
    assert passes == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]] * 2
    assert len(loader) == 3


def test_a_loader_draws_nothing_from_the_global_generators() -> None:
    before = torch.get_rng_state(), random.getstate()
    batches(2, workers=1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


# collation -----------------------------------------------------------------------------------------------------------


def test_collation() -> None:
    samples = [
        {
            "id": "a",
            "t": torch.ones(2, 3),
            "u": np.ones(3, np.uint16),
            "n": 1,
            "x": 0.5,
            "b": True,
            "z": None,
            "d": {"k": 1},
        },
        {
            "id": "b",
            "t": torch.zeros(2, 3),
            "u": np.zeros(3, np.uint16),
            "n": np.int32(2),
            "x": 2,
            "b": False,
            "z": 3,
            "d": {},
        },
    ]
    batch = collate(samples)
    assert batch["id"] == ["a", "b"]
    assert batch["t"].shape == (2, 2, 3)
    assert batch["u"].dtype == torch.uint16
    assert batch["n"].tolist() == [1, 2]
    assert batch["n"].dtype == torch.int64
    assert batch["x"].dtype == torch.float32
    assert batch["x"].tolist() == [0.5, 2.0]
    assert batch["b"].dtype == torch.bool
    assert batch["z"] == [None, 3]
    assert batch["d"] == [{"k": 1}, {}]


def test_what_cannot_be_stacked_is_told_with_the_samples() -> None:
    first = {"id": "a", "input": torch.zeros(3, 4, 5)}
    with pytest.raises(
        SampleError, match=r"'input' cannot be stacked: sample 'a' has \(3, 4, 5\) .* 'b' has \(3, 4, 6\)"
    ):
        collate([first, {"id": "b", "input": torch.zeros(3, 4, 6)}])
    with pytest.raises(
        SampleError, match=r"'a' has \(3, 4, 5\) torch.float32, sample 'b' has \(3, 4, 5\) torch.float64"
    ):
        collate([first, {"id": "b", "input": torch.zeros(3, 4, 5, dtype=torch.float64)}])
    with pytest.raises(ValueError, match="samples 'a' and 'b' differ in the keys input, target"):
        collate([first, {"id": "b", "target": torch.zeros(1)}])


# errors and signals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_a_users_mistake_keeps_its_message(workers: int) -> None:
    loader = make_loader(Broken(4), seed=0, batch_size=1, workers=workers, train=False)
    with pytest.raises(SampleError) as caught:
        list(loader)
    assert str(caught.value) == "a.png: truncated\nsave it again"
    assert isinstance(caught.value, UserError)


def test_a_defect_keeps_its_traceback() -> None:
    class Defect(Noise):
        def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
            return {"value": 1 / index}

    loader = make_loader(Defect(), seed=0, batch_size=1, workers=1, train=False)
    with pytest.raises(ZeroDivisionError, match="Original Traceback"):
        list(loader)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs POSIX signals")
def test_workers_outlive_a_stop_signal_to_the_group() -> None:
    loader = iter(make_loader(Noise(), seed=0, batch_size=1, workers=2, train=True))
    workers = {str(next(loader)["process"].item()) for _ in range(4)}
    for name in ("INT", "TERM", "USR1", "USR2"):
        subprocess.run(["kill", f"-{name}", *workers], check=True)
    assert {str(next(loader)["process"].item()) for _ in range(20)} == workers
    for number in map(int, workers):
        os.kill(number, signal.SIGTERM)  # this is their parent, whom they obey
    # torch notices by its watchdog, or by the pipe or socket that breaks while a batch is being fetched
    with pytest.raises((RuntimeError, OSError, EOFError)):
        list(islice(loader, 20))
