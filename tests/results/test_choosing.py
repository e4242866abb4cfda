"""What the committed runs say to someone who chooses a method."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from okdbench.core.protocol import PROTOCOL_VERSION, Track
from okdbench.results import choosing
from okdbench.results.choosing import Line, committed_runs, measured, nearest
from okdbench.results.frames import finished_runs
from okdbench.results.label_gains import label_gains
from okdbench.results.store import read_records

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records" / "digits.jsonl.gz"


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return measured(committed_runs())


def test_the_gains_are_those_of_the_records(lines: list[Line]) -> None:
    by_shots: dict[str, list] = {}
    for record in read_records(RECORDS):
        if (record.protocol, record.track) == (PROTOCOL_VERSION, Track.LABELLED):
            by_shots.setdefault(str(record.shots or "all"), []).append(record)
    gains = label_gains({shots: finished_runs(records) for shots, records in by_shots.items()})
    wanted = {(each.setting, each.shots, each.method): each for each in gains}
    found = {(line.place.setting, line.place.shots, line.method): line for line in lines if line.gain}
    assert found.keys() == {key for key in wanted if key[2] != "teacher"}
    for key, line in found.items():
        assert line.gain is not None
        assert line.gain.value == pytest.approx(wanted[key].gain)
        assert (line.gain.low, line.gain.high) == pytest.approx((wanted[key].low, wanted[key].high))
        teacher = wanted[(*key[:2], "teacher")]
        assert line.place.ahead is not None
        assert line.place.ahead.value == pytest.approx(teacher.gain)


def test_rows_that_nobody_can_choose_are_no_lines(lines: list[Line]) -> None:
    assert not {"teacher", "original", "scratch", "finetune"} & {line.method for line in lines}
    assert {"kd", "augkd", "mosaickd", "dfq"} <= {line.method for line in lines}


def test_new_runs_make_new_lines() -> None:
    runs = committed_runs()
    other = runs[runs["task"] == "adapt"].assign(dataset="photos", acc=lambda frame: frame["acc"] / 2)
    both = measured(pd.concat([runs, other]))
    added = [line for line in both if line.place.dataset == "photos"]
    assert [line for line in both if line.place.dataset != "photos"] == measured(runs)
    halved = {(line.method, line.place.shots): line.gain.value for line in added if line.gain}
    for line in measured(runs):
        if line.gain:
            assert halved[line.method, line.place.shots] == pytest.approx(line.gain.value / 2)


def test_one_seed_has_no_interval(lines: list[Line]) -> None:
    runs = committed_runs()
    assert len(lines) == len(one := measured(runs[runs["seed"] == 0]))
    assert all(line.accuracy.low != line.accuracy.low for line in one)
    assert all(line.gain.sign == 0 for line in one if line.gain)


def test_costs_are_multiples_of_fine_tuning(lines: list[Line]) -> None:
    (line,) = (each for each in lines if (each.method, each.place.shots) == ("augkd", "1"))
    runs = committed_runs().query("shots == '1'")
    seconds = runs.groupby("method")["seconds"].mean()
    assert line.time == pytest.approx(seconds["augkd"] / seconds["finetune"])
    assert (line.student_images, line.teacher_queries) == (128_000, 166_400)


@pytest.mark.parametrize(("labels", "found"), [(1, "1"), (3, "2"), (8, "10"), (1000, "20")])
def test_the_nearest_place_is_that_of_the_fewest_points_or_labels(labels: int, found: str, lines: list[Line]) -> None:
    by_labels = nearest(lines, "adapt", "labelled", lambda place: choosing.apart(place.shots, labels))
    assert {line.place.shots for line in by_labels} == {found}


def test_what_was_not_measured_has_no_line(lines: list[Line]) -> None:
    assert nearest(lines, "adapt", "label-free", lambda _: 0.0) == []
    assert {line.place.setting for line in nearest(lines, "data-free", "label-free", lambda _: 0.0)} >= {"M", "MO"}
