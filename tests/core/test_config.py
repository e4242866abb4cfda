"""The run configuration: precedence of its sources, and the error messages for what is not allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from support.error_text import refusal

from okdbench.core import config, syntax, yaml_files
from okdbench.core.config import RunConfig
from okdbench.core.protocol import Track

NAMED = {"method": "kd", "dataset": "digits", "setting": "MP-O"}


class Hyperparameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rho: float = Field(0.5, ge=0, le=1)
    lr: float = Field(1e-3, gt=0)
    steps: int = Field(3, ge=1)
    kd_on: Literal["mixed_only", "both"] = "both"
    betas: tuple[float, float] = (0.9, 0.999)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("c.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-1.5E+2", -150.0),
        ("1.", 1.0),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2020-01-01", "2020-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("'1'", "1"),
        ("[1, 1e2]", [1, 100.0]),
    ],
)
def test_scalars_follow_yaml_1_2(file: Path, text: str, value: object) -> None:
    file.write_text(f"key: {text}\n")
    read = yaml_files.load_yaml(file)["key"]
    assert read == value
    assert type(read) is type(value)


@given(st.floats(allow_nan=False) | st.integers() | st.booleans())
def test_numbers_and_booleans_survive_as_assignments(value: float | int | bool) -> None:
    text = json.dumps(value) if abs(value) != float("inf") else f"{'-' if value < 0 else ''}.inf"
    read = syntax.parse_assignments([f"key={text}"])["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a: 1\nb: 2\na: 3\n", "c.yaml: line 3: key 'a' appears twice"),
        (b"a: {x: 1, x: 2}\n", "c.yaml: line 1: key 'x' appears twice"),
        (b"- a\n- b\n", "c.yaml: expected 'key: value' lines, found a list"),
        (b"a: [1, 2\n", "c.yaml: line 2: "),
        (b"a: !!python/object:os.system {}\n", "c.yaml: line 1: could not determine a constructor"),
        (b"a: !!int x\n", "c.yaml: not valid YAML: invalid literal"),
        (b"a: \x01\n", "c.yaml: not valid YAML: unacceptable character"),
        (b"a: \xff\n", "c.yaml: not a text file in UTF-8"),
        (b"[" * 1500, "c.yaml: not valid YAML: "),
    ],
)
def test_a_broken_file_is_refused_in_one_line(file: Path, content: bytes, complaint: str) -> None:
    file.write_bytes(content)
    assert refusal(yaml_files.load_yaml, file).startswith(complaint)


def test_a_missing_file_and_a_folder_are_refused(file: Path) -> None:
    assert refusal(yaml_files.load_yaml, file) == "c.yaml: no such file or directory"
    file.mkdir()
    assert refusal(yaml_files.load_yaml, file) == "c.yaml: is a directory"


def test_an_empty_file_is_an_empty_mapping(file: Path) -> None:
    file.write_text("# nothing\n")
    assert yaml_files.load_yaml(file) == {}


def test_command_line_wins_over_file_wins_over_defaults(file: Path) -> None:
    file.write_text("dataset: digits\nseed: 4\nimage_size: 64\nhyperparameters: {rho: 0.1, lr: 1e-2}\nbudget:\n")
    given_values = {**NAMED, "seed": 7, "image_size": None, "track": "label-free", "hyperparameters": {"rho": 0.2}}
    resolved = config.resolve(given_values, file=file)
    assert resolved == RunConfig(
        **NAMED, seed=7, image_size=64, track=Track.LABEL_FREE, hyperparameters={"rho": 0.2, "lr": 0.01}
    )
    assert resolved.budget == "quick"


@pytest.mark.parametrize(
    ("given_values", "kept"),
    [
        ({"method": "kd", "setting": "MO-P", "hyperparameters": {}}, "8 trials"),
        ({"method": "kd", "setting": "MO-P", "budget": "smoke"}, "8 trials"),
        ({"method": "kd", "setting": "MO-P", "hyperparameters": {"lr": 0.1}}, None),
        ({"method": "augkd", "setting": "MO-P"}, None),
        ({"method": "kd", "setting": "MO-P", "hyperparameters": {"lr": 0.1}, "tuned": "9 trials"}, "9 trials"),
    ],
)
def test_what_a_file_says_of_its_tuning_holds_for_its_own_values_alone(
    given_values: dict[str, Any], kept: str | None, file: Path
) -> None:
    file.write_text("method: kd\ndataset: digits\nhyperparameters: {lr: 1e-2}\ntuned: 8 trials\n")
    assert config.resolve(given_values, file=file).tuned == kept


def test_what_is_said_of_a_tuning_is_one_line() -> None:
    assert "string should match pattern" in refusal(config.resolve, {**NAMED, "tuned": "8\ntrials"})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("sed: 1", "c.yaml: unknown key 'sed'; did you mean 'seed'?"),
        ("seed: -1", "c.yaml: seed=-1: out of range; allowed at least 0"),
        ("seed: true", "c.yaml: seed=True: input should be a valid integer; allowed at least 0"),
        ("image_size: 15", "c.yaml: image_size=15: out of range; allowed 16 to 1024"),
        ("image_size: 1025", "c.yaml: image_size=1025: out of range; allowed 16 to 1024"),
        (
            "precision: half",
            "c.yaml: precision='half': not a choice; allowed 'float32', 'bfloat16-targets' or 'bfloat16'",
        ),
        ("track: free", "c.yaml: track='free': not a choice; allowed 'labelled', 'semi' or 'label-free'"),
        ("pretrained: no", "c.yaml: pretrained='no': input should be a valid boolean"),
        ("hyperparameters: 3", "c.yaml: hyperparameters are 'name: value' lines of their own"),
    ],
)
def test_what_is_not_allowed_names_file_key_value_and_range(file: Path, line: str, complaint: str) -> None:
    file.write_text(line)
    assert refusal(config.resolve, NAMED, file=file) == complaint


def test_a_value_from_the_command_line_is_not_blamed_on_the_file(file: Path) -> None:
    file.write_text("seed: 1\n")
    assert refusal(config.resolve, {**NAMED, "seed": -3}, file=file) == "seed=-3: out of range; allowed at least 0"


def test_a_misspelt_name_is_reported_before_the_one_that_is_missing_for_it(file: Path) -> None:
    file.write_text("metod: kd\ndataset: digits\nsetting: MP-O\n")
    assert refusal(config.resolve, {}, file=file) == "c.yaml: unknown key 'metod'; did you mean 'method'?"
    assert refusal(config.resolve, {"method": "kd", "dataset": "digits"}) == "setting is missing"


def test_hyperparameters_default_preset_given() -> None:
    chosen = config.check_hyperparameters(Hyperparameters, {"rho": 0.1, "steps": 9}, {"steps": 5}, "kd")
    assert chosen == Hyperparameters(rho=0.1, steps=5)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"rh": 1}, "kd: unknown hyper-parameter 'rh'; did you mean 'rho'?"),
        ({"rho": 1.5}, "kd: hyper-parameter rho=1.5: out of range; allowed 0 to 1"),
        ({"rho": float("nan")}, "kd: hyper-parameter rho=nan: out of range; allowed 0 to 1"),
        ({"lr": 0}, "kd: hyper-parameter lr=0: out of range; allowed more than 0"),
        ({"kd_on": "all"}, "kd: hyper-parameter kd_on='all': not a choice; allowed 'mixed_only' or 'both'"),
    ],
)
def test_hyperparameters_that_are_not_allowed(values: dict[str, Any], complaint: str) -> None:
    assert refusal(config.check_hyperparameters, Hyperparameters, {}, values, "kd") == complaint


def test_a_variant_is_what_differs_from_the_defaults_of_the_budget() -> None:
    preset = {"steps": 9}
    assert config.variant_name(Hyperparameters, preset, {}) == ""
    assert config.variant_name(Hyperparameters, preset, {"steps": 9, "rho": 0.5}) == ""
    assert config.variant_name(Hyperparameters, {"rho": 2 / 3}, {"rho": 0.666667}) == "", "as show prints it"
    assert config.variant_name(Hyperparameters, {"rho": 2 / 3}, {"rho": 0.6667}) == "rho=0.6667"
    assert (
        config.variant_name(Hyperparameters, preset, {"steps": 3, "kd_on": "mixed_only"}) == "kd_on=mixed_only,steps=3"
    )
    assert config.variant_name(Hyperparameters, {}, {"rho": 1, "betas": [0.5, 0.9]}) == "betas=[0.5, 0.9],rho=1.0"


@pytest.mark.parametrize("text", ["", "rho", "rho=", "=1", "a b=1", "rho: 1"])
def test_a_malformed_assignment_names_the_form(text: str) -> None:
    assert "is not of the form key=value, for example lr=1e-3" in refusal(syntax.parse_assignments, [text])


def test_assignments_keep_what_follows_the_first_equals_sign_and_refuse_repetition() -> None:
    assert syntax.parse_assignments(["a=b=c", "d = null"]) == {"a": "b=c", "d": None}
    assert refusal(syntax.parse_assignments, ["a=1", "a=2"]) == "'a' is given twice"
    assert refusal(syntax.parse_assignments, ["a=[1"]).startswith("a=[1: line 1: ")


def test_variants_are_read_as_the_tables_write_them() -> None:
    assert syntax.split_methods("a[x=1,y=[1,2]], b ,c[z={u: 1, v: 2}]") == ["a[x=1,y=[1,2]]", "b", "c[z={u: 1, v: 2}]"]
    given = {"rho": 0.25, "betas": [0.5, 0.9], "kd_on": "mixed_only"}
    variant = config.variant_name(Hyperparameters, {}, given)
    assert syntax.parse_method(f" kd[{variant}]") == ("kd", given)
    assert syntax.parse_method("kd") == ("kd", {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kd[rho=1", "method 'kd[rho=1' is not of the form name or name[key=value,key=value]"),
        ("kd[rho=1]x", "method 'kd[rho=1]x' is not of the form name or name[key=value,key=value]"),
        ("kd[]", "'' is not of the form key=value, for example lr=1e-3"),
        ("kd[rho=1,rho=2]", "'rho' is given twice"),
    ],
)
def test_a_malformed_variant_is_refused(text: str, complaint: str) -> None:
    assert refusal(syntax.parse_method, text) == complaint


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "2-0", "1,,2", "0-2-4", "1.5", "9999999999"])
def test_malformed_seeds(text: str) -> None:
    assert refusal(syntax.parse_seeds, text) == f"seeds {text!r} are not of the form 0-2 or 0,3,5-7"


def test_seeds_in_any_order_and_with_repetition() -> None:
    assert syntax.parse_seeds(" 5-7, 0,3 ,6") == [0, 3, 5, 6, 7]
    assert syntax.format_seeds([7, 0, 6, 5, 3]) == "0,3,5-7"


@given(st.sets(st.integers(0, 40), min_size=1))
def test_seeds_survive_being_written(seeds: set[int]) -> None:
    assert syntax.parse_seeds(syntax.format_seeds(seeds)) == sorted(seeds)
