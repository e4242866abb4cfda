"""What the lines of a list of images say, in CSV files and in the text files that people and tools write."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import dropwhile
from pathlib import Path

from okdbench.core.errors import UserError, os_reason
from okdbench.data.list_rows import Row, Rows, place_of, row_of
from okdbench.data.list_tables import is_table, read_table

#: what tables are stored in that are no text
_TABLES = {".xlsx", ".xls", ".xlsm", ".ods", ".parquet", ".feather", ".arrow"}
#: a line of SageMaker and MXNet: a number, the index of the class, and the path, between tabs
_INDEXED = re.compile(r"\d+\t\d+(\.0+)?\t[^\t]+")


def read_rows(file: Path, labelled: bool, group: str, listed: Collection[str]) -> Rows:
    """What a list has.

    Args:
        file: the list.
        labelled: whether each image has a class.
        group: name of the column with the group, or a pattern for the paths; by default the column ``group``, if any.
        listed: names of classes that the user lists.

    Raises:
        UserError: it cannot be read, or lacks a column or a class.
    """
    if file.suffix.lower() in (".json", ".jsonl"):
        raise UserError(f"{file}: JSON is not read; write a CSV file with the columns path and label")
    if file.suffix.lower() in _TABLES:
        raise UserError(f"{file}: {file.suffix} is not read; save a CSV file with the columns path and label")
    # Comments stand above the header; below it, a path may begin like one.
    lines = list(dropwhile(lambda line: line.startswith("#"), _text(file).splitlines()))
    if is_table(file, lines):
        return read_table(file, lines, labelled, group, listed)
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


def _plain(file: Path, lines: Sequence[str], labelled: bool) -> list[Row]:
    numbered = [(text, str(number)) for number, line in enumerate(lines, 1) if (text := line.strip())]
    if not numbered:
        raise UserError(f"{file} is empty; write a path and a class in each line")
    divide = _order_of(file, [text for text, _ in numbered], labelled)
    found = [(divide(text), line) for text, line in numbered]
    return [
        row_of(file, line, labelled, {"path": path.strip(), "label": label.strip()}) for (path, label), line in found
    ]


def _order_of(file: Path, lines: Sequence[str], labelled: bool) -> Callable[[str], tuple[str, str]]:
    """What takes the path and the class from a line."""
    if all(_INDEXED.fullmatch(line) for line in lines):
        return _after_index
    if not labelled:
        return lambda line: (line, "")
    # Which of two is the path, the first line tells.
    usual, other = (place_of(file, divide(lines[0])[0]) for divide in (_path_first, _class_first))
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
