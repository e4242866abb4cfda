"""A disk that becomes full during a run: one line reports it, no partial file stays, and rerunning the command resumes.

The kernel itself refuses the write: on a full file system where mounting is allowed, else by a limit on the size of a
file; each test prints which.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.fault_injection import (
    RUN_FILES,
    SMALL,
    TEACHER_FILES,
    Disk,
    SizeLimit,
    Tmpfs,
    checkpoint_every_step,
    inject_once,
    only_run,
    open_disk,
    print_recovery,
    reference_run,
    run_command,
)
from support.resumed_runs import assert_same

CURE = "the disk is full; free some space and run the same command again"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    return reference_run(tmp_path_factory.getbasetemp(), data_root)


def start(
    disk: Disk, runs: Path, data_root: Path, spare: frozenset[str], skip: int
) -> tuple[str, CompletedProcess[str]]:
    """Run on a disk that becomes full; returns the file at which it did (empty: no fault) and the ended process."""
    note = data_root / "fault"
    note.unlink(missing_ok=True)
    done = run_command(
        f"{SMALL} --runs {runs}", runs.parent, data_root, partial(fill_disk_at, runs, spare, skip, note, disk)
    )
    disk.free()
    if not note.exists():
        return "", done
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].endswith(CURE)
    assert "Traceback" not in done.stderr
    assert not list(runs.rglob("*.tmp"))
    return note.read_text(), done


def fill_disk_at(runs: Path, spare: frozenset[str], skip: int, note: Path, disk: Disk) -> None:
    checkpoint_every_step()
    inject_once(runs, spare, skip, note, disk.fill)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with open_disk(tmp_path / "disk") as found:
        assert found is not None
        print(f"\nthe disk is a {found.name}")
        yield found


@pytest.mark.slow
def test_a_disk_that_is_full_at_each_file_loses_nothing(disk: Disk, reference: Path, data_root: Path) -> None:
    runs = disk.folder / "runs"
    shutil.copytree(reference.parent / "teachers", runs / "teachers")
    affected: list[str] = []
    while True:
        name, done = start(disk, runs, data_root, frozenset(affected), 0)
        if not name:
            break
        assert name not in affected
        assert not list(runs.glob("*/record.json"))
        affected.append(name)
    assert done.returncode == 0, done.stderr
    assert set(affected) >= RUN_FILES
    assert_same(only_run(runs), reference)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", [Tmpfs, SizeLimit])
def test_a_disk_that_is_full_at_any_write_loses_nothing(
    kind: type[Tmpfs] | type[SizeLimit], tmp_path: Path, reference: Path, data_root: Path
) -> None:
    affected: list[str] = []
    extra: list[float] = []
    with open_disk(tmp_path / "disk", kind) as disk:
        if disk is None:
            pytest.skip("mounting a file system needs privileges that this process lacks")
        began = time.monotonic()
        assert run_command(f"{SMALL} --runs {disk.folder / 'reference'}", disk.folder, data_root).returncode == 0
        duration = time.monotonic() - began
        while True:
            runs, began = disk.folder / f"runs{len(affected)}", time.monotonic()
            name, done = start(disk, runs, data_root, frozenset(), len(affected))
            if not name:
                break
            done = run_command(f"{SMALL} --runs {runs}", runs.parent, data_root)
            extra.append(time.monotonic() - began - duration)
            assert done.returncode == 0, done.stderr
            assert_same(only_run(runs), reference)
            shutil.rmtree(runs)
            affected.append(name)
        assert done.returncode == 0, done.stderr
        print_recovery(f"{disk.name} at each of {len(affected)} writes, at most", max(extra))
    assert set(affected) >= RUN_FILES | TEACHER_FILES
