"""The report as a file: what is written and where; equal records give equal bytes."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from support.pages import ROOT
from support.report_pages import few

from okdbench.core.errors import UserError
from okdbench.results.report import write_report
from okdbench.results.report.figures import figure_groups
from okdbench.results.samples import write_samples
from okdbench.results.store import read_all, read_records, write_archive, write_record


def test_samples_are_drawn_from_a_folder_only(tmp_path: Path) -> None:
    records = few()[:1]
    write_record(tmp_path / records[0].key, records[0])
    write_samples(tmp_path / records[0].key, {"generated": np.zeros((2, 8, 8, 3), dtype=np.uint8)})
    others = {group.kind for group in figure_groups(records)}
    assert "bars" in others
    assert "samples" not in others
    assert {group.kind for group in figure_groups(records, tmp_path)} == others | {"samples"}


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    records = few()
    for one in records:
        write_record(tmp_path / "runs" / quote(one.key), one)
    # A folder is read in the order of the names; an archive in that of its lines.
    shuffled = records[::-1]
    lines = "".join(one.model_dump_json() + "\n" for one in shuffled)
    (tmp_path / "records.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert list(read_records(tmp_path / "records.jsonl.gz")) == shuffled != list(read_records(tmp_path / "runs"))
    for source, site in (("runs", "one"), ("records.jsonl.gz", "other")):
        write_report(tmp_path / source, tmp_path / site)
    assert (tmp_path / "one" / "index.html").read_bytes() == (tmp_path / "other" / "index.html").read_bytes()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["index.html"]


def test_the_command_writes_the_page_and_names_it(tmp_path: Path) -> None:
    write_archive(tmp_path / "r.jsonl.gz", few()[:1])
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


@pytest.mark.slow
def test_a_page_of_the_committed_runs_is_below_three_megabytes(tmp_path: Path) -> None:
    archives = ROOT / "leaderboards" / "records"
    runs = len(read_all(archives))
    assert runs > 100
    assert write_report(archives, tmp_path).stat().st_size < 3e6 * max(1, runs / 250)
