"""What ``okdbench new`` writes: a file that works, under the name of its author's choice."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing


def write_method(name: str, folder: Path) -> None:
    """Write ``folder/name.py`` with a method in it and say what comes next.

    Raises:
        UserError: the name will not do, or the file is there already.
    """
    path = _write("method", name, folder, [*plugins.method_names(), *plugins.installed_methods()])
    print(f"wrote {path}; next: okdbench check {path}")


def write_dataset(name: str, folder: Path) -> None:
    """Write ``folder/name.py`` with a data set in it and say what comes next.

    Raises:
        UserError: the name will not do, or the file is there already.
    """
    path = _write("dataset", name, folder, [*plugins.dataset_names(), *plugins.installed_datasets()])
    print(f"wrote {path}; next: put pictures below {path.with_suffix('')}, then okdbench show {path}")


def class_name(name: str) -> str:
    """The name of the class in the file of this name.

    >>> class_name("noisy_kd")
    'NoisyKd'
    """
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _write(kind: str, name: str, folder: Path, taken: Iterable[str]) -> Path:
    template = resources.files("okdbench.cli.templates").joinpath(f"{kind}.py").read_text("utf-8")
    cls = class_name(name)
    if not name.isidentifier() or name.startswith("_") or keyword.iskeyword(name):
        raise UserError(f"{name!r} is no name for a {kind}; it takes letters, digits and _, such as noisy_kd")
    if name in taken:
        raise UserError(f"a {kind} called {name!r} is there already; choose another name")
    if keyword.iskeyword(cls) or (cls != "Mine" and re.search(rf"\b{cls}\b", template)):
        raise UserError(f"the class would be called {cls}, which means something else; choose another name")
    path = folder / f"{name}.py"
    if path.exists():
        raise UserError(f"{path} is there already; choose another name or another --output")
    with writing(folder, "--output"):
        write_atomic(path, re.sub(r"\bMine\b", cls, template).encode())
    return path
