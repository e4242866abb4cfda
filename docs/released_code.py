"""Make the tables of released-code.md from the records: ``python docs/released_code.py``.

Each line is a switch of a method, turned on: its difference to the method without it, paired by seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from scipy.stats import t

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.syntax import spell_assignments
from okdbench.results.records import Record
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE = ROOT / "docs" / "released-code.jsonl.gz"
SETTING = "MO-P"
HEAD = "| switch | what released code does | accuracy | difference | kept | difference |\n|---|---|---|---|---|---|"


def tables() -> dict[str, str]:
    """Method -> its table, for each method that has a switch."""
    made = {}
    for name in plugins.method_names():
        fields: dict[str, Any] = registry.load_method(name).Hyperparameters.model_fields
        switches = {key: field.json_schema_extra for key, field in fields.items() if key.startswith("legacy_")}
        if switches:
            made[name] = "\n".join([HEAD, *(_line(name, switch, extra) for switch, extra in switches.items())])
    return made


@cache
def _runs() -> dict[tuple[str, str], dict[int, Record]]:
    """(method, variant) -> seed -> record, of the setting that the page is about."""
    found: dict[tuple[str, str], dict[int, Record]] = {}
    for record in read_records(ARCHIVE):
        if record.setting == SETTING and record.track == "labelled" and record.status == "done":
            found.setdefault((record.method, record.variant), {})[record.seed] = record
    return found


def _line(method: str, switch: str, extra: dict[str, Any]) -> str:
    if (method, "") not in _runs():
        return f"| `{switch}` | {extra['theirs']} | not run | | | |"
    usual = _runs()[method, spell_assignments(extra["when"])]
    changed = _runs()[method, spell_assignments({**extra["when"], switch: True})]
    if not len(usual.keys() & changed.keys()) == len(usual) == 3:
        raise SystemExit(f"{method} {switch}: three seeds are needed of both, with the switch and without")
    beside = f" (beside `{spell_assignments(extra['when'])}`)" if extra["when"] else ""
    both = " | ".join(_cells(usual, changed, measure) for measure in (_final, _kept))
    return f"| `{switch}`{beside} | {extra['theirs']} | {both} |"


def _cells(usual: dict[int, Record], changed: dict[int, Record], measure: Callable[[Record], float]) -> str:
    """Means without and with the switch, and the paired difference; bold where it is evidence at 5 %."""
    pairs = [(measure(usual[seed]), measure(changed[seed])) for seed in usual]
    before, after = (statistics.mean(values) for values in zip(*pairs, strict=True))
    differences = [new - old for old, new in pairs]
    mean, spread = statistics.mean(differences), statistics.stdev(differences)
    difference = f"{round(mean, 2) + 0.0:+.2f} ± {spread:.2f}"  # no -0.00
    sure = abs(mean) > t.ppf(0.975, len(pairs) - 1) * spread / math.sqrt(len(pairs))
    return f"{before:.2f} -> {after:.2f} | {f'**{difference}**' if sure else difference}"


def _final(record: Record) -> float:
    """Accuracy on the student's domain."""
    assert record.selected is not None
    return record.selected.evaluation.test.acc


def _kept(record: Record) -> float:
    """Accuracy on the teacher's domains when the method's own stages are over."""
    own = [outcome for stage, outcome in record.stages.items() if stage != "fine-tuning"]
    return own[-1].retention or 0.0


if __name__ == "__main__":
    for method, table in tables().items():
        print(f"### `{method}`\n\n{table}\n")
