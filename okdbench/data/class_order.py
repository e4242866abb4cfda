"""The order of classes: as folders are sorted, or as people count."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

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


def order_note(names: Sequence[str]) -> str:
    """What to say of classes that are sorted as texts, where people count otherwise; empty if the two are one."""
    natural = natural_order(names)
    if list(names) == natural:
        return ""
    return (
        f"the classes are in alphabetical order, {shortened(names)}; counted by people they are "
        f"{shortened(natural)}: write your teacher's order under classes:"
    )


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
