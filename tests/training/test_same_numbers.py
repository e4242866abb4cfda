"""The move into packages changed no number: old and new code train the same weights, bit for bit, on one machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "smoke_fingerprints.py"
#: the last commit before the packages
BEFORE = "2eeda24"
#: every method in each of its tracks, on two data sets
RUNS = 48


@pytest.fixture
def old_tree(tmp_path: Path) -> Path:
    """The source tree of before, without its tests."""
    words = ["git", "-C", str(ROOT), "archive", BEFORE, "okdbench", "methods", "datasets", "leaderboards", "setup.cfg"]
    archive = subprocess.run(words, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"commit {BEFORE} is not in this checkout, so there is nothing to compare with")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(tmp_path / "before", filter="data")
    return tmp_path / "before"


def fingerprints(tree: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    # -P: the script's own folder is not on the path, so the tree in PYTHONPATH is the okdbench that is imported
    words = [sys.executable, "-P", str(SCRIPT), str(folder)]
    result = subprocess.run(
        words, env=os.environ | {"PYTHONPATH": str(tree)}, cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_packages_train_the_same_weights_as_the_flat_modules_before(old_tree: Path, tmp_path: Path) -> None:
    before, now = fingerprints(old_tree, tmp_path / "old"), fingerprints(ROOT, tmp_path / "new")
    assert len(before) == RUNS
    assert all(run["selected"] and run["last"] and run["teacher"] for run in before.values())
    assert now == before
