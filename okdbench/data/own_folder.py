"""A folder of images without a file that describes it: of domains with class folders, or of class folders alone."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.data.image_files import class_folders, holds_images, is_of_one_class
from okdbench.data.own_domain import part_of, unwrapped
from okdbench.data.own_file import OwnDatasetFile


def describe(folder: Path) -> OwnDatasetFile:
    """What a file would say of ``folder``: its domains, each with a letter.

    Raises:
        UserError: a folder cannot be read, or it is not clear which folders are classes.
    """
    at = unwrapped(folder)
    domains = _domains(at) or [at]
    names = [domain.name for domain in domains]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise UserError(f"{folder} has two domains {twice[0]!r}; describe it in a YAML file")
    return OwnDatasetFile(domains={at.name: str(at) for at in domains}, letters=_letters(folder, names))


def _domains(folder: Path) -> list[Path]:
    """The folders that are domains; none where they are classes, or parts of one domain."""
    inner = class_folders(folder)
    nested = [at for at in inner if class_folders(at) and not holds_images(at) and not is_of_one_class(at)]
    if not nested or any(part_of(at.name) for at in nested):
        return []
    if flat := [at for at in inner if holds_images(at)]:
        raise UserError(
            f"{folder}: {flat[0].name} has images and {nested[0].name} has folders, so it is not clear which are "
            "classes; describe the domains in a YAML file"
        )
    # Domains share their classes; where nothing is shared, these are classes with folders in them.
    shared = Counter(name for at in nested for name in {each.name for each in class_folders(at)})
    return inner if len(inner) == 1 or max(shared.values()) > 1 else []


def _letters(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """A letter for each domain: the first of its own that is free, or else any."""
    letters: dict[str, str] = {}
    for name in names:
        own = [letter for letter in name.upper() if letter.isalnum() and letter not in letters]
        free = own or [letter for letter in string.ascii_uppercase + string.digits if letter not in letters]
        if not free:
            raise UserError(
                f"{folder} has more than {len(letters)} domains; describe those that you need in a YAML file"
            )
        letters[free[0]] = name
    return letters
