"""What holds for every method there is; a new file is tested without an edit here."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from trees import grow, official

from okdbench import registry
from okdbench.api import Losses, Stage
from okdbench.engine import Engine
from okdbench.learners import clone_state
from okdbench.plan import Plan
from okdbench.progress import quiet
from okdbench.protocol import BUDGETS, Track
from okdbench.runner import execute, fingerprint
from okdbench.teacher import TeacherShop
from okdbench.trial import Trial, normaliser

CPU = torch.device("cpu")
NAMES = registry.method_names()
CELLS = [(name, track) for name in NAMES for track in registry.load_method(name).card.tracks]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize(("method", "track"), CELLS)
def test_a_smoke_run_is_done_within_its_budget_and_repeats_bit_by_bit(
    plan: Callable[..., Plan], runs: Path, tmp_path: Path, method: str, track: Track
) -> None:
    one = execute(plan(method, track=track), runs, quiet)
    assert one.status == "done", one.traceback
    assert one.cost.traffic["student"].learned <= BUDGETS["smoke"].student_images
    again = execute(plan(method, track=track), tmp_path, quiet)
    assert again.comparable() == one.comparable()
    assert one.selected is not None
    assert one.oracle is not None
    assert one.oracle.test.acc == max(e.test.acc for e in one.evaluations)
    chosen = [e.val_acc for e in one.evaluations].index(max(e.val_acc for e in one.evaluations))
    assert one.selected.evaluation == one.evaluations[chosen if track is Track.LABELLED else -1]


@pytest.mark.parametrize("method", NAMES)
def test_the_seed_matters_where_something_is_trained(plan: Callable[..., Plan], runs: Path, method: str) -> None:
    one, other = (execute(plan(method, seed=seed), runs, quiet) for seed in (0, 1))
    if one.cost.traffic["student"].learned:
        assert one.fingerprints != other.fingerprints


@pytest.mark.parametrize(("method", "track"), CELLS)
def test_the_teacher_is_untouched(
    plan: Callable[..., Plan], runs: Path, tmp_path: Path, method: str, track: Track
) -> None:
    made = plan(method, track=track)
    shop = TeacherShop(runs / "teachers", CPU, nullcontext, quiet)
    teacher = shop.get(made.config, made.material, 10, False, normaliser(made, CPU))
    before = fingerprint(clone_state(teacher))
    trial = Trial(made, teacher, tmp_path, CPU, quiet)
    trial.run()
    assert fingerprint(clone_state(teacher)) == before
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not teacher.training


def variants() -> list[Any]:
    """Every method as it is, and with each group of settings that some of its hyper-parameters need."""
    found = []
    for name in NAMES:
        extras = [f.json_schema_extra for f in registry.load_method(name).Hyperparameters.model_fields.values()]
        needed = [dict(extra["when"]) for extra in extras if isinstance(extra, dict) and extra.get("when")]
        found += [(name, settings) for settings in [{}, *needed]]
    cells = [cell for index, cell in enumerate(found) if cell not in found[:index]]
    return [pytest.param(*cell, marks=pytest.mark.slow if cell[1] else ()) for cell in cells]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of files: two domains of twelve classes."""
    folder = tmp_path_factory.mktemp("shop")
    grow(folder, official({domain: dict.fromkeys("abcdefghijkl", 10) for domain in ("studio", "phone")}))
    (folder / "shop.yaml").write_text("domains:\n  studio: studio\n  phone: phone\n")
    return folder / "shop.yaml"


@pytest.mark.parametrize(("method", "settings"), variants())
def test_an_interrupted_run_on_files_ends_with_the_same_bits(
    plan: Callable[..., Plan],
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    settings: dict[str, Any],
) -> None:
    made = plan(method, dataset=str(shop), setting="S-P", hyperparameters=settings)
    whole = execute(made, tmp_path / "whole", quiet)
    assert whole.status == "done", whole.traceback
    shutil.copytree(tmp_path / "whole" / "teachers", tmp_path / "cut" / "teachers")
    seen: set[str] = set()
    do_step = Engine._do_step

    def interrupted(engine: Engine, stage: Stage, *rest: Any) -> Losses:
        if engine._step >= stage.steps // 2 and stage.name not in seen:
            seen.add(stage.name)
            os.kill(os.getpid(), signal.SIGINT)
        return do_step(engine, stage, *rest)

    monkeypatch.setattr(Engine, "_do_step", interrupted)
    for _ in whole.stages:
        if method != "teacher":
            with pytest.raises(KeyboardInterrupt):
                execute(made, tmp_path / "cut", quiet)
    record = execute(made, tmp_path / "cut", quiet)
    assert seen == set(whole.stages) or method == "teacher"
    assert record.comparable() == whole.comparable()


@pytest.mark.parametrize("method", NAMES)
def test_the_card_tells_what_a_reader_must_know(method: str) -> None:
    found = registry.load_method(method)
    assert found.card.title
    assert found.card.reads
    assert found.card.url or found.card.role == "reference"
    assert all(field.description for field in found.Hyperparameters.model_fields.values())
    switches = {name for name in found.Hyperparameters.model_fields if name.startswith("legacy_")}
    assert switches == {deviation.switch for deviation in found.deviations() if deviation.switch}
    assert all(found.Hyperparameters.model_fields[name].default is False for name in switches)
    assert set(found.presets) <= set(BUDGETS)


def test_gains_are_counted_from_one_baseline() -> None:
    assert [name for name in NAMES if registry.load_method(name).card.role == "baseline"] == ["finetune"]
