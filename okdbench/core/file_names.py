"""Files as users name them: with commas and blanks, with ``~``, relative to the YAML file that names them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from okdbench.core.errors import UserError
from okdbench.core.network_names import file_of
from okdbench.core.syntax import parts_of, split_variant

#: options of a run that name methods and data sets by name or file, networks by name or file, and files of weights
_PLUGINS, _NETWORKS = ("method", "dataset"), ("teacher", "student")
_WEIGHTS = ("teacher_weights", "teacher_init", "student_weights")
#: endings of lists of images
LISTS = (".csv", ".tsv", ".txt", ".lst")
#: endings of archives, which people give in place of the folder in them
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def split_names(text: str) -> list[str]:
    """Split a list at commas, but not at those in brackets or in the path of an existing file; ``~`` is expanded.

    >>> split_names("kd[lr=0.1,temperature=2], finetune")
    ['kd[lr=0.1,temperature=2]', 'finetune']
    """
    return [expand(name) for name in _joined(parts_of(text), Path())]


def expand(text: str) -> str:
    """The text with the user's home in place of a leading ``~``."""
    return os.path.expanduser(text) if text.startswith("~") else text


def is_description(name: str) -> bool:
    """Whether ``name`` is that of a YAML file, which as a data set describes the user's own images."""
    return name.lower().endswith((".yaml", ".yml"))


def refuse_archive(name: str) -> None:
    """Refuse an archive in place of a folder of images.

    Raises:
        UserError: by its ending it is one.
    """
    if name.lower().endswith(_ARCHIVES):
        raise UserError(f"{name} is an archive, and images are read from folders; unpack it, and name the folder")


def from_file(options: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The options as they are in ``file``, with paths, which are relative to its folder, from the current one."""
    return _with_paths(options, lambda path: os.path.normpath(file.parent / path), file.parent)


def for_file(options: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The options as they are to be written into ``file``; relative paths are from the current folder."""
    return _with_paths(options, lambda path: os.path.relpath(path, file.parent), Path())


def _with_paths(options: Mapping[str, Any], change: Callable[[str], str], folder: Path) -> dict[str, Any]:
    changed = dict(options)
    for option in (*_PLUGINS, *_NETWORKS, *_WEIGHTS):
        value = options.get(option)
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        if option in _PLUGINS:  # the others take no list
            texts = [name for text in texts for name in _joined(parts_of(text), folder)]
        names = [_changed(expand(text), change, option) for text in texts]
        if names:
            changed[option] = names if isinstance(value, list) or len(names) > 1 else names[0]
    return changed


def _changed(text: str, change: Callable[[str], str], option: str) -> str:
    """The text with its path changed; the name of a plugin or network, and an absolute path, stay."""
    name = text
    if option in _NETWORKS:
        name = (file_of(text) or ("", ""))[0]
    elif option == "method":
        name = split_variant(text)[0]
    is_path = bool(name) if option not in _PLUGINS else _is_path(name)
    return change(name) + text[len(name) :] if is_path and not os.path.isabs(name) else text


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.endswith(".py") or is_description(name)


def _joined(parts: list[str], folder: Path) -> list[str]:
    """The parts of a text without blanks around them, those together that are one existing path."""
    found, start = [], 0
    while start < len(parts):
        # The longest, because a folder whose name ends before a comma may exist beside the file that is meant.
        ends = range(len(parts), start + 1, -1)
        end = next((end for end in ends if _exists(",".join(parts[start:end]).strip(), folder)), start + 1)
        found.append(",".join(parts[start:end]).strip())
        start = end
    return found


def _exists(text: str, folder: Path) -> bool:
    name, variant = split_variant(text)
    # What follows the brackets of one method is another one.
    is_one = len(parts_of(variant)) == 1 and variant[-1:] in ("", "]")
    return is_one and _is_path(name) and os.path.exists(folder / expand(name))
