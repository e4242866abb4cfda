"""An archive on the web as a data set declares it, and the two ways in which one of its sources fails."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Self

#: prefix of a URL that is the ID of a file on Google Drive
GOOGLE_DRIVE = "gdrive:"


@dataclass(frozen=True)
class Remote:
    """An archive on the web: its sources in order of preference, and what is known of its content.

    Attributes:
        name: local file name.
        urls: sources, each ``http(s)://...`` or ``gdrive:FILE_ID``.
        size: length in bytes, if known.
        sha256: hash in hexadecimal, if known.
        md5: the same of the older hash that torchvision lists.
        domains: domains of the data set in this archive; () stands for all.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    domains: tuple[str, ...] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """Name of the algorithm -> the known hash in hexadecimal."""
        return {name: value.lower() for name, value in (("sha256", self.sha256), ("md5", self.md5)) if value}


class SourceError(Exception):
    """The source does not have the archive; the message says why, in a few words."""

    @classmethod
    def because(cls, error: Exception) -> Self:
        """The exception for one of a library, whose message may have many lines."""
        return cls(textwrap.shorten(str(error), 100, placeholder=" ...") or type(error).__name__)


class TransientSourceError(SourceError):
    """The source may have the archive after ``wait`` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait
