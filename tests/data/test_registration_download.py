"""Downloads of data sets: what arrives is registered, and a bad one never is."""

from __future__ import annotations

import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import datastore
from support.dataset_trees import registered
from support.pacs_copies import PACS, pack, pacs, ten_of_each

from okdbench.cli import app as cli
from okdbench.data import Remote


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    ten_of_each(monkeypatch)


class Server(http.server.BaseHTTPRequestHandler):
    """Says ``answer`` of the class to everything."""

    answer: Callable[[http.server.BaseHTTPRequestHandler], None] = print

    def do_GET(self) -> None:
        type(self).answer(self)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, int, str], None]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/pacs.zip"
    monkeypatch.setattr(PACS, "remotes", (Remote("pacs.zip", (url,)),))

    def offer(body: bytes, status: int = 200, kind: str = "application/zip") -> None:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        monkeypatch.setattr(Server, "answer", answer)

    yield offer
    server.shutdown()


def test_a_download_is_registered(serve: Callable[..., None], tmp_path: Path, root: Path) -> None:
    serve(pack(pacs(tmp_path / "copy"), "zip").read_bytes())
    datastore.download("pacs", [], root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)
    assert not list((root / "downloads").rglob("*.zip"))


def test_what_is_registered_is_not_fetched_again(
    serve: Callable[..., None], tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datastore.add("pacs", pacs(tmp_path / "copy"), root)
    serve(b"", 404)
    datastore.download("pacs", [], root)
    assert "is registered already" in capsys.readouterr().out


def other_archive(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "something else")
    return (tmp_path / "other.zip").read_bytes()


@pytest.mark.parametrize("what", ["missing", "page", "other", "broken"])
def test_a_bad_download_is_never_registered_and_never_a_success(
    serve: Callable[..., None],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root"
    if what == "missing":
        serve(b"", 404)
    elif what == "page":
        serve(b"<!doctype html><html>sign in</html>", 200, "text/html")
    elif what == "other":
        serve(other_archive(tmp_path))
    else:
        serve(b"PK\x03\x04 nothing more")
    monkeypatch.setattr("sys.argv", ["okdbench", "data", "download", "pacs", "--data-root", str(root)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "okdbench data add pacs" in message or "has no domain of pacs" in message
    assert registered(root) == {}
