"""Whatever a server does, the file with the archive's name is the archive, and nothing is downloaded twice."""

from __future__ import annotations

import errno
import io
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.http_server import (
    BODY,
    CUT,
    OTHER,
    SHA,
    Answer,
    Handler,
    Server,
    get,
    honest,
    leave_part,
    left,
    plain,
    serving,
    stall,
)

from okdbench.core.errors import UserError
from okdbench.data import http_source

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


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


def test_a_cut_download_continues_where_it_stopped(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url("/a", honest(upto=CUT), honest())).read_bytes() == BODY
    assert [(wanted, condition) for _, wanted, condition, _ in server.seen] == [(None, None), (f"bytes={CUT}-", '"1"')]
    assert left(tmp_path) == ["a.zip"]


def test_a_cut_download_continues_in_the_next_call(server: Server, tmp_path: Path) -> None:
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


def test_attempts_that_bring_something_do_not_count(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url("/a", honest(step=15_000)), attempts=2).read_bytes() == BODY
    assert len(server.seen) == 7


def test_attempts_that_bring_nothing_new_are_counted(server: Server, tmp_path: Path) -> None:
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
def test_a_part_that_is_too_long_is_deleted(known: dict[str, Any], server: Server, tmp_path: Path) -> None:
    url = server.url("/a", honest())
    leave_part(tmp_path, BODY + b"more", url)
    assert get(tmp_path, url, **known).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY) + 4}-", None]


def test_a_416_without_a_length_confirms_nothing(server: Server, tmp_path: Path) -> None:
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
def test_without_a_version_only_a_hash_allows_to_continue(etag: str | None, server: Server, tmp_path: Path) -> None:
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


def test_a_part_of_another_source_is_not_continued(server: Server, tmp_path: Path) -> None:
    leave_part(tmp_path, OTHER[:CUT], "http://elsewhere/a")
    assert get(tmp_path, server.url("/a", honest())).read_bytes() == BODY
    assert server.ranges == [None]


@pytest.mark.parametrize("note", [None, b"", b"[]", b"\xff"])
def test_a_part_with_a_damaged_note_is_not_continued(note: bytes | None, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(OTHER[:CUT])
    if note is not None:
        (tmp_path / "a.zip.part.json").write_bytes(note)
    assert get(tmp_path, server.url("/a", honest())).read_bytes() == BODY
    assert server.ranges == [None]


def test_a_stall_in_the_body_continues_where_it_stopped(server: Server, tmp_path: Path) -> None:
    assert get(tmp_path, server.url("/a", stall(BODY[:CUT]), honest())).read_bytes() == BODY
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert CUT - http_source.CHUNK_BYTES <= int(second[len("bytes=") : -1]) <= CUT


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every write after byte ``CUT`` fail."""
    usual = Path.open

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > CUT:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data) or 0

    def open_(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        return io.BufferedWriter(Full(path, "a")) if mode == "ab" else usual(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", open_)


def test_a_full_disk_is_reported_and_the_part_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_folder_that_cannot_be_made_is_reported(server: Server, tmp_path: Path) -> None:
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
