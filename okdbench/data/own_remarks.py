"""What is suspicious in a user's images, by their names and by a look at some of them, in a line each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from okdbench.data.class_order import shortened
from okdbench.data.image_files import IGNORED_FOLDERS, MASKS, images_in
from okdbench.data.own_domain import OwnImage
from okdbench.data.own_file import composed

#: so many images of a domain are looked at
LOOKED_AT = 16
#: folders of the same names in this share of what was taken for classes are classes themselves: a patient may lack one
SHARED = 0.75
#: a year, a folder of a camera, a session: in each class there may be the same ones
_SESSION = re.compile(r"(19|20)\d\d|\d{3}[A-Z_]{5}|(session|day|batch|part|set|cam(era)?)[-_ ]?\d+", re.IGNORECASE)
#: ends of the names of masks and the like; the image that they are of has the name without it
_MASKS = re.compile(f"(.+?)[_-]({MASKS})", re.IGNORECASE)


def remarks_on(images: Sequence[OwnImage], exif_rotation: bool) -> Iterable[str]:
    """Warnings about these images of a domain, which are turned upright or not; an empty text for none."""
    nested = f"warning: {note}" if (note := nested_note(images)) else ""
    return _masks(images), nested, _several(images), *_looks(images, exif_rotation)


def without_group(pattern: re.Pattern[str], domain: str, images: Sequence[OwnImage]) -> str:
    """How many images the pattern of ``groups:`` misses, each of which is then in any split; empty for none."""
    missed = [f"{domain}/{image.path}" for image in images if not image.group]
    if not missed:
        return ""
    where = f"{len(missed)} of {len(images)} paths, such as {missed[0]}"
    return f"warning: {pattern.pattern} of groups: is not in {where}; if these belong to others, correct it"


def left_out(domain: Path) -> str:
    """Folders of images beside the classes that are called like leftovers, as a class may be; empty for none."""
    if not domain.is_dir():
        return ""
    inner = sorted(at for at in domain.iterdir() if at.name.lower() in IGNORED_FOLDERS and at.is_dir())
    counts = {at.name: number for at in inner if (number := sum(1 for _ in images_in(at)))}
    listed = " and ".join(f"{name} ({number} images)" for name, number in counts.items())
    return f"warning: {listed} left out, as leftovers; list all under classes: if it is a class" if counts else ""


def transparent_note(files: Sequence[Path]) -> str:
    """What is done to images that are transparent in places, if some of those that are looked at are so."""
    from okdbench.data.decoding import is_transparent

    clear = next((file.name for file in _some(files) if is_transparent(file)), "")
    return f"images such as {clear} are transparent in places, which are shown white" if clear else ""


def _some(files: Sequence[Path]) -> Sequence[Path]:
    return files[:: max(1, len(files) // LOOKED_AT)]


def _looks(images: Sequence[OwnImage], exif_rotation: bool) -> Iterator[str]:
    """What okdbench does to some images and the training of a teacher may not have done."""
    from okdbench.data.decoding import is_turned

    files = [image.file for image in images]
    if turned := [file.name for file in _some(files) if is_turned(file)]:
        yield (
            f"images such as {turned[0]} are turned upright, as their EXIF says; torchvision's ImageFolder does not do "
            "so: for a teacher that was trained with it, write exif_rotation: false into the YAML file"
            if exif_rotation
            else f"images such as {turned[0]} stay as they are stored, and not upright (exif_rotation: false)"
        )
    if note := transparent_note(files):
        yield f"{note}; a fourth band is no colour"


def _masks(images: Sequence[OwnImage]) -> str:
    stems = {str(PurePosixPath(image.path).with_suffix("")) for image in images}
    masks = sorted(stem for stem in stems if (match := _MASKS.fullmatch(stem)) and match[1] in stems)
    return f"warning: {len(masks)} images are called as if made of another: {shortened(masks)}" if masks else ""


def _several(images: Sequence[OwnImage]) -> str:
    """Whether a list has several classes of one image, such as ``cup lamp`` or ``cup|lamp``, as a class of its own."""
    labels = {image.label for image in images}
    words = {label: set(re.split(r"[\s|,;]+", label)) for label in labels}
    found = sorted(label for label in labels if len(words[label]) > 1 and words[label] <= labels)
    if not found:
        return ""
    number = sum(image.label in found for image in images)
    return f"warning: {number} images are called as of several classes: {shortened(found)}; ignore: leaves them out"


def nested_note(images: Sequence[OwnImage]) -> str:
    """That what was taken for classes are parts, domains or patients, which have the classes in them; else empty."""
    folders: dict[str, set[str]] = {}
    for image in images:
        if image.label not in composed(image.path).split("/"):  # a list says what is of one class
            return ""
        folders.setdefault(image.label, set()).add(PurePosixPath(image.path).parent.name)
    inner = set[str]().union(*folders.values())
    shared = sum(map(len, folders.values()))
    if min(len(folders), len(inner)) < 2 or shared < SHARED * len(folders) * len(inner) or inner & set(folders):
        return ""
    are_numbered = all(re.search(r"\d", name) for name in inner)
    if (are_numbered and len(inner) > len(folders)) or all(map(_SESSION.fullmatch, inner)):
        return ""
    return (
        f"the classes {shortened(sorted(folders))} have the folders {shortened(sorted(inner))} in them; if "
        "these are the classes, rename the outer ones to train, val and test, name each as a domain, or, of patients, "
        "write a list with the columns path, label and patient, and groups: patient"
    )
