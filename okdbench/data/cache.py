"""Pictures are decoded once, into a checked array of bytes on disk; damaged caches are rebuilt, never trained on."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock
from PIL import Image

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic
from okdbench.core.progress import counter
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.decoding import decode
from okdbench.data.images import BLOCK, Images

#: Changes whenever the same samples would be decoded to other bytes.
RECIPE = 2


#: What may be wrong with a folder that cannot be written.
_CURES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EACCES: "it is not writable: change its permissions",
    errno.EPERM: "it is not writable: change its permissions",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of this path is a file",
    errno.EEXIST: "a file is in its place",
}


# Large pictures are wanted here; beyond twice its limit, Pillow refuses them, and that is reported.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def load_domain(dataset: Dataset, domain: str, image_size: int, root: Path) -> Images:
    """All pictures of ``domain``, ordered by path, ``image_size`` x ``image_size``, through the cache ``root/cache``.

    Raises:
        UserError: pictures are missing or cannot be decoded, or the cache cannot be written.
    """
    samples = sorted(dataset.samples(domain, root), key=lambda sample: sample.path)
    if not samples:
        raise UserError(f"the domain {domain!r} has no pictures in {root}; check --data-root")
    key = _key(samples, image_size)
    file = root / "cache" / f"{dataset.name}-{domain}-{image_size}-{key[:16]}.npy"
    pixels = _read(file, key)
    if pixels is None:
        pixels = _build(file, key, samples, image_size)
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    return Images(pixels, labels, tuple(sample.path for sample in samples), dataset.source)


def _key(samples: Sequence[Sample], image_size: int) -> str:
    """SHA-256 of everything that the cached bytes depend on."""
    content = hashlib.sha256(json.dumps([RECIPE, PIL.__version__, image_size]).encode())
    for sample in samples:
        content.update(json.dumps([sample.path, sample.label, *_fingerprint(sample)]).encode())
    return content.hexdigest()


def _fingerprint(sample: Sample) -> tuple[str | int, ...]:
    """What changes with the sample's content: a hash, or for a file its size and time (reading all would take long)."""
    if isinstance(sample.source, np.ndarray):
        pixels = np.ascontiguousarray(sample.source)
        return (str(pixels.shape), hashlib.sha256(pixels.data).hexdigest())
    try:
        status = sample.source.stat()
    except OSError as error:
        raise UserError(f"cannot read the picture {sample.source} ({error.strerror}); check --data-root") from error
    return (status.st_size, status.st_mtime_ns, sample.sha256)


def _read(file: Path, key: str) -> npt.NDArray[np.uint8] | None:
    """The cached pixels as a memory map, or None when there are none or they are not those that were written."""
    try:
        manifest = json.loads(_manifest(file).read_bytes())
        with file.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
    if manifest != {"key": key, "sha256": checksum}:
        return None
    pixels: npt.NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    return pixels


def _build(file: Path, key: str, samples: Sequence[Sample], image_size: int) -> npt.NDArray[np.uint8]:
    """Decode ``samples`` into ``file`` and read it back; of several processes one does, the others wait for it."""
    with _writable(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            pixels = _read(file, key)
            if pixels is None:
                _write(file, key, samples, image_size)
                pixels = _read(file, key)
    if pixels is None:
        raise UserError(f"{file} reads differently from what was written; check the disk or change --data-root")
    return pixels


def _write(file: Path, key: str, samples: Sequence[Sample], image_size: int) -> None:
    """Write the array and the manifest that vouches for it; the caller holds the lock.

    When the process is killed or interrupted, the blocks that are on the disk stay, and the next start goes on there.
    """
    temporary = file.with_suffix(".part")
    try:
        # Plain writes, not a memory map: when the disk is full, they raise an error and a memory map kills the process.
        with temporary.open("a+b") as stream:
            _fill(stream, samples, image_size, f"reading {file.name.partition('-')[2].rpartition('-')[0]}")
            stream.seek(0)
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        write_atomic(_manifest(file), json.dumps({"key": key, "sha256": checksum}, indent=1).encode())
        os.replace(temporary, file)
        _drop_older(file)
    except Exception:
        temporary.unlink(missing_ok=True)
        raise


def _drop_older(file: Path) -> None:
    """Delete what other keys have left of the same domain and size; who still reads it keeps it until then."""
    for other in file.parent.glob(f"{file.stem.rpartition('-')[0]}-*.npy"):
        if other != file:
            other.unlink(missing_ok=True)
            _manifest(other).unlink(missing_ok=True)


def _fill(stream: BinaryIO, samples: Sequence[Sample], image_size: int, title: str) -> None:
    """Make the file a ``.npy`` array of all samples; whole blocks that it holds already are not decoded again."""
    header = io.BytesIO()
    shape = (len(samples), image_size, image_size, 3)
    np.lib.format.write_array_header_1_0(header, {"shape": shape, "fortran_order": False, "descr": "|u1"})
    block_bytes = BLOCK * image_size**2 * 3
    blocks_done = max(0, stream.seek(0, os.SEEK_END) - len(header.getvalue())) // block_bytes
    stream.truncate(len(header.getvalue()) + blocks_done * block_bytes if blocks_done else 0)
    if not blocks_done:
        stream.write(header.getvalue())
    with ThreadPoolExecutor() as pool, counter(title, len(samples)) as advance:
        advance(blocks_done * BLOCK)
        for start in range(blocks_done * BLOCK, len(samples), BLOCK):
            block = samples[start : start + BLOCK]
            stream.write(np.stack(list(pool.map(decode, block, repeat(image_size)))).data)
            stream.flush()
            os.fsync(stream.fileno())  # so that what a later start finds is what was written
            advance(len(block))


def _manifest(file: Path) -> Path:
    return file.with_suffix(".json")


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Turn the ways in which ``folder`` cannot be written into a UserError."""
    try:
        yield
    except OSError as error:
        cure = _CURES.get(error.errno or 0, str(error.strerror or error).lower())
        raise UserError(f"cannot write the picture cache {folder}: {cure}, or choose another --data-root") from error
