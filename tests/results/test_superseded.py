"""Superseded records count nowhere and are reported; those of another protocol have tables of their own."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from support.fake_records import GRID, record, table
from support.fork_server import Command

from okdbench.core.protocol import PROTOCOL_VERSION, tuning_seeds
from okdbench.results.frames import comparison_groups, finished_runs, to_frame
from okdbench.results.records import Record
from okdbench.results.rendering import to_csv, to_markdown
from okdbench.results.store import write_archive

LINES = ["leaderboard", "compare kd finetune", "plot bars --output plots", "report --output site"]


@pytest.mark.parametrize("line", LINES)
def test_a_line_counts_what_is_left_out(line: str, tmp_path: Path, data_root: Path) -> None:
    older = record("kd", "A-C", 7, 60, source="older code")
    trials = [record("kd", "A-C", seed, 99, tuning_score=98.0) for seed in tuning_seeds(3)]
    newer = [made.model_copy(update={"environment": {"finished": "2026-01-02"}}) for made in GRID]
    void = record("kd", "B-C", 8, 99, protocol=2, config={"precision": "bfloat16"})
    write_archive(tmp_path / "records.jsonl.gz", [*newer, older, *trials, void])
    result = Command([*line.split(), "--runs", "records.jsonl.gz"], tmp_path, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert "okdbench: older code: 1 records are left out\n" in result.stderr
    assert "okdbench: tuning seeds: 3 records are left out\n" in result.stderr
    assert "okdbench: bfloat16 before protocol 3: 1 records are left out\n" in result.stderr


def test_a_trial_of_a_tuning_is_in_no_table_and_changes_none() -> None:
    trial = record("kd", "A-C", tuning_seeds(1)[0], 99, source="newer code", environment={"finished": "2027"})
    pd.testing.assert_frame_equal(table([*GRID, trial]), table(GRID))
    assert finished_runs([*GRID, trial]) == finished_runs(GRID)
    assert comparison_groups([trial]) == {}


def test_runs_that_trained_on_stale_weights_are_void() -> None:
    void = record("kd", "A-C", 9, 99, protocol=2, config={"precision": "bfloat16"})
    pd.testing.assert_frame_equal(table([*GRID, void]), table(GRID))
    for changes in ({"protocol": 3}, {"config": {"precision": "bfloat16-targets"}}, {"config": {}}):
        assert len(table([void.model_copy(update=changes)])) == 2


def test_a_row_says_how_it_was_tuned() -> None:
    tuned = [made.model_copy(update={"variant": "lr=0.1", "tuned": "8 trials"}) for made in GRID[:4]]
    found = table([*GRID, *tuned]).set_index(["method", "setting"])["tuned"]
    assert (found["kd", "all"], found["kd[lr=0.1]", "all"], found["kd[lr=0.1]", "A-C"]) == ("", "8 trials", "8 trials")
    assert ",8 trials," in to_csv(table(tuned))
    half = [*tuned[:1], *(made.model_copy(update={"tuned": ""}) for made in tuned[1:])]
    assert table(half).set_index("setting")["tuned"]["all"] == "mixed"


def test_records_of_two_protocols_are_shown_in_tables_of_their_own() -> None:
    older = [made.model_copy(update={"protocol": 1, "key": f"old {made.key}"}) for made in GRID[:4]]
    found = table([*older, *GRID])
    assert found["protocol"].unique().tolist() == [str(PROTOCOL_VERSION), "1"]
    assert found["complete"].isin({"2/2", "4/4"}).all(), "no run of the other protocol is expected"
    markdown = to_markdown(found)
    assert markdown.count("### digits, labelled, quick, resnet18 -> resnet10t\n") == 1
    assert markdown.count("### digits, labelled, quick, resnet18 -> resnet10t (protocol 1)\n") == 1
    assert to_frame(older)["task"].eq("adapt").all()


def test_a_record_of_the_first_protocol_is_read() -> None:
    content = GRID[0].model_dump(mode="json") | {"schema_version": 2, "protocol": 1}
    for name in ("task", "shots", "test_images"):
        del content[name]
    content["teacher_score"]["student_domain_acc"] = content["teacher_score"].pop("test_acc")
    for counts in content["cost"]["traffic"].values():
        del counts["updates"]
    (row,) = to_frame([Record.model_validate(content)]).to_dict("records")
    assert (row["protocol"], row["task"], row["shots"], row["teacher_acc"]) == ("1", "adapt", "all", 40)
    assert math.isnan(row["generator_steps"])
    assert math.isnan(row["test_images"])


def test_privileged_rows_have_no_rank_and_are_marked() -> None:
    seen = [record("original", made.setting, made.seed, 99, role="privileged") for made in GRID[:4]]
    found = table([*seen, *GRID])
    ranks = found.set_index(["setting", "method"])["rank"]
    assert ranks.loc[("all", "original")] is pd.NA
    assert ranks.loc[("all", "kd")] == 1
    assert "original (privileged)" in to_markdown(found)
    assert set(found.loc[found["method"] == "original", "role"]) == {"privileged"}
