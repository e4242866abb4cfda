"""Records with stages and curves for the tests of the plots, and the texts of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from okdbench.results.loss_curves import Curve
from okdbench.results.plots import FROM_FILES, KINDS
from okdbench.results.records import Evaluation, Outcome, Record
from support.fake_records import evaluation, record

KINDS_OF_RECORDS = [kind for kind in KINDS if kind not in FROM_FILES]
LONG = "form=joint,lr_generator=0.01,an_extraordinarily_long_hyper_parameter=0.123456789"


def rich(method: str, setting: str, seed: int, acc: float, **changes: Any) -> Record:
    """A record with two stages, ten evaluations and losses with missing values."""
    stages = ["first", "second"]
    evaluations = [
        Evaluation(stage=stages[i // 5], step=i, images=10 * i, val_acc=acc * i / 9, test=evaluation(acc * i / 9).test)
        for i in range(10)
    ]
    ends = {stages[k]: Outcome(evaluation=evaluations[5 * k + 4], retention=50 - 10 * k) for k in (0, 1)}
    curve = Curve(steps=[0, 5, 9], losses={"kl": [3.0, 2.0, 1.0], "a_term": [1.0, None, 0.5]}, hashes=["a", "b", "c"])
    usual: dict[str, Any] = {"evaluations": evaluations, "stages": ends, "curves": dict.fromkeys(stages, curve)}
    return record(method, setting, seed, acc, **usual | changes)


def grid(methods: Sequence[str] = ("kd", "augkd", "finetune"), seeds: int = 3) -> list[Record]:
    """Records of every method, setting and seed; ``kd`` has the role of a reference row."""
    return [
        rich(method, setting, seed, 60 + 7 * i + 2 * seed * (-1) ** i, role="reference" if method == "kd" else "method")
        for i, method in enumerate(methods)
        for setting in ("A-C", "B-C")
        for seed in range(seeds)
    ]


def unvalidated(method: str, seed: int, acc: float, **changes: Any) -> Record:
    """A record of task transfer, where there is no validation accuracy, and the teacher's domains are the test."""
    made = rich(method, "A@C", seed, acc, task="transfer", track="label-free")
    blank = [one.model_copy(update={"val_acc": None}) for one in made.evaluations]
    ends = {name: Outcome(evaluation=blank[5 * k + 4], retention=None) for k, name in enumerate(made.stages)}
    end = Outcome(evaluation=blank[-1], retention=None)
    found = {"evaluations": blank, "stages": ends, "selected": end, "last": end, "oracle": blank[-1]}
    return made.model_copy(update=found | changes)


def texts(figure: Figure) -> list[str]:
    """All non-empty texts of a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]
