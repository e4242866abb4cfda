"""Images are decoded once, into a checked array on disk; a damaged cache is rebuilt and never trained on."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.core.locks import Lock
from okdbench.core.progress import counter
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.decoding import UnreadableError, decode, decoding_pool, measured_range
from okdbench.data.image_form import ImageForm
from okdbench.data.images import BLOCK, Images

#: to be increased whenever the same samples are decoded to other bytes
RECIPE = 5


class Cached(NamedTuple):
    """The cached pixels as a memory map, and what was white in files of more than eight bits."""

    pixels: npt.NDArray[np.uint8]
    max_value: float | None


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
    form = dataset.form(image_size)
    others = [each for name in dataset.of_one_range(domain) if name != domain for each in dataset.samples(name, root)]
    key = _key([*samples, *others], form)
    file = root / "cache" / f"{dataset.name}-{domain}-{image_size}-{key[:16]}.npy"
    cached = _read(file, key) or _build(file, key, samples, form, others)
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    groups = tuple(sample.group for sample in samples) if any(sample.group for sample in samples) else ()
    paths = tuple(sample.path for sample in samples)
    return Images(cached.pixels, labels, paths, dataset.extra_key, cached.max_value, groups)


# The key: what the cached bytes depend on.


def _key(samples: Sequence[Sample], form: ImageForm) -> str:
    """SHA-256 of everything that the cached bytes depend on."""
    content = hashlib.sha256(json.dumps([RECIPE, PIL.__version__, *_named(form)]).encode())
    for sample in samples:
        content.update(json.dumps([sample.path, sample.label, *_fingerprint(sample)]).encode())
    return content.hexdigest()


def _named(form: ImageForm) -> list[object]:
    """The form, of the last two only what is unusual, so that older caches keep their keys."""
    usual = ImageForm(form.size)
    late = [value for value, default in zip(form[4:], usual[4:], strict=True) if value != default]
    return [list(form.shape), form.resize, form.max_value, *late]


def _fingerprint(sample: Sample) -> tuple[str | int, ...]:
    """Changes with the content: the hash of an array, size and times of a file (reading all files takes too long)."""
    if isinstance(sample.source, np.ndarray):
        pixels = np.ascontiguousarray(sample.source)
        return (str(pixels.shape), hashlib.sha256(pixels.data).hexdigest())
    try:
        status = sample.source.stat()
    except OSError as error:
        raise UserError(f"cannot read the image {sample.source} ({error.strerror}); check --data-root") from error
    # What archives set to one time, and what is moved over another file, differs in the time of the last change.
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, sample.sha256)


# The files: an array, and a manifest with its checksum.


def _manifest(file: Path) -> Path:
    return file.with_suffix(".json")


def _read(file: Path, key: str) -> Cached | None:
    """The cached pixels; None if there are none, or if they are not the bytes that were written."""
    try:
        manifest = json.loads(_manifest(file).read_bytes())
        # Opened once: another process may put another array in its place at any time.
        with file.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
            if not isinstance(manifest, dict) or (manifest.get("key"), manifest.get("sha256")) != (key, checksum):
                return None
            return Cached(_mapped(stream), manifest.get("max_value"))
    except (OSError, ValueError):
        return None


def _mapped(stream: BinaryIO) -> npt.NDArray[np.uint8]:
    """The ``.npy`` array of an open file, left on the disk."""
    stream.seek(0)
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return np.memmap(stream, dtype, "r", stream.tell(), shape)


def _build(file: Path, key: str, samples: Sequence[Sample], form: ImageForm, others: Sequence[Sample]) -> Cached:
    """Decode ``samples`` into ``file`` and read it back; of several processes one decodes and the others wait."""
    with writing(file.parent, "--data-root"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with Lock(file.with_suffix(".lock")):
            # Another process may have written it while this one waited for the lock.
            cached = _read(file, key)
            if cached is None:
                _write(file, key, samples, form, others)
                cached = _read(file, key)
    if cached is None:
        raise UserError(f"{file} differs from what was written; check the disk or choose another --data-root")
    return cached


def _write(file: Path, key: str, samples: Sequence[Sample], form: ImageForm, others: Sequence[Sample]) -> None:
    """Write the array and its manifest; the caller holds the lock, and ``others`` are of one range with ``samples``.

    When the process is killed or interrupted, the blocks on the disk are kept, and the next call continues after them.
    """
    temporary = file.with_suffix(".part")
    try:
        files = (at for sample in [*samples, *others] if isinstance(at := sample.source, Path))
        asked = _named(form)
        form = form._replace(max_value=form.max_value or measured_range(files))
        # Plain writes: on a full disk they raise an error, while a write to a memory map kills the process.
        with temporary.open("a+b") as stream:
            _fill(stream, samples, form, f"reading {file.name.partition('-')[2].rpartition('-')[0]}")
            stream.seek(0)
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        # The manifest first: without its array it is ignored, and an array is never without its checksum.
        manifest = {"key": key, "sha256": checksum, "max_value": form.max_value, "form": asked}
        write_atomic(_manifest(file), json.dumps(manifest, indent=1).encode())
        os.replace(temporary, file)
        _delete_older(file, asked)
    except Exception:
        temporary.unlink(missing_ok=True)
        raise


def _fill(stream: BinaryIO, samples: Sequence[Sample], form: ImageForm, title: str) -> None:
    """Write a ``.npy`` array of all samples; whole blocks that the file has already are not decoded again.

    Raises:
        UnreadableError: names all images that cannot be read.
    """
    header = io.BytesIO()
    whole = (len(samples), *form.shape)
    np.lib.format.write_array_header_1_0(header, {"shape": whole, "fortran_order": False, "descr": "|u1"})
    block_bytes = BLOCK * math.prod(form.shape)
    blocks_done = max(0, stream.seek(0, os.SEEK_END) - len(header.getvalue())) // block_bytes
    stream.truncate(len(header.getvalue()) + blocks_done * block_bytes if blocks_done else 0)
    if not blocks_done:
        stream.write(header.getvalue())
    unreadable: list[tuple[Path, str]] = []

    def attempt(sample: Sample) -> npt.NDArray[np.uint8] | None:
        try:
            return decode(sample, form)
        except UnreadableError as error:
            unreadable.extend(error.images)
            return None

    with decoding_pool() as pool, counter(title, len(samples)) as advance:
        advance(blocks_done * BLOCK)
        for start in range(blocks_done * BLOCK, len(samples), BLOCK):
            block = samples[start : start + BLOCK]
            decoded = [pixels for pixels in pool.map(attempt, block) if pixels is not None]
            if not unreadable:  # otherwise the rest is read for its errors alone
                stream.write(np.stack(decoded).data)
                stream.flush()
                os.fsync(stream.fileno())  # the next start trusts every whole block that it finds
            advance(len(block))
    if unreadable:
        raise UnreadableError(sorted(unreadable))


def _delete_older(file: Path, form: list[object]) -> None:
    """Delete the caches of the same domain and form under other keys; a process that has one open keeps it.

    Those of another form are another run's, which may be reading them now.
    """
    for other in file.parent.glob(f"{file.stem.rpartition('-')[0]}-*.npy"):
        if other != file and _form_of(other) in (None, form):
            other.unlink(missing_ok=True)
            _manifest(other).unlink(missing_ok=True)


def _form_of(file: Path) -> object:
    """The form in which a cache has its images; None if it does not say."""
    with suppress(OSError, ValueError):
        manifest = json.loads(_manifest(file).read_bytes())
        return manifest.get("form") if isinstance(manifest, dict) else None
    return None
