"""Methods and data sets by name, found without importing them.

A plugin is a file in ``methods/`` or ``datasets/`` (bundled), an entry point of an installed package, or a Python file
that is named by its path (local). A bundled plugin is never hidden by another one of its name.

>>> "kd" in METHODS.names(), METHODS.find("kd").__name__
(True, 'okdbench.methods.kd')
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from okdbench.core import entry_points, plugin_files
from okdbench.core.errors import UserError, unknown

#: the origin of a method that is named by its path
LOCAL = "local"


@dataclass(frozen=True)
class PluginGroup:
    """All plugins of one kind.

    Attributes:
        kind: what error messages call one of them.
        package: the package of the bundled ones, and the group of entry points of the installed ones.
    """

    kind: str
    package: str

    def names(self) -> list[str]:
        """The bundled plugins, sorted; one file each, files whose names begin with ``_`` are left out."""
        found = pkgutil.iter_modules(importlib.import_module(self.package).__path__)
        return sorted(file.name for file in found if not file.ispkg and not file.name.startswith("_"))

    def installed(self) -> dict[str, str]:
        """Name -> package of the plugins that installed packages bring."""
        return {entry.name: entry.package for entry in entry_points.entries(self.package)}

    def find(self, name: str) -> ModuleType | type[Any]:
        """The module or class of this name or path.

        Raises:
            UserError: there is none, it cannot be imported, or a local file has the name of a bundled plugin.
        """
        if plugin_files.is_path(name):
            self.refuse_taken(name)
            return plugin_files.load(name)
        if name in self.names():
            return importlib.import_module(f"{self.package}.{name}")
        entry = entry_points.find(self.package, name)
        if entry is None:
            raise unknown(self.kind, name, [*self.names(), *self.installed()])
        found: ModuleType | type[Any] = entry_points.load(entry)
        return found

    def refuse_taken(self, file: str) -> None:
        """Refuse a local file that has the name of a bundled plugin.

        Raises:
            UserError: it has.
        """
        if Path(file).stem in self.names():
            raise UserError(f"{file}: {Path(file).stem!r} is bundled with okdbench; give the file another name")


METHODS = PluginGroup("method", "okdbench.methods")
DATASETS = PluginGroup("dataset", "okdbench.datasets")

method_names, dataset_names = METHODS.names, DATASETS.names
installed_methods, installed_datasets = METHODS.installed, DATASETS.installed


def name_of(name: str) -> str:
    """The name of a method or data set in records: a file's name without its suffix, any other name unchanged.

    >>> name_of("lab/mine.py"), name_of("kd")
    ('mine', 'kd')
    """
    return Path(name).stem if plugin_files.is_path(name) else name


def origin_of(method: str) -> str:
    """Where a method comes from: empty if it is bundled, ``local`` for a path, else the package that brings it.

    Raises:
        UserError: several packages bring it.
    """
    if plugin_files.is_path(method):
        return LOCAL
    entry = None if method in method_names() else entry_points.find(METHODS.package, method)
    return entry.package if entry else ""


def refuse_clashes(methods: Iterable[str]) -> None:
    """Ensure that each name in records means one method.

    Raises:
        UserError: two files, or a file and a package, have one name.
    """
    sources: dict[str, str] = {}
    for text in methods:
        # resolved, because two spellings of one path are one file
        source = str(Path(text).expanduser().resolve()) if plugin_files.is_path(text) else text
        other = sources.setdefault(name_of(text), source)
        if other != source:
            raise UserError(f"{other} and {source}: two methods of one name; give one of the files another name")
