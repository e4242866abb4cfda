"""Methods that break a rule: each typical mistake is reported with its line, its meaning and its fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.toy_model import Tiny

from okdbench.checks import CHECKS, Finding, Sandbox, checks
from okdbench.checks.observer import Watched
from okdbench.core.protocol import BUDGETS

TEMPLATES = Path(__file__).parents[2] / "okdbench" / "cli" / "templates"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def bench(shared: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sandbox]:
    """A sandbox for the template with some of its text replaced, in one case, for 10 steps; all share one teacher."""
    monkeypatch.setitem(BUDGETS, "smoke", replace(BUDGETS["smoke"], student_images=160))

    def make(*changes: tuple[str, str]) -> Sandbox:
        text = (TEMPLATES / "method.py").read_text()
        text = text.replace("(Track.LABELLED, Track.LABEL_FREE)", "(Track.LABEL_FREE,)")
        text = text.replace("(TaskKind.ADAPT, TaskKind.TRANSFER)", "(TaskKind.ADAPT,)")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "mine.py").write_text(text)
        return Sandbox(str(tmp_path / "mine.py"), shared, data_root, dataset="digits", setting="MO-P")

    return make


def line_of(bench: Sandbox, text: str) -> str:
    """``mine.py:31``: the first line that contains ``text``."""
    lines = Path(bench.given).read_text().splitlines()
    return f"mine.py:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    assert finding.found
    assert finding.means
    assert finding.cure
    return finding


STEP = "        noise = self.hp.noise * self.task.noise(*batch.images.shape)\n"
SETUP = "    def setup(self) -> None:\n"
IMPORT = "from okdbench.api import BaseHyperparameters"


@pytest.mark.slow
def test_the_template_keeps_all_rules(shared: Path, data_root: Path) -> None:
    one = Sandbox(str(TEMPLATES / "method.py"), shared, data_root)
    assert list(map(str, one.cases)) == ["labelled track", "label-free track", "task transfer"]
    assert {check.title: check.find(one) for check in CHECKS} == {check.title: [] for check in CHECKS}


SEEDS = {
    "torch.manual_seed(0)": ("", SETUP, "setup(): torch.manual_seed(0) was called"),
    "random.random()": ("import random\n", STEP, "stage 'distil', step 0: the method draws from Python's random"),
    "np.random.seed(1)": ("import numpy as np\n", SETUP, "setup(): the method draws from numpy.random, or seeds it"),
    "torch.rand(3)": ("", STEP, "stage 'distil', step 0: the method draws from torch's global generator"),
}


@pytest.mark.parametrize("code", SEEDS)
def test_a_global_random_source_is_named_with_its_line(bench: Callable[..., Sandbox], code: str) -> None:
    extra, before, complaint = SEEDS[code]
    one = bench((IMPORT, f"{extra}import torch\n\n{IMPORT}"), (before, f"{before}        {code}\n"))
    finding = only(checks.randomness(one))
    assert complaint in finding.found
    assert f"({line_of(one, code)})" in finding.found
    assert "self.task.rng" in finding.cure or "delete this line" in finding.cure


def test_a_generator_without_the_runs_seed_is_reported(bench: Callable[..., Sandbox]) -> None:
    one = bench(
        (IMPORT, f"import numpy as np\n{IMPORT}"),
        ("self.hp.noise * ", "self.hp.noise * np.random.default_rng().uniform() * "),
    )
    finding = only(checks.repetition(one))
    assert "two runs with the same seed differ: first in stage 'distil', step 0: 'kl' is" in finding.found
    assert line_of(one, "default_rng") in finding.cure


def test_state_that_is_not_registered_is_named(bench: Callable[..., Sandbox]) -> None:
    one = bench(
        (IMPORT, f"import torch\n\n{IMPORT}"),
        (SETUP, f"{SETUP}        self.running = torch.zeros(())\n"),
        ("        self.learner.update(loss)", "        self.running = 0.9 * self.running + loss.detach()\n"
         "        loss = loss + loss / (1 + self.running)\n        self.learner.update(loss)"),
    )  # fmt: skip
    assert checks.repetition(one) == []
    finding = only(checks.resumption(one))
    assert "a resumed run differs: first in stage 'distil', step 6: 'kl' is" in finding.found
    assert "self.running changed in the run and is in no checkpoint" in finding.found
    assert "self.state[name]" in finding.cure


TEACHER = {
    "next(self.teacher.parameters()).add_(0.01)": "weights of the teacher have changed, net.conv1.0.weight first",
    "self.teacher.net.train()": "set to train mode: its buffer net.conv1.1.running_mean has changed",
    "self.teacher.requires_grad_(True)": "the teacher was unfrozen",
}


@pytest.mark.parametrize("code", TEACHER)
def test_a_changed_teacher_is_reported(bench: Callable[..., Sandbox], code: str) -> None:
    finding = only(checks.teacher(bench((STEP, f"{STEP}        {code}\n"))))
    assert finding.found.startswith("stage 'distil', step 0: ")
    assert TEACHER[code] in finding.found


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ('{"kl": loss, "size": loss.log() * 0 / 0}', "stage 'distil', step 0: the loss term 'size' is nan"),
        ('{"kl": loss.item()}', "the step returns kl a float"),
        ('{"kl": teacher_logits}', "the step returns kl a tensor of shape (16, 10)"),
        ("loss", "the step returns no dictionary, but a tensor"),
    ],
)
def test_a_loss_that_is_not_finite_is_reported(bench: Callable[..., Sandbox], result: str, complaint: str) -> None:
    one = bench(('{"kl": loss}', result))
    assert complaint in only(checks.terms(one)).found
    assert checks.runs(one) == [], "it is reported once"


def test_a_hyperparameter_without_effect_is_named(bench: Callable[..., Sandbox]) -> None:
    finding = only(checks.idle_settings(bench(("self.hp.noise * self", "0.1 * self"))))
    assert "the hyper-parameter 'noise' changes nothing" in finding.found
    assert "noise=0.1, noise=0.15" in finding.found
    assert "no line of mine.py reads self.hp.noise" in finding.found


def test_a_switch_that_nothing_reads_is_named(bench: Callable[..., Sandbox]) -> None:
    switch = "        legacy_fault: bool = legacy('a bug', 'fixed')\n\n    hp: Hyperparameters"
    unread = (("\n    hp: Hyperparameters", switch), ("adam, hyper", "adam, hyper, legacy"))
    finding = only(checks.idle_settings(bench(*unread)))
    assert "'legacy_fault' changes nothing" in finding.found
    rare = ("loss = kl(teacher_logits, self.student(images))", "loss = kl(teacher_logits, self.student(images))\n"
            "        if self.hp.legacy_fault and loss > 1e9:\n            loss = 2 * loss")  # fmt: skip
    assert checks.idle_settings(bench(*unread, rare)) == []


LABELS = {
    'data="images"': ('data="labelled"', "stage 'distil' of"),
    "return {": ("batch.labels.sum()\n        return {", "labels are withheld"),
    "loss = kl(teacher_logits": (
        "import sys\n        frame = sys._getframe()\n"
        "        while not hasattr(frame.f_locals.get('self'), '_loss_log'):\n"
        "            frame = frame.f_back\n        loop = frame.f_locals['self']\n"
        "        known = loop._config.stream.__self__.plan.splits.train.labels\n"
        "        loss = (1 + float(known[:99].mean())) * kl(teacher_logits",
        "with permuted labels the student is another one",
    ),
}


@pytest.mark.parametrize("old", LABELS)
def test_labels_in_the_label_free_track_are_reported(bench: Callable[..., Sandbox], old: str) -> None:
    new, complaint = LABELS[old]
    one = bench((old, new))
    finding = only(checks.withheld(one))
    assert complaint in finding.found
    assert "leave it out of the card's tasks or tracks" in finding.cure
    if "withheld" in complaint:
        assert line_of(one, "batch.labels") in finding.found


def test_exceeding_the_budget_or_hiding_training_is_reported(bench: Callable[..., Sandbox]) -> None:
    steps = "self.task.student_images // self.task.batch_size"
    finding = only(checks.budget(bench((steps, f"1000 * {steps}"))))
    assert "step 10 of 10000: the student has been trained on 176 images; the budget has 160" in finding.found
    around = "for p in self.student.parameters():\n            p.data.mul_(0.99)"
    assert "trained without its learner" in only(checks.budget(bench(("self.learner.update(loss)", around)))).means


def test_a_crash_is_reported_with_its_line(bench: Callable[..., Sandbox]) -> None:
    one = bench(
        (
            "loss = kl(teacher_logits, self.student(images))",
            "loss = kl(teacher_logits, self.student(images)) + self.lost",
        )
    )
    assert f"{line_of(one, 'self.lost')}: AttributeError" in only(checks.runs(one)).found


def test_an_incomplete_card_is_reported(bench: Callable[..., Sandbox]) -> None:
    gaps = (('venue="unpublished"', 'venue="ICLR"'), ("hyper(0.1,", "0.1 #"), (", ge=0, le=1)", ""))
    found = [finding.found for finding in checks.card_gaps(bench(*gaps))]
    assert found == ["the card: url is empty", "the card: the hyper-parameter 'noise' is not described"]


def test_a_watched_trainable_is_a_whole_trainable() -> None:
    inner = Tiny(one=1)
    watched = Watched(inner, [])
    watched.place("extra", torch.nn.Linear(1, 1))
    assert "extra" in inner.state
