"""A small HTTP server on this machine that serves files and listings, and misbehaves as it is told."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Bucket:
    """What the server has, how it fails, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    page: int = 3  # entries on a page of a listing
    ranges: bool = True
    faults: dict[str, list[str]] = field(default_factory=dict)  # of a path: what happens at its first requests
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)  # changes to what a listing says of an object
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""

    def listing(self, query: dict[str, str]) -> dict[str, Any]:
        """A page of objects or folders, in the form of Cloud Storage."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        names = sorted(name for name in self.files if name.startswith(prefix))
        if delimiter:
            entries = sorted({prefix + name[len(prefix) :].split("/")[0] + "/" for name in names})
        else:
            entries = names
        start = int(query.get("pageToken", 0))
        found = entries[start : start + self.page]
        page: dict[str, Any] = {"nextPageToken": str(start + self.page)} if start + self.page < len(entries) else {}
        if delimiter:
            return page | {"prefixes": found}
        return page | {"items": [self._object(name) for name in found]}

    def _object(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        digest = base64.b64encode(hashlib.md5(content).digest()).decode()
        return {"name": name, "size": str(len(content)), "md5Hash": digest} | self.listed.get(name, {})


@contextlib.contextmanager
def serving(bucket: Bucket) -> Iterator[Bucket]:
    """Serve the bucket at ``bucket.address`` for the time of the block."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            name = urllib.parse.unquote(address.path).removeprefix("/hdrplusdata/").removeprefix("/")
            asked = self.headers.get("Range")
            bucket.requests.append((name, asked))
            fault = (bucket.faults.get(name) or [""]).pop(0) if bucket.faults.get(name) else ""
            if fault.isdecimal():
                self.send_error(int(fault))
            elif name == "storage/v1/b/hdrplusdata/o":
                body = b"<html>" if fault == "html" else json.dumps(
                    bucket.listing(dict(urllib.parse.parse_qsl(address.query)))
                ).encode()  # fmt: skip
                self._answer(200, body, len(body))
            elif name not in bucket.files:
                self.send_error(404)
            else:
                self._file(bucket.files[name], asked, fault)

        def _file(self, content: bytes, asked: str | None, fault: str) -> None:
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and bucket.ranges else 0
            if start >= len(content) > 0:
                self.send_error(416)
                return
            body = content[start:]
            if fault == "corrupt":
                body = bytes([body[0] ^ 1]) + body[1:]
            kept = body[: len(body) // 2] if fault == "drop" else b"" if fault == "refuse" else body
            self._answer(206 if start else 200, kept, len(body), f"bytes {start}-{len(content) - 1}/{len(content)}")

        def _answer(self, status: int, body: bytes, length: int, part: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            if part and status == 206:
                self.send_header("Content-Range", part)
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        bucket.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
