"""Finds methods and data sets, by name or by path; a file is imported only when its content is asked for.

A name is a file in ``methods/`` or ``datasets/``, or an entry point of an installed package; a path ends in ``.py``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from okdbench.core import plugin_files as local
from okdbench.core.code_digest import Source, digest_of, sources_of
from okdbench.core.errors import UserError
from okdbench.core.plugins import (
    DATASETS,
    METHODS,
    find_plugin,
    installed_methods,
    name_of,
    names_in,
    only_class,
    own_classes,
    refuse_taken,
)

if TYPE_CHECKING:
    from okdbench.data.dataset import Dataset
    from okdbench.distill.method import Method

#: what carries out a run: everything that it reaches is code that a result depends on
_RUNNER = "okdbench.training.runner"
#: how files end that describe a data set of the user's
_DESCRIPTIONS = (".yaml", ".yml")


def load_method(name: str) -> type[Method]:
    """The method class of this name or path.

    Raises:
        UserError: there is none, or it does not define exactly one complete method.
    """
    found = find_plugin("method", METHODS, name)
    from okdbench.distill.card import Card
    from okdbench.distill.method import Method

    method: type[Method] = only_class(found, Method)
    if not isinstance(getattr(method, "card", None), Card):
        raise UserError(f"{name}: {method.__name__} has no card; okdbench new method NAME writes a file that has one")
    _sources(method)  # now, because the file may be edited before a key asks for it
    return method


def load_dataset(name: str) -> Dataset:
    """The data set of this name or path, or the user's own that a YAML file ``name`` describes.

    Raises:
        UserError: there is none, or it does not define exactly one complete data set.
    """
    if name.endswith(_DESCRIPTIONS):
        from okdbench.data.custom_dataset import own_dataset

        refuse_taken(DATASETS, name)
        return own_dataset(Path(name))
    found = find_plugin("dataset", DATASETS, name)
    from okdbench.data.dataset import Dataset

    dataset: Dataset = only_class(found, Dataset)()
    if name not in names_in(DATASETS):
        dataset.registered_name, dataset.extra_key = name_of(name), digest_of(*_sources(type(dataset)))
    return dataset


def is_own_dataset(name: str) -> bool:
    """Whether ``name`` is a file of the user's, which finds its pictures from where it lies."""
    return local.is_path(name) or name.endswith(_DESCRIPTIONS)


def is_method(name: str) -> bool:
    """Whether this name or path is a method rather than a data set."""
    if not local.is_path(name):
        return name in names_in(METHODS) or name in installed_methods()
    module = local.load(name)
    from okdbench.distill.method import Method

    return bool(own_classes(module, Method))


def source_digest(*classes: type) -> str:
    """SHA-256 of all code that a run with these classes depends on; it is part of the run's key.

    The code is that of :mod:`okdbench.training.runner` (the loop, the teacher, the data path and the evaluation) and of
    the modules of the classes and their bases, each with everything of okdbench that it reaches; see
    :mod:`okdbench.core.code_digest`.

    Args:
        classes: the method's class and the data set's.
    """
    return digest_of(_RUNNER, *(source for cls in classes for source in _sources(cls)))


@cache
def _sources(cls: type) -> tuple[str | Source, ...]:
    """The code of a method or data set and of its bases; read once, because a local file may be edited meanwhile."""
    from okdbench.data.dataset import Dataset
    from okdbench.distill.method import Method

    own = [base for base in cls.__mro__ if issubclass(base, (Method, Dataset))]
    return tuple(source for base in own for source in sources_of(base))
