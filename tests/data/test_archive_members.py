"""Members of an archive that are refused: outside of the target folder, not regular files, or two at one path."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.archive_files import assert_refused, make, tar_of, tree, workplace

from okdbench.data.archives import extract


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return workplace(tmp_path)


EVIL = ["../evil", "a/../../../evil", "a/..", "/ROOT/evil", "//ROOT/evil", "C:\\evil", "C:evil", "..\\evil"]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", EVIL)
def test_a_member_outside_of_the_folder_is_refused(name: str, suffix: str, folder: Path) -> None:
    name = name.replace("/ROOT", str(folder))  # a path where the file would be found, and is harmless
    archive = make(folder / f"a{suffix}", [("good", b"1"), (name, b"2"), ("good2", b"3")])
    assert_refused(archive, "is outside of the target folder")


@pytest.mark.parametrize("name", ["../evil/", "/ROOT/evil/", "__MACOSX/../../evil"])
def test_folders_and_junk_are_refused_outside_as_well(name: str, folder: Path) -> None:
    name = name.replace("/ROOT", str(folder))
    assert_refused(make(folder / "a.zip", [("good", b"1"), (name, b"")]), "is outside of the target folder")


def test_nul_in_a_name_is_refused(folder: Path) -> None:
    with tarfile.open(folder / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("good")
        info.pax_headers = {"path": "evil\0name"}
        tar.addfile(info)
    assert_refused(folder / "a.tar", r"'evil\\x00name'")


def test_folders_in_folders_without_end_are_refused(folder: Path) -> None:
    assert_refused(make(folder / "a.zip", [("a/" * 1500 + "x", b"")]), "is nested too deeply")


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
