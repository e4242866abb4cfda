"""Sources that are silent, busy or missing, or send something else: they are skipped, and the error names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.http_server import (
    BODY,
    CUT,
    OTHER,
    PAGE,
    SHA,
    Answer,
    Server,
    chunked,
    get,
    honest,
    left,
    plain,
    serving,
    stall,
)

from okdbench.core.errors import UserError
from okdbench.data import http_source


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_a_stalled_server_is_asked_again_and_then_skipped(server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", stall()), server.url("/b", honest())
    assert get(tmp_path, *urls, attempts=2).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


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


def test_a_body_without_an_end_is_aborted(server: Server, tmp_path: Path) -> None:
    sent = []
    with pytest.raises(UserError, match="bytes, not"):
        get(
            tmp_path,
            server.url("/a", chunked(BODY * 20)),
            size=len(BODY),
            progress=lambda done, _: sent.append(done),
        )
    assert sent[-1] <= len(BODY) + http_source.CHUNK_BYTES
    assert left(tmp_path) == []


def test_another_hash_than_the_known_one_is_refused(server: Server, tmp_path: Path) -> None:
    bad, good = server.url("/a", honest(OTHER)), server.url("/b", honest())
    with pytest.raises(UserError, match="SHA-256 differs"):
        get(tmp_path, bad, sha256=SHA)
    assert left(tmp_path) == []
    assert get(tmp_path, bad, good, sha256=SHA.upper()).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_file_is_skipped_at_once(status: int, server: Server, tmp_path: Path) -> None:
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
def test_a_busy_server_is_asked_again_and_then_skipped(status: int, server: Server, tmp_path: Path) -> None:
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
def test_a_web_page_is_not_an_archive(page: Answer, server: Server, tmp_path: Path) -> None:
    urls = server.url("/a", page), server.url("/b", honest())
    with pytest.raises(UserError, match="sent a web page"):
        get(tmp_path, urls[0])
    assert left(tmp_path) == []
    assert get(tmp_path, *urls).read_bytes() == BODY
    assert server.paths == ["/a", "/a", "/b"]


def test_what_is_not_an_archive_is_refused_when_nothing_else_is_known(server: Server, tmp_path: Path) -> None:
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


def test_a_remote_without_sources_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no source is known"):
        get(tmp_path)
