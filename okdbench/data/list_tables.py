"""Lists of images whose header names their columns."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.data.class_order import shortened, yaml_list
from okdbench.data.group_patterns import THINGS
from okdbench.data.list_rows import LIST_PARTS, Rows, place_of, row_of
from okdbench.data.named_groups import are_of_things, in_several
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
#: whether an image is of the class that its column names
_BITS = {"0": False, "1": True, "0.0": False, "1.0": True}


def is_table(file: Path, lines: Sequence[str]) -> bool:
    """Whether it is a CSV file: by its ending, or because its first line is a header."""
    head = [word.strip().lower() for word in re.split("[,;|]", lines[0])] if lines else []
    return file.suffix.lower() in (".csv", ".tsv") or (len(head) > 1 and any(_means("path", name) for name in head))


def _means(what: str, name: str) -> bool:
    """Whether a column of this name is for that."""
    return _letters(name) in map(_letters, COLUMNS[what])


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


class _Table(NamedTuple):
    """A list that has columns.

    Attributes:
        file: the list.
        header: names of the columns as they are written, by those in lower case.
        rows: name of each column -> what it has.
        lines: the number of each row's line.
    """

    file: Path
    header: Mapping[str, str]
    rows: Sequence[Mapping[str, str]]
    lines: Sequence[str]


def read_table(file: Path, lines: Sequence[str], labelled: bool, group: str, listed: Collection[str]) -> Rows:
    """What such a list has; the arguments are those of :func:`okdbench.data.list_files.read_rows`.

    Raises:
        UserError: it lacks a column or a class.
    """
    table = _parsed(file, lines)
    columns = _columns(table, group)
    _refuse_header(table, columns)
    _add_split(table, columns)
    folder = _folder_column(table, columns["path"])
    others = [name for name in table.header.values() if name and name not in {*columns.values(), folder}]
    has_label = labelled and "label" in columns
    notes = [*_notes(table.rows, columns["label"], others, listed)] if has_label else []
    if blank := sum(not row[columns["split"]] for row in table.rows) if "split" in columns else 0:
        notes.append(f"lines without a {columns['split']}: {blank}; their images are trained on")
    classes = _one_hot(table, others, listed) if labelled and not has_label else []
    said = (_said(row, columns, folder, classes) for row in table.rows)
    made = [row_of(file, line, labelled, each) for each, line in zip(said, table.lines, strict=True)]
    if has_label and not group:
        notes += _unsaid_groups(table.rows, columns, others, [row.part for row in made])
    bare = {place_of(file, row[columns["path"]]) for row in table.rows} if folder else set()
    ignored = _ignored([name for name in others if name not in classes], folder, bare - {row.place for row in made})
    return Rows(made, ignored, notes)


def _parsed(file: Path, lines: Sequence[str]) -> _Table:
    head = lines[0].strip() if lines else ""
    # A name may have a | in it, so that divides the columns only where nothing else does.
    delimiter = max(",;\t", key=head.count) if re.search("[,;\t]", head) else "|"
    quote = "'" if head[:1] == head[-1:] == "'" else '"'
    reader = csv.DictReader(lines, delimiter=delimiter, quotechar=quote)
    header = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
    rows = [({name: (row[name] or "").strip() for name in header.values()}, str(reader.line_num)) for row in reader]
    return _Table(file, header, [row for row, _ in rows], [line for _, line in rows])


def _said(row: Mapping[str, str], columns: Mapping[str, str], folder: str, classes: Sequence[str]) -> dict[str, str]:
    """What a row says of its image."""
    said = {what: row[column] for what, column in columns.items()}
    if folder and said["path"]:
        said["path"] = f"{row[folder]}/{said['path']}"
    if classes:
        said["label"] = next((name.strip() for name in classes if _BITS[row[name]]), "")
    return said


def _ignored(columns: Sequence[str], folder: str, others: Set[Path]) -> Counter[str]:
    """What is not used: columns, and files that are called as the images in the folders of the column ``folder``."""
    counts = {
        f"columns {shortened(columns)}": len(columns),
        f"files of these names outside the folders of column {folder}": len(_are_there(others)),
    }
    return Counter({kind: number for kind, number in counts.items() if number})


def _columns(table: _Table, group: str) -> dict[str, str]:
    """What is in which column."""
    known = {_letters(name): column for name, column in table.header.items()}
    found = {what: [each for name in names if (each := known.get(_letters(name)))] for what, names in COLUMNS.items()}
    found["split"] = [name for name in found["split"] if _may_be_split(table, name)]
    if group:  # it is no column where it is a pattern for the paths
        found["group"] = [table.header[name] for name in [group.lower()] if name in table.header]
    columns = {what: names[0] for what, names in found.items() if names}
    if "path" not in columns:
        names = shortened(list(table.header.values())) or "none"
        raise UserError(
            f"{table.file}: its first line names no column path, but {names}; write path,label, and group and split if "
            "known"
        )
    return columns


def _add_split(table: _Table, columns: dict[str, str]) -> None:
    """The first column that divides the images into parts, whatever its name, where none is called so."""
    for name in table.header.values() if "split" not in columns else ():
        if name and name not in columns.values() and _is_split({row[name] for row in table.rows}):
            columns["split"] = name
            return


def _refuse_header(table: _Table, columns: Mapping[str, str]) -> None:
    """Refuse a header below the first line, of these columns or of others: two lists may have been joined."""
    used = [columns[what] for what in ("path", "label") if what in columns]
    for row, line in zip(table.rows, table.lines, strict=True):
        if all(_means("path", row[name]) or _means("label", row[name]) for name in used):
            raise UserError(
                f"{table.file} line {line} is a header again, as where two lists are joined; remove it, if both have "
                "the same columns"
            )


def _notes(
    rows: Sequence[Mapping[str, str]], label: str, others: Sequence[str], listed: Collection[str]
) -> Iterator[str]:
    """What to say of columns that have the class as well: which is used, and that another one orders the classes."""
    if unused := [name for name in others if _means("label", name)]:
        yield f"the class is in column {label}; {shortened(unused)} may have it, too, and is not used"
    for name in others if not listed else ():
        yield from _other_order([row[label] for row in rows], name, [row[name] for row in rows])


def _unsaid_groups(
    rows: Sequence[Mapping[str, str]], columns: Mapping[str, str], others: Sequence[str], parts: Sequence[str]
) -> Iterator[str]:
    """That a column may say which images belong together."""
    labels = [row[columns["label"]] for row in rows]
    named = [name for name in others if "group" not in columns and re.fullmatch(THINGS, _letters(name))]
    found = {name: values for name in named if are_of_things(labels, values := [row[name] for row in rows], values)}
    # a patient may have several lesions
    for name, values in sorted(found.items(), key=lambda each: len({*each[1]})):
        if "split" not in columns:
            yield (
                f"by column {name} {len({*values} - {''})} groups of images may each be of one thing; if so, keep each "
                f"in one split with groups: {name}"
            )
            return
        if several := in_several(values, parts):
            yield (
                f"by column {name} groups of images that may each be of one thing are in several parts "
                f"({len(several)}), such as {several[0]}; if so, move each into one part"
            )
            return


def _other_order(labels: Sequence[str], column: str, words: Sequence[str]) -> Iterator[str]:
    """That a column of names beside numbers, or of numbers beside names, orders the classes otherwise."""
    word = dict(zip(labels, words, strict=True))
    own, order = sorted(word, key=_by_value), sorted(word, key=lambda each: _by_value(word[each]))
    is_of_class = len({*zip(labels, words, strict=True)}) == len(word) == len({*words}) < len(labels)
    is_gapless = not _are_numbers(own) or [*map(int, own)] in ([*range(len(own))], [*range(1, len(own) + 1)])
    if is_of_class and is_gapless and own != order and _are_numbers(own) != _are_numbers(words):
        by, line = shortened([word[each] for each in order]), yaml_list(order)
        yield f"by column {column} the classes have the order {by}; if your teacher has it, write classes: {line}"


def _are_numbers(words: Iterable[str]) -> bool:
    return all(word.isdecimal() for word in words)


def _by_value(word: str) -> tuple[int, str]:
    return (int(word) if word.isdecimal() else 0, word)


def _folder_column(table: _Table, path: str) -> str:
    """The column with the folder of the image that is named in the column ``path``; empty where that is the whole path.

    Which it is, the files tell; the folders may also be the classes or the parts. Where files are there with the folder
    and without it, those with it are meant if each line has one: the others may be thumbnails, or an older export.
    """

    def joined(row: Mapping[str, str], name: str) -> Path:
        return place_of(table.file, f"{row[name]}/{row[path]}")

    def leads(name: str, some: Sequence[Mapping[str, str]]) -> bool:
        places = {joined(row, name) for row in some}
        return _are_there(places) == places

    if not table.rows:
        return ""
    first = table.rows[0]
    bare = place_of(table.file, first[path])
    there = [name for name in first if first[name] and joined(first, name) != bare and leads(name, [first])]
    if there and _are_there({bare}):
        there = [name for name in there if leads(name, table.rows)]
    return next(iter(there), "")


def _are_there(images: Set[Path]) -> set[Path]:
    """Those of the images of which a file has the name, with or without its ending; each folder is listed once."""
    folders = {image.parent for image in images}
    files = {file for folder in folders if os.path.isdir(folder) for file in folder.iterdir()}
    return files.union(file.with_suffix("") for file in files) & images


def _may_be_split(table: _Table, name: str) -> bool:
    """Whether a column of such a name is the split, and not one of parts or sets of things that are in the images."""
    return _letters(name) == "split" or any(row[name].lower() in LIST_PARTS for row in table.rows)


def _is_split(values: set[str]) -> bool:
    """Whether a column, whatever its name, divides the images into parts."""
    words = {value.lower() for value in values}
    return words <= LIST_PARTS.keys() and len({LIST_PARTS[word] for word in words}) > 1


def _one_hot(table: _Table, columns: Sequence[str], listed: Collection[str]) -> list[str]:
    """The columns that have 0 or 1 in each row, at least two: those of ``listed`` where these suffice."""
    rows = table.rows
    found = [name for name in columns if rows and {row[name] for row in rows} <= _BITS.keys()]
    named = [name for name in found if composed(name.strip()) in listed]
    if len(named) > 1 and all(len(_ones(row, named)) == 1 for row in rows):
        return named
    if len(found) < 2:
        raise UserError(
            f"{table.file}: its first line names no column label but {shortened(list(table.header))}; write the class "
            "of each image into one column label, or 0 and 1 into a column for each class"
        )
    for row, line in zip(rows, table.lines, strict=True):
        if len(ones := _ones(row, found)) > 1:
            where = f"{table.file} line {line} has the classes {shortened([name.strip() for name in ones])}"
            raise UserError(f"{where}; {_cure(rows, found, ones)}")
    return found


def _ones(row: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    return [name for name in columns if _BITS[row[name]]]


def _cure(rows: Sequence[Mapping[str, str]], columns: Sequence[str], ones: Sequence[str]) -> str:
    """Of two classes in a row: one of its columns is no class if each row has one class without it, and only then."""
    left = {name: [other for other in columns if other != name] for name in ones}
    extra = [name for name in ones if all(len(_ones(row, left[name])) == 1 for row in rows)]
    if len(extra) != 1:
        return "an image has one, so remove the line, or list the classes under classes: if a column is none"
    return f"without the column {extra[0].strip()} each line has one; remove it, or list the classes under classes:"
