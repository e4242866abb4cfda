"""Tuning: configurations drawn from a method's search ranges, run on seeds that no table uses, and the best of them.

The choice looks at no test image. With labels it is made by validation accuracy; without, by the agreement of student
and teacher on the images that the method sees. Task data-free has neither, so it cannot be tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import yaml

from okdbench import registry
from okdbench.core import config as configuration
from okdbench.core import plugins, search, syntax
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.file_names import for_file
from okdbench.core.protocol import Track, tuning_seeds
from okdbench.core.seeding import derive_seed
from okdbench.core.settings import TaskKind, task_of
from okdbench.results.records import Record
from okdbench.sweep.grid import Grid
from okdbench.sweep.plans import places_of

#: what a field of the configuration says of one run or machine, and a tuning does not
_OF_ONE_RUN = {"setting", "seed", "device", "log_to", "hyperparameters", "tuned"}


class Tried(NamedTuple):
    """One configuration and what came of it; ``score`` is in percent, None where one of its runs has none."""

    trial: int
    hyperparameters: dict[str, Any]
    variant: str
    score: float | None


@dataclass(frozen=True)
class Tuning:
    """What is tried, and where.

    Attributes:
        config: what all runs have in common, with the hyper-parameters that the user has fixed.
        settings: of one task, in canonical form.
        trials: variant -> hyper-parameters of each trial; the first is empty but for what the user has fixed.
        seed: of the draws.
        grid: all runs.
    """

    config: RunConfig
    settings: Sequence[str]
    trials: Sequence[tuple[str, dict[str, Any]]]
    seed: int
    grid: Grid

    @property
    def place(self) -> str:
        """The setting; the task where there are several."""
        return self.settings[0] if len(self.settings) == 1 else task_of(self.settings[0]).value

    @property
    def note(self) -> str:
        """How the winner was chosen, for its records and its row."""
        config, drawn = self.config, f", drawn with seed {self.seed}" if self.seed else ""
        shots = f", {config.shots} shots" if config.shots else ""
        score = "agreement with the teacher" if config.track is Track.LABEL_FREE else "validation accuracy"
        return (
            f"{len(self.trials)} trials{drawn}, on {config.dataset} {self.place}, {config.track}{shots}, "
            f"{config.budget}; seeds {syntax.format_seeds(self.grid.seeds)}; {score}"
        )

    @property
    def file(self) -> Path:
        """Where the winner is written by default."""
        config = self.config
        names = (plugins.name_of(config.method), plugins.name_of(config.dataset), self.place, config.track)
        shots = f"-{config.shots}shots" if config.shots else ""
        return Path("tuned") / ("-".join(map(str, names)) + f"{shots}.yaml")

    def ranked(self, records: Sequence[Record]) -> list[Tried]:
        """The trials, the best first, the earlier one of equals; those without a score last."""
        tried = []
        for number, (variant, hyperparameters) in enumerate(self.trials):
            scores = [record.tuning_score for record in records if record.variant == variant]
            known = [score for score in scores if score is not None]
            complete = len(known) == len(self.settings) * len(self.grid.seeds)
            tried.append(Tried(number, hyperparameters, variant, fmean(known) if complete else None))
        return sorted(tried, key=lambda each: -1.0 if each.score is None else each.score, reverse=True)

    def to_yaml(self, best: Tried, file: Path) -> str:
        """The content of ``file``, which is for ``--config`` and runs the best trial."""
        fields = self.config.model_dump(mode="json", exclude=_OF_ONE_RUN)
        usual = {name: field.default for name, field in RunConfig.model_fields.items()}
        kept = {name: value for name, value in fields.items() if name in ("budget", "track") or value != usual[name]}
        setting = self.settings[0] if len(self.settings) == 1 else list(self.settings)
        content = {**kept, "setting": setting, "hyperparameters": best.hyperparameters, "tuned": self.note}
        return yaml.safe_dump(for_file(content, file), sort_keys=False, width=1000)


def make_tuning(grid: Grid, trials: int, seed: int, repeats: int) -> Tuning:
    """Draw the configurations and lay out their runs.

    Args:
        grid: one method with what is fixed of it, one data set, and settings of one task and track; its seeds are not
            used.
        trials: number of configurations, at least 1; the first has the defaults of the budget.
        seed: of the draws, beside method, data set and settings.
        repeats: number of tuning seeds on which each configuration runs.

    Raises:
        UserError: there are several of what must be one, or nothing to tune or to choose by.
    """
    if len(grid.methods) != 1:
        raise UserError(f"{', '.join(grid.methods)}: tune one method at a time, with as many trials for each")
    places = list(places_of(replace(grid, seeds=())))
    first = places[0]
    if len({(place.dataset, task_of(place.setting), place.track) for place in places}) > 1:
        raise UserError("tune for one data set, task and track at a time, because scores of different ones differ")
    if task_of(first.setting) is TaskKind.DATA_FREE:
        raise UserError(
            f"task data-free ({first.setting}) has no image to choose by, so it cannot be tuned; tune for task "
            f"transfer, such as {first.setting}@X, and run the result with --setting {first.setting}"
        )
    config, settings = _config(grid, first._asdict()), _settings(grid, [place.setting for place in places])
    drawn = _draw(config, trials, derive_seed("tune", plugins.name_of(config.method), config.dataset, *settings, seed))
    methods = [syntax.spell_method(config.method, syntax.spell_assignments(values)) for _, values in drawn]
    runs = replace(grid, methods=methods, settings=settings, tasks=(), seeds=tuning_seeds(repeats), hyperparameters={})
    return Tuning(config, settings, drawn, seed, runs)


def _config(grid: Grid, place: dict[str, Any]) -> RunConfig:
    name, own = syntax.parse_method(grid.methods[0])
    values = {**grid.options, **place, "method": name, "hyperparameters": {**grid.hyperparameters, **own}}
    config = configuration.resolve(values, file=grid.file)
    if config.tuned:
        raise UserError(f"{grid.file} is the result of a tuning; name the options without it")
    return config


def _settings(grid: Grid, texts: Sequence[str]) -> list[str]:
    dataset = registry.load_dataset(grid.datasets[0])
    return list(dict.fromkeys(dataset.setting(text).name for text in texts))


def _draw(config: RunConfig, trials: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    method = registry.load_method(config.method)
    preset = method.preset(config.budget, registry.load_dataset(config.dataset).name)
    model, fixed = method.Hyperparameters, config.hyperparameters
    if not any(search.search_of(field) for name, field in model.model_fields.items() if name not in fixed):
        raise UserError(f"{config.method} has nothing to tune; declare ranges in it: hyper(..., search=(low, high))")
    # refuses what is fixed before anything is drawn
    configuration.check_hyperparameters(model, preset, fixed, config.method)
    usual = configuration.check_hyperparameters(model, preset, {}, config.method).model_dump(mode="json")
    drawn = search.draw(model, usual, fixed, trials, seed)
    return [(configuration.variant_name(model, preset, values), values) for values in drawn]
