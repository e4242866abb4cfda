"""What a method must not see cannot change its student: the test replaces it by noise and compares the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.cases import KINDS, all_cases, options_of
from support.hidden_images import noise, other_labels

from okdbench import registry
from okdbench.checks.checks import permuted
from okdbench.checks.sandbox import Case
from okdbench.core.protocol import Track
from okdbench.data.images import Images
from okdbench.data.splits import Splits
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import clone_state
from okdbench.training.history import History
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.trial import Trial, WithheldError, check
from okdbench.training.weights_hash import fingerprint

CPU = torch.device("cpu")


def train(plan: Plan, folder: Path) -> tuple[str, str, History]:
    """Fingerprints of the selected and the last student of a run with a fixed teacher, and its history."""
    torch.manual_seed(5)
    net = build_classifier("test_resnet", 10, 32, channels=1)
    teacher = ClassifierWrapper(net, Normaliser(plan.dataset.mean, plan.dataset.std)).lock()
    folder.mkdir()
    trial = Trial(plan, teacher, folder, CPU, quiet)
    history = trial.run()
    return fingerprint(history.selected_state), fingerprint(clone_state(trial.answer)), history


def without_what_is_withheld(plan: Plan) -> Splits:
    """The splits of a run after its teacher has been trained, with noise in place of everything that is withheld."""
    splits = plan.splits
    hidden = {"test": noise(splits.test), "teacher_test": noise(splits.teacher_test)}
    if plan.method.card.role != "privileged":
        hidden["teacher_train"] = noise(splits.teacher_train)
    if plan.track is Track.LABEL_FREE:
        hidden |= {"val": noise(splits.val), "train": other_labels(splits.train)}
    if plan.track is Track.SEMI:
        hidden["train"] = permuted(splits, plan.access.labelled.paths).train
        assert (hidden["train"].labels != splits.train.labels).mean() > 0.5
    return replace(splits, **hidden)


@pytest.mark.parametrize(("method", "case"), all_cases(usual=KINDS))
def test_noise_in_place_of_what_is_withheld_changes_no_student(
    light_plan: Callable[..., Plan], tmp_path: Path, method: str, case: Case
) -> None:
    real = light_plan(method, **options_of(case))
    selected, last, history = train(real, tmp_path / "real")
    hidden = replace(real, splits=without_what_is_withheld(real))
    noisy_selected, noisy_last, noisy_history = train(hidden, tmp_path / "noise")
    assert (selected, last) == (noisy_selected, noisy_last)
    # the noise was really evaluated: otherwise this test could not fail
    assert [e.test for e in history.evaluations] != [e.test for e in noisy_history.evaluations]
    if case.track is not Track.LABEL_FREE:
        validation_labels_change_the_selection_at_most(real, tmp_path, last, history)


def validation_labels_change_the_selection_at_most(real: Plan, folder: Path, last: str, history: History) -> None:
    changed = replace(real.splits, val=other_labels(real.splits.val))
    _, changed_last, changed_history = train(replace(real, splits=changed), folder / "changed")
    assert last == changed_last
    if (
        history.evaluations[-1].test.macro_f1 > 5
    ):  # a network that predicts one class has the same accuracy with any labels
        assert [e.val_acc for e in history.evaluations] != [e.val_acc for e in changed_history.evaluations]


@pytest.mark.parametrize(
    "method", ["finetune", "kd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mosaickd", "dafl"))]
)
def test_images_beyond_the_labelled_ones_change_nothing_in_the_labelled_track(
    light_plan: Callable[..., Plan], tmp_path: Path, method: str
) -> None:
    real = light_plan(method, track="labelled", shots=2)
    chosen = np.isin(real.splits.train.paths, real.access.labelled.paths)
    assert chosen.sum() == 20
    pixels = noise(real.splits.train).pixels
    pixels[chosen] = real.splits.train.pixels[chosen]
    hidden = replace(real, splits=replace(real.splits, train=replace(real.splits.train, pixels=pixels)))
    assert train(real, tmp_path / "real")[:2] == train(hidden, tmp_path / "noise")[:2]


@pytest.mark.parametrize("method", ["kd", "mosaickd"])
def test_the_semi_track_uses_its_unlabelled_images(
    light_plan: Callable[..., Plan], tmp_path: Path, method: str
) -> None:
    real = light_plan(method, track="semi", shots=2)
    few = replace(real, splits=replace(real.splits, train=real.access.labelled))
    assert train(real, tmp_path / "all")[1] != train(few, tmp_path / "labelled")[1]


def test_only_privileged_rows_see_the_teachers_images(light_plan: Callable[..., Plan], tmp_path: Path) -> None:
    real = light_plan("original", setting="MO")
    other = replace(real, splits=replace(real.splits, teacher_train=noise(real.splits.teacher_train)))
    assert train(real, tmp_path / "real")[1] != train(other, tmp_path / "noise")[1]
    with pytest.raises(WithheldError, match="which only a row of role privileged may"):
        check(replace(real, method=Unprivileged))


class Unprivileged(registry.load_method("original")):  # type: ignore[misc]
    card = replace(registry.load_method("original").card, role="reference")


def test_a_task_reaches_no_images(light_plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = light_plan("kd")
    teacher = ClassifierWrapper(build_classifier("test_resnet", 10, 32, channels=1), Normaliser((0.5,), (0.5,))).lock()
    task = Trial(made, teacher, tmp_path, CPU, quiet).method.task
    # everything that can be reached from the task through attributes and containers
    seen: set[int] = set()
    todo: list[object] = [getattr(task, name) for name in task.__dataclass_fields__]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, str, int, float)):
            continue
        seen.add(id(thing))
        assert not isinstance(thing, (Images, np.ndarray)), thing
        assert not (isinstance(thing, torch.Tensor) and thing.dtype == torch.uint8)
        todo += list(thing.values()) if isinstance(thing, dict) else list(getattr(thing, "__dict__", {}).values())
        todo += list(thing) if isinstance(thing, (list, tuple, set)) else []
    assert len(seen) > 100
