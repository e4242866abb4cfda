"""The classes that a file of weights names, in the order of the network's outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from okdbench.distill.networks.inert_yaml import content_of
from okdbench.distill.networks.plain_values import plain
from okdbench.distill.networks.weight_choice import items_in

#: entries that have the index of each name, the name of each index, and the names in order
_INDICES = ("class_to_idx", "label2id", "class_to_index", "label_to_idx", "label_to_id", "label_map")
_NAMES = ("idx_to_class", "id2label", "index_to_class", "idx_to_label", "id_to_label", "label_map")
_LISTS = ("classes", "class_names", "label_names", "labels", "names", "vocab")
#: levels of entries, and their number, in which lists of names are looked for; objects may refer to each other
_DEEPEST, _MOST = 6, 10_000
#: name of a file beside the weights that may list the classes, and its largest size in bytes
_BESIDE = re.compile(
    r"(.*(class|label|(^|_)names?(?![a-z])|categor|synset|vocab).*\.(json|ya?ml|txt|csv))|.*\.names", re.IGNORECASE
)
_LARGEST = 200_000
#: a line with a class and its index
_INDEX_FIRST = re.compile(r"\s*(?P<index>\d+)[\s:,;=]+(?P<name>.*\S)\s*")
_NAME_FIRST = re.compile(r"\s*(?P<name>.*[^\s:,;=])[\s:,;=]+(?P<index>\d+)\s*")
#: what WordNet calls a class before its names
_SYNSET = re.compile(r"^(n\d{8})[\s,]+(?=\S)")

#: what leads to a list of names -> these, in order
Listings = tuple[tuple[str, tuple[str, ...]], ...]


def class_names_in(layers: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names in the last of these mappings that has any; empty without.

    >>> class_names_in([{"class_to_idx": {"cup": 1, "lamp": 0}}]), class_names_in([{"id2label": {"0": "cup"}}])
    (('lamp', 'cup'), ('cup',))
    """
    found: tuple[str, ...] = ()
    for layer in layers:
        found = _names({str(name).lower(): value for name, value in layer.items()}) or found
    return found


def listings_in(content: Any) -> Listings:
    """Every list of texts, and every mapping between texts and numbers that count from 0 or 1, under any name.

    >>> listings_in({"a": {"b": ["lamp", "cup"]}, "c": {"cup": 1, "lamp": 0}, "d": {"cup": 7}})
    (('a.b', ('lamp', 'cup')), ('c', ('lamp', 'cup')))
    """
    return tuple(_listings(content, "", set()))


def listings_beside(path: Path) -> Listings:
    """Those of small files in the folder of a file of weights whose names speak of classes or labels."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for file in sorted(path.parent.iterdir()):
        with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
            if _BESIDE.fullmatch(file.name) and file.stat().st_size < _LARGEST:
                found += [(file.name, names) for _, names in listings_in({"": _content(file)})]
    return tuple(found)


def _content(file: Path) -> Any:
    """What is in JSON or YAML, or in lines: names, or one and its index in each."""
    if file.suffix.lower() in (".json", ".yaml", ".yml"):
        return content_of(file)
    lines = [_SYNSET.sub(r"\1,", line) for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
    for pattern in (_INDEX_FIRST, _NAME_FIRST):
        for given in (lines, lines[1:]):  # a table has a header
            parts = [part for line in given if (part := pattern.fullmatch(line))]
            made = {int(part["index"]): part["name"] for part in parts}
            if made and len(given) == len(made) == len({*made.values()}):
                return made
    return lines


def _listings(content: Any, place: str, seen: set[int], depth: int = 0) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, value in items_in(content).items() if depth < _DEEPEST and len(seen) < _MOST else ():
        name, made = f"{place}{key}", plain(value) if isinstance(value, str) else value
        if names := _in_any_form(made):
            yield name, names
        elif isinstance(made, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            yield from _listings(made, f"{name}.", seen, depth + 1)


def _in_any_form(value: Any) -> tuple[str, ...]:
    """The names in a list, or in a mapping from or to their numbers; empty for anything else."""
    if isinstance(value, Mapping):
        # several names of one class, such as ["n01440764", "tench"]
        shown = [",".join(each) if _are_texts(each) else each for each in value.values()]
        both = ((shown, value), (value, shown))
        read = {_in_order(indices, names) for indices, names in both if _are_of(indices, names)}
        # of texts that are numbers on both sides it is not known which are the indices
        return read.pop() if len(read) == 1 else ()
    given = value.split(",") if isinstance(value, str) and "," in value else value
    listed = given if isinstance(given, list | tuple) and all(isinstance(name, str) for name in given) else ()
    return tuple(name.strip() for name in listed if name.strip())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, str) for each in value)


def _are_of(indices: Iterable[Any], names: Iterable[Any]) -> bool:
    return all(map(_is_index, indices)) and all(isinstance(name, str) for name in names)


def _is_index(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isdecimal())


def _names(layer: Mapping[str, Any]) -> tuple[str, ...]:
    for key in _INDICES:
        if isinstance(indices := layer.get(key), Mapping) and (names := _in_order(indices.values(), indices)):
            return names
    for key in (*_NAMES, *_LISTS):
        if isinstance(shown := layer.get(key), Mapping) and (names := _in_order(shown, shown.values())):
            return names
    for key in _LISTS:
        given = layer.get(key)
        if isinstance(given, str):  # with commas between the names, or nothing else that is known
            given = [name.strip() for name in given.strip("[]").split(",") if "," in given]
        if isinstance(given, Sequence) and given and all(isinstance(name, str) for name in given):
            return tuple(given)
    return ()


def _in_order(indices: Iterable[Any], names: Iterable[Any]) -> tuple[str, ...]:
    """The names in the order of their indices, if these count from 0 or from 1."""
    try:
        by_index = {int(index): str(name) for index, name in zip(indices, names, strict=True)}
    except (TypeError, ValueError):
        return ()
    order = sorted(by_index)
    is_counted = order in (list(range(len(order))), list(range(1, len(order) + 1)))
    return tuple(map(by_index.__getitem__, order)) if is_counted else ()
