"""Archives that are refused completely: damaged, truncated, encrypted or too large."""

from __future__ import annotations

import os
import random
import shutil
import tarfile
from pathlib import Path

import pytest
from support.archive_files import ALL, CONTENT, assert_refused, make, tree, workplace

from okdbench.core.errors import UserError
from okdbench.data import archive_safety
from okdbench.data.archives import extract


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return workplace(tmp_path)


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
def test_what_is_not_an_archive_is_refused(content: bytes, folder: Path) -> None:
    (folder / "a").write_bytes(content)
    assert_refused(folder / "a", "not an archive .*; download it again")


def test_an_archive_that_cannot_be_read_is_named(folder: Path) -> None:
    assert_refused(folder / "missing.zip", r"cannot read .*missing\.zip: No such file")


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_archive_is_refused(suffix: str, share: float, folder: Path) -> None:
    noise = random.Random(1)
    archive = make(folder / f"a{suffix}", [(f"{n}.jpg", noise.randbytes(20_000)) for n in range(20)])
    size = archive.stat().st_size
    # a plain tar archive is complete as soon as it has the first zero block of its padding
    end = size if archive.suffix != ".tar" else 20 * (512 + 20_480)
    os.truncate(archive, int(share * end))
    assert_refused(archive, "damaged, incomplete or not an archive")


def test_a_tar_cut_between_two_members_is_refused(folder: Path) -> None:
    archive = make(folder / "a.tar", [("a", bytes(512)), ("b", bytes(512))])
    os.truncate(archive, 1024)
    assert_refused(archive, r"incomplete or not an archive \(empty header\)")


def test_a_tar_with_a_hole_is_refused(folder: Path) -> None:
    archive = make(folder / "a.tar", [("a", bytes(512)), ("b", b"1" * 512), ("c", b"1" * 512)])
    content = bytearray(archive.read_bytes())
    content[1024:1536] = bytes(512)  # the second header; tarfile treats it as the end
    archive.write_bytes(content)
    assert_refused(archive, "content after its end")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_damage_anywhere_is_refused_or_harmless(suffix: str, folder: Path) -> None:
    noise = random.Random(2)
    content = {f"folder/{n}.jpg": noise.randbytes(noise.randrange(2000)) for n in range(8)}
    whole = make(folder / f"a{suffix}", content.items()).read_bytes()
    archive = folder / "damaged"
    refused = 0  # with an error of one line
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[noise.randrange(len(damaged))] ^= 1 << noise.randrange(8)
        archive.write_bytes(damaged)
        try:
            extract(archive, folder / "out")
        except UserError as error:
            refused += "\n" not in str(error)
            assert set(os.listdir(folder)) == {f"a{suffix}", "damaged"}
        else:  # a name, a time or a padding may change; an image may not
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
    assert_refused(folder / "a", "contains no files; check that")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_bomb_is_refused(suffix: str, folder: Path) -> None:
    archive = make(folder / f"a{suffix}", [("zeros", bytes(50_000_000))])
    assert archive.stat().st_size < 100_000
    assert_refused(archive, "unpacks to more than .* GiB, the maximum", max_bytes=1_000_000)


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
    check = archive_safety.UnpackLimits.check

    def spy(self: archive_safety.UnpackLimits, size: int) -> None:
        nonlocal written
        check(self, size)
        written += size

    monkeypatch.setattr(archive_safety.UnpackLimits, "check", spy)
    assert_refused(archive, "the maximum", max_bytes=1000)
    assert written == 800
    extract(archive, folder / "out" / "exactly", max_bytes=1200)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_too_many_members_are_refused(suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_safety, "MAX_MEMBERS", 3)
    extract(make(folder / f"three{suffix}", [(f"{n}", b"1") for n in range(3)]), folder / "three")
    assert_refused(make(folder / f"a{suffix}", [(f"{n}", b"1") for n in range(4)]), "has more than 3 members")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_more_than_the_disk_has_free_is_refused(suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)._replace(free=2000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert_refused(make(folder / f"a{suffix}", CONTENT.items()), "that are free on the disk; free some space")


def test_a_zip_that_declares_too_large_a_size_is_refused_before_anything_is_written(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    archive = make(folder / "a.zip", [(f"{n}", bytes(400)) for n in range(3)])
    with pytest.raises(UserError, match="the maximum"):
        extract(archive, folder / "out", max_bytes=1000, progress=lambda *call: calls.append(call))
    assert not calls
