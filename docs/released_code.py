"""Print the tables of released-code.md from the records: ``python docs/released_code.py``.

Each line is a switch of a method, turned on: its difference to the method without it, over the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from okdbench import registry
from okdbench.config import spell_assignments
from okdbench.records import Record, read_records
from okdbench.stats import mean_std

ROOT = Path(__file__).resolve().parent.parent
ARCHIVES = (ROOT / "leaderboards" / "records" / "digits.jsonl.gz", ROOT / "docs" / "released-code.jsonl.gz")
SETTING = "MO-P"
HEAD = (
    "| switch | what released code does | accuracy | difference | kept before fine-tuning | difference |\n"
    + "|---" * 6
    + "|"
)


def runs() -> dict[tuple[str, str], dict[int, Record]]:
    """(method, variant) -> seed -> record, of the setting that the page is about."""
    found: dict[tuple[str, str], dict[int, Record]] = {}
    for archive in ARCHIVES:
        for record in read_records(archive):
            if record.setting == SETTING and record.track == "labelled" and record.status == "done":
                found.setdefault((record.method, record.variant), {})[record.seed] = record
    return found


def tables() -> dict[str, str]:
    """Method -> its table, for each method that has a switch."""
    made = {}
    for name in registry.method_names():
        fields: dict[str, Any] = registry.load_method(name).Hyperparameters.model_fields
        switches = {key: field.json_schema_extra for key, field in fields.items() if key.startswith("legacy_")}
        if switches:
            lines = [_line(name, switch, extra) for switch, extra in switches.items()]
            made[name] = "\n".join([HEAD, *lines])
    return made


def _line(method: str, switch: str, extra: dict[str, Any]) -> str:
    found = runs()
    usual = found[method, spell_assignments(extra["when"])]
    changed = found[method, spell_assignments({**extra["when"], switch: True})]
    seeds = sorted(usual.keys() & changed.keys())
    if len(seeds) < 3:
        raise SystemExit(f"{method} {switch}: only {len(seeds)} seeds have both runs")
    beside = f" (beside `{spell_assignments(extra['when'])}`)" if extra["when"] else ""
    final = [(_final(usual[seed]), _final(changed[seed])) for seed in seeds]
    before = [(_before(usual[seed]), _before(changed[seed])) for seed in seeds]
    return f"| `{switch}`{beside} | {extra['theirs']} | {_cells(final)} | {_cells(before)} |"


def _cells(pairs: Iterable[tuple[float, float]]) -> str:
    usual, changed = zip(*pairs, strict=True)
    mean, spread = mean_std([new - old for old, new in zip(usual, changed, strict=True)])
    return f"{mean_std(usual)[0]:.2f} -> {mean_std(changed)[0]:.2f} | {mean:+.2f} ± {spread:.2f}"


def _final(record: Record) -> float:
    """Accuracy on the student's domain."""
    assert record.selected is not None
    return record.selected.evaluation.test.acc


def _before(record: Record) -> float:
    """Accuracy on the teacher's domains before the shared fine-tuning stage."""
    own = [outcome for stage, outcome in record.stages.items() if stage != "fine-tuning"]
    return own[-1].teacher_domain_acc or 0.0


if __name__ == "__main__":
    for method, table in tables().items():
        print(f"### {method}\n\n{table}\n")
