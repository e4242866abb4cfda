"""Images that are in two splits: equal ones, and versions of one image.

Nearly equal images differ in compression, size, contrast, by a mirror or by a turn of 90, 180 or 270 degrees, and in
brightness: darker ones are found, brighter ones only if few of their pixels become white. Parts of an image and turns
by other angles are not found; names may tell them (:mod:`okdbench.data.image_versions`).
"""

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
#: pairs of nearest neighbours have so much, and copies that were saved again at half the size nearly all. In the best
#: of eight positions it is 2 of 3999 digits of MNIST for 1 in the same one, and of 282 photographs of Office-31 the
#: same 10; from 0.98 on it is 293 for 282, and 16 for 14
ALIKE = 0.995
#: images are compared as they are, mirrored, and both turned by 90, 180 and 270 degrees
POSITIONS = 8
#: length of a thumbnail, in grey levels, up to which it is of one even colour
EVEN = 1e-2
#: what rounding adds to squares of distances at most
ROUNDING = 1e-5
#: shares of red, green and blue in grey, by which a photograph is like its grey version
GREY = np.array([0.299, 0.587, 0.114], np.float32)
#: pairs of images up to which thumbnails are compared
MOST_PAIRS = 2 * 10**9

Thumbnails = npt.NDArray[np.float32]
"""N x SIDE x SIDE."""
Means = npt.NDArray[np.float32]
"""N x a quarter of SIDE x SIDE."""
Labels = set[int]
"""Classes of some images, -1 for those without one; empty for no images."""


class Copies(NamedTuple):
    """What is found of the images of one part in another.

    Attributes:
        equal: how many are equal to one of the other part.
        near: how many more are nearly so.
        contradictory: which images are in two classes.
        versions: how many are versions of one of the other part, by their names.
        groups: regular expression whose first group is the same for all versions of an image; empty without any.
        relabelled: how many of the equal and near ones have another class than all that they are copies of.
        only_equal: whether near ones are not looked for, because there are too many images to compare.
    """

    equal: int
    near: int
    contradictory: tuple[str, ...] = ()
    versions: int = 0
    groups: str = ""
    relabelled: int = 0
    only_equal: bool = False


def copies(tested: Images, trained: Images) -> Copies:
    """The images of ``tested`` that are in ``trained`` too; both have one size and number of channels."""
    equal, only_equal = _equal(tested, trained), len(tested) * len(trained) > MOST_PAIRS
    near = equal if only_equal else _near(tested, trained)
    found = [same or alike for same, alike in zip(equal, near, strict=True)]
    number, labels = sum(map(bool, equal)), tested.labels.tolist()
    others = [label >= 0 and known - {-1} and label not in known for label, known in zip(labels, found, strict=True)]
    return Copies(number, sum(map(bool, found)) - number, relabelled=sum(map(bool, others)), only_equal=only_equal)


def _equal(tested: Images, trained: Images) -> list[Labels]:
    """Of each tested image the classes of those that it equals."""
    known: dict[bytes, Labels] = {}
    for image, label in zip(chain.from_iterable(_blocks(trained)), trained.labels.tolist(), strict=True):
        known.setdefault(_digest(image), set()).add(label)
    return [known.get(_digest(image), set()) for image in chain.from_iterable(_blocks(tested))]


def _near(tested: Images, trained: Images) -> list[Labels]:
    """Of each tested image the classes of those that it nearly equals."""
    if not len(trained):
        return [set() for _ in range(len(tested))]
    small = np.concatenate([_thumbnails(block) for block in _blocks(trained)])
    means, labels = _means(small), trained.labels
    near = (indices for block in _blocks(tested) for indices in _nearest(_thumbnails(block), small, means))
    return [set(labels[indices].tolist()) for indices in near]


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
    parts = [digest, SIDE, ALIKE, MOST_PAIRS, POSITIONS, GREY.tolist()]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    file = file.with_name(f"{file.name}-{key}.json")
    with ExitStack() as held:
        with suppress(OSError):  # a folder that cannot be written keeps nothing
            held.enter_context(Lock(file.with_suffix(".lock")))
        with suppress(OSError, ValueError, TypeError):
            equal, near, names, versions, groups, others, only = json.loads(file.read_bytes())
            found = Copies(int(equal), int(near), tuple(map(str, names)), int(versions), str(groups), int(others))
            return found._replace(only_equal=bool(only))
        found = compare()
        with suppress(OSError):
            write_atomic(file, json.dumps(found).encode())
    return found


def _blocks(images: Images) -> Iterator[npt.NDArray[np.uint8]]:
    return (np.asarray(images.pixels[start : start + BLOCK]) for start in range(0, len(images), BLOCK))


def _digest(image: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _thumbnails(pixels: npt.NDArray[np.uint8]) -> Thumbnails:
    """Small grey images of mean 0 and length 1, whose products are correlations; 0 for one even colour."""
    rows, columns = (_shares(length) for length in pixels.shape[1:3])
    shares = GREY if pixels.shape[3] == len(GREY) else np.ones(1, np.float32)
    grey = rows @ (pixels.astype(np.float32) @ shares) @ columns.T
    grey -= grey.mean((1, 2), keepdims=True)
    length = np.linalg.norm(grey, axis=(1, 2), keepdims=True)
    return np.where(length > EVEN, grey / np.maximum(length, EVEN), np.float32(0))


def _shares(length: int) -> npt.NDArray[np.float32]:
    """SIDE x ``length``: how much of each pixel is in each pixel of a thumbnail."""
    edges, pixels = np.linspace(0, length, SIDE + 1)[:, None], np.arange(length)
    shares = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (shares.clip(0) * (SIDE / length)).astype(np.float32)


def _nearest(images: Thumbnails, known: Thumbnails, known_means: Means) -> Iterator[npt.NDArray[np.int64]]:
    """Which known ones each image correlates with in one of the positions."""
    # The means over the positions are at most as far apart as the images in the best of them, and need a quarter of the
    # time; few pairs are left.
    means = _means(images)
    least = ((means**2).sum(1) - 2 * (1 - ALIKE) - ROUNDING) / 2
    close = means @ known_means.T - (known_means**2).sum(1) / 2 >= least[:, None]
    for index, row in enumerate(close):
        (indices,) = np.nonzero(row)
        if len(indices):
            positions = np.stack(list(_positions(images[index : index + 1]))).reshape(POSITIONS, -1)
            correlations = known[indices].reshape(-1, SIDE * SIDE) @ positions.T
            indices = indices[correlations.max(1) >= ALIKE]
        yield indices


def _positions(images: Thumbnails) -> Iterator[Thumbnails]:
    for turns in range(POSITIONS // 2):
        turned = np.rot90(images, turns, (1, 2))
        yield from (turned, turned[:, :, ::-1])


def _means(images: Thumbnails) -> Means:
    """Means over the positions, of which one quarter says all, as long as the whole."""
    half, total = SIDE // 2, np.zeros_like(images)
    for position in _positions(images):
        total += position
    return total[:, :half, :half].reshape(len(images), half * half) * (2 / POSITIONS)
