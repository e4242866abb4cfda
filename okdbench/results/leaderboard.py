"""Runs -> leaderboards: pure functions from one data frame to another.

Every method of a comparison group (:mod:`okdbench.results.grouping`) is expected to have a run for each of the data
set's default settings and each seed that a method without changed hyper-parameters has. A row that lacks one shows
``4/6`` and has no rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from okdbench.core.protocol import is_ranked
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import format_seeds
from okdbench.results.columns import is_complete, shown_in
from okdbench.results.grouping import ALL, GROUP, counted, current, default_settings
from okdbench.results.intervals import group_mean, interval, mean, mean_std
from okdbench.results.table import Row, rows_of

#: a row of one comparison group; ``row`` is a setting or ``all``
_ROW = ["row", "method"]


def leaderboard(records: pd.DataFrame) -> pd.DataFrame:
    """One row per comparison group, setting (or ``all``) and method.

    Superseded runs are left out (:func:`okdbench.results.grouping.current`). Where several runs fill one cell, the one
    that finished last counts.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.

    Returns:
        The columns of :data:`okdbench.results.columns.COLUMNS`. For each data set and task ``all`` comes first, then
        the rows are sorted by setting, comparison group, rank and accuracy. Accuracies and errors are in percent, and
        numbers of images, ``seconds`` and ``peak_memory_mb`` are per run. Numbers are means over the finished runs,
        each setting with the same weight.
    """
    tables = [_group_rows(runs) for _, runs in current(records).groupby(GROUP)]
    columns = {column.name: column.dtype for column in shown_in("frame")}
    table = pd.concat(tables) if tables else pd.DataFrame(columns=list(columns))
    keys = ["dataset", "protocol", "task", "single", "setting", *GROUP[1:], "rank", "acc", "method"]
    keys = list(dict.fromkeys(keys))
    # The newest protocol first.
    ascending = [key not in ("acc", "protocol") for key in keys]
    ordered = table.assign(single=table["setting"] != ALL).sort_values(keys, ascending=ascending)
    return ordered[list(columns)].astype(columns).reset_index(drop=True)


def _group_rows(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of one comparison group."""
    defaults = default_settings(runs)
    # Variants are often tried with more seeds than the methods that they are compared with.
    seeds = runs.loc[runs["variant"] == "", "seed"] if (runs["variant"] == "").any() else runs["seed"]
    cells = _by_row(_with_gain(counted(runs), runs), defaults)
    finished = dict(list(cells.groupby(_ROW)))
    rows = []
    for (setting, method), tried in _by_row(runs, defaults).groupby(_ROW):
        done = finished.get((setting, method), cells[:0])
        expected = seeds.nunique() * (len(defaults) if setting == ALL else 1)
        role = tried["role"].iloc[0]
        row = {"setting": setting, "method": method, "role": role, "complete": f"{len(done)}/{expected}"}
        rows.append(row | _summary(done) | _provenance(done if len(done) else tried, str(setting)))
    columns = [column.name for column in shown_in("frame")]
    table = pd.DataFrame(rows).reindex(columns=columns).assign(**runs.iloc[0][GROUP])
    # Whether a row may have a rank is decided for the whole table, because taking it apart row by row is slow.
    ranked = table[[_may_rank(row) for row in rows_of(table)]]
    ranks = [_ranks(members) for _, members in ranked.groupby("setting")]
    return table.assign(rank=pd.concat([*ranks, pd.Series(dtype="Int64")]))


def _by_row(runs: pd.DataFrame, defaults: Iterable[str]) -> pd.DataFrame:
    """Each run once per row that it belongs to: its setting's, and ``all`` for a default setting; sorted by seed."""
    both = pd.concat([runs[runs["setting"].isin(defaults)].assign(row=ALL), runs.assign(row=runs["setting"])])
    # By seed, because a row's command is that of its first run.
    return both.sort_values(["seed", "setting"], kind="stable")


def _with_gain(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The cells with their gain over the baseline in the same setting with the same seed, NaN without one."""
    baseline = counted(runs[(runs["role"] == "baseline") & (runs["variant"] == "")])
    baseline = baseline.drop_duplicates(["setting", "seed"], keep="last")[["setting", "seed", "acc"]]
    both = cells.merge(baseline, how="left", on=["setting", "seed"], suffixes=("", "_baseline"))
    return both.assign(gain=both["acc"] - both["acc_baseline"])


def _summary(cells: pd.DataFrame) -> dict[str, float]:
    """Column -> number of the row that is made of these runs; NaN where no run has the number."""
    names = [column.name for column in shown_in("frame") if column.averaged]
    settings = _by_setting(cells)
    tables = [members[names].to_numpy() for members in settings]
    summary: dict[str, float] = {"seeds": cells["seed"].nunique()}
    for index, name in enumerate(names):
        groups = [[value for value in table[:, index].tolist() if not math.isnan(value)] for table in tables]
        # Unlike pandas' mean this one does not depend on the order, so that equal rows share a rank.
        summary[name] = group_mean([group for group in groups if group])
    return summary | _spread(settings)


def _by_setting(cells: pd.DataFrame) -> list[pd.DataFrame]:
    """The cells of each setting."""
    # Most rows are of one setting, and grouping takes longer than all of their numbers.
    return [cells] if cells["setting"].nunique() == 1 else [members for _, members in cells.groupby("setting")]


def _spread(settings: Sequence[pd.DataFrame]) -> dict[str, float]:
    """Standard deviation over seeds and 95 % confidence interval of the accuracy; NaN where they are unknown."""
    # No accuracy is outside of 0 to 100 %, but the ends of an interval from few seeds may be.
    low, high = np.clip(interval([members["acc"].tolist() for members in settings]) or (math.nan, math.nan), 0.0, 100.0)
    seeds: dict[int, list[float]] = {}
    for members in settings:
        for seed, acc in zip(members["seed"], members["acc"], strict=True):
            seeds.setdefault(seed, []).append(acc)
    # The mean of a seed that lacks a setting differs by its settings too, so it is left out.
    means = [mean(values) for values in seeds.values() if len(values) == len(settings)]
    return {"acc_std": mean_std(means)[1], "acc_low": low, "acc_high": high}


def _provenance(runs: pd.DataFrame, setting: str) -> dict[str, str]:
    """Which code made a row's runs, and the command that repeats them."""
    texts = {name: set(runs[name]) for name in ("version", "commit")}
    single = {name: values.pop() if len(values) == 1 else "mixed" for name, values in texts.items()}
    return single | {"command": _command(runs, setting)}


def _command(runs: pd.DataFrame, setting: str) -> str:
    """The command of the first seed, with all seeds instead of one, and for ``all`` with the task, not the setting."""
    command, seeds = str(runs["command"].iloc[0]), set(runs["seed"])
    if len(seeds) > 1:
        command = re.sub(r"--seed[ =]\d+", f"--seeds {format_seeds(seeds)}", command)
    task = str(runs["task"].iloc[0])
    default = "" if task == TaskKind.ADAPT else f" --task {task}"
    return re.sub(r" --setting[ =]\S+", default, command) if setting == ALL else command


def _may_rank(row: Row) -> bool:
    counts = row["role"] != "privileged" and is_complete(row) and row["acc"] is not None
    return counts and is_ranked(row["budget"], row["student_images"])


def _ranks(rows: pd.DataFrame) -> pd.Series[Any]:
    """One more than the number of rows whose interval is entirely above."""
    acc, low, high = (rows[name].to_numpy(float) for name in ("acc", "acc_low", "acc_high"))
    # Without two intervals to compare, such as with one seed, the accuracies themselves decide.
    unknown = np.isnan(low)[:, None] | np.isnan(high)
    better = np.where(unknown, acc[:, None] > acc, low[:, None] > high)
    return pd.Series(1 + better.sum(axis=0), index=rows.index, dtype="Int64")
