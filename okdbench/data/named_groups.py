"""Frames, slices and versions of one thing, by the names of files and folders, where ``groups:`` is not given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence, Set

from okdbench.core.folds import FOLDS
from okdbench.data.class_order import shortened
from okdbench.data.group_patterns import are_of_many, patterns
from okdbench.data.image_versions import are_versions
from okdbench.data.own_domain import OwnImage

#: a class has at least so many persons, of whom there are on average at most so many images; kinds are fewer, with more
_PERSONS, _FEW = 8, 8
#: of a style or a kind there are images in more classes
_SHARED = 2


def group_in(pattern: re.Pattern[str], path: str) -> str:
    """What ``groups:`` says of an image with this path in its domain; empty where the pattern is not in it."""
    match = pattern.search(path)
    return (match[1] or "") if match else ""


def are_of_things(labels: Sequence[str], groups: Sequence[str], places: Sequence[str]) -> bool:
    """Whether a class has several groups, and most of its images are in one with others at the same place.

    >>> patients = ["1", "1", "2", "2", "3", "3", "4", "4", "5"]
    >>> are_of_things(["cup"] * 9, patients, patients), are_of_things(patients, patients, patients)
    (True, False)
    """
    if len({*groups} - {""}) < FOLDS:
        return False
    number = Counter(label for label, group in {*zip(labels, groups, strict=True)} if group)
    counts = Counter(each for each in zip(labels, groups, places, strict=True) if each[1])
    shared = Counter[str]()
    for (label, _, _), size in counts.items():
        shared[label] += size if size > 1 else 0
    return any(number[label] > 1 and 2 * shared[label] > size for label, size in Counter(labels).items())


def unsaid_groups(images: Sequence[OwnImage]) -> str:
    """What the names of images say about which belong together; empty where they say nothing."""
    if any(image.group for image in images) or are_versions([image.path for image in images]):
        return ""
    labels, coarse = [image.label for image in images], ""
    for text, is_numbered in patterns(images):
        found = [re.search(text, image.path) for image in images]
        groups = [match[1] if match else "" for match in found]
        # Each folder may count from 1.
        places = [f"{match.string[: match.start(1)].rpartition('/')[0]}/{match[1]}" if match else "" for match in found]
        if not are_of_things(labels, groups, places) or are_of_many(found):
            continue
        if not is_numbered and not _are_persons(labels, groups):
            continue
        most = _mostly(labels, groups)
        said = _said(images, groups, most, text, "thing" if is_numbered else "person")
        if said and not most:
            return said
        coarse = coarse or said
    return coarse


def _mostly(labels: Sequence[str], groups: Sequence[str]) -> set[str]:
    """Groups that have most images of a class, as NORMAL2 of NORMAL2-IM-0588-0001: longer names may divide them."""
    sizes, number = Counter(labels), Counter(zip(labels, groups, strict=True))
    return {group for (label, group), count in number.items() if group and 2 * count > sizes[label]}


def _said(images: Sequence[OwnImage], groups: Sequence[str], most: Set[str], text: str, what: str) -> str:
    """The groups with what to do; of images that the user has divided, only those in several parts are named.

    Those in ``most`` have most images of a class, so that each part has some.
    """
    if len({image.part or "train" for image in images}) == 1:
        return (
            f"by their paths {len({*groups} - {''})} groups of images may each be of one {what}, such as "
            f"{_example(images, groups)}; if so, keep each in one split with groups: '{text}'"
        )
    several = [each for each in in_several(groups, [image.part for image in images]) if each not in most]
    if not several:
        return ""
    paths: dict[str, str] = {}
    for image, group in zip(images, groups, strict=True):
        if group == several[0]:
            paths.setdefault(image.part or "train", image.path)
    return (
        f"by their paths groups of images that may each be of one {what} are in several parts ({len(several)}), such "
        f"as {several[0]} in {' and '.join(paths)} with {shortened([*paths.values()])}; if so, move each into one part"
    )


def in_several(groups: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The groups that are in several parts of the user's; what has no part is trained on."""
    first: dict[str, str] = {}
    pairs = [(group, part or "train") for group, part in zip(groups, parts, strict=True) if group]
    return [*dict.fromkeys(group for group, part in pairs if first.setdefault(group, part) != part)]


def _are_persons(labels: Sequence[str], groups: Sequence[str]) -> bool:
    """Whether most classes have more groups of their own, and fewer images in each, than they would have kinds."""
    pairs = {(label, group) for label, group in zip(labels, groups, strict=True) if group}
    number, sizes = Counter(label for label, _ in pairs), Counter(labels)
    of_persons = sum(count >= _PERSONS and sizes[label] <= _FEW * count for label, count in number.items())
    return 2 * of_persons > len(sizes) and len(pairs) < _SHARED * len({group for _, group in pairs})


def _example(images: Sequence[OwnImage], groups: Sequence[str]) -> str:
    """The images of the largest group of a class, by the first of their paths."""
    counts = Counter((image.label, group) for image, group in zip(images, groups, strict=True) if group)
    most, _ = counts.most_common(1)[0]
    paths = [image.path for image, group in zip(images, groups, strict=True) if (image.label, group) == most]
    size = sum(image.label == most[0] for image in images)
    share = f"{len(paths)} of {size} images of {most[0]}, " if 2 * len(paths) > size else ""
    return f"{most[1]} with {share}{shortened(paths[:2])}"
