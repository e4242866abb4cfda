"""Archives are downloaded completely or not at all: partial downloads continue, and the result is verified."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from okdbench.core.errors import UserError
from okdbench.core.files import writing
from okdbench.core.locks import Lock
from okdbench.data.partial_file import PartialFile, Progress, Transfer, mismatch
from okdbench.data.remote import GOOGLE_DRIVE, Remote, SourceError, TransientSourceError

#: seconds between two attempts at most, unless the server asks for more
MAX_PAUSE = 60.0


def fetch(
    remote: Remote,
    folder: Path,
    progress: Progress | None = None,
    *,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
) -> Path:
    """Download ``remote`` to ``folder`` unless it is there; of several processes one downloads, the others wait.

    Args:
        remote: the archive and its sources.
        folder: where to save it; made if necessary.
        progress: called with the bytes so far and, if known, their final number.
        timeout: seconds of silence after which a connection is closed.
        attempts: consecutive attempts without new bytes after which a source is skipped.
        pause: seconds before the second attempt; doubled for each further one.

    Returns:
        The verified archive.

    Raises:
        UserError: no source has the archive, or ``folder`` cannot be written; the bytes so far are kept.
    """
    file = folder / remote.name
    with writing(folder, "--data-root"):
        if mismatch(file, remote) is None:
            return file
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(folder / f"{remote.name}.lock"):
            # Another process may have downloaded it while this one waited for the lock.
            if mismatch(file, remote) is not None:
                part = PartialFile(file)
                _try_sources(Transfer(remote, part, progress, timeout), attempts, pause)
                part.finish(file)
    return file


def _try_sources(transfer: Transfer, attempts: int, pause: float) -> None:
    """Fill the part with the complete, verified archive from the first source that has it."""
    failures = []
    for url in transfer.remote.urls:
        try:
            return _try_source(url, transfer, attempts, pause)
        except SourceError as error:
            host = "Google Drive" if url.startswith(GOOGLE_DRIVE) else urlsplit(url).hostname or url
            failures.append(f"{host}: {error}")
    reasons = "; ".join(failures) or "no source is known"
    raise UserError(
        f"cannot download {transfer.remote.name} ({reasons}); check the network and run the same command again"
    )


def _try_source(url: str, transfer: Transfer, attempts: int, pause: float) -> None:
    """Request ``url`` until the archive is complete, or until ``attempts`` in a row brought no new bytes."""
    failed, most = 0, 0
    while True:
        try:
            _receive(url, transfer)
            break
        except TransientSourceError as error:
            size = transfer.part.size()
            # An attempt that brought new bytes resets the count: a large file may be cut many times.
            failed, most = (1, size) if size > most else (failed + 1, most)
            if failed >= attempts:
                raise
            time.sleep(max(error.wait, min(pause * 2 ** (failed - 1), MAX_PAUSE)))
    reason = mismatch(transfer.part.path, transfer.remote)
    if reason is not None:
        transfer.part.delete()
        raise SourceError(reason)


def _receive(url: str, transfer: Transfer) -> None:
    # Imported here: requests and gdown take half a second, and most commands download nothing.
    if url.startswith(GOOGLE_DRIVE):
        from okdbench.data import drive_source

        drive_source.receive(url, transfer)
    else:
        from okdbench.data import http_source

        http_source.receive(url, transfer)
