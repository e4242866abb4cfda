"""The file of a local method, as a record keeps it: to read, and to run again under the eyes of the user.

A record may come from anyone, so nothing here executes the file, and its name cannot leave the folder.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from okdbench.core import plugin_files
from okdbench.core.command import read_command
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.core.plugins import LOCAL
from okdbench.results.records import Record


def text_of(record: Record) -> str:
    """The file's text.

    Raises:
        UserError: the record has none; the message says why.
    """
    if record.origin != LOCAL:
        where = f"the package {record.origin}" if record.origin else "okdbench"
        raise UserError(f"the method of run {record.key}, {record.method!r}, is a part of {where}, not a local file")
    if not record.method_text:
        raise UserError(
            f"run {record.key} kept no file: it was made by an older version, or the file of {record.method!r} is too "
            "long or not UTF-8; ask its author"
        )
    return record.method_text


def write(record: Record, folder: Path) -> Path:
    """Write the file into a folder, under the method's name, which is a part of the run's key; returns its path.

    Raises:
        UserError: the record has no file, another file is there, or the folder cannot be written.
    """
    content, path = text_of(record).encode(), _path(record, folder)
    with writing(folder, "--output"):
        if path.exists() and path.read_bytes() != content:
            raise UserError(f"{path} is another file; choose another --output")
        write_atomic(path, content)
    return path


def command_for(record: Record, folder: Path) -> str:
    """The command that repeats the run with the file in this folder.

    Raises:
        UserError: the record's command cannot be trusted.
    """
    # An error for everything but `okdbench run` with options that say what to compute; the rest is quoted.
    read_command(record.command)
    words = shlex.split(record.command)
    if "--method" not in words[:-1]:
        raise UserError("its command names no method")
    words[words.index("--method") + 1] = str(_path(record, folder))
    return shlex.join(words)


def _path(record: Record, folder: Path) -> Path:
    if not plugin_files.is_name(record.method):
        raise UserError(f"{record.method!r} is no name of a method's file")
    return folder / f"{record.method}.py"
