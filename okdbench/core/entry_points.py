"""Entry points of installed packages, in the groups ``okdbench.methods``, ``.datasets`` and ``.networks``."""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

from okdbench.core.errors import UserError, one_line


class PluginEntry(NamedTuple):
    """One entry point; ``package`` is the name of its distribution."""

    name: str
    package: str
    point: metadata.EntryPoint


def entries(group: str) -> list[PluginEntry]:
    """The entry points of a group, sorted; nothing is imported, and packages with broken metadata are left out."""
    found: dict[tuple[str, str], PluginEntry] = {}
    for distribution in metadata.distributions():
        # any exception: the metadata is another author's file and may be broken in any way
        with suppress(Exception):
            for point in distribution.entry_points.select(group=group):
                entry = PluginEntry(point.name, distribution.name, point)
                # of two installed versions, Python imports the first on the path
                found.setdefault(entry[:2], entry)
    return [found[key] for key in sorted(found)]


def find(group: str, name: str) -> PluginEntry | None:
    """The entry point of this name, or None.

    Raises:
        UserError: several packages have one.
    """
    found = [entry for entry in entries(group) if entry.name == name]
    if len(found) > 1:
        packages = " and ".join(entry.package for entry in found)
        raise UserError(f"{name!r} is in {packages}; uninstall all but one of these packages")
    return found[0] if found else None


def load(entry: PluginEntry, kinds: tuple[type, ...] = (ModuleType, type)) -> Any:
    """What an entry point names, a module or class by default.

    Raises:
        UserError: it cannot be imported, or is of none of these kinds.
    """
    try:
        loaded = entry.point.load()
    except Exception as error:
        problem = f"its entry point {entry.name} = {entry.point.value} cannot be loaded"
        cause = one_line(error, kind=True)
        raise UserError(f"package {entry.package}: {problem} ({cause}); update or uninstall it") from error
    if not isinstance(loaded, kinds):
        expected = " and no ".join({ModuleType: "module", type: "class"}.get(kind, "function") for kind in kinds)
        raise UserError(f"package {entry.package}: {entry.point.value} is no {expected}; report it there")
    return loaded
