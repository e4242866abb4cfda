"""Rewrite the generated parts of the pages: ``python docs/generated.py``.

A generated part is between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Tables come from the committed records
through ``okdbench leaderboard``, so that a page never shows a number that no record holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path

import choosing
import label_gains
import precisions
import processors
import released_code
import reproductions
import simulations
import variants
import versions
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core import plugins
from okdbench.core.dataset_source import bundled_origin
from okdbench.results.columns import shown_in
from okdbench.results.frames import RUN_COLUMNS

ROOT = Path(__file__).resolve().parent.parent
OFFICE10_RECORDS = ROOT / "leaderboards" / "records" / "office10.jsonl.gz"
#: the ends of the titles of tables
DIGITS = "quick, lenet5_bn -> lenet5_half_bn"
OFFICE10 = "quick, test_resnet[image_size=64] -> test_byobnet"
_NUMBERS = ("ablations", "choosing", "performance", "results", "reproductions", "released-code", "residual-networks")
_DOCS = ("data", "protocol", "statistics", *_NUMBERS)
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in _DOCS))
PART = re.compile(r"(<!-- generated: (?P<name>[\w -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str) -> str:
    """The text of a page with its generated parts as they must be."""
    return PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]().strip()}\n\n{part[3]}", page)


def leaderboard(archive: Path, title: str) -> str:
    """Heading and table of one comparison group as Markdown: its rows over all settings, or those of each."""
    (section,) = (text for text in _sections(archive) if text.partition("\n")[0].strip() == title)
    head, rule, *rows = (line for line in section.splitlines() if line.startswith("|"))
    place = _cells(head).index("setting")
    whole = [row for row in rows if _cells(row)[place] == "all"]
    return "\n".join([f"### {title}", "", head, rule, *(whole or _single(rows, place))])


@cache
def _sections(archive: Path) -> list[str]:
    """The tables of all comparison groups, each with its title in the first line."""
    words = ["leaderboard", "--runs", str(archive), "--format", "md"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    return result.stdout.split("### ")


def _single(rows: list[str], setting: int) -> list[str]:
    """The rows of single settings, where no row has all of them."""
    return [row for row in rows if not _cells(row)[setting].endswith(" settings")]


def columns() -> str:
    """What the columns of the tables on these pages mean."""
    rows = [(column.title, f"{column.meaning}{_unit(column.unit)}") for column in shown_in("markdown")]
    return _table("column", "meaning", rows)


def frames() -> str:
    """What the columns of the two public data frames mean."""
    runs = [(f"`{column.name}`", column.meaning) for column in RUN_COLUMNS]
    board = [(f"`{column.name}`", f"{column.meaning}{_unit(column.unit)}") for column in shown_in("frame")]
    return "\n\n".join([_table("`load_records`", "meaning", runs), _table("`leaderboard`", "meaning", board)])


def template() -> str:
    """The file that ``okdbench new method`` writes."""
    return f"```python\n{(ROOT / 'okdbench' / 'cli' / 'templates' / 'method.py').read_text()}```"


def origins() -> str:
    """Who made each data set, and what its licence allows."""
    found = {name: bundled_origin(name) for name in plugins.dataset_names()}
    rows = [f"| `{name}` | {one.citation} | {one.licence} |" for name, one in found.items()]
    return "\n".join(["| data set | source, to cite | licence |", "|---|---|---|", *rows])


def _table(first: str, second: str, rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join([f"| {first} | {second} |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])


def _unit(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


PARTS: Mapping[str, Callable[[], str]] = {
    "choosing labels": choosing.labels,
    "choosing without labels": choosing.without_labels,
    "choosing rule": choosing.rule,
    "choosing coverage": choosing.coverage,
    "choosing methods": choosing.methods,
    "columns": columns,
    "frames": frames,
    "origins": origins,
    "digits data-free": partial(leaderboard, processors.GRID, f"digits, data-free, label-free, {DIGITS}"),
    "digits transfer": partial(leaderboard, processors.GRID, f"digits, transfer, label-free, {DIGITS}"),
    "digits label-free": partial(leaderboard, processors.GRID, f"digits, label-free, {DIGITS}"),
    "digits semi": partial(leaderboard, processors.GRID, f"digits, semi, 2 shots, {DIGITS}"),
    "digits two labels": partial(leaderboard, processors.GRID, f"digits, labelled, 2 shots, {DIGITS}"),
    "digits two labels by setting": partial(label_gains.by_setting, "2"),
    "digits ten labels by setting": partial(label_gains.by_setting, "10"),
    "digits all labels by setting": partial(label_gains.by_setting, "all"),
    "digits labels": label_gains.table,
    "digits comparisons": label_gains.comparisons,
    "office10 five labels": partial(leaderboard, OFFICE10_RECORDS, f"office10, labelled, 5 shots, {OFFICE10}"),
    "office10 all labels": partial(leaderboard, OFFICE10_RECORDS, f"office10, labelled, {OFFICE10}"),
    "processors": processors.table,
    "precisions": precisions.table,
    "versions": versions.table,
    "released code": released_code.tables,
    "released code runs": released_code.commands,
    "augkd parts": partial(variants.table, variants.AUGKD),
    "why labels win": partial(variants.table, variants.WHY),
    "residual networks": partial(variants.scores, variants.RESIDUAL),
    "residual parts": partial(variants.table, variants.COLLAPSE),
    "shifts": partial(variants.table, variants.SHIFTS),
    "photographs": partial(variants.table, variants.PHOTOGRAPHS),
    "other parts": partial(variants.table, variants.OTHERS),
    "reproductions": reproductions.tables,
    "reproduction counts": reproductions.counts,
    "false claims": simulations.false_claims,
    "powers": simulations.powers,
    "coverages": simulations.coverages,
    "method template": template,
}


if __name__ == "__main__":
    for name in PAGES:
        (ROOT / name).write_text(updated((ROOT / name).read_text()))
