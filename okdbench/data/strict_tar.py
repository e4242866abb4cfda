"""tarfile made strict: damage is an error, memory is bounded, and the archive is decompressed only once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable
from typing import IO, Self, cast

from okdbench.data.archive_safety import CHUNK_BYTES

_MAX_HEADER = 2**24  # tarfile reads a header into memory at once, and a malicious one may have any size
_OPENERS: dict[bytes, Callable[..., object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


def open_tar(stream: ForwardStream) -> tarfile.TarFile:
    """The archive in ``stream``; its members can be read only in their order.

    Raises:
        tarfile.TarError: it does not start like a tar archive.
    """
    return tarfile.TarFile(fileobj=cast("IO[bytes]", stream), tarinfo=_StrictHeader)


class _StrictHeader(tarfile.TarInfo):
    """Raises an error for damage that tarfile treats as the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        """The next header.

        Raises:
            tarfile.ReadError: it is damaged.
        """
        try:
            header = super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            # EOFHeaderError is private to tarfile; it is the regular end of an archive.
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0:
            raise tarfile.ReadError("negative size")
        return header


class ForwardStream:
    """The decompressed archive as tarfile reads it: only forwards, and never more than fits into memory.

    Args:
        raw: the compressed or plain file, at its start.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        # By content, not by suffix: downloads are often named .tar when they are compressed.
        head = raw.read(6)
        raw.seek(0)
        opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
        self._stream = cast("IO[bytes]", opener(raw)) if opener else raw
        self._position = 0

    def tell(self) -> int:
        """Position in the decompressed archive."""
        return self._position

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, or fewer at the end.

        Raises:
            tarfile.ReadError: the size is negative or not plausible.
        """
        if not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        content = self._stream.read(size)
        self._position += len(content)
        return content

    def seek(self, position: int) -> int:
        """Skip to ``position``.

        Raises:
            tarfile.ReadError: it is behind the current one.
        """
        if position < self._position:  # versions of tarfile that follow negative sizes would loop forever
            raise tarfile.ReadError("members overlap")
        while self._position < position and self.read(min(CHUNK_BYTES, position - self._position)):
            pass
        return self._position

    def finish(self) -> None:
        """Read to the end, where the checksum is; tarfile stops at the first empty header.

        Raises:
            tarfile.ReadError: there are more members after the empty header.
        """
        while content := self.read(CHUNK_BYTES):
            if content.strip(b"\0"):
                raise tarfile.ReadError("content after its end")
