"""Versions of one image, such as flipped, turned and darker ones, by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from okdbench.data.own_domain import part_of

#: what tools write after the name of the image that a version is of: Roboflow, and Augmentor
_TOOLS = (r"\.rf\.\w+", r"_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = r"[-_]?\d[\d.]*"
#: the name of an image, and what follows it in that of a version: img7_flip, img7_rot90; a number alone is no version
_VERSION = re.compile(rf"(?P<image>.+?)(?P<word>[-_. ]+[A-Za-z]+)(?P<number>{_NUMBER})?")
#: what stands before the name of the image: aug_0_img7, flipped_img7; any other word may be a source of images
_BEFORE = re.compile(
    r"(?P<word>[hv]?(?:aug|flip|rot|mirror|crop|blur|nois|bright|dark|shift|zoom|shear|contrast|jitter)[a-z]*)"
    rf"(?P<number>{_NUMBER})?[-_ ]+(?=.)",
    re.IGNORECASE,
)
#: so many images have a version of one kind, or it is none: sea_lion.png may be beside sea.png
_LEAST = 2
_ENDING = r"(?:\.[^./]+)?$"


def versions(tested: Sequence[str], learned: Collection[str]) -> tuple[int, str]:
    """How many tested images are versions of learned ones, by their paths, and a regular expression.

    The first group of the expression is the same for all versions of an image; it is empty without any.
    """
    known = {_undivided(path) for path in learned}
    paths = [_undivided(path) for path in tested]
    # Where each part counts from 1, one name is of several images.
    text = _expression(known.union(paths)) if known.isdisjoint(paths) else ""
    if not text:
        return 0, ""
    find = re.compile(text)
    names = {find.sub(r"\1", path) for path in known}
    number = sum(find.sub(r"\1", path) in names for path in paths)
    return number, text if number else ""


def are_versions(paths: Collection[str]) -> bool:
    """Whether the names of some images say that they are versions of others."""
    return bool(_expression({_undivided(path) for path in paths}))


def _expression(paths: Collection[str]) -> str:
    """What matches the paths with the image's name as first group; empty if no name is of a version."""
    stems = {re.sub(_ENDING, "", path, count=1) for path in paths}
    tools = [tool for tool in _TOOLS if any(re.search(f"{tool}$", stem) for stem in stems)]
    if tools:
        stems = {re.sub(f"(?:{'|'.join(tools)})$", "", stem) for stem in stems}
    images: dict[str, set[str]] = {}
    for stem in stems:
        if (match := _VERSION.fullmatch(stem)) and match["image"] in stems:
            kind = re.escape(match["word"]) + (_NUMBER if match["number"] else "")
            images.setdefault(kind, set()).add(match["image"])
    words = sorted(kind for kind, those in images.items() if len(those) >= _LEAST)
    before = _words_before(stems)
    if not tools and not words and not before:
        return ""
    name = f"(?:^|/){_any(before, '*')}([^/]+?)" if before else "(.+?)"
    return name + _any(words, "*") + _any(tools, "?") + _ENDING


def _words_before(stems: Collection[str]) -> list[str]:
    """What matches the words before the names of images that have several versions; empty for none.

    The first group of an expression cannot have the folder and leave out what is between it and the name. So there is
    none where images in two folders have one name.
    """
    versions: dict[str, list[re.Match[str]]] = {}
    folders: dict[str, set[str]] = {}
    for folder, _, name in (stem.rpartition("/") for stem in sorted(stems)):
        match = _BEFORE.match(name) or re.match("", name)
        assert match
        versions.setdefault(name[match.end() :], []).append(match)
        folders.setdefault(name[match.end() :], set()).add(folder)
    several = [matches for matches in versions.values() if len(matches) > 1]
    if len(several) < _LEAST or any(len(places) > 1 for places in folders.values()):
        return []
    found = (match.groupdict() for matches in several for match in matches if match.re is _BEFORE)
    return sorted({re.escape(each["word"]) + (_NUMBER if each["number"] else "") + "[-_ ]+" for each in found})


def _any(choices: Sequence[str], times: str) -> str:
    return f"(?:{'|'.join(choices)}){times}" if choices else ""


def _undivided(path: str) -> str:
    """The path without folders of parts, in which versions of one image have different ones."""
    folder, _, name = path.rpartition("/")
    return f"{_without_parts(folder)}/{name}"


@lru_cache(maxsize=1024)
def _without_parts(folder: str) -> str:
    return "/".join(step for step in folder.split("/") if not part_of(step))
