"""Jobs whose children end in every way: which are retried, which fail, and what is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fake_records import failed

from okdbench.core.config import RunConfig
from okdbench.results.store import write_record
from okdbench.sweep.jobs import RunJob
from okdbench.sweep.retries import MAX_DEATHS, MAX_LOST_NODES, NODE_LOST
from okdbench.sweep.scheduler import Job, Scheduler, State


class EndedChild:
    """A child that has already ended."""

    def __init__(self, code: int) -> None:
        self._code = code

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002
        return self._code

    def send_signal(self, sig: int, /) -> None:
        """There is no process to receive it."""

    def kill(self) -> None:
        """It has ended."""


class ScriptedJob(Job):
    """A job whose children end with ``codes``, one after the other; 0 is success."""

    def __init__(self, folder: Path, codes: list[int]) -> None:
        super().__init__("job", [], folder / "log.txt")
        self._codes: Iterator[int] = iter(codes)
        self.code = NODE_LOST

    def prepare(self) -> bool:
        self.code = next(self._codes)
        return True

    def result(self) -> State | None:
        return None if self.code else "done"


def start(job: Job) -> EndedChild:
    assert isinstance(job, ScriptedJob)
    return EndedChild(job.code)


def run(job: ScriptedJob) -> ScriptedJob:
    ended: list[Job] = []
    Scheduler([job], lambda: 1, start, ended.append).run()
    assert ended == [job]
    return job


def test_a_lost_node_does_not_count_as_a_death_of_the_job(tmp_path: Path) -> None:
    job = run(ScriptedJob(tmp_path, [NODE_LOST] * (MAX_LOST_NODES - 1) + [-9, 0]))
    assert (job.state, job.attempts.deaths) == ("done", 1)


def test_a_job_that_machines_never_survive_is_given_up(tmp_path: Path) -> None:
    job = run(ScriptedJob(tmp_path, [NODE_LOST] * MAX_LOST_NODES))
    assert job.state == "failed"
    assert job.error.startswith(f"ended early {MAX_LOST_NODES} times, the last time because its node was lost")


def test_a_job_that_always_dies_is_given_up(tmp_path: Path) -> None:
    job = run(ScriptedJob(tmp_path, [3] * MAX_DEATHS))
    assert job.error.startswith(f"ended early {MAX_DEATHS} times, the last time with exit code 3")


@pytest.mark.parametrize("error", ["", "\n", "  \n\n"])
def test_a_failure_without_a_message_is_reported(error: str, tmp_path: Path) -> None:
    job = ScriptedJob(tmp_path, [])
    job.state, job.error = "failed", error
    assert job.summary() == f"failed: no error message ({job.log})"


@pytest.mark.parametrize(
    ("error", "reason"), [("", "no error message"), ("\nValueError: no\n  more", "ValueError: no")]
)
def test_a_failed_record_is_reported_by_the_first_line_of_its_error(error: str, reason: str, tmp_path: Path) -> None:
    write_record(tmp_path, failed("kd", "MO-P", 0, error=error))
    config = RunConfig(method="kd", dataset="digits", setting="MO-P")
    job = RunJob("run", [], tmp_path / "log.txt", config=config, runs=tmp_path, data_root=tmp_path)
    job.state = "failed"
    assert job.summary() == f"failed: {reason} ({job.log})"


def test_a_job_whose_dependency_failed_without_a_message_fails_too(tmp_path: Path) -> None:
    first, second = ScriptedJob(tmp_path, []), ScriptedJob(tmp_path, [])
    first.state, second.depends_on = "failed", first
    lines: list[str] = []
    report: Callable[[Job], None] = lambda job: lines.append(job.summary())  # noqa: E731
    Scheduler([first, second], lambda: 1, start, report).run()
    assert lines == [f"failed: job failed: no error message ({second.log})"]
