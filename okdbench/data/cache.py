"""Pictures are decoded once, into a checked array of bytes on disk; damaged caches are rebuilt, never trained on."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError

from okdbench.data.dataset import Dataset, Sample
from okdbench.data.rows import Pixels, Rows
from okdbench.errors import UserError
from okdbench.progress import counter
from okdbench.records import write_atomic

#: Changes whenever the same samples would be decoded to other bytes.
RECIPE = 2

#: What Pillow raises for pictures that are cut off, damaged or no pictures at all.
_UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)

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

#: bytes of one part of a data set that are copied into memory; a larger part stays in its file
_IN_MEMORY = 2**30

# Large pictures are wanted here; beyond twice its limit, Pillow refuses them, and that is reported.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_BLOCK = 1024  # pictures that are decoded, written or hashed at a time: this bounds the memory


@dataclass(frozen=True, eq=False)
class Images:
    """N labelled pictures of one or more domains.

    Attributes:
        pixels: N x H x W x 3, perhaps a read-only memory map, or rows of some that are read when they are asked for.
        labels: N class indices.
        paths: N relative paths, the samples' names.
        source: hash of the data set's file unless it comes along, for it says more than what is in the pictures.
    """

    pixels: Pixels | Rows
    labels: npt.NDArray[np.int64]
    paths: tuple[str, ...]
    source: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of paths, labels and pixels in hexadecimal; it is part of a run's key."""
        content = hashlib.sha256(json.dumps([self.paths, self.labels.tolist(), self.pixels.shape]).encode())
        content.update(self.source.encode())
        for start in range(0, len(self), _BLOCK):
            content.update(np.ascontiguousarray(self.pixels[start : start + _BLOCK]).data)
        return content.hexdigest()

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """The pictures at ``indices``, in that order; copied into memory unless there are too many of them."""
        rows = Rows.of(self.pixels).take(indices)
        return Images(_copied(rows), self.labels[indices], tuple(self.paths[i] for i in indices), self.source)

    @staticmethod
    def concatenate(parts: Sequence[Images]) -> Images:
        """The pictures of all ``parts``, one part after the other; all have the same height and width."""
        return Images(
            _copied(Rows.chain([Rows.of(part.pixels) for part in parts])),
            np.concatenate([part.labels for part in parts]),
            tuple(path for part in parts for path in part.paths),
            parts[0].source,
        )


def _copied(rows: Rows) -> Pixels | Rows:
    return rows[:] if rows.nbytes <= _IN_MEMORY else rows


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
    block_bytes = _BLOCK * image_size**2 * 3
    blocks_done = max(0, stream.seek(0, os.SEEK_END) - len(header.getvalue())) // block_bytes
    stream.truncate(len(header.getvalue()) + blocks_done * block_bytes if blocks_done else 0)
    if not blocks_done:
        stream.write(header.getvalue())
    with ThreadPoolExecutor() as pool, counter(title, len(samples)) as advance:
        advance(blocks_done * _BLOCK)
        for start in range(blocks_done * _BLOCK, len(samples), _BLOCK):
            block = samples[start : start + _BLOCK]
            stream.write(np.stack(list(pool.map(_decode, block, repeat(image_size)))).data)
            stream.flush()
            os.fsync(stream.fileno())  # so that what a later start finds is what was written
            advance(len(block))


def _decode(sample: Sample, size: int) -> npt.NDArray[np.uint8]:
    """Read ``sample`` as a ``size`` x ``size`` x 3 array, stretched to the square, white under transparent parts.

    Raises:
        UserError: the file cannot be read as a picture.
    """
    if isinstance(sample.source, np.ndarray):
        return _shrink(Image.fromarray(sample.source), size)
    try:
        content = sample.source.read_bytes()
        if sample.sha256 and hashlib.sha256(content).hexdigest() != sample.sha256:
            raise ValueError("its content is not what was registered")
        with Image.open(io.BytesIO(content)) as picture:
            picture.draft("RGB", (2 * size, 2 * size))  # a JPEG is then decoded at a fraction of its size
            return _shrink(_to_rgb(ImageOps.exif_transpose(picture)), size)
    except _UNDECODABLE as error:
        raise UserError(
            f"cannot read the picture {sample.source} ({_reason(error)}); replace or delete it, then run again"
        ) from error


def read_picture(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """The picture in a file as every run sees it, ``size`` x ``size`` x 3.

    Raises:
        UserError: the file cannot be read as a picture.
    """
    return _decode(Sample(path.name, 0, path), size)


def undecodable(content: bytes) -> str:
    """Why these bytes are no picture that can be read to its end; empty for one that can."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except _UNDECODABLE as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text holds an address in memory
        return "no picture"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _shrink(picture: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion clips them at 255
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


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
