"""The order of classes: as folders are sorted, or as people count."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

import yaml

#: names of each order that a message shows
SHOWN = 6


def natural_order(names: Sequence[str]) -> list[str]:
    """The names in the order in which people count.

    >>> natural_order(["1", "10", "2", "0.5mm", "1.5mm"])
    ['0.5mm', '1', '1.5mm', '2', '10']
    >>> natural_order(["1", "0", "-1", "-2"])
    ['-2', '-1', '0', '1']
    """
    # Texts and numbers alternate, so that only equal kinds are compared; a sign is at the start, and elsewhere a dash.
    pattern = re.compile(r"(^-?\d+|\d+)")
    return sorted(names, key=lambda name: [int(p) if i % 2 else p for i, p in enumerate(pattern.split(name))])


def are_indices(numbers: Collection[str]) -> bool:
    """Whether these are indices of classes, at least half of those from 0 to the largest; else they are names.

    >>> are_indices(["0", "1", "3"]), are_indices(["1", "2"]), are_indices(["10", "20", "50"])
    (True, True, False)
    """
    found = {int(number) for number in numbers}
    return 2 * len(found) > max(found)


def order_note(names: Sequence[str]) -> str:
    """What to say of classes that are sorted as texts, where people count otherwise; empty if the two are one."""
    natural = natural_order(names)
    if list(names) == natural:
        return ""
    return (
        f"the classes are in alphabetical order, {shortened(names)}; counted by people they are "
        f"{shortened(natural)}: write your teacher's order under classes:"
    )


def number_note(names: Sequence[str]) -> str:
    """What to say of numbers in lists that are names of classes; empty where they are indices, or other names."""
    if not names or not all(name.isdecimal() for name in names) or are_indices(names):
        return ""
    return f"the numbers {shortened(names)} are names of classes; if they are indices, list all under classes:"


def shortened(names: Sequence[str]) -> str:
    """The first names, and whether there are more."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def yaml_list(names: Sequence[str]) -> str:
    """The names as a list in YAML, with quotes where one would be read as something else.

    >>> yaml_list(["1", "c++", "#2", "a, b"])
    '[1, c++, "#2", "a, b"]'
    """
    return f"[{', '.join(name if _reads_back(name) else json.dumps(name, ensure_ascii=False) for name in names)}]"


def _reads_back(name: str) -> bool:
    try:
        return bool(yaml.load(f"[{name}]", yaml.BaseLoader) == [name])
    except yaml.YAMLError:
        return False
