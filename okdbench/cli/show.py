"""``okdbench show``: everything that a reader must know of a method or data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.options import ListFormat, examples
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import rounded, spell_assignments
from okdbench.core.terminal import TableColumn, check_format, print_line, print_table, to_json

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from okdbench.data.dataset import Dataset
    from okdbench.distill.method import Method

app = typer.Typer()


def _short(value: Any) -> str:
    """A value as --set takes it."""
    return spell_assignments({"": rounded(value) if isinstance(value, float) else value})[1:]


HYPERPARAMETERS = (
    TableColumn("name", "hyper-parameter"),
    TableColumn("default", text=_short),
    TableColumn("allowed", drop=3, folds=True),
    TableColumn("search", "tune draws from", drop=2, folds=True),
    TableColumn("paper", drop=1, text=_short),
    TableColumn("meaning", folds=True),
)
DEVIATIONS = (
    TableColumn("point", folds=True),
    TableColumn("theirs", "paper or release", folds=True),
    TableColumn("ours", "here", folds=True),
    TableColumn("where", drop=1, folds=True),
)


@app.command(epilog=examples("show augkd", "show pacs", "show ./mine.py --format json"))
def show(
    name: Annotated[
        str, typer.Argument(help="A method or a data set, by name or path.", autocompletion=completion.names)
    ],
    form: ListFormat = "text",
) -> None:
    """Show a method or data set: source, what it reads, hyper-parameters, deviations from paper and release."""
    check_format(form)
    from okdbench import registry
    from okdbench.core import plugins
    from okdbench.core.errors import unknown

    if registry.is_method(name):
        content, print_text = _describe_method(name, registry.load_method(name)), _print_method
    elif name in (known := [*plugins.dataset_names(), *plugins.installed_datasets()]) or Path(name).suffix:
        # Anything with a suffix is meant as a file: load_dataset says what is wrong with it.
        content, print_text = _describe_dataset(name, registry.load_dataset(name)), _print_dataset
    else:
        raise unknown("method or data set", name, [*plugins.method_names(), *plugins.installed_methods(), *known])
    if form == "json":
        print(to_json(content))
    else:
        print_text(content)


def _describe_method(name: str, method: type[Method]) -> dict[str, Any]:
    from okdbench.core.config import choices_of, extra_of, range_of
    from okdbench.core.plugins import origin_of
    from okdbench.core.search import spell_search

    card = method.card
    hyperparameters = [
        {
            "name": key,
            "default": field.default,
            "allowed": ", ".join(choices_of(field)) or range_of(field),
            "search": spell_search(field) or None,
            "paper": card.paper.get(key, extra_of(field).get("paper")),
            "meaning": _meaning(field),
        }
        for key, field in method.Hyperparameters.model_fields.items()
    ]
    return {
        "kind": "method",
        "name": name,
        "title": card.title,
        "venue": card.venue,
        "year": card.year,
        "url": card.url,
        "role": card.role,
        "package": origin_of(name) or None,
        "reads": card.reads,
        "tasks": card.tasks,
        "tracks": card.tracks,
        "hyperparameters": hyperparameters,
        "presets": {budget: dict(preset) for budget, preset in method.presets.items()},
        "papers": {
            name: {"batch_size": paper.batch_size, **paper.values, "source": paper.source, "missing": paper.missing}
            for name, paper in method.papers.items()
        },
        "release": card.release,
        "deviations": [vars(deviation) for deviation in method.deviations()],
    }


def _print_method(content: dict[str, Any]) -> None:
    # Sentences are left to the terminal to break; only tables are fitted to its width.
    print_line(f"{content['name']}: {content['title']}", "bold")
    print_line(f"{content['venue']} {content['year']} {content['url']}".rstrip())
    print_line(f"reads: {'; '.join(content['reads'])}")
    print_line(f"tasks: {', '.join(content['tasks'])}")
    print_line(f"tracks: {', '.join(content['tracks'])}")
    _print_section("Hyper-parameters", HYPERPARAMETERS, content["hyperparameters"])
    for budget, preset in content["presets"].items():
        print_line(f"budget {budget}: {_assigned(preset)}")
    for dataset, paper in content["papers"].items():
        print_line(f"budget paper{f' on {dataset}' if dataset else ''}: {_assigned(paper)}")
    deviations = [{**each, "point": _point(**each)} for each in content["deviations"]]
    release = f" ({content['release']})" if content["release"] else ""
    _print_section(f"Deviations from the paper or the authors' release{release}", DEVIATIONS, deviations)
    # The measurements are of the bundled methods.
    if any(each["switch"] for each in deviations) and not content["package"]:
        print_line("the effect of each switch on a result: docs/released-code.md")


def _assigned(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items() if value not in ("", ()))


def _print_section(title: str, columns: Sequence[TableColumn], rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        print()
        print_table(columns, rows, title)


def _point(topic: str, switch: str, **_: str) -> str:
    """Where the code deviates, with the hyper-parameter that restores the other side's way, if there is one."""
    if not switch or switch.removeprefix("legacy_") == topic:
        return switch or topic
    return f"{topic} ({switch})"


def _meaning(field: FieldInfo) -> str:
    """What a hyper-parameter is, and the values of others without which it has no effect."""
    from okdbench.core.config import extra_of

    needed = extra_of(field).get("when")
    return (field.description or "") + (f" (with {spell_assignments(needed)})" if needed else "")


def _describe_dataset(name: str, dataset: Dataset) -> dict[str, Any]:
    return {
        "kind": "dataset",
        "name": name,
        "title": dataset.title,
        "citation": dataset.citation,
        "licence": dataset.licence,
        "classes": dataset.classes,
        "domains": dict(dataset.domains),
        "settings": {task.value: dataset.default_settings(task) for task in TaskKind},
        "teacher": dataset.teacher,
        "student": dataset.student,
        "channels": dataset.channels,
        "mean": dataset.mean,
        "std": dataset.std,
        "resize": dataset.resize,
        "interpolation": dataset.interpolation,
        "channel_order": dataset.channel_order,
        "image_size": dataset.image_size,
        "augmentation": dataset.augmentation,
        "teacher_augmentation": dataset.teacher_augmentation,
        "teacher_recipes": {name: asdict(recipe) for name, recipe in dataset.teacher_recipes.items()},
        "facts": dataset.facts(),
    }


def _print_dataset(content: dict[str, Any]) -> None:
    print_line(f"{content['name']}: {content['title']}", "bold")
    print_line(content["citation"])
    print_line(f"licence: {content['licence']}")
    print_line(f"classes ({len(content['classes'])}): {', '.join(content['classes'])}")
    print_line("domains: " + ", ".join(f"{letter} = {domain}" for letter, domain in content["domains"].items()))
    for task, settings in content["settings"].items():
        if settings:
            print_line(f"default settings, {task}: {', '.join(settings)}")
    print_line(f"default networks: {content['teacher']} -> {content['student']}")
    mean, std = (", ".join(f"{value:g}" for value in content[name]) for name in ("mean", "std"))
    print_line(f"channels: {content['channels']}; mean {mean}; std {std}")
    student, teacher = (", ".join(content[name]) or "none" for name in ("augmentation", "teacher_augmentation"))
    print_line(f"augmentation: {student} for the student, {teacher} for the teacher")
    print_line(f"images of another size: {content['resize']}, {content['interpolation']}")
    for name, recipe in content["teacher_recipes"].items():
        print_line(f"teacher recipe {name}: {_assigned(recipe)}")
    for line in content["facts"]:
        print_line(line)
