"""Stop signals: note them, finish the step, save, then hand over to whoever was listening before."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """A context in which USR1, USR2, TERM and INT only set a flag.

    After the work has been saved, :meth:`hand_over` gives the signal to the handler that stood before: SLURM's requeue
    through submitit (USR2) keeps working, Ctrl-C raises KeyboardInterrupt, TERM ends the process as it always does.
    Of several signals the first in :data:`SIGNALS` counts, because a scheduler sends its warning before its TERM.
    A second Ctrl-C does not wait for the step to end.
    """

    def __init__(self) -> None:
        self.received: set[int] = set()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopFlag:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in self.received:
            raise KeyboardInterrupt
        self.received.add(number)

    def hand_over(self) -> None:
        """Call the handler that was there before with the signal that came; returns only if that handler does."""
        number = next((number for number in SIGNALS if number in self.received), None)
        if number is None:
            return
        handler = self._before[number]
        signal.signal(number, handler)
        if callable(handler):
            handler(number, None)
        elif handler == signal.SIG_DFL:
            os.kill(os.getpid(), number)
