"""Two colleagues, one name for two methods: merged without loss, and run again from the archive alone."""

from __future__ import annotations

import contextlib
import csv
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fork_server import Command
from support.tiny_task import TINY
from typer.testing import CliRunner

from okdbench.cli import new as newfile
from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.results.grouping import label
from okdbench.results.records import Record
from okdbench.results.store import read_all
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

CELL = f"--dataset digits --setting MO-P --budget smoke --teacher {TINY} --student {TINY} --device cpu"


def okdbench(line: str, folder: Path) -> str:
    """What a command that trains nothing prints; it is faster in this process."""
    with contextlib.chdir(folder):
        result = CliRunner().invoke(app, shlex.split(line))
    if result.exception:
        raise result.exception
    return result.stdout


def process(line: str, folder: Path, data_root: Path) -> str:
    """What a command prints in a process of its own, as on another machine."""
    result = Command(shlex.split(line), folder, data_root).wait()
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


def at_work(folder: Path, noise: str, seeds: str, data_root: Path) -> bytes:
    """Someone writes a method called mine, runs it and sends an archive; returns the method's file."""
    newfile.write_file("method", "mine", folder)
    file = folder / "mine.py"
    file.write_text(file.read_text().replace("hyper(0.1,", f"hyper({noise},"))
    process(f"run --method ./mine.py {CELL} --seeds {seeds}", folder, data_root)
    okdbench(f"merge runs --output {folder.name}.jsonl.gz", folder)
    return file.read_bytes()


def rows_of(file: Path) -> dict[str, tuple[int, dict[str, str]]]:
    """Method -> line in the file and its columns, of the single setting."""
    with file.open() as opened:
        return {
            row["method"]: (line, row) for line, row in enumerate(csv.DictReader(opened), 2) if row["setting"] != "all"
        }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("anns", "bobs", "count"), [("0", "0", 1), ("0-2", "1-3", 3)])
def test_a_colleagues_story(anns: str, bobs: str, count: int, tmp_path: Path, data_root: Path) -> None:
    ann, bob, carol = (tmp_path / name for name in ("ann", "bob", "carol"))
    files = [at_work(ann, "0.1", anns, data_root), at_work(bob, "0.2", bobs, data_root)]
    carol.mkdir()
    for person in (ann, bob):
        (person / f"{person.name}.jsonl.gz").rename(carol / f"{person.name}.jsonl.gz")

    # merged without loss, in any order
    said = okdbench("merge ann.jsonl.gz bob.jsonl.gz --output all.jsonl.gz", carol)
    taken = f"{count} of {count} runs taken"
    assert said.splitlines() == [f"ann.jsonl.gz: {taken}", f"bob.jsonl.gz: {taken}", "all.jsonl.gz"]
    okdbench("merge bob.jsonl.gz ann.jsonl.gz --output again.jsonl.gz", carol)
    assert (carol / "all.jsonl.gz").read_bytes() == (carol / "again.jsonl.gz").read_bytes()
    (carol / "again.jsonl.gz").unlink()
    theirs = read_all([ann / "runs", bob / "runs"])
    assert read_all(carol / "all.jsonl.gz") == theirs
    assert {made.method_text.encode() for made in theirs} == set(files)

    # two rows with all their seeds, from the archive and from the folders
    okdbench("leaderboard --runs all.jsonl.gz --output tables --records", carol)
    okdbench(f"leaderboard --runs {ann}/runs --runs {bob}/runs --output others", carol)
    assert (carol / "tables" / "digits.csv").read_bytes() == (carol / "others" / "digits.csv").read_bytes()
    rows = rows_of(carol / "tables" / "digits.csv")
    assert all(re.fullmatch(r"mine \(local, [0-9a-f]{4}\)", method) for method in rows)
    assert sorted(row["seeds"] for _, row in rows.values()) == [str(count)] * 2

    # from here on there is only the archive
    shutil.rmtree(bob)
    run = next(made for made in theirs if made.method_text.encode() == files[1])
    line, _ = rows[label(run)]
    path, advice = okdbench(f"runs source {run.key} --runs all.jsonl.gz --output bobs", carol).splitlines()
    assert (carol / path).read_bytes() == files[1]
    refusals = {
        "": "get its file with okdbench runs source",
        f"--method {ann}/mine.py": "its command is of another row",
    }
    for option, complaint in refusals.items():
        with pytest.raises(UserError, match=complaint):
            okdbench(f"verify tables/digits.csv:{line} --runs runs {option}", carol)
    assert not (carol / "runs").exists(), "nothing was executed"
    said = process(f"verify tables/digits.csv:{line} --method {path} --runs runs --device cpu", carol, data_root)
    assert said.splitlines()[-1] == "identical", said
    assert len(list(carol.glob("runs/*/record.json"))) == count

    # the command that was printed is that of one of these runs, and the repetitions are the same runs
    command = advice.partition(": okdbench ")[2]
    process(f"{command} --device cpu", carol, data_root)
    assert len(list(carol.glob("runs/*/record.json"))) == count, "it was finished"
    said = okdbench("merge all.jsonl.gz runs --output more.jsonl.gz", carol)
    assert f"left out, there more than once, with equal results: {count}" in said


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
