"""A domain of the user's in a list: a CSV file with a header, or a text file with a path and a class in each line."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.data.class_order import shortened
from okdbench.data.list_files import read_rows
from okdbench.data.list_rows import Row
from okdbench.data.own_domain import FolderDomain, OwnImage, Scan
from okdbench.data.own_file import composed

#: what .. is called in the names of images that are not below their list
ABOVE = "above"


class ListDomain(NamedTuple):
    """A domain in a list; it is read when it is made."""

    place: Path
    images: Sequence[OwnImage]
    ignored: Counter[str]
    #: what a user should know of the list, a line each
    notes: Sequence[str] = ()
    #: whether its labels were indices of the classes
    is_indexed: bool = False

    @property
    def labels(self) -> set[str]:
        """The labels of the list, which are names of classes or their indices."""
        return {image.label for image in self.images}

    @property
    def parts(self) -> set[str]:
        """The parts that the list names."""
        return {image.part for image in self.images}

    @property
    def has_groups(self) -> bool:
        """Whether a column gives groups."""
        return any(image.group for image in self.images)

    @property
    def has_indices(self) -> bool:
        """Whether all labels are numbers, which may be indices of classes."""
        return all(label.isdecimal() for label in self.labels)

    @property
    def negative(self) -> set[str]:
        """Numbers such as -1 beside indices, as of images without a class; -1 and 1 alone are two classes."""
        found = {label for label in self.labels if re.fullmatch(r"-\d+", label)}
        others = self.labels - found
        are_indices = others and others != {"1"} and all(label.isdecimal() for label in others)
        return found if are_indices else set()

    def named(self, classes: Sequence[str]) -> ListDomain:
        """The domain with names of classes as labels: an index becomes its name, unless all labels are names."""
        if self.labels <= set(classes) or not self.has_indices:
            return self
        if outside := [image for image in self.images if int(image.label) >= len(classes)]:
            label, last = outside[0].label, len(classes) - 1
            raise UserError(
                f"{self.place}: {outside[0].path} has class {label}; the indices are 0 to {last}; count from 0, or "
                "write names"
            )
        images = [image._replace(label=classes[int(image.label)]) for image in self.images]
        return self._replace(images=images, is_indexed=True)

    def without(self, labels: Collection[str]) -> ListDomain:
        """The domain without these classes, whose images are counted as ignored."""
        left_out = Counter(f"class {image.label}" for image in self.images if image.label in labels)
        images = [image for image in self.images if image.label not in labels]
        return self._replace(images=images, ignored=self.ignored + left_out)

    def scan(self) -> Scan:
        """The images of the list, and what is ignored."""
        return Scan(list(self.images), Counter(self.ignored))


OwnDomain = FolderDomain | ListDomain


def list_domain(file: Path, labelled: bool, group: str, listed: Collection[str]) -> ListDomain:
    """Read a list; paths are absolute or relative to its folder.

    Args:
        file: comma, semicolon, tab or | between the columns of a CSV file; white space before the class of a text line.
        labelled: whether each image has a class.
        group: name of the column with the group, or a pattern for the paths; by default the column ``group``, if any.
        listed: names of classes that the user lists.

    Raises:
        UserError: it cannot be read, lacks a column, names an image twice, or images are missing.
    """
    rows, ignored, notes = read_rows(file, labelled, group, listed)
    images, absent = _with_endings([_image(file.parent, row) for row in rows])
    refuse_twice(str(file), images)
    _refuse_unclear(file, len(images), absent)
    return ListDomain(file, images, ignored, [f"{file.name}: {note}" for note in notes])


def _with_endings(images: Sequence[OwnImage]) -> tuple[list[OwnImage], dict[Path, list[Path]]]:
    """The images, of which those that are named without the ending of their file get it; and what else is no file.

    The latter has the files that may be meant, several or none.
    """
    # Once for each image, because a list may name very many on a slow disk.
    meant: dict[Path, list[Path]] = {image.file: [] for image in images if not os.path.isfile(image.file)}
    for folder in {file.parent for file in meant}:
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (stem := file.with_suffix("")) != file and stem in meant:
                meant[stem].append(file)
    found = {stem: files[0] for stem, files in meant.items() if len(files) == 1}
    completed = [
        image._replace(path=image.path + found[image.file].suffix, file=found[image.file])
        if image.file in found
        else image
        for image in images
    ]
    return completed, {place: files for place, files in meant.items() if place not in found}


def _refuse_unclear(file: Path, number: int, unclear: Mapping[Path, Sequence[Path]]) -> None:
    """Refuse images, of so many in a list, that are not there, or for which there are several files."""
    absent = [place for place, files in unclear.items() if not files]
    several = [files for files in unclear.values() if files]
    fault, cure = "not there, relative to its folder", "correct the paths"
    if not absent and several:
        fault, cure = "there twice, and named without an ending", "write it"
    if places := absent or [each for files in several for each in files]:
        named = shortened([os.path.relpath(place, file.parent) for place in places])
        raise UserError(f"{file}: {len(absent or several)} of {number} images are {fault}: {named}; {cure}")


def _image(folder: Path, row: Row) -> OwnImage:
    return OwnImage(name_below(folder, row.place), row.place, composed(row.label), row.part, row.group)


def name_below(folder: Path, image: Path) -> str:
    """The path of an image from a folder; copies have this name below another one, which they must not leave."""
    steps = os.path.relpath(image, folder).split(os.sep)
    return "/".join(ABOVE if step == os.pardir else step for step in steps)


def refuse_twice(where: str, images: Sequence[OwnImage]) -> None:
    """Refuse an image that is named twice by the lists ``where``.

    Raises:
        UserError: there is one.
    """
    paths = Counter(image.path for image in images)
    if twice := [path for path, number in paths.items() if number > 1]:
        raise UserError(f"{where} names {len(twice)} images twice, such as {twice[0]}; name each once")


def refuse_shared(file: Path, domains: Mapping[str, Collection[Path]]) -> None:
    """Refuse an image that is in two domains of which one is a list.

    Raises:
        UserError: there is one; it would be trained on and tested on.
    """
    seen: dict[Path, str] = {}
    for name, images in domains.items():
        for image in images:
            if seen.setdefault(image, name) != name:
                raise UserError(f"{file}: {image} is in the domains {seen[image]!r} and {name!r}; keep it in one")
