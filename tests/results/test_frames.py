"""Runs as a data frame: documented columns, one flat row per run, and what loads pandas."""

from __future__ import annotations

import gzip
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.fake_records import GRID, failed, record

from okdbench.core.errors import UserError
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.frames import (
    RUN_COLUMNS,
    comparison_groups,
    finished_runs,
    load_records,
    read_runs,
    runs_of,
    to_frame,
)
from okdbench.results.grouping import Cell, ComparisonGroup, counted, current, groups_of, label
from okdbench.results.leaderboard import leaderboard
from okdbench.results.store import write_archive

ROOT = Path(__file__).parents[2]
GROUP = ComparisonGroup("digits", "adapt", "labelled", "all", "quick", "resnet18", "resnet10t", str(PROTOCOL_VERSION))


def test_a_run_is_one_flat_row() -> None:
    made = record("kd", "A-C", 3, 60, variant="lr=0.1", origin="local", source="s", default_settings=("A-C", "B-C"))
    (row,) = to_frame([made]).to_dict("records")
    assert row["method"] == "kd[lr=0.1]".replace("kd", "kd (local)")
    assert (row["base_method"], row["variant"], row["origin"], row["seed"]) == ("kd", "lr=0.1", "local", 3)
    assert (row["acc"], row["top5"], row["agreement"], row["val_acc"]) == (60, 62, 50, 60)
    assert (row["last_acc"], row["oracle_acc"], row["selection_gap"]) == (58, 63, 3)
    assert (row["teacher_acc"], row["teacher_own_acc"], row["retention"]) == (40, 90, 30)
    assert (row["student_images"], row["teacher_queries"], row["seconds"]) == (100, 200, 10)
    assert (row["generator_steps"], row["test_images"]) == (7, 400)
    assert (row["task"], row["track"], row["shots"], row["role"]) == ("adapt", "labelled", "all", "method")
    assert (row["source"], row["protocol"], row["default_settings"]) == ("s", str(PROTOCOL_VERSION), ("A-C", "B-C"))
    assert (row["status"], row["error"]) == ("done", "")


def test_a_failed_run_has_no_numbers() -> None:
    (row,) = to_frame([failed("kd", "A-C", 0, error="ValueError: no", teacher_score=None)]).to_dict("records")
    assert (row["status"], row["error"]) == ("failed", "ValueError: no")
    assert all(math.isnan(row[name]) for name in ("acc", "val_acc", "last_acc", "selection_gap", "teacher_acc"))


def test_numbers_that_are_not_finite_are_missing() -> None:
    assert to_frame([record("kd", "A-C", 0, math.inf)])["acc"].isna().all()


@pytest.mark.parametrize("records", [GRID, []], ids=["runs", "none"])
def test_the_columns_are_those_that_are_documented(records: list[object]) -> None:
    frame = to_frame(records)  # type: ignore[arg-type]
    assert list(frame.columns) == [column.name for column in RUN_COLUMNS]
    assert len(set(frame.columns)) == len(RUN_COLUMNS)
    for column in RUN_COLUMNS:
        assert frame[column.name].dtype == pd.Series([], dtype=column.dtype).dtype
        assert column.meaning


def test_columns_of_one_name_have_one_meaning_in_runs_and_leaderboards() -> None:
    """A row of a single run repeats the numbers of the run."""
    frame = to_frame([record("kd", "A-C", 0, 60)])
    row = leaderboard(frame).query("setting == 'A-C'").iloc[0]
    shared = set(frame.columns) & set(row.index)
    assert {"method", "teacher", "acc", "ece", "teacher_acc", "selection_gap", "student_images", "seconds"} <= shared
    assert {name: row[name] for name in shared} == {name: frame.iloc[0][name] for name in shared}


def test_records_are_loaded_from_folders_and_archives(tmp_path: Path) -> None:
    archive = ROOT / "leaderboards" / "records" / "office10.jsonl.gz"
    size = len(gzip.decompress(archive.read_bytes()).splitlines())
    write_archive(tmp_path / "more.jsonl.gz", GRID)
    assert len(load_records(archive)) == size
    both = load_records([str(archive), tmp_path / "more.jsonl.gz"])
    assert both["dataset"].value_counts().to_dict() == {"office10": size, "digits": len(GRID)}
    assert both.index.tolist() == list(range(size + len(GRID)))
    with pytest.raises(UserError, match="no records below"):
        load_records(tmp_path / "nothing")


def test_superseded_runs_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = record("kd", "A-C", 7, 60, source="older code")
    newer = [made.model_copy(update={"environment": {"finished": "2026-01-02"}}) for made in GRID]
    write_archive(tmp_path / "records.jsonl.gz", [*newer, older])
    assert len(read_runs(tmp_path / "records.jsonl.gz")) == len(GRID) + 1
    assert capsys.readouterr().err == "okdbench: older code: 1 records are left out\n"
    assert len(read_runs([tmp_path / "records.jsonl.gz"])) == len(load_records(tmp_path / "records.jsonl.gz"))


def test_records_are_found_behind_the_rows() -> None:
    free = record("kd", "A-C", 0, 70, track="label-free", key="free")
    groups = comparison_groups([free, *GRID])
    assert groups == {GROUP._replace(track="label-free"): [free], GROUP: GRID}
    others = {"task": "transfer", "shots": 10, "budget": "standard", "protocol": PROTOCOL_VERSION - 1}
    for name, value in others.items():
        other = record("kd", "A-C", 0, 70, key="other", **{name: value})
        assert comparison_groups([other, *GRID]) == {GROUP._replace(**{name: str(value)}): [other], GROUP: GRID}
    found = finished_runs([*GRID, failed("mad", "A-C", 0)])
    assert list(found) == ["kd", "finetune"]
    assert found["kd"] == {Cell(made.setting, made.seed): made for made in GRID[:4]}
    assert runs_of(GROUP, "kd", [free, *GRID]) == found["kd"]
    assert runs_of(GROUP, "none", GRID) == runs_of(GROUP._replace(track="x"), "kd", GRID) == {}


def test_names_of_rows_and_groups() -> None:
    assert label(record("kd", "A-C", 0, 60, variant="lr=0.1")) == "kd[lr=0.1]"
    assert label(record("mine", "A-C", 0, 60, origin="local")) == "mine (local)"
    other = record("kd", "A-C", 0, 60, config={"image_size": 64}, data_note="other files")
    assert groups_of([other])[0].teacher == "resnet18[image_size=64,images=differing]"
    assert groups_of(GRID[:1]) == [GROUP]
    assert GROUP.title == "digits, labelled, quick, resnet18 -> resnet10t"
    few = GROUP._replace(task="transfer", shots="10", protocol="1")
    assert few.title == "digits, transfer, labelled, 10 shots, quick, resnet18 -> resnet10t (protocol 1)"


def test_the_run_that_finished_last_decides_on_code_and_cell() -> None:
    def at(hour: int) -> dict[str, str]:
        return {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}

    runs = [
        record("kd", "A-C", 0, 3, environment=at(3), source="new"),
        record("kd", "A-C", 1, 1, environment=at(1), source="old"),
        record("kd", "A-C", 0, 2, environment=at(2), source="new"),
        record("mad", "A-C", 0, 4, environment=at(0), source="other"),
        record("mad", "B-C", 0, 5, environment=at(1), source="older"),
        record("kd", "B-C", 0, 6, environment=at(2), source="new"),
    ]
    kept = current(to_frame(runs))
    assert kept["acc"].tolist() == [5, 2, 6, 3], "in the order in which they finished"
    assert counted(kept)["acc"].tolist() == [5, 6, 3]


@pytest.mark.parametrize("module", ["records", "store", "columns", "table", "rendering", "row_spec", "record_diff"])
def test_modules_that_commands_import_at_once_do_not_import_pandas(module: str) -> None:
    code = f"import sys, okdbench.results.{module}; assert not {{'pandas', 'scipy', 'torch'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
