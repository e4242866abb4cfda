"""The report as a file: what is written and where; equal records give equal bytes."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from support.report_pages import grid

from okdbench.core.errors import UserError
from okdbench.results.report import write_report
from okdbench.results.report.figures import figure_groups
from okdbench.results.store import write_archive, write_record


def test_samples_are_drawn_from_a_folder_only(tmp_path: Path) -> None:
    assert "samples" not in {group.kind for group in figure_groups(grid())}
    assert {group.kind for group in figure_groups(grid(), tmp_path)} <= {
        group.kind for group in figure_groups(grid())
    } | {"samples"}


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    records = grid()
    for number in range(2):
        random.Random(number).shuffle(records)
        for one in records:
            write_record(tmp_path / f"runs{number}" / quote(one.key), one)
        write_report(tmp_path / f"runs{number}", tmp_path / f"site{number}")
    write_archive(tmp_path / "records.jsonl.gz", records)
    write_report(tmp_path / "records.jsonl.gz", tmp_path / "site2")
    pages = {(tmp_path / f"site{number}" / "index.html").read_bytes() for number in range(3)}
    assert len(pages) == 1
    assert [path.name for path in (tmp_path / "site0").iterdir()] == ["index.html"]


def test_the_command_writes_the_page_and_names_it(tmp_path: Path) -> None:
    write_archive(tmp_path / "r.jsonl.gz", grid())
    words = [sys.executable, "-m", "okdbench", "report", "--runs", str(tmp_path / "r.jsonl.gz"), "--output"]
    done = subprocess.run([*words, str(tmp_path / "site")], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/site/index.html\n"
    (tmp_path / "file").touch()
    refused = subprocess.run([*words, str(tmp_path / "file")], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--output" in refused.stderr


def test_an_archive_without_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(UserError, match="no records"):
        write_report(tmp_path / "r.jsonl.gz", tmp_path / "site")
    assert not (tmp_path / "site").exists()
