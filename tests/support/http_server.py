"""A web server that follows a script, and an archive to download from it."""

from __future__ import annotations

import hashlib
import io
import json
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from okdbench.data import Remote
from okdbench.data.download import fetch

CUT = 70_000
PAGE = b"\n<!DOCTYPE html><html>Please log in</html>"


def make_zip(seed: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", random.Random(seed).randbytes(100_000))
    return stream.getvalue()


BODY, OTHER = make_zip(1), make_zip(2)
SHA = hashlib.sha256(BODY).hexdigest()
assert len(BODY) == len(OTHER)


class Handler(BaseHTTPRequestHandler):
    """Answers as the script says; the last entry for a path is repeated."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.seen.append((self.path, self.headers["Range"], self.headers["If-Range"], time.monotonic()))
        answers = self.server.script[self.path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def reply(self, status: int, body: bytes = b"", **headers: str | int | None) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(body), "Connection": "close", **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


Answer = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[Answer]] = {}
        self.seen: list[tuple[str, str | None, str | None, float]] = []
        self.over = threading.Event()

    def url(self, path: str, *answers: Answer) -> str:
        self.script[path] = list(answers)
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    @property
    def paths(self) -> list[str]:
        return [path for path, *_ in self.seen]

    @property
    def ranges(self) -> list[str | None]:
        return [wanted for _, wanted, *_ in self.seen]


@contextmanager
def serving() -> Iterator[Server]:
    """The server in a thread of its own, reached without a proxy."""
    with pytest.MonkeyPatch.context() as patch, Server() as server:
        patch.setenv("NO_PROXY", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def honest(body: bytes = BODY, etag: str | None = '"1"', upto: int | None = None, step: int | None = None) -> Answer:
    """Respects Range and If-Range; cuts the connection at byte ``upto``, or ``step`` bytes after the start."""

    def answer(request: Handler) -> None:
        wanted, condition = request.headers["Range"], request.headers["If-Range"]
        if not wanted or condition not in (None, etag):
            end = upto if upto is not None else step
            request.reply(200, body[:end], Content_Length=len(body), ETag=etag)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            request.reply(416, Content_Range=f"bytes */{len(body)}")
            return
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        end = start + step if step else upto
        request.reply(206, body[start:end], Content_Length=len(body) - start, Content_Range=span, ETag=etag)

    return answer


def plain(status: int = 200, body: bytes = BODY, **headers: str | int | None) -> Answer:
    """Ignores Range."""
    return lambda request: request.reply(status, body, **headers)


def stall(body: bytes = b"") -> Answer:
    """Sends ``body``, then keeps the connection open without sending anything."""

    def answer(request: Handler) -> None:
        request.reply(200, body, Content_Length=len(BODY), ETag='"1"')
        request.wfile.flush()
        request.server.over.wait(20)

    return answer


def chunked(body: bytes) -> Answer:
    wire = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    return lambda request: request.reply(200, wire, Content_Length=None, Transfer_Encoding="chunked")


def get(folder: Path, *urls: str, size: int | None = None, sha256: str | None = None, **options: Any) -> Path:
    options = {"timeout": 0.3, "attempts": 3, "pause": 0.01} | options
    return fetch(Remote("a.zip", urls, size, sha256), folder, **options)


def left(folder: Path) -> list[str]:
    """The files in the folder, except the lock."""
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".lock")


def leave_part(folder: Path, body: bytes, url: str, version: str | None = '"1"') -> None:
    (folder / "a.zip.part").write_bytes(body)
    (folder / "a.zip.part.json").write_text(json.dumps({"url": url, "version": version}))
