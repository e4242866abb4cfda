"""Published numbers beside ours, with a verdict; where two numbers cannot be compared, it says why.

``leaderboards/published/<dataset>.csv`` quotes papers. Its first columns name the row of our leaderboard and the task
that a number belongs to, and on what the paper selected its evaluation. ``row`` is empty for methods that okdbench
lacks, and ``setting`` for settings and data sets that it lacks. Teachers and students have the names that they have in
okdbench, so that equal names are equal networks. An empty cell of the other columns is what the source does not tell.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from okdbench.results.obstacles import OUR_COLUMNS, obstacles, unknown_conditions
from okdbench.results.published_columns import MARGIN
from okdbench.results.table import Row, rows_of

#: columns that a file may lack: the choice among the images of task transfer, the training of the teacher where it is
#: not the data set's first, and the number of images that the student learned from
_RARE = ("ood_subset", "teacher_recipe", "images")

#: the hyper-parameters that say how long a training is, and nothing else of the method
LENGTHS = ("data_free_steps", "rounds", "warm_up", "warm_up_rounds", "anchor_steps", "mixup_epochs", "epochs")

#: what a comparison takes over from the published number
_TAKEN = (
    "number", "dataset", "method", "row", "setting", "task", "track", "teacher_domain", "student_domain", "teacher",
    "student", "pretrained", "image_size", "budget", "teacher_recipe", "ood_subset", "metric", "selection", "source",
    "confidence",
)  # fmt: skip


def published_numbers(datasets: Iterable[str] | None = None) -> pd.DataFrame:
    """The published numbers on some data sets, by default on all, in percent; no rows for those without a file."""
    folder = Path(next(iter(importlib.import_module("okdbench.leaderboards").__path__))) / "published"
    wanted = None if datasets is None else set(datasets)
    tables = [
        # An empty cell is an empty text, for what okdbench or the source lacks; only the deviation may be missing.
        pd.read_csv(file, keep_default_na=False, na_values={"std": [""]}, dtype=str).assign(dataset=file.stem)
        for file in sorted(folder.glob("*.csv"))
        if wanted is None or file.stem in wanted
    ]
    if not tables:
        return pd.DataFrame()
    numbers = pd.concat(tables, ignore_index=True).astype({"value": float, "std": float})
    # Columns that only some files have.
    empty = pd.Series("", numbers.index)
    return numbers.assign(**{name: numbers.get(name, empty).fillna("") for name in _RARE})


def compare_published(table: pd.DataFrame, numbers: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each published number beside the row of ours that has the most in common with it.

    Args:
        table: leaderboards, as :func:`okdbench.leaderboard` returns them.
        numbers: published numbers; by default all on the data sets of ``table``.

    Returns:
        What the columns of :mod:`okdbench.results.published_columns` are made of. No rows where there are no published
        numbers.
    """
    numbers = published_numbers(table["dataset"].unique()) if numbers is None else numbers
    if numbers.empty:
        return pd.DataFrame(columns=["dataset"])
    # A left join: a published number without a run of ours is listed too, with that as the reason.
    ours = _under_both_names(table)
    pairs = numbers.reset_index(names="number").merge(
        ours[ours["acc"].notna()],
        how="left",
        left_on=["dataset", "row", "setting", "track"],
        right_on=["dataset", "whole", "setting", "track"],
        suffixes=("", "_ours"),
    )
    compared = pd.DataFrame([_compared(pair) for pair in rows_of(pairs)])
    # Of several rows of ours, such as those of other budgets, the one with the fewest obstacles is compared.
    # Of equals, the one that trained most: never the most accurate one.
    order = compared.sort_values(["obstacles", "trained"], ascending=[True, False], kind="stable")
    best = order.drop_duplicates("number").sort_values("number")
    return best.drop(columns=["number", "obstacles", "trained"]).reset_index(drop=True)


def _compared(pair: Row) -> dict[str, object]:
    """A published number with a row of ours, whose columns are None where there is no such row."""
    column = OUR_COLUMNS.get((pair["metric"], pair["selection"]), "acc")
    missing = pair["acc"] is None
    found = obstacles(pair)
    ends = None if missing else _interval(pair, column)
    if ends is None and not missing:
        found.append("our number has no interval")
    part, smaller = "" if missing else pair["part"], not missing and _is_smaller(pair)
    if part and not found and not smaller:
        found.append(f"ours has {part}, which is not known to be part of theirs")
    if smaller and not part:
        part = f"{pair['student_images']:,.0f} student images of {float(pair['images']):,.0f}"
    verdict, why = ("not comparable", "; ".join(found)) if found or ends is None else _verdict(pair, ends, part)
    low, high = ends or (None, None)
    return {name: pair[name] for name in _TAKEN} | {
        "our_budget": "" if missing else _our_budget(pair),
        "paper": pair["value"],
        "paper_std": pair["std"],
        "ours": pair[column],
        "difference_low": low,
        "difference_high": high,
        "verdict": verdict,
        "why": why,
        "obstacles": len(found),
        "trained": pair["student_images"] or 0.0,
    }


def _our_budget(pair: Row) -> str:
    images = pair["student_images"]
    return str(pair["budget_ours"]) + ("" if images is None else f", {images:,.0f} student images")


def _interval(pair: Row, column: str) -> tuple[float, float] | None:
    """The 95 % interval of ours - theirs; None where ours has none."""
    if pair[f"{column}_low"] is None:
        return None
    ours = (pair[f"{column}_high"] - pair[f"{column}_low"]) / 2
    # How many seeds a paper's deviation is of is mostly unknown, so it counts as that of one number.
    theirs = 2 * (pair["std"] or 0.0)
    middle, half = pair[column] - pair["value"], math.hypot(ours, theirs)
    return middle - half, middle + half


def _under_both_names(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ours with ``whole``, a published row's name, and ``part``, what is left of theirs.

    A row that says how long it trained is there twice: a source that says so too has the same name.
    """
    names = pd.DataFrame([_without_part(name) for name in table["method"]], table.index, ["whole", "part"], dtype=str)
    parts = pd.concat([table, names], axis=1)
    return pd.concat([table.assign(whole=table["method"], part=""), parts[parts["part"] != ""]], ignore_index=True)


def _without_part(method: str) -> tuple[str, str]:
    """A row's name without the hyper-parameters that say how long it trained, and those.

    >>> _without_part("dfad[data_free_steps=500,lr_student=0.1]")
    ('dfad[lr_student=0.1]', 'data_free_steps=500')
    """
    name, _, inner = method.partition("[")
    texts = inner.removesuffix("]").split(",") if inner else []
    parts = [text for text in texts if text.partition("=")[0] in LENGTHS]
    rest = [text for text in texts if text not in parts]
    return (f"{name}[{','.join(rest)}]" if rest else name), ",".join(parts)


def _is_smaller(pair: Row) -> bool:
    """Whether our student learned from fewer images than the source's."""
    return bool(pair["images"]) and (pair["student_images"] or math.inf) < float(pair["images"])


def _verdict(number: Row, ends: tuple[float, float], part: str) -> tuple[str, str]:
    """An equivalence test: the verdict from the interval of ours - theirs, and the reason.

    Args:
        number: the published number.
        ends: of the interval.
        part: what makes our training smaller; it may be enough, but where it is not, the whole was not tried.
    """
    low, high = ends
    words = f"ours - theirs is between {low:+.2f} and {high:+.2f}"
    lacking = unknown_conditions(number)
    unknown = f"; unknown of theirs: {', '.join(lacking)}" if lacking else ""
    unknown += f"; ours has {part}" if part else ""
    if low >= -MARGIN and high <= MARGIN:
        return "reproduced", f"{words}, within {MARGIN:g} point{unknown}"
    if (low > MARGIN or high < -MARGIN) and not part:
        return "not reproduced", f"{words}, more than {MARGIN:g} point away{unknown}"
    cure = "the whole training was not run" if part else "more seeds would narrow that"
    return "inconclusive", f"{words}; {cure}{unknown}"
