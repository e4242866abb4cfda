"""A disk that is full at a write of a run: one line says so, nothing half-written stays, and the same command goes on.

The fault is the kernel's own. Where mounting is allowed it is a file system without a free page, else a limit of a
file's size; each test prints which.
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
    do,
    eager,
    open_disk,
    run_in,
    strike,
    told,
    untouched,
)
from test_resume import assert_same

CURE = "the disk is full; free some space and run the same command again"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    return untouched(tmp_path_factory.getbasetemp(), data_root)


def start(
    disk: Disk, runs: Path, data_root: Path, spare: frozenset[str], skip: int
) -> tuple[str, CompletedProcess[str]]:
    """Run on a disk that gets full; returns the file that was to be written (none: all went well) and what was said."""
    note = data_root / "struck"
    note.unlink(missing_ok=True)
    done = do(f"{SMALL} --runs {runs}", runs.parent, data_root, partial(eager_until, runs, spare, skip, note, disk))
    disk.free()
    if not note.exists():
        return "", done
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].endswith(CURE)
    assert "Traceback" not in done.stderr
    assert not list(runs.rglob("*.tmp"))
    return note.read_text(), done


def eager_until(runs: Path, spare: frozenset[str], skip: int, note: Path, disk: Disk) -> None:
    eager()
    strike(runs, spare, skip, note, disk.fill)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with open_disk(tmp_path / "disk") as found:
        assert found is not None
        print(f"\nthe disk is a {found.name}")
        yield found


def test_a_disk_that_is_full_at_each_file_loses_nothing(disk: Disk, whole: Path, data_root: Path) -> None:
    runs = disk.folder / "runs"
    shutil.copytree(whole.parent / "teachers", runs / "teachers")
    struck: list[str] = []
    while True:
        name, done = start(disk, runs, data_root, frozenset(struck), 0)
        if not name:
            break
        assert name not in struck
        assert not list(runs.glob("*/record.json"))
        struck.append(name)
    assert done.returncode == 0, done.stderr
    assert set(struck) >= RUN_FILES
    assert_same(run_in(runs), whole)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", [Tmpfs, SizeLimit])
def test_a_disk_that_is_full_at_any_write_loses_nothing(
    kind: type[Tmpfs] | type[SizeLimit], tmp_path: Path, whole: Path, data_root: Path
) -> None:
    struck: list[str] = []
    extra: list[float] = []
    with open_disk(tmp_path / "disk", kind) as disk:
        if disk is None:
            pytest.skip("mounting a file system needs privileges that this process does not have")
        began = time.monotonic()
        assert do(f"{SMALL} --runs {disk.folder / 'usual'}", disk.folder, data_root).returncode == 0
        usual = time.monotonic() - began
        while True:
            runs, began = disk.folder / f"runs{len(struck)}", time.monotonic()
            name, done = start(disk, runs, data_root, frozenset(), len(struck))
            if not name:
                break
            done = do(f"{SMALL} --runs {runs}", runs.parent, data_root)
            extra.append(time.monotonic() - began - usual)
            assert done.returncode == 0, done.stderr
            assert_same(run_in(runs), whole)
            shutil.rmtree(runs)
            struck.append(name)
        assert done.returncode == 0, done.stderr
        told(f"{disk.name} at each of {len(struck)} writes, at most", max(extra))
    assert set(struck) >= RUN_FILES | TEACHER_FILES
