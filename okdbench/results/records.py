"""One JSON record per run: the only truth; every table, plot and page is a pure function of these.

Accuracies are percentages in [0, 100] throughout. Writing is atomic: a reader sees the old file or the new one.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from okdbench.results.loss_curves import Curve

#: 2: with curves and origin
SCHEMA_VERSION = 2


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
