"""Tuning: fair draws, seeds that no table uses, a choice that reads no test image, and a file that runs the winner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.error_text import refusal
from support.fake_records import record
from support.fork_server import Command, nothing
from support.hidden_images import tiny_runs, tiny_runs_without_labels, tiny_runs_without_test_images
from typer.testing import CliRunner

import okdbench
from okdbench.cli.app import app
from okdbench.core.protocol import is_tuning_seed
from okdbench.core.yaml_files import load_yaml, parse_yaml
from okdbench.results.records import Record
from okdbench.results.store import read_records
from okdbench.sweep.grid import parse_grid
from okdbench.sweep.tuning import Tuning, make_tuning

TINY = "--teacher test_resnet --student test_resnet --budget smoke --device cpu"
NOTE = "3 trials, on digits MO-P, labelled, smoke; seeds 1000; validation accuracy"


def okdbench_command(line: str, folder: Path, data_root: Path, before: Callable[[], None] = tiny_runs) -> str:
    """The standard output of a command that succeeds."""
    folder.mkdir(exist_ok=True)
    result = Command(line.split(), folder, data_root, before).wait(600)
    assert result.returncode == 0, result.stderr
    return result.stdout


def trials_of(folder: Path) -> dict[str, Record]:
    """Variant -> the record of a trial with one repetition."""
    return {made.variant: made for made in read_records(folder / "runs") if is_tuning_seed(made.seed)}


def tuning(method: str = "kd", trials: int = 8, seed: int = 0, repeats: int = 2, **given: Any) -> Tuning:
    given = {"dataset": ["digits"], "setting": ["MO-P"], **given}
    return make_tuning(parse_grid({**given, "method": [method]}), trials, seed, repeats)


# The firewall


CASES = [
    ("finetune", "--setting MO-P"),
    pytest.param("kd", "--setting MO@P", marks=pytest.mark.slow),
    ("dafl", "--setting MO-P --track label-free"),
]


def compare_with_noise(method: str, where: str, trials: int, folder: Path, data_root: Path) -> None:
    hide = tiny_runs_without_test_images if method == "finetune" else tiny_runs_without_labels
    # outside of task adapt there is no label and no validation image to hide
    hide = tiny_runs_without_test_images if "@" in where else hide
    line = f"tune {method} --dataset digits {where} --trials {trials} --repeats 1 --output best.yaml {TINY}"
    shown = okdbench_command(line, folder / "real", data_root)
    assert shown == okdbench_command(line, folder / "noise", data_root, hide), "the same scores and the same winner"
    assert (folder / "real/best.yaml").read_text() == (folder / "noise/best.yaml").read_text()
    real, noise = trials_of(folder / "real"), trials_of(folder / "noise")
    assert len(real) == trials
    assert {name: made.tuning_score for name, made in real.items()} == {
        name: made.tuning_score for name, made in noise.items()
    }, "bit for bit"
    assert len({made.tuning_score for made in real.values()}) > 1, "the configurations differ"
    # with the calibration error, because a student that predicts one class has the same accuracy on noise
    scores = [[made.selected and made.selected.evaluation.test for made in each.values()] for each in (real, noise)]
    assert scores[0] != scores[1], "the noise was evaluated"


@pytest.mark.parametrize(("method", "where"), CASES)
def test_a_tuning_reads_no_test_image_and_no_withheld_label(
    method: str, where: str, tmp_path: Path, data_root: Path
) -> None:
    compare_with_noise(method, where, 2, tmp_path, data_root)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "where"), CASES)
def test_eight_trials_read_no_test_image_and_no_withheld_label(
    method: str, where: str, tmp_path: Path, data_root: Path
) -> None:
    compare_with_noise(method, where, 8, tmp_path, data_root)


# From the trials to the row


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    line = f"tune finetune --dataset digits --setting mo-p --trials 3 --repeats 1 {TINY}"
    (folder / "shown.txt").write_text(okdbench_command(line, folder, data_root))
    return folder


def test_the_table_is_sorted_by_score_and_the_file_holds_the_best(tuned: Path) -> None:
    title, _, _, *rows, last = (tuned / "shown.txt").read_text().splitlines()
    scores = [float(row.split()[1]) for row in rows]
    assert title == f"finetune: {NOTE}"
    assert (len(rows), scores) == (3, sorted(scores, reverse=True))
    assert last == (
        f"tuned/finetune-digits-MO-P-labelled.yaml: trial {rows[0].split()[0]}; next: "
        "okdbench run --config tuned/finetune-digits-MO-P-labelled.yaml --seeds 0-4"
    )
    best = max(trials_of(tuned).values(), key=lambda made: made.tuning_score or 0)
    assert best.selected is not None
    assert best.tuning_score == best.selected.evaluation.val_acc
    content = load_yaml(tuned / "tuned/finetune-digits-MO-P-labelled.yaml")
    assert content.pop("hyperparameters") == best.config["hyperparameters"] or best.variant == ""
    assert content == {
        "method": "finetune", "dataset": "digits", "setting": "MO-P", "budget": "smoke", "track": "labelled",
        "teacher": "test_resnet", "student": "test_resnet", "tuned": NOTE,
    }  # fmt: skip


def test_a_row_of_the_winner_says_how_it_was_tuned_and_trials_are_in_no_table(tuned: Path, data_root: Path) -> None:
    okdbench_command("run --config tuned/finetune-digits-MO-P-labelled.yaml --device cpu", tuned, data_root)
    (row,) = okdbench_command("leaderboard --format csv", tuned, data_root).splitlines()[2:]
    assert f'"{NOTE}"' in row
    (made,) = (made for made in read_records(tuned / "runs") if made.seed == 0)
    assert (made.tuned, made.tuning_score) == (NOTE, None)
    assert f"--tuned '{NOTE}'" in made.command


def test_a_run_that_was_there_before_says_it_afterwards(tuned: Path, data_root: Path) -> None:
    line = f"run --method finetune --dataset digits --setting MO-P --seed 1 {TINY}"
    okdbench_command(line, tuned, data_root)
    (before,) = (made for made in read_records(tuned / "runs") if made.seed == 1)
    okdbench_command(f"{line} --tuned later", tuned, data_root)
    (after,) = (made for made in read_records(tuned / "runs") if made.seed == 1)
    assert (before.tuned, after.tuned, after.finished) == ("", "later", before.finished), "the same run"


def test_more_trials_go_on_from_fewer(tuned: Path, data_root: Path) -> None:
    files = {made.key: (tuned / "runs" / made.key / "record.json").stat().st_mtime_ns
             for made in trials_of(tuned).values()}  # fmt: skip
    okdbench_command(
        f"tune finetune --dataset digits --setting MO-P --trials 4 --repeats 1 --output more.yaml {TINY}",
        tuned,
        data_root,
    )
    later = {key: (tuned / "runs" / key / "record.json").stat().st_mtime_ns for key in files}
    assert (later, len(trials_of(tuned))) == (files, 4)


def test_trials_are_repeated_by_their_own_command_and_by_nobody_by_hand(tuned: Path, data_root: Path) -> None:
    trial = next(iter(trials_of(tuned).values()))
    assert trial.command.endswith(" --tuning")
    line = f"--method finetune --dataset digits --setting MO-P --seed 1000 {TINY}"
    for command in ("run", "sweep"):
        result = Command([command, *line.split()], tuned, data_root).wait()
        assert (result.returncode, result.stderr) == (
            2, "okdbench: --seed 1000: seeds from 1000 on are for okdbench tune and in no table; use a smaller one\n",
        )  # fmt: skip
    (tuned / "seed.yaml").write_text("seed: 1005\n")
    grid = {"method": ["kd"], "dataset": ["digits"]}
    assert "--seed 1005" in refusal(parse_grid, grid, tuned / "seed.yaml")
    assert "--seed 1000" in refusal(
        okdbench.run, method="kd", dataset="digits", setting="MO-P", seed=1000, runs=tuned / "none", data_root=data_root
    )


@pytest.mark.slow
def test_trials_run_side_by_side(tmp_path: Path, data_root: Path) -> None:
    line = f"tune finetune --dataset digits --setting MO-P --trials 2 --repeats 1 --jobs 2 {TINY}"
    # the children are processes of their own, which know nothing of smaller runs
    assert "finetune: 2 trials" in okdbench_command(line, tmp_path, data_root, nothing)
    assert len(trials_of(tmp_path)) == 2


# What is tried, and what wins


def test_everybody_draws_the_same_and_no_two_methods_or_settings_do() -> None:
    drawn = tuning().trials
    assert drawn == tuning(track=["label-free"]).trials
    assert drawn[0] == ("", {})
    assert len({variant for variant, _ in drawn}) == 8
    others = (tuning(seed=1), tuning(setting=["MP-O"]), tuning("finetune"))
    assert all(drawn[1:] != other.trials[1:] for other in others)


def test_what_is_given_is_fixed() -> None:
    for made in (tuning("kd[temperature=4]"), tuning(hyperparameters=["temperature=4"])):
        assert all(values["temperature"] == 4 for _, values in made.trials)
        assert made.trials[0] == ("temperature=4.0", {"temperature": 4})


def test_all_default_settings_get_one_configuration() -> None:
    made = tuning(setting=None, repeats=1)
    assert (made.settings, made.place) == (["MP-O", "MO-P", "OP-M"], "adapt")
    assert len(made.grid.methods) * len(made.grid.settings) * len(made.grid.seeds) == 8 * 3
    assert made.file == Path("tuned/kd-digits-adapt-labelled.yaml")
    records = [
        record("kd", setting, 1000, 0, variant=variant, tuning_score=score)
        for setting, scores in {"MP-O": (10, 90), "MO-P": (80, 20), "OP-M": (60, 30)}.items()
        for (variant, _), score in zip(made.trials, scores, strict=False)
    ]
    first, second = made.ranked(records)[:2]
    assert (first.trial, first.score, second.trial, second.score) == (0, 50, 1, pytest.approx(140 / 3))
    assert parse_yaml(made.to_yaml(first, Path("best.yaml")), "best")["setting"] == ["MP-O", "MO-P", "OP-M"]


def test_the_earliest_of_equals_wins_and_a_trial_with_a_failed_run_is_last() -> None:
    made = tuning(trials=4, repeats=2)
    scores = {0: (50, 50), 1: (60, 80), 2: (80, 60), 3: (99, None)}
    records = [
        record("kd", "MO-P", seed, 0, variant=made.trials[number][0], tuning_score=score)
        for number, both in scores.items()
        for seed, score in zip(made.grid.seeds, both, strict=True)
    ]
    assert [(each.trial, each.score) for each in made.ranked(records)] == [(1, 70), (2, 70), (0, 50), (3, None)]


def test_show_prints_the_ranges() -> None:
    shown = json.loads(CliRunner().invoke(app, ["show", "dafl", "--format", "json"]).stdout)
    ranges = {each["name"]: each["search"] for each in shown["hyperparameters"]}
    assert (ranges["lr_student"], ranges["student_optimizer"]) == ("0.0003 to 0.1, log", "adam, sgd")
    assert ranges["latent"] is None
    assert "0.0003 to 0.1, log" in CliRunner().invoke(app, ["show", "dafl"]).stdout


@pytest.mark.parametrize(
    ("method", "given", "complaint"),
    [
        ("kd,finetune", {}, "kd, finetune: tune one method at a time, with as many trials for each"),
        ("teacher", {}, "teacher has nothing to tune; declare ranges in it: hyper(..., search=(low, high))"),
        ("finetune[lr=0.1,weight_decay=0]", {}, "finetune has nothing to tune"),
        ("dafl", {"setting": ["MO"]}, "task data-free (MO) has no image to choose by, so it cannot be tuned"),
        ("kd", {"setting": ["MO-P", "MO@P"]}, "tune for one data set, task and track at a time"),
        ("kd", {"track": ["labelled", "label-free"]}, "tune for one data set, task and track at a time"),
        ("kd[temperature=-1]", {}, "kd: hyper-parameter temperature=-1: out of range"),
    ],
)
def test_what_cannot_be_tuned_is_refused(method: str, given: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(tuning, method, **given)


def test_a_winner_is_not_tuned_again(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(tuning().to_yaml(tuning().ranked([])[0], file))
    grid = replace(parse_grid({}, file), hyperparameters={})
    assert "is the result of a tuning; name the options without it" in refusal(make_tuning, grid, 8, 0, 2)
