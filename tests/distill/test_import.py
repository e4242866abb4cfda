"""The package is imported without a search for garbage, which then goes on as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("before", ["enable", "disable"])
def test_collection_is_as_before_and_knows_what_stays(before: str) -> None:
    code = f"import gc; gc.{before}(); import okdbench.distill; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.split() == [str(before == "enable"), "True"]
