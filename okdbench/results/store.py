"""Records on the disk: one JSON file per run, or an archive with a line per run."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from okdbench.core.errors import UserError
from okdbench.core.files import printable, write_atomic
from okdbench.results.records import SCHEMA_VERSION, Record


def write_record(folder: Path, record: Record) -> None:
    """Store ``record`` as ``folder/record.json``."""
    write_atomic(folder / "record.json", (record.model_dump_json(indent=1) + "\n").encode())


def read_record(folder: Path) -> Record | None:
    """The record in ``folder``, or None when there is none that this version can read."""
    try:
        return parse_record((folder / "record.json").read_bytes())
    except (OSError, ValueError):  # missing, or damaged in any of the ways there are
        return None


def read_records(source: Path) -> Iterator[Record]:
    """The records below a folder of runs in the order of their keys, or those of an archive.

    What cannot be read is skipped with a line on standard error that names the file and the reason.

    Raises:
        UserError: an archive that cannot be opened.
    """
    for name, content in _archived(source) if source.is_file() else _loose(source):
        try:
            if isinstance(content, OSError):
                raise ValueError(content.strerror or str(content))
            record = parse_record(content, name)
        except ValueError as error:
            print(f"okdbench: skipped {name}: {printable(str(error))}", file=sys.stderr)
        else:
            yield record


def read_all(source: Path) -> list[Record]:
    """All of :func:`read_records`.

    Raises:
        UserError: there are none.
    """
    records = list(read_records(source))
    if not records:
        raise UserError(f"no records below {source}; make some with okdbench run, or name another folder with --runs")
    return records


def find_run(name: str, runs: Path) -> Path:
    """The folder of the run called ``name``: a run's folder, or a key below ``runs`` or the beginning of one.

    Raises:
        UserError: there is none, or more than one.
    """
    if _is_file(Path(name) / "record.json"):
        return Path(name)
    found = sorted(path.parent for path in runs.glob("*/record.json") if path.parent.name.startswith(name))
    found = [folder for folder in found if folder.name == name] or found
    if not found:
        raise UserError(f"there is no run {name!r} below {runs}; okdbench runs ls --runs {runs} lists them")
    if len(found) > 1:
        keys = ", ".join(folder.name for folder in found[:3])
        raise UserError(f"{len(found)} runs begin with {name!r}, such as {keys}; write more of the key")
    return found[0]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long for a file
        return False


def write_archive(path: Path, records: Iterable[Record]) -> None:
    """Store records in one gzipped file, a line each; equal records give equal bytes in whatever order they come."""
    ordered = sorted(records, key=lambda record: (record.dataset, record.track, record.method, record.key))
    lines = "".join(record.model_dump_json() + "\n" for record in ordered)
    write_atomic(path, gzip.compress(lines.encode(), mtime=0))


def _loose(runs: Path) -> Iterator[tuple[str, bytes | OSError]]:
    for path in sorted(runs.glob("*/record.json")):
        try:
            yield str(path), path.read_bytes()
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as error:
            yield str(path), error


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole archive of records ({error}); name another with --runs") from None
    for number, line in enumerate(content.splitlines(), 1):
        yield f"{path}:{number}", line


def parse_record(content: bytes, name: str = "") -> Record:
    """The record in ``content``; where it has a ``name``, it is said that it was of an older schema.

    Raises:
        ValueError: it is not one that this version can read; the message says why in a line.
    """
    try:
        fields = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply for a record") from None
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ValueError("it is not a record")
    if version > SCHEMA_VERSION:
        raise ValueError(f"its schema {version} is newer than {SCHEMA_VERSION}; update okdbench")
    if version < SCHEMA_VERSION and name:
        print(f"okdbench: {name} is of schema {version} and was read as one of {SCHEMA_VERSION}", file=sys.stderr)
    try:
        # what schema 2 added has a default
        return Record.model_validate(fields | {"schema_version": SCHEMA_VERSION})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
