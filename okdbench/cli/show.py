"""What ``okdbench show`` prints: everything that a reader must know of a method or data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import unknown
from okdbench.core.syntax import spell_assignments

if TYPE_CHECKING:
    from okdbench.data.dataset import Dataset
    from okdbench.distill.card import Card
    from okdbench.distill.method import Method

SIGNS = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}


def show(name: str) -> None:
    """Print the card of the method or data set of this name or path.

    Raises:
        UserError: there is neither.
    """
    console = Console()
    if registry.is_method(name):
        _method(console, name, registry.load_method(name))
    elif name in (known := [*plugins.dataset_names(), *plugins.installed_datasets()]) or Path(name).suffix:
        _dataset(console, name, registry.load_dataset(name))
    else:
        raise unknown("method or data set", name, [*plugins.method_names(), *plugins.installed_methods(), *known])


def _method(console: Console, name: str, method: type[Method]) -> None:
    card = method.card
    console.print(f"[bold]{name}[/]: {escape(card.title)}\n{escape(card.venue)} {card.year} {card.url}")
    console.print(f"reads: {'; '.join(card.reads)}\ntracks: {', '.join(card.tracks)}\n", markup=False)
    table = Table("hyper-parameter", "default", "allowed", "paper", "meaning", title="Hyper-parameters")
    for key, field in method.Hyperparameters.model_fields.items():
        cells = (key, str(field.default), limits(field), _paper(card, key, field), _meaning(field))
        table.add_row(*map(escape, cells))
    console.print(table)
    for budget, preset in method.presets.items():
        console.print(f"budget {budget}: " + ", ".join(f"{key}={value}" for key, value in preset.items()), markup=False)
    if method.deviations():
        deviations = Table("point", "paper or release", "here", "switch", title="Deviations")
        for deviation in method.deviations():
            deviations.add_row(*map(escape, (deviation.topic, deviation.theirs, deviation.ours, deviation.switch)))
        console.print(deviations)
    if any(deviation.switch for deviation in method.deviations()) and not plugins.origin_of(name):
        console.print("what each switch does to a result was measured: docs/released-code.md")


def _paper(card: Card, key: str, field: FieldInfo) -> str:
    paper = card.paper.get(key, _extra(field).get("paper"))
    return "" if paper is None else str(paper)


def _meaning(field: FieldInfo) -> str:
    """What it is, and the settings without which it has no effect."""
    needed = _extra(field).get("when")
    return (field.description or "") + (f" (with {spell_assignments(needed)})" if needed else "")


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def limits(field: FieldInfo) -> str:
    """The allowed values of a hyper-parameter, as people write them: ``>= 0, <= 1`` or the choices."""
    bounds = [
        f"{sign} {getattr(m, attribute)}"
        for m in field.metadata
        for kind, (sign, attribute) in SIGNS.items()
        if isinstance(m, kind)
    ]
    choices = getattr(field.annotation, "__args__", ()) if "Literal" in str(field.annotation) else ()
    return ", ".join([str(choice) for choice in choices] or bounds)


def _dataset(console: Console, name: str, dataset: Dataset) -> None:
    console.print(f"{name}: {dataset.title}\n{dataset.citation}\nlicence: {dataset.licence}", markup=False)
    console.print(f"classes ({len(dataset.classes)}): {', '.join(dataset.classes)}", markup=False)
    console.print(
        "domains: " + ", ".join(f"{letter} = {domain}" for letter, domain in dataset.domains.items()), markup=False
    )
    console.print(f"default settings: {', '.join(dataset.settings)}", markup=False)
    for line in dataset.facts():
        console.print(line, markup=False)
