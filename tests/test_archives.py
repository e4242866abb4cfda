"""An archive is unpacked whole or not at all, whatever it holds, and nothing beside the target is touched."""

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
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from okdbench.data import archives
from okdbench.data.archives import extract, is_archive
from okdbench.errors import UserError

CONTENT = {"art/clock/1.jpg": b"\xff\xd8" + random.Random(0).randbytes(3000), "art/clock/2.jpg": b"", "readme": b"hi"}
TARS = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]
ALL = [".zip", *TARS]


def make(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """An archive of files, and of folders where a name ends in a slash, of the kind that ``path`` is named after."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings(action="ignore"):
            for name, content in members:
                file.writestr(name, content)
        return path
    kind = {"tgz": "gz", "tar": ""}.get(path.suffix[1:], path.suffix[1:])
    with tarfile.open(path, f"w:{kind}") as tar:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name.rstrip("/") if name != "/" else name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            info.mode = 0o6777
            tar.addfile(info, io.BytesIO(content))
    return path


def tar_of(path: Path, kind: bytes, link: str = "") -> Path:
    """A tar archive of a file and a member that is no file."""
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
        info = tarfile.TarInfo("odd")
        info.type, info.linkname = kind, link
        tar.addfile(info)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def assert_refused(archive: Path, match: str, **options: int) -> None:
    """Extraction fails with one line and changes nothing on the disk, neither here nor in the folder above."""
    target = archive.parent / "out" / "pictures"
    target.parent.mkdir()
    before = everything(archive.parent.parent)
    with pytest.raises(UserError, match=match) as caught:
        extract(archive, target, **options)
    assert "\n" not in str(caught.value)
    assert str(archive) in str(caught.value)
    assert everything(archive.parent.parent) == before


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """Where the archive lies; its parent is the test's as well, so that what climbs out is seen."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("suffix", ALL)
def test_what_went_in_comes_out(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", [("empty/", b""), *CONTENT.items()])
    assert is_archive(archive)
    extract(archive, folder / "new" / "out")
    assert tree(folder / "new" / "out") == CONTENT
    assert (folder / "new" / "out" / "empty").is_dir()
    assert set(os.listdir(folder)) == {archive.name, "new"}
    assert os.listdir(folder / "new") == ["out"]


@pytest.mark.parametrize("suffix", ALL)
def test_the_content_tells_what_an_archive_is(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", CONTENT.items()).rename(folder / "picture.jpg")
    assert is_archive(archive)
    extract(archive, folder / "out")
    assert tree(folder / "out") == CONTENT


def test_what_is_no_archive_is_not_taken_for_one(folder: Path) -> None:
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
def test_what_file_managers_leave_is_passed_over(suffix: str, folder: Path) -> None:
    junk = ["__MACOSX/._1.jpg", "__MACOSX/x/y", "art/.DS_Store", "art/Thumbs.db", "art/._1.jpg"]
    archive = make(folder / f"a{suffix}", [*((name, b"junk" * 300) for name in junk), *CONTENT.items()])
    extract(archive, folder / "out")
    assert tree(folder / "out") == CONTENT


def test_backslashes_of_old_windows_programs_separate(folder: Path) -> None:
    archive = make(folder / "a.zip", [("art\\", b""), ("art\\clock\\1.jpg", b"1")])
    extract(archive, folder / "out")
    assert tree(folder / "out") == {"art/clock/1.jpg": b"1"}


EVIL = ["../evil", "a/../../../evil", "a/..", "/ROOT/evil", "//ROOT/evil", "C:\\evil", "C:evil", "..\\evil"]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", EVIL)
def test_a_member_outside_of_the_folder_is_refused(name: str, suffix: str, folder: Path) -> None:
    name = name.replace("/ROOT", str(folder))  # where it would be seen, and do no harm
    archive = make(folder / f"a{suffix}", [("good", b"1"), (name, b"2"), ("good2", b"3")])
    assert_refused(archive, "would lie outside of the folder")


@pytest.mark.parametrize("name", ["../evil/", "/ROOT/evil/", "__MACOSX/../../evil"])
def test_folders_and_junk_are_refused_outside_as_well(name: str, folder: Path) -> None:
    name = name.replace("/ROOT", str(folder))
    assert_refused(make(folder / "a.zip", [("good", b"1"), (name, b"")]), "would lie outside of the folder")


def test_nul_in_a_name_is_refused(folder: Path) -> None:
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("good")
        info.pax_headers = {"path": "evil\0name"}
        tar.addfile(info)
    assert_refused(folder / "a.tar", r"'evil\\x00name'")


def test_folders_in_folders_without_end_are_refused(folder: Path) -> None:
    assert_refused(make(folder / "a.zip", [("a/" * 1500 + "x", b"")]), "lies too deep")


def test_a_sparse_file_in_a_tar_is_refused(folder: Path) -> None:
    assert_refused(tar_of(folder / "a.tar", tarfile.GNUTYPE_SPARSE), "a sparse file")


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"Z"]


@pytest.mark.parametrize("link", ["../../evil", "file"])
@pytest.mark.parametrize("kind", KINDS)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, link: str, folder: Path) -> None:
    assert_refused(tar_of(folder / "a.tar", kind, link), "'odd' is a link, a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_a_zip_are_refused(kind: int, folder: Path) -> None:
    info = zipfile.ZipInfo("odd")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        file.writestr("good", b"1")
        file.writestr(info, "../../evil")
    assert_refused(folder / "a.zip", "'odd' is a link or a device")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("names", [("a", "a"), ("x/a", "./x//a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d")])
def test_two_members_in_one_place_are_refused(names: tuple[str, str], suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", [(name, b"1") for name in names])
    assert_refused(archive, "appears twice, or as a file and as a folder")


@pytest.mark.parametrize("names", [("a", "a/"), ("a/", "a")])
def test_a_folder_that_is_also_a_file_is_refused(names: tuple[str, str], folder: Path) -> None:
    assert_refused(make(folder / "a.tar", [(name, b"") for name in names]), "appears twice, or as a file")


def test_a_folder_may_be_listed_twice_and_case_counts(folder: Path) -> None:
    extract(make(folder / "a.zip", [("a/", b""), ("a/", b""), ("A", b"1"), ("a/x", b"2")]), folder / "out")
    assert tree(folder / "out") == {"A": b"1", "a/x": b"2"}


def test_an_encrypted_zip_is_refused(folder: Path) -> None:
    archive = make(folder / "a.zip", [("a", b"1")])
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert_refused(archive, "is encrypted; unpack it by hand")


def test_an_unknown_compression_is_named(folder: Path) -> None:
    archive = make(folder / "a.zip", [("a", b"1" * 100)])
    content = bytearray(archive.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 9
    archive.write_bytes(content)
    assert_refused(archive, r"\(That compression method is not supported\); unpack it by hand")


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>quota exceeded</html>" * 100, b"\x1f\x8bxxxx", b"BZhxxxx"])
def test_what_is_no_archive_is_refused(content: bytes, folder: Path) -> None:
    (folder / "a").write_bytes(content)
    assert_refused(folder / "a", "no archive .*; download it again")


def test_an_archive_that_cannot_be_read_is_named(folder: Path) -> None:
    assert_refused(folder / "missing.zip", r"cannot read .*missing\.zip: No such file")


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_archive_is_refused(suffix: str, share: float, folder: Path) -> None:
    noise = random.Random(1)
    archive = make(folder / f"a{suffix}", [(f"{n}.jpg", noise.randbytes(20_000)) for n in range(20)])
    size = archive.stat().st_size
    # all members of a plain tar archive are there as soon as the first zero block of its padding is
    end = size if archive.suffix != ".tar" else 20 * (512 + 20_480)
    os.truncate(archive, int(share * end))
    assert_refused(archive, "damaged, incomplete or no archive")


def test_a_tar_cut_between_two_members_is_refused(folder: Path) -> None:
    archive = make(folder / "a.tar", [("a", bytes(512)), ("b", bytes(512))])
    os.truncate(archive, 1024)
    assert_refused(archive, r"incomplete or no archive \(empty header\)")


def test_a_tar_with_a_hole_is_refused(folder: Path) -> None:
    archive = make(folder / "a.tar", [("a", bytes(512)), ("b", b"1" * 512), ("c", b"1" * 512)])
    content = bytearray(archive.read_bytes())
    content[1024:1536] = bytes(512)  # the second header: to tarfile, the end
    archive.write_bytes(content)
    assert_refused(archive, "content after its end")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_damage_anywhere_is_refused_or_harmless(suffix: str, folder: Path) -> None:
    noise = random.Random(2)
    content = {f"folder/{n}.jpg": noise.randbytes(noise.randrange(2000)) for n in range(8)}
    whole = make(folder / f"a{suffix}", content.items()).read_bytes()
    archive = folder / "damaged"
    refused = 0  # with one line
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[noise.randrange(len(damaged))] ^= 1 << noise.randrange(8)
        archive.write_bytes(damaged)
        try:
            extract(archive, folder / "out")
        except UserError as error:
            refused += "\n" not in str(error)
            assert set(os.listdir(folder)) == {f"a{suffix}", "damaged"}
        else:  # a name, a time or a padding may change; a picture may not
            assert sorted(tree(folder / "out").values()) == sorted(content.values())
            shutil.rmtree(folder / "out")
    assert refused > 75


def test_a_wrong_checksum_after_the_end_of_a_tar_is_seen(folder: Path) -> None:
    archive = make(folder / "a.tar.gz", CONTENT.items())
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    assert_refused(archive, "CRC check failed")


def test_tar_headers_that_would_fill_the_memory_are_refused(folder: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**36
    (folder / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    assert_refused(folder / "a.tar", f"a header of {2**36} bytes")


@pytest.mark.parametrize("good", [[], ["good"]])
def test_a_negative_size_does_not_loop(good: list[str], folder: Path) -> None:
    header = tarfile.TarInfo("bad")
    header.size = -1024
    start = b"".join(tarfile.TarInfo(name).tobuf() for name in good)
    (folder / "a.tar").write_bytes(start + header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    assert_refused(folder / "a.tar", "negative size")


@pytest.mark.parametrize("content", [bytes(10_240), b"PK\x05\x06" + bytes(18)], ids=["zeros", "zip"])
def test_an_archive_without_files_is_refused(content: bytes, folder: Path) -> None:
    (folder / "a").write_bytes(content)
    assert_refused(folder / "a", "holds no files; look whether")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_bomb_is_refused(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", [("zeros", bytes(50_000_000))])
    assert archive.stat().st_size < 100_000
    assert_refused(archive, "unpacks to more than .* GiB, the most that is allowed", max_bytes=1_000_000)


def forge_size(archive: Path, size: int) -> None:
    """Write another size of the only member into a zip archive's headers."""
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[22:26] = content[central + 24 : central + 28] = size.to_bytes(4, "little")
    archive.write_bytes(content)


@pytest.mark.parametrize("size", [100, 1_000_001])
def test_a_zip_that_lies_about_sizes_is_refused(size: int, folder: Path) -> None:
    archive = make(folder / "a.zip", [("zeros", bytes(1_000_000))])
    forge_size(archive, size)
    assert_refused(archive, "damaged")


def test_bytes_are_counted_while_writing_not_by_header(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(folder / "a.tar.gz", [(f"{n}", bytes(400)) for n in range(3)])
    written = 0
    check = archives._Allowance.check

    def spy(self: archives._Allowance, size: int) -> None:
        nonlocal written
        check(self, size)
        written += size

    monkeypatch.setattr(archives._Allowance, "check", spy)
    assert_refused(archive, "the most that is allowed", max_bytes=1000)
    assert written == 800
    extract(archive, folder / "out" / "exactly", max_bytes=1200)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_too_many_members_are_refused(suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    extract(make(folder / f"three{suffix}", [(f"{n}", b"1") for n in range(3)]), folder / "three")
    assert_refused(make(folder / f"a{suffix}", [(f"{n}", b"1") for n in range(4)]), "has more than 3 members")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_more_than_the_disk_has_free_is_refused(suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)._replace(free=2000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert_refused(make(folder / f"a{suffix}", CONTENT.items()), "that are free on the disk; free some space")


def test_a_zip_that_says_that_it_is_too_large_is_refused_before_anything_is_written(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    archive = make(folder / "a.zip", [(f"{n}", bytes(400)) for n in range(3)])
    with pytest.raises(UserError, match="the most that is allowed"):
        extract(archive, folder / "out", max_bytes=1000, progress=lambda *call: calls.append(call))
    assert not calls


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


def test_what_killed_processes_left_goes_and_what_live_ones_make_stays(folder: Path) -> None:
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
