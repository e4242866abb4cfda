"""Images that are in two splits: equal ones, and ones that differ in compression, size or a little in brightness."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from okdbench.core.files import write_atomic
from okdbench.core.locks import Lock
from okdbench.data.images import BLOCK, Images

#: height and width of the grey thumbnail that is compared
SIDE = 16
#: correlation of the thumbnails from which on two images are nearly the same; of digits, which look alike, 1 in 1000
#: pairs of nearest neighbours have so much, and copies that were saved again at half the size nearly all
ALIKE = 0.995
#: pairs of images up to which thumbnails are compared
MOST_PAIRS = 2 * 10**9


class Copies(NamedTuple):
    """How many images are equal to one of another part, how many nearly so, and which are in two classes."""

    equal: int
    near: int
    contradictory: tuple[str, ...] = ()


def copies(tested: Images, trained: Images) -> Copies:
    """The images of ``tested`` that are in ``trained`` too; both have one size and number of channels."""
    known = {_digest(image) for block in _blocks(trained) for image in block}
    equal = np.array([_digest(image) in known for block in _blocks(tested) for image in block], dtype=bool)
    if len(tested) * len(trained) > MOST_PAIRS or not len(trained):
        return Copies(int(equal.sum()), 0)
    others = np.concatenate([_thumbnails(block) for block in _blocks(trained)])
    best = [(_thumbnails(block) @ others.T).max(1) for block in _blocks(tested)]
    near = np.concatenate([*best, np.empty(0, np.float32)]) >= ALIKE
    return Copies(int(equal.sum()), int((near & ~equal).sum()))


def contradictions(parts: Sequence[Images]) -> tuple[str, ...]:
    """The paths of the images that are equal to one of another class, in any of the parts."""
    digests = {
        path: (_digest(image), label)
        for part in parts
        for path, image, label in zip(part.paths, chain.from_iterable(_blocks(part)), part.labels.tolist(), strict=True)
    }
    labels: dict[bytes, set[int]] = {}
    for digest, label in digests.values():
        labels.setdefault(digest, set()).update({label} - {-1})
    return tuple(path for path, (digest, _) in digests.items() if len(labels[digest]) > 1)


def kept(file: Path, digest: str, compare: Callable[[], Copies]) -> Copies:
    """The result of ``compare``, which one process computes and all others read.

    Args:
        file: the start of the name of the file that keeps it.
        digest: of the images and the parts that they are in.
        compare: compares them, which takes minutes for large data sets.
    """
    key = hashlib.sha256(json.dumps([digest, SIDE, ALIKE, MOST_PAIRS]).encode()).hexdigest()[:16]
    file = file.with_name(f"{file.name}-{key}.json")
    with ExitStack() as held:
        with suppress(OSError):  # a folder that cannot be written keeps nothing
            held.enter_context(Lock(file.with_suffix(".lock")))
        with suppress(OSError, ValueError, TypeError):
            equal, near, names = json.loads(file.read_bytes())
            return Copies(int(equal), int(near), tuple(map(str, names)))
        found = compare()
        with suppress(OSError):
            write_atomic(file, json.dumps(found).encode())
    return found


def _blocks(images: Images) -> Iterator[npt.NDArray[np.uint8]]:
    return (np.asarray(images.pixels[start : start + BLOCK]) for start in range(0, len(images), BLOCK))


def _digest(image: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _thumbnails(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """N x 256: small grey images of mean 0 and length 1, whose products are correlations; 0 for one even colour."""
    grey = pixels.mean(3, dtype=np.float32)
    for axis in (1, 2):
        edges = np.linspace(0, grey.shape[axis], SIDE + 1).astype(int)
        sums = np.add.reduceat(grey, edges[:-1], axis)
        grey = np.moveaxis(np.moveaxis(sums, axis, -1) / np.diff(edges), -1, axis)
    flat = grey.reshape(len(grey), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    thumbnails: npt.NDArray[np.float32] = np.where(length > 1e-3, flat / np.maximum(length, 1e-3), 0).astype(np.float32)
    return thumbnails
