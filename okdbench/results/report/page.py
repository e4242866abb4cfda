"""Records and drawings -> the text of the page. Whatever comes from records is escaped by the template."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from okdbench.results.grouping import label
from okdbench.results.published import Verdict
from okdbench.results.records import Record
from okdbench.results.report.figures import Group
from okdbench.results.report.formatting import finite, number
from okdbench.results.report.leaderboard import MORE, NUMBERS, Line, lines, usual
from okdbench.results.report.run_pages import NOTES, view

FILTERS = {"dataset": "Data set", "setting": "Setting", "track": "Track", "budget": "Budget", "networks": "Networks"}


def render(records: Sequence[Record], groups: Sequence[Group] = (), verdicts: Sequence[Verdict] = ()) -> str:
    """The whole page.

    Args:
        records: in the order in which runs are listed.
        groups: the plots.
        verdicts: ours next to published numbers; their section is left out when there are none.
    """
    style, script = _own("style.css"), _own("script.js")
    board = lines(records)
    return _environment().get_template("page.html.j2").render(
        policy=_policy(style, script), style=style, script=script,
        records=records, lines=board, groups=groups, verdicts=verdicts,
        numbers=NUMBERS, more=MORE, filters=FILTERS, usual=usual(board), options=_options(board),
        starts=_starts(board),
        totals=_totals(records),
        data={"notes": NOTES, "runs": {record.key: view(record) for record in records}},
    ) + "\n"  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("okdbench.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "label": label, "finite": finite, "breakable": _breakable}
    # the filter tojson escapes what could end the script's element; keys stay in the order of the records
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _breakable(name: str) -> Markup:
    """A method's name that may go on in the next line before its hyper-parameters."""
    return Markup("<wbr>[").join(name.split("["))


def _own(name: str) -> Markup:
    """A file of this package, which needs no escaping."""
    return Markup(files("okdbench.results.report").joinpath(name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """A content security policy that knows this style and this script, and forbids every request."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; script-src 'sha256-{digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _starts(board: Sequence[Line]) -> dict[str, float]:
    """Data set and track -> where the bars start."""
    return {f"{line.dataset}, {line.row.track}": line.start for line in board}


def _datasets(board: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.dataset for line in board))


def _options(board: Sequence[Line]) -> dict[str, list[str]]:
    """Filter -> the values that rows have, in the order of the rows."""
    return {
        "dataset": _datasets(board),
        "setting": list(dict.fromkeys(line.row.setting for line in board)),
        "track": sorted({line.row.track for line in board}),
        "budget": sorted({line.row.budget for line in board}),
        "networks": sorted({line.networks for line in board}),
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
