"""The domains of a user's own images: found, checked against each other, and their classes put in order."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.file_names import refuse_archive
from okdbench.data.class_order import are_indices, natural_order, shortened
from okdbench.data.named_groups import group_in
from okdbench.data.own_domain import FolderDomain, Scan, folder_domain
from okdbench.data.own_file import OwnDatasetFile, composed, ignored_classes, listed_classes, written_classes
from okdbench.data.own_lists import ListDomain, OwnDomain, list_domain, refuse_shared
from okdbench.data.own_parts import exported_lists, joined, named_parts


def find_places(file: Path, content: OwnDatasetFile, paths: Mapping[str, Mapping[str, Path]]) -> dict[str, OwnDomain]:
    """Domain -> where its images are.

    Args:
        file: named in error messages.
        content: of the file.
        paths: domain -> name of a part -> a folder or a list file; the name is empty where it is the whole domain.

    Raises:
        UserError: there is nothing, a domain is inside of another one, or it is divided without a train part.
    """
    if unknown_names := sorted(set(content.unlabelled) - set(paths)):
        raise UserError(f"{file}: unlabelled names {unknown_names[0]!r}, which is none of the domains")
    each = {f"{name}.{part}" if part else name: at for name, parts in paths.items() for part, at in parts.items()}
    _check_paths(file, each)
    places = dict[str, OwnDomain]()
    for name, parts in paths.items():
        made = _found(f"{file}: domain {name!r}", content, parts, labelled=name not in content.unlabelled)
        if made.parts and made.parts <= {"val", "test"}:
            raise UserError(f"{made.place} has {' and '.join(sorted(made.parts))} and no train; add it")
        if taken := [f"{name}.{part}" for part in made.parts if f"{name}.{part}" in paths]:
            raise UserError(f"{file}: {taken[0]!r} is a part of {name!r}, and another domain; rename that")
        places[name] = made
    return places


def _found(where: str, content: OwnDatasetFile, paths: Mapping[str, Path], labelled: bool) -> OwnDomain:
    """The domain in a folder or list, or in one for each part; ``where`` begins an error message."""
    if whole := paths.get(""):
        if not whole.is_dir():
            listed = written_classes(content).union(map(composed, content.ignore))
            return list_domain(whole, labelled, content.groups, listed)
        paths = exported_lists(whole) if labelled else {}
        if not paths:
            return folder_domain(whole, written_classes(content), labelled)
    parts = named_parts(where, paths)
    return joined([(part, _found(where, content, {"": path}, labelled)) for part, path in parts])


def name_classes(
    file: Path, content: OwnDatasetFile, places: Mapping[str, OwnDomain]
) -> tuple[list[str], dict[str, OwnDomain]]:
    """The classes in order, as the folders are called, and the domains with these as labels, without ignored ones.

    Raises:
        UserError: a domain has no classes, one that is not listed, or lacks one without a list.
    """
    negative = set[str]().union(*(at.negative for at in places.values() if isinstance(at, ListDomain)))
    places = {name: _without_negative(content, at) if isinstance(at, ListDomain) else at for name, at in places.items()}
    labelled = {name: place for name, place in places.items() if name not in content.unlabelled}
    _check_labelled(file, labelled)
    names, counted = _found_classes(labelled.values())
    listed = listed_classes(file, content, names)
    classes = listed or names
    made = {name: at.named(classes) if isinstance(at, ListDomain) else at for name, at in places.items()}
    # Indices count the ignored classes as well, so these have their names until now.
    found = set(classes).union(*(made[name].labels for name in labelled), negative)
    left_out = ignored_classes(file, content, found)
    made = {name: at.without(left_out) if name in labelled else at for name, at in made.items()}
    classes = [name for name in classes if name not in left_out]
    may_lack = bool(listed) or counted
    _check_classes(file, classes, {name: made[name].labels for name in labelled}, may_lack)
    if any(isinstance(place, ListDomain) for place in made.values()):
        refuse_shared(file, {name: [image.file for image in place.scan().images] for name, place in made.items()})
    return classes, made


def _found_classes(domains: Collection[OwnDomain]) -> tuple[list[str], bool]:
    """The classes by their labels, and whether these are indices, so that some may have no image."""
    # Numbers in lists are indices, unless classes are called so.
    named = [at for at in domains if isinstance(at, FolderDomain) or not at.has_indices]
    labels = set[str]().union(*(at.labels for at in named or domains))
    if named:
        return sorted(labels), False
    if not are_indices(labels):
        return natural_order(sorted(labels)), False
    return [str(index) for index in range(max(map(int, labels)) + 1)], True


def _without_negative(content: OwnDatasetFile, at: ListDomain) -> ListDomain:
    """The list without numbers such as -1 beside indices that ``ignore:`` has; others would be classes of their own."""
    kept = at.negative & written_classes(content)
    ignored = at.negative & set(map(composed, content.ignore)) - kept
    if left := sorted(at.negative - kept - ignored):
        number = sum(image.label == left[0] for image in at.images)
        raise UserError(
            f"{at.place}: {number} images have the class {left[0]} beside indices of classes, as if they had none; "
            f"remove their lines, write ignore: [{', '.join(left)}], or list all under classes: if it is a class"
        )
    return at.without(ignored)


def group_pattern(file: Path, content: OwnDatasetFile, places: Mapping[str, OwnDomain]) -> re.Pattern[str] | None:
    """The regular expression of ``groups:``; None where it is a column of all lists, or not given.

    Raises:
        UserError: it is not one, or has no group.
    """
    if not content.groups or all(isinstance(at, ListDomain) and at.has_groups for at in places.values()):
        return None
    try:
        pattern = re.compile(content.groups)
    except re.error as error:
        raise UserError(f"{file}: groups is no regular expression: {error}") from error
    if not pattern.groups:
        raise UserError(
            f"{file}: groups is neither a column of every list nor a regular expression with its name in parentheses, "
            r"such as (obj\d+)_"
        )
    return pattern


def with_groups(pattern: re.Pattern[str], scan: Scan, place: Path) -> Scan:
    """The images with the groups that are in their paths.

    Raises:
        UserError: there is none in any path.
    """
    images = [image if image.group else image._replace(group=group_in(pattern, image.path)) for image in scan.images]
    if images and not any(image.group for image in images):
        raise UserError(
            f"{place}: groups {pattern.pattern!r} is in none of {len(images)} paths, such as {images[0].path}"
        )
    return scan._replace(images=images)


def _check_paths(file: Path, paths: Mapping[str, Path]) -> None:
    """Refuse domains that are not there, and in each other."""
    for name, path in paths.items():
        if not path.exists():
            raise UserError(f"{file}: domain {name!r}: there is no folder {path}; correct its path")
        if not path.is_dir():
            refuse_archive(str(path))
        for other, parent in paths.items():
            # One image in two domains would be in the training set of the teacher and in the test set of the student.
            if other != name and path.is_dir() and path.is_relative_to(parent):
                raise UserError(f"{file}: domain {name!r} is inside the folder of {other!r}; use separate folders")


def _check_labelled(file: Path, labelled: Mapping[str, OwnDomain]) -> None:
    cure = "add a domain with a folder per class, on which the student is tested: --setting LABELLED@UNLABELLED"
    if not labelled:
        raise UserError(f"{file}: every domain is unlabelled; {cure}")
    if bare := [name for name, place in labelled.items() if not place.labels]:
        more = f" and {cure}" if len(bare) == len(labelled) else ""
        raise UserError(
            f"{file}: domain {bare[0]!r}: {labelled[bare[0]].place} has no class folders; make one per class, or write "
            f"unlabelled: [{', '.join(bare)}]{more}"
        )


def _check_classes(file: Path, classes: Sequence[str], found: Mapping[str, Collection[str]], may_lack: bool) -> None:
    """Each folder is a class, and each domain has all classes, unless ``may_lack``."""
    for domain, names in found.items():
        extra, absent = sorted(set(names) - set(classes)), [name for name in classes if name not in names]
        if extra:
            raise UserError(
                f"{file}: {domain}/{extra[0]} is not one of the classes; add it to them, leave it out with "
                f"ignore: [{shortened(extra)}], or write unlabelled: [{domain}] if the domain has classes of its own"
            )
        # A listed class may have no images, but of folders alone one may be misspelled.
        if absent and not may_lack:
            having = next(other for other, classes_there in found.items() if absent[0] in classes_there)
            raise UserError(
                f"{file}: domain {domain!r} has no folder for class {absent[0]!r}; add it, empty if it has no images, "
                f"list all under classes:, leave it out with ignore: [{absent[0]}], or write unlabelled: [{having}] if "
                "that domain has classes of its own"
            )
