"""Records and figures -> the HTML of the page. The template escapes everything that comes from records."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from okdbench.results.columns import shown_in
from okdbench.results.estimates import ENOUGH_SEEDS
from okdbench.results.grouping import label
from okdbench.results.published_columns import conditions, place
from okdbench.results.records import Record
from okdbench.results.report.about import citation, newest_date, origins
from okdbench.results.report.comparisons import comparisons
from okdbench.results.report.downloads import archive_uri, packed, sheets
from okdbench.results.report.figures import FigureGroup
from okdbench.results.report.formatting import finite, number
from okdbench.results.report.leaderboard_rows import ReportRow, bar_axis, default_filters, report_rows
from okdbench.results.report.run_pages import NOTES, run_page
from okdbench.results.table import Column, Row

#: filter of the leaderboard -> its label
FILTERS = {
    "dataset": "Data set",
    "setting": "Setting",
    "task": "Task",
    "track": "Track",
    "shots": "Labels per class",
    "budget": "Budget",
    "networks": "Networks",
}
#: columns that a phone shows; the rest unfolds
ALWAYS = ("method", "acc", "interval", "mark")
#: parts of the page's script, in the order in which they run
_SCRIPTS = ("dom", "tables", "downloads", "charts", "articles", "comparison", "address")


def render(records: Sequence[Record], groups: Sequence[FigureGroup] = (), published: Sequence[Row] = ()) -> str:
    """Render the page.

    Args:
        records: all records, in the order in which the page lists the runs.
        groups: the figures; without any, their section is left out.
        published: published numbers with ours; without any, their section is left out.
    """
    style, script = _asset("style.css"), _script()
    rows = report_rows(records)
    return _environment().get_template("page.html.j2").render(
        policy=_policy(style, script), style=style, script=script,
        records=records, rows=rows, groups=groups, published=published,
        columns=_columns(), details=shown_in("details"), always=ALWAYS,
        filters=FILTERS, defaults=default_filters(rows),
        options=_options(rows),
        starts=_starts(rows),
        totals=_totals(records),
        enough_seeds=ENOUGH_SEEDS,
        archive=archive_uri(records), citation=citation(records), newest=newest_date(records), origins=origins(records),
        data=packed({
            "notes": NOTES,
            "runs": {record.key: run_page(record) for record in records},
            "comparisons": comparisons(rows),
            "sheets": sheets(rows, records),
        }),
    ) + "\n"  # fmt: skip


def _columns() -> list[Column]:
    """The columns that are no filter, with the mark behind the interval that it is about."""
    columns = {column.name: column for column in shown_in("html") if column.name not in FILTERS}
    mark = columns.pop("mark")
    return [
        shown for column in columns.values() for shown in ([column, mark] if column.name == "interval" else [column])
    ]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("okdbench.results.report", "."),
        autoescape=True,
        # A misspelt name in the template is an error, not an empty text on the page.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "label": label, "finite": finite, "breakable": _breakable}
    environment.filters |= {"place": place, "conditions": conditions}
    return environment


def _breakable(name: str) -> Markup:
    """A method's name with a possible line break before its hyper-parameters."""
    # join() of Markup escapes the parts.
    return Markup("<wbr>[").join(name.split("["))


def _asset(name: str) -> Markup:
    """A file of this package, which is trusted and not escaped."""
    return Markup(files("okdbench.results.report").joinpath(name).read_text(encoding="utf-8"))


def _script() -> Markup:
    """All parts in one block, so that their names are not global."""
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return Markup('"use strict";\n{{\n{}}}\n').format(Markup(parts))


def _policy(style: str, script: str) -> str:
    """A content security policy that allows this style and this script only, and forbids every request."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; script-src 'sha256-{digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _starts(rows: Sequence[ReportRow]) -> dict[str, float]:
    """Data set, task and track -> accuracy at which the bars begin."""
    return {", ".join(bar_axis(row.row)): row.start for row in rows}


def _options(rows: Sequence[ReportRow]) -> dict[str, list[str]]:
    """Filter -> the values to choose from; data sets and settings keep the order of the rows."""
    return {
        "dataset": list(dict.fromkeys(row.row["dataset"] for row in rows)),
        "setting": list(dict.fromkeys(row.setting for row in rows)),
        **{name: sorted({row.row[name] for row in rows}) for name in ("task", "track", "shots", "budget")},
        "networks": sorted({row.networks for row in rows}),
    }


def _totals(records: Sequence[Record]) -> dict[str, str]:
    status = Counter(record.status for record in records)
    failed = f", {status['failed']} failed" if status["failed"] else ""
    return {
        "runs": f"{status['done']} finished{failed}",
        "methods": str(len({record.method for record in records})),
        "data sets": ", ".join(sorted({record.dataset for record in records})),
        "settings": str(len({(record.dataset, record.setting) for record in records})),
        "protocol": ", ".join(sorted({str(record.protocol) for record in records})),
        "version": ", ".join(sorted({record.version for record in records})),
    }
