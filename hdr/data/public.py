"""What public data sets have in common: a layout, a place to get them, and counts to check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hdr.data.manifest import Record
from hdr.errors import UserError

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A data set that others publish and whose licence the user accepts."""

    name: str
    tree: str  # the expected folders and files
    url: str  # page of its authors
    licence: str
    command: str | None = None  # what downloads it; None: the user does

    def layout(self, root: Path, read: Callable[[], T]) -> T:
        """What ``read`` finds; where it finds something missing, the error also tells the layout and the source.

        Raises:
            UserError: from ``read``, with the expected layout added.
        """
        try:
            return read()
        except UserError as error:
            source = f"Get it from {self.url} and accept its terms ({self.licence}); this program does not download it."
            if self.command:
                source = f"Get it with {self.command} under its terms ({self.licence}, see {self.url})."
            raise UserError(
                f"{self.name} is not complete at {root}: {error}\nExpected layout:\n{self.tree}\n{source}"
            ) from error

    def check_count(self, split: str, found: Sized, expected: Sequence[int], what: str = "photos") -> None:
        """Note in the log when a split has another size than the published one: figures are then not comparable."""
        if len(found) not in expected:
            logger.warning(
                "%s: the split '%s' has %d %s, published are %s; figures will not be comparable",
                self.name,
                split,
                len(found),
                what,
                " or ".join(map(str, expected)),
            )

    def mark(self, records: Sequence[Record], split: str | None = None) -> list[Record]:
        """The records with the licence of this set and, where ``split`` is given, as members of it."""
        return [replace(record, split=split or record.split, licence=self.licence) for record in records]
