"""Commands of runs: what is written can be read, and what was ever committed, too."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.error_text import refusal

from okdbench.core import syntax
from okdbench.core.command import flag, read_command, words_of
from okdbench.core.config import RunConfig
from okdbench.core.protocol import BUDGETS, Track, is_tuning_seed, tuning_seeds

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
COMMITTED = [file for file in sorted(LEADERBOARDS.glob("*.csv")) if file.stem not in ("runs", "published")]
NAMED = {"method": "kd", "dataset": "digits", "setting": "MP-O"}

CONFIGS = st.builds(
    RunConfig,
    method=st.sampled_from(["kd", "./my lab/mine.py"]),
    dataset=st.just("digits"),
    setting=st.sampled_from(["MP-O", "-P"]),
    seed=st.integers(0, 99) | st.sampled_from(tuning_seeds(3)),
    tuned=st.sampled_from([None, "8 trials, on digits; seeds 1000,1005; validation accuracy"]),
    budget=st.sampled_from(list(BUDGETS)),
    track=st.sampled_from([None, *Track]),
    shots=st.none() | st.integers(1, 100),
    pretrained=st.booleans(),
    image_size=st.sampled_from([32, 64]),
    precision=st.sampled_from(["float32", "bfloat16-targets", "bfloat16"]),
    test_split=st.sampled_from([None, "folds", "official"]),
    hyperparameters=st.dictionaries(
        st.sampled_from(["lr", "mixed", "form", "betas"]),
        st.floats(0, 1) | st.booleans() | st.sampled_from(["joint", "two words"]) | st.lists(st.integers(0, 9)),
    ),
)


@given(CONFIGS)
def test_a_command_is_read_as_the_configuration_that_wrote_it(config: RunConfig) -> None:
    given_back = read_command(shlex.join(["okdbench", *words_of(config)]))
    (method,) = given_back.pop("method")
    hyperparameters = syntax.parse_assignments(given_back.pop("assignments", []))
    assert given_back.pop("tuning", False) == is_tuning_seed(config.seed)
    assert RunConfig(**given_back, method=method, hyperparameters=hyperparameters) == config


def test_the_command_names_what_a_reader_looks_for_and_leaves_the_device_out() -> None:
    config = RunConfig(**NAMED, track="labelled", device="cuda:1", hyperparameters={"lr": 0.1})
    assert shlex.join(words_of(config)) == (
        "run --method kd --dataset digits --setting MP-O --seed 0 --budget quick --track labelled --set lr=0.1"
    )


def test_the_weights_of_a_teacher_are_written_and_never_read() -> None:
    words = words_of(RunConfig(**NAMED, teacher_weights="t.pt"))
    # the size as well, because the file may say another than the usual one
    assert words[-4:] == ["--teacher-weights", "t.pt", "--image-size", "32"]
    assert "it by hand if you trust it" in refusal(read_command, shlex.join(["okdbench", *words]))


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.stem)
def test_every_committed_command_can_be_read(file: Path) -> None:
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert rows
    for row in rows:
        given_back = read_command(row["command"])
        assert given_back["dataset"] == file.stem
        assert len(given_back["method"]) == 1
        assert syntax.parse_seeds(given_back.get("seeds") or str(given_back["seed"]))


def test_a_range_of_seeds_and_several_methods_can_be_read() -> None:
    line = "okdbench run --method kd --method 'augkd[rho=0.1]' --dataset digits --seeds 0-2 --set a=1 --set b=2"
    assert read_command(line) == {
        "method": ["kd", "augkd[rho=0.1]"], "dataset": "digits", "seeds": "0-2", "assignments": ["a=1", "b=2"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("okdbench sweep --methods kd", "its command is not 'okdbench run'"),
        ("okdbench run --method 'kd", "its command cannot be read (No closing quotation)"),
        ("okdbench run --method kd --runs x", "its command has --runs, which verify does not follow"),
        ("okdbench run --method kd --device=cuda", "its command has --device, which verify does not follow"),
        ("okdbench run --meth kd", "its command has --meth, which verify does not follow"),
        ("okdbench run --seed one", "its command cannot be read (argument --seed: invalid int value: 'one')"),
    ],
)
def test_other_commands_are_refused(line: str, complaint: str) -> None:
    assert refusal(read_command, line).startswith(complaint)


def test_the_option_of_a_field() -> None:
    assert (flag("image_size"), flag("seed")) == ("--image-size", "--seed")
