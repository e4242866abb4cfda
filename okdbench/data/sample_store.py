"""Samples that code makes, kept in a file of the data folder: making them takes seconds, and every run needs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from okdbench.core.array_files import read_arrays, write_arrays
from okdbench.core.code_digest import digest_of, sources_of
from okdbench.core.files import writing
from okdbench.data.dataset import Dataset, Sample


def kept_samples(
    dataset: Dataset, domain: str, root: Path, make: Callable[[], Iterable[Sample]], libraries: Sequence[str]
) -> tuple[Sample, ...]:
    """The samples of one domain from the file where an earlier call kept them, or made and kept now.

    They are made again when the code of the data set or the version of a library changes, or when the file is damaged.

    Args:
        dataset: the data set, which names the file and whose code is part of its key.
        domain: name of the domain.
        root: the data folder.
        make: makes the samples, with arrays of one shape as their sources.
        libraries: names of the distributions that the pixels depend on; numpy is always one of them.

    Raises:
        UserError: the file cannot be written.
    """
    depends_on = [digest_of(*sources_of(type(dataset))), *(f"{name} {version(name)}" for name in ("numpy", *libraries))]
    key = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:16]
    file = root / "cache" / f"{dataset.name}-{domain}-{key}.npz"
    kept = _read(file)
    if kept is None:
        kept = tuple(make())
        _write(file, kept)
    return kept


def _read(file: Path) -> tuple[Sample, ...] | None:
    """None without a readable file."""
    try:
        arrays = read_arrays(file)
        return tuple(map(Sample, arrays["paths"].tolist(), arrays["labels"].tolist(), arrays["pixels"]))
    except (ValueError, KeyError):
        return None


def _write(file: Path, samples: Sequence[Sample]) -> None:
    """Write the file and delete those of the same domain under other keys."""
    import numpy as np

    paths, labels, pixels = zip(*((sample.path, sample.label, sample.source) for sample in samples), strict=True)
    with writing(file.parent, "--data-root"):
        write_arrays(file, {"paths": np.array(paths), "labels": np.array(labels), "pixels": np.stack(pixels)})
        for other in file.parent.glob(f"{file.stem.rpartition('-')[0]}-*.npz"):
            if other != file:
                other.unlink(missing_ok=True)
