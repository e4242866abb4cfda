"""A process that writes many records; nothing here loads pandas, so that it starts fast."""

from __future__ import annotations

from multiprocessing.synchronize import Event
from pathlib import Path

from okdbench.results.records import Record
from okdbench.results.store import write_record


def write_many(runs: Path, made: Record, setting: str, count: int, table_made: Event) -> None:
    """Store the record under this many seeds of a setting; half of them once a table has been made."""
    for seed in range(count):
        if seed == count // 2:
            assert table_made.wait(300), "no table was made while records were written"
        changed = made.model_copy(update={"key": f"{setting}-{seed}", "setting": setting, "seed": seed})
        write_record(runs / changed.key, changed)
