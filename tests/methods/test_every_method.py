"""The contract of okdbench.checks for every method in the tree; a new method file needs no edit here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.dataset_trees import grow, official

from okdbench import registry
from okdbench.checks import CHECKS, Sandbox, checks
from okdbench.checks.hyperparameters import needed
from okdbench.core import plugins
from okdbench.core.protocol import Track
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

NAMES = plugins.method_names()
CELLS = [(name, track) for name in NAMES for track in registry.load_method(name).card.tracks]
#: the other two are tested below, on a folder data set and method by method
ON_DIGITS = [check for check in CHECKS if check.find not in (checks.resumption, checks.idle_settings)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def bench(runs: Path, data_root: Path) -> Callable[[str], Sandbox]:
    """A sandbox for each method; all share their teachers."""
    made: dict[str, Sandbox] = {}
    return lambda method: made.setdefault(method, Sandbox(method, runs, data_root, dataset="digits", setting="MO-P"))


@pytest.mark.parametrize("method", NAMES)
def test_a_method_keeps_the_contract(bench: Callable[[str], Sandbox], method: str) -> None:
    one = bench(method)
    assert {check.title: found for check in ON_DIGITS if (found := check.find(one))} == {}


@pytest.mark.parametrize(("method", "track"), CELLS)
def test_the_record_names_the_step_that_the_protocol_chooses(
    bench: Callable[[str], Sandbox], method: str, track: Track
) -> None:
    record, _ = bench(method).record(track)
    assert record.selected is not None
    assert record.oracle is not None
    assert record.oracle.test.acc == max(e.test.acc for e in record.evaluations)
    chosen = [e.val_acc for e in record.evaluations].index(max(e.val_acc for e in record.evaluations))
    assert record.selected.evaluation == record.evaluations[chosen if track is Track.LABELLED else -1]


@pytest.mark.parametrize("method", NAMES)
def test_the_seed_matters_if_something_is_trained(plan: Callable[..., Plan], runs: Path, method: str) -> None:
    one, other = (execute(plan(method, seed=seed), runs, quiet) for seed in (0, 1))
    if one.cost.traffic["student"].learned:
        assert one.fingerprints != other.fingerprints


def variants() -> list[Any]:
    """Every method with its defaults, and with each group of settings that some of its hyper-parameters need."""
    found = []
    for name in NAMES:
        groups = [needed(field) for field in registry.load_method(name).Hyperparameters.model_fields.values()]
        found += [(name, settings) for settings in [{}, *groups]]
    cells = [cell for index, cell in enumerate(found) if cell not in found[:index]]
    return [pytest.param(*cell, marks=pytest.mark.slow if cell[1] else ()) for cell in cells]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set: two domains of twelve classes."""
    folder = tmp_path_factory.mktemp("shop")
    grow(folder, official({domain: dict.fromkeys("abcdefghijkl", 10) for domain in ("studio", "phone")}))
    (folder / "shop.yaml").write_text("domains:\n  studio: studio\n  phone: phone\n")
    return folder / "shop.yaml"


@pytest.mark.parametrize(("method", "settings"), variants())
def test_an_interrupted_run_on_files_ends_with_the_same_bits(
    runs: Path, data_root: Path, shop: Path, method: str, settings: dict[str, Any]
) -> None:
    one = Sandbox(method, runs, data_root, dataset=str(shop), setting="S-P", hyperparameters=settings)
    assert one.run(Track.LABELLED).result is not None, one.run(Track.LABELLED).error
    assert checks.resumption(one) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", NAMES)
def test_every_hyperparameter_changes_the_training(bench: Callable[[str], Sandbox], method: str) -> None:
    assert checks.idle_settings(bench(method)) == []


def test_gains_are_measured_against_one_baseline() -> None:
    assert [name for name in NAMES if registry.load_method(name).card.role == "baseline"] == ["finetune"]
