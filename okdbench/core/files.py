"""Files that are never half-written, and error messages for a disk that refuses to write."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from okdbench.core.errors import UserError

#: error numbers of a write that fails because there is no space: full disk, quota, size limit of a file
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing(folder: Path, option: str = "--runs") -> Iterator[None]:
    """Turn an OSError inside the block into a message with its fix.

    Args:
        folder: named in the message if the error names no file.
        option: the option that selects another folder.

    Raises:
        UserError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in NO_ROOM
        problem = "the disk is full" if full else str(error.strerror or error)
        cure = "free some space and run the same command again" if full else f"choose another with {option}"
        raise UserError(f"cannot write to {error.filename or folder}: {problem}; {cure}") from error


def write_atomic(path: Path, content: bytes) -> None:
    """Replace the content of ``path``, or leave the file unchanged; no reader ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # the process id keeps concurrent writers of one file apart
    # in the same folder, because a rename cannot cross file systems
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the rename, which may otherwise reach the disk first
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def printable(text: str) -> str:
    """The text with control characters escaped, so that text from another source cannot control the terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def default_data_root() -> Path:
    """The data folder without ``--data-root``: ``$OKDBENCH_DATA``, or ``okdbench`` in the user's cache folder."""
    return Path(os.environ.get("OKDBENCH_DATA") or Path.home() / ".cache" / "okdbench").expanduser()
