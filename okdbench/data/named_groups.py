"""Frames, slices and versions of one thing, by the names of files and folders, where ``groups:`` is not given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set

from okdbench.core.folds import FOLDS
from okdbench.data.class_order import shortened
from okdbench.data.image_versions import are_versions
from okdbench.data.own_domain import OwnImage, part_of
from okdbench.data.own_file import composed

#: so many words with a number, or folders, may be before what counts the images of one thing
_DEEPEST = 3
#: a class has at least so many persons, of whom there are on average at most so many images; kinds are fewer, with more
_PERSONS, _FEW = 8, 8
#: of a style or a kind there are images in more classes
_SHARED = 2
#: what Label Studio writes before the name of an upload, so that each has its own
_UPLOAD = r"(?:^|/)(?=[\da-f]*[a-f])(?=[\da-f]*\d)[\da-f]{8}-"
_YEAR = r"(?:19|20)\d\d"
_MONTH_AND_DAY = r"(?:0[1-9]|1[0-2])[-_. ]?(?:0[1-9]|[12]\d|3[01])"
_TIME = r"[-_. T]?[0-2]\d[-_.:]?[0-5]\d[-_.:]?[0-5]\d"
#: a day, or a folder of a year, whose photographs need not be of one thing
_DAY = re.compile(
    rf"(?<!\d){_YEAR}[-_. ]?{_MONTH_AND_DAY}(?=\D|$|{_TIME})|(?<![^\W_])[0-3]?\d[-_. ][0-3]?\d[-_. ]{_YEAR}(?!\d)"
    rf"|(?:^|(?<=/)){_YEAR}(?:/[0-3]\d)*(?=/)"
)
#: a second: what a burst of photographs shows is one thing
_MOMENT = re.compile(rf"(?<!\d){_YEAR}[-_. ]?{_MONTH_AND_DAY}{_TIME}(?!\d)")
#: a synset of WordNet, a shard, a size, a year or a month, all of which are of many things
_NO_THING = re.compile(
    r"(?:.*[_/])?n\d{8}|(?:images?|imgs?|part|shard|chunk|(?:data_)?batch|set|archive|fold|split)s?[-_ ]*\d+"
    r"|\d+(?:px|x|deg|x\d+).*|(?:19|20)\d\d(?:[-_]\d\d)?",
    re.IGNORECASE,
)
#: a number without zeros before it at the beginning of a name, and the rest of the name
_NUMBER_FIRST = re.compile(r"(?:^|/)(0|[1-9]\d{0,2})_([^/]+)$")
#: share of images that have another rest than all others
_DISTINCT = 0.95
#: words for what images are of, perhaps with an id or a number behind them
THINGS = (
    "(?:patient|subject|participant|person|individual|animal|plant|specimen|object|obj|item|instance|video|clip|"
    "sequence|scene|session|case|study|series|exam|lesion|slide|track|identity)(?:ids?|no|nr|num|number|name|key|index)?"
)
#: the name of a folder without a number that is of one thing
_THING = re.compile(f"{THINGS}(?![a-z])", re.IGNORECASE)


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
    first = _first(images)
    words = [] if _are_attributes(images) else _words(images)
    for text, is_numbered in (*_folders(images, first), *words, *_names(first)):
        found = [re.search(text, image.path) for image in images]
        groups = [match[1] if match else "" for match in found]
        # Each folder may count from 1.
        places = [f"{match.string[: match.start(1)].rpartition('/')[0]}/{match[1]}" if match else "" for match in found]
        if not are_of_things(labels, groups, places) or _are_days(found) or _are_no_things(groups):
            continue
        if not is_numbered and not _are_persons(labels, groups):
            continue
        most = _mostly(labels, groups)
        said = _said(images, groups, most, text, "thing" if is_numbered else "person")
        if said and not most:
            return said
        coarse = coarse or said
    return coarse


def _are_no_things(groups: Sequence[str]) -> bool:
    """Whether most groups are synsets, shards, sizes or years."""
    named = Counter(group for group in groups if group)
    return 2 * sum(number for group, number in named.items() if _NO_THING.fullmatch(group)) > named.total()


def _are_attributes(images: Sequence[OwnImage]) -> bool:
    """Whether names begin with what is said of an image, as 29_1_0_20170116174525125.jpg with an age."""
    found = [match for image in images if (match := _NUMBER_FIRST.search(image.path))]
    if len(found) < len(images) or not found:
        return False
    classes: dict[str, set[str]] = {}
    for match, image in zip(found, images, strict=True):
        classes.setdefault(match[1], set()).add(image.label)
    in_several = sum(len(labels) > 1 for labels in classes.values())
    # frames and slices count from the same number in each thing
    return 2 * in_several > len(classes) and len({match[2] for match in found}) > _DISTINCT * len(found)


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


def _folders(images: Sequence[OwnImage], first: int) -> Iterator[tuple[str, bool]]:
    """What matches the folders at each depth below those of parts and classes; a list may have none of these."""
    deepest = max((image.path.count("/") for image in images), default=0)
    for depth in range(first, min(first + _DEEPEST, deepest)):
        if 2 * sum(_is_of_several(image, depth) for image in images) <= len(images):
            yield _folder(depth), True


def _folder(depth: int) -> str:
    return f"^{'[^/]+/' * depth}([^/]+)/"


def _first(images: Sequence[OwnImage]) -> int:
    """The depth of the first folder below those of parts and classes."""
    return max((depth for each in images for depth in _known(each.path.split("/")[:-1], each.label)), default=-1) + 1


def _is_of_several(image: OwnImage, depth: int) -> bool:
    """Whether the folder at this depth is a kind in a class, as dog/beagle, or one of many files, as ab/ab27f0.jpg."""
    *folders, name = image.path.split("/")
    if depth >= len(folders):
        return False
    folder = folders[depth]
    begins = ["".join(folders[first : depth + 1]) for first in range(depth + 1)]
    if any(name.startswith(each) and name[len(each) :][:1].isalnum() for each in begins):
        return bool(re.fullmatch(r"[\da-f]+|\w{1,3}", folder, re.IGNORECASE))
    if any(composed(each) == image.label for each in folders):
        return not re.search(r"\d", folder) and not _THING.match(folder)
    return bool(re.fullmatch(r"[\da-f]{1,3}", folder, re.IGNORECASE))


def _known(folders: Sequence[str], label: str) -> Iterator[int]:
    """The depths of folders that are a part or the class."""
    for depth, name in enumerate(folders):
        if part_of(name) or composed(name) == label:
            yield depth


def _words(images: Sequence[OwnImage]) -> Iterator[tuple[str, bool]]:
    """What matches names up to their first, second and third number if more follows: vid003 of vid003_frame_0010."""
    word = r"[^/\d]*\d[^-_. /]*"
    for before in ("(?:^|/)", *([_UPLOAD] if _are_uploads(images) else ())):
        for number in range(1, _DEEPEST + 1):
            yield f"{before}({word if number == 1 else f'(?:{word}){{{number}}}'})[-_. ][^/]*$", True


def _are_uploads(images: Sequence[OwnImage]) -> bool:
    """Whether each of most images has what tells it apart from all others before its name."""
    found = [match[0] for image in images if (match := re.search(_UPLOAD, image.path))]
    return 2 * len(found) > len(images) and len({*found}) == len(found)


def _names(first: int) -> Iterator[tuple[str, bool]]:
    """What matches names that may have no number, as of persons: of the first folder, and before the counter."""
    yield _folder(first), False
    yield r"(?:^|/)([^/\d]+?)[-_. (]*\d+[^/\d]*$", False


def _are_days(found: Sequence[re.Match[str] | None]) -> bool:
    """Whether most groups have a day in them, or the beginning of one, and none is of one second."""
    days = (match and any(_overlap(match, day) for day in _DAY.finditer(match.string)) for match in found)
    return 2 * sum(map(bool, days)) > len(found) and not any(match and _MOMENT.search(match[1]) for match in found)


def _overlap(group: re.Match[str], day: re.Match[str]) -> bool:
    return day.start() < group.end(1) and group.start(1) < day.end()


def _example(images: Sequence[OwnImage], groups: Sequence[str]) -> str:
    """The images of the largest group of a class, by the first of their paths."""
    counts = Counter((image.label, group) for image, group in zip(images, groups, strict=True) if group)
    most, _ = counts.most_common(1)[0]
    paths = [image.path for image, group in zip(images, groups, strict=True) if (image.label, group) == most]
    size = sum(image.label == most[0] for image in images)
    share = f"{len(paths)} of {size} images of {most[0]}, " if 2 * len(paths) > size else ""
    return f"{most[1]} with {share}{shortened(paths[:2])}"
