"""Published numbers beside ours: what is compared, what cannot be compared, and why."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
from support.fake_records import record, table
from timm.models import model_entrypoint

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.settings import Setting, TaskKind
from okdbench.core.syntax import parse_method
from okdbench.results.frames import to_frame
from okdbench.results.published import compare_published, published_numbers
from okdbench.results.published_columns import PUBLISHED_COLUMNS
from okdbench.results.rendering import print_leaderboard, published_to_csv, to_latex, to_markdown
from okdbench.results.table import rows_of

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "published"
NUMBERS = published_numbers(["office31"])
USUAL: dict[str, Any] = {
    "dataset": "office31", "budget": "paper", "teacher": "resnet34", "student": "mobilenetv3_small_100",
    "config": {"pretrained": True},
}  # fmt: skip


def row(**changes: Any) -> pd.DataFrame:
    """A leaderboard with one row, which the first published number on Office-31 belongs to."""
    (setting,) = rows_of(table([record("augkd", "AW-D", 0, 84.0, **USUAL)]).query("setting == 'AW-D'"))
    ends = {"acc_low": 83.5, "acc_high": 84.5, "top5": 99.0, "top5_low": 98.9, "top5_high": 99.1}
    ends |= {"last_acc": 82.0, "last_acc_low": 81.9, "last_acc_high": 82.1}
    ends |= {"oracle_acc": 87.0, "oracle_acc_low": 86.9, "oracle_acc_high": 87.1}
    return pd.DataFrame([setting | {"complete": "3/3"} | ends | changes])


def compared(ours: pd.DataFrame, **changes: Any) -> dict[str, Any]:
    """The first published number, with changes, beside our rows."""
    (found,) = rows_of(compare_published(ours, NUMBERS[:1].assign(**changes)))
    return found


def test_the_first_number_is_what_the_source_says() -> None:
    first = rows_of(NUMBERS)[0]
    names = ("row", "setting", "value", "std", "pretrained", "image_size", "confidence")
    assert [first[name] for name in names] == ["augkd", "AW-D", 84.3, 3.1, "true", "32", "secondary"]
    assert "200 epochs" in first["budget"]


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.csv")), ids=lambda path: path.stem)
def test_every_file_can_be_read_and_its_rows_exist(path: Path) -> None:
    lines = list(csv.DictReader(path.open()))
    assert all(float(line["value"]) > 0 and line["source"] and line["confidence"] for line in lines)
    for line in lines:
        assert line["task"] in list(TaskKind)
        assert (
            not line["row"] or TaskKind(line["task"]) in registry.load_method(parse_method(line["row"])[0]).card.tasks
        )
        assert not line["setting"] or Setting.parse(line["setting"], registry.load_dataset(path.stem).domains)
        assert line["row"] or line["method"] not in plugins.method_names(), "the reason would be wrong"
        assert line["pretrained"] in ("true", "false", "")
        assert not line["image_size"] or int(line["image_size"]) > 0


def test_all_numbers_are_listed_with_a_verdict_and_a_reason() -> None:
    ours = row()
    found = rows_of(compare_published(ours, published_numbers()))
    assert len(found) == sum(len(path.read_text().splitlines()) - 1 for path in PUBLISHED.glob("*.csv"))
    assert all(one["verdict"] and one["why"] for one in found)
    listed = list(csv.DictReader(io.StringIO(published_to_csv(ours))))
    assert [(one["dataset"], one["why"]) for one in listed] == [(one["dataset"], one["why"]) for one in found]
    assert {one["verdict"] for one in listed if one["dataset"] != "office31"} == {"not comparable"}
    (compared_one,) = (one for one in listed if one["ours"])
    assert (compared_one["verdict"], compared_one["our_budget"]) == ("inconclusive", "paper, 100 student images")


def test_the_networks_of_data_sets_of_small_images_are_not_those_of_timm() -> None:
    # Other tests of the same process may have registered okdbench's own networks in timm.
    of_timm = {name for name in timm.list_models() if model_entrypoint(name).__module__.startswith("timm.")}
    for number in rows_of(published_numbers()):
        networks = {number["teacher"], number["student"]}
        if number["dataset"] in ("office31", "officehome", "visda"):
            assert networks <= of_timm
        else:
            assert not networks & of_timm, number


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_a_resnet34_for_cifar_is_not_that_of_timm(dataset: str) -> None:
    numbers = published_numbers([dataset]).query("teacher == 'cifar_resnet34' and student == 'cifar_resnet18'")
    numbers = numbers.assign(row="augkd", setting="AW-D", track="labelled", selection="held-out")
    ours = row(dataset=dataset, teacher="resnet34", student="resnet18")
    for one in rows_of(compare_published(ours, numbers)):
        assert one["verdict"] == "not comparable"
        assert "our teacher is resnet34, theirs cifar_resnet34" in one["why"]
        assert "our student is resnet18, theirs cifar_resnet18" in one["why"]


def test_a_data_set_without_published_numbers_has_none() -> None:
    assert published_numbers(["digits", "no such data set"]).empty
    assert compare_published(table([record("kd", "A-C", 0, 60)])).empty


@pytest.mark.parametrize(
    ("paper", "std", "verdict"),
    [
        (84.4, None, "reproduced"),
        (84.2, 0.2, "reproduced"),
        (83.6, 0.2, "inconclusive"),
        (84.6, None, "inconclusive"),
        (84.4, 1.0, "inconclusive"),
        (85.6, None, "not reproduced"),
        (81.0, 1.0, "inconclusive"),
        (70.0, 3.1, "not reproduced"),
    ],
)
def test_the_verdict_is_an_equivalence_test(paper: float, std: float | None, verdict: str) -> None:
    found = compared(row(), value=paper, std=std)
    assert (found["verdict"], found["ours"]) == (verdict, 84.0)
    half = (0.5**2 + (2 * (std or 0)) ** 2) ** 0.5
    ends = (84 - paper - half, 84 - paper + half)
    assert (found["difference_low"], found["difference_high"]) == pytest.approx(ends)
    assert f"between {ends[0]:+.2f} and {ends[1]:+.2f}" in found["why"]


@pytest.mark.parametrize(
    ("paper", "verdict", "words"),
    [
        (84.1, "reproduced", "within 1 point; ours has data_free_steps=500"),
        (90.0, "inconclusive", "the whole training was not run; ours has data_free_steps=500"),
    ],
)
def test_a_part_of_the_sources_training_can_reproduce_a_number_but_not_refute_it(
    paper: float, verdict: str, words: str
) -> None:
    part = row(method="augkd[data_free_steps=500]", student_images=100.0)
    found = compared(part, value=paper, std=None, images="1000")
    assert found["verdict"] == verdict
    assert words in found["why"]


def test_fewer_images_do_not_refute_a_number_either_where_no_hyper_parameter_tells() -> None:
    found = compared(row(student_images=100.0), value=90.0, std=None, images="1000")
    assert found["verdict"] == "inconclusive"
    assert "the whole training was not run; ours has 100 student images of 1,000" in found["why"]


def test_of_several_parts_the_largest_is_compared_and_never_the_best() -> None:
    rows = [
        row(method=f"augkd[data_free_steps={steps}]", student_images=images, acc=acc)
        for steps, images, acc in ((100, 10.0, 84.0), (500, 50.0, 60.0), (200, 20.0, 84.1))
    ]
    whole = row(student_images=100.0, acc=50.0)
    assert compared(pd.concat(rows), value=84.0, std=None, images="100")["ours"] == 60.0
    assert compared(pd.concat([*rows, whole]), value=84.0, std=None, images="100")["ours"] == 50.0


@pytest.mark.parametrize("images", ["", "100"])
def test_a_longer_training_is_no_part(images: str) -> None:
    longer = row(method="augkd[data_free_steps=500]", student_images=1000.0)
    found = compared(longer, value=84.0, std=None, images=images)
    assert found["verdict"] == "not comparable"
    assert found["why"].startswith("ours has data_free_steps=500, which is not known to be part of theirs")


def test_a_source_that_says_how_long_it_trained_is_compared_with_a_row_of_that_length() -> None:
    both = pd.concat(
        [row(method=f"augkd[data_free_steps={steps}]", acc=acc) for steps, acc in ((500, 84.0), (900, 50.0))]
    )
    found = compared(both, row="augkd[data_free_steps=500]", value=84.4, std=None)
    assert (found["verdict"], found["ours"]) == ("reproduced", 84.0)
    assert "data_free_steps" not in found["why"]


def test_a_row_of_other_settings_is_no_row_of_the_method() -> None:
    other = compared(row(method="augkd[data_free_steps=500,lr_student=0.1]"))
    assert other["why"] == "no run of ours"


@pytest.mark.parametrize(
    ("metric", "selection", "ours"),
    [("top1", "held-out", 84.0), ("top1", "last", 82.0), ("top1", "best-on-test", 87.0), ("top5", "held-out", 99.0)],
)
def test_like_is_compared_with_like(metric: str, selection: str, ours: float) -> None:
    found = compared(row(), metric=metric, selection=selection, value=ours + 0.3, std=None)
    assert (found["ours"], found["verdict"]) == (ours, "reproduced")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"teacher": "resnet18[pretrained=true]"}, "our teacher is resnet18, theirs resnet34"),
        ({"teacher": "resnet34[pretrained=true,test_split=official]"}, "our runs have test_split=official"),
        ({"teacher": "resnet34"}, "our runs have pretrained=false, theirs pretrained=true"),
        ({"teacher": "resnet34[image_size=64,pretrained=true]"}, "our runs have image_size=64, theirs image_size=32"),
        ({"acc_low": None, "acc_high": None}, "our number has no interval"),
        ({"teacher": "resnet34[ood_subset=500,pretrained=true]"}, "our ood_subset is 500, theirs the default"),
        (
            {"teacher": "resnet34[pretrained=true,teacher_recipe=dafl]"},
            "our teacher_recipe is dafl, theirs the default",
        ),
        ({"shots": "10"}, "our shots is 10"),
        ({"protocol": "1"}, "our protocol is 1"),
        ({"student": "mobilenetv3_smaller"}, "our student"),
        ({"budget": "quick"}, "our budget is quick, theirs 200 epochs"),
        ({"complete": "2/3"}, "only 2/3"),
        ({"track": "label-free"}, "no run of ours"),
        ({"acc": None}, "no run of ours"),
    ],
)
def test_what_cannot_be_compared_has_a_reason(changes: dict[str, Any], why: str) -> None:
    found = compared(row(**changes))
    assert found["verdict"] == "not comparable"
    assert why == found["why"] or (why in found["why"] and ";" not in found["why"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"row": "", "method": "nayer"}, "okdbench has no method nayer"),
        ({"setting": ""}, "okdbench has no such setting of office31"),
        ({"setting": "", "dataset": "cub200"}, "okdbench has no data set cub200"),
        ({"row": "", "setting": ""}, "okdbench has no such setting of office31; okdbench has no method augkd"),
        ({"metric": "mIoU"}, "okdbench does not measure mIoU"),
        ({"selection": "mean over epochs"}, "theirs was selected on: mean over epochs"),
        ({"selection": ""}, "what theirs was selected on is unknown"),
        ({"selection": "", "track": ""}, "no run of ours; what theirs was selected on is unknown"),
        ({"teacher": ""}, "our teacher is resnet34, theirs unknown"),
    ],
)
def test_a_number_that_no_run_can_be_compared_with_has_a_reason(changes: dict[str, Any], why: str) -> None:
    found = compared(row(), **changes)
    assert (found["verdict"], found["why"]) == ("not comparable", why)


def test_unknown_conditions_are_named_and_are_no_obstacle() -> None:
    for teacher in "resnet34", "resnet34[pretrained=true]", "resnet34[image_size=64]":
        found = compared(row(teacher=teacher), pretrained="", image_size="", budget="", value=84.4, std=None)
        assert found["verdict"] == "reproduced"
        assert found["why"].endswith("unknown of theirs: pretrained, image_size, budget")
    assert "unknown" not in compared(row(), value=84.4)["why"]


def test_conditions_of_foreign_records_are_only_quoted() -> None:
    found = compared(row(teacher="resnet34[teacher_weights=a, b[1].pt,pretrained=true]"))
    assert found["why"] == "our runs have teacher_weights=a, b[1].pt"


def test_tables_say_what_is_unknown_and_where_there_is_no_setting() -> None:
    number = {"setting": "", "teacher": "", "student": "", "pretrained": "", "image_size": "", "budget": ""}
    cells = {column.name: column.cell(compared(row(), **number)) for column in PUBLISHED_COLUMNS}
    shown = [cells[name] for name in ("setting", "networks", "conditions", "budget", "our_budget")]
    assert shown == ["Amazon+Webcam -> DSLR", "unknown -> unknown", "unknown weights, unknown size", "unknown", ""]
    cells = {column.name: column.cell(compared(row())) for column in PUBLISHED_COLUMNS}
    assert (cells["conditions"], cells["our_budget"]) == ("ImageNet weights, 32 px", "paper, 100 student images")
    assert compared(row(student_images=None))["our_budget"] == "paper"


def test_the_row_with_the_fewest_obstacles_is_taken() -> None:
    both = pd.concat([row(budget="quick", acc=10.0), row(protocol="1", acc=11.0), row(shots="10", acc=12.0), row()])
    assert compared(both)["ours"] == 84.0


def test_the_tables_show_paper_ours_and_conclusion(capsys: pytest.CaptureFixture[str]) -> None:
    print_leaderboard(to_frame([record("augkd", "AW-D", seed, 83.0 + seed, **USUAL) for seed in range(3)]))
    for text in (to_markdown(row()), to_latex(row()), capsys.readouterr().out):
        assert "office31, published numbers and ours" in text
        assert "84.30 ± 3.10" in text
        assert "ImageNet weights, 32 px" in text
        assert "not comparable" in text
        assert "no run of ours" in text
    assert "published" not in to_markdown(table([record("kd", "A-C", 0, 60)]))
