"""Comparison groups go by what is in a teacher's file and in the images, not by what they are called."""

from __future__ import annotations

from typing import Any

import pytest
from support.fake_records import failed, record

from okdbench.core.errors import UserError
from okdbench.results.frames import comparison_groups, to_frame
from okdbench.results.records import Record, TeacherScore
from okdbench.results.significance import compare


def with_teacher(path: str, fingerprint: str, acc: float = 60, method: str = "kd", **changes: Any) -> Record:
    score = TeacherScore(key="t", fingerprint=fingerprint, own_acc=None, test_acc=40.0)
    return record(method, "-C", 0, acc, config={"teacher_weights": path}, teacher_score=score, **changes)


def teachers(*records: Record) -> list[str]:
    return [group.teacher for group in comparison_groups(records)]


def test_a_file_that_was_overwritten_is_two_teachers() -> None:
    found = teachers(with_teacher("a/best.pt", "1" * 64), with_teacher("a/best.pt", "2" * 64, method="mad"))
    assert found == ["resnet18[teacher_weights=best.pt 11111111]", "resnet18[teacher_weights=best.pt 22222222]"]


def test_a_teacher_under_two_paths_is_one() -> None:
    pair = with_teacher("~/best.pt", "1" * 64), with_teacher("copies/last.safetensors", "1" * 64, method="mad")
    assert teachers(*pair) == ["resnet18[teacher_weights=best.pt]"]
    others = with_teacher("best.safetensors", "2" * 64), record("kd", "-C", 0, 60)
    assert teachers(*pair, *others) == [
        "resnet18",
        "resnet18[teacher_weights=best.pt]",
        "resnet18[teacher_weights=best.safetensors]",
    ]


def test_a_failed_run_is_in_the_group_of_its_teachers_file() -> None:
    lacking = failed("mad", "-C", 0, teacher_score=None, weights_digest="f", config={"teacher_weights": "b/x.pt"})
    done = with_teacher("a/best.pt", "1" * 64, weights_digest="f")
    assert teachers(done, lacking) == ["resnet18[teacher_weights=best.pt]"]
    assert teachers(lacking) == ["resnet18[teacher_weights=x.pt]"]
    older = failed("mad", "-C", 0, teacher_score=None, config={"teacher_weights": "b/x.pt"})
    assert teachers(older) == ["resnet18[teacher_weights=x.pt]"]


def test_nothing_in_a_foreign_record_reaches_the_terminal() -> None:
    found = teachers(with_teacher("\x1b[31m", "\x1b" * 9), with_teacher("\x1b[31m", "\x1c" * 9))
    assert "\x1b" not in "".join(found)
    assert len(found) == 2


def on_images(setting: str, hour: int, digest: str, **domains: str) -> Record:
    finished = {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}
    return record("kd", setting, 0, hour, data_digest=digest, domain_digests=domains, environment=finished)


def groups(*records: Record) -> dict[str, list[int]]:
    """What follows the teacher's name -> the hours of the runs."""
    found = comparison_groups(records).items()
    return {
        group.teacher.removeprefix("resnet18"): [round(made.selected.evaluation.test.acc) for made in members]  # type: ignore[union-attr]
        for group, members in found
    }


def test_data_sets_of_one_name_with_other_images_are_two() -> None:
    one, other = on_images("A-C", 1, "11111111one"), on_images("A-C", 2, "22222222other")
    assert groups(one, other) == {"[images=11111111]": [1], "[images=22222222]": [2]}
    assert groups(one) == {"": [1]}
    note = one.model_copy(update={"data_note": "differing"})
    assert groups(note, note.model_copy(update={"data_digest": "2"})).keys() == {
        "[images=differing 11111111]",
        "[images=differing 2]",
    }


def test_settings_of_one_data_set_stay_together_whatever_ran_last() -> None:
    one = [on_images("A-B", 1, "a1b1", A="a1", B="b1"), on_images("B-C", 4, "b1c1", B="b1", C="c1")]
    other = [on_images("A-B", 3, "a2b2", A="a2", B="b2"), on_images("B-C", 2, "b2c2", B="b2", C="c2")]
    assert groups(*one, *other) == {"[images=a1b1]": [1, 4], "[images=a2b2]": [2, 3]}
    assert groups(*one) == {"": [1, 4]}


def test_images_with_and_without_labels_are_no_contradiction() -> None:
    assert groups(
        on_images("A@B", 1, "x", **{"A": "a", "@B": "b hidden"}),
        on_images("B@A", 2, "y", **{"B": "b", "@A": "a hidden"}),
    ) == {"": [1, 2]}


def test_records_of_older_versions_are_compared_by_setting() -> None:
    older = on_images("A-B", 1, "a1b1")
    assert groups(older, on_images("A-B", 2, "a1b1", A="a1", B="b1")) == {"": [1, 2]}
    assert len(groups(older, on_images("A-B", 2, "a2b1", A="a2", B="b1"))) == 2


def test_a_comparison_asks_which_teacher_is_meant() -> None:
    both = [with_teacher("best.pt", "1" * 64, method=name) for name in ("kd", "mad")]
    runs = to_frame([*both, with_teacher("best.pt", "2" * 64)])
    with pytest.raises(UserError, match=r"--teacher 'resnet18\[teacher_weights=best.pt 11111111\]' or --teacher"):
        compare(runs, "kd", "mad")
    assert len(compare(runs, "kd", "mad", teacher="resnet18[teacher_weights=best.pt 11111111]")) == 1
