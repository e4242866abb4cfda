"""What the lines of a list of images say, in CSV files and in the text files that people and tools write."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import dropwhile
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError, os_reason
from okdbench.data.class_order import shortened
from okdbench.data.own_domain import PARTS
from okdbench.data.own_file import composed

#: what a column is for -> its names, of which the first is taken; their case, spaces, dashes and _ do not matter
COLUMNS = {
    "path": (
        "path", "file", "file_name", "file_path", "image", "image_path", "image_file", "image_name", "img", "img_path",
        "img_name", "image_id", "id",
    ),
    "label": (
        "label", "class", "class_name", "category", "target", "labels", "classes", "categories", "targets",
        "label_name", "category_name", "class_label", "true_label", "given_label", "ground_truth",
        "class_id", "label_id", "class_index", "label_index",
    ),
    "group": ("group",),
    "split": ("split", "subset", "part", "set", "phase", "partition", "usage"),
}  # fmt: skip
#: what else the part is called in lists: of FER2013, in which the first is for validation
_PARTS = PARTS | {"publictest": "val", "privatetest": "test"}
#: whether an image is of the class that its column names
_BITS = {"0": False, "1": True, "0.0": False, "1.0": True}
#: a line of SageMaker and MXNet: a number, the index of the class, and the path, between tabs
_INDEXED = re.compile(r"\d+\t\d+(\.0+)?\t[^\t]+")


class Row(NamedTuple):
    """An image as its line names it; texts are empty where it says nothing.

    Attributes:
        place: the file that is named.
        label: its class.
        part: train, val or test.
        group: what it belongs to.
    """

    place: Path
    label: str
    part: str = ""
    group: str = ""


class Rows(NamedTuple):
    """What a list has.

    Attributes:
        rows: the images.
        ignored: what is not used: columns, and files of these names that are not in their folder.
        notes: what a user should know of it, a line each.
    """

    rows: list[Row]
    ignored: Counter[str]
    notes: Sequence[str] = ()


def read_rows(file: Path, labelled: bool, group: str, listed: Collection[str]) -> Rows:
    """What a list has.

    Args:
        file: the list.
        labelled: whether each image has a class.
        group: name of the column with the group; by default ``group``, if there is one.
        listed: names of classes that the user lists.

    Raises:
        UserError: it cannot be read, or lacks a column or a class.
    """
    if file.suffix.lower() in (".json", ".jsonl"):
        raise UserError(f"{file}: JSON is not read; write a CSV file with the columns path and label")
    # Comments stand above the header; below it, a path may begin like one.
    lines = list(dropwhile(lambda line: line.startswith("#"), _text(file).splitlines()))
    if _is_table(file, lines):
        return _table(file, lines, labelled, group, listed)
    return Rows(_plain(file, lines, labelled), Counter())


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


def _row(file: Path, line: str, labelled: bool, said: Mapping[str, str]) -> Row:
    """The row of a line that says ``path``, ``label``, ``split`` and ``group``, or some of them."""
    where, part = f"{file} line {line}", said.get("split", "").lower()
    if not said["path"] or (labelled and not said.get("label")):
        raise UserError(f"{where} has no {'path' if not said['path'] else 'class'}; add it, or remove the line")
    if part not in {"", *_PARTS}:
        raise UserError(f"{where}: split {part!r} is none of train, val and test; correct it")
    label = said["label"] if labelled else ""
    return Row(_place(file, said["path"]), label, _PARTS.get(part, ""), said.get("group", ""))


def _place(file: Path, text: str) -> Path:
    return Path(os.path.normpath(file.parent / text.replace("\\", "/")))


# Tables: a header names the columns.


def _is_table(file: Path, lines: Sequence[str]) -> bool:
    """Whether it is a CSV file: by its ending, or because its first line is a header."""
    head = [word.strip().lower() for word in lines[0].replace(";", ",").split(",")] if lines else []
    return file.suffix.lower() in (".csv", ".tsv") or (len(head) > 1 and any(_means("path", name) for name in head))


def _means(what: str, name: str) -> bool:
    """Whether a column of this name is for that."""
    return _letters(name) in map(_letters, COLUMNS[what])


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def _table(file: Path, lines: Sequence[str], labelled: bool, group: str, listed: Collection[str]) -> Rows:
    reader = csv.DictReader(lines, delimiter=max(",;\t", key=lines[0].count) if lines else ",")
    header = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
    columns = _columns(file, header, group)
    rows = [({name: (row[name] or "").strip() for name in header.values()}, str(reader.line_num)) for row in reader]
    _refuse_header(file, rows, columns)
    others = [name for name in header.values() if name and name not in columns.values()]
    if "split" not in columns and (split := [name for name in others if _is_split({row[name] for row, _ in rows})]):
        columns["split"] = split[0]
        others.remove(split[0])
    folder = _folder_column(file, [row for row, _ in rows], columns["path"]) if rows else ""
    others = [name for name in others if name != folder]
    has_label = labelled and "label" in columns
    notes = [*_notes([row for row, _ in rows], columns["label"], others, listed)] if has_label else []
    classes = _one_hot(file, rows, others, listed) if labelled and not has_label else []
    if labelled and not has_label and not classes:
        raise UserError(
            f"{file}: its first line names no column label but {shortened(list(header))}; write the class of each "
            "image into one column label, or 0 and 1 into a column for each class"
        )
    made = []
    for row, line in rows:
        said = {what: row[column] for what, column in columns.items()}
        if folder and said["path"]:
            said["path"] = f"{row[folder]}/{said['path']}"
        if classes:
            said["label"] = next((name.strip() for name in classes if _BITS[row[name]]), "")
        made.append(_row(file, line, labelled, said))
    bare = {_place(file, row[columns["path"]]) for row, _ in rows} if folder else set()
    ignored = _ignored([name for name in others if name not in classes], folder, bare - {row.place for row in made})
    return Rows(made, ignored, notes)


def _ignored(columns: Sequence[str], folder: str, others: Set[Path]) -> Counter[str]:
    """What is not used: columns, and files that are called as the images in the folders of the column ``folder``."""
    counts = {
        f"columns {shortened(columns)}": len(columns),
        f"files of these names outside the folders of column {folder}": len(_are_there(others)),
    }
    return Counter({kind: number for kind, number in counts.items() if number})


def _columns(file: Path, header: Mapping[str, str], group: str) -> dict[str, str]:
    """What is in which column; ``header`` has the names as they are written by those in lower case."""
    known = {_letters(name): column for name, column in header.items()}
    found = {what: [each for name in names if (each := known.get(_letters(name)))] for what, names in COLUMNS.items()}
    columns = {what: names[0] for what, names in found.items() if names}
    if group and group.lower() in header:
        columns["group"] = header[group.lower()]
    if "path" not in columns:
        raise UserError(f"{file}: its first line names no column path; write path,label, and group and split if known")
    return columns


def _refuse_header(file: Path, rows: Sequence[tuple[Mapping[str, str], str]], columns: Mapping[str, str]) -> None:
    """Refuse a header below the first line, of these columns or of others: two lists may have been joined."""
    used = [columns[what] for what in ("path", "label") if what in columns]
    for row, line in rows:
        if all(_means("path", row[name]) or _means("label", row[name]) for name in used):
            raise UserError(
                f"{file} line {line} is a header again, as where two lists are joined; remove it, if both have the "
                "same columns"
            )


def _notes(
    rows: Sequence[Mapping[str, str]], label: str, others: Sequence[str], listed: Collection[str]
) -> Iterator[str]:
    """What to say of columns that have the class as well: which is used, and that another one orders the classes."""
    if unused := [name for name in others if _means("label", name)]:
        yield f"the class is in column {label}; {shortened(unused)} may have it, too, and is not used"
    for name in others if not listed else ():
        yield from _other_order([row[label] for row in rows], name, [row[name] for row in rows])


def _other_order(labels: Sequence[str], column: str, words: Sequence[str]) -> Iterator[str]:
    """That a column of names beside numbers, or of numbers beside names, orders the classes otherwise."""
    word = dict(zip(labels, words, strict=True))
    own, order = sorted(word, key=_by_value), sorted(word, key=lambda each: _by_value(word[each]))
    is_of_class = len({*zip(labels, words, strict=True)}) == len(word) == len({*words}) < len(labels)
    is_gapless = not _are_numbers(own) or [*map(int, own)] in ([*range(len(own))], [*range(1, len(own) + 1)])
    if is_of_class and is_gapless and own != order and _are_numbers(own) != _are_numbers(words):
        by, line = shortened([word[each] for each in order]), ", ".join(order)
        yield f"by column {column} the classes have the order {by}; if your teacher has it, write classes: [{line}]"


def _are_numbers(words: Iterable[str]) -> bool:
    return all(word.isdecimal() for word in words)


def _by_value(word: str) -> tuple[int, str]:
    return (int(word) if word.isdecimal() else 0, word)


def _folder_column(file: Path, rows: Sequence[Mapping[str, str]], path: str) -> str:
    """The column with the folder of the image that is named in the column ``path``; empty where that is the whole path.

    Which it is, the files tell; the folders may also be the classes or the parts. Where files are there with the folder
    and without it, those with it are meant if each line has one: the others may be thumbnails, or an older export.
    """

    def joined(row: Mapping[str, str], name: str) -> Path:
        return _place(file, f"{row[name]}/{row[path]}")

    def leads(name: str, some: Sequence[Mapping[str, str]]) -> bool:
        places = {joined(row, name) for row in some}
        return _are_there(places) == places

    first, bare = rows[0], _place(file, rows[0][path])
    there = [name for name in first if first[name] and joined(first, name) != bare and leads(name, rows[:1])]
    if there and _are_there({bare}):
        there = [name for name in there if leads(name, rows)]
    return next(iter(there), "")


def _are_there(images: Set[Path]) -> set[Path]:
    """Those of the images of which a file has the name, with or without its ending; each folder is listed once."""
    folders = {image.parent for image in images}
    files = {file for folder in folders if os.path.isdir(folder) for file in folder.iterdir()}
    return files.union(file.with_suffix("") for file in files) & images


def _is_split(values: set[str]) -> bool:
    """Whether a column, whatever its name, divides the images into parts."""
    words = {value.lower() for value in values}
    return words <= _PARTS.keys() and len({_PARTS[word] for word in words}) > 1


def _one_hot(
    file: Path, rows: Sequence[tuple[Mapping[str, str], str]], columns: Sequence[str], listed: Collection[str]
) -> list[str]:
    """The columns that have 0 or 1 in each row, if there are at least two: those of ``listed`` where these suffice."""
    found = [name for name in columns if rows and {row[name] for row, _ in rows} <= _BITS.keys()]
    named = [name for name in found if composed(name.strip()) in listed]
    if len(named) > 1 and all(len(_ones(row, named)) == 1 for row, _ in rows):
        return named
    for row, line in rows if len(found) > 1 else ():
        if len(ones := _ones(row, found)) > 1:
            where = f"{file} line {line} has the classes {shortened([name.strip() for name in ones])}"
            raise UserError(f"{where}; {_cure([other for other, _ in rows], found, ones)}")
    return found if len(found) > 1 else []


def _ones(row: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    return [name for name in columns if _BITS[row[name]]]


def _cure(rows: Sequence[Mapping[str, str]], columns: Sequence[str], ones: Sequence[str]) -> str:
    """Of two classes in a row: one of its columns is no class if each row has one class without it, and only then."""
    left = {name: [other for other in columns if other != name] for name in ones}
    extra = [name for name in ones if all(len(_ones(row, left[name])) == 1 for row in rows)]
    if len(extra) != 1:
        return "an image has one, so remove the line, or list the classes under classes: if a column is none"
    return f"without the column {extra[0].strip()} each line has one; remove it, or list the classes under classes:"


# Plain lines: a path and a class.


def _plain(file: Path, lines: Sequence[str], labelled: bool) -> list[Row]:
    numbered = [(text, str(number)) for number, line in enumerate(lines, 1) if (text := line.strip())]
    if not numbered:
        raise UserError(f"{file} is empty; write a path and a class in each line")
    divide = _order_of(file, [text for text, _ in numbered], labelled)
    found = [(divide(text), line) for text, line in numbered]
    return [_row(file, line, labelled, {"path": path.strip(), "label": label.strip()}) for (path, label), line in found]


def _order_of(file: Path, lines: Sequence[str], labelled: bool) -> Callable[[str], tuple[str, str]]:
    """What takes the path and the class from a line."""
    if all(_INDEXED.fullmatch(line) for line in lines):
        return _after_index
    if not labelled:
        return lambda line: (line, "")
    # Which of two is the path, the first line tells.
    usual, other = (_place(file, divide(lines[0])[0]) for divide in (_path_first, _class_first))
    return _class_first if other.is_file() and not usual.is_file() else _path_first


def _path_first(line: str) -> tuple[str, str]:
    # A path may contain spaces, so the class is the last word of the line, or what follows a tab.
    path, _, label = line.rpartition("\t" if "\t" in line else " ")
    return (path, label) if path else (line, "")


def _class_first(line: str) -> tuple[str, str]:
    label, _, path = line.partition("\t" if "\t" in line else " ")
    return path.strip(), label


def _after_index(line: str) -> tuple[str, str]:
    _, label, path = line.split("\t")
    return path, label.partition(".")[0]
