"""What the page says of its origin: how to cite it, whose images it is about, and how old it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from okdbench.core.dataset_source import Origin, bundled_origin
from okdbench.results.records import Record


def newest_date(records: Iterable[Record]) -> str:
    """The day on which the last run ended, as ``2026-11-28``; empty where no record knows."""
    return max(filter(None, map(_day, records)), default="")


def _day(record: Record) -> str:
    try:
        return datetime.fromisoformat(record.finished).date().isoformat()
    except ValueError:
        return ""


def citation(records: Sequence[Record]) -> str:
    """An entry for BibTeX that names the program and what the numbers are of."""
    versions = ", ".join(sorted({record.version for record in records}))
    protocols = ", ".join(sorted({str(record.protocol) for record in records}))
    newest = newest_date(records)
    year = f"  year = {{{newest[:4]}}},\n" if newest else ""
    return (
        "@misc{okdbench,\n"
        "  title = {{okdbench}: a comparison benchmark suite for out-of-domain knowledge distillation},\n"
        f"{year}  note = {{Version {versions}, protocol {protocols}, {len(records)} runs}},\n"
        "}"
    )


def origins(records: Iterable[Record]) -> dict[str, Origin]:
    """Data set -> its origin, which is empty for one that is not part of okdbench."""
    return {name: bundled_origin(name) for name in sorted({record.dataset for record in records})}
