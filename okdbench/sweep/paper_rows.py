"""A published table as runs: which of its numbers can be run, what each costs here, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from okdbench import registry
from okdbench.core import config as configuration
from okdbench.core import syntax
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.notices import say
from okdbench.core.settings import task_of
from okdbench.data.dataset import TeacherRecipe
from okdbench.results.obstacles import lacking, unmeasured
from okdbench.results.published import LENGTHS, published_numbers
from okdbench.results.table import Row, rows_of
from okdbench.training.networks import find_networks
from okdbench.training.step_time import StepTimer, plan_without_images
from okdbench.training.teacher import teacher_amount

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
        """The rows with the most published numbers for an hour first, and last those without any."""

        def cost(row: PaperRow) -> float:
            return (row.hours + row.teacher_hours) / len(row.numbers) if row.numbers else math.inf

        return sorted(self.rows, key=cost)


def paper_rows(table: str, methods: Sequence[str] = (), share: float = 1.0, device: str = "auto") -> PaperRows:
    """What can be run of the published numbers on a data set.

    Args:
        table: the data set.
        methods: only these; those without a published number get a row as well. By default all with one.
        share: of the steps, rounds and epochs that the sources took, in (0, 1].
        device: where the runs will be.

    Raises:
        UserError: there are no published numbers on it, or there is no such method.
    """
    published = rows_of(published_numbers([table]))
    if not published:
        known = sorted(set(published_numbers()["dataset"]))
        raise UserError(f"no published numbers on {table!r} are known; there are some on: {', '.join(known)}")
    found, by_config = PaperRows(), dict[str, tuple[RunConfig, list[float], str]]()
    for number in published:
        if methods and syntax.parse_method(number["row"] or "-")[0] not in methods:
            continue
        reason, config = _config(number, share, device)
        if config is None:
            found.missing[reason] = found.missing.get(reason, 0) + 1
        else:
            by_config.setdefault(config.model_dump_json(), (config, [], reason))[1].append(number["value"])
    found.rows = [PaperRow(config, tuple(values), source) for config, values, source in by_config.values()]
    listed = {syntax.parse_method(number["row"])[0] for number in published if number["row"]}
    found.rows += [_unpublished(name, table, share, device) for name in methods if name not in listed]
    return found


def with_costs(rows: Sequence[PaperRow], device: torch.device, advance: Callable[[int], None]) -> list[PaperRow]:
    """The rows with their hours on this machine, measured on a few steps; those that a method refuses are left out.

    Args:
        rows: what to measure.
        device: where the runs will be.
        advance: called after each row.
    """
    timer, measured = StepTimer(device), []
    for row in rows:
        try:
            measured.append(_with_cost(row, timer))
        except UserError as error:
            say(f"left out: {row.title}: {error}")
        advance(1)
    return measured


def _config(number: Row, share: float, device: str) -> tuple[str, RunConfig | None]:
    """The run that a published number is of, with its source; or why it can have no verdict."""
    if reasons := [*lacking(number), *unmeasured(number)]:
        return reasons[0], None
    name, own = syntax.parse_method(number["row"])
    method, task = registry.load_method(name), task_of(number["setting"])
    if task not in method.card.tasks:
        return f"{name} does not play task {task}", None
    # A method without hyper-parameters trains nothing, so there is nothing to know.
    paper = method.paper(number["dataset"])
    if not paper.source and method.Hyperparameters.model_fields:
        return f"how its source trains {name} is unknown", None
    if share < 1 and _has_no_length(name, number["dataset"]):
        return f"how long its source trains {name} is unknown, so --share has no meaning", None
    told: dict[str, Any] = {key: number[key] or None for key in (*_TOLD, "teacher_recipe")}
    told |= {"pretrained": True} if number["pretrained"] == "true" else {}
    told |= {key: int(number[key]) for key in ("image_size", "ood_subset") if number[key]}
    config = _resolved(name, {**told, "hyperparameters": own}, share, device)
    try:
        find_networks(config)
    except UserError:
        return "its networks are unknown here", None
    return paper.source or "no training of a student", config


def _unpublished(name: str, table: str, share: float, device: str) -> PaperRow:
    """The row of a method without a published number, in the last of its tasks with the data set's networks."""
    method, dataset = registry.load_method(name), registry.load_dataset(table)
    settings = [text for task in method.card.tasks for text in dataset.default_settings(task)]
    if not settings:
        raise UserError(f"{name} plays no task that {table} has default settings of; name another method")
    if share < 1 and _has_no_length(name, table):
        raise UserError(f"how long its source trains {name} is unknown; leave it or --share out")
    told = {"dataset": table, "setting": settings[-1], "teacher": dataset.teacher, "student": dataset.student}
    config = _resolved(name, told, share, device)
    return PaperRow(config, (), method.paper(table).source or "okdbench's own training")


def _lengths(name: str, dataset: str) -> dict[str, int]:
    """The numbers of steps, rounds and epochs that a source takes."""
    method = registry.load_method(name)
    paper, fields = method.paper(dataset).values, method.Hyperparameters.model_fields
    values = {key: paper.get(key, fields[key].default) for key in LENGTHS if key in fields}
    return {key: value for key, value in values.items() if value}


def _has_no_length(name: str, dataset: str) -> bool:
    """Whether a method trains for a time that its source does not tell; a warm-up alone is none."""
    trains = bool(registry.load_method(name).Hyperparameters.model_fields)
    return trains and not {"data_free_steps", "rounds", "epochs"} & _lengths(name, dataset).keys()


def _resolved(name: str, told: Mapping[str, Any], share: float, device: str) -> RunConfig:
    lengths = _lengths(name, told["dataset"]) if share < 1 else {}
    own = told.get("hyperparameters", {})
    own = own | {key: max(1, round(share * own.get(key, value))) for key, value in lengths.items()}
    return configuration.resolve({**told, "method": name, "budget": "paper", "device": device, "hyperparameters": own})


def _with_cost(row: PaperRow, timer: StepTimer) -> PaperRow:
    """The row with its hours.

    Raises:
        UserError: the method refuses the networks or the hyper-parameters.
    """
    plan = plan_without_images(row.config)
    seconds = timer.run_seconds(plan)
    # A method without stages, such as the teacher itself, trains nothing.
    images = plan.method.images_learned(plan.hyperparameters, plan.budget) if seconds else 0
    teacher_seconds = _teacher_images(row.config, plan.teacher_recipe) * timer.teacher_image_seconds(plan)
    return replace(row, images=images, hours=seconds / 3600, teacher_hours=teacher_seconds / 3600)


def _teacher_images(config: RunConfig, recipe: TeacherRecipe | None) -> int:
    dataset = registry.load_dataset(config.dataset)
    counts = getattr(dataset, "counts", {})
    size = sum(sum(counts.get(domain, {}).values()) for domain in dataset.setting(config.setting).teacher_domains)
    return teacher_amount(recipe, config.budget, size)[0]
