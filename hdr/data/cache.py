"""The tensor cache: every capture decoded once, read from then on by memory-mapped slices.

One safetensors file per capture holds its tensors (uint8, uint16 or half) and, as one JSON text in the header, what is
needed to read them. Its name is a hash of the source files' content and of the decode parameters, so it can be neither
stale nor written twice with different content, and any number of processes may build a cache at once. The index of a
cache folder is an ordinary manifest, ``index.jsonl``, whose records have the one role ``cache``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdr.data.manifest import Record, read_manifest, write_manifest
from hdr.errors import UserError
from hdr.io.atomic import write_atomically

ROLE = "cache"  # the role of the entry in an index's records, and the key of its facts in their metadata
INDEX = "index.jsonl"
_FORMAT = 1
_STORED = {torch.uint8: np.uint8, torch.uint16: np.uint16, torch.float16: np.float16}

Window = tuple[int, int, int, int]  # top, left, height, width


def hash_file(path: Path) -> str:
    """BLAKE2b of a file's content, 128 bits, as hexadecimal text."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def entry_key(sources: Mapping[str, str], decode: Mapping[str, Any]) -> str:
    """The name of an entry: a hash of the content hashes by role and of the decode parameters (JSON values)."""
    text = json.dumps([_FORMAT, dict(sources), dict(decode)], sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def entry_path(folder: Path, key: str) -> Path:
    """Where the entry ``key`` of a cache folder lies."""
    return folder / key[:2] / f"{key}.safetensors"


def write_entry(path: Path, key: str, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write an entry whole or not at all: ``tensors`` (uint8, uint16 or half) and ``facts`` (JSON values)."""
    from safetensors.torch import save_file

    wrong = [f"{name} {tensor.dtype}" for name, tensor in tensors.items() if tensor.dtype not in _STORED]
    if wrong or not tensors:
        raise ValueError(f"a cache entry holds uint8, uint16 or half tensors, not {', '.join(wrong) or 'nothing'}")
    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    arrays = {name: tensor.numpy() for name, tensor in stored.items()}
    header = {"key": key, "checksum": _checksum(arrays), "facts": dict(facts)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as temporary:
        save_file(stored, temporary, metadata={"hdr": json.dumps(header, allow_nan=False)})


class Entry:
    """A cache entry opened for reading. Use it as a context; its tensors are read from the mapped file on demand.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            self._file = safe_open(path, "np")
            header = json.loads(self._file.metadata()["hdr"])
            self.key: str = header["key"]
            self.facts: dict[str, Any] = header["facts"]
            self._checksum: str = header["checksum"]
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            reason = "missing" if isinstance(error, FileNotFoundError) else f"damaged ({error})"
            raise UserError(f"{path}: this cache entry is {reason}; mode=prepare builds it again") from error

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def names(self) -> list[str]:
        """The tensors of this entry."""
        return list(self._file.keys())

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name: str, window: Window | None = None) -> torch.Tensor:
        """A tensor as stored, (..., H, W); with ``window`` only that part of its last two dimensions is read."""
        if window is None:
            return torch.from_numpy(self._file.get_tensor(name))
        top, left, height, width = window
        part = self._file.get_slice(name)[..., top : top + height, left : left + width]
        return torch.from_numpy(np.ascontiguousarray(part))

    def intact(self) -> bool:
        """Whether every byte of the tensors is what was written; reads them all."""
        return _checksum({name: self._file.get_tensor(name) for name in self.names()}) == self._checksum


def entry_is_sound(path: Path, key: str, *, every_byte: bool = False) -> bool:
    """Whether ``path`` is the entry ``key``: header and length fit, or with ``every_byte`` the whole content."""
    try:
        with Entry(path) as entry:
            return entry.key == key and (not every_byte or entry.intact())
    except UserError:
        return False


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def pack_pixels(pixels: torch.Tensor, encoding: str) -> tuple[torch.Tensor, dict[str, Any]]:
    """Float pixels in the smallest stored type that serves them, and the facts that :func:`unpack_pixels` needs.

    ``display`` pixels become uint8 where that loses nothing (an 8-bit photo), else uint16 with rounding. ``linear``
    ones become half, divided by a power of two that brings the maximum to 2**15, so that suns above half's 65504
    survive and shadows keep half's 11 bits down to 29 stops below the maximum. Infinities and NaN stay.
    """
    if encoding == "display" and bool(((pixels >= 0) & (pixels <= 1)).all()):
        eight = (pixels * 255).round()
        if torch.allclose(eight / 255, pixels, rtol=0, atol=1e-6):
            return eight.to(torch.uint8), {"encoding": encoding}
        return (pixels * 65535).round().to(torch.int32).to(torch.uint16), {"encoding": encoding}
    largest = float(torch.where(pixels.isfinite(), pixels.abs(), 0).max())
    scale = 2.0 ** max(math.ceil(math.log2(largest)) - 15, -126) if largest > 0 else 1.0
    return (pixels / scale).half(), {"encoding": encoding, "scale": scale}


def unpack_pixels(stored: torch.Tensor, facts: Mapping[str, Any]) -> torch.Tensor:
    """Float32 pixels from what :func:`pack_pixels` made, or from any part of it."""
    if stored.dtype == torch.float16:
        return stored.float() * facts["scale"]
    return stored.float() / (255 if stored.dtype == torch.uint8 else 65535)


def read_index(folder: Path) -> list[Record]:
    """The records of a cache folder; none when nothing was prepared there yet."""
    return read_manifest(folder / INDEX) if (folder / INDEX).exists() else []


def update_index(folder: Path, records: Collection[Record], drop: Collection[str] = ()) -> None:
    """Add or replace records in a cache folder's index and drop some by id; safe against other processes that do so."""
    with _locked(folder):
        merged = {record.id: record for record in read_index(folder)}
        merged |= {record.id: record for record in records}
        kept = [record for name, record in sorted(merged.items()) if name not in drop]
        write_manifest(folder / INDEX, kept, replace=True)


def claim_folder(folder: Path, decode: Mapping[str, Any]) -> None:
    """Make ``folder`` a cache for these decode parameters.

    Raises:
        UserError: it is one for other parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "decode.json"
    with _locked(folder):
        if not note.exists():
            with write_atomically(note) as temporary:
                temporary.write_text(json.dumps(decode, indent=2, sort_keys=True, allow_nan=False) + "\n")
        found = json.loads(note.read_text())
    if found != json.loads(json.dumps(decode)):
        differing = sorted(k for k in found.keys() | decode.keys() if found.get(k) != decode.get(k))
        told = ", ".join(f"{key}: {found.get(key)} there, {decode.get(key)} now" for key in differing)
        raise UserError(f"{folder}: this cache was decoded with other parameters ({told}); use another folder")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system releases it when the process ends, however it ends."""
    with open(folder / ".lock", "a", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
