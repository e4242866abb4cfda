"""Records on disk: a JSON file per run, or a gzipped archive with a line per run.

Writing is atomic: a reader sees the old file or the new one. A file that cannot be read is reported and skipped, so
that one damaged run does not hide the others.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from okdbench.core.errors import UserError
from okdbench.core.files import printable, write_atomic
from okdbench.results.records import SCHEMA_VERSION, Record

#: a folder of runs, or an archive of records
Source = str | Path


def write_record(folder: Path, record: Record) -> None:
    """Store ``record`` as ``folder/record.json``."""
    write_atomic(folder / "record.json", (record.model_dump_json(indent=1) + "\n").encode())


def read_record(folder: Path) -> Record | None:
    """The record in ``folder``, or None when there is none that this version can read."""
    try:
        return parse_record((folder / "record.json").read_bytes())
    except (OSError, ValueError):  # missing, or damaged in one of many ways
        return None


def read_records(source: Path) -> Iterator[Record]:
    """The records below a folder of runs in the order of their keys, or those of an archive.

    What cannot be read is skipped with a line on standard error that names the file and the reason. Another line names
    the first record of an older schema and counts the others.

    Raises:
        UserError: an archive that cannot be opened.
    """
    older: list[str] = []
    for name, content in _archived(source) if source.is_file() else _loose(source):
        try:
            # A file that cannot be opened is reported in the same way as one that cannot be parsed.
            if isinstance(content, OSError):
                raise ValueError(content.strerror or str(content))
            fields = _fields(content)
            record = _validated(fields)
        except ValueError as error:
            print(f"okdbench: skipped {name}: {printable(str(error))}", file=sys.stderr)
        else:
            if fields["schema_version"] < SCHEMA_VERSION:
                older.append(f"{name} has schema {fields['schema_version']} and was read as schema {SCHEMA_VERSION}")
            yield record
    if older:
        more = f"; so were {len(older) - 1} more of an older schema" if len(older) > 1 else ""
        print(f"okdbench: {older[0]}{more}", file=sys.stderr)


def read_all(paths: Source | Iterable[Source]) -> list[Record]:
    """All records of one folder or archive, or of several; see :func:`read_records`.

    Raises:
        UserError: there are no records, or an archive cannot be opened.
    """
    sources = [Path(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
    records = [record for source in sources for record in read_records(source)]
    if not records:
        where = ", ".join(map(str, sources))
        raise UserError(f"no records below {where}; make some with okdbench run, or name another folder with --runs")
    return records


def find_run(name: str, runs: Path) -> Path:
    """The folder of the run called ``name``.

    Args:
        name: the folder of a run, a run's key, or the beginning of a key.
        runs: the folder of runs in which keys are looked up.

    Raises:
        UserError: there is no such run, or more than one.
    """
    if _has_record(Path(name)):
        return Path(name)
    found = sorted(path.parent for path in runs.glob("*/record.json") if path.parent.name.startswith(name))
    # A key that is the beginning of another one still names its own run.
    found = [folder for folder in found if folder.name == name] or found
    if not found:
        raise UserError(f"there is no run {name!r} below {runs}; okdbench runs ls --runs {runs} lists them")
    if len(found) > 1:
        keys = ", ".join(folder.name for folder in found[:3])
        raise UserError(f"{len(found)} runs begin with {name!r}, such as {keys}; write more of the key")
    return found[0]


def find_record(name: str, runs: Path) -> tuple[Path, Record]:
    """The folder and the record of the run called ``name``; see :func:`find_run`.

    Raises:
        UserError: there is no such run, more than one, or its record cannot be read.
    """
    folder = find_run(name, runs)
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder / 'record.json'} is not a record that this version reads; run it again")
    return folder, record


def _has_record(folder: Path) -> bool:
    try:
        return (folder / "record.json").is_file()
    except OSError:  # the name is too long for a file
        return False


def write_archive(path: Path, records: Iterable[Record]) -> None:
    """Store records in one gzipped file, one line each; equal records in any order give equal bytes."""
    ordered = sorted(records, key=lambda record: (record.dataset, record.track, record.method, record.key))
    lines = "".join(record.model_dump_json() + "\n" for record in ordered)
    # mtime=0, because gzip would store the time, so that equal records would give other bytes.
    write_atomic(path, gzip.compress(lines.encode(), mtime=0))


def write_archives(folder: Path, records: Iterable[Record]) -> list[Path]:
    """Write ``folder/<dataset>.jsonl.gz`` with the records of each data set, and return these files."""
    # groupby() joins only neighbours.
    members = sorted(records, key=lambda record: record.dataset)
    written = []
    for dataset, group in groupby(members, key=lambda record: record.dataset):
        written.append(folder / f"{dataset}.jsonl.gz")
        write_archive(written[-1], group)
    return written


def _loose(runs: Path) -> Iterator[tuple[str, bytes | OSError]]:
    for path in sorted(runs.glob("*/record.json")):
        try:
            yield str(path), path.read_bytes()
        except FileNotFoundError:  # removed since the folder was listed
            continue
        except OSError as error:
            yield str(path), error


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        # All of it before the first record: a file that is cut off is an error, not an archive with fewer runs.
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a complete archive of records ({error}); name another with --runs") from None
    for number, line in enumerate(content.splitlines(), 1):
        yield f"{path}:{number}", line


def parse_record(content: bytes) -> Record:
    """The record in ``content``, which is JSON text.

    Raises:
        ValueError: it is not a record that this version can read; the message says why in one line.
    """
    return _validated(_fields(content))


def _fields(content: bytes) -> dict[str, Any]:
    """The fields of a record of this schema version or an older one."""
    try:
        fields = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply for a record") from None
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ValueError("it is not a record")
    if version > SCHEMA_VERSION:
        raise ValueError(f"its schema {version} is newer than {SCHEMA_VERSION}; update okdbench")
    assert isinstance(fields, dict)
    return fields


def _validated(fields: dict[str, Any]) -> Record:
    try:
        # Everything that schemas 2 and 3 added has a default.
        return Record.model_validate(fields | {"schema_version": SCHEMA_VERSION})
    except ValidationError as error:
        # The whole message of pydantic has several lines for each error; one of them is enough to find the fault.
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
