"""The registry of the leaderboards' columns.

CSV files, terminal, Markdown and LaTeX tables and the HTML page follow from :data:`COLUMNS`, so that adding a column is
one entry, such as::

    Column("agreement", "share of images on which student and teacher agree", unit="%", averaged=True, drop=9)
"""

from __future__ import annotations

from okdbench.results.estimates import ENOUGH_SEEDS
from okdbench.results.table import DETAILS, FILES, TABLES, Column, Form, Row, spell


def shown_in(form: Form) -> list[Column]:
    """The columns of one form of the leaderboards, in order."""
    return [column for column in COLUMNS if form in column.forms]


def csv_cells(row: Row) -> dict[str, str]:
    """One row of a CSV file: column -> text."""
    return {column.name: column.value(row) for column in shown_in("csv")}


def is_complete(row: Row) -> bool:
    """Whether every expected run of a row is finished, so that its ``complete`` reads ``6/6``."""
    done, _, expected = str(row["complete"]).partition("/")
    return done == expected


def _rank(row: Row) -> str:
    """The rank, ``-`` for a row that may not have one, or ``4/6`` where runs are missing."""
    return (spell(row["rank"]) or "-") if is_complete(row) else str(row["complete"])


def _method(row: Row) -> str:
    return f"{row['method']} (privileged)" if row["role"] == "privileged" else str(row["method"])


def is_best(row: Row) -> bool:
    """Whether the others are compared with this row."""
    return bool(row["best"] == row["method"])


def is_provisional(row: Row) -> bool:
    """Whether a row has fewer than five seeds, or shares fewer with the best."""
    if row["tied"] is not None or row["acc"] is None:
        return False
    return row["seeds"] < ENOUGH_SEEDS or (row["behind"] is not None and not is_best(row))


def _mark(row: Row) -> str:
    return "provisional" if is_provisional(row) else "≈" if row["tied"] else ""


def _interval(row: Row) -> str:
    return " to ".join(spell(end) for end in (row["acc_low"], row["acc_high"]) if end is not None)


def _behind(row: Row) -> str:
    """Points behind the best with the simultaneous interval, such as ``1.23 (0.45 to 2.01)``."""
    ends = "" if row["behind_low"] is None else f" ({spell(row['behind_low'])} to {spell(row['behind_high'])})"
    return spell(row["behind"]) + ends


def _worst(row: Row) -> str:
    """The worst run, and how many collapsed: ``9.80 (2 of 15 collapsed)``."""
    done = str(row["complete"]).partition("/")[0]
    return spell(row["worst"]) + (f" ({row['collapsed']} of {done} collapsed)" if row["collapsed"] else "")


def _seconds(row: Row) -> str:
    return spell(row["seconds"], 0)


#: accuracies, beside ``acc``, whose interval published numbers are compared with or a figure shows
WITH_INTERVAL = ("top5", "last_acc", "oracle_acc", "retention")

#: in the order of the CSV file; what a comparison group has in common is the title of a table for people, not a column
COLUMNS: tuple[Column, ...] = (
    Column("dataset", "the data set", dtype="str", forms=FILES),
    Column(
        "rank",
        "place in the order of the means; reference rows have none, and neither has a row that lacks runs: 4/6 counts "
        "the finished ones",
        # With a capital letter, because a row may have no rank and int64 has no missing value.
        dtype="Int64",
        ascending=True,
        text=_rank,
    ),
    Column("mark", "≈: cannot be told from the best at a family-wise 5 %; provisional: it has fewer than "
           f"{ENOUGH_SEEDS} seeds, or shares fewer with the best", dtype="str", forms=TABLES, text=_mark),
    Column("method", "the method, with the hyper-parameters that differ from the defaults; privileged rows see the "
           "teacher's own images, which no method may", dtype="str", folds=True, text=_method),
    Column("setting", "one setting, or all: the mean over the data set's default settings, if all of them are there",
           dtype="str"),
    Column("role", "method, baseline, reference, or privileged: it sees the teacher's images", dtype="str",
           forms=FILES),
    Column("task", "adapt, transfer or data-free", dtype="str", forms=FILES),
    Column("track", "which labels of the student's domain the method sees", dtype="str", forms=FILES),
    Column("shots", "labels per class of the student's domain, or all", dtype="str", forms=FILES),
    Column("budget", "how many images the runs train on", dtype="str", forms=FILES),
    Column("teacher", "the teacher's architecture; in brackets, conditions that are not the default", dtype="str",
           forms=FILES),
    Column("student", "the student's architecture", dtype="str", forms=FILES),
    Column("protocol", "version of the protocol", dtype="str", forms=FILES),
    Column("seeds", "seeds with a finished run in every setting of the row", dtype="int64", forms=FILES | {"html"}),
    Column("complete", "finished runs / expected runs", dtype="str", forms=FILES | {"html"}),
    Column("acc", "top-1 accuracy of the student on the test images", unit="%", heading="acc %", label="Accuracy",
           averaged=True),
    Column("acc_low", "lower end of the 95 % interval of the accuracy", unit="%", forms=FILES),
    Column("acc_high", "upper end of the 95 % interval of the accuracy", unit="%", forms=FILES),
    # No-break spaces in the label, because a number and its unit belong on one line.
    Column("interval", "interval of the accuracy (Student's t over seeds)", heading="95 %",
           label="95\u00a0%\u00a0interval", forms=TABLES, drop=4, text=_interval),
    Column("tied", "whether the row cannot be told from the best; empty for the best and for provisional rows",
           dtype="boolean", forms=FILES),
    Column("best", "the method that the row is compared with", dtype="str", forms=FILES),
    Column("behind", "how far behind the best method the row is, on the seeds that both have; in brackets the 95 % "
           "interval, simultaneous over all rows", unit="points", ascending=True, drop=3, text=_behind),
    Column("behind_low", "lower end of the simultaneous 95 % interval of behind", unit="points", forms=FILES),
    Column("behind_high", "upper end of the simultaneous 95 % interval of behind", unit="points", forms=FILES),
    Column("worst", "accuracy of the worst run; a collapsed run is within a twentieth of the way from chance to 100 %",
           unit="%", drop=6, text=_worst),
    Column("collapsed", "how many runs collapsed; empty where the number of classes is unknown", dtype="Int64",
           forms=FILES),
    Column("val_acc", "accuracy on the validation images, where there are any", unit="%",
           heading="validation accuracy", averaged=True, forms=DETAILS),
    Column("top3", "the true class is among the three best", unit="%", heading="top 3", averaged=True, forms=DETAILS),
    Column("top5", "the true class is among the five best", unit="%", heading="top 5", averaged=True, forms=DETAILS),
    Column("macro_f1", "F1 score, mean over classes", unit="%", heading="macro F1", averaged=True, forms=DETAILS),
    Column("ece", "expected calibration error", unit="%", heading="calibration error", averaged=True, ascending=True,
           forms=DETAILS),
    Column("teacher_acc", "accuracy of the frozen teacher on the same images", unit="%", heading="teacher acc",
           averaged=True, drop=7),
    Column("retention", "accuracy of the student on the teacher's domains", unit="%", averaged=True, drop=2),
    Column("gain", "accuracy minus that of the baseline in the same settings with the same seeds", unit="points",
           averaged=True, signed=True, drop=1),
    Column("last_acc", "accuracy at the end of training", unit="%", heading="last accuracy", averaged=True,
           forms=DETAILS),
    Column("oracle_acc", "accuracy of the best evaluation on test, which is reported and never used", unit="%",
           heading="best on test", label="Best accuracy on test", averaged=True, forms=DETAILS),
    *(
        Column(f"{name}_{end}", f"{word} end of the 95 % interval of {name}", unit="%", forms=frozenset({"frame"}))
        for name in WITH_INTERVAL
        for end, word in (("low", "lower"), ("high", "upper"))
    ),
    Column("selection_gap", "what choosing the evaluation on the test split would add to the accuracy", unit="points",
           heading="selection gap", averaged=True, ascending=True, drop=8),
    Column("student_images", "images that the student trains on", heading="student images",
           label="Training images of the student", averaged=True, decimals=0, ascending=True, forms=DETAILS),
    Column("teacher_queries", "images that the teacher is queried about", heading="teacher queries",
           label="Images through the teacher", averaged=True, decimals=0, ascending=True, forms=DETAILS),
    Column("generator_steps", "updates of the generator", heading="generator steps", averaged=True, decimals=0,
           ascending=True, forms=DETAILS),
    Column("passes", "images through any network, forward and backward", averaged=True, decimals=0, ascending=True,
           forms=DETAILS),
    Column("test_images", "test images of a run", heading="test images", averaged=True, decimals=0, forms=DETAILS),
    Column("seconds", "seconds of one run without its teacher's training; comparable on one machine only", heading="s",
           label="Seconds", averaged=True, decimals=1, ascending=True, drop=5,
           text=_seconds),
    Column("peak_memory_mb", "peak memory of one run", unit="MB", heading="peak memory", averaged=True, decimals=1,
           ascending=True, forms=DETAILS),
    Column("tuned", "how the hyper-parameters were chosen; mixed where runs differ", dtype="str", forms=DETAILS),
    Column("torch", "version of torch, mixed where runs differ", dtype="str", forms=FILES),
    Column("device", "where the runs were made, mixed where they differ", dtype="str", forms=FILES),
    Column("version", "version of okdbench, mixed where runs differ", dtype="str", forms=FILES),
    Column("commit", "commit of okdbench, mixed where runs differ", dtype="str", forms=FILES),
    Column("command", "the command that repeats the runs", dtype="str", forms=FILES),
)  # fmt: skip
