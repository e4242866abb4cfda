"""Where two records of one cell differ, in words."""

from __future__ import annotations

import pytest
from support.fake_records import record, table
from support.plot_records import rich

from okdbench.results.columns import csv_cells
from okdbench.results.record_diff import circumstances, first_difference, row_differences
from okdbench.results.records import Record
from okdbench.results.table import rows_of


@pytest.fixture
def now() -> Record:
    """A record with two stages, losses and evaluations."""
    return rich("kd", "A-C", 0, 60, environment={"python": "3.11", "torch": "2.9"}, fingerprints={"last": "a"})


def test_records_without_curves_differ_at_an_evaluation(now: Record) -> None:
    first = now.evaluations[0]
    worse = first.model_copy(update={"test": first.test.model_copy(update={"acc": first.test.acc - 1})})
    then = now.model_copy(update={"curves": {}, "evaluations": [worse, *now.evaluations[1:]]})
    assert first_difference(now, now) == ""
    assert first_difference(now.model_copy(update={"curves": {}}), now) == ""
    assert first_difference(now, now.model_copy(update={"curves": {}})) == ""
    assert first_difference(then, now) == (
        f"the evaluation of stage {first.stage!r} after {first.step} steps: "
        f"acc {first.test.acc - 1:.2f} -> {first.test.acc:.2f}"
    )


def test_another_teacher_is_named_before_what_follows_from_it(now: Record) -> None:
    assert now.teacher_score is not None
    own, foreign = now.teacher_score.own_acc, now.teacher_score.test_acc
    better = now.teacher_score.model_copy(update={"test_acc": foreign + 2})
    then = now.model_copy(update={"teacher_score": better, "fingerprints": {}})
    assert first_difference(then, now) == (
        f"the teacher ({own:.2f} -> {own:.2f} % on its own domains, "
        f"{foreign + 2:.2f} -> {foreign:.2f} % on the test images), "
        "then the record's teacher_score, fingerprints"
    )


def test_equal_weights_under_other_circumstances_are_identical(now: Record) -> None:
    then = now.model_copy(update={"key": "old", "version": "0.0.1", "environment": {"torch": "1.0"}})
    assert first_difference(then, now) == ""
    assert circumstances(then, now)["version"] == ("0.0.1", now.version)
    assert circumstances(then, now)["python"] == ("-", now.environment["python"])


def test_other_weights_after_equal_losses_are_a_difference(now: Record) -> None:
    then = now.model_copy(update={"fingerprints": {"last": "x", "selected": "y"}})
    assert first_difference(then, now) == "the record's fingerprints"


def test_a_stage_that_is_missing_or_shorter_is_named(now: Record) -> None:
    curve = now.curves["first"]
    more = {
        "steps": [*curve.steps, 999],
        "hashes": [*curve.hashes, "x"],
        "losses": {t: [*v, 0.5] for t, v in curve.losses.items()},
    }
    longer = curve.model_copy(update=more)
    assert "stage 'first', which is missing now" in first_difference(
        now, now.model_copy(update={"curves": {"x": curve}})
    )
    then = now.model_copy(update={"curves": {"first": longer}})
    assert first_difference(then, now) == (
        f"stage 'first', step 999 (equal up to step {curve.steps[-1]}): the stage has other steps now"
    )


def test_a_run_that_fails_now_is_a_difference(now: Record) -> None:
    failed = now.model_copy(update={"status": "failed", "selected": None, "error": "ValueError: no"})
    assert first_difference(now, failed) == "the run fails: ValueError: no"


def test_losses_that_differ_are_found_at_their_step(now: Record) -> None:
    curve = now.curves["first"]
    other = curve.model_copy(update={"hashes": ["a", "x", "x"], "losses": curve.losses | {"kl": [3.0, 2.5, 1.0]}})
    then = now.model_copy(update={"curves": now.curves | {"first": other}})
    assert first_difference(then, now) == "stage 'first', step 5 (equal up to step 0): kl 2.5 -> 2.0"
    unseen = curve.model_copy(update={"hashes": ["a", "x", "x"]})
    then = now.model_copy(update={"curves": now.curves | {"first": unseen}})
    assert first_difference(then, now).endswith("step 5 (equal up to step 0): losses that are equal in five digits")


def test_a_row_is_compared_in_the_numbers_that_a_repetition_repeats() -> None:
    def row(acc: float, seconds: float) -> dict[str, object]:
        made = record("kd", "A-C", 0, acc)
        slow = made.model_copy(update={"cost": made.cost.model_copy(update={"seconds": seconds})})
        return rows_of(table([slow]).query("setting == 'A-C'"))[0]

    assert row_differences(csv_cells(row(60, 10)), row(60, 99)) == {}
    found = row_differences(csv_cells(row(60, 10)), row(61, 10))
    assert found["acc"] == ("60.00", "61.00")
    assert "top5" in found
    assert "ece" not in found


def test_a_row_is_not_blamed_for_the_rows_that_it_was_ranked_with() -> None:
    others = [record(name, "A-C", seed, acc + seed) for name, acc in [("kd", 60), ("mad", 70)] for seed in range(3)]
    then, now = (
        next(row for row in rows_of(table(records)) if (row["method"], row["setting"]) == ("kd", "A-C"))
        for records in (others, others[:3])
    )
    assert (then["rank"], then["behind"], now["behind"]) == (2, 10, 0)
    assert row_differences(csv_cells(then), now) == {}
