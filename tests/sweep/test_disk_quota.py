"""A grid that keeps its folder below a size: what can be made again goes, the rest stays, and the grid goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.fake_records import failed, put, record
from support.sweep_process import Sweep
from test_scheduler import Endings, start

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic
from okdbench.results import cleanup as storage
from okdbench.results.records import Record, TeacherScore
from okdbench.results.store import read_record, read_records
from okdbench.sweep import sweep
from okdbench.sweep.disk_quota import DiskQuota
from okdbench.sweep.scheduler import Scheduler
from okdbench.training.plan import Plan

#: GB of a byte
BYTE = 1e-9


def with_teacher(made: Record, key: str, **config: str) -> Record:
    score = TeacherScore(key=key, own_acc=90.0, student_domain_acc=50.0)
    return made.model_copy(update={"teacher_score": score, "config": config})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two finished runs with teachers of their own, one of which began first, and a failed one."""
    put(tmp_path, with_teacher(record("late", "A-C", 0, 60), "t-late", dataset="digits", seed="0"), 2)
    put(tmp_path, with_teacher(record("early", "A-C", 0, 60), "t-early", dataset="digits", seed="1"), 1)
    put(tmp_path, failed("stopped", "A-C", 0), 0)
    for name in ("late", "early"):
        (tmp_path / f"{name}A-C0" / "samples.npz").write_bytes(bytes(1000))
    for name in ("t-late", "t-early", "t-unknown"):
        write_atomic(tmp_path / "teachers" / name / "teacher.safetensors", bytes(1000))
    return tmp_path


def make(runs: Path, most: int, needed: set[Path] | None = None, missing: int = 0) -> list[str]:
    lines: list[str] = []
    DiskQuota(runs, most * BYTE, lines.append).make(needed or set(), missing, running=0)
    return lines


def left(runs: Path) -> list[str]:
    found = [*runs.glob("*/s*[sz]"), *runs.glob("teachers/*/*s")]
    return sorted(f"{file.parent.name}/{file.name.partition('.')[0]}" for file in found)


ALL = [
    "earlyA-C0/samples", "earlyA-C0/student", "lateA-C0/samples", "lateA-C0/student", "stoppedA-C0/student",
    "t-early/teacher", "t-late/teacher", "t-unknown/teacher",
]  # fmt: skip


@pytest.mark.parametrize(
    ("goes", "names"),
    [
        (0, []),
        (1, ["earlyA-C0/samples"]),
        (2, ["earlyA-C0/samples", "lateA-C0/samples"]),
        (3, ["earlyA-C0/samples", "lateA-C0/samples", "earlyA-C0/student"]),
        (5, ["earlyA-C0/samples", "lateA-C0/samples", "earlyA-C0/student", "lateA-C0/student", "t-early/teacher"]),
    ],
)
def test_what_is_missed_least_goes_first_and_the_oldest_of_it(goes: int, names: list[str], runs: Path) -> None:
    assert left(runs) == ALL
    lines = make(runs, storage.size(runs) - 1000 * goes)
    assert left(runs) == sorted(set(ALL) - set(names))
    assert len(lines) == bool(goes)


def test_nothing_of_an_unfinished_run_goes_nor_any_record(runs: Path) -> None:
    write_atomic(runs / "begun" / "config.yaml", b"dataset: digits\nseed: 1\n")
    write_atomic(runs / "begun" / "checkpoint.pt", b"state")
    (line,) = make(runs, 0, needed={runs / "teachers" / "t-late" / "teacher.safetensors"})
    assert re.fullmatch(r"--max-gb: removed 2 samples, 2 students of finished runs, 4 kB", line)
    assert left(runs) == ["stoppedA-C0/student", "t-early/teacher", "t-late/teacher", "t-unknown/teacher"]
    assert (runs / "begun" / "checkpoint.pt").exists()
    assert len(list(read_records(runs))) == 3
    assert len(list(runs.glob("*/metrics.jsonl"))) == 3


def test_what_does_not_fit_stops_the_grid_while_something_is_missing(runs: Path) -> None:
    with pytest.raises(UserError, match="2 jobs are missing; raise --max-gb and run the same command again") as told:
        make(runs, 1, missing=2)
    assert "\n" not in str(told.value)
    assert make(runs, 1) == []


def test_while_others_run_what_does_not_fit_waits(runs: Path) -> None:
    """What is under way holds checkpoints, which will go."""
    room = DiskQuota(runs, BYTE, print)
    room.make(set(), missing=2, running=1)
    assert room.full
    with pytest.raises(UserError):
        room.make(set(), missing=1, running=0)
    DiskQuota(runs, None, print).make(set(), missing=2, running=0)


def test_a_teacher_of_a_hostile_name_is_looked_for_on_the_disk_only(runs: Path) -> None:
    outside = runs.parent / "outside"
    write_atomic(outside / "teacher.safetensors", b"mine")
    put(runs, with_teacher(record("evil", "A-C", 0, 60), "../../outside"), 0)
    make(runs, 0)
    assert (outside / "teacher.safetensors").read_bytes() == b"mine"


def test_what_lies_elsewhere_stays(runs: Path) -> None:
    elsewhere = runs.parent / "elsewhere"
    (runs / "earlyA-C0").rename(elsewhere)
    (runs / "earlyA-C0").symlink_to(elsewhere)
    make(runs, 0)
    assert (elsewhere / "student.safetensors").exists()
    assert not (runs / "lateA-C0" / "student.safetensors").exists()


def test_a_grid_whose_last_child_dies_while_there_is_no_room_ends_in_advice(runs: Path) -> None:
    """It is to start again, for which there is no room, and nobody else is left who would make some."""
    jobs = [Endings(runs, [0]), Endings(runs, [-9, 0])]
    room = DiskQuota(runs, BYTE, print)
    full: list[bool] = []

    def make_room() -> None:
        sweep._make_room(room, jobs)
        full.append(room.full)

    pool = Scheduler(jobs, lambda: 0 if room.full else 2, start, lambda _job: None, ended=make_room)
    with pytest.raises(UserError, match="1 jobs are missing; raise --max-gb"):
        pool.run()
    assert full == [True], "while the other one ran"
    assert [job.state for job in jobs] == ["done", "waiting"]


def test_teachers_that_are_linked_to_are_somebody_elses(runs: Path) -> None:
    elsewhere = runs.parent / "teachers elsewhere"
    (runs / "teachers").rename(elsewhere)
    (runs / "teachers").symlink_to(elsewhere)
    make(runs, 0)
    assert len(list(elsewhere.glob("*/teacher.safetensors"))) == 3


def test_a_grid_keeps_below_the_limit_and_goes_on_with_a_larger_one(
    tmp_path: Path, data_root: Path, plan: Callable[..., Plan]
) -> None:
    line = "--methods finetune,kd --seeds 0-1 --jobs 1"
    end = partial(Sweep, folder=tmp_path, data_root=data_root)
    code, stdout, stderr = end(f"{line} --max-gb 0.0001").end()
    assert (code, stdout) == (2, "")
    assert "jobs are missing; raise --max-gb and run the same command again" in stderr.splitlines()[-1]
    # a student, a teacher and a checkpoint fit
    code, _, stderr = end(f"{line} --max-gb 0.008").end()
    assert code == 0, stderr
    assert "--max-gb: removed 1 " in stderr
    assert storage.size(tmp_path / "runs") <= 8_000_000
    for method in ("finetune", "kd"):
        for seed in (0, 1):
            made = read_record(tmp_path / "runs" / plan(method, seed=seed).key)
            assert made is not None
            assert made.status == "done"
