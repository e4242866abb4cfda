"""Records of another protocol count nowhere, and every command that reads records reports them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_records import GRID, record
from support.fork_server import Command

from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.store import write_archive

LINES = ["leaderboard", "compare kd finetune", "plot bars --output plots", "report --output site"]


@pytest.mark.parametrize("line", LINES)
def test_a_line_counts_what_is_left_out(line: str, tmp_path: Path, data_root: Path) -> None:
    older = record("kd", "A-C", 7, 60, protocol=PROTOCOL_VERSION - 1)
    write_archive(tmp_path / "records.jsonl.gz", [*GRID, older])
    result = Command([*line.split(), "--runs", "records.jsonl.gz"], tmp_path, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert "okdbench: older code, images or protocol: 1 records are left out\n" in result.stderr
