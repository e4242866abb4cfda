"""Records on disk: damaged files are reported and skipped, and many processes at once lose nothing."""

from __future__ import annotations

import csv
import gzip
import json
import math
import multiprocessing
from pathlib import Path

import pytest
from support.fake_records import GRID, record
from support.record_writers import write_many

from okdbench.core.errors import UserError
from okdbench.results.columns import shown_in
from okdbench.results.frames import to_frame
from okdbench.results.loss_curves import POINTS_PER_STAGE, read_curves
from okdbench.results.records import SCHEMA_VERSION
from okdbench.results.rendering import write_leaderboards
from okdbench.results.store import (
    find_run,
    read_all,
    read_record,
    read_records,
    write_archive,
    write_archives,
    write_record,
)

WRITERS, EACH = 8, 200


def test_eight_processes_write_1600_records_while_the_leaderboard_is_made(tmp_path: Path) -> None:
    runs, output = tmp_path / "runs", tmp_path / "output"
    context = multiprocessing.get_context("spawn")
    table_made = context.Event()
    made = record("kd", "A-C", 0, 50)
    writers = [
        context.Process(target=write_many, args=(runs, made, f"{number}-C", EACH, table_made))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    seen = [0]
    while any(writer.is_alive() for writer in writers):
        frame = to_frame(read_records(runs))
        for path in write_leaderboards(frame, output)[:1] if len(frame) else ():
            header, *lines = csv.reader(path.open())
            assert {len(line) for line in [header, *lines]} == {len(shown_in("csv"))}
            rows = [dict(zip(header, line, strict=True)) for line in lines]
            seen.append(sum(int(row["seeds"]) for row in rows if row["setting"] != "all"))
            table_made.set()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert seen == sorted(seen), "a record disappeared"
    assert len({(made.setting, made.seed) for made in read_records(runs)}) == WRITERS * EACH
    assert not list(runs.glob("*/*.tmp"))


def test_what_cannot_be_read_is_reported_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = record("kd", "A-C", 0, 60).model_dump(mode="json")
    damaged = {
        "truncated": json.dumps(good)[:200],
        "unknown": json.dumps(good | {"colour": "blue"}),
        "newer": json.dumps(good | {"schema_version": SCHEMA_VERSION + 1}),
        "wrong": json.dumps(good | {"seed": "many"}),
        "enormous": json.dumps(good | {"seed": 10**30}),
        "list": "[]",
        "deep": "[" * 100_000,
        "escapes": json.dumps(good | {"dataset": "../escapes"}),
        "coloured": json.dumps(good | {"\x1b[31mred\n": 1}),
        "empty": "",
    }
    for name, text in {**damaged, "good": json.dumps(good)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(text)
    (tmp_path / "folder" / "record.json").mkdir(parents=True)
    assert len(list(read_records(tmp_path))) == 1
    lines = capsys.readouterr().err.splitlines()
    names = sorted([*damaged, "folder"])
    for name, line in zip(names, sorted(lines), strict=True):
        assert f"skipped {tmp_path / name / 'record.json'}: " in line
    assert any("colour" in line for line in lines)
    assert any("update okdbench" in line for line in lines)


def test_a_record_of_the_first_schema_is_read_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = record("kd", "A-C", 0, 60).model_dump(mode="json", exclude={"curves"}) | {"schema_version": 1}
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "record.json").write_text(json.dumps(old))
    assert list(read_records(tmp_path)) == [read_record(tmp_path / "old")] == [record("kd", "A-C", 0, 60)]
    assert f"{tmp_path / 'old' / 'record.json'} has schema 1" in capsys.readouterr().err


def test_nan_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path, record("kd", "A-C", 0, float("nan")))
    found = read_record(tmp_path)
    assert found is not None
    assert found.selected is not None
    assert math.isnan(found.selected.evaluation.test.acc)


def test_an_archive_does_not_depend_on_the_order_of_the_records(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl.gz", tmp_path / "other.jsonl.gz"
    write_archive(one, GRID)
    write_archive(other, GRID[::-1])
    assert one.read_bytes() == other.read_bytes()
    assert sorted(made.key for made in read_records(one)) == sorted(made.key for made in GRID)


def test_each_data_set_has_an_archive_of_its_own(tmp_path: Path) -> None:
    other = record("kd", "A-C", 0, 50, dataset="office31", key="other")
    paths = write_archives(tmp_path, [GRID[0], other, *GRID[1:]])
    assert [path.name for path in paths] == ["digits.jsonl.gz", "office31.jsonl.gz"]
    assert [len(read_all(path)) for path in paths] == [len(GRID), 1]


def test_several_folders_and_archives_are_read_together(tmp_path: Path) -> None:
    write_record(tmp_path / "runs" / "one", GRID[0])
    write_archive(tmp_path / "more.jsonl.gz", GRID[1:3])
    assert read_all([str(tmp_path / "runs"), tmp_path / "more.jsonl.gz"]) == GRID[:3]
    with pytest.raises(UserError, match=r"no records below .*empty, .*none"):
        read_all([tmp_path / "empty", tmp_path / "none"])


def test_a_run_is_found_by_its_folder_its_key_or_the_beginning_of_it(tmp_path: Path) -> None:
    for key in ("3f9a", "3f9abc", "77aa"):
        write_record(tmp_path / key, record("kd", "A-C", 0, 60, key=key))
    assert find_run("77", tmp_path) == find_run("77aa", tmp_path) == tmp_path / "77aa"
    assert find_run(str(tmp_path / "77aa"), tmp_path / "elsewhere") == tmp_path / "77aa"
    assert find_run("3f9a", tmp_path) == tmp_path / "3f9a", "a whole key names its run, though another begins with it"
    with pytest.raises(UserError, match="2 runs begin with '3f', such as 3f9a, 3f9abc; write more of the key"):
        find_run("3f", tmp_path)
    for name in ("zz", "../77aa/..", "x" * 5000):
        with pytest.raises(UserError, match=r"there is no run .* okdbench runs ls"):
            find_run(name, tmp_path)


def test_an_archive_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}" * 1000)[:-5])
    with pytest.raises(UserError, match="not a complete archive"):
        list(read_records(path))


def test_curves_are_sampled_and_their_hashes_find_where_two_logs_diverge(tmp_path: Path) -> None:
    def log(name: str, changed: int | None) -> Path:
        rows = [
            {"stage": stage, "step": step, "losses": {"kl": step + (0.001 if (stage, step) == ("b", changed) else 0)}}
            for stage in "ab"
            for step in range(100)
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / name

    ours, same, other = (read_curves(log(name, step)) for name, step in (("o", None), ("s", None), ("c", 50)))
    assert ours == same
    assert list(ours) == ["a", "b"]
    assert ours["b"].steps[-1] == 99
    assert 1 < len(ours["b"].steps) <= POINTS_PER_STAGE
    assert ours["b"].losses["kl"] == ours["b"].steps
    assert ours["a"] == other["a"]
    agree = [a == b for a, b in zip(ours["b"].hashes, other["b"].hashes, strict=True)]
    assert agree == [step < 50 for step in ours["b"].steps]


def test_a_run_without_losses_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "absent") == {}
