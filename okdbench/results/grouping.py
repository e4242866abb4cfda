"""Which runs may be compared, and which of them count.

Rows are compared only within their *comparison group*: the same data set, task, track, labels, budget, networks and
protocol version. Images and weights of a teacher are the same if their content is, whatever their names. A *cell* of a
group is a setting with a seed. Superseded runs count nowhere: those of an older version of the code that they reach.

The functions on data frames take the columns of :data:`okdbench.results.frames.RUN_COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from okdbench.core.config import RunConfig
from okdbench.core.protocol import FIRST_BFLOAT16_VERSION, FIRST_TUNING_SEED, PROTOCOL_VERSION
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import spell_assignments, spell_method
from okdbench.results.identity import image_versions, weights_names
from okdbench.results.records import Record

if TYPE_CHECKING:
    import pandas as pd

#: the name of the row over all default settings; as a number of labels per class, every label
ALL = "all"

#: conditions that make two teachers or students incomparable, besides their architectures
_CONDITIONS = (
    "image_size", "resize", "interpolation", "channels", "channel_order", "mean", "std", "pretrained", "precision",
    "teacher_weights", "teacher_recipe", "test_split", "ood_subset",
)  # fmt: skip


class ComparisonGroup(NamedTuple):
    """What rows must have in common to be compared."""

    dataset: str
    task: str
    track: str
    shots: str
    budget: str
    teacher: str
    student: str
    protocol: str

    @property
    def place(self) -> tuple[str, ...]:
        """Data set, task, track, labels and budget, without a task and number of labels that are the default."""
        task = (self.task,) if self.task != TaskKind.ADAPT else ()
        shots = (f"{self.shots} shots",) if self.shots != ALL else ()
        return (self.dataset, *task, self.track, *shots, self.budget)

    @property
    def title(self) -> str:
        """The group as the heading of its table."""
        return f"{', '.join(self.place)}, {self.teacher} -> {self.student}{self._older}"

    @property
    def networks(self) -> str:
        """Teacher and student, and the version of an older protocol."""
        return f"{self.teacher} → {self.student}{self._older}"

    @property
    def _older(self) -> str:
        return f" (protocol {self.protocol})" if self.protocol != str(PROTOCOL_VERSION) else ""


#: the columns that tell comparison groups apart
GROUP = list(ComparisonGroup._fields)


class Cell(NamedTuple):
    """One run's place in a row."""

    setting: str
    seed: int


def label(record: Record) -> str:
    """Name of the record's row: ``kd``, ``kd[lr=0.1]`` with changed hyper-parameters, ``mine (local, 3f9a)``."""
    return spell_method(method_name(record.method, record.origin, record.method_digest), record.variant)


def method_name(method: str, origin: str = "", digest: str = "") -> str:
    """Name of a method in tables; the digest of its file tells local methods of one name apart.

    >>> method_name("kd"), method_name("extra", "okd-extra"), method_name("mine", "local", "3f9abc")
    ('kd', 'extra (okd-extra)', 'mine (local, 3f9a)')
    """
    places = ", ".join(text for text in (origin, digest[:4]) if text)
    return f"{method} ({places})" if origin else method


def groups_of(records: Sequence[Record]) -> list[ComparisonGroup]:
    """The comparison group of each record; conditions that are not the default follow the teacher's name.

    A hash of weights or images is among them only where these records differ in nothing else.
    """
    files = weights_names(records)
    groups = [_group_of(record, file) for record, file in zip(records, files, strict=True)]
    versions = image_versions(records, groups)
    return [_group_of(*each) for each in zip(records, files, versions, strict=True)]


def _group_of(record: Record, weights: str, images: str = "") -> ComparisonGroup:
    usual = {name: RunConfig.model_fields[name].default for name in _CONDITIONS}
    # A record from before a condition existed lacks it, and was made under its default.
    unusual = {name: record.config[name] for name in _CONDITIONS if record.config.get(name, usual[name]) != usual[name]}
    # In protocol 1 the default had a name.
    if unusual.get("test_split") == "protocol":
        del unusual["test_split"]
    unusual |= {f"{role}_start": text.rpartition("(")[2].rstrip(")") for role, text in record.starts.items()}
    if weights:
        unusual["teacher_weights"] = weights
    if images := " ".join(filter(None, ("differing" if record.data_note else "", images))):
        unusual["images"] = images
    teacher = spell_method(record.teacher, spell_assignments(unusual))
    return ComparisonGroup(
        dataset=record.dataset,
        task=record.task,
        track=record.track,
        shots=ALL if record.shots is None else str(record.shots),
        budget=record.budget,
        teacher=teacher,
        student=record.student,
        protocol=str(record.protocol),
    )


def without_tuning(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs on seeds that a table may use."""
    return runs[runs["seed"] < FIRST_TUNING_SEED]


def without_void(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs but for those in bfloat16 of the versions of the protocol that trained on stale weights."""
    return runs[(runs["precision"] != "bfloat16") | (runs["protocol"].astype(int) >= FIRST_BFLOAT16_VERSION)]


def current(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that are not superseded, in the order in which they finished; none is void or on a tuning seed.

    The code of each method is that of the run that finished last.
    """
    # The time is an ISO text, so its order is that of time.
    kept = without_void(without_tuning(runs)).sort_values("finished", kind="stable")
    return kept[kept["source"] == kept.groupby([*GROUP, "method"])["source"].transform("last")]


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`current` runs, the one that counts in each cell of each method: the last that finished.

    Failed runs, and those whose accuracy is not a number, count as absent.
    """
    done = runs[(runs["status"] == "done") & runs["acc"].notna()]
    return done.drop_duplicates([*GROUP, "method", "setting", "seed"], keep="last")


def some_settings(had: int, count: int) -> str:
    """What the row of a method that lacks default settings has in place of a setting: ``2 of 3 settings``."""
    return f"{had} of {count} settings"


def is_partial(setting: str) -> bool:
    """Whether a row with this in place of a setting lacks default settings, so that it is of no table.

    >>> is_partial(some_settings(2, 3)), is_partial(ALL), is_partial("MP-O")
    (True, False, False)
    """
    return "settings" in setting


def default_settings(runs: pd.DataFrame) -> set[str]:
    """The settings that the row over all settings is about; without declared defaults, all that one group has."""
    return set(chain.from_iterable(runs["default_settings"])) or set(runs["setting"])
