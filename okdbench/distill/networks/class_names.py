"""The classes that a file of weights names, in the order of the network's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: entries that have the index of each name, the name of each index, and the names in order
_INDICES = ("class_to_idx", "label2id", "class_to_index", "label_to_idx", "label_to_id", "label_map")
_NAMES = ("idx_to_class", "id2label", "index_to_class", "idx_to_label", "id_to_label", "label_map")
_LISTS = ("classes", "class_names", "label_names", "labels", "names", "vocab")


def class_names_in(layers: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names in the last of these mappings that has any; empty without.

    >>> class_names_in([{"class_to_idx": {"cup": 1, "lamp": 0}}]), class_names_in([{"id2label": {"0": "cup"}}])
    (('lamp', 'cup'), ('cup',))
    """
    found: tuple[str, ...] = ()
    for layer in layers:
        found = _names({str(name).lower(): value for name, value in layer.items()}) or found
    return found


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
