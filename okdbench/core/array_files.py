"""Named arrays in one ``.npz`` file, which is never half-written and never executes what is in it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from okdbench.core.files import write_atomic

if TYPE_CHECKING:
    import numpy.typing as npt

#: what numpy and zipfile raise for a missing or damaged file: TypeError for one that is a single array, RuntimeError
#: for flags of a zip file that say it is encrypted or patched
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, RuntimeError, zlib.error, zipfile.BadZipFile)


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Replace the file by these arrays, compressed and in their order."""
    import numpy as np  # here, so that a list of data sets does not load it

    # In memory first, because numpy writes an archive piece by piece.
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomic(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file in their order; each has a checksum, which is compared.

    Raises:
        ValueError: there is no such file, or it is damaged; the message says why.
    """
    import numpy as np

    try:
        # The file may come from anyone, and unpickling would execute code in it.
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error
