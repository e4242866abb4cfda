"""A published table as runs: which of its numbers can be run, what each costs here, and in which order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from okdbench import registry
from okdbench.core import config as configuration
from okdbench.core import plugins, syntax
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.protocol import budget_named
from okdbench.core.settings import task_of
from okdbench.data.dataset import TeacherRecipe
from okdbench.results.published import published_numbers
from okdbench.results.table import Row, rows_of
from okdbench.training.plan import check_networks
from okdbench.training.step_time import StepTimer

#: the hyper-parameter that has a source's number of steps
STEPS = "data_free_steps"
#: fields of a run that a published number tells, besides its method
_TOLD = ("dataset", "setting", "teacher", "student")


@dataclass(frozen=True)
class PaperRow:
    """Published numbers that one row of ours answers.

    Attributes:
        config: the run, without its seed.
        numbers: the published numbers, in percent.
        source: the training that budget ``paper`` repeats.
        images: images that the student learns from in one run.
        hours: of one run on this machine, without its teacher.
        teacher_hours: of the training of its teacher.
    """

    config: RunConfig
    numbers: tuple[float, ...]
    source: str
    images: int = 0
    hours: float = 0.0
    teacher_hours: float = 0.0

    @property
    def title(self) -> str:
        """Method, setting and networks."""
        config = self.config
        method = syntax.spell_method(config.method, syntax.spell_assignments(config.hyperparameters))
        return f"{method} {config.setting} {config.teacher} -> {config.student}"


@dataclass
class PaperRows:
    """The rows of a published table, and for each reason the count of numbers that cannot be run."""

    rows: list[PaperRow] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)

    def in_order(self) -> list[PaperRow]:
        """The rows with the most published numbers for an hour first."""
        return sorted(self.rows, key=lambda row: (row.hours + row.teacher_hours) / len(row.numbers))


def paper_rows(table: str, methods: Iterable[str] = (), share: float = 1.0, device: str = "auto") -> PaperRows:
    """What can be run of the published numbers on a data set.

    Args:
        table: the data set.
        methods: only these rows; all by default.
        share: of the steps that the sources took, in (0, 1].
        device: where the runs will be.

    Raises:
        UserError: there are no published numbers on it, or not of these methods.
    """
    published, wanted = rows_of(published_numbers([table])), set(methods)
    if not published:
        known = sorted(set(published_numbers()["dataset"]))
        raise UserError(f"no published numbers on {table!r} are known; there are some on: {', '.join(known)}")
    chosen = [number for number in published if not wanted or syntax.parse_method(number["row"] or "-")[0] in wanted]
    if not chosen:
        rows = sorted({number["row"] for number in published if number["row"]})
        raise UserError(f"no published number on {table} is of {', '.join(sorted(wanted))}; known: {', '.join(rows)}")
    found, by_config = PaperRows(), dict[str, tuple[RunConfig, list[float], str]]()
    for number in chosen:
        reason, config = _config(number, share, device)
        if config is None:
            found.missing[reason] = found.missing.get(reason, 0) + 1
        else:
            by_config.setdefault(config.model_dump_json(), (config, [], reason))[1].append(number["value"])
    found.rows = [PaperRow(config, tuple(values), source) for config, values, source in by_config.values()]
    return found


def with_costs(rows: Sequence[PaperRow], device: torch.device, advance: Callable[[int], None]) -> list[PaperRow]:
    """The rows with their hours on this machine, measured on a few steps; those that a method refuses are left out.

    Args:
        rows: what to measure.
        device: where the runs will be.
        advance: called after each row.
    """
    clock, measured = _Clock(device), []
    for row in rows:
        try:
            measured.append(clock.with_cost(row))
        except UserError as error:
            print(f"okdbench: left out: {row.title}: {error}", file=sys.stderr)
        advance(1)
    return measured


def _config(number: Row, share: float, device: str) -> tuple[str, RunConfig | None]:
    """The run that a published number is of, with its source; or why there is none."""
    if not number["row"]:
        return f"okdbench has no method {number['method']}", None
    if not number["setting"] or number["dataset"] not in plugins.dataset_names():
        return f"okdbench has no such setting of {number['dataset']}", None
    name, own = syntax.parse_method(number["row"])
    method, task = registry.load_method(name), task_of(number["setting"])
    if task not in method.card.tasks:
        return f"{name} does not play task {task}", None
    paper = method.paper(number["dataset"])
    if share < 1 and (steps := paper.values.get(STEPS)):
        own |= {STEPS: max(1, round(share * steps))}
    told: dict[str, Any] = {key: number[key] for key in _TOLD} | {"hyperparameters": own, "budget": "paper"}
    told["device"] = device
    told |= {"pretrained": True} if number["pretrained"] == "true" else {}
    told |= {name: int(number[name]) for name in ("image_size", "ood_subset") if number[name]}
    config = configuration.resolve({"method": name, **told})
    try:
        check_networks(config)
    except UserError:
        return "its networks are unknown here", None
    return paper.source or "no source tells it", config


class _Clock:
    """Times each method with each pair of networks once, and each teacher once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[tuple[object, ...], float] = {}

    def with_cost(self, row: PaperRow) -> PaperRow:
        """The row with its hours.

        Raises:
            UserError: the method refuses the networks or the hyper-parameters.
        """
        config, dataset = row.config, registry.load_dataset(row.config.dataset)
        method = registry.load_method(config.method)
        paper, preset = method.paper(dataset.name), method.preset("paper", dataset.name)
        hp = configuration.check_hyperparameters(method.Hyperparameters, preset, config.hyperparameters, config.method)
        budget = replace(budget_named("paper"), batch_size=paper.batch_size)
        recipe = next(iter(dataset.teacher_recipes.values()), None)
        timer = StepTimer(config, dataset, self._device)
        networks = (config.teacher, config.student, config.image_size)
        own = (config.method, hp.model_dump_json(), task_of(config.setting), *networks)
        seconds = self._once(own, lambda: timer.method_seconds(method, hp, budget))
        # A method without stages, such as the teacher itself, trains nothing.
        images = method.images_learned(hp, budget) if seconds else 0
        teacher = self._once((config.teacher, config.image_size), lambda: timer.teacher_seconds(recipe))
        teacher_hours = _teacher_images(config, recipe) * teacher / 3600
        return replace(row, images=images, hours=images * seconds / 3600, teacher_hours=teacher_hours)

    def _once(self, key: tuple[object, ...], measure: Callable[[], float]) -> float:
        if key not in self._known:
            self._known[key] = measure()
        return self._known[key]


def _teacher_images(config: RunConfig, recipe: TeacherRecipe | None) -> int:
    dataset = registry.load_dataset(config.dataset)
    counts = getattr(dataset, "counts", {})
    size = sum(sum(counts.get(domain, {}).values()) for domain in dataset.setting(config.setting).teacher_domains)
    return recipe.epochs * size if recipe else budget_named("paper").teacher_images
