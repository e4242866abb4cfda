"""Records of several people: each run counts once, the order does not matter, and nobody's row displaces another's."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_records import GRID, failed, record

from okdbench.core.errors import UserError
from okdbench.results.frames import load_records, to_frame
from okdbench.results.grouping import current, label
from okdbench.results.leaderboard import leaderboard
from okdbench.results.merging import merge
from okdbench.results.records import Record
from okdbench.results.repetitions import LeftOut, Reason, once_each
from okdbench.results.sources import files_of, run_folders
from okdbench.results.store import find_among, read_all, write_archive, write_record

#: digests of two files called mine.py
FILES = ("3f9a" + "0" * 60, "81c0" + "0" * 60)


def mine(file: int, seed: int, acc: float = 60, **changes: Any) -> Record:
    """A run of one of two local methods of one name."""
    own = {"origin": "local", "method_digest": FILES[file], "method_text": f"# file {file}\n", "source": str(file)}
    return record("mine", "A-C", seed, acc, key=f"mine{file}{seed}", **own, **changes)


@st.composite
def runs(draw: st.DrawFn) -> Record:
    """A run of few keys, that failed or finished, at one of few times, with one of few results."""
    when = {"environment": {"finished": f"2026-01-0{draw(st.integers(1, 3))}"}}
    acc, seed = draw(st.sampled_from([50.0, 60.0, float("nan")])), draw(st.integers(0, 2))
    name = draw(st.sampled_from(["mine0", "mine1", "kd", "finetune", "failed"]))
    if name == "failed":
        return failed("kd", "A-C", seed, **when)
    return mine(int(name[-1]), seed, acc, **when) if name[:4] == "mine" else record(name, "A-C", seed, acc, **when)


PEOPLE = st.lists(st.lists(runs(), min_size=1, max_size=6), min_size=2, max_size=4)


def archived(folder: str, people: Sequence[Sequence[Record]]) -> list[Path]:
    paths = [Path(folder) / f"{number}.jsonl.gz" for number in range(len(people))]
    for path, records in zip(paths, people, strict=True):
        write_archive(path, records)
    return paths


def merged(sources: Sequence[Path], name: str) -> Path:
    (path,) = merge(sources, sources[0].with_name(name), report=lambda _: None)
    return path


@settings(max_examples=60)
@given(PEOPLE)
def test_neither_order_nor_brackets_matter(people: list[list[Record]]) -> None:
    """Merging A and B equals merging B and A; merging that with C equals merging A with B and C."""
    with tempfile.TemporaryDirectory() as folder:
        paths = archived(folder, people)
        together = merged(paths, "together.jsonl.gz").read_bytes()
        assert merged(paths[::-1], "reversed.jsonl.gz").read_bytes() == together
        first = merged(paths[:-1], "first.jsonl.gz")
        assert merged([paths[-1], first], "then.jsonl.gz").read_bytes() == together
        assert merged([first, *paths, first], "again.jsonl.gz").read_bytes() == together


@settings(max_examples=40)
@given(PEOPLE)
def test_the_data_frame_is_that_of_the_merged_archive_in_any_order(people: list[list[Record]]) -> None:
    """Tables are functions of this frame."""
    with tempfile.TemporaryDirectory() as folder:
        paths = archived(folder, people)
        frames = [load_records(paths), load_records(paths[::-1]), load_records(merged(paths, "all.jsonl.gz"))]
    assert frames[0].to_csv() == frames[1].to_csv() == frames[2].to_csv()
    local = frames[0][frames[0]["origin"] == "local"]
    made = {(label(one), one.seed) for records in people for one in records if one.origin}
    assert set(zip(local["method"], local["seed"], strict=True)) == made
    assert len(current(local)) == len(local), "no file displaces another one of its name"


def test_two_files_of_one_name_are_two_rows() -> None:
    later = {"environment": {"finished": "2027"}}
    table = leaderboard(
        to_frame([*(mine(0, seed) for seed in (0, 1)), *(mine(1, seed, 70, **later) for seed in (1, 2))])
    )
    rows = table[table["setting"] == "A-C"].set_index("method")
    assert rows["seeds"].to_dict() == {"mine (local, 3f9a)": 2, "mine (local, 81c0)": 2}
    assert rows["acc"].to_dict() == {"mine (local, 3f9a)": 60, "mine (local, 81c0)": 70}


def test_newer_code_around_the_same_file_still_supersedes() -> None:
    old = mine(0, 0, 50, environment={"finished": "2026"})
    new = mine(0, 1, 70, environment={"finished": "2027"}).model_copy(update={"source": "newer"})
    table = leaderboard(to_frame([new, old]))
    assert set(table["acc"]) == {70}


def test_which_of_several_counts() -> None:
    first, second = ({"environment": {"finished": f"2026-01-0{day}"}} for day in (1, 2))
    done, later = record("kd", "A-C", 0, 60, **first), record("kd", "A-C", 0, 70, **second)
    same, stopped = done.model_copy(update=second), failed("kd", "A-C", 0, **second)
    assert once_each([done, stopped]) == ([done], [LeftOut(stopped, Reason.FAILED)])
    assert once_each([later, done]) == ([later], [LeftOut(done, Reason.OTHER)])
    assert once_each([same, done]) == ([same], [LeftOut(done, Reason.SAME)])
    nan = [record("kd", "A-C", 0, float("nan")) for _ in range(2)]
    assert once_each(nan)[1][0].reason is Reason.SAME


def test_where_the_same_run_was_made_does_not_make_it_another_one() -> None:
    here, there = (record("kd", "A-C", 0, 60, config={"method": path, "lr": 1}) for path in ("./mine.py", "b/mine.py"))
    assert once_each([here, there])[1][0].reason is Reason.SAME


def test_runs_with_different_results_are_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_archive(tmp_path / "a.jsonl.gz", GRID)
    write_archive(tmp_path / "b.jsonl.gz", GRID[:2])
    assert len(read_all([tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"])) == len(GRID)
    assert capsys.readouterr().err == ""
    write_archive(tmp_path / "b.jsonl.gz", [record("kd", "A-C", 0, 61), record("kd", "A-C", 1, 61)])
    assert len(read_all([tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"])) == len(GRID)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("okdbench: 2 runs are there more than once and differ, such as kdA-C0; ")


def test_runs_and_archives_are_found_in_folders_of_both(tmp_path: Path) -> None:
    one, two, three, four = GRID[:4]
    write_record(tmp_path / "ann" / "runs" / one.key, one)
    write_archive(tmp_path / "ann" / "more.jsonl.gz", [two])
    write_record(tmp_path / "ann" / three.key, three)
    write_archive(tmp_path / "ann" / "records" / "digits.jsonl.gz", [four])
    (tmp_path / "ann" / "notes.txt").write_text("not an archive")
    (tmp_path / "ann" / "runs" / one.key / "deeper.jsonl.gz").write_text("not looked at")
    assert read_all(tmp_path / "ann") == sorted(GRID[:4], key=lambda made: made.key)
    assert read_all(tmp_path / "ann" / "runs" / one.key) == [one]
    assert run_folders([tmp_path / "ann"]).keys() == {one.key, three.key}
    assert list(files_of(tmp_path / "none")) == []
    with pytest.raises(UserError, match=r"no records below .*typo"):
        read_all([tmp_path / "ann", tmp_path / "typo"])
    assert find_among(one.key, [tmp_path / "ann"]) == (tmp_path / "ann" / "runs" / one.key, one)
    assert find_among(two.key, [tmp_path / "ann"]) == (None, two)
    for name in ("none", "kd"):
        with pytest.raises(UserError, match=r"there is no run 'none'|runs begin with 'kd'"):
            find_among(name, [tmp_path / "ann"])


def test_a_merge_says_what_it_took_and_what_it_left_out(tmp_path: Path) -> None:
    when = {"environment": {"finished": "2027"}}
    write_record(tmp_path / "a" / "1", GRID[0])
    write_record(tmp_path / "a" / "2", failed("kd", "A-C", 1))
    write_archive(tmp_path / "b.jsonl.gz", [*GRID[:2], record("kd", "B-C", 0, 50)])
    write_archive(tmp_path / "c.jsonl.gz", [record("kd", "B-C", 0, 80, **when)])
    (tmp_path / "a" / "3").mkdir()
    (tmp_path / "a" / "3" / "record.json").write_text("{}")
    lines: list[str] = []
    sources = [tmp_path / name for name in ("a", "b.jsonl.gz", "c.jsonl.gz")]
    assert merge(sources, tmp_path / "out", report=lines.append) == [tmp_path / "out" / "digits.jsonl.gz"]
    assert lines == [
        f"skipped {tmp_path}/a/3/record.json: it is not a record",
        f"{tmp_path}/a: 1 of 2 runs taken",
        f"{tmp_path}/b.jsonl.gz: 1 of 3 runs taken",
        f"{tmp_path}/c.jsonl.gz: 1 of 1 runs taken",
        "left out, there more than once, with equal results: 1",
        "left out, failed, and finished elsewhere: 1 (kdA-C1)",
        "left out, there more than once with different results; the last one counts: 1 (kdB-C0)",
    ]


def test_superseded_runs_stay_in_the_archive(tmp_path: Path) -> None:
    older = [made.model_copy(update={"source": "older", "key": f"old-{made.key}"}) for made in GRID]
    write_archive(tmp_path / "a.jsonl.gz", [*older, *GRID])
    assert len(read_all(merged([tmp_path / "a.jsonl.gz"], "all.jsonl.gz"))) == 2 * len(GRID)


def test_a_merge_replaces_nothing_without_leave_and_never_a_source(tmp_path: Path) -> None:
    a, b, out = (tmp_path / f"{name}.jsonl.gz" for name in ("a", "b", "out"))
    write_archive(a, GRID[:2])
    write_archive(b, GRID[2:])
    merge([a], out)
    before = out.read_bytes()
    merge([a], out)
    with pytest.raises(UserError, match=r"exists with other records; .* --force"):
        merge([a, b], out)
    assert out.read_bytes() == before
    merge([a, b], out, replace=True)
    assert len(read_all(out)) == len(GRID)
    for sources, output in (([a, b], a), ([a, tmp_path], out), ([a, tmp_path / "." / "b.jsonl.gz"], b)):
        with pytest.raises(UserError, match="is one of the sources"):
            merge(sources, output, replace=True)
    for output, said in ((tmp_path / "out.gz", "ends in .jsonl.gz"), (a / "below", "cannot write|exists|source")):
        with pytest.raises(UserError, match=said):
            merge([b], output)
    with pytest.raises(UserError, match=r"no records below .*none; leave it out"):
        merge([a, tmp_path / "none"], tmp_path / "other.jsonl.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl.gz", "b.jsonl.gz", "out.jsonl.gz"]
