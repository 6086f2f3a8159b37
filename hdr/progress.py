"""Progress bars on a terminal, silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")


class Bar:
    """A bar on standard error."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, note: str | None = None) -> None:
        """One more is done; ``note`` replaces the text behind the bar."""
        self._progress.advance(self._task)
        if note is not None:
            self.note(note)

    def note(self, text: str) -> None:
        """Replace the text behind the bar."""
        self._progress.update(self._task, note=text)


@contextlib.contextmanager
def progress_bar(description: str, total: int, done: int = 0) -> Iterator[Bar]:
    """A bar over ``total`` things of which ``done`` are done; prints nothing when standard error is no terminal."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        yield Bar(progress, progress.add_task(description, total=total, completed=done, note=""))


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate over ``items`` with a bar."""
    with progress_bar(description, total) as bar:
        for item in items:
            yield item
            bar.advance()
