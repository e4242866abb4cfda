"""What the page carries for its script and its readers: the shown rows as CSV, and all records."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from okdbench.results.columns import csv_cells, shown_in
from okdbench.results.frames import RUN_COLUMNS, to_frame
from okdbench.results.records import Record
from okdbench.results.report.leaderboard_rows import ReportRow
from okdbench.results.store import archive_of
from okdbench.results.table import rows_of

#: a table as JSON: ``head``, and ``rows`` in the order of the page
Sheet = dict[str, list[Any]]


def sheets(rows: Sequence[ReportRow], records: Sequence[Record]) -> dict[str, Sheet]:
    """Section -> its table with every column of the files that ``okdbench leaderboard`` writes, or of the runs."""
    cells = [list(csv_cells(line.row).values()) for line in rows]
    runs = [list(row.values()) for row in rows_of(to_frame(records))]
    return {
        "leaderboard": {"head": [column.name for column in shown_in("csv")], "rows": cells},
        "runs": {"head": [column.name for column in RUN_COLUMNS], "rows": runs},
    }


def archive_uri(records: Sequence[Record]) -> str:
    """All records as an archive that ``--runs`` takes, as a data URI."""
    return "data:application/gzip;base64," + base64.b64encode(archive_of(records)).decode()


def packed(content: Any) -> str:
    """JSON that the page's script unpacks: a quarter of the text, and without a letter that ends a script element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    # mtime=0, because gzip would store the time, so that equal records would give other bytes.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
