"""Grids as they are typed, where a file stands for options, and the plans of their runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.error_text import refusal

from okdbench.core.errors import UserError
from okdbench.sweep.grid import Grid, parse_grid
from okdbench.sweep.plans import checked_plans, plans_of
from okdbench.training.plan import Plan, make_plan

TINY = {"budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}


def grid(*methods: str, **fields: Any) -> Grid:
    usual: dict[str, Any] = {"datasets": ["digits"], "settings": ["MO-P"], "options": TINY}
    return Grid(methods, **(usual | fields))


SMALL = "dataset: digits\nbudget: smoke\nteacher: test_resnet\nstudent: test_resnet\n"


def titles(plans: list[Plan]) -> list[str]:
    return [plan.title for plan in plans]


def test_values_are_divided_at_commas_and_counted_once() -> None:
    made = parse_grid(
        {
            "method": ["kd[lr=0.1,temperature=2], finetune", "kd"],
            "dataset": ["digits,digits"],
            "setting": ["MO-P", "MP-O , MO-P"],
            "task": ["adapt, adapt"],
            "seed": ["0-1", "5,1"],
            "track": ["label-free,labelled"],
            "hyperparameters": ["hard_weight=0.2"],
            "budget": "smoke",
            "teacher": None,
        }
    )
    assert made == Grid(
        methods=["kd[lr=0.1,temperature=2]", "finetune", "kd"],
        datasets=["digits"],
        settings=["MO-P", "MP-O"],
        tasks=["adapt"],
        seeds=[0, 1, 5],
        tracks=["label-free", "labelled"],
        hyperparameters={"hard_weight": 0.2},
        options={"budget": "smoke", "teacher": None, "shots": None},
    )


def test_a_file_stands_for_options_that_are_not_given(tmp_path: Path, data_root: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "method: [kd, 'finetune']\ndataset: digits\nsetting: MO-P,MP-O\ntrack: labelled\nseed: 3\nbudget: smoke\n"
        "teacher: test_resnet\nstudent: test_resnet\nhyperparameters: {lr: 0.01}\n"
    )
    made = parse_grid({"setting": ["OP-M"]}, file)
    assert (made.methods, made.datasets, made.settings, made.seeds) == (["kd", "finetune"], ["digits"], ["OP-M"], [])
    plans = checked_plans(made, data_root)
    assert titles(plans) == ["kd[lr=0.01] digits OP-M seed 3", "finetune[lr=0.01] digits OP-M seed 3"]
    assert {plan.config.budget for plan in plans} == {"smoke"}


def test_a_file_may_name_task_and_labels_as_the_command_line_does(tmp_path: Path, data_root: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"{SMALL}task: transfer\n")
    assert titles(checked_plans(parse_grid({"method": ["kd"]}, file), data_root))[0] == "kd digits MP@O seed 0"
    assert make_plan({"method": "kd"}, file, data_root).setting.name == "MP@O"
    file.write_text(f"{SMALL}setting: MO-P\nshots: 2\n")
    both = checked_plans(parse_grid({"method": ["kd"], "track": ["labelled,label-free"]}, file), data_root)
    assert titles(both) == ["kd digits MO-P seed 0 2 shots", "kd digits MO-P seed 0 label-free"]
    every = parse_grid({"method": ["kd"], "shots": "all"}, file)
    assert titles(checked_plans(every, data_root)) == ["kd digits MO-P seed 0"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "no method is named; give one with --method, or in the file of --config"),
        ({"method": ["kd"]}, "no dataset is named; give one with --dataset, or in the file of --config"),
        ({"method": ["kd[a"], "dataset": ["digits"]}, "method 'kd[a' is not of the form"),
        ({"method": ["kd,./a/m.py,./b/m.py"], "dataset": ["digits"]}, "two methods of one name"),
        ({"method": ["kd"], "dataset": ["digits"], "seed": ["2-0"]}, "seeds '2-0' are not of the form"),
        (
            {"method": ["kd"], "dataset": ["digits"], "track": ["free"]},
            "unknown track 'free'; did you mean 'label-free'",
        ),
        (
            {"method": ["kd"], "dataset": ["digits"], "task": ["transfer,datafree"]},
            "unknown task 'datafree'; did you mean 'data-free'",
        ),
        (
            {"method": ["kd"], "dataset": ["digits"], "task": ["transfer"], "setting": ["MO@P,MO"]},
            "setting 'MO' is of task data-free, not transfer",
        ),
        ({"method": ["kd"], "dataset": ["digits"], "hyperparameters": ["lr"]}, "'lr' is not of the form key=value"),
    ],
)
def test_a_grid_that_is_none_is_refused(given: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(parse_grid, given)


@pytest.mark.parametrize("name", ["methods", "datasets", "settings", "tasks", "seeds", "tracks", "hyperparameter"])
def test_a_key_of_a_file_in_the_wrong_number_is_named(name: str, tmp_path: Path) -> None:
    file, right = tmp_path / "c.yaml", "hyperparameters" if name == "hyperparameter" else name.removesuffix("s")
    file.write_text(f"{name}: kd\n")
    for read in (parse_grid, make_plan):
        assert refusal(read, {}, file) == f"{file}: unknown key '{name}'; did you mean '{right}'?"


def test_without_settings_a_data_set_has_its_default_ones() -> None:
    assert grid("kd", settings=()).places() == [("digits", "MP-O"), ("digits", "MO-P"), ("digits", "OP-M")]


@pytest.mark.parametrize(
    ("tasks", "settings"),
    [
        (["adapt"], ["MP-O", "MO-P", "OP-M"]),
        (["transfer"], ["MP@O", "MO@P", "OP@M"]),
        (["data-free"], ["MP", "MO", "OP"]),
        (["data-free", "transfer"], ["MP", "MO", "OP", "MP@O", "MO@P", "OP@M"]),
    ],
)
def test_a_task_without_settings_is_that_of_the_default_ones(tasks: list[str], settings: list[str]) -> None:
    assert grid("dafl", settings=(), tasks=tasks).places() == [("digits", setting) for setting in settings]
    plans = parse_grid({"method": ["dafl"], "dataset": ["digits"], "task": [",".join(tasks)]}).places()
    assert plans == [("digits", setting) for setting in settings]


def test_a_task_that_a_data_set_has_no_default_settings_of_is_refused(tmp_path: Path) -> None:
    for name in ("studio/cup", "phone/cup"):
        (tmp_path / name).mkdir(parents=True)
    file = tmp_path / "shop.yaml"
    file.write_text("domains: {studio: studio, phone: phone}\nsettings: [S@P]\n")
    assert grid("kd", datasets=[str(file)], settings=()).places() == [(str(file), "S@P")]
    some = grid("dafl", datasets=[str(file)], settings=(), tasks=["transfer", "adapt"])
    assert "has no default settings of task adapt" in refusal(some.places), "nothing is left out in silence"
    file.write_text("domains: {studio: studio, phone: phone}\nsettings: [S@P, S-P]\n")
    assert grid("kd", datasets=[str(file)], settings=()).places() == [(str(file), "S-P")], "adapt, where it has some"
    file.write_text("domains: {studio: studio, phone: phone}\nsettings: [S@P]\n")
    adapt = grid("kd", datasets=[str(file)], settings=(), tasks=["adapt"])
    assert refusal(adapt.places) == f"{file} has no default settings of task adapt; name one with --setting"


def test_runs_go_setting_by_setting_seed_by_seed_and_method_by_method(data_root: Path) -> None:
    made = grid("kd", "finetune", settings=["MO-P", "MP-O"], seeds=[0, 1])
    assert titles(list(plans_of(made, data_root))) == [
        f"{method} digits {setting} seed {seed}"
        for setting in ("MO-P", "MP-O") for seed in (0, 1) for method in ("kd", "finetune")
    ]  # fmt: skip


def test_the_brackets_of_a_variant_win_over_the_common_hyperparameters(data_root: Path) -> None:
    made = grid("kd", "kd[temperature=2]", hyperparameters={"temperature": 4})
    found = [plan.hyperparameters.model_dump()["temperature"] for plan in plans_of(made, data_root)]
    assert found == [4, 2]


def test_two_ways_to_write_one_variant_are_one_run(data_root: Path) -> None:
    assert titles(checked_plans(grid("kd", "kd[temperature=10]", "kd[temperature=4]"), data_root)) == [
        "kd digits MO-P seed 0", "kd[temperature=4.0] digits MO-P seed 0",
    ]  # fmt: skip


def test_a_method_outside_of_the_only_track_is_left_out_of_a_sweep_and_refused_by_run(
    data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = grid("augkd", "kd", tracks=["label-free"])
    assert titles(list(plans_of(made, data_root))) == ["kd digits MO-P seed 0 label-free"]
    assert capsys.readouterr().err == "okdbench: augkd is left out: it is not for task adapt, label-free\n"
    with pytest.raises(UserError, match="'augkd' does not run in the label-free track; its tracks: labelled"):
        checked_plans(made, data_root)
    with pytest.raises(UserError, match="augkd: not for task adapt, label-free; these are: cmi"):
        list(plans_of(grid("augkd", tracks=["label-free"]), data_root))


def test_with_several_tracks_each_method_runs_in_those_that_it_has(
    data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = grid("augkd", "mosaickd[form=joint]", "kd", tracks=["labelled", "label-free"])
    assert titles(checked_plans(made, data_root)) == [
        "augkd digits MO-P seed 0", "mosaickd[form=joint] digits MO-P seed 0", "kd digits MO-P seed 0",
        "kd digits MO-P seed 0 label-free",
    ]  # fmt: skip
    assert capsys.readouterr().err.count("left out") == 1, "the variant that reads labels"


def test_with_several_tasks_and_tracks_each_method_runs_where_it_can(
    data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels are counted where there are any, so that one number of them is no mistake in the other places."""
    made = grid(
        "finetune", "dafl", "kd", "scratch", "augkd", settings=["MO-P", "MO@P", "MO"],
        tracks=["labelled", "semi", "label-free"], options={**TINY, "shots": 5},
    )  # fmt: skip
    assert titles(checked_plans(made, data_root)) == [
        "finetune digits MO-P seed 0 5 shots", "dafl digits MO-P seed 0 5 shots", "kd digits MO-P seed 0 5 shots",
        "augkd digits MO-P seed 0 5 shots",
        "finetune digits MO-P seed 0 semi 5 shots", "dafl digits MO-P seed 0 semi 5 shots",
        "kd digits MO-P seed 0 semi 5 shots",
        "dafl digits MO-P seed 0 label-free", "kd digits MO-P seed 0 label-free",
        "dafl digits MO@P seed 0", "kd digits MO@P seed 0", "scratch digits MO@P seed 0",
        "dafl digits MO seed 0", "scratch digits MO seed 0",
    ]  # fmt: skip
    assert capsys.readouterr().err == "", "each of them runs somewhere"


def test_without_a_track_each_task_has_its_default_one(data_root: Path) -> None:
    plans = checked_plans(grid("dafl", settings=["MO-P", "MO@P", "MO"]), data_root)
    assert [plan.track for plan in plans] == ["labelled", "label-free", "label-free"]
    assert [plan.setting.task for plan in plans] == ["adapt", "transfer", "data-free"]


def test_a_method_for_none_of_the_places_is_named(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = grid("augkd", "dafl", settings=["MO@P", "MO"])
    assert titles(checked_plans(made, data_root)) == ["dafl digits MO@P seed 0", "dafl digits MO seed 0"]
    assert capsys.readouterr().err == (
        "okdbench: augkd is left out: it is not for task transfer, label-free or task data-free, label-free\n"
    )


def test_a_plan_of_a_grid_is_that_of_the_same_options(data_root: Path, plan: Callable[..., Plan]) -> None:
    (made,) = checked_plans(grid("kd"), data_root)
    assert made.key == plan("kd").key
