"""Runs -> leaderboards: pure functions from one data frame to another.

A row is made of *complete seeds*: those with a finished run in every setting of the row. Nothing else changes it, so an
extra seed or a failed run of one method touches no other row. A row that tried a seed and lacks a run of it shows
``14/15`` and has no rank. The numbers are explained in docs/statistics.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from okdbench.core.protocol import is_ranked
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import format_seeds
from okdbench.results.columns import WITH_INTERVAL, is_complete, shown_in
from okdbench.results.estimates import ENOUGH_SEEDS, group_mean, interval, mean
from okdbench.results.grouping import ALL, GROUP, counted, current, default_settings, is_partial, some_settings
from okdbench.results.significance import SeedMeans, compare_rows, mean_difference, seed_means, testable
from okdbench.results.table import Row, rows_of


def leaderboard(records: pd.DataFrame) -> pd.DataFrame:
    """One row per comparison group, setting (or ``all``) and method.

    Superseded runs are left out (:func:`okdbench.results.grouping.current`). Where several runs fill one cell, the one
    that finished last counts. A method that lacks a default setting has a row ``2 of 3 settings`` instead of ``all``.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.

    Returns:
        The columns of :data:`okdbench.results.columns.COLUMNS`. For each data set and task ``all`` comes first, then
        the rows are sorted by setting, comparison group and accuracy, those that lack runs last. Accuracies and errors
        are in percent, and numbers of images, ``seconds`` and ``peak_memory_mb`` are per run. Numbers are means over
        the complete seeds, each setting with the same weight.
    """
    tables = [_group_rows(runs) for _, runs in current(records).groupby(GROUP)]
    columns = {column.name: column.dtype for column in shown_in("frame")}
    table = pd.concat(tables) if tables else pd.DataFrame(columns=[*columns, "place", "lacking"])
    keys = ["dataset", "protocol", "task", "place", "setting", *GROUP[1:], "lacking", "acc", "method"]
    keys = list(dict.fromkeys(keys))
    # The newest protocol first.
    ordered = table.sort_values(keys, ascending=[key not in ("acc", "protocol") for key in keys])
    return ordered[list(columns)].astype(columns).reset_index(drop=True)


def _group_rows(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of one comparison group."""
    done = _with_gain(counted(runs), runs)
    rows, tables = [], dict[str, dict[str, SeedMeans]]()
    for setting, method, tried in _row_runs(runs):
        own = done[(done["method"] == method) & done["setting"].isin(set(tried["setting"]))]
        means = seed_means(own) if own["setting"].nunique() == tried["setting"].nunique() else {}
        cells = own[own["seed"].isin(means)].sort_values(["seed", "setting"], kind="stable")
        tables.setdefault(setting, {})[method] = means
        # A setting is named here, because a partial row is of no setting.
        row = {"setting": setting, "method": method, "role": tried["role"].iloc[0]} | _completeness(tried, own)
        rows.append(row | _summary(cells, means) | _provenance(cells if len(cells) else tried, setting))
    table = pd.DataFrame(rows).assign(**runs.iloc[0][GROUP])
    ranked = [_may_rank(row) for row in rows_of(table)]
    table = table.assign(rank=table[ranked].groupby("setting")["acc"].rank("min", ascending=False))
    bests = {setting: _best(members) for setting, members in table.groupby("setting")}
    behind = pd.DataFrame(
        [_behind(row, tables[row["setting"]], bests[row["setting"]]) for row in rows_of(table)], table.index
    )
    order = {ALL: 0} | dict.fromkeys(set(runs["setting"]), 2)
    lacking = [not is_complete(row) or row["acc"] is None for row in rows_of(table)]
    return pd.concat([table, behind], axis="columns").assign(
        place=[order.get(setting, 1) for setting in table["setting"]], lacking=lacking
    )


def _row_runs(runs: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Setting or ``all``, method, and the runs that were tried for its row; sorted by seed."""
    defaults = default_settings(runs)
    # By seed, because a row's command is that of its first run.
    for method, members in runs.sort_values(["seed", "setting"], kind="stable").groupby("method"):
        for setting, tried in members.groupby("setting"):
            yield str(setting), str(method), tried
        tried = members[members["setting"].isin(defaults)]
        had = tried["setting"].nunique()
        if had:
            yield ALL if had == len(defaults) else some_settings(had, len(defaults)), str(method), tried


def _completeness(tried: pd.DataFrame, own: pd.DataFrame) -> dict[str, Any]:
    """Finished and expected runs: every setting with each seed that was tried in all of them, or else in any.

    The worst is of the finished runs, also of those whose seed lacks another setting.
    """
    settings = tried.groupby("seed")["setting"].nunique()
    seeds = settings.index[settings == settings.max()]
    done = own[own["seed"].isin(seeds)]
    known = done["collapsed"].notna().all() and len(done)
    return {
        "complete": f"{len(done)}/{len(seeds) * tried['setting'].nunique()}",
        "worst": done["acc"].min(),
        "collapsed": int(done["collapsed"].sum()) if known else None,
    }


def _with_gain(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The cells with their gain over the baseline in the same setting with the same seed, NaN without one."""
    baseline = counted(runs[(runs["role"] == "baseline") & (runs["variant"] == "")])
    baseline = baseline.drop_duplicates(["setting", "seed"], keep="last")[["setting", "seed", "acc"]]
    both = cells.merge(baseline, how="left", on=["setting", "seed"], suffixes=("", "_baseline"))
    return both.assign(gain=both["acc"] - both["acc_baseline"])


def _summary(cells: pd.DataFrame, means: SeedMeans) -> dict[str, float | None]:
    """Column -> number of the row that is made of these runs; NaN where no run has the number."""
    names = [column.name for column in shown_in("frame") if column.averaged]
    tables = [members[names].to_numpy() for _, members in cells.groupby("setting")]
    summary: dict[str, float | None] = {}
    for index, name in enumerate(names):
        groups = [[value for value in table[:, index].tolist() if not math.isnan(value)] for table in tables]
        # Unlike pandas' mean this one does not depend on the order, so that equal rows share a rank.
        summary[name] = group_mean([group for group in groups if group])
    for name in WITH_INTERVAL:
        ends = interval(list(seed_means(cells, name).values())) or (math.nan, math.nan)
        summary |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
    values = [means[seed] for seed in sorted(means)]
    low, high = interval(values) or (math.nan, math.nan)
    # The mean of the seed means, so that rank and interval are of the same number.
    return summary | {"seeds": len(values), "acc": mean(values), "acc_low": low, "acc_high": high}


def _provenance(runs: pd.DataFrame, setting: str) -> dict[str, str]:
    """How a row was tuned, which code and libraries made its runs, and the command that repeats them."""
    texts = {name: set(runs[name]) for name in ("tuned", "torch", "device", "version", "commit")}
    single = {name: values.pop() if len(values) == 1 else "mixed" for name, values in texts.items()}
    return single | {"command": _command(runs, setting)}


def _command(runs: pd.DataFrame, setting: str) -> str:
    """The command of the first seed with all seeds, and for a row of several settings with these instead of one."""
    command, seeds = str(runs["command"].iloc[0]), set(runs["seed"])
    if len(seeds) > 1:
        command = re.sub(r"--seed[ =]\d+", f"--seeds {format_seeds(seeds)}", command)
    if setting in set(runs["setting"]):
        return command
    task = str(runs["task"].iloc[0])
    several = "" if task == TaskKind.ADAPT else f" --task {task}"
    if setting != ALL:
        several = " --setting " + ",".join(sorted(set(runs["setting"])))
    return re.sub(r" --setting[ =]\S+", several, command)


def _may_rank(row: Row) -> bool:
    """Whether a row competes: a method whose runs are all there, within the budget."""
    if row["role"] != "method" or is_partial(row["setting"]) or not is_complete(row) or row["acc"] is None:
        return False
    return is_ranked(row["budget"], row["student_images"], int(row["protocol"]))


# How far behind the best a row is.


def _best(rows: pd.DataFrame) -> str | None:
    """The method that the others are compared with: the first ranked one with enough seeds, or else the first."""
    ranked = rows[rows["rank"].notna()].sort_values(["rank", "method"])
    certain = ranked[ranked["seeds"] >= ENOUGH_SEEDS]
    names = [str(name) for name in [*certain["method"], *ranked["method"]]]
    return names[0] if names else None


def _behind(row: Row, rows: Mapping[str, SeedMeans], best: str | None) -> dict[str, Any]:
    """Points behind the best with the simultaneous interval, and whether the two cannot be told apart.

    The last is None for the best itself, and for provisional rows.
    """
    nothing: dict[str, Any] = {"best": None, "behind": None, "behind_low": None, "behind_high": None, "tied": None}
    if best is None or row["acc"] is None or not is_complete(row) or is_partial(row["setting"]):
        return nothing
    own, other = rows[row["method"]], rows[best]
    result = nothing | {"best": best, "behind": mean_difference(other, own)}
    found = compare_rows(other, own, testable(rows)) if row["method"] != best else None
    if found is None:
        return result
    tied = None if len(own.keys() & other.keys()) < ENOUGH_SEEDS else not found.is_shown
    return result | {"behind_low": found.low, "behind_high": found.high, "tied": tied}
