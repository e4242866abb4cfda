"""Fixtures: a data root for the session, one for a test, a seed, and plans small enough to run in a second."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from support.tiny_task import PAIR

from okdbench.checks.sandbox import with_few_evaluated
from okdbench.training.plan import Plan, make_plan

torch.set_num_threads(1)
# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# Every run ends with a collection, which need not look at the libraries again.
gc.freeze()


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all workers: the second finds the digits that the first has made."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "data"
    root.mkdir(exist_ok=True)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root of one test, which does not exist yet."""
    return tmp_path / "data root"


@pytest.fixture
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def double() -> Iterator[None]:
    """float64 where no type is named: new weights, and tensors made of numbers."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def plan(data_root: Path) -> Callable[..., Plan]:
    """make_plan() with defaults: the digits' pair of networks on them with budget smoke."""

    def make(method: str = "augkd", **options: Any) -> Plan:
        usual = {"dataset": "digits", "setting": "MO-P", "budget": "smoke", **PAIR}
        return make_plan({**usual, "method": method, "device": "cpu", **options}, data_root=data_root)

    return make


@pytest.fixture(scope="session")
def light_plan(plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """The same with few images to evaluate on, which halves the time of a run; no command line has its keys."""

    def make(method: str = "augkd", **options: Any) -> Plan:
        made = plan(method, **options)
        return replace(made, splits=with_few_evaluated(made.splits))

    return make
