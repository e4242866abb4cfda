"""An archive is unpacked completely or not at all, and no other file is changed."""

from __future__ import annotations

import errno
import gzip
import io
import multiprocessing
import os
import random
import shutil
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive_files import ALL, CONTENT, everything, make, tree, workplace

from okdbench.core.errors import UserError
from okdbench.data.archives import extract, is_archive


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return workplace(tmp_path)


@pytest.mark.parametrize("suffix", ALL)
def test_all_files_are_unpacked(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", [("empty/", b""), *CONTENT.items()])
    assert is_archive(archive)
    extract(archive, folder / "new" / "out")
    assert tree(folder / "new" / "out") == CONTENT
    assert (folder / "new" / "out" / "empty").is_dir()
    assert set(os.listdir(folder)) == {archive.name, "new"}
    assert os.listdir(folder / "new") == ["out"]


@pytest.mark.parametrize("suffix", ALL)
def test_the_content_tells_what_an_archive_is(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", CONTENT.items()).rename(folder / "image.jpg")
    assert is_archive(archive)
    extract(archive, folder / "out")
    assert tree(folder / "out") == CONTENT


def test_what_is_not_an_archive_is_not_taken_for_one(folder: Path) -> None:
    (folder / "a.zip").write_bytes(b"<html>quota exceeded</html>" * 100)
    (folder / "a.gz").write_bytes(gzip.compress(b"no tar" * 1000))
    (folder / "empty.tar").touch()
    for path in [*folder.iterdir(), folder, folder / "missing"]:
        assert not is_archive(path)


def test_a_tar_that_ends_in_a_zip_is_a_tar(folder: Path) -> None:
    inner = make(folder / "inner.zip", [("x", b"x")])
    archive = make(folder / "a.tar", [("inner.zip", inner.read_bytes())])
    assert zipfile.is_zipfile(archive)
    extract(archive, folder / "out")
    assert set(tree(folder / "out")) == {"inner.zip"}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_permissions_are_ordinary(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", CONTENT.items())
    umask = os.umask(0o022)
    try:
        extract(archive, folder / "out")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((folder / "out").stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "out").rglob("*") if path.is_file()} == {0o644}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_what_file_managers_leave_is_skipped(suffix: str, folder: Path) -> None:
    junk = ["__MACOSX/._1.jpg", "__MACOSX/x/y", "art/.DS_Store", "art/Thumbs.db", "art/._1.jpg"]
    archive = make(folder / f"a{suffix}", [*((name, b"junk" * 300) for name in junk), *CONTENT.items()])
    extract(archive, folder / "out")
    assert tree(folder / "out") == CONTENT


def test_backslashes_of_old_windows_programs_separate(folder: Path) -> None:
    archive = make(folder / "a.zip", [("art\\", b""), ("art\\clock\\1.jpg", b"1")])
    extract(archive, folder / "out")
    assert tree(folder / "out") == {"art/clock/1.jpg": b"1"}


class FullFile(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(folder / "a.zip", CONTENT.items())
    before = everything(folder)
    real = Path.open

    def full(path: Path, mode: str = "r") -> object:
        return FullFile() if mode == "xb" else real(path, mode)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match=r"cannot write to .*: the disk is full; free some space"):
        extract(archive, folder / "out")
    assert everything(folder) == before


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_an_interrupt_leaves_nothing(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", CONTENT.items())
    before = everything(folder)
    calls = []

    def interrupt(done: int, _: int) -> None:
        calls.append(done)
        if len(calls) == 3:
            assert len(list(folder.rglob("*.jpg"))) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(archive, folder / "out", progress=interrupt)
    assert everything(folder) == before


@pytest.mark.parametrize("occupy", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_already_is_not_touched(occupy: Callable[[Path], None], folder: Path) -> None:
    archive = make(folder / "a.zip", CONTENT.items())
    target = folder / "out"
    occupy(target)
    before = everything(folder), target.lstat()
    with pytest.raises(UserError, match="out exists already; delete it or choose another folder"):
        extract(archive, target)
    assert (everything(folder), target.lstat()) == before


def test_a_target_in_a_file_is_an_error(folder: Path) -> None:
    archive = make(folder / "a.zip", CONTENT.items())
    with pytest.raises(UserError, match=r"cannot write to .*; choose another with --data-root"):
        extract(archive, archive / "out")


def hang(archive: Path, target: Path) -> None:
    extract(archive, target, progress=lambda *_: time.sleep(60))


def test_folders_of_killed_processes_are_deleted_and_those_of_live_ones_stay(folder: Path) -> None:
    archive = make(folder / "a.zip", CONTENT.items())
    process = multiprocessing.get_context("fork").Process(target=hang, args=(archive, folder / "out"))
    process.start()
    try:
        while not list(folder.glob(".out.*/content")):
            time.sleep(0.01)
        (left,) = folder.glob(".out.*")
        extract(archive, folder / "out")
        assert (left / "content").is_dir()
    finally:
        process.kill()
        process.join()
    shutil.rmtree(folder / "out")
    extract(archive, folder / "out")
    assert not left.exists()
    assert set(os.listdir(folder)) == {"a.zip", "out"}


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_progress_rises_to_the_size_of_the_archive(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", [(f"{n}", random.Random(n).randbytes(5000)) for n in range(50)])
    calls: list[tuple[int, int]] = []
    extract(archive, folder / "out", progress=lambda *call: calls.append(call))
    size = archive.stat().st_size
    assert {total for _, total in calls} == {size}
    done = [done for done, _ in calls]
    assert done == sorted(done)
    assert done[-1] == size
    assert 0.3 * size < done[25] < 0.7 * size


def test_a_tar_archive_is_read_once_from_front_to_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(folder / "a.tar.gz", [(f"{n}", random.Random(n).randbytes(n)) for n in range(500, 1100)])
    monkeypatch.setattr(tarfile.TarFile, "getmembers", None)
    monkeypatch.setattr("gzip.GzipFile.rewind", None)
    extract(archive, folder / "out")
    assert {len(content) for content in tree(folder / "out").values()} == set(range(500, 1100))
