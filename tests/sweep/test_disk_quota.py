"""A sweep with a disk quota: files that can be made again are removed, the rest stays, and the sweep continues."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.fake_records import failed, put, record
from support.sweep_process import Sweep
from test_scheduler import ScriptedJob, start

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic
from okdbench.results import cleanup
from okdbench.results.records import Record, TeacherScore
from okdbench.results.store import read_record, read_records
from okdbench.sweep import sweep
from okdbench.sweep.disk_quota import DiskQuota
from okdbench.sweep.scheduler import Scheduler
from okdbench.training.plan import Plan

#: one byte in GB
BYTE = 1e-9


def with_teacher(made: Record, key: str, **config: str) -> Record:
    score = TeacherScore(key=key, own_acc=90.0, student_domain_acc=50.0)
    return made.model_copy(update={"teacher_score": score, "config": config})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two finished runs with a teacher each, one older than the other, and a failed run."""
    put(tmp_path, with_teacher(record("late", "A-C", 0, 60), "t-late", dataset="digits", seed="0"), 2)
    put(tmp_path, with_teacher(record("early", "A-C", 0, 60), "t-early", dataset="digits", seed="1"), 1)
    put(tmp_path, failed("stopped", "A-C", 0), 0)
    for name in ("late", "early"):
        (tmp_path / f"{name}A-C0" / "samples.npz").write_bytes(bytes(1000))
    for name in ("t-late", "t-early", "t-unknown"):
        write_atomic(tmp_path / "teachers" / name / "teacher.safetensors", bytes(1000))
    return tmp_path


def enforce(runs: Path, limit: int, needed: set[Path] | None = None, missing: int = 0) -> list[str]:
    lines: list[str] = []
    DiskQuota(runs, limit * BYTE, lines.append).enforce(needed or set(), missing, running=0)
    return lines


def left(runs: Path) -> list[str]:
    found = [*runs.glob("*/s*[sz]"), *runs.glob("teachers/*/*s")]
    return sorted(f"{file.parent.name}/{file.name.partition('.')[0]}" for file in found)


ALL = [
    "earlyA-C0/samples", "earlyA-C0/student", "lateA-C0/samples", "lateA-C0/student", "stoppedA-C0/student",
    "t-early/teacher", "t-late/teacher", "t-unknown/teacher",
]  # fmt: skip


@pytest.mark.parametrize(
    ("removed", "names"),
    [
        (0, []),
        (1, ["earlyA-C0/samples"]),
        (2, ["earlyA-C0/samples", "lateA-C0/samples"]),
        (3, ["earlyA-C0/samples", "lateA-C0/samples", "earlyA-C0/student"]),
        (5, ["earlyA-C0/samples", "lateA-C0/samples", "earlyA-C0/student", "lateA-C0/student", "t-early/teacher"]),
    ],
)
def test_what_is_missed_least_goes_first_and_the_oldest_of_it(removed: int, names: list[str], runs: Path) -> None:
    assert left(runs) == ALL
    lines = enforce(runs, cleanup.size(runs) - 1000 * removed)
    assert left(runs) == sorted(set(ALL) - set(names))
    assert len(lines) == bool(removed)


def test_unfinished_runs_and_records_are_never_removed(runs: Path) -> None:
    write_atomic(runs / "begun" / "config.yaml", b"dataset: digits\nseed: 1\n")
    write_atomic(runs / "begun" / "checkpoint.pt", b"state")
    (line,) = enforce(runs, 0, needed={runs / "teachers" / "t-late" / "teacher.safetensors"})
    assert re.fullmatch(r"--max-gb: removed 2 samples, 2 students of finished runs, 4 kB", line)
    assert left(runs) == ["stoppedA-C0/student", "t-early/teacher", "t-late/teacher", "t-unknown/teacher"]
    assert (runs / "begun" / "checkpoint.pt").exists()
    assert len(list(read_records(runs))) == 3
    assert len(list(runs.glob("*/metrics.jsonl"))) == 3


def test_a_full_folder_is_an_error_while_runs_are_missing(runs: Path) -> None:
    with pytest.raises(UserError, match="2 jobs are missing; raise --max-gb and rerun the command") as caught:
        enforce(runs, 1, missing=2)
    assert "\n" not in str(caught.value)
    assert enforce(runs, 1) == []


def test_a_full_folder_waits_for_running_jobs(runs: Path) -> None:
    """Running jobs have checkpoints, which are removed at their end."""
    quota = DiskQuota(runs, BYTE, print)
    quota.enforce(set(), missing=2, running=1)
    assert quota.full
    with pytest.raises(UserError):
        quota.enforce(set(), missing=1, running=0)
    DiskQuota(runs, None, print).enforce(set(), missing=2, running=0)


def test_a_teacher_with_a_hostile_name_removes_nothing_outside(runs: Path) -> None:
    outside = runs.parent / "outside"
    write_atomic(outside / "teacher.safetensors", b"mine")
    put(runs, with_teacher(record("evil", "A-C", 0, 60), "../../outside"), 0)
    enforce(runs, 0)
    assert (outside / "teacher.safetensors").read_bytes() == b"mine"


def test_linked_runs_stay(runs: Path) -> None:
    elsewhere = runs.parent / "elsewhere"
    (runs / "earlyA-C0").rename(elsewhere)
    (runs / "earlyA-C0").symlink_to(elsewhere)
    enforce(runs, 0)
    assert (elsewhere / "student.safetensors").exists()
    assert not (runs / "lateA-C0" / "student.safetensors").exists()


def test_a_sweep_whose_last_child_dies_in_a_full_folder_ends_with_an_error(runs: Path) -> None:
    """It must be retried, for which there is no space, and no other child is left that could free some."""
    jobs = [ScriptedJob(runs, [0]), ScriptedJob(runs, [-9, 0])]
    quota = DiskQuota(runs, BYTE, print)
    full: list[bool] = []

    def make_room() -> None:
        sweep._make_room(quota, jobs)
        full.append(quota.full)

    scheduler = Scheduler(jobs, lambda: 0 if quota.full else 2, start, lambda _job: None, child_ended=make_room)
    with pytest.raises(UserError, match="1 jobs are missing; raise --max-gb"):
        scheduler.run()
    assert full == [True], "while the other child ran"
    assert [job.state for job in jobs] == ["done", "waiting"]


def test_linked_teachers_stay(runs: Path) -> None:
    elsewhere = runs.parent / "teachers elsewhere"
    (runs / "teachers").rename(elsewhere)
    (runs / "teachers").symlink_to(elsewhere)
    enforce(runs, 0)
    assert len(list(elsewhere.glob("*/teacher.safetensors"))) == 3


@pytest.mark.slow
def test_a_sweep_stays_below_the_limit_and_resumes_with_a_larger_one(
    tmp_path: Path, data_root: Path, plan: Callable[..., Plan]
) -> None:
    line = "--methods finetune,kd --seeds 0-1 --jobs 1"
    sweeps = partial(Sweep, folder=tmp_path, data_root=data_root)
    code, stdout, stderr = sweeps(f"{line} --max-gb 0.0001").end()
    assert (code, stdout) == (2, "")
    assert "jobs are missing; raise --max-gb and rerun the command" in stderr.splitlines()[-1]
    # a student, a teacher and a checkpoint fit
    code, _, stderr = sweeps(f"{line} --max-gb 0.008").end()
    assert code == 0, stderr
    assert "--max-gb: removed 1 " in stderr
    assert cleanup.size(tmp_path / "runs") <= 8_000_000
    for method in ("finetune", "kd"):
        for seed in (0, 1):
            made = read_record(tmp_path / "runs" / plan(method, seed=seed).key)
            assert made is not None
            assert made.status == "done"
