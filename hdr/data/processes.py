"""Work on many items in processes of their own, of which any may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, died: Callable[[Item], Result]
) -> Iterator[tuple[Item, Result]]:
    """Apply ``function`` in ``workers`` processes (0: in this one); results come as they are finished.

    A process that dies (a library that crashes, the system that runs out of memory) costs only its own item, whose
    result is then ``died(item)``. Never more than twice ``workers`` items are under way, so memory stays bounded. The
    workers end with this process, also when it is killed.
    """
    pending = deque(items)
    if workers == 0:
        for item in pending:
            yield item, function(item)
        return
    while pending:
        suspects = yield from _until_broken(function, pending, workers)
        for item in suspects:  # one of these took its process down: each gets its own, to find which
            if (yield from _until_broken(function, deque([item]), 1)):
                yield item, died(item)


def _until_broken(
    function: Callable[[Item], Result], pending: deque[Item], workers: int
) -> Generator[tuple[Item, Result], None, list[Item]]:
    """Work ``pending`` off in one pool; returns the items that were under way when a process of it died."""
    running: dict[Future[Result], Item] = {}
    context = multiprocessing.get_context("spawn")  # a forked copy of threads and CUDA state would be unsafe
    with ProcessPoolExecutor(min(workers, len(pending)), context, _start_process) as pool:
        try:
            while pending or running:
                while pending and len(running) < 2 * workers:
                    running[pool.submit(function, pending[0])] = pending[0]
                    pending.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield running.pop(future), result
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


def _start_process() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
