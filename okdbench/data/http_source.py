"""Downloads an archive by HTTP; a partial download continues with a range request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import requests
import urllib3

from okdbench.data.partial_file import Transfer, mismatch
from okdbench.data.remote import SourceError, TransientSourceError

#: bytes that are written at a time; a stalled connection loses at most this many
CHUNK_BYTES = 1 << 15
#: seconds; a server that asks for a longer pause is skipped
MAX_WAIT = 60.0
_BEYOND_END = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def receive(url: str, transfer: Transfer) -> None:
    """Request what is missing, or everything if the bytes so far may be of another file.

    Raises:
        SourceError: the server does not have the archive.
        TransientSourceError: the connection was cut, or the server is busy.
        OSError: the disk cannot be written.
    """
    remote, part = transfer.remote, transfer.part
    note, offset = part.note(), part.size()
    version = note.get("version")
    # Only a version of the server or a hash proves that the rest belongs to the same file as the beginning.
    if note.get("url") != url or not (version or remote.hashes):
        offset, version = 0, None
    with _response(url, offset, version, transfer.timeout) as response:
        if offset and response.status_code == _BEYOND_END:
            _check_complete(response, offset, transfer)
            return
        total = _total(response, offset)
        if total is not None and remote.size not in (None, total):
            raise SourceError(f"offers {total} bytes, not {remote.size}")
        if response.status_code == HTTPStatus.OK:  # everything: the server ignores ranges, or has a new version
            offset = 0
            part.begin(url, _version(response))
        elif total is None or _version(response) not in (None, version):
            part.delete()
            raise TransientSourceError("cannot continue a partial download")
        _write(response, offset, total, transfer)


@contextmanager
def _response(url: str, offset: int, version: str | None, timeout: float) -> Iterator[requests.Response]:
    """The response to one request; all network errors inside of the context become SourceErrors."""
    headers = {"Accept-Encoding": "identity"}  # offsets are counted in the bytes on the disk
    if offset:
        headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": version} if version else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            _check_status(response, bool(offset))
            yield response
    except (requests.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise TransientSourceError(f"silent for {timeout:g} s") from error
    except requests.ConnectionError as error:
        raise TransientSourceError("cannot be reached") from error
    except urllib3.exceptions.HTTPError as error:
        raise TransientSourceError("cuts the connection") from error
    except requests.RequestException as error:
        raise SourceError.because(error) from error


def _check_status(response: requests.Response, resuming: bool) -> None:
    """Raise a SourceError for responses that do not lead to the archive."""
    status, wait = response.status_code, response.headers.get("Retry-After", "")
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500:
        seconds = int(wait) if wait.isdecimal() else 0
        if seconds > MAX_WAIT:
            raise SourceError(f"answers {status} and asks to wait {seconds} s")
        raise TransientSourceError(f"answers {status}", seconds)
    expected = (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, _BEYOND_END) if resuming else (HTTPStatus.OK,)
    if status not in expected:
        raise SourceError(f"answers {status}")
    if status != _BEYOND_END and response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise SourceError("sent a web page")


def _check_complete(response: requests.Response, size: int, transfer: Transfer) -> None:
    """The server has no bytes after the part: either the part is complete, or it is wrong and is deleted."""
    confirmed = response.headers.get("Content-Range", "") == f"bytes */{size}"
    sure = confirmed or transfer.remote.hashes or transfer.remote.size is not None
    if not sure or mismatch(transfer.part.path, transfer.remote) is not None:
        transfer.part.delete()
        raise TransientSourceError("cannot continue a partial download")


def _write(response: requests.Response, done: int, total: int | None, transfer: Transfer) -> None:
    """Append the body to the part; ``done`` bytes are there already."""
    limit = transfer.remote.size if total is None else total
    with transfer.part.path.open("ab") as stream:
        # Not decoded: some servers declare a .tar.gz to be a compressed .tar, and requests would decompress it.
        for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
            stream.write(chunk)
            done += len(chunk)
            if transfer.progress:
                transfer.progress(done, limit)
            if limit is not None and done > limit:  # a body without end must not fill the disk
                break
    if total is not None and done != total:
        raise TransientSourceError(f"sent {done} of {total} bytes")


def _total(response: requests.Response, offset: int) -> int | None:
    """Length of the whole archive; None if it is not given, or if the range does not start at ``offset``."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return int(match[2]) if match and int(match[1]) == offset else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _version(response: requests.Response) -> str | None:
    """The server's name for this version of the file, if equal names guarantee equal bytes (RFC 9110, 8.8)."""
    tag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if tag.startswith("W/") else tag
