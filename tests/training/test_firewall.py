"""What a method must not see cannot change its student: the test replaces it by noise and compares the weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.protocol import Track
from okdbench.data.images import Images
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import clone_state
from okdbench.training.history import History
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint

CPU = torch.device("cpu")


def noise(images: Images) -> Images:
    """As many images, with random pixels and permuted labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, images.pixels.shape, dtype=np.uint8)
    return Images(pixels, rng.permutation(images.labels), images.paths)


def other_labels(images: Images) -> Images:
    return Images(images.pixels, np.roll(images.labels, 1) * 7 % 10, images.paths)


def train(plan: Plan, folder: Path) -> tuple[str, str, History]:
    """Fingerprints of the selected and the last student of a run with a fixed teacher, and its history."""
    torch.manual_seed(5)
    net = build_classifier("test_resnet", 10, 32)
    teacher = ClassifierWrapper(net, Normaliser(plan.dataset.mean, plan.dataset.std)).lock()
    folder.mkdir()
    trial = Trial(plan, teacher, folder, CPU, quiet)
    history = trial.run()
    return fingerprint(history.selected_state), fingerprint(clone_state(trial.answer)), history


def methods_and_tracks() -> list[tuple[str, Track]]:
    names = plugins.method_names()
    return [(name, track) for name in names for track in registry.load_method(name).card.tracks]


@pytest.mark.parametrize(("method", "track"), methods_and_tracks())
def test_noise_in_hidden_splits_changes_no_student(
    plan: Callable[..., Plan], tmp_path: Path, method: str, track: Track
) -> None:
    real = plan(method, track=track)
    splits = real.splits
    hidden = replace(
        splits,
        student_test=noise(splits.student_test),
        teacher_train=noise(splits.teacher_train),
        teacher_test=noise(splits.teacher_test),
    )
    selected, last, history = train(real, tmp_path / "real")
    noisy_selected, noisy_last, noisy_history = train(replace(real, splits=hidden), tmp_path / "noise")
    assert (selected, last) == (noisy_selected, noisy_last)
    # the noise was really evaluated: otherwise this test could not fail
    assert [e.test for e in history.evaluations] != [e.test for e in noisy_history.evaluations]


@pytest.mark.parametrize(("method", "track"), methods_and_tracks())
def test_validation_labels_change_the_selection_at_most(
    plan: Callable[..., Plan], tmp_path: Path, method: str, track: Track
) -> None:
    real = plan(method, track=track)
    changed = replace(real.splits, student_val=other_labels(real.splits.student_val))
    _, last, history = train(real, tmp_path / "real")
    _, changed_last, changed_history = train(replace(real, splits=changed), tmp_path / "changed")
    assert last == changed_last
    if (
        history.evaluations[-1].test.macro_f1 > 5
    ):  # a network that predicts one class has the same accuracy with any labels
        assert [e.val_acc for e in history.evaluations] != [e.val_acc for e in changed_history.evaluations]


def test_a_task_reaches_no_images(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan("kd")
    teacher = ClassifierWrapper(build_classifier("test_resnet", 10, 32), Normaliser((0.5,) * 3, (0.5,) * 3)).lock()
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
