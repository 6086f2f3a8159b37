"""HTTP(S) requests with patience: what fails for the moment is asked for again, what fails for good is told."""

from __future__ import annotations

import contextlib
import http.client
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from hdr.errors import UserError

log = logging.getLogger(__name__)

TIMEOUT = 60.0  # seconds without a byte
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How a request that fails for the moment is repeated."""

    attempts: int = 6  # without a byte of progress
    first_wait: float = 1.0  # seconds, doubled each time
    longest_wait: float = 60.0

    def wait(self, failures: int, asked: float = 0.0) -> float:
        """Seconds before the next attempt after ``failures`` in a row; a server may ask for more."""
        return min(max(self.first_wait * 2.0 ** (failures - 1), asked), self.longest_wait)


class Broken(Exception):
    """The connection failed, which may pass; its cause tells how. Everything else that fails is the disk's."""


@contextlib.contextmanager
def network() -> Iterator[None]:
    """Turn what goes wrong with a connection in the block into :class:`Broken`."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # its body is not read
        raise Broken from error


def get(url: str, patience: Patience | None = None) -> bytes:
    """The body of a small answer.

    Raises:
        UserError: it cannot be had.
    """
    patience = patience or Patience()
    failures = 0
    while True:
        try:
            with network(), urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                body: bytes = answer.read()
                return body
        except Broken as broken:
            failures, error = failures + 1, broken.__cause__
            if lasts(error) or failures >= patience.attempts:
                raise UserError(f"{url}: {reason(error)}") from error
            seconds = patience.wait(failures, retry_after(error))
            log.warning("%s: %s; asking again in %.0f s", url, reason(error), seconds)
            time.sleep(seconds)


def lasts(error: BaseException | None) -> bool:
    """Whether a failed connection would fail again."""
    return isinstance(error, urllib.error.HTTPError) and error.code not in _TRANSIENT


def retry_after(error: BaseException | None) -> float:
    """Seconds that the server asks to wait; 0 when it does not say."""
    asked = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    return float(asked) if asked.isdecimal() else 0.0


def reason(error: BaseException | None) -> str:
    """What went wrong, in words."""
    if isinstance(error, urllib.error.HTTPError):
        meaning = {404: "there is no such file on the server", 403: "the server does not give it to the public"}
        return f"{meaning.get(error.code, 'the server refuses')} (HTTP {error.code} {error.reason})"
    if error is None or isinstance(error, http.client.IncompleteRead):
        return "the connection ends before the file does"
    return f"the connection fails ({getattr(error, 'reason', error)})"
