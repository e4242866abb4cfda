"""Frames, slices and versions of one thing, by the names of files and folders, where ``groups:`` is not given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from okdbench.core.folds import FOLDS
from okdbench.data.class_order import shortened
from okdbench.data.image_versions import are_versions
from okdbench.data.own_domain import OwnImage, part_of
from okdbench.data.own_file import composed

#: so many words with a number, or folders, may be before what counts the images of one thing
_DEEPEST = 3
#: a day, whose photographs need not be of one thing
_DAY = re.compile(r"(?<!\d)(?:19|20)\d\d[-_. ]?[01]\d[-_. ]?[0-3]\d")


def group_in(pattern: re.Pattern[str], path: str) -> str:
    """What ``groups:`` says of an image with this path in its domain; empty where the pattern is not in it."""
    match = pattern.search(path)
    return (match[1] or "") if match else ""


def share_values(labels: Sequence[str], values: Sequence[str]) -> bool:
    """Whether images of a class share such values, and the value is not that of the class: patients, and not classes.

    >>> share_values("aaab", ["1", "1", "2", "3"]), share_values("aabb", "1122"), share_values("aab", "123")
    (True, False, False)
    """
    counts = Counter(pair for pair in zip(labels, values, strict=True) if pair[1])
    groups = Counter(label for label, _ in counts)
    return any(number > 1 and groups[label] > 1 for (label, _), number in counts.items())


def unsaid_groups(images: Sequence[OwnImage]) -> str:
    """The ``groups:`` that the names of images propose, with what it gives; empty where they say nothing."""
    if any(image.group for image in images) or are_versions([image.path for image in images]):
        return ""
    for text in (*_folders(images), *_words()):
        pattern = re.compile(text)
        groups = [group_in(pattern, image.path) for image in images]
        if _are_of_things(images, groups) and not _are_days(pattern, images):
            number = len({*groups} - {""})
            return (
                f"by their paths {number} groups of images may each be of one thing, such as "
                f"{_example(images, groups)}; if so, keep each in one split with groups: '{text}'"
            )
    return ""


def _folders(images: Sequence[OwnImage]) -> Iterator[str]:
    """What matches the folders at each depth below those of parts and classes; a list may have none of these."""
    steps = [image.path.split("/")[:-1] for image in images]
    above = {depth for each, image in zip(steps, images, strict=True) for depth in _known(each, image.label)}
    first = max(above, default=-1) + 1
    for depth in range(first, min(first + _DEEPEST, max(map(len, steps), default=0))):
        yield f"^{'[^/]+/' * depth}([^/]+)/"


def _known(folders: Sequence[str], label: str) -> Iterator[int]:
    """The depths of folders that are a part or the class."""
    for depth, name in enumerate(folders):
        if part_of(name) or composed(name) == label:
            yield depth


def _words() -> Iterator[str]:
    """What matches names up to their first, second and third number if more follows: vid003 of vid003_frame_0010."""
    word = r"[^/\d]*\d[^-_. /]*"
    for number in range(1, _DEEPEST + 1):
        yield rf"(?:^|/)({word if number == 1 else f'(?:{word}){{{number}}}'})[-_. ][^/]*$"


def _are_of_things(images: Sequence[OwnImage], groups: Sequence[str]) -> bool:
    """Whether a class has several groups, and most of its images are in one with others."""
    if len({*groups} - {""}) < FOLDS or not _are_learned_from_and_tested(images, groups):
        return False
    counts = Counter((image.label, group) for image, group in zip(images, groups, strict=True))
    of_class = Counter(image.label for image in images)
    shared, number = Counter[str](), Counter[str]()
    for (label, group), size in counts.items():
        number[label] += bool(group)
        shared[label] += size if group and size > 1 else 0
    return any(number[label] > 1 and 2 * shared[label] > size for label, size in of_class.items())


def _are_days(pattern: re.Pattern[str], images: Sequence[OwnImage]) -> bool:
    """Whether most groups have a day in them, or the beginning of one."""
    found = [(pattern.search(image.path), _DAY.search(image.path)) for image in images]
    return 2 * sum(day.start() < match.end(1) for match, day in found if match and day) > len(images)


def _are_learned_from_and_tested(images: Sequence[OwnImage], groups: Sequence[str]) -> bool:
    """Whether a group may be in two splits: where a user has divided the images, it has to be in two parts."""
    places = {(image.part or "train", group) for image, group in zip(images, groups, strict=True) if group}
    is_divided = len({image.part or "train" for image in images}) > 1
    return not is_divided or len(places) > len({group for _, group in places})


def _example(images: Sequence[OwnImage], groups: Sequence[str]) -> str:
    """The images of the largest group of a class, by the first of their paths."""
    counts = Counter((image.label, group) for image, group in zip(images, groups, strict=True) if group)
    most, _ = counts.most_common(1)[0]
    paths = [image.path for image, group in zip(images, groups, strict=True) if (image.label, group) == most]
    return f"{most[1]} with {shortened(paths[:2])}"
