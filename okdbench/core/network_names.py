"""What a network may be called beside timm's name: a Python file, an entry point, a name on the Hugging Face Hub."""

from __future__ import annotations

import re

from okdbench.core import entry_points
from okdbench.core.errors import UserError
from okdbench.core.plugin_files import SUFFIX

#: the group of entry points of installed packages
GROUP = "okdbench.networks"
#: what names on the Hugging Face Hub begin with
HUB = "hf-hub:"


def file_of(name: str) -> tuple[str, str] | None:
    """The file that a network is in, and its name there, empty where none is given; None for other networks.

    >>> file_of("lab/net.py:build"), file_of("net.py"), file_of("resnet18")
    (('lab/net.py', 'build'), ('net.py', ''), None)
    """
    match = re.fullmatch(rf"(.+{re.escape(SUFFIX)})(?::(\w+))?", name, re.DOTALL)
    return (match[1], match[2] or "") if match else None


def installed() -> dict[str, str]:
    """Name -> package of the networks that installed packages bring."""
    return {entry.name: entry.package for entry in entry_points.entries(GROUP)}


def is_code(name: str) -> bool:
    """Whether a name stands for code or a download, and not for a bundled network."""
    return bool(file_of(name)) or name.startswith(HUB) or name in installed()


def refuse_code(name: str, role: str) -> None:
    """Refuse a network that only its user may name, because it is code or a download.

    Raises:
        UserError: it is.
    """
    if is_code(name):
        raise UserError(f"its {role} {name!r} is not a bundled network; run it by hand if you trust it")
