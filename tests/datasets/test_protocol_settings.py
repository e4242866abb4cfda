"""AuG-KD on the eight settings of its paper, on copies that look like the published data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import datastore
from support.dataset_trees import grow, needs_lists, official, published, registered, shrunk
from support.pacs_copies import visda

from okdbench import registry
from okdbench.cli import app as cli
from okdbench.data.folder_dataset import FolderDataset
from okdbench.results.store import read_records

EIGHT = [("office31", 3), ("officehome", 4), ("visda", 1)]


def run(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, more: str = "") -> list[str]:
    """Run ``okdbench run --method augkd`` at budget smoke; returns the settings of the finished runs."""
    line = f"run --method augkd --dataset {name} --budget smoke {more} --data-root {root} --runs {root / 'runs'}"
    monkeypatch.setattr("sys.argv", ["okdbench", *line.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return [record.setting for record in read_records(root / "runs") if record.status == "done"]


@pytest.mark.parametrize(
    ("name", "settings"), [pytest.param(*each, marks=() if each[1] == 1 else pytest.mark.slow) for each in EIGHT]
)
def test_augkd_runs_on_small_copies(name: str, settings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    shrunk(type(dataset), monkeypatch, 10)
    copy = visda(tmp_path / "copy") if name == "visda" else grow(tmp_path / "copy", official(dataset.counts))
    datastore.add(name, copy, tmp_path)
    done = run(name, tmp_path, monkeypatch, "--teacher lenet5_bn --student lenet5_half_bn")
    assert sorted(done) == sorted(dataset.settings)
    assert len(done) == settings


@pytest.mark.slow
@needs_lists
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "settings"), EIGHT)
def test_augkd_runs_on_whole_copies(name: str, settings: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    datastore.add(name, published(name, tmp_path / "copy"), tmp_path)
    assert registered(tmp_path, name) == {domain: sum(counts.values()) for domain, counts in dataset.counts.items()}
    assert len(run(name, tmp_path, monkeypatch)) == settings
    if name == "visda":
        assert len(run(name, tmp_path, monkeypatch, "--test-split folds")) == 2
