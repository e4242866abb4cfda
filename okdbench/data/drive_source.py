"""Downloads an archive from Google Drive with gdown, which always starts from the first byte."""

from __future__ import annotations

import io

import gdown
import requests
from gdown.exceptions import DownloadError, FileURLRetrievalError

from okdbench.data.partial_file import OverwritingWriter, Transfer
from okdbench.data.remote import GOOGLE_DRIVE, SourceError, TransientSourceError


def receive(url: str, transfer: Transfer) -> None:
    """Download the file ``gdrive:FILE_ID``.

    Raises:
        SourceError: Google Drive refuses to send the file, for example when its daily quota is used up.
        TransientSourceError: the connection was cut.
        OSError: the disk cannot be written.
    """
    key, timeout = url.removeprefix(GOOGLE_DRIVE), transfer.timeout
    try:
        # gdown answers the page that Google Drive shows in place of a large file.
        with io.BufferedWriter(OverwritingWriter(transfer.part, url)) as stream:
            done = gdown.download(id=key, output=stream, quiet=True, progress=transfer.progress, timeout=timeout)
    except FileURLRetrievalError as error:
        raise SourceError.because(error) from error
    except (requests.ConnectionError, requests.Timeout, DownloadError) as error:
        raise TransientSourceError.because(error) from error
    except Exception as error:
        # RequestException is an OSError too; all other OSErrors are about the disk.
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            raise
        raise SourceError.because(error) from error
    if done is None:
        raise SourceError("sent nothing")
