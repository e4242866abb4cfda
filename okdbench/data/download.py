"""Archives are fetched whole or not at all: cut downloads go on where they stopped, and what is kept was checked."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from filelock import FileLock

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing

Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 15  # a stall loses less than this
_PATIENCE = 60.0  # seconds; a server that wants us to wait longer is passed over
_DRIVE = "gdrive:"
_BEYOND = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Remote:
    """An archive on the net: where it may be had, in order, and what is known of it.

    Attributes:
        name: the file name that it is kept under.
        urls: http(s)://... or gdrive:FILE_ID.
        size: its length in bytes.
        sha256: in hexadecimal.
        domains: which domains of the data set it holds; () means all.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    domains: tuple[str, ...] = ()


class _SourceError(Exception):
    """The source will not do; the message says why, in a few words."""


class _TransientError(_SourceError):
    """The same source may do better after ``wait`` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def fetch(
    remote: Remote,
    folder: Path,
    progress: Progress | None = None,
    *,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
) -> Path:
    """Download ``remote`` to ``folder``, unless it is there; of several processes one does, the others wait for it.

    Args:
        progress: called with the bytes so far and, where it is known, their final number.
        timeout: seconds of silence after which a connection is given up.
        attempts: tries in a row that bring nothing new after which a source is given up.
        pause: seconds before the second try; the wait doubles from try to try.

    Raises:
        UserError: no source has the archive, or ``folder`` cannot be written; what has arrived is kept for next time.
    """
    file = folder / remote.name
    with writing(folder, "--data-root"):
        if _fault(file, remote) is None:
            return file
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{remote.name}.lock"):
            if _fault(file, remote) is not None:
                _Download(remote, _Part(file), progress, timeout, attempts, pause).run()
                _Part(file).finish(file)
    return file


def _fault(file: Path, remote: Remote) -> str | None:
    """What shows that ``file`` is not ``remote``; None when all that is known of it fits."""
    if not file.is_file():
        return "sent nothing"
    with file.open("rb") as stream:
        if _PAGE.match(stream.read(512)):
            return "sent a web page"
        stream.seek(0)
        if remote.size is not None and file.stat().st_size != remote.size:
            return f"sent {file.stat().st_size} bytes, not {remote.size}"
        if remote.sha256 and hashlib.file_digest(stream, "sha256").hexdigest() != remote.sha256.lower():
            return "sent another file (its SHA-256 differs)"
    known = remote.sha256 or remote.size is not None
    return None if known or zipfile.is_zipfile(file) or tarfile.is_tarfile(file) else "sent no zip or tar archive"


class _Part:
    """The bytes that have arrived and, beside them, a note that says from where and of which version."""

    def __init__(self, file: Path) -> None:
        self.path = file.with_name(f"{file.name}.part")
        self._note = file.with_name(f"{file.name}.part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, str | None]:
        try:
            note = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def begin(self, url: str, version: str | None) -> None:
        # in this order: killed in between, we must not find the old bytes under the new note
        self.path.write_bytes(b"")
        write_atomic(self._note, json.dumps({"url": url, "version": version}).encode())

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, file: Path) -> None:
        os.replace(self.path, file)
        self._note.unlink(missing_ok=True)


class _Overwriting(io.FileIO):
    """The part, whose old bytes give way only when new ones come: a source that sends none takes none away."""

    def __init__(self, part: _Part, url: str) -> None:
        super().__init__(part.path, "a")
        self._part, self._url, self._begun = part, url, False

    def write(self, data: Any) -> int:
        if not self._begun:
            self._part.begin(self._url, None)
            self._begun = True
        return super().write(data)


@dataclass(frozen=True)
class _Download:
    """One call of :func:`fetch`."""

    remote: Remote
    part: _Part
    progress: Progress | None
    timeout: float
    attempts: int
    pause: float

    def run(self) -> None:
        """Fill the part with the whole, verified archive."""
        failures = []
        for url in self.remote.urls:
            try:
                return self._source(url)
            except _SourceError as error:
                host = "Google Drive" if url.startswith(_DRIVE) else urlsplit(url).hostname or url
                failures.append(f"{host}: {error}")
        reasons = "; ".join(failures) or "no source is known"
        raise UserError(
            f"cannot download {self.remote.name} ({reasons}); check the network and run the same command again"
        )

    def _source(self, url: str) -> None:
        """Try ``url`` until it is done, or until ``attempts`` tries in a row have brought nothing new."""
        fruitless, best = 0, 0
        attempt = self._drive if url.startswith(_DRIVE) else self._http
        while True:
            try:
                attempt(url)
                break
            except _TransientError as error:
                size = self.part.size()
                fruitless, best = (1, size) if size > best else (fruitless + 1, best)
                if fruitless >= self.attempts:
                    raise
                time.sleep(max(error.wait, min(self.pause * 2 ** (fruitless - 1), _PATIENCE)))
        fault = _fault(self.part.path, self.remote)
        if fault is not None:
            self.part.delete()
            raise _SourceError(fault)

    def _drive(self, url: str) -> None:
        """Google Drive asks before it sends a large file and gdown knows what to answer, but starts anew each time."""
        import gdown
        from gdown.exceptions import DownloadError, FileURLRetrievalError

        try:
            with io.BufferedWriter(_Overwriting(self.part, url)) as stream:
                key, timeout = url.removeprefix(_DRIVE), self.timeout
                done = gdown.download(id=key, output=stream, quiet=True, progress=self.progress, timeout=timeout)
        except FileURLRetrievalError as error:
            raise _SourceError(_short(error)) from error
        except (requests.ConnectionError, requests.Timeout, DownloadError) as error:
            raise _TransientError(_short(error)) from error
        except Exception as error:
            if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
                raise  # the disk
            raise _SourceError(_short(error)) from error
        if done is None:
            raise _SourceError("sent nothing")

    def _http(self, url: str) -> None:
        """Ask for what is missing of the part, or for everything when its beginning is not surely of the same file."""
        note, offset = self.part.note(), self.part.size()
        version = note.get("version")
        if note.get("url") != url or not (version or self.remote.sha256):
            offset, version = 0, None
        with self._answer(url, offset, version) as response:
            if offset and response.status_code == _BEYOND:
                self._settle(response, offset)
                return
            total = _total(response, offset)
            if total is not None and self.remote.size not in (None, total):
                raise _SourceError(f"offers {total} bytes, not {self.remote.size}")
            if response.status_code == HTTPStatus.OK:
                offset = 0
                self.part.begin(url, _version(response))
            elif total is None or _version(response) not in (None, version):
                self.part.delete()
                raise _TransientError("cannot go on with a cut download")
            self._receive(response, offset, total)

    @contextmanager
    def _answer(self, url: str, offset: int, version: str | None) -> Iterator[requests.Response]:
        """The answer to one request, when it may lead to the archive; all that the network does becomes a failure."""
        headers = {"Accept-Encoding": "identity"}  # offsets count the bytes on disk
        if offset:
            headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": version} if version else {})
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
                _check(response, bool(offset))
                yield response
        except (requests.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
            raise _TransientError(f"silent for {self.timeout:g} s") from error
        except requests.ConnectionError as error:
            raise _TransientError("cannot be reached") from error
        except urllib3.exceptions.HTTPError as error:
            raise _TransientError("cuts the connection") from error
        except requests.RequestException as error:
            raise _SourceError(_short(error)) from error

    def _settle(self, response: requests.Response, size: int) -> None:
        """The server has nothing to add to the part: it is complete, or it is wrong and we start over."""
        told = response.headers.get("Content-Range", "") == f"bytes */{size}"
        sure = told or self.remote.sha256 or self.remote.size is not None
        if not sure or _fault(self.part.path, self.remote) is not None:
            self.part.delete()
            raise _TransientError("cannot go on with a cut download")

    def _receive(self, response: requests.Response, done: int, total: int | None) -> None:
        limit = self.remote.size if total is None else total
        with self.part.path.open("ab") as stream:
            # as sent: some servers call a .tar.gz a compressed .tar, and requests would unpack it
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                stream.write(chunk)
                done += len(chunk)
                if self.progress:
                    self.progress(done, limit)
                if limit is not None and done > limit:
                    break
        if total is not None and done != total:
            raise _TransientError(f"sent {done} of {total} bytes")


def _check(response: requests.Response, resuming: bool) -> None:
    """Refuse answers that lead to no archive."""
    status, wait = response.status_code, response.headers.get("Retry-After", "")
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500:
        seconds = int(wait) if wait.isdecimal() else 0
        if seconds > _PATIENCE:
            raise _SourceError(f"answers {status} and asks to wait {seconds} s")
        raise _TransientError(f"answers {status}", seconds)
    expected = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, _BEYOND) if resuming else (HTTPStatus.OK,)
    if status not in expected:
        raise _SourceError(f"answers {status}")
    if status != _BEYOND and response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _SourceError("sent a web page")


def _total(response: requests.Response, offset: int) -> int | None:
    """The length of the whole archive, if the answer tells it and, for a range, is the range from ``offset``."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        told = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return int(told[2]) if told and int(told[1]) == offset else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _version(response: requests.Response) -> str | None:
    """What the server calls this version of the file, if it promises that equal names mean equal bytes."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag


def _short(error: Exception) -> str:
    return textwrap.shorten(str(error), 100, placeholder=" ...") or type(error).__name__
