"""A grid of runs: methods x data sets x settings x seeds x tracks, as ``okdbench run`` and ``sweep`` take it.

This module loads no torch, so that a mistake in the options is reported at once; the runs are in
:mod:`okdbench.sweep.plans`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from okdbench import registry
from okdbench.core import plugins, syntax
from okdbench.core.config import load_options
from okdbench.core.errors import UserError, unknown
from okdbench.core.file_names import split_names
from okdbench.core.protocol import Track, refuse_tuning_seeds
from okdbench.core.settings import TaskKind, task_of


@dataclass(frozen=True)
class Grid:
    """The runs that someone asks for: one for each combination of the first five.

    Attributes:
        methods: names, variants such as ``kd[lr=0.1]`` and paths.
        datasets: names and paths.
        settings: such as ``MP-O``; none for the default settings of each data set.
        tasks: names of tasks whose default settings are meant, or of which all ``settings`` are; none for adapt, or
            for another task where a data set has no default settings of that.
        seeds: none for the seed of ``file``, or else 0.
        tracks: names of tracks, none for the default one of each task; a method is left out of those that it does not
            run in.
        hyperparameters: of all methods; those in a variant's brackets win.
        options: other fields of :class:`~okdbench.core.config.RunConfig`; a value of None counts as not given.
        file: a YAML file with other options; what is given here wins.
    """

    methods: Sequence[str]
    datasets: Sequence[str]
    settings: Sequence[str] = ()
    tasks: Sequence[str] = ()
    seeds: Sequence[int] = ()
    tracks: Sequence[str] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def __post_init__(self) -> None:
        plugins.refuse_clashes(syntax.parse_method(text)[0] for text in self.methods)
        # Checked here, where no torch is loaded yet, rather than with the configuration of each run.
        for kind, names in ((Track, self.tracks), (TaskKind, self.tasks)):
            for name in names:
                # a list, because Python 3.11 refuses to look up a text in an enumeration
                if name not in list(kind):
                    raise unknown(kind.__name__.lower().removesuffix("kind"), name, [member.value for member in kind])
        for text in self.settings:
            if self.tasks and task_of(text) not in self.tasks:
                raise UserError(f"setting {text!r} is of task {task_of(text)}, not {' or '.join(self.tasks)}")

    def places(self) -> list[tuple[str, str]]:
        """Every data set with each of its settings, in order.

        Raises:
            UserError: a data set is unknown, or two files give theirs one name.
        """
        datasets = {name: registry.load_dataset(name) for name in self.datasets}
        if len({dataset.name for dataset in datasets.values()}) < len(datasets):
            names = ",".join(self.datasets)
            raise UserError(f"--dataset {names}: two of them have one name; give the files different ones")
        found = []
        for name, dataset in datasets.items():
            tasks = [TaskKind(task) for task in self.tasks] or [dataset.default_task]
            defaults = {task: dataset.default_settings(task) for task in tasks}
            for task in tasks if not self.settings else ():
                if not defaults[task]:
                    raise UserError(f"{name} has no default settings of task {task}; name one with --setting")
            found += [(name, setting) for setting in self.settings or chain.from_iterable(defaults.values())]
        return found


def parse_grid(given: Mapping[str, Any], file: Path | None = None, tuning: bool = False) -> Grid:
    """The grid that command-line options name; an option that is not given may be in the YAML ``file``.

    Args:
        given: ``task`` or a field of :class:`~okdbench.core.config.RunConfig` -> value, None for not given. Method,
            data set, setting, task, seed and track are lists of texts with commas between values, such as
            ``["kd,augkd", "ltr"]``; hyper-parameters are a list of ``key=value``.
        file: a YAML file of options.
        tuning: whether the runs are trials of a tuning, which alone have its seeds.

    Raises:
        UserError: no method or no data set is named, a value is malformed, or a seed is that of a tuning.
    """
    in_file = load_options(file) if file else {}
    several = ("method", "dataset", "setting", "task", "track")
    named = {name: _values(given.get(name) or in_file.get(name)) for name in several}
    for name in ("method", "dataset"):
        if not named[name]:
            raise UserError(f"no {name} is named; give one with --{name}, or in the file of --config")
    # The seed of the file stays there: it is one number, merged with the other fields of the configuration.
    seeds = syntax.parse_seeds(",".join(given["seed"])) if given.get("seed") else []
    if not tuning:
        refuse_tuning_seeds(seeds or [seed for seed in [in_file.get("seed")] if isinstance(seed, int)])
    others = {*named, "seed", "hyperparameters"}
    # Here, because the label-free track among several leaves it out.
    shots = in_file.get("shots") if given.get("shots") is None else given["shots"]
    return Grid(
        methods=named["method"],
        datasets=named["dataset"],
        settings=named["setting"],
        tasks=named["task"],
        seeds=seeds,
        tracks=named["track"],
        hyperparameters=syntax.parse_assignments(given.get("hyperparameters") or ()),
        options={name: value for name, value in given.items() if name not in others} | {"shots": shots},
        file=file,
    )


def _values(texts: object) -> list[str]:
    """The values in texts, each once, divided at commas; see :func:`okdbench.core.file_names.split_names`."""
    if texts is None:
        return []
    listed: Iterable[object] = texts if isinstance(texts, (list, tuple)) else [texts]
    # an empty value comes from a trailing comma
    return list(dict.fromkeys(value for text in listed for value in split_names(str(text)) if value))
