"""Records: what is damaged is named and skipped, and many processes at once lose nothing."""

from __future__ import annotations

import csv
import gzip
import json
import math
import multiprocessing
from pathlib import Path

import pytest
from support.fake_records import GRID, record

from okdbench.core.errors import UserError
from okdbench.results.leaderboard import COLUMNS
from okdbench.results.loss_curves import POINTS_PER_STAGE, read_curves
from okdbench.results.records import SCHEMA_VERSION
from okdbench.results.rendering import write_leaderboards
from okdbench.results.store import read_record, read_records, write_archive, write_record

WRITERS, EACH = 8, 200


def write_many(runs: Path, writer: int) -> None:
    for number in range(EACH):
        made = record("kd", f"{writer}-{number}", 0, 50)
        write_record(runs / made.key, made)


def test_eight_processes_write_1600_records_while_the_leaderboard_is_made(tmp_path: Path) -> None:
    runs, output = tmp_path / "runs", tmp_path / "output"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(runs, number)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    seen = [0]
    while any(writer.is_alive() for writer in writers):
        for path in write_leaderboards(read_records(runs), output):
            lines = list(csv.reader(path.open()))
            assert {len(line) for line in lines} == {len(COLUMNS)}
            seen.append(len(lines))
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert seen == sorted(seen), "a record was there and then not"
    assert max(seen[:-1]) > 1, "the tables were made while records were written"
    assert len({made.setting for made in read_records(runs)}) == WRITERS * EACH
    assert not list(runs.glob("*/*.tmp"))


def test_what_cannot_be_read_is_named_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = record("kd", "A-C", 0, 60).model_dump(mode="json")
    damaged = {
        "truncated": json.dumps(good)[:200],
        "unknown": json.dumps(good | {"colour": "blue"}),
        "newer": json.dumps(good | {"schema_version": SCHEMA_VERSION + 1}),
        "wrong": json.dumps(good | {"seed": "many"}),
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


def test_a_record_of_the_first_schema_is_read_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = record("kd", "A-C", 0, 60).model_dump(mode="json", exclude={"curves"}) | {"schema_version": 1}
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "record.json").write_text(json.dumps(old))
    assert list(read_records(tmp_path)) == [read_record(tmp_path / "old")] == [record("kd", "A-C", 0, 60)]
    assert f"{tmp_path / 'old' / 'record.json'} is of schema 1" in capsys.readouterr().err


def test_what_is_no_number_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path, record("kd", "A-C", 0, float("nan")))
    found = read_record(tmp_path)
    assert found is not None
    assert found.selected is not None
    assert math.isnan(found.selected.evaluation.test.acc)


def test_an_archive_holds_the_records_whatever_their_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl.gz", tmp_path / "other.jsonl.gz"
    write_archive(one, GRID)
    write_archive(other, GRID[::-1])
    assert one.read_bytes() == other.read_bytes()
    assert sorted(made.key for made in read_records(one)) == sorted(made.key for made in GRID)


def test_an_archive_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}" * 1000)[:-5])
    with pytest.raises(UserError, match="not a whole archive"):
        list(read_records(path))


def test_curves_are_thinned_and_their_hashes_find_where_two_logs_part(tmp_path: Path) -> None:
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
