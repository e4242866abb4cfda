"""The demo: two comparisons, a table, two sentences that follow from the runs, a figure and a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_records import record
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.cli.demo import FEW_LABELS, NO_IMAGES, story
from okdbench.results.records import Record
from okdbench.results.store import write_record
from okdbench.sweep import sequential
from okdbench.sweep.grid import Grid, parse_grid
from okdbench.sweep.plans import checked_plans

FEW = {"teacher": 73.4, "finetune": 68.7, "kd": 77.0, "augkd": 84.3}
NONE = {"teacher": 97.0, "mad": 92.1}


def runs_of(setting: str, scores: dict[str, float]) -> list[Record]:
    shots = 2 if "-" in setting else None
    task, track = ("adapt", "labelled") if shots else ("data-free", "label-free")
    return [
        record(method, setting, 0, acc, shots=shots, task=task, track=track, default_settings=(setting,))
        for method, acc in scores.items()
    ]


def test_the_sentences_have_the_numbers_of_the_runs() -> None:
    few, none = ({each.method: each for each in runs_of(*case)} for case in (("M-P", FEW), ("M", NONE)))
    text = story(few, none)
    assert "With 2 labels per class" in text
    assert all(f"{score} %" in text for score in (*FEW.values(), *NONE.values()))
    assert len(text.splitlines()) == 2


def test_what_it_runs_exists(data_root: Path) -> None:
    for values in (FEW_LABELS, NO_IMAGES):
        plans = list(checked_plans(parse_grid({"dataset": ["digits"], **values}), data_root))
        assert [plan.method_name for plan in plans] == values["method"][0].split(",")


def test_it_ends_with_table_sentences_figure_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_grid(grid: Grid, runs: Path, _root: Path | None) -> list[Record]:
        made = runs_of("M-P", FEW) if grid.settings == ["M-P"] else runs_of("M", NONE)
        for each in made:
            (runs / each.key).mkdir(parents=True)
            write_record(runs / each.key, each)
        return made

    monkeypatch.setattr(sequential, "run_grid", run_grid)
    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "2 shots" in result.stdout
    assert "AuG-KD 84.3 %" in result.stdout
    named = [
        Path(line.partition(": ")[2]) for line in result.stdout.splitlines() if line.startswith(("figure", "page"))
    ]
    assert {path.suffix for path in named} == {".png", ".html"}
    assert all(path.is_file() for path in named)
