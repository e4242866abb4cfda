"""What a user should know of own images when a run starts: nothing of it is an error, and each line is printed once."""

from __future__ import annotations

import sys

from okdbench.data.custom_dataset import OwnDataset
from okdbench.training.plan import Plan

_printed: set[str] = set()


def report(plan: Plan) -> None:
    """Print the remarks on the images of a run on standard error, unless an earlier run of this process has."""
    if not isinstance(plan.dataset, OwnDataset):
        return
    for line in plan.dataset.remarks():
        if line not in _printed:
            _printed.add(line)
            print(f"okdbench: {line}", file=sys.stderr)
