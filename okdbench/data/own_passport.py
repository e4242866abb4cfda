"""The passport of a user's own images: what is read, in which part it is, what is ignored, and what is damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.core.folds import FOLDS, split
from okdbench.core.progress import counter
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.decoding import number_with_gaps
from okdbench.data.folder_scan import ScannedImage
from okdbench.data.image_files import described
from okdbench.data.image_versions import versions
from okdbench.data.images import Images
from okdbench.data.integrity import read_all
from okdbench.data.manifest import DomainManifest
from okdbench.data.near_duplicates import Copies, contradictions, copies, kept
from okdbench.data.own_domain import OwnImage
from okdbench.data.splits import Splits, assemble

#: what is said where only equal images are found
NOT_COMPARED = "nearly equal copies are not looked for: too many images"
#: height and width in pixels at which images are compared
THUMBNAIL = 32


class OwnPassport(NamedTuple):
    """The domains as they are on the disk, lines about each, and the files that cannot be read."""

    entries: dict[str, DomainManifest]
    lines: dict[str, list[str]]
    damaged: list[str]


def inspect_own(dataset: OwnDataset, root: Path) -> OwnPassport:
    """Read all images of ``dataset``; ``root`` is the data folder.

    Raises:
        UserError: a folder cannot be read.
    """
    passport = OwnPassport({}, {}, [])
    for domain, place in dataset.places.items():
        images, ignored = dataset.scan(domain)
        folder = place.place if place.place.is_dir() else place.place.parent
        named = [ScannedImage(image.path, image.file, image.label) for image in images]
        with counter(f"reading {dataset.name} {domain}", len(named)) as advance:
            files, broken = read_all(folder, named, advance)
        passport.entries[domain] = DomainManifest(str(place.place), files)
        passport.damaged.extend(f"{domain}/{text}" for text in broken)
        lines = [f"ignored {described(ignored) or 'nothing'}"]
        if gaps := number_with_gaps(image.file for image in images):
            lines.append(f"warning: {gaps} images have pixels that are no numbers (NaN); they are read as black")
        if domain not in dataset.unlabelled:
            counts = Counter(image.label for image in images)
            lines = [f"images per class {span(counts[name] for name in dataset.folder_names)}", *lines]
            lines += _parts(dataset, domain, images)
            lines += [] if broken else _leaks(dataset, domain, root)
        passport.lines[domain] = lines
    return passport


def compared(dataset: OwnDataset, splits: Splits, root: Path) -> Copies:
    """The equal images of the splits, which are looked for once.

    Args:
        dataset: where the images come from.
        splits: the images.
        root: the data folder, which keeps what was found.
    """
    return kept(root / "cache" / f"{dataset.name}-copies", splits.digest, partial(_copies, splits))


def leaks(splits: Splits, found: Copies, is_divided: bool) -> str:
    """How many test images are among the images that are learned from, as copies or by their group; empty if none.

    Args:
        splits: the images.
        found: what is equal in them.
        is_divided: whether the user has divided them, and not okdbench.
    """
    texts = [f"{found.equal} are equal to"] * bool(found.equal)
    texts += [f"{found.near} nearly equal to (perhaps mirrored or turned)"] * bool(found.near)
    texts += [f"{found.versions} by their names versions of"] * bool(found.versions)
    # Without a validation part the tested domains are the teacher's.
    others = (splits.train, splits.val) if len(splits.val) else (splits.train, splits.teacher_train)
    if shared := set(splits.test.groups) & {group for part in others for group in part.groups} - {""}:
        texts.append(f"{sum(group in shared for group in splits.test.groups)} in a group of")
    if not texts:
        return ""
    learned, groups = "images that are trained or validated on", found.groups and f" '{found.groups}'"
    if found.relabelled:
        learned += f", and {found.relabelled} of these test images have another class than their copies"
        learned += " (do both parts number the classes alike?)" * is_divided
    together = f"keep images of one object together with groups:{groups}"
    cure = "put all images of one group or object into one part" if is_divided else together
    return f"of {len(splits.test)} test images {', '.join(texts)} {learned}; remove copies, and {cure}"


def _copies(splits: Splits) -> Copies:
    learned = [replace(part, max_value=None) for part in (splits.train, splits.val, splits.teacher_train) if len(part)]
    found = copies(splits.test, Images.concatenate(learned)) if learned else Copies(0, 0)
    # Where there are groups, the user has said what belongs together.
    paths = [] if splits.test.groups else [path for part in learned for path in part.paths]
    number, groups = versions(splits.test.paths, paths)
    return found._replace(contradictory=contradictions([splits.test, *learned]), versions=number, groups=groups)


def span(counts: Iterable[int]) -> str:
    """The smallest and the largest of some counts: ``4 to 9``, or ``7`` where they are one.

    >>> span([4, 9, 5]), span([7, 7]), span([])
    ('4 to 9', '7', '0')
    """
    known = sorted(counts) or [0]
    return str(known[0]) if known[0] == known[-1] else f"{known[0]} to {known[-1]}"


def _parts(dataset: OwnDataset, domain: str, images: Sequence[OwnImage]) -> list[str]:
    """The parts of the images, and the classes that a fold does not train or test on."""
    official, groups = domain in dataset.official_tests, [image.group for image in images]
    lines, tests = [], [dataset.official_tests.get(domain, "").rpartition(".")[2]]
    if official:
        counts = Counter(image.part for image in images)
        parts = ", ".join(f"{part or 'train'} {number}" for part, number in counts.items())
        lines = [f"parts {parts}"]
        lines += _lacking(dataset, "not tested in the test part", [i.label for i in images if i.part in tests])
        images = [image for image in images if image.part in ("", "train")]
    elif any(groups):
        lines = [f"groups {len(set(groups) - {''})}, and {groups.count('')} images in none"]
    known = {image.label for image in images}
    lines += _lacking(dataset, "no training image at all", known)
    bare = set(dataset.folder_names) - known
    for fold in range(FOLDS):
        labels = _labels_in(dataset, domain, images, fold)
        lines += _lacking(dataset, f"not trained on in fold {fold}", bare.union(labels["train"]))
        lines += [] if official else _lacking(dataset, f"not tested in fold {fold}", labels["test"])
    return lines


def _labels_in(dataset: OwnDataset, domain: str, images: Sequence[OwnImage], fold: int) -> dict[str, list[str]]:
    """The labels of the images in each part of a fold."""
    chosen = split(
        [f"{domain}/{image.path}" for image in images],
        [dataset.folder_names.index(image.label) for image in images],
        fold,
        validation=domain not in dataset.official_validation,
        test=domain not in dataset.official_tests,
        groups=[image.group for image in images] if any(image.group for image in images) else [],
    )
    return {part: [images[index].label for index in indices] for part, indices in chosen.items()}


def _leaks(dataset: OwnDataset, domain: str, root: Path) -> list[str]:
    """What of the first fold's test images is elsewhere, or why it has none."""
    letter = next(letter for letter, name in dataset.domains.items() if name == domain)
    try:
        splits = assemble(dataset, dataset.setting(f"-{letter}"), THUMBNAIL, root)
        found = compared(dataset, splits, root)
    except UserError as error:
        return [f"no splits: {error}"]
    copied = leaks(splits, found, domain in dataset.official_tests)
    return [f"copies in fold 0: {copied or 'none'}", *[NOT_COMPARED] * found.only_equal]


def _lacking(dataset: OwnDataset, what: str, labels: Collection[str]) -> list[str]:
    names = [shown for name, shown in zip(dataset.folder_names, dataset.classes, strict=True) if name not in labels]
    return [f"{what}: {', '.join(names)}"] if names else []
