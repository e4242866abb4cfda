"""The records of several folders and archives in one archive; the order of the sources does not matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.results.records import Record
from okdbench.results.repetitions import LeftOut, Reason, once_each
from okdbench.results.sources import ARCHIVE, files_of, paths_of
from okdbench.results.store import archive_of, archives_of, read_records

#: endings of an output that is meant as a file, but would not be found as an archive
_OTHER_ENDINGS = (".gz", ".json", ".jsonl", ".zip", ".tar")
#: keys in a line about runs that are left out
_MOST_KEYS = 5


def merge(
    sources: Sequence[Path], output: Path, replace: bool = False, report: Callable[[str], None] = print
) -> list[Path]:
    """Write the records of all sources, each run once, and return the archives.

    Superseded runs are kept: only tables leave them out.

    Args:
        sources: folders of runs, archives, and folders of these.
        output: an archive if its name ends in ``.jsonl.gz``, else a folder that gets an archive for each data set.
        replace: whether an output with other content may be replaced; a source never is.
        report: is called with each line about what was taken, and what is left out for which reason.

    Raises:
        UserError: a source has no record or cannot be read, or the output is not to be written.
    """
    if not output.name.endswith(ARCHIVE) and output.name.endswith(_OTHER_ENDINGS):
        raise UserError(f"{output}: an archive ends in {ARCHIVE}; name one, or a folder")
    found = {source: list(read_records(source, report)) for source in paths_of(sources)}
    if empty := [str(source) for source, records in found.items() if not records]:
        raise UserError(f"no records below {', '.join(empty)}; leave it out, or name another folder or archive")
    # Reversed, so that of equal records the first one is kept.
    kept, left_out = once_each(reversed([record for records in found.values() for record in records]))
    _report(found, kept, left_out, report)
    archives = {output: archive_of(kept)} if output.name.endswith(ARCHIVE) else archives_of(output, kept)
    with writing(output, "--output"):
        _refuse_loss(archives, sources, replace)
        for path, content in archives.items():
            write_atomic(path, content)
    return list(archives)


def _report(
    found: dict[Path, list[Record]], kept: list[Record], left_out: list[LeftOut], report: Callable[[str], None]
) -> None:
    taken = set(map(id, kept))
    for source, records in found.items():
        report(f"{source}: {sum(id(record) in taken for record in records)} of {len(records)} runs taken")
    for reason, count in Counter(one.reason for one in left_out).items():
        keys = [one.record.key for one in left_out if one.reason is reason]
        # Equal ones need no names, because nothing is lost.
        more = ", ..." if len(keys) > _MOST_KEYS else ""
        names = "" if reason is Reason.SAME else f" ({', '.join(keys[:_MOST_KEYS])}{more})"
        report(f"left out, {reason}: {count}{names}")


def _refuse_loss(archives: dict[Path, bytes], sources: Sequence[Path], replace: bool) -> None:
    """Raise a UserError if writing would replace a source, or another file without leave."""
    read = {file.resolve() for source in sources for file in files_of(source)}
    for path, content in archives.items():
        if path.resolve() in read:
            raise UserError(f"{path} is one of the sources, which are never replaced; choose another --output")
        if path.exists() and not replace and path.read_bytes() != content:
            raise UserError(f"{path} exists with other records; choose another --output, or replace it with --force")
