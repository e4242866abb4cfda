"""Whatever a server does, what lies under the archive's name is the archive."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import gdown
import pytest
import requests

from okdbench.data import download
from okdbench.data.download import Remote, fetch
from okdbench.errors import UserError

FORK = multiprocessing.get_context("fork")
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
    """Looks up in the script what to do; the last entry for a path stays in force."""

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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def honest(body: bytes = BODY, etag: str | None = '"1"', upto: int | None = None, step: int | None = None) -> Answer:
    """Obeys Range and If-Range; cuts the connection at byte ``upto``, or ``step`` bytes after the start."""

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
    """Knows no Range."""
    return lambda request: request.reply(status, body, **headers)


def stall(body: bytes = b"") -> Answer:
    """Sends ``body`` and then nothing more, but holds the connection."""

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
    """What lies in the folder, the lock aside."""
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".lock")


def leave_part(folder: Path, body: bytes, url: str, version: str | None = '"1"') -> None:
    (folder / "a.zip.part").write_bytes(body)
    (folder / "a.zip.part.json").write_text(json.dumps({"url": url, "version": version}))


def test_an_archive_arrives_and_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    url, calls = server.url("/a", honest()), []
    file = get(tmp_path / "new", url, sha256=SHA, progress=lambda done, total: calls.append((done, total)))
    assert file == tmp_path / "new" / "a.zip"
    assert file.read_bytes() == BODY
    assert left(file.parent) == ["a.zip"]
    assert calls[-1] == (len(BODY), len(BODY))
    assert calls == sorted(calls)
    assert get(tmp_path / "new", url, sha256=SHA) == file
    assert len(server.seen) == 1


def test_a_damaged_archive_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(OTHER)
    assert get(tmp_path, server.url("/a", honest()), sha256=SHA).read_bytes() == BODY


def test_a_cut_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url("/a", honest(upto=CUT), honest())).read_bytes() == BODY
    assert [(wanted, condition) for _, wanted, condition, _ in server.seen] == [(None, None), (f"bytes={CUT}-", '"1"')]
    assert left(tmp_path) == ["a.zip"]


def test_a_cut_download_goes_on_in_the_next_call(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", honest(upto=CUT), honest())
    with pytest.raises(UserError, match="cuts the connection"):
        get(tmp_path, url, attempts=1)
    assert left(tmp_path) == ["a.zip.part", "a.zip.part.json"]
    assert get(tmp_path, url).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]


def test_a_killed_process_leaves_what_it_had(server: Server, tmp_path: Path) -> None:
    url, part = server.url("/a", stall(BODY[:CUT]), honest()), tmp_path / "a.zip.part"
    process = FORK.Process(target=get, args=(tmp_path, url), kwargs={"timeout": 20})
    process.start()
    deadline = time.monotonic() + 10
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    size = part.stat().st_size
    assert 0 < size <= CUT
    assert get(tmp_path, url).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={size}-"]


def test_tries_that_bring_something_do_not_count(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url("/a", honest(step=15_000)), attempts=2).read_bytes() == BODY
    assert len(server.seen) == 7


def test_tries_that_bring_nothing_new_are_counted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cuts the connection"):
        get(tmp_path, server.url("/a", plain(body=BODY[:CUT], Content_Length=len(BODY))))
    assert len(server.seen) == 3


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    cut = plain(body=BODY[:CUT], Content_Length=len(BODY), ETag='"1"')
    assert get(tmp_path, server.url("/a", cut, plain())).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]


def test_a_range_may_come_in_pieces(server: Server, tmp_path: Path) -> None:
    def piece(request: Handler) -> None:
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        part = BODY[start : start + 20_000]
        request.reply(206, part, Content_Range=f"bytes {start}-{start + len(part) - 1}/{len(BODY)}", ETag='"1"')

    assert get(tmp_path, server.url("/a", honest(upto=CUT), piece)).read_bytes() == BODY
    assert server.ranges == [None, *(f"bytes={start}-" for start in (CUT, CUT + 20_000))]


@pytest.mark.parametrize("known", [{"sha256": SHA}, {"size": len(BODY)}, {}])
def test_a_part_that_is_complete_is_only_verified(known: dict[str, Any], server: Server, tmp_path: Path) -> None:
    url = server.url("/a", honest())
    leave_part(tmp_path, BODY, url)
    assert get(tmp_path, url, **known).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-"]


@pytest.mark.parametrize("known", [{"sha256": SHA}, {"size": len(BODY)}, {}])
def test_a_part_that_is_too_long_is_thrown_away(known: dict[str, Any], server: Server, tmp_path: Path) -> None:
    url = server.url("/a", honest())
    leave_part(tmp_path, BODY + b"more", url)
    assert get(tmp_path, url, **known).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY) + 4}-", None]


def test_a_416_that_tells_no_length_vouches_for_nothing(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", plain(416, b""), honest())
    leave_part(tmp_path, OTHER, url)
    assert get(tmp_path, url).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-", None]


def ignores_if_range(request: Handler) -> None:
    del request.headers["If-Range"]
    honest(etag='"2"')(request)


def gives_another_range(request: Handler) -> None:
    request.reply(206, BODY[10:], Content_Range=f"bytes 10-{len(BODY) - 1}/{len(BODY)}", ETag='"1"')


@pytest.mark.parametrize(
    ("second", "ranges"),
    [
        (honest(etag='"2"'), [None, f"bytes={CUT}-"]),
        (ignores_if_range, [None, f"bytes={CUT}-", None]),
    ],
)
def test_a_changed_file_is_not_joined_to_the_old_one(
    second: Answer, ranges: list[str | None], server: Server, tmp_path: Path
) -> None:
    assert get(tmp_path, server.url("/a", honest(OTHER, upto=CUT), second)).read_bytes() == BODY
    assert server.ranges == ranges


def test_a_range_that_was_not_asked_for_is_not_joined(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", honest(upto=CUT), gives_another_range, honest())
    assert get(tmp_path, url, sha256=SHA).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-", None]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_a_version_only_a_hash_allows_to_go_on(etag: str | None, server: Server, tmp_path: Path) -> None:
    url = server.url("/a", honest(etag=etag, upto=CUT), honest(etag=etag))
    assert get(tmp_path, url).read_bytes() == BODY
    assert server.ranges == [None, None]
    url = server.url("/b", honest(etag=etag, upto=CUT), honest(etag=etag))
    assert get(tmp_path / "hash", url, sha256=SHA).read_bytes() == BODY
    assert server.ranges[2:] == [None, f"bytes={CUT}-"]


def test_the_date_is_a_version_too(server: Server, tmp_path: Path) -> None:
    date = "Wed, 01 Oct 2025 07:28:00 GMT"
    first = plain(body=BODY[:CUT], Content_Length=len(BODY), ETag='W/"1"', Last_Modified=date)
    get(tmp_path, server.url("/a", first, honest(etag=date)))
    assert [seen[1:3] for seen in server.seen] == [(None, None), (f"bytes={CUT}-", date)]


def test_a_part_from_elsewhere_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    leave_part(tmp_path, OTHER[:CUT], "http://elsewhere/a")
    assert get(tmp_path, server.url("/a", honest())).read_bytes() == BODY
    assert server.ranges == [None]


@pytest.mark.parametrize("note", [None, b"", b"[]", b"\xff"])
def test_a_part_with_a_damaged_note_is_not_gone_on_with(note: bytes | None, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(OTHER[:CUT])
    if note is not None:
        (tmp_path / "a.zip.part.json").write_bytes(note)
    assert get(tmp_path, server.url("/a", honest())).read_bytes() == BODY
    assert server.ranges == [None]


def test_a_stalled_server_is_asked_again_and_then_passed_over(server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", stall()), server.url("/b", honest())
    assert get(tmp_path, *urls, attempts=2).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


def test_a_stall_in_the_body_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url("/a", stall(BODY[:CUT]), honest())).read_bytes() == BODY
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert CUT - download._CHUNK <= int(second[len("bytes=") : -1]) <= CUT


@pytest.mark.parametrize("bad", [plain(body=OTHER[:-5]), plain(body=OTHER + b"more"), chunked(OTHER[:-5])])
def test_another_length_than_the_known_one_is_refused(bad: Answer, server: Server, tmp_path: Path) -> None:
    bad_url, good_url = server.url("/a", bad), server.url("/b", honest())
    with pytest.raises(UserError, match=rf"\d+ bytes, not {len(BODY)}\b"):
        get(tmp_path, bad_url, size=len(BODY))
    assert not (tmp_path / "a.zip").exists()
    assert get(tmp_path, bad_url, good_url, size=len(BODY)).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


def test_another_length_is_refused_before_the_body_comes(server: Server, tmp_path: Path) -> None:
    calls: list[int] = []
    with pytest.raises(UserError, match=f"offers {len(BODY) + 4} bytes, not {len(BODY)}"):
        get(
            tmp_path,
            server.url("/a", plain(body=BODY + b"more")),
            size=len(BODY),
            progress=lambda done, _: calls.append(done),
        )
    assert calls == []


def test_another_total_length_of_a_range_is_refused(server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", honest(upto=CUT), honest(BODY + b"more")), server.url("/b", honest())
    assert get(tmp_path, *urls, size=len(BODY)).read_bytes() == BODY
    assert [seen[:2] for seen in server.seen] == [("/a", None), ("/a", f"bytes={CUT}-"), ("/b", None)]


def test_a_body_without_an_end_is_left(server: Server, tmp_path: Path) -> None:
    sent = []
    with pytest.raises(UserError, match="bytes, not"):
        get(
            tmp_path,
            server.url("/a", chunked(BODY * 20)),
            size=len(BODY),
            progress=lambda done, _: sent.append(done),
        )
    assert sent[-1] <= len(BODY) + download._CHUNK
    assert left(tmp_path) == []


def test_another_hash_than_the_known_one_is_refused(server: Server, tmp_path: Path) -> None:
    bad, good = server.url("/a", honest(OTHER)), server.url("/b", honest())
    with pytest.raises(UserError, match="SHA-256 differs"):
        get(tmp_path, bad, sha256=SHA)
    assert left(tmp_path) == []
    assert get(tmp_path, bad, good, sha256=SHA.upper()).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_file_is_passed_over_at_once(status: int, server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", plain(status)), server.url("/b", honest())
    assert get(tmp_path, *urls).read_bytes() == BODY
    assert server.paths == ["/a", "/b"]


def test_a_source_that_sends_nothing_takes_nothing_away(server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", honest(upto=CUT), plain(503), honest()), server.url("/b", plain(404))
    with pytest.raises(UserError):
        get(tmp_path, *urls, attempts=1)
    with pytest.raises(UserError):
        get(tmp_path, *urls, attempts=1)
    assert get(tmp_path, *urls, attempts=1).read_bytes() == BODY
    assert server.ranges == [None, None, f"bytes={CUT}-", None, f"bytes={CUT}-"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_and_then_passed_over(status: int, server: Server, tmp_path: Path) -> None:
    assert get(tmp_path / "1", server.url("/a", plain(status), plain(status), honest())).read_bytes() == BODY
    assert server.paths == ["/a"] * 3
    assert get(tmp_path / "2", server.url("/b", plain(status)), server.url("/c", honest())).read_bytes() == BODY
    assert server.paths[3:] == ["/b", "/b", "/b", "/c"]


def test_the_pause_grows(server: Server, tmp_path: Path) -> None:
    get(tmp_path, server.url("/a", plain(503), plain(503), honest()), pause=0.1)
    first, second, third = (moment for *_, moment in server.seen)
    assert second - first >= 0.1
    assert third - second >= 0.2


def test_a_short_retry_after_is_honoured(server: Server, tmp_path: Path) -> None:
    get(tmp_path, server.url("/a", plain(503, Retry_After=1), honest()))
    assert server.seen[1][-1] - server.seen[0][-1] >= 1


def test_a_long_retry_after_is_not_waited_for(server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", plain(429, Retry_After=3600)), server.url("/b", honest())
    assert get(tmp_path, *urls).read_bytes() == BODY
    assert server.paths == ["/a", "/b"]


@pytest.mark.parametrize(
    "page",
    [
        plain(Content_Type="text/html; charset=utf-8"),
        plain(body=PAGE),
        plain(body=b"\xef\xbb\xbf<HTML >"),
        chunked(PAGE),
    ],
)
def test_a_web_page_is_no_archive(page: Answer, server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", page), server.url("/b", honest())
    with pytest.raises(UserError, match="sent a web page"):
        get(tmp_path, urls[0])
    assert left(tmp_path) == []
    assert get(tmp_path, *urls).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


def test_what_is_no_archive_is_refused_when_nothing_else_is_known(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", plain(body=b"no archive" * 1000))
    with pytest.raises(UserError, match="no zip or tar"):
        get(tmp_path, url)
    assert left(tmp_path) == []
    assert get(tmp_path, url, size=10_000).stat().st_size == 10_000


def test_an_archive_is_kept_as_it_was_sent(server: Server, tmp_path: Path) -> None:
    url = server.url("/a", plain(Content_Encoding="x-gzip"))
    assert get(tmp_path, url, sha256=SHA).read_bytes() == BODY


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    server.url("/b", honest(upto=CUT), honest())
    assert get(tmp_path, server.url("/a", plain(302, b"", Location="/b"))).read_bytes() == BODY
    assert server.ranges == [None, None, f"bytes={CUT}-", f"bytes={CUT}-"]


def test_only_the_web_is_read(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.zip"
    secret.write_bytes(OTHER)
    for url in (secret.as_uri(), server.url("/a", plain(302, b"", Location=secret.as_uri())), "ftp://127.0.0.1/a"):
        with pytest.raises(UserError, match="cannot download"):
            get(tmp_path / "data", url)
        assert left(tmp_path / "data") == []


def test_a_loop_of_redirects_ends(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="redirects"):
        get(tmp_path, server.url("/a", plain(302, b"", Location="/a")))


def test_every_source_and_reason_is_named_in_one_line(server: Server, tmp_path: Path) -> None:
    urls = (server.url("/a", plain(404)), "http://127.0.0.1:1/a", server.url("/b", stall()), "nonsense")
    with pytest.raises(UserError) as caught:
        get(tmp_path, *urls, attempts=1)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("cannot download a.zip (127.0.0.1: answers 404; 127.0.0.1: cannot be reached; ")
    assert "; 127.0.0.1: silent for 0.3 s; nonsense: Invalid URL" in message
    assert message.endswith("run the same command again")


def test_no_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no source is known"):
        get(tmp_path)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From byte ``CUT`` on nothing can be written."""
    usual = Path.open

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > CUT:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data) or 0

    def open_(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        return io.BufferedWriter(Full(path, "a")) if mode == "ab" else usual(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", open_)


def test_a_full_disk_is_said_and_the_part_kept(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, unused = server.url("/a", honest()), server.url("/b", honest())
    with monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(UserError, match="the disk is full; free some space"):
            get(tmp_path, url, unused)
    size = (tmp_path / "a.zip.part").stat().st_size
    assert 0 < size <= CUT
    assert get(tmp_path, url, unused).read_bytes() == BODY
    assert server.paths == ["/a", "/a"]
    assert server.ranges == [None, f"bytes={size}-"]


def test_ctrl_c_keeps_the_part(server: Server, tmp_path: Path) -> None:
    def interrupt(done: int, _: int | None) -> None:
        if done >= CUT // 2:
            raise KeyboardInterrupt

    url = server.url("/a", honest())
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, url, progress=interrupt)
    size = (tmp_path / "a.zip.part").stat().st_size
    assert size >= CUT // 2
    assert get(tmp_path, url).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={size}-"]


def test_a_folder_that_cannot_be_made_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot write to .*--data-root"):
        get(tmp_path / "file" / "data", server.url("/a", honest()))


def test_of_two_processes_one_fetches(server: Server, tmp_path: Path) -> None:
    def slow(request: Handler) -> None:
        time.sleep(0.2)
        honest()(request)

    url = server.url("/a", slow)
    processes = [FORK.Process(target=get, args=(tmp_path, url), kwargs={"timeout": 5}) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert server.paths == ["/a"]


class Drive:
    """gdown.download with a script: bytes are sent, exceptions raised, and None is returned."""

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
def test_google_drive_is_passed_over(
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
