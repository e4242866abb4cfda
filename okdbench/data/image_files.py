"""Which files are images, which folders are classes, what is ignored, and when two names are the same.

Every walk through folders of images is here, so that all of them leave out the same.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

from okdbench.core.errors import UserError, os_reason

#: what cameras, archives, disks and viewers leave behind; hidden folders are ignored as well
IGNORED_FOLDERS = {
    "__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler", "system volume information",
    "lost+found", "__pycache__", "thumb", "thumbs", "_thumbs", "thumbnail", "thumbnails",
}  # fmt: skip
#: words for what is drawn of an image, or measured with it, in the names of files and folders
MASKS = "masks?|seg|segmentations?|gt|labels?|annotations?|depth|heatmaps?"
_IMAGES = {"image", "images", "img", "imgs"}
#: formats of Pillow that are no raster images: documents, videos, and files that it only identifies
_OTHER_FORMATS = {"EPS", "PDF", "MPEG", "FLI", "BUFR", "GRIB", "HDF5", "WMF", "IPTC"}
#: photographs of iPhones, which Pillow reads with pillow-heif
_HEIC = {".heic", ".heif", ".hif"}
_HEIC_BRANDS = {b"heic", b"heix", b"heif", b"mif1", b"hevc"}
#: raw files of cameras, which begin as a TIFF
_RAW = {
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".rw2", ".srw",
}  # fmt: skip
#: endings whose content is not looked at: copies begin as what they are of
_NEVER = {*_RAW, ".bak", ".crdownload", ".old", ".orig", ".part", ".tmp"}
#: endings of files that have images and are to be converted: those of cameras and scanners, arrays, and tables
_NO_RASTERS = {
    *_RAW, ".dcm", ".dicom", ".h5", ".hdf5", ".mat", ".nii", ".npy", ".npz", ".pt", ".parquet", ".arrow", ".tfrecord",
}  # fmt: skip
#: what images in no class folder are counted as
OUTSIDE = "images beside the class folders"
LOOPS = "links to a folder above"
_MAGIC = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|BM....\0\0\0\0|\0\0\0\x0cjP  ", re.DOTALL
)


def images_in(folder: Path, ignored: Counter[str] | None = None) -> Iterator[Path]:
    """All image files below ``folder`` in sorted order, none if it does not exist; links to folders are followed.

    Args:
        folder: where to look.
        ignored: counts what is left out, by kind.

    Raises:
        UserError: a folder cannot be read.
    """
    if folder.is_dir():
        yield from sorted(_walk(folder, Counter() if ignored is None else ignored, ()))


def class_folders(folder: Path, listed: Collection[str] = (), ignored: Counter[str] | None = None) -> list[Path]:
    """The folders directly in ``folder`` in sorted order.

    Args:
        folder: where to look.
        listed: names of folders that are used although their name is one of those that are ignored.
        ignored: counts what is left out, by kind.

    Raises:
        UserError: the folder cannot be read.
    """
    found = []
    counts: Counter[str] = Counter() if ignored is None else ignored
    for entry in _entries(folder):
        if not entry.is_dir():
            if ignored is not None:  # otherwise their content need not be looked at
                counts[_not_an_image(Path(entry.path)) or OUTSIDE] += 1
        elif _leads_above(entry, os.path.realpath(folder)):
            counts[LOOPS] += 1
        elif entry.name in listed or not (_is_ignored(entry.name, counts) or _is_output(entry, counts)):
            found.append(Path(entry.path))
    refuse_undecoded(found)
    return sorted(found)


def refuse_undecoded(paths: Iterable[Path]) -> None:
    """Refuse names that are not in UTF-8, such as those of an archive that was made on another system.

    Raises:
        UserError: there is one.
    """
    for path in paths:
        if any("\udc80" <= letter <= "\udcff" for letter in str(path)):
            name = os.fsencode(path).decode("utf-8", "backslashreplace")
            raise UserError(f"{name}: the name is not in UTF-8; rename it, or unpack the archive with its encoding")


def holds_images(folder: Path) -> bool:
    """Whether an image is directly in ``folder``.

    Raises:
        UserError: the folder cannot be read.
    """
    return any(True for _ in images_directly_in(folder))


def images_directly_in(folder: Path) -> Iterator[Path]:
    """The images that are in ``folder`` and in no folder inside it, in no order.

    Raises:
        UserError: the folder cannot be read.
    """
    paths = (Path(entry.path) for entry in _entries(folder) if not entry.is_dir())
    return (path for path in paths if not _not_an_image(path))


def is_of_one_class(folder: Path) -> bool:
    """Whether the folders in it say only that images are in one, and perhaps their masks in others.

    Raises:
        UserError: a folder cannot be read.
    """
    inner = class_folders(folder)
    images = [each for each in inner if each.name.lower() in _IMAGES]
    return any(map(holds_images, images)) and all(each in images or _are_masks(each.name) for each in inner)


def canonical(name: str) -> str:
    """The name without case, spaces, punctuation and leading number: ``Real World`` equals ``003.real_world``."""
    return re.sub(r"[\W_]", "", re.sub(r"^\d+\.", "", name)).lower()


def is_heic(content: bytes) -> bool:
    """Whether a file that begins with these bytes is an HEIC image."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS


def described(ignored: Counter[str]) -> str:
    """What was ignored, in a few words: ``.txt (2), __MACOSX (1), hidden files (3)``; empty for nothing."""
    return ", ".join(f"{kind} ({number})" for kind, number in sorted(ignored.items()))


def to_convert(ignored: Counter[str]) -> str:
    """Which of the ignored files have images that are no files of their own, in a few words; empty for none."""
    return described(Counter({kind: number for kind, number in ignored.items() if kind in _NO_RASTERS}))


def _walk(folder: Path, ignored: Counter[str], above: tuple[str, ...]) -> Iterator[Path]:
    place = os.path.realpath(folder)
    if place in above:  # by a detour of links
        return
    entries = _entries(folder)
    has_images = any(entry.name.lower() in _IMAGES and entry.is_dir() for entry in entries)
    for entry in entries:
        path = Path(entry.path)
        if _leads_above(entry, place):
            ignored[LOOPS] += 1
        elif entry.is_dir() and has_images and _are_masks(entry.name):
            ignored[f"{entry.name} beside images"] += 1
        elif entry.is_dir():
            if not _is_ignored(entry.name, ignored):
                yield from _walk(path, ignored, (*above, place))
        elif kind := _not_an_image(path):
            ignored[kind] += 1
        else:
            yield path


def _are_masks(folder: str) -> bool:
    return bool(re.fullmatch(MASKS, folder, re.IGNORECASE))


def _leads_above(entry: os.DirEntry[str], place: str) -> bool:
    """Whether an entry of the folder ``place`` is a link to it, or to a folder that it is in."""
    return entry.is_symlink() and f"{place}/".startswith(f"{os.path.realpath(entry.path)}/")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"cannot read {folder}: {os_reason(error)}; fix that, or name another folder") from error


def _is_ignored(name: str, ignored: Counter[str]) -> bool:
    if name.startswith(".") or name.lower() in IGNORED_FOLDERS:
        ignored[name] += 1
        return True
    return False


def _is_output(entry: os.DirEntry[str], ignored: Counter[str]) -> bool:
    """Whether it is a folder of runs that okdbench left beside the images."""
    if entry.name != "runs" or not any(re.fullmatch("[0-9a-f]{16}", inner.name) for inner in os.scandir(entry.path)):
        return False
    ignored["runs of okdbench"] += 1
    return True


def _not_an_image(path: Path) -> str:
    """Why a file is ignored; empty for an image."""
    ending = path.suffix.lower()
    # macOS leaves a ._name.jpg, which is not an image, beside each file on foreign disks.
    if path.name.startswith("."):
        return "hidden files"
    if not path.is_file():
        return "broken links"
    if ending in _endings() or (ending not in _NEVER and not path.name.endswith("~") and _is_image(path)):
        return ""
    return ending or "files without an ending"


@cache
def _endings() -> frozenset[str]:
    """The endings of all raster images that Pillow reads."""
    from PIL import Image  # here, so that a list of data sets stays light

    known = Image.registered_extensions().items()
    return frozenset(_HEIC.union(end for end, form in known if form in Image.OPEN and form not in _OTHER_FORMATS))


def _is_image(path: Path) -> bool:
    """Whether the first bytes are those of a common format."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return bool(_MAGIC.match(start)) or is_heic(start) or (start[4:12] == b"ftypavif" and ".avif" in _endings())
