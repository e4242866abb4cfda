"""Records on disk: a JSON file per run, or a gzipped archive with a line per run.

Writing is atomic: a reader sees the old file or the new one. A file that cannot be read is reported and skipped, so
that one damaged run does not hide the others.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from okdbench.core.errors import UserError
from okdbench.core.files import printable, write_atomic
from okdbench.core.notices import say
from okdbench.results.records import SCHEMA_VERSION, Record
from okdbench.results.repetitions import Reason, once_each
from okdbench.results.sources import ARCHIVE, RECORD, Source, files_of, paths_of, run_folders


def write_record(folder: Path, record: Record) -> None:
    """Store ``record`` as ``folder/record.json``."""
    write_atomic(folder / RECORD, (record.model_dump_json(indent=1) + "\n").encode())


def read_record(folder: Path) -> Record | None:
    """The record in ``folder``, or None when there is none that this version can read."""
    try:
        return parse_record((folder / RECORD).read_bytes())
    except (OSError, ValueError):  # missing, or damaged in one of many ways
        return None


def read_records(source: Path, report: Callable[[str], None] = say) -> Iterator[Record]:
    """The records of a folder or archive, as often as they are there; see :func:`okdbench.results.sources.files_of`.

    What cannot be read is skipped with a line that names the file and the reason. Another line names the first record
    of an older schema and counts the others.

    Args:
        source: a folder of runs, an archive, or a folder of these.
        report: is called with each line; prints it on standard error by default.

    Raises:
        UserError: an archive that cannot be opened.
    """
    older: list[str] = []
    for name, content in _contents(source):
        try:
            # A file that cannot be opened is reported in the same way as one that cannot be parsed.
            if isinstance(content, OSError):
                raise ValueError(content.strerror or str(content))
            fields = _fields(content)
            record = _validated(fields)
        except ValueError as error:
            report(f"skipped {name}: {printable(str(error))}")
        else:
            if fields["schema_version"] < SCHEMA_VERSION:
                older.append(f"{name} has schema {fields['schema_version']} and was read as schema {SCHEMA_VERSION}")
            yield record
    if older:
        report(older[0] + (f"; so were {len(older) - 1} more of an older schema" if len(older) > 1 else ""))


def read_all(sources: Source | Iterable[Source], none_is_fine: bool = False) -> list[Record]:
    """The records of one folder or archive, or of several together, sorted by key.

    Each run counts once (:func:`okdbench.results.repetitions.once_each`); a line on standard error counts those that
    are there with different results.

    Args:
        sources: where the records are; see :func:`okdbench.results.sources.files_of`.
        none_is_fine: a source may be without records. Otherwise that is an error, because a misspelt name must not make
            a smaller table.

    Raises:
        UserError: a source has no record, or an archive cannot be opened.
    """
    found = {source: list(read_records(source)) for source in paths_of(sources)}
    empty = [source for source, members in found.items() if not members]
    if not none_is_fine and (empty or not found):
        where = ", ".join(map(str, empty))
        raise UserError(f"no records below {where}; make some with okdbench run, or name another folder with --runs")
    records, left_out = once_each(record for members in found.values() for record in members)
    differing = [record.key for record, reason in left_out if reason is not Reason.SAME]
    if differing:
        say(
            f"{len(differing)} runs are there more than once and differ, such as {differing[0]}; "
            "a finished one counts, of several the last"
        )
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
    folders = run_folders(runs)
    return folders[_only(name, folders, str(runs))]


def find_record(name: str, runs: Path) -> tuple[Path, Record]:
    """The folder and the record of the run called ``name``; see :func:`find_run`.

    Raises:
        UserError: there is no such run, more than one, or its record cannot be read.
    """
    folder = find_run(name, runs)
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder / RECORD} is not a record that this version reads; run it again")
    return folder, record


def find_among(name: str, sources: Iterable[Source]) -> tuple[Path | None, Record]:
    """The run called ``name`` among folders and archives, with its folder unless it is in an archive alone.

    Raises:
        UserError: there is no such run, more than one, or its record cannot be read.
    """
    folders = run_folders(sources)
    # First without reading every record.
    if _has_record(Path(name)) or any(key.startswith(name) for key in folders):
        folder = Path(name) if _has_record(Path(name)) else folders[_only(name, folders, _joined(sources))]
        return find_record(str(folder), folder.parent)
    records = {record.key: record for record in read_all(sources, none_is_fine=True)}
    return None, records[_only(name, records, _joined(sources))]


def _only(name: str, keys: Iterable[str], runs: str) -> str:
    """The key that is called ``name``, or the only one that begins with it; ``runs`` is where they are."""
    found = sorted(key for key in keys if key.startswith(name))
    # A key that is the beginning of another one still names its own run.
    found = [key for key in found if key == name] or found
    if not found:
        raise UserError(f"there is no run {name!r} below {runs}; okdbench runs ls --runs {runs} lists them")
    if len(found) > 1:
        raise UserError(f"{len(found)} runs begin with {name!r}, such as {', '.join(found[:3])}; write more of the key")
    return found[0]


def _joined(sources: Iterable[Source]) -> str:
    return " --runs ".join(map(str, sources))


def _has_record(folder: Path) -> bool:
    try:
        return (folder / RECORD).is_file()
    except OSError:  # the name is too long for a file
        return False


def archive_of(records: Iterable[Record]) -> bytes:
    """Records as a gzipped file, one line each; equal records in any order give equal bytes."""
    ordered = sorted(records, key=lambda record: (record.dataset, record.track, record.method, record.key))
    lines = "".join(record.model_dump_json() + "\n" for record in ordered)
    # mtime=0, because gzip would store the time, so that equal records would give other bytes.
    return gzip.compress(lines.encode(), mtime=0)


def archives_of(folder: Path, records: Iterable[Record]) -> dict[Path, bytes]:
    """``folder/<dataset>.jsonl.gz`` -> content of the archive, for each data set."""
    members: dict[str, list[Record]] = {}
    for record in records:
        members.setdefault(record.dataset, []).append(record)
    return {folder / f"{dataset}{ARCHIVE}": archive_of(members[dataset]) for dataset in sorted(members)}


def write_archive(path: Path, records: Iterable[Record]) -> None:
    """Store records in one archive."""
    write_atomic(path, archive_of(records))


def write_archives(folder: Path, records: Iterable[Record]) -> list[Path]:
    """Write ``folder/<dataset>.jsonl.gz`` with the records of each data set, and return these files."""
    archives = archives_of(folder, records)
    for path, content in archives.items():
        write_atomic(path, content)
    return list(archives)


def _contents(source: Path) -> Iterator[tuple[str, bytes | OSError]]:
    """Name and content of each record in a source; the error for a file that cannot be opened."""
    for file in files_of(source):
        if file.name != RECORD:
            yield from _archived(file)
            continue
        try:
            yield str(file), file.read_bytes()
        except FileNotFoundError:  # removed since the folder was listed
            continue
        except OSError as error:
            yield str(file), error


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
        # Everything that schemas 2 to 4 added has a default.
        return Record.model_validate(fields | {"schema_version": SCHEMA_VERSION})
    except ValidationError as error:
        # The whole message of pydantic has several lines for each error; one of them is enough to find the fault.
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
