"""What ``okdbench plot`` does: chooses records, draws them and says which files it wrote."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from okdbench.core.errors import UserError, unknown
from okdbench.core.files import writing
from okdbench.results import plots
from okdbench.results.frames import read_runs
from okdbench.results.grouping import label
from okdbench.results.records import Record

ALL = "all"


def make(
    kind: str,
    runs: Path,
    output: Path,
    formats: str,
    wanted: Mapping[str, str | None],
    settings: Sequence[str],
    methods: Sequence[str],
) -> None:
    """Draw one kind, or all that can be drawn, and print the files.

    Args:
        kind: one of :data:`okdbench.results.plots.KINDS`, or ``all``.
        runs: a folder of runs or an archive of records.
        output: folder for the pictures.
        formats: names of formats with commas between.
        wanted: field of a record -> the value that it must have; None for any.
        settings: only these; none for all.
        methods: only these, as the tables write them; none for all.

    Raises:
        UserError: a name is unknown, or nothing can be drawn.
    """
    if kind not in (*plots.KINDS, ALL):
        raise unknown("kind of plot", kind, [*plots.KINDS, ALL])
    asked = [name.strip() for name in formats.split(",")]
    for name in asked:
        if name not in plots.FIGURE_FORMATS:
            raise unknown("format", name, plots.FIGURE_FORMATS)
    records = of_methods(choose(read_runs(runs), wanted, settings), methods)
    drawings = plots.draw(kind, records, runs) if kind != ALL else _all(records, runs)
    with writing(output, "--output"):
        for drawing in drawings:
            print(*plots.save(drawing, output, asked), sep="\n")


def choose(records: Sequence[Record], wanted: Mapping[str, str | None], settings: Sequence[str]) -> list[Record]:
    """The records that have the ``wanted`` values; chosen ``settings`` take the place of the data set's default ones.

    Raises:
        UserError: no record has such a value.
    """
    kept = list(records)
    for field, value in wanted.items():
        if kept and value is not None:
            known = {str(getattr(record, field)) for record in kept}
            if value not in known:
                raise unknown(f"{field} among the records", value, known)
            kept = [record for record in kept if getattr(record, field) == value]
    known = {record.setting for record in kept}
    for setting in settings:
        if kept and setting not in known:
            raise unknown("setting among the records", setting, known)
    if settings:
        defaults = {"default_settings": tuple(settings)}
        kept = [record.model_copy(update=defaults) for record in kept if record.setting in settings]
    return kept


def of_methods(records: Sequence[Record], methods: Sequence[str]) -> list[Record]:
    """The records of these methods, or all.

    Raises:
        UserError: a method has none.
    """
    known = {label(record) for record in records}
    for method in methods:
        if method not in known:
            raise unknown("method among the records", method, known)
    return [record for record in records if not methods or label(record) in methods]


def _all(records: Sequence[Record], runs: Path) -> list[plots.PlotFigure]:
    """The pictures of every kind; where one cannot be drawn, a line on standard error says why."""
    drawings: list[plots.PlotFigure] = []
    for kind in plots.KINDS:
        try:
            drawings += plots.draw(kind, records, runs)
        except UserError as error:
            print(f"okdbench: no {kind}: {error}", file=sys.stderr)
    if not drawings:
        raise UserError("nothing can be drawn; okdbench ls runs lists what there is")
    return drawings
