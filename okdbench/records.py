"""One JSON record per run: the only truth; every table, plot and page is a pure function of these.

Accuracies are percentages in [0, 100] throughout. Writing is atomic: a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from okdbench.curves import Curve
from okdbench.errors import UserError

#: 2: with curves and origin
SCHEMA_VERSION = 2
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _one_name(text: str) -> str:
    if not text or len(text) > 200 or text in (".", "..") or {"/", "\\", "\0"} & set(text):
        raise ValueError("it must be one name without slashes, for files are called so")
    return text


def _without_controls(text: str) -> str:
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise ValueError("it holds control characters, which a terminal would act on")
    return text


#: a text that is printed as it is; records may come from anyone
Line = Annotated[str, AfterValidator(_without_controls)]
#: a text that becomes the name of a file or folder
FileName = Annotated[Line, AfterValidator(_one_name)]


class _Model(BaseModel):
    # NaN and infinity are written as such: as null they could not be read again
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Score(_Model):
    """How good one state of the student is on the student domain's test split (percent).

    ``top3`` and ``top5`` count a hit anywhere among the best three or five classes; ``ece`` is the expected
    calibration error over 15 equal-width bins; ``agreement`` is the share of pictures on which student and teacher
    name the same class.
    """

    acc: float
    top3: float
    top5: float
    macro_f1: float
    ece: float
    agreement: float


class Evaluation(_Model):
    """The student at one moment of training; ``images`` is how many pictures it had learned from by then."""

    stage: str
    step: int
    images: int
    val_acc: float
    test: Score


class Outcome(_Model):
    """An evaluation that the record names, with the accuracy on the teacher's domains (retention).

    It is None where the teacher's own pictures are not at hand.
    """

    evaluation: Evaluation
    teacher_domain_acc: float | None


class TeacherScore(_Model):
    """The teacher's accuracy on the test split of its own domains, None where they are absent, and of the student's.

    ``fingerprint`` is the hash of its weights: those of one key differ between machines.
    """

    key: str
    fingerprint: str = ""
    own_acc: float | None
    student_domain_acc: float


class Traffic(_Model):
    """Pictures that went through one network: forwards, backwards, and backwards that changed its weights."""

    forward: int = 0
    backward: int = 0
    learned: int = 0


class Cost(_Model):
    """What a run consumed. Only ``seconds`` and ``peak_memory_mb`` vary between equal runs."""

    traffic: dict[str, Traffic] = {}
    seconds: float = 0.0
    stage_seconds: dict[str, float] = {}
    peak_memory_mb: float = 0.0


class Record(_Model):
    """Everything about one run.

    ``origin`` is empty for a method that comes along, ``local`` for a file of the user's, else the package it is from.
    ``source`` is the hash of the method's files; records that are older than this field have none.
    ``data_note`` says how the pictures differ from the official ones; it is empty when they do not.
    ``oracle`` is the best evaluation on test: reported, never used. ``fingerprints`` are hashes of the evaluated
    network's weights, ``selected`` and ``last``.
    """

    schema_version: int = SCHEMA_VERSION
    key: FileName
    status: Literal["done", "failed"]
    method: Line
    origin: Line = ""
    source: str = ""
    variant: Line
    role: Literal["method", "reference", "baseline"]
    dataset: FileName
    setting: Line
    track: Line
    budget: Line
    seed: int
    teacher: Line
    student: Line
    config: dict[str, Any]
    command: str
    version: Line
    commit: str
    protocol: int
    data_digest: str
    data_note: str = ""
    environment: dict[str, str]
    teacher_score: TeacherScore | None = None
    evaluations: list[Evaluation] = []
    stages: dict[str, Outcome] = {}
    curves: dict[str, Curve] = {}
    default_settings: tuple[str, ...] = ()
    selected: Outcome | None = None
    last: Outcome | None = None
    oracle: Evaluation | None = None
    fingerprints: dict[str, str] = {}
    cost: Cost = Cost()
    error: str | None = None
    traceback: str | None = None

    @property
    def selection_gap(self) -> float | None:
        """What choosing on the test split would have added, in points; None where it is not known."""
        if self.oracle is None or self.selected is None:
            return None
        return self.oracle.test.acc - self.selected.evaluation.test.acc

    @property
    def title(self) -> str:
        """The run in a few words: ``kd[lr=0.1] digits MO-P labelled quick seed 0``."""
        method = f"{self.method}[{self.variant}]" if self.variant else self.method
        return f"{method} {self.dataset} {self.setting} {self.track} {self.budget} seed {self.seed}"

    def comparable(self) -> dict[str, Any]:
        """The record without what may differ between two runs of the same key: times, memory and machine."""
        content = self.model_dump(exclude={"environment", "command", "commit", "traceback"})
        for name in ("seconds", "stage_seconds", "peak_memory_mb"):
            del content["cost"][name]
        return content


@contextmanager
def writing(folder: Path, option: str = "--runs") -> Iterator[None]:
    """Turn what goes wrong with the disk into advice; ``option`` chooses another folder."""
    try:
        yield
    except OSError as error:
        full = error.errno in NO_ROOM
        what = "the disk is full" if full else str(error.strerror or error)
        cure = "free some space and run the same command again" if full else f"choose another with {option}"
        raise UserError(f"cannot write to {error.filename or folder}: {what}; {cure}") from error


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it was; no reader ever sees a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_record(folder: Path, record: Record) -> None:
    """Store ``record`` as ``folder/record.json``."""
    write_atomic(folder / "record.json", (record.model_dump_json(indent=1) + "\n").encode())


def read_record(folder: Path) -> Record | None:
    """The record in ``folder``, or None when there is none that this version can read."""
    try:
        return parse_record((folder / "record.json").read_bytes())
    except (OSError, ValueError):  # missing, or damaged in any of the ways there are
        return None


def read_records(source: Path) -> Iterator[Record]:
    """The records below a folder of runs in the order of their keys, or those of an archive.

    What cannot be read is skipped with a line on standard error that names the file and the reason.

    Raises:
        UserError: an archive that cannot be opened.
    """
    for name, content in _archived(source) if source.is_file() else _loose(source):
        try:
            if isinstance(content, OSError):
                raise ValueError(content.strerror or str(content))
            record = parse_record(content, name)
        except ValueError as error:
            print(f"okdbench: skipped {name}: {printable(str(error))}", file=sys.stderr)
        else:
            yield record


def read_all(source: Path) -> list[Record]:
    """All of :func:`read_records`.

    Raises:
        UserError: there are none.
    """
    records = list(read_records(source))
    if not records:
        raise UserError(f"no records below {source}; make some with okdbench run, or name another folder with --runs")
    return records


def write_archive(path: Path, records: Iterable[Record]) -> None:
    """Store records in one gzipped file, a line each; equal records give equal bytes in whatever order they come."""
    ordered = sorted(records, key=lambda record: (record.dataset, record.track, record.method, record.key))
    lines = "".join(record.model_dump_json() + "\n" for record in ordered)
    write_atomic(path, gzip.compress(lines.encode(), mtime=0))


def _loose(runs: Path) -> Iterator[tuple[str, bytes | OSError]]:
    for path in sorted(runs.glob("*/record.json")):
        try:
            yield str(path), path.read_bytes()
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as error:
            yield str(path), error


def printable(text: str) -> str:
    """The text with whatever a terminal would act on spelt out; for texts that come from elsewhere."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole archive of records ({error}); name another with --runs") from None
    for number, line in enumerate(content.splitlines(), 1):
        yield f"{path}:{number}", line


def parse_record(content: bytes, name: str = "") -> Record:
    """The record in ``content``; where it has a ``name``, it is said that it was of an older schema.

    Raises:
        ValueError: it is not one that this version can read; the message says why in a line.
    """
    try:
        fields = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply for a record") from None
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ValueError("it is not a record")
    if version > SCHEMA_VERSION:
        raise ValueError(f"its schema {version} is newer than {SCHEMA_VERSION}; update okdbench")
    if version < SCHEMA_VERSION and name:
        print(f"okdbench: {name} is of schema {version} and was read as one of {SCHEMA_VERSION}", file=sys.stderr)
    try:
        # what schema 2 added has a default
        return Record.model_validate(fields | {"schema_version": SCHEMA_VERSION})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}") from None
