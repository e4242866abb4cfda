"""The workplace of all checks of one method: a tiny pair of networks, pictures that are at hand, runs made once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from okdbench import registry
from okdbench.checks.guards import BudgetGuard, Interrupter, RandomGuard, StudentPath, TeacherGuard, TermGuard
from okdbench.checks.hidden_state import Memory
from okdbench.checks.observer import CPU, Observer, Result, launch, scrambled
from okdbench.core import plugins
from okdbench.core.config import check_hyperparameters
from okdbench.core.errors import UserError
from okdbench.core.protocol import Track
from okdbench.data.splits import SplitCache, Splits
from okdbench.distill.card import BaseHyperparameters
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.results.records import Record
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import TeacherStore
from okdbench.training.trial import check, normaliser

#: a residual network with batch norm, 0.4 million parameters
TINY = "test_resnet"
BUDGET = "smoke"


@dataclass
class Run:
    """One observed run: what it gave, or why it stopped, and what its guards saw."""

    terms: TermGuard
    random: RandomGuard
    teacher: TeacherGuard
    budget: BudgetGuard
    path: StudentPath = field(default_factory=StudentPath)
    memory: Memory = field(default_factory=Memory)
    result: Result | None = None
    error: Exception | None = None

    @property
    def observers(self) -> list[Observer]:
        """All of them, the one that may stop the run last."""
        return [self.terms, self.random, self.teacher, self.path, self.memory, self.budget]


class Sandbox:
    """Runs of one method below ``folder``; ``options`` replace those of a usual run, see :class:`RunConfig`.

    Raises:
        UserError: there is no such method, or no data set is at hand.
    """

    def __init__(self, method: str, folder: Path, data_root: Path | None = None, **options: Any) -> None:
        self.given, self.folder = method, folder
        self.method = registry.load_method(method)
        self._data_root, self._shelf = data_root, SplitCache()
        pair = {"teacher": TINY, "student": TINY, "budget": BUDGET, "device": "cpu"}
        self._options = {"dataset": options.get("dataset") or _at_hand(), **pair, **options}
        self._runs: dict[tuple[Track, str], Run] = {}

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks that the card names."""
        return self.method.card.tracks

    @property
    def running(self) -> list[Track]:
        """The tracks in which its run comes to its end."""
        return [track for track in self.tracks if self.run(track).result]

    def plan(self, track: Track, settings: dict[str, Any] | None = None) -> Plan:
        """The plan of a run in this track, with hyper-parameters over those of the options."""
        plan = make_plan(
            {**self._options, "method": self.given, "track": track}, data_root=self._data_root, load=self._shelf
        )
        return replace(plan, hyperparameters=self.hyperparameters(settings)) if settings else plan

    def hyperparameters(self, settings: dict[str, Any]) -> BaseHyperparameters:
        """The method's hyper-parameters in these runs; UserError when they are not allowed."""
        preset = self.method.presets.get(BUDGET, {})
        given = {**self._options.get("hyperparameters", {}), **settings}
        return check_hyperparameters(self.method.Hyperparameters, preset, given, self.given)

    def teacher(self, plan: Plan) -> ClassifierWrapper:
        """The teacher of ``plan``, fresh from its file; trained once."""
        shop = TeacherStore(self.folder / "teachers", CPU, nullcontext, quiet)
        dataset = plan.dataset
        return shop.get(plan.config, plan.splits, len(dataset.classes), dataset.flip, normaliser(plan, CPU))

    def run(self, track: Track, settings: dict[str, Any] | None = None) -> Run:
        """The observed run in this track; made once."""
        key = (track, str(settings or {}))
        if key not in self._runs:
            self._runs[key] = self._observe(self.plan(track, settings))
        return self._runs[key]

    def record(self, track: Track) -> tuple[Record, Path]:
        """The record of the same run, made by the runner, and its folder."""
        plan = self.plan(track)
        with scrambled(2):
            return execute(plan, self.folder, quiet), self.folder / plan.key

    def interrupted(self, track: Track) -> Result:
        """The result of the same run, interrupted once in the middle of each stage; raises whatever it raises."""
        plan, interrupter, folder = self.plan(track), Interrupter(), self._new_folder()
        with scrambled(1):
            while True:
                before = len(interrupter.seen)
                try:
                    return launch(plan, self.teacher(plan), folder, [interrupter])
                except KeyboardInterrupt:
                    if len(interrupter.seen) == before:  # it was not ours
                        raise

    def changed(self, track: Track, change: Callable[[Splits], Splits]) -> Result:
        """The result of the same run on other material, with the same teacher."""
        plan = self.plan(track)
        with scrambled(1):
            return launch(replace(plan, splits=change(plan.splits)), self.teacher(plan), self._new_folder())

    def follow(self, track: Track, usual: Run, settings: dict[str, Any]) -> Result:
        """The result of a run with other hyper-parameters.

        Raises:
            Diverged: its student left the path of the usual one; the rest was not run.
        """
        plan = self.plan(track, settings)
        plan = replace(plan, budget=replace(plan.budget, evaluations=1))
        with scrambled(1):
            return launch(plan, self.teacher(plan), self._new_folder(), [StudentPath(usual.path)])

    def _observe(self, plan: Plan) -> Run:
        teacher = self.teacher(plan)
        with scrambled(1):
            run = Run(TermGuard(), RandomGuard(), TeacherGuard(teacher), BudgetGuard())
            try:
                check(plan)
                run.result = launch(plan, teacher, self._new_folder(), run.observers)
            except Exception as error:
                run.error = error
        return run

    def _new_folder(self) -> Path:
        return self.folder / "observed" / str(len(list(self.folder.glob("observed/*"))))


def _at_hand() -> str:
    for name in plugins.dataset_names():
        if registry.load_dataset(name).bundled:
            return name
    raise UserError("no data set comes along with its pictures; name one")
