"""Files that are never half-written, and what to say when the disk refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from okdbench.core.errors import UserError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing(folder: Path, option: str = "--runs") -> Iterator[None]:
    """Turn what goes wrong with the disk into advice; ``option`` chooses another folder."""
    try:
        yield
    except OSError as error:
        full = error.errno in NO_ROOM
        what = "the disk is full" if full else str(error.strerror or error)
        cure = "free some space and run the same command again" if full else f"choose another with {option}"
        raise UserError(f"cannot write to {error.filename or folder}: {what}; {cure}") from error


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it was; no reader ever sees a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def printable(text: str) -> str:
    """The text with whatever a terminal would act on spelt out; for texts that come from elsewhere."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def default_data_root() -> Path:
    """The data folder without ``--data-root``: ``$OKDBENCH_DATA`` or one in the user's cache."""
    return Path(os.environ.get("OKDBENCH_DATA") or Path.home() / ".cache" / "okdbench")
