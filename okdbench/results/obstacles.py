"""Why a published number and a row of ours cannot be compared, in words."""

from __future__ import annotations

import re

from okdbench.core import plugins
from okdbench.core.config import RunConfig
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.core.syntax import spell_assignments
from okdbench.results.columns import is_complete
from okdbench.results.grouping import ALL
from okdbench.results.table import Row

#: published numbers are those of the authors' own budgets
COMPARABLE_BUDGET = "paper"
#: metric of a paper and what it selected its evaluation on -> our column: like is compared with like
OUR_COLUMNS = {
    ("top1", "held-out"): "acc",
    ("top1", "last"): "last_acc",
    ("top1", "best-on-test"): "oracle_acc",
    ("top5", "held-out"): "top5",
}
#: conditions of a run that the files of published numbers have too, empty where the source does not tell
_SHARED = ("pretrained", "image_size")
#: conditions that few sources have; elsewhere they are the default
_RARE = ("ood_subset", "teacher_recipe")


def obstacles(pair: Row) -> list[str]:
    """Why a published number cannot be compared with the row of ours beside it; ``acc`` is None where none is."""
    found = lacking(pair)
    if pair["acc"] is not None:
        found += _differences(pair)
    elif not found:
        found = ["no run of ours"]
    return found + unmeasured(pair)


def unknown_conditions(number: Row) -> list[str]:
    """What the source of a published number does not tell; alone it is no obstacle."""
    return [name for name in (*_SHARED, "budget") if not number[name]]


def lacking(number: Row) -> list[str]:
    """What no run of ours could have."""
    found = []
    dataset = number["dataset"]
    if not number["setting"]:
        known = dataset in plugins.dataset_names()
        found.append(f"okdbench has no such setting of {dataset}" if known else f"okdbench has no data set {dataset}")
    if not number["row"]:
        found.append(f"okdbench has no method {number['method']}")
    return found


def unmeasured(number: Row) -> list[str]:
    """Why none of our columns is what the source measured."""
    if number["metric"] not in {metric for metric, _ in OUR_COLUMNS}:
        return [f"okdbench does not measure {number['metric']}"]
    if not number["selection"]:
        return ["what theirs was selected on is unknown"]
    if (number["metric"], number["selection"]) not in OUR_COLUMNS:
        return [f"theirs was selected on: {number['selection']}"]
    return []


def _differences(pair: Row) -> list[str]:
    """Why our row says nothing about the published number."""
    teacher, conditions = _split(pair["teacher_ours"])
    found = []
    for network, ours in ("teacher", teacher), ("student", pair["student_ours"]):
        # The names are equal or the networks differ: a ResNet-34 for CIFAR is not timm's resnet34.
        if ours != pair[network]:
            found.append(f"our {network} is {ours}, theirs {pair[network] or 'unknown'}")
    for name in _SHARED:
        ours = conditions.pop(name)
        if pair[name] and ours != pair[name]:
            found.append(f"our runs have {name}={ours}, theirs {name}={pair[name]}")
    for name in _RARE:
        if (ours := conditions.pop(name, "")) != pair[name]:
            found.append(f"our {name} is {ours or 'the default'}, theirs {pair[name] or 'the default'}")
    found += [f"our runs have {name}={value}" for name, value in conditions.items()]
    if pair["budget_ours"] != COMPARABLE_BUDGET:
        found.append(f"our budget is {pair['budget_ours']}, theirs {pair['budget'] or 'unknown'}")
    for name, usual in (("shots", ALL), ("protocol", str(PROTOCOL_VERSION))):
        if pair[name] != usual:
            found.append(f"our {name} is {pair[name]}")
    if not is_complete(pair):
        found.append(f"only {pair['complete']} of our runs are finished")
    return found


def _split(teacher: str) -> tuple[str, dict[str, str]]:
    """Name and conditions of a teacher in a table, which shows only conditions that are not the default."""
    name, _, shown = teacher.partition("[")
    # Not parse_method(), which refuses what a record from elsewhere may hold.
    usual = [spell_assignments({key: RunConfig.model_fields[key].default}) for key in _SHARED]
    given = re.split(r",(?=\w+=)", shown.removesuffix("]")) if shown else []
    return name, dict(text.partition("=")[::2] for text in [*usual, *given])
