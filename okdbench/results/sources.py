"""Where records are: in a folder of runs, in an archive, or in a folder of both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

#: a folder of runs, an archive of records, or a folder of these
Source = str | Path
#: the file of a run
RECORD = "record.json"
#: how the name of an archive ends
ARCHIVE = ".jsonl.gz"


def paths_of(sources: Source | Iterable[Source]) -> list[Path]:
    """One source, or several, as a list of paths without repetitions."""
    several = [sources] if isinstance(sources, (str, Path)) else sources
    return list(dict.fromkeys(map(Path, several)))


def files_of(source: Path) -> Iterator[Path]:
    """The records and archives of a source, sorted by name in each folder.

    A file is one itself. In a folder they are the ``record.json`` of each run and every ``.jsonl.gz``; folders that are
    no runs are looked into as well, but not those below them.
    """
    if not source.is_dir():
        yield from [source] * source.is_file()
    elif os.path.exists(source / RECORD):
        yield source / RECORD
    else:
        yield from _below(source, folders=1)


def run_folders(sources: Source | Iterable[Source]) -> dict[str, Path]:
    """Name -> folder of each run that has one, which no run of an archive has; of one name the first counts."""
    files = [file for source in paths_of(sources) for file in files_of(source) if file.name == RECORD]
    return {file.parent.name: file.parent for file in reversed(files)}


def _below(folder: Path, folders: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        # os.path.exists() is False where Path.exists() raises: in a folder that may not be read
        if os.path.exists(path / RECORD):
            yield path / RECORD
        elif path.name.endswith(ARCHIVE):
            yield path
        elif folders and path.is_dir() and os.access(path, os.R_OK):
            yield from _below(path, folders - 1)
