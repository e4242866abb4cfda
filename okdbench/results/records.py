"""The record of a run: one JSON file that every table, figure and page is computed from.

Accuracies are percentages in [0, 100] throughout. A record may come from anyone, so its texts are checked before they
become names of files or reach a terminal.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from okdbench.core.config import ResizeRule
from okdbench.core.protocol import is_tuning_seed
from okdbench.core.resize import Interpolation
from okdbench.core.syntax import spell_method
from okdbench.results.loss_curves import Curve

#: version 2 added curves and origin; 3 task, shots, test images and numbers of updates; 4 the file of a local method
SCHEMA_VERSION = 4
#: letters of the longest file of a local method that a record keeps
LONGEST_METHOD = 200_000
#: options that say where something is on a machine; the record has names and digests of what is there
_PLACES = (
    "device", "log_to", "method", "dataset", "teacher", "student", "teacher_weights", "teacher_init", "student_weights",
)  # fmt: skip


def _one_name(text: str) -> str:
    if not text or len(text) > 200 or text in (".", "..") or {"/", "\\", "\0"} & set(text):
        raise ValueError("it must be one name without slashes, because it names a file")
    return text


def _without_controls(text: str) -> str:
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise ValueError("it contains control characters, which a terminal would act on")
    return text


#: a text that is printed as it is
Line = Annotated[str, AfterValidator(_without_controls)]
#: a text that becomes the name of a file or folder
FileName = Annotated[Line, AfterValidator(_one_name)]
#: a whole number that a data frame can hold
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class _Model(BaseModel):
    # NaN and infinity are written by name: as null they could not be read back.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Score(_Model):
    """Metrics of one state of the student on the test images, in percent.

    ``top3`` and ``top5`` count a hit anywhere among the best three or five classes; ``ece`` is the expected
    calibration error over 15 equal-width bins; ``agreement`` is the share of images for which student and teacher
    predict the same class.
    """

    acc: float
    top3: float
    top5: float
    macro_f1: float
    ece: float
    agreement: float


class Evaluation(_Model):
    """The student at one moment of training; ``images`` counts the images that it has trained on by then.

    ``val_acc`` is None where there is no validation split: outside of task adapt.
    """

    stage: str
    step: Int64
    images: Int64
    val_acc: float | None
    test: Score


class Outcome(_Model):
    """An evaluation with the accuracy on the teacher's domains (retention).

    The latter is None where their images are missing, and where they are the test images.
    """

    evaluation: Evaluation
    # Records of schema version 2 have the other name.
    retention: float | None = Field(validation_alias=AliasChoices("retention", "teacher_domain_acc"))


class TeacherScore(_Model):
    """The teacher's accuracy on the test split of its own domains, None where they are missing, and on the test images.

    ``fingerprint`` is the hash of its weights, because weights of one key differ between machines.
    """

    key: str
    fingerprint: str = ""
    own_acc: float | None
    # Records of schema version 2 have the other name.
    test_acc: float = Field(validation_alias=AliasChoices("test_acc", "student_domain_acc"))


class Traffic(_Model):
    """Images that passed through one network: forwards, backwards, and backwards that changed its weights.

    ``updates`` counts the steps of its optimisers; it is None in records of schema version 2.
    """

    forward: Int64 = 0
    backward: Int64 = 0
    learned: Int64 = 0
    updates: Int64 | None = None


class Cost(_Model):
    """What a run consumed. Times and ``peak_memory_mb`` vary between equal runs, ``traffic`` does not."""

    traffic: dict[str, Traffic] = {}
    seconds: float = 0.0
    stage_seconds: dict[str, float] = {}
    peak_memory_mb: float = 0.0


class Record(_Model):
    """Everything about one run.

    Attributes:
        key: hash of the configuration and of the code; names the run's folder.
        origin: empty for a bundled method, ``local`` for a file of the user's, else the package that it is from.
        method_digest: digest of a local method's file, whose comments and docstrings do not count; else empty.
        method_text: the file of a local method, for reading and for running it again, never executed by a command that
            reads records; empty for other methods, and where the file is too long or not UTF-8.
        source: digest of all code that the run can reach: the method, the data path, the loop and the teacher. Records
            from before this field have none.
        variant: the hyper-parameters that differ from the defaults, as ``lr=0.1``.
        task: adapt, transfer or data-free; the form of the setting tells it too.
        shots: labels per class of the student's domain; None for all.
        weights_digest: hash of the file of a user's teacher; empty without one, and in older records.
        starts: for teacher and student, the file of weights that their training started from, with its digest.
        data_digest: digest of all images of the setting's domains, in whatever fold.
        domain_digests: domain -> digest of its images; ``@`` before its name says that they have no labels here.
        test_images: number of test images; None in records of schema version 2, as is ``classes``.
        classes: number of classes.
        mean: of each channel, for the normalisation of the networks; as many as the images have channels. Empty in
            records of earlier protocols, as is ``std``.
        std: the same for the standard deviation.
        resize: how images of another size became squares.
        interpolation: filter that scaled them.
        channel_order: order in which the networks got the channels.
        subset_digest: a hash of the paths of the images that ``ood_subset`` chose; empty without it.
        data_note: how the images differ from the official ones; empty when they do not.
        default_settings: the data set's settings of this task that the row over all settings is about.
        tuned: how the hyper-parameters were chosen; empty for defaults and for what was chosen by hand.
        tuning_score: what ``okdbench tune`` compares, in percent: the selected student's validation accuracy, or in the
            label-free track its agreement with the teacher on the images that the method sees. None without such
            images, and on every seed that is no tuning seed.
        selected: the evaluation that is ranked.
        last: the evaluation at the end of training.
        oracle: the best evaluation on the test split, which is reported and never used.
        fingerprints: hashes of the evaluated network's weights, ``selected`` and ``last``.
    """

    schema_version: int = SCHEMA_VERSION
    key: FileName
    status: Literal["done", "failed"]
    method: Line
    origin: Line = ""
    method_digest: str = Field("", pattern="^([0-9a-f]{64})?$")
    method_text: str = Field("", max_length=LONGEST_METHOD)
    source: str = ""
    variant: Line
    role: Literal["method", "reference", "baseline", "privileged"]
    dataset: FileName
    setting: Line
    task: Line = "adapt"
    track: Line
    shots: Int64 | None = None
    budget: Line
    seed: Int64
    teacher: Line
    student: Line
    starts: dict[Literal["teacher", "student"], Line] = {}
    config: dict[str, Any]
    command: str
    version: Line
    commit: str
    protocol: Int64
    weights_digest: str = ""
    data_digest: str
    domain_digests: dict[str, str] = {}
    data_note: str = ""
    test_images: Int64 | None = None
    classes: Int64 | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: ResizeRule = "stretch"
    interpolation: Interpolation = "bilinear"
    channel_order: Literal["rgb", "bgr", "grey"] = "rgb"
    subset_digest: str = ""
    environment: dict[str, str]
    teacher_score: TeacherScore | None = None
    # Pydantic copies a default for each record, so these lists and mappings are not shared.
    evaluations: list[Evaluation] = []
    stages: dict[str, Outcome] = {}
    curves: dict[str, Curve] = {}
    default_settings: tuple[str, ...] = ()
    tuned: Line = ""
    tuning_score: float | None = None
    selected: Outcome | None = None
    last: Outcome | None = None
    oracle: Evaluation | None = None
    fingerprints: dict[str, str] = {}
    cost: Cost = Cost()
    error: str | None = None
    traceback: str | None = None

    @property
    def finished(self) -> str:
        """When the run ended, as ISO time; empty where the record does not know."""
        return self.environment.get("finished", "")

    @property
    def result(self) -> str:
        """The test accuracy, or of a run on a tuning seed the score, so that nobody tunes by what a table reports."""
        if is_tuning_seed(self.seed):
            return "done" if self.tuning_score is None else f"score {self.tuning_score:.2f}"
        return f"{self.selected.evaluation.test.acc:.2f} %" if self.selected else self.status

    @property
    def selection_gap(self) -> float | None:
        """What choosing the evaluation on the test split would have added, in points; None where it is unknown."""
        if self.oracle is None or self.selected is None:
            return None
        return self.oracle.test.acc - self.selected.evaluation.test.acc

    @property
    def title(self) -> str:
        """The run in a few words: ``kd[lr=0.1] digits MO-P labelled quick seed 0``."""
        method = spell_method(self.method, self.variant)
        shots = "" if self.shots is None else f" {self.shots} shots"
        return f"{method} {self.dataset} {self.setting} {self.track}{shots} {self.budget} seed {self.seed}"

    def comparable(self) -> dict[str, Any]:
        """The record without what may differ between two runs of one key: times, memory, machine and comments."""
        content = self.model_dump(exclude={"environment", "command", "commit", "traceback", "method_text"})
        content["config"] = {name: value for name, value in content["config"].items() if name not in _PLACES}
        for name in ("seconds", "stage_seconds", "peak_memory_mb"):
            del content["cost"][name]
        return content
