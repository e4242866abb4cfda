"""Finds methods and data sets, by name or by path; a file is imported only when its content is asked for.

A name is a file in ``methods/`` or ``datasets/``, or an entry point of an installed package; a path ends in ``.py``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from okdbench.core import plugin_files as local
from okdbench.core.errors import UserError
from okdbench.core.plugins import (
    DATASETS,
    METHODS,
    digest_of,
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
    source_digest(method)  # now: the file may be edited before a key asks for it
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
        dataset.registered_name, dataset.extra_key = name_of(name), digest_of([type(dataset)])
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


@cache
def source_digest(method: type[Method]) -> str:
    """SHA-256 of the files of a method and of the classes that it builds on; it is part of a run's key.

    Of a package that is not ours every file counts, because a method's helpers may lie in any.
    """
    from okdbench.distill.method import Method

    return digest_of([cls for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method])
