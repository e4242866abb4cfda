"""Names and origins of methods and data sets, found without importing them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from okdbench.core import entry_points as installed
from okdbench.core import plugin_files as local
from okdbench.core.errors import UserError, unknown

# packages of what comes along, and groups of entry points
METHODS = "okdbench.methods"
DATASETS = "okdbench.datasets"
#: where a method comes from that is named by its path
LOCAL = "local"


def method_names() -> list[str]:
    """The methods that come along, sorted; one file each, names that begin with ``_`` are left out."""
    return names_in(METHODS)


def dataset_names() -> list[str]:
    """The data sets that come along, sorted; one file each, names that begin with ``_`` are left out."""
    return names_in(DATASETS)


def installed_methods() -> dict[str, str]:
    """Name -> package of the methods that other packages bring."""
    return {entry.name: entry.package for entry in installed.entries(METHODS)}


def installed_datasets() -> dict[str, str]:
    """Name -> package of the data sets that other packages bring."""
    return {entry.name: entry.package for entry in installed.entries(DATASETS)}


def name_of(name: str) -> str:
    """What a method or data set is called: a file's name without its ending, or the name as it is.

    >>> name_of("lab/mine.py"), name_of("kd")
    ('mine', 'kd')
    """
    return Path(name).stem if local.is_path(name) else name


def origin_of(method: str) -> str:
    """Where a method comes from: empty for what comes along, ``local`` for a path, or the package that brings it."""
    if local.is_path(method):
        return LOCAL
    entry = None if method in names_in(METHODS) else installed.find(METHODS, method)
    return entry.package if entry else ""


def refuse_clashes(methods: Iterable[str]) -> None:
    """See to it that each name means one method.

    Raises:
        UserError: two files, or a file and a package, go by one name.
    """
    seen: dict[str, str] = {}
    for text in methods:
        source = str(Path(text).expanduser().resolve()) if local.is_path(text) else text
        other = seen.setdefault(name_of(text), source)
        if other != source:
            raise UserError(f"{other} and {source}: two methods of one name; give one of the files another name")


def names_in(package: str) -> list[str]:
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(file.name for file in found if not file.ispkg and not file.name.startswith("_"))


def find_plugin(kind: str, group: str, name: str) -> ModuleType | type[Any]:
    """The module or class that ``name`` stands for; what comes along is never hidden by anything else."""
    if local.is_path(name):
        refuse_taken(group, name)
        return local.load(name)
    known = names_in(group)
    if name in known:
        return importlib.import_module(f"{group}.{name}")
    entry = installed.find(group, name)
    if entry is None:
        raise unknown(kind, name, [*known, *(entry.name for entry in installed.entries(group))])
    return installed.load(entry)


def refuse_taken(group: str, file: str) -> None:
    if Path(file).stem in names_in(group):
        raise UserError(f"{file}: {Path(file).stem!r} comes along with okdbench; give the file another name")


def own_classes(module: ModuleType, base: type) -> list[type[Any]]:
    """The subclasses of ``base`` that the module itself defines; imported ones do not count."""
    classes = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)}
    return sorted((cls for cls in classes if cls.__module__ == module.__name__), key=lambda cls: cls.__name__)


def only_class(found: ModuleType | type[Any], base: type) -> type[Any]:
    """The class that was found, or the only one of its module, when it is a complete ``base``."""
    place = found.__file__ if isinstance(found, ModuleType) else f"{found.__module__}:{found.__qualname__}"
    own = own_classes(found, base) if isinstance(found, ModuleType) else [found] if issubclass(found, base) else []
    if len(own) != 1:
        names = ", ".join(cls.__name__ for cls in own) or "none"
        raise UserError(f"{place}: expected exactly one subclass of {base.__name__}, found {names}")
    missing = ", ".join(sorted(getattr(own[0], "__abstractmethods__", ())))
    if missing:
        raise UserError(f"{place}: {own[0].__name__} does not define {missing}")
    return own[0]
