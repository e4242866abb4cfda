"""What changing training images at random does, from the records: ``python docs/augmentation.py``.

Each table has the same rows on the same images under several augmentations, with the paired difference to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tables import markdown, signed
from variants import Place, runs

from okdbench.results.estimates import interval, mean
from okdbench.results.records import Record

#: name of the data set -> how the teacher's images are changed; the student's are shifted
DIGITS = {"digits": "none", "shifted": "shift"}


def digits() -> str:
    """Teachers of digits with and without shifts: on another domain, and as sources of a generator."""
    others = [("teacher", Place(setting)) for setting in ("MO-P", "MP-O", "OP-M")]
    sources = [(method, Place("M")) for method in ("teacher", "dfad", "zskt")]
    return _table(
        DIGITS, {f"`{row}`, {place.setting}": partial(_accuracies, row, place) for row, place in others + sources}
    )


def _table(names: Mapping[str, str], rows: Mapping[str, Callable[[str], dict[int, float]]]) -> str:
    """A line for each row, a column for each data set."""
    lines = [[row, *_cells([values(dataset) for dataset in names])] for row, values in rows.items()]
    return markdown(["row", "seeds", *names.values()], lines)


def _cells(found: list[dict[int, float]]) -> list[str]:
    first, *others = found
    seeds = sorted(first.keys() & set.intersection(*(set(other) for other in others)))
    if not seeds:
        return ["not run", *("" for _ in found)]
    cells = [f"{mean([first[seed] for seed in seeds]):.1f}"]
    for other in others:
        differences = [other[seed] - first[seed] for seed in seeds]
        cells.append(f"{mean([other[seed] for seed in seeds]):.1f}, {signed(mean(differences), interval(differences))}")
    return [str(len(seeds)), *cells]


def _accuracies(row: str, place: Place, dataset: str) -> dict[int, float]:
    """Seed -> accuracy of a row on the test images."""
    found = _records(row, place, dataset)
    return {seed: record.selected.evaluation.test.acc for seed, record in found.items() if record.selected}


def _records(row: str, place: Place, dataset: str) -> dict[int, Record]:
    return runs().get(place._replace(dataset=dataset), {}).get(row, {})


if __name__ == "__main__":
    print(digits())
