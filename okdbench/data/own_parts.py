"""A domain that is described by its parts: a folder or a list for each of train, val and test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.data.image_files import class_folders
from okdbench.data.own_domain import FolderDomain, part_of, unwrapped
from okdbench.data.own_lists import ListDomain, OwnDomain, name_below, refuse_twice

#: the list in the folder of each part: of an export of Roboflow, and of an image folder of Hugging Face
LISTS = ("_classes.csv", "metadata.csv")


def named_parts(where: str, paths: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """The part that each name means, with its place.

    Raises:
        UserError: a name, which ``where`` has, means none.
    """
    if unknown := [name for name in paths if not part_of(name)]:
        raise UserError(
            f"{where} has {unknown[0]!r}, which is none of its parts train, val and test; name these, or one folder "
            "with a folder for each class"
        )
    return [(part_of(name), path) for name, path in paths.items()]


def exported_lists(folder: Path) -> dict[str, Path]:
    """Folder of a part -> the list in it, whose images are beside or below it; empty where these are classes."""
    parts = [at for at in class_folders(unwrapped(folder)) if part_of(at.name)]
    found = {at.name: at / name for at in parts for name in LISTS if (at / name).is_file()}
    # Beside class folders a metadata.csv may say anything.
    return {} if any(len(class_folders(file.parent)) > 1 for file in found.values()) else found


def joined(parts: Sequence[tuple[str, OwnDomain]]) -> OwnDomain:
    """The domain that these parts are.

    Raises:
        UserError: some are folders and some lists, one has parts itself or no classes, or two name one image.
    """
    for part, at in parts:
        if others := at.parts - {"", part}:
            raise UserError(f"{at.place}, which is named as {part}, has {' and '.join(sorted(others))}; name its parts")
    folders = [(part, at) for part, at in parts if isinstance(at, FolderDomain)]
    lists = [(part, at) for part, at in parts if isinstance(at, ListDomain)]
    if folders and lists:
        raise UserError(f"{folders[0][1].place} is a folder and {lists[0][1].place} a list; name one kind in a domain")
    return _joined_folders(folders) if folders else _joined_lists(lists)


def _joined_folders(parts: Sequence[tuple[str, FolderDomain]]) -> FolderDomain:
    if bare := [str(at.place) for _, at in parts if not at.folders]:
        raise UserError(f"{bare[0]} has no class folders; make one for each class")
    folders = [folder._replace(part=part) for part, at in parts for folder in at.folders]
    return FolderDomain(_common(at.place for _, at in parts), folders, _sum(at.ignored for _, at in parts))


def _joined_lists(parts: Sequence[tuple[str, ListDomain]]) -> ListDomain:
    top = _common(at.place.parent for _, at in parts)
    images = [image._replace(path=name_below(top, image.file), part=part) for part, at in parts for image in at.images]
    files = [at.place for _, at in parts]
    _refuse_mixed([at for _, at in parts])
    refuse_twice(" and ".join(map(str, files)), images)
    return ListDomain(files[0], images, _sum(at.ignored for _, at in parts), [x for _, at in parts for x in at.notes])


def _refuse_mixed(lists: Sequence[ListDomain]) -> None:
    """Refuse indices of classes in one list and their names in another, which would be twice the classes."""
    for counted in (each for each in lists if each.has_indices):
        if named := [each for each in lists if not each.has_indices and each.labels.isdisjoint(counted.labels)]:
            raise UserError(
                f"{counted.place} has indices of classes, and {named[0].place} names such as "
                f"{min(named[0].labels)!r}; write names in both"
            )


def _sum(counts: Iterable[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())


def _common(folders: Iterable[Path]) -> Path:
    return Path(os.path.commonpath(list(folders)))
