"""Make the tables and commands of released-code.md: ``python docs/released_code.py``.

Each line is a switch of a method, turned on, beside the method without it, with the same seeds and teachers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tables import markdown
from variants import Place, effect

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import spell_assignments

#: the setting of a method is that of the first task here that it plays
PLACES = {
    TaskKind.DATA_FREE: Place("M"),
    TaskKind.TRANSFER: Place("MO@P"),
    TaskKind.ADAPT: Place("MO-P", shots=2),
}
HEADS = ["switch", "what released code does", "seeds", "accuracy", "difference", "retention"]


class Switch(NamedTuple):
    """A fault of released code that a method can restore, and the rows that show its effect."""

    name: str
    theirs: str
    row: str
    beside: str


def tables() -> str:
    """A table for each method that has a switch."""
    return "\n\n".join(
        f"### `{method}`\n\n{markdown(HEADS, [_line(switch, place) for switch in switches])}"
        for method, place, switches in _methods()
    )


def commands() -> str:
    """The sweeps that make all runs of the tables."""
    rows: dict[Place, list[str]] = {place: [] for place in PLACES.values()}
    for _, place, switches in _methods():
        rows[place] += dict.fromkeys(row for switch in switches for row in (switch.beside, switch.row))
    return "\n".join(["```", *(_command(place, names) for place, names in rows.items() if names), "```"])


def _command(place: Place, rows: list[str]) -> str:
    shots = f" --shots {place.shots}" if place.shots else ""
    methods = ",".join(rows)
    return (
        f"okdbench sweep --methods '{methods}' --datasets digits --setting {place.setting}{shots} --seeds 0-4 --jobs 2"
    )


def _methods() -> Iterator[tuple[str, Place, list[Switch]]]:
    """Each method that has a switch, with its place."""
    for name in plugins.method_names():
        method = registry.load_method(name)
        fields: dict[str, Any] = method.Hyperparameters.model_fields
        switches = [
            _switch(name, key, field.json_schema_extra) for key, field in fields.items() if key.startswith("legacy_")
        ]
        if switches:
            yield name, next(place for task, place in PLACES.items() if task in method.card.tasks), switches


def _switch(method: str, name: str, extra: dict[str, Any]) -> Switch:
    beside = f"{method}[{spell_assignments(extra['when'])}]" if extra["when"] else method
    return Switch(name, extra["theirs"], f"{method}[{spell_assignments({**extra['when'], name: True})}]", beside)


def _line(switch: Switch, place: Place) -> list[str]:
    beside = f" (beside `{switch.beside}`)" if "[" in switch.beside else ""
    cells = effect(switch.row, switch.beside, place) or ["not run", "", "", ""]
    return [f"`{switch.name}`{beside}", switch.theirs, *cells]


if __name__ == "__main__":
    print(tables())
    print(commands())
