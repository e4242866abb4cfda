"""An archive on its way to the disk: the bytes so far, where they came from, and whether they are the archive."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okdbench.core.files import write_atomic
from okdbench.data.remote import Remote

#: called with the bytes so far and, if known, their final number
Progress = Callable[[int, int | None], None]

_HTML = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)\b", re.IGNORECASE)


def mismatch(file: Path, remote: Remote) -> str | None:
    """Why ``file`` is not ``remote``, in a few words; None if it agrees with all that is known."""
    if not file.is_file():
        return "sent nothing"
    with file.open("rb") as stream:
        # A login page or a quota message is the usual answer of a server that does not send the file.
        if _HTML.match(stream.read(512)):
            return "sent a web page"
        if remote.size is not None and file.stat().st_size != remote.size:
            return f"sent {file.stat().st_size} bytes, not {remote.size}"
        for name, expected in remote.hashes.items():
            stream.seek(0)
            if hashlib.file_digest(stream, name).hexdigest() != expected:
                return f"sent another file (its {'SHA-256' if name == 'sha256' else 'MD5'} differs)"
    # Without a size or a hash, an archive format is the least that the bytes must have.
    known = remote.hashes or remote.size is not None
    return None if known or zipfile.is_zipfile(file) or tarfile.is_tarfile(file) else "sent no zip or tar archive"


class PartialFile:
    """The bytes of ``file`` that have arrived, and beside them a note: from which URL, and of which version.

    Args:
        file: the final path.
    """

    def __init__(self, file: Path) -> None:
        self.path = file.with_name(f"{file.name}.part")
        self._note = file.with_name(f"{file.name}.part.json")

    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, str | None]:
        """``url`` and ``version`` of the bytes; empty if the note is missing or damaged."""
        try:
            note = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def begin(self, url: str, version: str | None) -> None:
        """Start with no bytes; ``version`` is the server's name for the content."""
        # In this order: after a kill in between, the old bytes must not be found under the new note.
        self.path.write_bytes(b"")
        write_atomic(self._note, json.dumps({"url": url, "version": version}).encode())

    def delete(self) -> None:
        """Delete the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, file: Path) -> None:
        """Move the complete bytes to ``file``."""
        os.replace(self.path, file)
        self._note.unlink(missing_ok=True)


@dataclass(frozen=True)
class Transfer:
    """One archive on its way.

    Attributes:
        remote: what is known of the archive.
        part: where its bytes are written.
        progress: called with the bytes so far and, if known, their final number.
        timeout: seconds of silence after which a connection is closed.
    """

    remote: Remote
    part: PartialFile
    progress: Progress | None
    timeout: float


class OverwritingWriter(io.FileIO):
    """Replaces the bytes of ``part`` when the first new ones arrive: a source that sends nothing deletes nothing.

    Args:
        part: the bytes of an earlier source.
        url: the new source.
    """

    def __init__(self, part: PartialFile, url: str) -> None:
        super().__init__(part.path, "a")
        self._part, self._url, self._begun = part, url, False

    def write(self, data: Any) -> int:
        """Append ``data``; before the first write, the old bytes are deleted."""
        if not self._begun:
            self._part.begin(self._url, None)
            self._begun = True
        return super().write(data)
