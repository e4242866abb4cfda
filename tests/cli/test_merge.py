"""Two colleagues, one name for two methods: merged without loss, and run again from the archive alone."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY
from support.fork_server import Command

from okdbench.cli import new as newfile
from okdbench.results.records import Record
from okdbench.results.store import read_all
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

CELL = f"--dataset digits --setting MO-P --budget smoke --teacher {TINY} --student {TINY} --device cpu"


def okdbench(line: str, folder: Path, data_root: Path, code: int = 0) -> str:
    """Standard output of a command; its standard error where it ends with another code."""
    result = Command(shlex.split(line), folder, data_root).wait()
    assert result.returncode == code, result.stderr + result.stdout
    return result.stderr if code == 2 else result.stdout


def at_work(folder: Path, noise: str, seeds: str, data_root: Path) -> bytes:
    """Someone writes a method called mine, runs it and sends an archive; returns the method's file."""
    newfile.write_file("method", "mine", folder)
    file = folder / "mine.py"
    file.write_text(file.read_text().replace("hyper(0.1,", f"hyper({noise},"))
    okdbench(f"run --method ./mine.py {CELL} --seeds {seeds}", folder, data_root)
    okdbench(f"merge runs --output {folder.name}.jsonl.gz", folder, data_root)
    return file.read_bytes()


def rows_of(file: Path) -> dict[str, tuple[int, dict[str, str]]]:
    """Method -> line in the file and its columns, of the single setting."""
    with file.open() as opened:
        return {
            row["method"]: (line, row) for line, row in enumerate(csv.DictReader(opened), 2) if row["setting"] != "all"
        }


@pytest.mark.timeout(900)
def test_a_colleagues_story(tmp_path: Path, data_root: Path) -> None:
    ann, bob, carol = (tmp_path / name for name in ("ann", "bob", "carol"))
    files = [at_work(ann, "0.1", "0-2", data_root), at_work(bob, "0.2", "1-3", data_root)]
    carol.mkdir()
    for person in (ann, bob):
        (person / f"{person.name}.jsonl.gz").rename(carol / f"{person.name}.jsonl.gz")

    # merged without loss, in any order
    said = okdbench("merge ann.jsonl.gz bob.jsonl.gz --output all.jsonl.gz", carol, data_root)
    assert said.splitlines() == [
        "ann.jsonl.gz: 3 of 3 runs taken", "bob.jsonl.gz: 3 of 3 runs taken", "all.jsonl.gz"
    ]  # fmt: skip
    okdbench("merge bob.jsonl.gz ann.jsonl.gz --output again.jsonl.gz", carol, data_root)
    assert (carol / "all.jsonl.gz").read_bytes() == (carol / "again.jsonl.gz").read_bytes()
    (carol / "again.jsonl.gz").unlink()
    theirs = read_all([ann / "runs", bob / "runs"])
    assert read_all(carol / "all.jsonl.gz") == theirs
    assert {made.method_text.encode() for made in theirs} == set(files)

    # two rows with three seeds each, from the archive and from the folders
    okdbench("leaderboard --runs all.jsonl.gz --output tables --records", carol, data_root)
    okdbench(f"leaderboard --runs {ann}/runs --runs {bob}/runs --output others", carol, data_root)
    assert (carol / "tables" / "digits.csv").read_bytes() == (carol / "others" / "digits.csv").read_bytes()
    rows = rows_of(carol / "tables" / "digits.csv")
    assert all(re.fullmatch(r"mine \(local, [0-9a-f]{4}\)", method) for method in rows)
    assert sorted(row["seeds"] for _, row in rows.values()) == ["3", "3"]

    # from here on there is only the archive
    run = next(made for made in theirs if made.method_text.encode() == files[1])
    line = next(line for line, row in rows.values() if "--seeds 1-3" in row["command"])
    path, advice = okdbench(f"runs source {run.key} --runs all.jsonl.gz --output bobs", carol, data_root).splitlines()
    assert (carol / path).read_bytes() == files[1]
    for wrong in ("", f"--method {ann / 'mine.py'}"):
        said = okdbench(f"verify tables/digits.csv:{line} --runs runs {wrong}", carol, data_root, code=2)
        assert ("get its file with okdbench runs source" if not wrong else "its command is of another row") in said
    assert not (carol / "runs").exists(), "nothing was executed"
    said = okdbench(f"verify tables/digits.csv:{line} --method {path} --runs runs --device cpu", carol, data_root)
    assert said.splitlines()[-1] == "identical", said
    assert len(list(carol.glob("runs/*/record.json"))) == 3

    # the command that was printed is that of one of these runs, and the repetitions are the same runs
    command = advice.partition(": okdbench ")[2]
    okdbench(f"{command} --device cpu", carol, data_root)
    assert len(list(carol.glob("runs/*/record.json"))) == 3, "it was finished"
    said = okdbench("merge all.jsonl.gz runs --output more.jsonl.gz", carol, data_root)
    assert "left out, there more than once, with equal results: 3" in said


def test_the_file_is_kept_as_it_was_loaded(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the run's folder and in its record, also when it is edited meanwhile."""
    monkeypatch.chdir(tmp_path)
    newfile.write_file("method", "mine", Path())
    made, before = plan("./mine.py"), (tmp_path / "mine.py").read_bytes()
    (tmp_path / "mine.py").write_text("edited = True\n")
    found: Record = execute(made, tmp_path / "runs", quiet)
    assert found.status == "done", found.traceback
    assert found.method_text.encode() == (tmp_path / "runs" / made.key / "mine.py").read_bytes() == before


def test_a_comment_makes_no_other_method(plan: Callable[..., Plan], tmp_path: Path) -> None:
    newfile.write_file("method", "mine", tmp_path)
    file = tmp_path / "mine.py"
    one = plan(str(file))
    file.write_text(f"# a comment\n{file.read_text()}")
    commented = plan(str(file))
    file.write_text(file.read_text().replace("hyper(0.1,", "hyper(0.2,"))
    other = plan(str(file))
    digests = [made.method_file.digest for made in (one, commented, other) if made.method_file]
    assert digests[0] == digests[1] != digests[2]
    assert one.key == commented.key != other.key
    assert plan("kd").method_file is None
