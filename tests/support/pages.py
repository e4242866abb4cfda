"""The pages of the project: their text, code blocks, links and headings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
#: every Markdown page, relative to the root of the source tree
PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder in (ROOT, ROOT / "docs", ROOT / "tests" / "benchmarks")
    for path in folder.glob("*.md")
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """A line that a page tells its reader to type, and the page."""

    page: str
    line: str


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of one language; an empty name stands for blocks of commands."""
    return [body for name, body in _FENCE.findall(text_of(page)) if name == language]


def commands(program: str) -> list[Command]:
    """Every line of a command block that starts with ``program``."""
    return [
        Command(page, line)
        for page in PAGES
        for block in blocks(page, "")
        for line in block.splitlines()
        if line.startswith(f"{program} ")
    ]


def links(page: str) -> list[str]:
    """Targets of the links and images of a page that lead to files of the project, relative to the page's folder."""
    prose = _FENCE.sub("", text_of(page))
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose)
    return [link for pair in found for link in pair if link and not re.match(r"https?:|mailto:", link)]


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page: lower case, no punctuation, dashes for blanks."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
