"""What in the names of files and folders may tell which images are of one thing, and what in them does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from okdbench.data.own_domain import OwnImage, part_of
from okdbench.data.own_file import composed

#: so many words with a number, or folders, may be before what counts the images of one thing
_DEEPEST = 3
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


def patterns(images: Sequence[OwnImage]) -> Iterator[tuple[str, bool]]:
    """What may match the names of things, and whether it is a number of a thing or the name of a person."""
    first = _first(images)
    yield from _folders(images, first)
    if not _are_attributes(images):
        yield from _words(images)
    yield from _names(first)


def are_of_many(found: Sequence[re.Match[str] | None]) -> bool:
    """Whether what was found are days, synsets, shards, sizes or years, each of which may be of many things."""
    return _are_days(found) or _are_no_things([match[1] for match in found if match])


def _first(images: Sequence[OwnImage]) -> int:
    """The depth of the first folder below those of parts and classes."""
    return max((depth for each in images for depth in _known(each.path.split("/")[:-1], each.label)), default=-1) + 1


def _known(folders: Sequence[str], label: str) -> Iterator[int]:
    """The depths of folders that are a part or the class."""
    for depth, name in enumerate(folders):
        if part_of(name) or composed(name) == label:
            yield depth


def _folders(images: Sequence[OwnImage], first: int) -> Iterator[tuple[str, bool]]:
    """What matches the folders at each depth below those of parts and classes; a list may have none of these."""
    deepest = max((image.path.count("/") for image in images), default=0)
    for depth in range(first, min(first + _DEEPEST, deepest)):
        if 2 * sum(_is_of_several(image, depth) for image in images) <= len(images):
            yield _folder(depth), True


def _folder(depth: int) -> str:
    return f"^{'[^/]+/' * depth}([^/]+)/"


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


def _are_no_things(groups: Sequence[str]) -> bool:
    """Whether most groups are synsets, shards, sizes or years."""
    named = Counter(group for group in groups if group)
    return 2 * sum(number for group, number in named.items() if _NO_THING.fullmatch(group)) > named.total()
