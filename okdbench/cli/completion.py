"""What a shell completes: names of methods, data sets, settings, runs, and choices. Nothing here loads torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import typer

from okdbench.core.errors import UserError
from okdbench.core.settings import TaskKind

#: as typer calls it: the command line so far, and the beginning of the word
Completion = Callable[[typer.Context, str], list[str]]


def of(values: Iterable[str]) -> Completion:
    """Completes one of these values, or several with commas between."""
    known = list(values)

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001 - typer passes it
        return _after_comma(known, incomplete)

    return complete


def of_field(name: str, choices: Iterable[str]) -> Completion | None:
    """How the option of a field of a run's configuration is completed; None for as the shell does."""
    named: dict[str, Completion] = {"method": methods, "dataset": datasets, "setting": settings}
    choices = list(choices)
    return of(choices) if choices else named.get(name)


def columns(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
    """Columns of the leaderboards."""
    from okdbench.results.columns import COLUMNS

    return _after_comma([column.name for column in COLUMNS], incomplete)


def methods(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
    """Bundled and installed methods."""
    from okdbench.core import plugins

    return _after_comma([*plugins.method_names(), *plugins.installed_methods()], incomplete)


def datasets(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
    """Bundled and installed data sets."""
    from okdbench.core import plugins

    return _after_comma([*plugins.dataset_names(), *plugins.installed_datasets()], incomplete)


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Methods and data sets."""
    return [*methods(ctx, incomplete), *datasets(ctx, incomplete)]


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """The default settings, of all tasks, of the data sets on the command line, or of all."""
    from okdbench import registry
    from okdbench.core import plugins

    given = ctx.params.get("dataset") or []
    # One text from `ls`, a list of texts from `run` and `sweep`, which repeat the option.
    texts = [given] if isinstance(given, str) else given
    chosen = [name.strip() for text in texts for name in text.split(",")]
    found: list[str] = []
    for name in chosen or plugins.dataset_names():
        with suppress(UserError):  # a misspelt data set is reported when the command runs
            dataset = registry.load_dataset(name)
            found += [text for task in TaskKind for text in dataset.default_settings(task)]
    return _after_comma(found, incomplete)


def run_keys(ctx: typer.Context, incomplete: str) -> list[str]:
    """The keys of the runs in the folders of ``--runs``."""
    from okdbench.results.sources import run_folders

    # One folder, or several where the option is repeated.
    return sorted(name for name in run_folders(ctx.params.get("runs") or "runs") if name.startswith(incomplete))


def _after_comma(values: Iterable[str], incomplete: str) -> list[str]:
    """Complete the last of several values, and repeat those before it as they are."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    # dict.fromkeys() drops repeated values in their order: data sets may have settings of the same name.
    return [before + comma + value for value in dict.fromkeys(values) if value.startswith(last) and value not in given]
