"""Load methods and data sets by name or path, and digest their code.

A plugin is imported only when its class is needed, so that listing names stays fast; see :mod:`okdbench.core.plugins`
for where names come from.
"""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from okdbench.core import plugin_files
from okdbench.core.code_digest import Source, digest_of, sources_of
from okdbench.core.errors import UserError
from okdbench.core.file_names import LISTS, expand, is_description, refuse_archive
from okdbench.core.plugins import DATASETS, METHODS, name_of

if TYPE_CHECKING:
    from okdbench.data.dataset import Dataset
    from okdbench.distill.method import Method

#: the module that carries out a run; whatever it reaches is code that a result depends on
_RUNNER = "okdbench.training.runner"


def load_method(name: str) -> type[Method]:
    """The method class of this name or path.

    Raises:
        UserError: there is none, or it does not define exactly one complete method.
    """
    found = METHODS.find(name)
    # only now, because these load torch: a misspelt name is reported at once
    from okdbench.distill.card import Card
    from okdbench.distill.method import Method

    method: type[Method] = _only_class(found, Method)
    if not isinstance(getattr(method, "card", None), Card):
        raise UserError(f"{name}: {method.__name__} has no card; okdbench new method NAME writes a file with one")
    _sources(method)  # now, because a local file may be edited before a key needs its digest
    return method


def load_dataset(name: str) -> Dataset:
    """The data set of this name or path, or the one that a YAML file describes, or a folder of images.

    Raises:
        UserError: there is none, or it does not define exactly one complete data set.
    """
    name = expand(name)
    if is_description(name) or _is_folder(name):
        from okdbench.data.custom_dataset import own_dataset

        DATASETS.refuse_taken(name)
        return own_dataset(Path(name))
    refuse_archive(name)
    if name.lower().endswith(LISTS):
        raise UserError(
            f"{name} is a list; name it in a YAML file, domains: {{photos: {Path(name).name}}}, and give that"
        )
    found = DATASETS.find(name)
    from okdbench.data.dataset import Dataset

    dataset: Dataset = _only_class(found, Dataset)()
    # Until protocol 4 this attribute said whether training images are mirrored; to ignore it would mirror digits.
    if hasattr(dataset, "flip"):
        kinds = '("shift",)' if not dataset.flip else '("shift", "flip")'
        raise UserError(f"{name}: flip is not read any more; write augmentation = teacher_augmentation = {kinds}")
    if name not in DATASETS.names():
        # part of the images' digest, and so of all keys, teachers' keys included
        dataset.registered_name, dataset.extra_key = name_of(name), digest_of(*_sources(type(dataset)))
    return dataset


def is_own_dataset(name: str) -> bool:
    """Whether ``name`` is a file or folder of the user, which finds its images relative to its own folder."""
    return plugin_files.is_path(name) or is_description(name) or _is_folder(name)


def _is_folder(name: str) -> bool:
    """Whether ``name`` is a folder of images; a data set of this name comes first, and ``./name`` is the folder."""
    return bool(name) and Path(name).expanduser().is_dir() and name not in (*DATASETS.names(), *DATASETS.installed())


def is_method(name: str) -> bool:
    """Whether this name or path is a method rather than a data set.

    Raises:
        UserError: it is a path, and the file cannot be imported.
    """
    if not plugin_files.is_path(name):
        return name in METHODS.names() or name in METHODS.installed()
    module = plugin_files.load(name)
    from okdbench.distill.method import Method

    return bool(_own_classes(module, Method))


def source_digest(*classes: type) -> str:
    """SHA-256 of all code that a run with these classes depends on; it is part of the run's key.

    The code is that of :mod:`okdbench.training.runner` (the loop, the teacher, the data path and the evaluation) and of
    the modules of the classes and their bases, each with everything of okdbench that it reaches; see
    :mod:`okdbench.core.code_digest`.

    Args:
        classes: the method's class and the data set's class.
    """
    return digest_of(_RUNNER, *(source for cls in classes for source in _sources(cls)))


@cache
def _sources(cls: type) -> tuple[str | Source, ...]:
    """The code of a method or data set and of its bases, read once in a process."""
    from okdbench.data.dataset import Dataset
    from okdbench.distill.method import Method

    own = [base for base in cls.__mro__ if issubclass(base, (Method, Dataset))]
    return tuple(source for base in own for source in sources_of(base))


def _own_classes(module: ModuleType, base: type) -> list[type[Any]]:
    """The subclasses of ``base`` that the module itself defines; imported ones do not count."""
    classes = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)}
    # sorted, because a set has no order and an error message lists the names
    return sorted((cls for cls in classes if cls.__module__ == module.__name__), key=lambda cls: cls.__name__)


def _only_class(found: ModuleType | type[Any], base: type) -> type[Any]:
    """The class that was found, or the only one of its module, if it is a complete subclass of ``base``."""
    if isinstance(found, ModuleType):
        place, own = found.__file__, _own_classes(found, base)
    else:
        place, own = f"{found.__module__}:{found.__qualname__}", [found] if issubclass(found, base) else []
    if len(own) != 1:
        names = ", ".join(cls.__name__ for cls in own) or "none"
        raise UserError(f"{place}: expected exactly one subclass of {base.__name__}, found {names}")
    missing = ", ".join(sorted(getattr(own[0], "__abstractmethods__", ())))
    if missing:
        raise UserError(f"{place}: {own[0].__name__} does not define {missing}")
    return own[0]
