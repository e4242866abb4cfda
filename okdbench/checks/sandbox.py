"""The sandbox of the checks: runs of one method with tiny networks on bundled images, each made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from okdbench import registry
from okdbench.checks.guards import BudgetGuard, Interrupter, RandomGuard, StudentPath, TeacherGuard, TermGuard
from okdbench.checks.hidden_state import HiddenState
from okdbench.checks.observer import CPU, Observer, Result, launch, scrambled
from okdbench.core import plugins
from okdbench.core.config import check_hyperparameters
from okdbench.core.errors import UserError
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import TaskKind, settings_of
from okdbench.data.splits import SplitCache, Splits
from okdbench.distill.card import BaseHyperparameters
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.results.records import Record
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import teacher_of
from okdbench.training.trial import check

#: a residual network with batch norm, 0.4 million parameters
TINY = "test_resnet"
BUDGET = "smoke"
#: labels per class in the semi track
SHOTS = 2
#: about as many images are evaluated on: the checks compare weights, and evaluations would take half of their time
EVALUATED = 64


class Case(NamedTuple):
    """A task and a track in which a method is checked."""

    task: TaskKind
    track: Track

    def __str__(self) -> str:
        return f"{self.track} track" if self.task is TaskKind.ADAPT else f"task {self.task}"


@dataclass
class Run:
    """One observed run: its result or the exception that ended it, and its observers."""

    terms: TermGuard
    random: RandomGuard
    teacher: TeacherGuard
    budget: BudgetGuard
    path: StudentPath = field(default_factory=StudentPath)
    hidden: HiddenState = field(default_factory=HiddenState)
    result: Result | None = None
    error: Exception | None = None

    @property
    def observers(self) -> list[Observer]:
        """All observers; the budget guard is last because it may stop the run."""
        return [self.terms, self.random, self.teacher, self.path, self.hidden, self.budget]


class Sandbox:
    """Runs of one method in a folder of their own.

    Args:
        method: a name or a path.
        folder: for runs and teachers.
        data_root: the data folder; the default one if it is None.
        options: fields of :class:`okdbench.core.config.RunConfig` that replace those of the sandbox.


    Raises:
        UserError: there is no such method, or no data set is bundled.
    """

    def __init__(self, method: str, folder: Path, data_root: Path | None = None, **options: Any) -> None:
        self.given, self.folder = method, folder
        self.method = registry.load_method(method)
        self._data_root, self._splits = data_root, SplitCache()
        pair = {"teacher": TINY, "student": TINY, "budget": BUDGET, "device": "cpu"}
        self._options = {"dataset": options.get("dataset") or _bundled_dataset(), **pair, **options}
        self._runs: dict[tuple[Case, str], Run] = {}

    @property
    def cases(self) -> list[Case]:
        """The tasks and tracks that the card names."""
        card = self.method.card
        return [Case(task, track) for task in card.tasks for track in tracks_of(task) if track in card.tracks]

    @property
    def running(self) -> list[Case]:
        """The cases in which its run is completed."""
        return [case for case in self.cases if self.run(case).result]

    def plan(self, case: Case, settings: dict[str, Any] | None = None) -> Plan:
        """The plan of a run in this case; ``settings`` are hyper-parameters that override those of the options."""
        declared = registry.load_dataset(self._options["dataset"]).settings
        given = [self._options["setting"]] if "setting" in self._options else declared
        shots = SHOTS if case.track is Track.SEMI else None
        values = {
            "method": self.given,
            "setting": settings_of(case.task, given)[0],
            "track": case.track,
            "shots": shots,
        }
        plan = make_plan({**self._options, **values}, data_root=self._data_root, load=self._splits)
        plan = replace(plan, splits=with_few_evaluated(plan.splits))
        return replace(plan, hyperparameters=self.hyperparameters(settings)) if settings else plan

    def hyperparameters(self, settings: dict[str, Any]) -> BaseHyperparameters:
        """The method's hyper-parameters in these runs.

        Raises:
            UserError: ``settings`` has an unknown name or a value out of range.
        """
        preset = self.method.presets.get(BUDGET, {})
        given = {**self._options.get("hyperparameters", {}), **settings}
        return check_hyperparameters(self.method.Hyperparameters, preset, given, self.given)

    def teacher(self, plan: Plan) -> ClassifierWrapper:
        """The teacher of a plan, read from its file; it is trained once."""
        return teacher_of(plan, self.folder, CPU, quiet)

    def run(self, case: Case, settings: dict[str, Any] | None = None) -> Run:
        """The observed run in this case; made once."""
        key = (case, str(settings or {}))
        if key not in self._runs:
            self._runs[key] = self._observe(self.plan(case, settings))
        return self._runs[key]

    def record(self, case: Case) -> tuple[Record, Path]:
        """The record of a run in this case that the runner made, and its folder."""
        plan = self.plan(case)
        with scrambled(2):  # another state than in the observed run
            return execute(plan, self.folder, quiet), self.folder / plan.key

    def interrupted(self, case: Case) -> Result:
        """The result of the same run, interrupted once in the middle of each stage.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C. Exceptions of the run pass through as well.
        """
        plan, interrupter, folder = self.plan(case), Interrupter(), self._new_folder()
        with scrambled(1):
            while True:
                before = len(interrupter.seen)
                try:
                    # networks and method are new each time, so only the checkpoint carries state over
                    return launch(plan, self.teacher(plan), folder, [interrupter])
                except KeyboardInterrupt:
                    if len(interrupter.seen) == before:  # Ctrl-C of the user, not of the interrupter
                        raise

    def changed(self, case: Case, change: Callable[[Splits], Splits]) -> Result:
        """The result of the same run on changed splits, with the same teacher."""
        plan = self.plan(case)
        with scrambled(1):
            return launch(replace(plan, splits=change(plan.splits)), self.teacher(plan), self._new_folder())

    def follow(self, case: Case, usual: Run, settings: dict[str, Any]) -> Result:
        """The result of a run with other hyper-parameters.

        Args:
            case: task and track of the run.
            usual: the run to compare each step with.
            settings: the other hyper-parameters.

        Raises:
            Diverged: its student differs from that of ``usual``; the remaining steps were not run.
        """
        plan = self.plan(case, settings)
        # evaluations change no weights, and only weights are compared here
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
                # kept, because several checks examine how a run ended
                run.error = error
        return run

    def _new_folder(self) -> Path:
        return self.folder / "observed" / str(len(list(self.folder.glob("observed/*"))))


def with_few_evaluated(splits: Splits) -> Splits:
    """The same images to train on, and about :data:`EVALUATED` of each part to evaluate on."""
    parts = {name: part for name, part in vars(splits).items() if name in ("val", "test", "teacher_test")}
    few = {name: part.take(np.arange(0, len(part), 1 + len(part) // EVALUATED)) for name, part in parts.items()}
    return replace(splits, **few)


def _bundled_dataset() -> str:
    for name in plugins.dataset_names():
        # so that a check downloads nothing
        if registry.load_dataset(name).bundled:
            return name
    raise UserError("no data set is bundled; name one with --dataset")
