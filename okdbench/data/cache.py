"""Images are decoded once, into a checked array on disk; a damaged cache is rebuilt and never trained on."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.core.progress import counter
from okdbench.core.resize import Resize
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.decoding import decode, decoding_pool
from okdbench.data.images import BLOCK, Images

#: to be increased whenever the same samples are decoded to other bytes
RECIPE = 3

#: height, width and channels of an image
Shape = tuple[int, int, int]
Reader = Callable[[Sample], npt.NDArray[np.uint8]]


def load_domain(dataset: Dataset, domain: str, image_size: int, root: Path) -> Images:
    """All images of ``domain``, sorted by path, through the cache in ``root/cache``.

    Args:
        dataset: where the samples come from.
        domain: name of the domain.
        image_size: height and width in pixels to which the images are resized.
        root: the data folder.

    Raises:
        UserError: images are missing or cannot be decoded, or the cache cannot be written.
    """
    samples = sorted(dataset.samples(domain, root), key=lambda sample: sample.path)
    if not samples:
        raise UserError(f"the domain {domain!r} has no images in {root}; check --data-root")
    shape, resize = (image_size, image_size, dataset.channels), dataset.resize
    key = _key(samples, shape, resize)
    file = root / "cache" / f"{dataset.name}-{domain}-{image_size}-{key[:16]}.npy"
    pixels = _read(file, key)
    if pixels is None:
        pixels = _build(file, key, samples, shape, resize)
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    return Images(pixels, labels, tuple(sample.path for sample in samples), dataset.extra_key)


# The key: what the cached bytes depend on.


def _key(samples: Sequence[Sample], shape: Shape, resize: str) -> str:
    """SHA-256 of everything that the cached bytes depend on."""
    # The usual rule is not named, so that caches from before there were others stay valid.
    rule = [] if resize == Resize.STRETCH else [resize]
    content = hashlib.sha256(json.dumps([RECIPE, PIL.__version__, *shape[1:], *rule]).encode())
    for sample in samples:
        content.update(json.dumps([sample.path, sample.label, *_fingerprint(sample)]).encode())
    return content.hexdigest()


def _fingerprint(sample: Sample) -> tuple[str | int, ...]:
    """Changes with the content: the hash of an array, size and time of a file (reading all files takes too long)."""
    if isinstance(sample.source, np.ndarray):
        pixels = np.ascontiguousarray(sample.source)
        return (str(pixels.shape), hashlib.sha256(pixels.data).hexdigest())
    try:
        status = sample.source.stat()
    except OSError as error:
        raise UserError(f"cannot read the image {sample.source} ({error.strerror}); check --data-root") from error
    return (status.st_size, status.st_mtime_ns, sample.sha256)


# The files: an array, and a manifest with its checksum.


def _manifest(file: Path) -> Path:
    return file.with_suffix(".json")


def _read(file: Path, key: str) -> npt.NDArray[np.uint8] | None:
    """The cached pixels as a memory map; None if there are none, or if they are not the bytes that were written."""
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


def _build(file: Path, key: str, samples: Sequence[Sample], shape: Shape, resize: str) -> npt.NDArray[np.uint8]:
    """Decode ``samples`` into ``file`` and read it back; of several processes one decodes and the others wait."""
    with writing(file.parent, "--data-root"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            # Another process may have written it while this one waited for the lock.
            pixels = _read(file, key)
            if pixels is None:
                _write(file, key, samples, shape, resize)
                pixels = _read(file, key)
    if pixels is None:
        raise UserError(f"{file} differs from what was written; check the disk or choose another --data-root")
    return pixels


def _write(file: Path, key: str, samples: Sequence[Sample], shape: Shape, resize: str) -> None:
    """Write the array and its manifest; the caller holds the lock.

    When the process is killed or interrupted, the blocks on the disk are kept, and the next call continues after them.
    """
    temporary = file.with_suffix(".part")
    try:
        # Plain writes: on a full disk they raise an error, while a write to a memory map kills the process.
        with temporary.open("a+b") as stream:
            read = partial(decode, size=shape[0], channels=shape[2], resize=resize)
            _fill(stream, samples, shape, read, f"reading {file.name.partition('-')[2].rpartition('-')[0]}")
            stream.seek(0)
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        # The manifest first: without its array it is ignored, and an array is never without its checksum.
        write_atomic(_manifest(file), json.dumps({"key": key, "sha256": checksum}, indent=1).encode())
        os.replace(temporary, file)
        _delete_older(file)
    except Exception:
        temporary.unlink(missing_ok=True)
        raise


def _fill(stream: BinaryIO, samples: Sequence[Sample], shape: Shape, read: Reader, title: str) -> None:
    """Write a ``.npy`` array of all samples; whole blocks that the file has already are not decoded again."""
    header = io.BytesIO()
    whole = (len(samples), *shape)
    np.lib.format.write_array_header_1_0(header, {"shape": whole, "fortran_order": False, "descr": "|u1"})
    block_bytes = BLOCK * math.prod(shape)
    blocks_done = max(0, stream.seek(0, os.SEEK_END) - len(header.getvalue())) // block_bytes
    stream.truncate(len(header.getvalue()) + blocks_done * block_bytes if blocks_done else 0)
    if not blocks_done:
        stream.write(header.getvalue())
    with decoding_pool() as pool, counter(title, len(samples)) as advance:
        advance(blocks_done * BLOCK)
        for start in range(blocks_done * BLOCK, len(samples), BLOCK):
            block = samples[start : start + BLOCK]
            stream.write(np.stack(list(pool.map(read, block))).data)
            stream.flush()
            os.fsync(stream.fileno())  # the next start trusts every whole block that it finds
            advance(len(block))


def _delete_older(file: Path) -> None:
    """Delete the caches of the same domain and size under other keys; a process that has one open keeps it."""
    for other in file.parent.glob(f"{file.stem.rpartition('-')[0]}-*.npy"):
        if other != file:
            other.unlink(missing_ok=True)
            _manifest(other).unlink(missing_ok=True)
