"""Finds methods and data sets by their files; a file is imported only when its content is asked for."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from okdbench.errors import UserError, unknown

if TYPE_CHECKING:
    from okdbench.api import Method
    from okdbench.data.dataset import Dataset

_METHODS = "okdbench.methods"
_DATASETS = "okdbench.datasets"


def method_names() -> list[str]:
    """The methods there are, sorted; one file each, names that begin with ``_`` are left out."""
    return _names(_METHODS)


def dataset_names() -> list[str]:
    """The data sets there are, sorted; one file each, names that begin with ``_`` are left out."""
    return _names(_DATASETS)


def load_method(name: str) -> type[Method]:
    """The method class in ``methods/<name>.py``.

    Raises:
        UserError: there is no such file, or it does not define exactly one complete method.
    """
    module = _module("method", _METHODS, name)
    from okdbench.api import Method

    return _only_class(module, Method)


def load_dataset(name: str) -> Dataset:
    """The data set in ``datasets/<name>.py``, or the user's own that a YAML file ``name`` describes.

    Raises:
        UserError: there is no such file, or it does not define exactly one complete data set.
    """
    if name.endswith((".yaml", ".yml")):
        from okdbench.data.own import own_dataset

        if Path(name).stem in _names(_DATASETS):
            raise UserError(f"{name}: a data set that comes along is called so; give the file another name")
        return own_dataset(Path(name))
    module = _module("dataset", _DATASETS, name)
    from okdbench.data.dataset import Dataset

    dataset: Dataset = _only_class(module, Dataset)()
    return dataset


def source_digest(method: type[Method]) -> str:
    """SHA-256 of the files of a method and of the classes that it builds on; it is part of a run's key."""
    from okdbench.api import Method

    # a method and its base class may have files of one name, so the order of the classes decides between those
    files = dict.fromkeys(
        inspect.getfile(cls) for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method
    )
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in sorted(files, key=os.path.basename))).hexdigest()


def _names(package: str) -> list[str]:
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(file.name for file in found if not file.ispkg and not file.name.startswith("_"))


def _module(kind: str, package: str, name: str) -> ModuleType:
    known = _names(package)
    if name not in known:
        raise unknown(kind, name, known)
    return importlib.import_module(f"{package}.{name}")


def _only_class(module: ModuleType, base: type) -> type[Any]:
    """The one subclass of ``base`` that the module itself defines; imported ones do not count."""
    classes = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)}
    own = sorted((cls for cls in classes if cls.__module__ == module.__name__), key=lambda cls: cls.__name__)
    if len(own) != 1:
        names = ", ".join(cls.__name__ for cls in own) or "none"
        raise UserError(f"{module.__file__}: expected exactly one subclass of {base.__name__}, found {names}")
    missing = ", ".join(sorted(getattr(own[0], "__abstractmethods__", ())))
    if missing:
        raise UserError(f"{module.__file__}: {own[0].__name__} does not define {missing}")
    return own[0]
