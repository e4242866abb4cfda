"""The contract of okdbench.checks for every method in the tree; a new method file needs no edit here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.cases import all_cases, all_methods, one_per_task, options_of
from support.dataset_trees import grow, official
from support.tiny_task import PAIR

from okdbench import registry
from okdbench.checks import CHECKS, Sandbox, checks
from okdbench.checks.hyperparameters import needed
from okdbench.checks.sandbox import Case
from okdbench.core import plugins
from okdbench.core.protocol import Track
from okdbench.core.settings import TaskKind
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

NAMES = plugins.method_names()
#: slow for those whose steps are those of ltr and of augkd's first stage, with other losses
LIKE_OTHERS = {"replay", "pre", "dfkd", "mad", "dfad", "dfq"}
CASES = all_cases(usual=set(NAMES) - LIKE_OTHERS)
#: the others: tests/training/test_firewall.py withholds more, and hyper-parameters are tried in a slow test below
CONTRACT = [check for check in CHECKS if check.find not in (checks.withheld, checks.idle_settings)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def bench(runs: Path, data_root: Path) -> Callable[[str], Sandbox]:
    """A sandbox for each method; all share their teachers."""
    made: dict[str, Sandbox] = {}
    task = {"dataset": "digits", "setting": "MO-P", **PAIR}
    return lambda method: made.setdefault(method, Sandbox(method, runs, data_root, **task))


@pytest.mark.parametrize(("method", "case"), CASES)
def test_a_method_keeps_the_contract(bench: Callable[[str], Sandbox], method: str, case: Case) -> None:
    one = bench(method)
    with only([case]):
        assert {check.title: found for check in CONTRACT if (found := check.find(one))} == {}


@contextmanager
def only(cases: list[Case]) -> Iterator[None]:
    """Check these cases alone."""
    with mock.patch.object(Sandbox, "cases", cases):
        yield


@pytest.mark.parametrize(("method", "case"), CASES)
def test_the_record_names_the_step_that_the_protocol_chooses(
    bench: Callable[[str], Sandbox], method: str, case: Case
) -> None:
    record, _ = bench(method).record(case)
    assert (record.task, record.track) == (case.task, case.track)
    assert record.selected is not None
    assert record.oracle is not None
    assert record.oracle.test.acc == max(e.test.acc for e in record.evaluations)
    scores = [e.val_acc for e in record.evaluations]
    assert (None in scores) == (case.task is not TaskKind.ADAPT)
    chosen = -1 if case.track is Track.LABEL_FREE else scores.index(max(scores))  # type: ignore[type-var]
    assert record.selected.evaluation == record.evaluations[chosen]


def variants() -> list[Any]:
    """Every method with its defaults, and with each group of settings that some of its hyper-parameters need."""
    found = []
    for name in NAMES:
        groups = [needed(field) for field in registry.load_method(name).Hyperparameters.model_fields.values()]
        found += [(name, settings) for settings in [{}, *groups]]
    cells = [cell for index, cell in enumerate(found) if cell not in found[:index]]
    # how files are read does not depend on the method, and the contract above resumes every one
    return [pytest.param(*cell, marks=() if cell == ("augkd", {}) else pytest.mark.slow) for cell in cells]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set: two domains of twelve classes."""
    folder = tmp_path_factory.mktemp("shop")
    grow(folder, official({domain: dict.fromkeys("abcdefghijkl", 10) for domain in ("studio", "phone")}))
    (folder / "shop.yaml").write_text("domains:\n  studio: studio\n  phone: phone\n")
    return folder / "shop.yaml"


@pytest.mark.parametrize("method", all_methods())
def test_a_method_runs_on_an_own_folder_in_each_task(
    light_plan: Callable[..., Plan], runs: Path, shop: Path, method: str
) -> None:
    settings = {TaskKind.ADAPT: "S-P", TaskKind.TRANSFER: "S@P", TaskKind.DATA_FREE: "S"}
    for case in one_per_task(method):
        options = options_of(case) | {"setting": settings[case.task], "dataset": str(shop)}
        record = execute(light_plan(method, **options), runs, quiet)
        assert record.status == "done", record.error


@pytest.mark.parametrize(("method", "settings"), variants())
def test_an_interrupted_run_on_files_ends_with_the_same_bits(
    runs: Path, data_root: Path, shop: Path, method: str, settings: dict[str, Any]
) -> None:
    one = Sandbox(method, runs, data_root, dataset=str(shop), setting="S-P", hyperparameters=settings)
    with only(one_per_task(method)):
        # a variant that needs labels is refused in task transfer
        assert [case.task for case in one.running] == [
            case.task for case in one.cases if case.task is TaskKind.ADAPT or settings != {"form": "joint"}
        ]
        assert checks.resumption(one) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", NAMES)
def test_a_method_reads_nothing_that_is_withheld(bench: Callable[[str], Sandbox], method: str) -> None:
    assert checks.withheld(bench(method)) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", NAMES)
def test_every_hyperparameter_changes_the_training(bench: Callable[[str], Sandbox], method: str) -> None:
    assert checks.idle_settings(bench(method)) == []


def test_gains_are_measured_against_one_baseline() -> None:
    assert [name for name in NAMES if registry.load_method(name).card.role == "baseline"] == ["finetune"]
