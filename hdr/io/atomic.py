"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hdr.errors import UserError


def refuse_target(path: Path, source: Path | None, overwrite: bool) -> None:
    """Check, before anything is computed, that ``path`` may be written.

    Raises:
        UserError: its folder is missing, it is a folder itself, it is ``source`` (the file that was read), or it exists
            and ``overwrite`` is off.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist")
    if not path.exists():
        return
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; name a file")
    if source is not None and source.exists() and path.samefile(source):
        raise UserError(f"{path}: this is the file that was read; it is never written onto, choose another name")
    if not overwrite:
        raise UserError(f"{path}: the file exists; choose another name or ask for overwriting")


@contextlib.contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on a clean exit it is flushed to disk and renamed to ``path``.

    If the block raises (a full disk, an interrupt), the temporary file is removed and whatever stood at ``path`` before
    stays as it was. The temporary name keeps the suffix of ``path``, because many writers choose the format by it.
    """
    final = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{final.stem}-", suffix=final.suffix, dir=final.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; ours follow the user's umask like any other
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
