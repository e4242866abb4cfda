"""Google Drive as a source, with a scripted gdown."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import gdown
import pytest
import requests
from support.http_server import BODY, CUT, OTHER, PAGE, SHA, Server, get, honest, leave_part, left, plain, serving

from okdbench.core.errors import UserError


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


class Drive:
    """A scripted gdown.download: it sends bytes, raises exceptions, or returns None."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *script: bytes | Exception | None) -> None:
        self.script, self.ids = list(script), []
        monkeypatch.setattr(gdown, "download", self.download)

    def download(self, *, id: str, output: BinaryIO, progress: Any, **options: Any) -> BinaryIO | None:
        assert options == {"quiet": True, "timeout": 0.3}
        self.ids.append(id)
        action = self.script.pop(0)
        if isinstance(action, bytes):
            output.write(action)
            if progress:
                progress(len(action), None)
        if isinstance(action, Exception):
            raise action
        return output if action else None


def test_google_drive_sends_to_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive, calls = Drive(monkeypatch, BODY), []
    file = get(tmp_path, "gdrive:KEY", sha256=SHA, progress=lambda *call: calls.append(call))
    assert file.read_bytes() == BODY
    assert left(tmp_path) == ["a.zip"]
    assert (drive.ids, calls) == (["KEY"], [(len(BODY), None)])


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (gdown.exceptions.FileURLRetrievalError("Cannot retrieve\n\n\tthe link. " + "x " * 500), "Cannot retrieve the"),
        (requests.HTTPError("404 Client Error"), "404 Client Error"),
        (KeyError("Content-Type"), "Content-Type"),
        (AssertionError(), "AssertionError"),
        (None, "sent nothing"),
        (PAGE, "sent a web page"),
    ],
)
def test_google_drive_is_skipped(
    action: bytes | Exception | None, reason: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url("/a", honest())
    drive = Drive(monkeypatch, action, action)
    with pytest.raises(UserError, match=f"Google Drive: .*{reason}") as caught:
        get(tmp_path, "gdrive:KEY")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    assert get(tmp_path, "gdrive:KEY", url).read_bytes() == BODY
    assert len(drive.ids) == 2


def test_the_real_gdown_takes_what_it_is_given(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, real, calls = server.url("/a", honest(OTHER, upto=CUT), plain()), gdown.download, []
    monkeypatch.setattr(gdown, "download", lambda id, **options: real(url=url, **options))  # noqa: ARG005
    file = get(tmp_path, "gdrive:KEY", progress=lambda *call: calls.append(call))
    assert file.read_bytes() == BODY
    assert calls[-1] == (len(BODY), len(BODY))
    assert server.ranges == [None, None]


@pytest.mark.parametrize("error", [requests.ConnectionError("reset"), gdown.exceptions.DownloadError("incomplete")])
def test_google_drive_is_asked_again(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = Drive(monkeypatch, error, error, BODY)
    assert get(tmp_path, "gdrive:KEY").read_bytes() == BODY
    assert len(drive.ids) == 3


def test_google_drive_replaces_a_part_only_by_something(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = server.url("/a", honest(upto=CUT), honest()), "gdrive:KEY"
    Drive(monkeypatch, gdown.exceptions.FileURLRetrievalError("too many accesses"), OTHER)
    with pytest.raises(UserError, match="too many accesses"):
        get(tmp_path, *urls, attempts=1)
    assert get(tmp_path, *urls, attempts=1).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]
    (tmp_path / "b").mkdir()
    leave_part(tmp_path / "b", BODY + b"more", urls[0])
    assert get(tmp_path / "b", "gdrive:KEY").read_bytes() == OTHER
    assert left(tmp_path / "b") == ["a.zip"]


def test_google_drive_and_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Drive(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(UserError, match="the disk is full; free some space"):
        get(tmp_path, "gdrive:KEY", server.url("/a", honest()))
    assert server.seen == []
