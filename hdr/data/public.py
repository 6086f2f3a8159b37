"""What public data sets have in common: a layout, a place to get them, and counts to check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hdr.data.manifest import Record
from hdr.errors import UserError

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A data set that others publish and whose licence the user accepts; nothing is downloaded here."""

    name: str
    tree: str  # the expected folders and files
    url: str  # page of its authors
    licence: str

    def layout(self, root: Path, read: Callable[[], T]) -> T:
        """What ``read`` finds; where it finds something missing, the error also tells the layout and the source.

        Raises:
            UserError: from ``read``, with the expected layout added.
        """
        try:
            return read()
        except UserError as error:
            raise UserError(
                f"{self.name} is not complete at {root}: {error}\n"
                f"Expected layout:\n{self.tree}\n"
                f"Get it from {self.url} and accept its terms ({self.licence}); this program does not download it."
            ) from error

    def check_count(self, split: str, records: Sequence[Record], expected: Sequence[int]) -> None:
        """Note in the log when a split has another size than the published one: figures are then not comparable."""
        if len(records) not in expected:
            logger.warning(
                "%s: the split '%s' has %d photos, published are %s; figures will not be comparable",
                self.name,
                split,
                len(records),
                " or ".join(map(str, expected)),
            )


def put_in(split: str, records: Sequence[Record]) -> list[Record]:
    """The records, marked as members of ``split``."""
    return [replace(record, split=split) for record in records]
