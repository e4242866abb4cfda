"""What an archive may do on this machine: how much it may write, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from okdbench.core.errors import UserError

MAX_BYTES = 200 * 2**30
MAX_MEMBERS = 5_000_000
MAX_DEPTH = 64  # folders are made and removed recursively
#: bytes that are read and written at a time; this bounds the memory
CHUNK_BYTES = 2**20

_JUNK = {".DS_Store", "Thumbs.db"}
_BY_HAND = "if you trust it, unpack it by hand"


@dataclass
class UnpackLimits:
    """Counts what an archive has written so far, and refuses what exceeds the limits.

    Attributes:
        archive: the archive, for error messages.
        max_bytes: the most that may be written.
        free: free bytes on the disk before anything was written.
        members: members so far.
        files: files so far.
        written: bytes so far.
    """

    archive: Path
    max_bytes: int
    free: int
    members: int = 0
    files: int = 0
    written: int = 0

    def check(self, size: int) -> None:
        """Check that ``size`` more bytes may be written.

        Raises:
            UserError: they exceed the limit or the free space.
        """
        if self.written + size > self.max_bytes:
            limit = f"{self.max_bytes / 2**30:.3g} GiB"
            raise UserError(f"{self.archive} unpacks to more than {limit}, the maximum; {_BY_HAND}")
        if self.written + size > self.free:
            raise UserError(
                f"{self.archive} unpacks to more than the {self.free / 2**30:.3g} GiB that are free on the disk; "
                "free some space, or choose another disk with --data-root"
            )

    def count_member(self) -> None:
        """Count a member.

        Raises:
            UserError: there are too many.
        """
        # Millions of empty files exhaust the inodes of a disk without exceeding any size.
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise UserError(f"{self.archive} has more than {MAX_MEMBERS} members; {_BY_HAND}")


def safe_path(archive: Path, name: str) -> PurePosixPath:
    """The relative path of a member.

    Raises:
        UserError: it is outside of the target folder or nested too deeply.
    """
    path = PurePosixPath(name.replace("\\", "/"))  # old Windows programs separate the parts by backslashes
    if ".." in path.parts or PureWindowsPath(name).anchor or "\0" in name:
        raise refusal(archive, name, "is outside of the target folder")
    if len(path.parts) > MAX_DEPTH:
        raise refusal(archive, name, "is nested too deeply")
    return path


def is_junk(path: PurePosixPath) -> bool:
    """Whether the file was left by a file manager: it is not an image, even if it has the suffix of one."""
    return "__MACOSX" in path.parts or path.name in _JUNK or path.name.startswith("._")


def refusal(archive: Path, name: str, reason: str) -> UserError:
    """The error for an archive whose member ``name`` must not be unpacked."""
    return UserError(f"{archive} is refused: its member {name!r} {reason}; {_BY_HAND}")
