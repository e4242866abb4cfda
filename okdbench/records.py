"""One JSON record per run: the only truth; every table, plot and page is a pure function of these.

Accuracies are percentages in [0, 100] throughout. Writing is atomic: a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from okdbench.errors import UserError

SCHEMA_VERSION = 1
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """An evaluation that the record names, with the accuracy on the teacher's domains (retention)."""

    evaluation: Evaluation
    teacher_domain_acc: float


class TeacherScore(_Model):
    """The teacher's accuracy on the test split of its own domains and of the student's."""

    key: str
    own_acc: float
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

    ``data_note`` says how the pictures differ from the official ones; it is empty when they do not.
    ``oracle`` is the best evaluation on test: reported, never used. ``fingerprints`` are hashes of the evaluated
    network's weights, ``selected`` and ``last``.
    """

    schema_version: int = SCHEMA_VERSION
    key: str
    status: Literal["done", "failed"]
    method: str
    variant: str
    role: Literal["method", "reference", "baseline"]
    dataset: str
    setting: str
    track: str
    budget: str
    seed: int
    teacher: str
    student: str
    config: dict[str, Any]
    command: str
    version: str
    commit: str
    protocol: int
    data_digest: str
    data_note: str = ""
    environment: dict[str, str]
    teacher_score: TeacherScore | None = None
    evaluations: list[Evaluation] = []
    stages: dict[str, Outcome] = {}
    default_settings: tuple[str, ...] = ()
    selected: Outcome | None = None
    last: Outcome | None = None
    oracle: Evaluation | None = None
    fingerprints: dict[str, str] = {}
    cost: Cost = Cost()
    error: str | None = None
    traceback: str | None = None

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
        return Record.model_validate(json.loads((folder / "record.json").read_bytes()))
    except (OSError, ValueError):  # missing, or damaged in any of the ways there are
        return None


def read_records(runs: Path) -> Iterator[Record]:
    """All readable records below ``runs``, in the order of their keys."""
    for path in sorted(runs.glob("*/record.json")):
        record = read_record(path.parent)
        if record is not None:
            yield record
