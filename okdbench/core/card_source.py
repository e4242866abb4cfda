"""What a method's file says of its paper, read from the source, so that ``okdbench ls methods`` imports no torch."""

from __future__ import annotations

import ast
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from okdbench.core.plugins import METHODS
from okdbench.core.protocol import Track
from okdbench.core.settings import TaskKind

#: arguments of ``Card(...)`` that are plain values
_LITERALS = ("title", "venue", "year", "role")


def bundled_card(name: str) -> dict[str, Any]:
    """:func:`read_card` of a bundled method."""
    spec = find_spec(f"{METHODS.package}.{name}")
    return read_card(Path(spec.origin)) if spec and spec.origin else {}


def read_card(file: Path) -> dict[str, Any]:
    """Title, venue, year, role, tasks and tracks in ``card = Card(...)`` of a file; what is computed there is left out.

    >>> read_card(Path("no_such_file.py"))
    {}
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        # a list stays complete when one file is broken; loading the method says what is wrong with it
        return {}
    calls = [node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_card(node)]
    if len(calls) != 1 or not isinstance(calls[0], ast.Call):
        return {}
    given = {keyword.arg: keyword.value for keyword in calls[0].keywords if keyword.arg}
    card: dict[str, Any] = {name: node.value for name in _LITERALS if isinstance(node := given.get(name), ast.Constant)}
    # without the argument it is the default of Card
    for argument, kind, default in ("tasks", TaskKind, TaskKind.ADAPT), ("tracks", Track, Track.LABELLED):
        members = _members(given[argument], kind) if argument in given else [default.value]
        card |= {argument: members} if members else {}
    return card


def _is_card(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "card" for target in node.targets)


def _members(node: ast.expr, kind: type[StrEnum]) -> list[str]:
    """The members in ``(Track.LABELLED,)`` or ``tuple(Track)``; none where it is written in any other way."""
    if ast.unparse(node) == f"tuple({kind.__name__})":
        return [member.value for member in kind]
    parts = node.elts if isinstance(node, ast.Tuple) else []
    names = [part.attr for part in parts if isinstance(part, ast.Attribute)]
    known = [kind[name].value for name in names if name in kind.__members__]
    return known if len(known) == len(parts) else []
