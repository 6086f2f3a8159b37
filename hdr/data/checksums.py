"""Checksums that others publish beside their files: MD5, SHA-256 and CRC-32C."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_CHUNK = 1 << 20


def crc32c(data: bytes | memoryview, crc: int = 0) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4) of ``data``, going on from the ``crc`` of what came before."""
    return int(_loop()(np.frombuffer(data, np.uint8), _table(), np.uint32(crc)))


def masked_crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C in the masked form of TFRecord files: rotated right by 15 bits, plus 0xa282ead8."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def file_checksum(path: Path, kind: str) -> bytes:
    """The checksum of a file's content; ``kind`` is md5, sha256 or crc32c (four bytes, big endian)."""
    with open(path, "rb") as stream:
        if kind != "crc32c":
            return hashlib.file_digest(stream, kind).digest()
        crc = 0
        while chunk := stream.read(_CHUNK):
            crc = crc32c(chunk, crc)
        return crc.to_bytes(4, "big")


@functools.cache
def _table() -> np.ndarray:
    """What a byte, shifted through the reversed polynomial 0x82f63b78, leaves."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ np.uint32(0x82F63B78), values >> 1).astype(np.uint32)
    return values


@functools.cache
def _loop() -> Callable[..., Any]:
    import numba

    @numba.njit(cache=True, nogil=True)
    def loop(data: np.ndarray, table: np.ndarray, crc: np.uint32) -> np.uint32:
        crc ^= np.uint32(0xFFFFFFFF)
        for byte in data:
            crc = np.uint32(table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8)))
        return np.uint32(crc ^ np.uint32(0xFFFFFFFF))

    return loop
