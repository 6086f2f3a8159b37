from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hdr.ops.bilateral import slice_apply
from tests.ops.test_bilateral import random_inputs


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def forward_and_gradients(seed: int = 0) -> list[Tensor]:
    """Large enough that several blocks of rows are shared out to threads."""
    tensors = [tensor.requires_grad_() for tensor in random_inputs(batch=2, size=(301, 500), seed=seed)]
    out = slice_apply(*tensors)
    return [out.detach(), *torch.autograd.grad(out.square().sum(), tensors)]


def test_same_bits_on_every_run_and_with_any_number_of_threads() -> None:
    first = forward_and_gradients()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for found, expected in zip(forward_and_gradients(), first, strict=True):
            assert torch.equal(found, expected)


def test_two_threads_may_call_at_once() -> None:
    expected = [forward_and_gradients(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for found, reference in zip(pool.map(forward_and_gradients, range(4)), expected, strict=True):
                assert all(torch.equal(one, other) for one, other in zip(found, reference, strict=True))


class _Rendered(Dataset[Tensor]):
    """Runs the op and other torch operations wherever it is asked for an item."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Tensor:
        with mock.patch("torch.get_num_threads", return_value=2):  # workers have one; two is the harder case
            out = slice_apply(*random_inputs(batch=2, size=(301, 500), seed=index))
        return torch.nn.functional.avg_pool2d(out, 3)


def test_workers_may_fork_after_a_call() -> None:
    forward_and_gradients()
    expected = torch.stack([_Rendered()[index] for index in range(2)])
    loader = DataLoader(_Rendered(), batch_size=2, num_workers=1, multiprocessing_context="fork", timeout=120)
    (found,) = list(loader)
    assert torch.allclose(found, expected, atol=1e-6)


def test_loops_compile_where_no_cache_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core import caching

    from hdr.ops._bilateral_kernels import compiled

    def double(value: float) -> float:
        return 2 * value

    assert compiled()(double)(1.5) == 3
    assert compiled()(double)._cache.cache_path
    monkeypatch.setattr(caching.CodeLibraryCacheImpl, "_locator_classes", [])
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        caching.FunctionCache(double)
    assert compiled()(double)(1.5) == 3


def test_importing_the_op_does_not_load_the_compiler() -> None:
    program = "import sys, hdr.ops.bilateral; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
