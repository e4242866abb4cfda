"""Leaderboard rows as CSV, Markdown, LaTeX and terminal tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tabulate import tabulate

from okdbench.core.files import write_atomic
from okdbench.results.leaderboard import COLUMNS, Row, leaderboard
from okdbench.results.published import Verdict, verdicts
from okdbench.results.records import Record

#: decimals of the columns that do not have two
_DECIMALS = {"student_images": 0, "teacher_images": 0, "seconds": 1, "peak_memory_mb": 1}


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header line, LF line ends and two decimals; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_spell(column, getattr(row, column)) for column in COLUMNS] for row in rows)
    return text.getvalue()


def _spell(column: str, value: float | str | None) -> str:
    if value is None:
        return ""
    # "z": a gain that rounds to nothing is 0.00, not -0.00
    return f"{value:z.{_DECIMALS.get(column, 2)}f}" if isinstance(value, float) else str(value)


def to_markdown(dataset: str, rows: Sequence[Row], published: Sequence[Verdict] = ()) -> str:
    """The main columns as Markdown, a heading and a table for each contest, then the published numbers."""
    return _document(dataset, rows, published, "### {}\n\n{}\n", "github")


def to_latex(dataset: str, rows: Sequence[Row], published: Sequence[Verdict] = ()) -> str:
    """The main columns as LaTeX tables for the package booktabs, one for each contest, then the published numbers."""
    return _document(dataset, rows, published, "% {}\n{}\n", "latex_booktabs")


def _document(dataset: str, rows: Sequence[Row], published: Sequence[Verdict], part: str, style: str) -> str:
    tables = [(f"{dataset}, {title}", _table(map(_shown, members), style)) for title, members in _by_contest(rows)]
    tables += [(f"{dataset}, {PUBLISHED}", _table(map(_judged, published), style))] if published else []
    return "\n".join(part.format(title, table) for title, table in tables)


def to_text(published: Sequence[Verdict]) -> str:
    """The published numbers for the terminal."""
    return f"{PUBLISHED}\n\n{_table(map(_judged, published), 'simple')}\n"


def _by_contest(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    contests: dict[str, list[Row]] = {}
    for row in rows:
        contests.setdefault(_contest(row), []).append(row)
    return list(contests.items())


def _contest(row: Row) -> str:
    return f"{row.track}, {row.budget}, {row.teacher} -> {row.student}"


def _table(lines: Iterable[dict[str, str]], style: str) -> str:
    """Cells by heading as one table."""
    cells = list(lines)
    aligned = ["left" if name in _TEXTS else "right" for name in cells[0]]
    if style == "github":  # a bar would end the cell
        cells = [{name: text.replace("|", "\\|") for name, text in line.items()} for line in cells]
    return str(tabulate(cells, headers="keys", tablefmt=style, colalign=aligned, disable_numparse=True))


#: what a leaderboard can be written as, by the ending of its file
TABLE_FORMATS: Mapping[str, Callable[[str, Sequence[Row], Sequence[Verdict]], str]] = {
    "csv": lambda _dataset, rows, _published: to_csv(rows),
    "md": to_markdown,
    "tex": to_latex,
}


def write_leaderboards(records: Iterable[Record], output: Path, ending: str = "csv") -> list[Path]:
    """Write ``output/<dataset>.<ending>`` for every data set that has records; returns the files."""
    written = []
    for dataset, rows in leaderboard(records).items():
        written.append(output / f"{dataset}.{ending}")
        write_atomic(written[-1], TABLE_FORMATS[ending](dataset, rows, verdicts(dataset, rows)).encode())
    return written


#: the heading of the published numbers
PUBLISHED = "published numbers and ours"
#: columns of words, which stand on the left
_TEXTS = ("method", "setting", "teacher -> student", "verdict", "why", "source")

_CAPTION = (
    "acc: student on its test split; teacher: the teacher on the same pictures\n"
    "retention: student on the teacher's domains; gain: over the baseline\n"
    "gap: best on test minus selected; s: seconds of a run\n"
    "rank: one more than the number of rows whose interval lies wholly above"
)


def render(rows: Sequence[Row]) -> Table:
    """The main columns for the terminal; the title names what all rows share, a column what they do not."""
    contests = [_contest(row) for row in rows]
    several = len(set(contests)) > 1
    title = None if several or not rows else escape(contests[0])
    table = Table(title=title, caption=_CAPTION, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.caption_justify = "left"
    lines = [{name: text for name, text in _shown(row).items() if name != _INTERVAL} for row in rows]
    for name in lines[0] if lines else ():
        if name == "method":
            # the only column that may fold, for variants have long names
            table.add_column(name, overflow="fold", min_width=8)
        else:
            table.add_column(name, justify="left" if name == "setting" else "right", no_wrap=True)
    if several:
        table.add_column("contest", overflow="fold")
    for row, line, following in zip(rows, lines, [*rows[1:], None], strict=True):
        ends = following is not None and following.setting != row.setting
        extra = [_contest(row)] if several else []
        table.add_row(*(escape(text) for text in (*line.values(), *extra)), end_section=ends)
    return table


_INTERVAL = "95 %"


def _shown(row: Row) -> dict[str, str]:
    """Heading -> cell of one line; where runs are missing, their number stands instead of a rank."""
    ends = (row.acc_low, row.acc_high)
    return {
        "rank": (str(row.rank) if row.rank else "-") if row.is_complete else row.complete,
        "method": row.method,
        "setting": row.setting,
        "acc %": _spell("acc", row.acc) + (f" ± {_spell('acc_std', row.acc_std)}" if row.acc_std is not None else ""),
        _INTERVAL: " - ".join(_spell("acc", end) for end in ends if end is not None),
        "teacher": _spell("acc", row.teacher_acc),
        "retention": _spell("acc", row.teacher_domain_acc),
        "gain": _spell("gain", row.gain),
        "gap": _spell("gap", row.selection_gap),
        "s": "" if row.seconds is None else f"{row.seconds:.0f}",
    }


def _judged(verdict: Verdict) -> dict[str, str]:
    """Heading -> cell of a published number."""
    spread = "" if verdict.paper_std is None else f" ± {_spell('acc', verdict.paper_std)}"
    return {
        "method": verdict.method,
        "setting": verdict.setting,
        "teacher -> student": f"{verdict.teacher} -> {verdict.student}",
        "metric": verdict.metric,
        "paper": _spell("acc", verdict.paper) + spread,
        "ours": _spell("acc", verdict.ours),
        "verdict": verdict.verdict,
        "why": verdict.why,
        "source": f"{verdict.source} ({verdict.confidence})",
    }


def conclude(records: Sequence[Record]) -> bool:
    """Print the tables of ``records``, one for each data set and track; False when one of them failed."""
    for dataset, rows in leaderboard(records).items():
        for track in dict.fromkeys(row.track for row in rows):
            Console().print(dataset, style="bold", justify="center")
            Console().print(render([row for row in rows if row.track == track]))
    return all(record.status == "done" for record in records)
