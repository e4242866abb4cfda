"""Methods and data sets of installed packages: entry points, groups ``okdbench.methods`` and ``okdbench.datasets``."""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

from okdbench.core.errors import UserError, one_line


class PluginEntry(NamedTuple):
    """One entry point; ``package`` is the distribution's name."""

    name: str
    package: str
    point: metadata.EntryPoint


def entries(group: str) -> list[PluginEntry]:
    """The entry points of ``group``, sorted; nothing is imported, and packages with broken metadata are left out."""
    found: dict[tuple[str, str], PluginEntry] = {}
    for distribution in metadata.distributions():
        with suppress(Exception):  # whatever is wrong with somebody else's files
            for point in distribution.entry_points.select(group=group):
                entry = PluginEntry(point.name, distribution.name, point)
                found.setdefault(entry[:2], entry)  # the first on the path is the one that is imported
    return [found[key] for key in sorted(found)]


def find(group: str, name: str) -> PluginEntry | None:
    """The entry point called ``name``, if there is one.

    Raises:
        UserError: several packages have one.
    """
    found = [entry for entry in entries(group) if entry.name == name]
    if len(found) > 1:
        packages = " and ".join(entry.package for entry in found)
        raise UserError(f"{name!r} comes with {packages}; uninstall all but one of these packages")
    return found[0] if found else None


def load(entry: PluginEntry) -> ModuleType | type[Any]:
    """What the entry point names: a module or a class.

    Raises:
        UserError: it cannot be imported, or is neither.
    """
    try:
        loaded = entry.point.load()
    except Exception as error:
        what = f"its entry point {entry.name} = {entry.point.value} cannot be loaded ({one_line(error, kind=True)})"
        raise UserError(f"package {entry.package}: {what}; update or uninstall it") from error
    if not isinstance(loaded, (ModuleType, type)):
        raise UserError(f"package {entry.package}: {entry.point.value} is no module and no class; tell its author")
    return loaded
