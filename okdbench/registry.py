"""Finds methods and data sets, by name or by path; a file is imported only when its content is asked for.

A name is a file in ``methods/`` or ``datasets/``, or an entry point of an installed package; a path ends in ``.py``.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from okdbench import installed, local
from okdbench.errors import UserError, unknown

if TYPE_CHECKING:
    from okdbench.api import Method
    from okdbench.data.dataset import Dataset

# packages of what comes along, and groups of entry points
_METHODS = "okdbench.methods"
_DATASETS = "okdbench.datasets"
#: how files end that describe a data set of the user's
_DESCRIPTIONS = (".yaml", ".yml")
#: where a method comes from that is named by its path
LOCAL = "local"


def method_names() -> list[str]:
    """The methods that come along, sorted; one file each, names that begin with ``_`` are left out."""
    return _names(_METHODS)


def dataset_names() -> list[str]:
    """The data sets that come along, sorted; one file each, names that begin with ``_`` are left out."""
    return _names(_DATASETS)


def installed_methods() -> dict[str, str]:
    """Name -> package of the methods that other packages bring."""
    return {entry.name: entry.package for entry in installed.entries(_METHODS)}


def installed_datasets() -> dict[str, str]:
    """Name -> package of the data sets that other packages bring."""
    return {entry.name: entry.package for entry in installed.entries(_DATASETS)}


def load_method(name: str) -> type[Method]:
    """The method class of this name or path.

    Raises:
        UserError: there is none, or it does not define exactly one complete method.
    """
    found = _find("method", _METHODS, name)
    from okdbench.api import Card, Method

    method: type[Method] = _only_class(found, Method)
    if not isinstance(getattr(method, "card", None), Card):
        raise UserError(f"{name}: {method.__name__} has no card; okdbench new method NAME writes a file that has one")
    source_digest(method)  # now: the file may be edited before a key asks for it
    return method


def load_dataset(name: str) -> Dataset:
    """The data set of this name or path, or the user's own that a YAML file ``name`` describes.

    Raises:
        UserError: there is none, or it does not define exactly one complete data set.
    """
    if name.endswith(_DESCRIPTIONS):
        from okdbench.data.own import own_dataset

        _refuse_taken(_DATASETS, name)
        return own_dataset(Path(name))
    found = _find("dataset", _DATASETS, name)
    from okdbench.data.dataset import Dataset

    dataset: Dataset = _only_class(found, Dataset)()
    if name not in _names(_DATASETS):
        dataset.called, dataset.source = name_of(name), _digest([type(dataset)])
    return dataset


def is_own_dataset(name: str) -> bool:
    """Whether ``name`` is a file of the user's, which finds its pictures from where it lies."""
    return local.is_path(name) or name.endswith(_DESCRIPTIONS)


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
    entry = None if method in _names(_METHODS) else installed.find(_METHODS, method)
    return entry.package if entry else ""


def is_method(name: str) -> bool:
    """Whether this name or path is a method rather than a data set."""
    if not local.is_path(name):
        return name in _names(_METHODS) or name in installed_methods()
    module = local.load(name)
    from okdbench.api import Method

    return bool(_own_classes(module, Method))


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


@cache
def source_digest(method: type[Method]) -> str:
    """SHA-256 of the files of a method and of the classes that it builds on; it is part of a run's key.

    Of a package that is not ours every file counts, because a method's helpers may lie in any.
    """
    from okdbench.api import Method

    return _digest([cls for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method])


def _digest(classes: Iterable[type]) -> str:
    # a method and its base class may have files of one name, so the order of the classes decides between those
    files = dict.fromkeys(file for cls in classes for file in _files(cls))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in sorted(files, key=os.path.basename))).hexdigest()


def _files(cls: type) -> list[str]:
    top = cls.__module__.partition(".")[0]
    if top == __package__ or not hasattr(sys.modules[top], "__path__"):
        return [inspect.getfile(cls)]
    return [str(file) for folder in sys.modules[top].__path__ for file in sorted(Path(folder).rglob("*.py"))]


def _names(package: str) -> list[str]:
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(file.name for file in found if not file.ispkg and not file.name.startswith("_"))


def _find(kind: str, group: str, name: str) -> ModuleType | type[Any]:
    """The module or class that ``name`` stands for; what comes along is never hidden by anything else."""
    if local.is_path(name):
        _refuse_taken(group, name)
        return local.load(name)
    known = _names(group)
    if name in known:
        return importlib.import_module(f"{group}.{name}")
    entry = installed.find(group, name)
    if entry is None:
        raise unknown(kind, name, [*known, *(entry.name for entry in installed.entries(group))])
    return installed.load(entry)


def _refuse_taken(group: str, file: str) -> None:
    if Path(file).stem in _names(group):
        raise UserError(f"{file}: {Path(file).stem!r} comes along with okdbench; give the file another name")


def _own_classes(module: ModuleType, base: type) -> list[type[Any]]:
    """The subclasses of ``base`` that the module itself defines; imported ones do not count."""
    classes = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)}
    return sorted((cls for cls in classes if cls.__module__ == module.__name__), key=lambda cls: cls.__name__)


def _only_class(found: ModuleType | type[Any], base: type) -> type[Any]:
    """The class that was found, or the only one of its module, when it is a complete ``base``."""
    place = found.__file__ if isinstance(found, ModuleType) else f"{found.__module__}:{found.__qualname__}"
    own = _own_classes(found, base) if isinstance(found, ModuleType) else [found] if issubclass(found, base) else []
    if len(own) != 1:
        names = ", ".join(cls.__name__ for cls in own) or "none"
        raise UserError(f"{place}: expected exactly one subclass of {base.__name__}, found {names}")
    missing = ", ".join(sorted(getattr(own[0], "__abstractmethods__", ())))
    if missing:
        raise UserError(f"{place}: {own[0].__name__} does not define {missing}")
    return own[0]
