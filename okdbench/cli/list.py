"""``okdbench ls``: methods, data sets, settings and networks. No method is imported for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.options import DatasetFilter, ListFormat, choice, examples
from okdbench.core.errors import UserError, unknown
from okdbench.core.settings import TaskKind
from okdbench.core.terminal import TableColumn, check_format, print_rows

app = typer.Typer()

LISTS = ("methods", "datasets", "settings", "networks")

Rows = list[dict[str, Any]]

_NAME = TableColumn("name")
#: empty for what is bundled; the column is printed where a row has one
_PACKAGE = TableColumn("package")
COLUMNS = {
    "methods": (
        _NAME,
        TableColumn("published", drop=3),
        TableColumn("tasks", drop=1, text=", ".join),
        TableColumn("tracks", drop=2, text=", ".join),
        TableColumn("title", drop=4),
    ),
    "datasets": (
        _NAME,
        TableColumn("classes", align="right", drop=2),
        TableColumn("domains", drop=1, text=lambda domains: ", ".join(domains.values())),
        TableColumn("title", drop=3),
    ),
    "settings": (
        TableColumn("dataset"),
        TableColumn("task"),
        TableColumn("setting"),
        TableColumn("teacher", "teacher's domains", drop=3, text=", ".join),
        TableColumn("images", "images seen", drop=1),
        TableColumn("test", "tested on", drop=2, text=", ".join),
    ),
    "networks": (_NAME, TableColumn("title", drop=1)),
}


@app.command("ls", epilog=examples("ls methods", "ls settings --dataset digits", "ls methods --format json"))
def list_(
    what: Annotated[
        str, typer.Argument(metavar=choice(LISTS), help="Which list.", autocompletion=completion.of(LISTS))
    ],
    dataset: DatasetFilter = None,
    form: ListFormat = "text",
    runs: Annotated[Path | None, typer.Option(hidden=True)] = None,  # noqa: ARG001 - of `ls runs`, as it was once
) -> None:
    """List methods, data sets, settings, or the networks beside timm's; okdbench runs ls lists runs."""
    check_format(form)
    # It was a list here once: who still types it learns the new command.
    if what == "runs":
        raise UserError("runs are listed by okdbench runs ls")
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    if dataset and what != "settings":
        raise UserError(f"--dataset is for okdbench ls settings; leave it out for {what}")
    makers: Mapping[str, Callable[[], Rows]] = {
        "methods": _methods,
        "datasets": _datasets,
        "settings": lambda: _settings(dataset),
        "networks": _networks,
    }
    rows = makers[what]()
    columns = [*COLUMNS[what], _PACKAGE] if any(row.get("package") for row in rows) else COLUMNS[what]
    print_rows(columns, rows, form)


def _methods() -> Rows:
    from okdbench.core import plugins
    from okdbench.core.card_source import bundled_card

    rows = []
    # Read from the sources: importing the methods would load torch.
    for name in plugins.method_names():
        card = bundled_card(name)
        published = " ".join(str(card[key]) for key in ("venue", "year") if key in card)
        rows.append({"name": name, **card, "published": published or None, "package": None})
    return rows + _installed(plugins.method_names(), plugins.installed_methods())


def _datasets() -> Rows:
    from okdbench import registry
    from okdbench.core import plugins

    rows = []
    # Unlike methods, data sets are imported: their modules load no torch.
    for name in plugins.dataset_names():
        dataset = registry.load_dataset(name)
        rows.append(
            {
                "name": name,
                "title": dataset.title,
                "classes": len(dataset.classes),
                "domains": dict(dataset.domains),
                "settings": list(dataset.settings),
                "package": None,
            }
        )
    return rows + _installed(plugins.dataset_names(), plugins.installed_datasets())


def _networks() -> Rows:
    import timm

    from okdbench.core.network_names import installed
    from okdbench.distill.networks.classifiers import own_networks

    own = [{"name": name, "title": title, "package": None} for name, title in own_networks().items()]
    return own + _installed(timm.list_models(), installed())


def _installed(bundled: list[str], installed: Mapping[str, str]) -> Rows:
    """Those of other packages; they are not imported for a list. A bundled one of the same name wins."""
    hidden = " (hidden by the bundled one)"
    return [{"name": name, "package": package + hidden * (name in bundled)} for name, package in installed.items()]


def _settings(name: str | None) -> Rows:
    from okdbench import registry
    from okdbench.core import plugins

    rows = []
    for each in [name] if name else plugins.dataset_names():
        dataset = registry.load_dataset(each)
        for setting in (dataset.setting(text) for task in TaskKind for text in dataset.default_settings(task)):
            row = {"dataset": each, "task": setting.task.value, "setting": setting.name}
            domains = {"teacher": list(setting.teacher_domains), "test": list(setting.test_domains)}
            rows.append({**row, **domains, "images": setting.input_domain or None})
    return rows
