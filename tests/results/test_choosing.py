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
def runs() -> pd.DataFrame:
    """The committed runs of one setting for each task, so that the records that are added change nothing here."""
    return committed_runs().query("dataset == 'digits' and setting in ('MO-P', 'MO@P', 'M') and budget == 'quick'")


@pytest.fixture(scope="module")
def lines(runs: pd.DataFrame) -> list[Line]:
    return measured(runs)


def test_the_gains_are_those_of_the_records(lines: list[Line]) -> None:
    by_shots: dict[str, list] = {}
    for record in read_records(RECORDS):
        if (record.protocol, record.track, record.setting) == (PROTOCOL_VERSION, Track.LABELLED, "MO-P"):
            by_shots.setdefault(str(record.shots or "all"), []).append(record)
    gains = label_gains({shots: finished_runs(records) for shots, records in by_shots.items()})
    wanted = {(each.setting, each.shots, each.method): each for each in gains}
    labelled = [line for line in lines if line.gain and line.place.track == Track.LABELLED]
    found = {(line.place.setting, line.place.shots, line.method): line for line in labelled}
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


def test_new_runs_make_new_lines(runs: pd.DataFrame) -> None:
    other = runs[runs["task"] == "adapt"].assign(dataset="photos", acc=lambda frame: frame["acc"] / 2)
    both = measured(pd.concat([runs, other]))
    added = [line for line in both if line.place.dataset == "photos"]
    assert [line for line in both if line.place.dataset != "photos"] == measured(runs)
    halved = {(line.method, line.place.shots, line.place.track): line.gain.value for line in added if line.gain}
    for line in measured(runs):
        if line.gain:
            assert halved[line.method, line.place.shots, line.place.track] == pytest.approx(line.gain.value / 2)


def test_one_seed_has_no_interval(runs: pd.DataFrame, lines: list[Line]) -> None:
    assert len(lines) == len(one := measured(runs[runs["seed"] == 0]))
    assert all(line.accuracy.low != line.accuracy.low for line in one)
    assert all(line.gain.sign == 0 for line in one if line.gain)


def test_costs_are_multiples_of_fine_tuning(runs: pd.DataFrame, lines: list[Line]) -> None:
    (line,) = (each for each in lines if (each.method, each.place.shots) == ("augkd", "1"))
    seconds = runs.query("shots == '1'").groupby("method")["seconds"].mean()
    assert line.time == pytest.approx(seconds["augkd"] / seconds["finetune"])
    assert (line.student_images, line.teacher_queries) == (128_000, 166_400)


def test_seconds_of_another_commit_are_not_compared(runs: pd.DataFrame) -> None:
    """Its runs may be of another machine."""
    moved = runs.assign(commit=runs["commit"].where(runs["method"] != "augkd", "another"))
    times = {(line.method, line.place.shots): line.time for line in measured(moved)}
    assert times["augkd", "1"] is None
    assert times["kd", "1"] is not None


@pytest.mark.parametrize(("labels", "found"), [(1, "1"), (3, "2"), (4, "5"), (1000, "5")])
def test_the_nearest_place_is_that_of_the_fewest_points_or_labels(labels: int, found: str, lines: list[Line]) -> None:
    lines = [line for line in lines if line.place.shots in ("1", "2", "5")]
    by_labels = nearest(lines, "adapt", "labelled", lambda place: choosing.apart(place.shots, labels))
    assert {line.place.shots for line in by_labels} == {found}


def test_what_was_not_measured_has_no_line(lines: list[Line]) -> None:
    adapted = [line for line in lines if line.place.task == "adapt" and line.place.track == "labelled"]
    assert nearest(adapted, "adapt", "label-free", lambda _: 0.0) == []
    assert nearest(adapted, "adapt", "labelled", lambda _: 0.0) == adapted


def test_the_rule_of_thumb_is_counted(lines: list[Line]) -> None:
    ahead, behind = choosing.rules(lines)
    assert (ahead.ahead, behind.ahead) == (True, False)
    signs = [(line.place.ahead.value > 0, line.gain.sign) for line in lines if line.gain and line.place.ahead]
    assert (ahead.gains, ahead.ties, ahead.losses) == tuple(signs.count((True, sign)) for sign in (1, 0, -1))
    assert (behind.gains, behind.ties, behind.losses) == tuple(signs.count((False, sign)) for sign in (1, 0, -1))
    assert ahead.places + behind.places == len({line.place for line in lines if line.gain})
