"""Where the images of one of the user's domains are: class folders, perhaps below train/, val/ and test/."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.data.class_order import yaml_list
from okdbench.data.image_files import (
    class_folders,
    holds_images,
    images_directly_in,
    images_in,
    refuse_undecoded,
    to_convert,
)
from okdbench.data.own_file import composed

#: word in the name of a folder -> the part whose images are in it
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
         "test": "test", "testing": "test", "evaluation": "test"}  # fmt: skip
#: words that say nothing more, as in training_set and seg_train
_OTHER_WORDS = {"set", "data", "dataset", "image", "images", "img", "imgs", "seg", "split", "folder"}
UNLABELLED = "images without a class folder"


def part_of(name: str) -> str:
    """The part that a folder's name means: train, val or test; empty for none.

    >>> part_of("Training_Set"), part_of("seg_test"), part_of("valset"), part_of("test tube")
    ('train', 'test', 'val', '')
    """
    words = re.findall(r"[a-z]+?(?=set\b)|[a-z]+", name.lower().replace("_", " "))
    left = [word for word in words if word not in _OTHER_WORDS]
    return PARTS.get(left[0], "") if len(left) == 1 else ""


class OwnImage(NamedTuple):
    """An image of the user.

    Attributes:
        path: relative to its domain.
        file: where it is.
        label: its class as the folder or the list has it; empty if the domain is unlabelled.
        part: train, val or test where the user has divided the images; else empty.
        group: images of one group are in one split; empty for an image of its own.
    """

    path: str
    file: Path
    label: str
    part: str = ""
    group: str = ""


class Scan(NamedTuple):
    """The images of a domain, and how many things were ignored of which kind."""

    images: list[OwnImage]
    ignored: Counter[str]


class ClassFolder(NamedTuple):
    """A folder whose images are of one class, and in one part."""

    place: Path
    label: str
    part: str


class FolderDomain(NamedTuple):
    """A domain in folders; they are listed when it is made, and their images in every scan."""

    place: Path
    folders: Sequence[ClassFolder]
    ignored: Counter[str]

    @property
    def labels(self) -> set[str]:
        """Names of the class folders."""
        return {folder.label for folder in self.folders}

    @property
    def parts(self) -> set[str]:
        """The parts into which the user has divided the images; only the empty one where there are none."""
        return {folder.part for folder in self.folders}

    def without(self, labels: Collection[str]) -> FolderDomain:
        """The domain without these classes, whose images are counted as ignored."""
        ignored = Counter(self.ignored)
        for folder in self.folders:
            if folder.label in labels:
                ignored[f"class {folder.label}"] += sum(1 for _ in images_in(folder.place))
        return self._replace(folders=[each for each in self.folders if each.label not in labels], ignored=ignored)

    def scan(self) -> Scan:
        """List the images.

        Raises:
            UserError: a folder cannot be read.
        """
        ignored = Counter(self.ignored)
        images = [
            OwnImage(file.relative_to(self.place).as_posix(), file, folder.label, folder.part)
            for folder in self.folders
            for file in images_in(folder.place, ignored)
        ]
        refuse_undecoded(image.file for image in images)
        return Scan(images, ignored)


def folder_domain(folder: Path, listed: Collection[str], labelled: bool = True) -> FolderDomain:
    """The domain in ``folder``.

    Args:
        folder: with a folder for each class, or with train/, val/ and test/ above these.
        listed: names of classes that the user lists.
        labelled: whether it has classes.

    Raises:
        UserError: a folder cannot be read, or has parts beside classes.
    """
    if not labelled:
        return FolderDomain(folder, [ClassFolder(folder, "", "")], Counter())
    ignored: Counter[str] = Counter()
    folder = unwrapped(folder, listed)
    inner = class_folders(folder, listed, ignored)
    parts = _parts(folder, inner, listed)
    for at in inner if not parts else ():
        if len({part_of(each.name) for each in class_folders(at)} - {""}) > 1:
            raise UserError(f"{at} has parts inside of a class; put train/, val/ and test/ above the classes")
    if not parts:
        return FolderDomain(folder, [ClassFolder(at, composed(at.name), "") for at in inner], ignored)
    inner_of = {at: class_folders(_innermost(at, part, listed), listed) for at, part in parts.items()}
    known = {each.name for within in inner_of.values() if not _is_bare(within) for each in within} | {*listed}
    found = []
    for at, part in parts.items():
        classes, unlabelled = inner_of[at], [at]
        if known and _is_bare(classes) and classes[0].name not in known:
            classes, unlabelled = [], [at, *classes]
        found += [ClassFolder(each, composed(each.name), part) for each in classes]
        # As the test images of a challenge, which are published without labels, and those of Tiny ImageNet in images/.
        if number := sum(1 for each in unlabelled for _ in images_directly_in(each)):
            ignored[f"{UNLABELLED} in {at.name}"] += number
    return FolderDomain(folder, found, ignored)


def _cure_of_bare(parts: Mapping[Path, str]) -> str:
    """What to do about parts without class folders, by what else is in them."""
    them, have = ("it", "it has") if len(parts) == 1 else ("them", "they have")
    if described := [file for at in parts for file in sorted(at.glob("*.jsonl"))]:
        return f"{described[0].name} in {them} is not read: write metadata.csv, with the columns file_name and label"
    ignored = Counter[str]()
    if not any(file for at in parts for file in images_in(at, ignored)) and (others := to_convert(ignored)):
        return f"{have} {others}: save the images in these as PNG, in a folder for each class"
    lists = [f"{part}: {file}" for at, part in parts.items() for file in at.glob("*.csv")]
    cure = f", or write NAME: {{{', '.join(lists)}}} below domains:" if len(lists) == len(parts) else ""
    where, classes = ("in it", "it is a class") if len(parts) == 1 else ("in each of them", "they are classes")
    return f"make one for each class {where}{cure}; if {classes}, write classes: {yaml_list([at.name for at in parts])}"


def _is_bare(folders: Sequence[Path]) -> bool:
    """Whether these are no classes, but one folder whose name says only that images are in it."""
    return len(folders) == 1 and folders[0].name.lower() in _OTHER_WORDS


def unwrapped(folder: Path, listed: Collection[str] = ()) -> Path:
    """The innermost folder that has everything: archives have one on top, and the domains of Office-31 images/."""
    inner = _with_images(class_folders(folder, listed), listed)
    while len(inner) == 1 and inner[0].name not in listed and not _is_one_class(folder, inner[0]):
        folder, inner = inner[0], _with_images(class_folders(inner[0], listed), listed)
    return folder


def _with_images(folders: list[Path], listed: Collection[str]) -> list[Path]:
    """These folders, or ``images`` alone where no other has an image, as beside ``meta`` of Food-101."""
    bare = [at for at in folders if at.name.lower() in _OTHER_WORDS and at.name not in listed]
    others = [at for at in folders if at not in bare]
    return bare if len(bare) == 1 and not any(file for at in others for file in images_in(at)) else folders


def _is_one_class(folder: Path, inner: Path) -> bool:
    is_leaf = holds_images(folder) or holds_images(inner) or not class_folders(inner)
    return is_leaf or bool(part_of(inner.name))


def _innermost(folder: Path, part: str, listed: Collection[str]) -> Path:
    """The folder of a part, without one of the same part or of images around it: seg_train/seg_train, train/images."""
    inner = class_folders(folder, listed)
    if len(inner) != 1 or inner[0].name in listed or holds_images(inner[0]):
        return folder
    is_wrapper = part_of(inner[0].name) == part or (_is_bare(inner) and class_folders(inner[0]))
    return _innermost(inner[0], part, listed) if is_wrapper else folder


def _parts(folder: Path, inner: Sequence[Path], listed: Collection[str]) -> dict[Path, str]:
    """The folders train, val and test with the part that each is; empty where the folders are classes."""
    found = {at: part for at in inner if (part := part_of(at.name)) and at.name not in listed}
    # A class of vehicles may be called train: its images are in it, and not in folders of it.
    if not any(class_folders(at) and not holds_images(at) for at in found):
        if found and len(found) == len(inner):
            names, have = ", ".join(at.name for at in found), "has" if len(found) == 1 else "have"
            raise UserError(f"{folder}: {names} {have} no class folders; {_cure_of_bare(found)}")
        return {}
    if others := [at.name for at in inner if at not in found]:
        names = ", ".join(at.name for at in found)
        raise UserError(
            f"{folder} has {names} with class folders and {others[0]} beside them; move {others[0]} away, or list "
            "all under classes: if they are classes"
        )
    return found
