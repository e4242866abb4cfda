"""What a method adds to the labels: paired differences by labels per class, as numbers and as a figure."""

from __future__ import annotations

import math

import pytest
from support.fake_records import record
from support.plot_records import texts

from okdbench.core.errors import UserError
from okdbench.results.estimates import interval
from okdbench.results.frames import finished_runs
from okdbench.results.label_gains import label_gains, number
from okdbench.results.plots import draw
from okdbench.results.records import Record, TeacherScore


def grid(methods: tuple[str, ...] = ("finetune", "kd"), shots: tuple[int | None, ...] = (2, 10, None)) -> list[Record]:
    """Records in which ``kd`` gains 8, 4 and 0 points, and one more with each seed; the teacher has 70 %."""
    return [
        record(method, setting, seed, 60 + 10 * i + (method == "kd") * (8 - 4 * i + seed), shots=given,
               teacher_score=TeacherScore(key="t", own_acc=95.0, test_acc=70.0))
        for i, given in enumerate(shots)
        for setting in ("A-C", "B-C")
        for seed in range(3)
        for method in methods
    ]  # fmt: skip


def by_labels(records: list[Record]) -> dict[str, dict[str, dict[object, Record]]]:
    levels = {"all" if made.shots is None else str(made.shots) for made in records}
    return {  # type: ignore[return-value]
        level: finished_runs([made for made in records if str(made.shots or "all") == level]) for level in levels
    }


def test_gains_are_paired_by_setting_and_seed() -> None:
    found = {(each.setting, each.shots, each.method): each for each in label_gains(by_labels(grid()))}  # type: ignore[arg-type]
    assert len(found) == 2 * 3 * 2
    assert [found["A-C", shots, "kd"].gain for shots in ("2", "10", "all")] == [9, 5, 1]
    assert (found["A-C", "2", "kd"].low, found["A-C", "2", "kd"].high) == interval([8, 9, 10])
    assert [found["B-C", shots, "teacher"].gain for shots in ("2", "10", "all")] == [10, 0, -10]
    lone = [made for made in grid() if made.method != "kd" or made.seed == 1]
    found = {(each.setting, each.shots, each.method): each for each in label_gains(by_labels(lone))}  # type: ignore[arg-type]
    one = found["A-C", "2", "kd"]
    assert (one.seeds, one.gain, math.isnan(one.low)) == (1, 9, True)


def test_the_teacher_is_that_of_the_baseline() -> None:
    """On another processor a seed has another teacher."""
    other = TeacherScore(key="u", own_acc=95.0, test_acc=90.0)
    runs = [made if made.method == "finetune" else made.model_copy(update={"teacher_score": other}) for made in grid()]
    found = {(each.setting, each.shots, each.method): each.gain for each in label_gains(by_labels(runs))}  # type: ignore[arg-type]
    assert [found["A-C", shots, "teacher"] for shots in ("2", "10", "all")] == [10, 0, -10]


def test_without_the_baseline_there_is_no_gain() -> None:
    with pytest.raises(UserError, match="a gain is a difference to finetune"):
        label_gains(by_labels(grid(methods=("kd",))))  # type: ignore[arg-type]


def test_all_labels_are_more_than_any_number() -> None:
    assert sorted(["all", "10", "2"], key=number) == ["2", "10", "all"]


def test_the_figure_has_a_plot_for_each_setting_and_a_line_for_each_method() -> None:
    (made,) = draw("shots", grid())
    assert made.name == "digits-labelled-quick-shots"
    assert {"A-C", "B-C", "2", "10", "all", "kd", "the frozen teacher"} <= set(texts(made.figure))
    axes = made.figure.axes[0]
    (line,) = (each for each in axes.lines if each.get_marker() not in ("None", None, "", "_", "|"))
    assert list(line.get_ydata()) == [9, 5, 1]
    assert "the largest gain is 10.0 points (teacher, A-C, 2)" in made.alt


def test_one_number_of_labels_makes_no_curve() -> None:
    with pytest.raises(UserError, match="add some with --shots"):
        draw("shots", grid(shots=(2,)))


def test_a_method_with_one_number_of_labels_has_no_line() -> None:
    once = [each for each in grid(("mad",), shots=(2,)) if each.setting == "A-C"]
    (made,) = draw("shots", [*grid(), *once])
    assert "mad" not in texts(made.figure)
    (twice,) = draw("shots", [*grid(), *grid(("mad",), shots=(2, 10))])
    assert "mad" in texts(twice.figure)
