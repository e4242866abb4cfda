"""A domain of the user's in a list: a CSV file with a header, or a text file with a path and a class in each line."""

from __future__ import annotations

import codecs
import csv
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError, os_reason
from okdbench.data.class_order import shortened
from okdbench.data.own_domain import PARTS, OwnImage, Scan
from okdbench.data.own_file import composed

#: what a column is for -> its names
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "image_id", "id"),
    "label": ("label", "class", "class_name", "category", "target"),
    "group": ("group",),
    "split": ("split", "subset", "part", "set", "phase", "partition", "usage"),
}
#: what else the part is called in lists: of FER2013, in which the first is for validation
_PARTS = PARTS | {"publictest": "val", "privatetest": "test"}
#: what .. is called in the names of images that are not below their list
ABOVE = "above"


class ListDomain(NamedTuple):
    """A domain in a list; it is read when it is made."""

    place: Path
    images: Sequence[OwnImage]
    #: names of columns that say nothing here
    unused: Sequence[str] = ()

    @property
    def labels(self) -> set[str]:
        """The labels of the list, which are names of classes or their indices."""
        return {image.label for image in self.images}

    @property
    def parts(self) -> set[str]:
        """The parts that the list names."""
        return {image.part for image in self.images}

    @property
    def has_groups(self) -> bool:
        """Whether a column gives groups."""
        return any(image.group for image in self.images)

    @property
    def has_indices(self) -> bool:
        """Whether all labels are numbers, which may be indices of classes."""
        return all(label.isdecimal() for label in self.labels)

    def named(self, classes: Sequence[str]) -> ListDomain:
        """The domain with names of classes as labels: an index becomes its name, unless all labels are names."""
        if self.labels <= set(classes) or not self.has_indices:
            return self
        if outside := [image for image in self.images if int(image.label) >= len(classes)]:
            label, last = outside[0].label, len(classes) - 1
            raise UserError(
                f"{self.place}: {outside[0].path} has class {label}; the indices are 0 to {last}; count from 0, or "
                "write names"
            )
        return self._replace(images=[image._replace(label=classes[int(image.label)]) for image in self.images])

    def scan(self) -> Scan:
        """The images of the list, and the columns that are ignored."""
        ignored = {f"columns {shortened(self.unused)}": len(self.unused)} if self.unused else {}
        return Scan(list(self.images), Counter(ignored))


def list_domain(file: Path, labelled: bool = True, group: str = "") -> ListDomain:
    """Read a list; paths are absolute or relative to its folder.

    Args:
        file: comma, semicolon or tab between the columns of a CSV file; white space before the class of a text line.
        labelled: whether each image has a class.
        group: name of the column with the group; by default ``group``, if there is one.

    Raises:
        UserError: it cannot be read, lacks a column, names an image twice, or images are missing.
    """
    if file.suffix.lower() in (".json", ".jsonl"):
        raise UserError(f"{file}: JSON is not read; write a CSV file with the columns path and label")
    # Comments stand above the header; below it, a path may begin like one.
    lines = list(dropwhile(lambda line: line.startswith("#"), _text(file).splitlines()))
    unused: list[str] = []
    rows = _table(file, lines, labelled, group, unused) if _is_table(file, lines) else _plain(file, lines, labelled)
    images, absent = _with_endings([_image(file, row, labelled) for row in rows])
    paths = Counter(image.path for image in images)
    if twice := [path for path, number in paths.items() if number > 1]:
        raise UserError(f"{file} names {len(twice)} images twice, such as {twice[0]}; name each once")
    if absent:
        named = shortened([os.path.relpath(place, file.parent) for place in absent])
        raise UserError(
            f"{file}: {len(absent)} of {len(images)} images are not there, relative to its folder: {named}; correct "
            "the paths"
        )
    return ListDomain(file, images, unused)


def _with_endings(images: Sequence[OwnImage]) -> tuple[list[OwnImage], list[Path]]:
    """The images, of which those that are named without the ending of their file get it; and what is not there."""
    # Once for each image, because a list may name very many on a slow disk.
    wanted = {image.file for image in images if not os.path.isfile(image.file)}
    by_stem: dict[Path, list[Path]] = {}
    for folder in {file.parent for file in wanted}:
        for file in folder.iterdir() if folder.is_dir() else ():
            by_stem.setdefault(file.with_suffix(""), []).append(file)
    found = {
        stem: files[0] for stem, files in by_stem.items() if stem in wanted and files != [stem] and len(files) == 1
    }
    completed = [
        image._replace(path=image.path + found[image.file].suffix, file=found[image.file])
        if image.file in found
        else image
        for image in images
    ]
    return completed, [image.file for image in completed if image.file in wanted]


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in content:
            raise UserError(f"{file}: not a text file; name a folder, a .csv or a .txt") from None
        raise UserError(f"{file}: its text is not in UTF-8; save it so, in Excel as CSV UTF-8") from None
    except OSError as error:
        raise UserError(f"{file}: {os_reason(error)}") from error


def _is_table(file: Path, lines: Sequence[str]) -> bool:
    """Whether it is a CSV file: by its ending, or because its first line is a header."""
    head = [word.strip().lower() for word in lines[0].replace(";", ",").split(",")] if lines else []
    return file.suffix.lower() in (".csv", ".tsv") or (len(head) > 1 and any(name in COLUMNS["path"] for name in head))


def _table(file: Path, lines: Sequence[str], labelled: bool, group: str, unused: list[str]) -> list[Mapping[str, str]]:
    """The rows of a CSV file by what its columns are for; the names of other columns are added to ``unused``."""
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    header = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
    wanted = COLUMNS | ({"group": (group.lower(),)} if group.lower() in header else {})
    columns = {what: header[name] for what, names in wanted.items() for name in names[::-1] if name in header}
    if "path" not in columns:
        raise UserError(f"{file}: its first line names no column path; write path,label, and group and split if known")
    if labelled and "label" not in columns:
        raise UserError(
            f"{file}: its first line names no column label but {shortened(list(header))}; write the class of each "
            "image into one column label, also where each class has a column of 0 and 1"
        )
    rows = [(row, str(reader.line_num)) for row in reader]
    others = [name for name in header.values() if name not in columns.values()]
    if "split" not in columns and (split := [name for name in others if _is_split([row[name] for row, _ in rows])]):
        columns["split"] = split[0]
    unused += [str(name) for name in others if name and name != columns.get("split")]
    return [
        {what: (row[column] or "").strip() for what, column in columns.items()} | {"line": line} for row, line in rows
    ]


def _is_split(values: Sequence[str | None]) -> bool:
    """Whether a column, whatever its name, divides the images into parts."""
    words = {(value or "").strip().lower() for value in values}
    return words <= _PARTS.keys() and len({_PARTS[word] for word in words}) > 1


def _plain(file: Path, lines: Sequence[str], labelled: bool) -> list[Mapping[str, str]]:
    rows: list[Mapping[str, str]] = []
    for number, line in enumerate(lines, 1):
        # A path may contain spaces, so the class is the last word of the line, or what follows a tab.
        path, _, label = line.strip().rpartition("\t" if "\t" in line.strip() else " ")
        if not labelled or not path:
            path, label = line.strip(), ""
        if line.strip():
            rows.append({"path": path.strip(), "label": label.strip(), "line": str(number)})
    if not rows:
        raise UserError(f"{file} is empty; write a path and a class in each line")
    return rows


def _image(file: Path, row: Mapping[str, str], labelled: bool) -> OwnImage:
    where, part = f"{file} line {row['line']}", row.get("split", "").lower()
    if not row["path"] or (labelled and not row.get("label")):
        raise UserError(f"{where} has no {'path' if not row['path'] else 'class'}; add it, or remove the line")
    if part not in {"", *_PARTS}:
        raise UserError(f"{where}: split {part!r} is none of train, val and test; correct it")
    path = os.path.relpath(file.parent / row["path"].replace("\\", "/"), file.parent)
    # Copies of images have these names below a folder, which they must not leave.
    name = "/".join(ABOVE if step == os.pardir else step for step in path.split("/"))
    label = composed(row["label"]) if labelled else ""
    place = Path(os.path.normpath(file.parent / path))
    return OwnImage(name, place, label, _PARTS.get(part, ""), row.get("group", ""))


def refuse_shared(file: Path, domains: Mapping[str, Collection[Path]]) -> None:
    """Refuse an image that is in two domains of which one is a list.

    Raises:
        UserError: there is one; it would be trained on and tested on.
    """
    seen: dict[Path, str] = {}
    for name, images in domains.items():
        for image in images:
            if seen.setdefault(image, name) != name:
                raise UserError(f"{file}: {image} is in the domains {seen[image]!r} and {name!r}; keep it in one")
