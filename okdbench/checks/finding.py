"""What a check reports to the author of a method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from okdbench.core.plugin_files import where
from okdbench.distill.method import Method


@dataclass(frozen=True)
class Finding:
    """A violation of a rule: what was found, what it means, and how to fix it."""

    found: str
    means: str
    cure: str


Case = TypeVar("Case")


def in_each(cases: Sequence[Case], look: Callable[[Case], Sequence[Finding]]) -> list[Finding]:
    """The findings of ``look`` in all cases, each once; the first case is named if not all of them have the finding."""
    seen: dict[Finding, list[Case]] = {}
    for case in cases:
        for finding in look(case):
            seen.setdefault(finding, []).append(case)
    return [
        finding if len(having) == len(cases) else replace(finding, found=f"{having[0]}: {finding.found}")
        for finding, having in seen.items()
    ]


def files(method: type[Method]) -> list[Path]:
    """The files of a method and of its base classes, its own first."""
    classes = [cls for cls in method.__mro__ if issubclass(cls, Method) and cls is not Method]
    return [Path(file) for file in dict.fromkeys(inspect.getfile(cls) for cls in classes)]


def mentions(method: type[Method], pattern: str) -> str:
    """`` (mine.py:31)``: the first lines of the method's own file that match ``pattern``; empty if there are none."""
    own = files(method)[0]
    # The file may have another encoding; wrong letters do no harm to these patterns.
    lines = enumerate(own.read_text("utf-8", "replace").splitlines(), 1)
    # without comments, which may name a function that the code avoids
    found = [f"{own.name}:{number}" for number, line in lines if re.search(pattern, line.partition("#")[0])]
    return f" ({', '.join(found[:3])})" if found else ""


def place(error: BaseException, method: type[Method]) -> str:
    """``mine.py:31``: the line of the method's files that raised an error, or the file alone."""
    places = [where(error, file) for file in files(method)]
    # only the name is searched, because a folder may have a colon
    return Path(next((place for place in places if ":" in Path(place).name), places[0])).name
