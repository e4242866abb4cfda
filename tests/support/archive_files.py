"""Archives of every kind, honest or not, and the files on the disk after one was unpacked."""

from __future__ import annotations

import io
import random
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from okdbench.core.errors import UserError
from okdbench.data.archives import extract

CONTENT = {"art/clock/1.jpg": b"\xff\xd8" + random.Random(0).randbytes(3000), "art/clock/2.jpg": b"", "readme": b"hi"}
TARS = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]
ALL = [".zip", *TARS]


def make(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """An archive of the kind given by the suffix of ``path``; a name that ends in a slash is a folder."""
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
    """A tar archive of a file and a member of another ``kind``."""
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
    """Extraction fails with an error of one line and changes no file, neither here nor in the parent folder."""
    target = archive.parent / "out" / "images"
    target.parent.mkdir()
    before = everything(archive.parent.parent)
    with pytest.raises(UserError, match=match) as caught:
        extract(archive, target, **options)
    assert "\n" not in str(caught.value)
    assert str(archive) in str(caught.value)
    assert everything(archive.parent.parent) == before


def workplace(tmp_path: Path) -> Path:
    """A folder for the archive; its parent belongs to the test too, so that files outside of the folder are noticed."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
