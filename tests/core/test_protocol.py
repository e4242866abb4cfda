"""The sizes of the splits, and the names of settings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.core.protocol import STUDENT_FRACTIONS, TEACHER_FRACTIONS, Setting, split
from okdbench.data import FolderDataset

#: images in a class -> its train, validation and test images
SIZES = {1: (1, 0, 0), 4: (4, 0, 0), 5: (3, 1, 1), 6: (4, 1, 1), 14: (12, 1, 1), 15: (11, 2, 2), 24: (20, 2, 2)}
SIZES |= {25: (19, 3, 3), 35: (27, 4, 4), 45: (35, 5, 5), 100: (80, 10, 10), 500: (400, 50, 50)}

#: classes of the official data sets whose splits depend on the rounding of a half: 10 % of their images is 2k + 1/2
ON_A_HALF = {
    ("office10", "caltech"): {"keyboard"},
    ("office31", "webcam"): {"scissors"},
    ("officehome", "Art"): {"Clipboards", "Fan"},
    ("officehome", "Product"): {"Clipboards", "Toys"},
    ("officehome", "Real_World"): {"Clipboards", "Flipflops", "Pen", "ToothBrush"},
    ("pacs", "art_painting"): {"giraffe"},
    ("pacs", "cartoon"): {"person"},
    ("visda", "train"): {"bicycle"},
}


def sizes(count: int, fractions: Mapping[str, float] = STUDENT_FRACTIONS) -> tuple[int, ...]:
    parts = split([f"{index}.png" for index in range(count)], [0] * count, fractions)
    return tuple(len(chosen) for chosen in parts.values())


def half_to_even(count: int, fractions: Mapping[str, float]) -> tuple[int, ...]:
    """The sizes with Python's ``round``."""
    others = [round(fraction * count) for fraction in list(fractions.values())[1:]]
    return (count - sum(others), *others)


@pytest.mark.parametrize("count", SIZES)
def test_sizes_are_rounded_half_up(count: int) -> None:
    assert sizes(count) == SIZES[count]


@pytest.mark.parametrize("fractions", [STUDENT_FRACTIONS, TEACHER_FRACTIONS], ids=["student", "teacher"])
def test_sizes_that_are_not_on_a_half_are_rounded_to_the_nearest(fractions: Mapping[str, float]) -> None:
    counts = [count for count in range(1, 200) if fractions is TEACHER_FRACTIONS or count % 10 != 5]
    assert [sizes(count, fractions) for count in counts] == [half_to_even(count, fractions) for count in counts]


def test_the_official_classes_on_a_half_are_known() -> None:
    found = {}
    for name in plugins.dataset_names():
        dataset = registry.load_dataset(name)
        for domain, counts in dataset.counts.items() if isinstance(dataset, FolderDataset) else ():
            changed = {label for label, count in counts.items() if count % 20 == 5}
            found |= {(name, domain): changed} if changed else {}
    assert found == ON_A_HALF


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("MP", "is not of the form AB-C"),
        ("M-OP", "is not of the form AB-C"),
        ("MX-O", "no domain has the letter 'X'"),
        ("MO-O", "names a domain twice; use each letter at most once"),
        ("MM-O", "names a domain twice; use each letter at most once"),
    ],
)
def test_a_bad_setting_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Setting.parse(text, {"M": "mnist", "O": "optical", "P": "print"})


def test_letters_are_sorted_and_may_be_lower_case() -> None:
    domains = {"M": "mnist", "O": "optical", "P": "print"}
    assert Setting.parse("pm-o", domains) == Setting("MP-O", ("mnist", "print"), "optical")
    assert Setting.parse("-o", domains) == Setting("-O", (), "optical")
