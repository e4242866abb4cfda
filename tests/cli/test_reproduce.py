"""``okdbench reproduce``: the runs of a published table, in order of what they cost, and their verdicts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.published_arrays import register_small_mnist

from okdbench.cli import app as cli
from okdbench.core.errors import UserError
from okdbench.results.published import published_numbers
from okdbench.sweep.paper_rows import PaperRows, paper_rows, with_costs


@pytest.fixture
def small(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with an MNIST of 30 images in each part."""
    register_small_mnist(tmp_path / "MNIST", root, monkeypatch)
    return root


def reproduce(*words: str, root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    cli.app(["reproduce", *words, "--data-root", str(root)], standalone_mode=False)
    return capsys.readouterr().out


def test_every_number_is_in_a_row_or_has_a_reason() -> None:
    for table in sorted(set(published_numbers()["dataset"])):
        found = paper_rows(table)
        listed = sum(len(row.numbers) for row in found.rows) + sum(found.missing.values())
        assert listed == len(published_numbers([table]))
    found = paper_rows("mnist")
    assert {row.config.method: row.config.teacher_recipe for row in found.rows} == {
        "teacher": "dafl", "dafl": "dafl", "dfad": None
    }  # fmt: skip
    assert found.missing == {"what theirs was selected on is unknown": 2}
    assert "okdbench has no method balanced" in paper_rows("cifar100").missing


def test_numbers_on_the_same_networks_share_a_run() -> None:
    rows = {row.title: row.numbers for row in paper_rows("cifar100").rows}
    assert rows["mosaickd C@I cifar_resnet34 -> cifar_resnet18"] == (76.54, 76.32, 76.2, 76.06)


def test_a_source_that_chooses_images_is_repeated_with_its_choice() -> None:
    chosen = {(row.config.setting, row.config.ood_subset) for row in paper_rows("cifar100", ["mosaickd"]).rows}
    assert chosen == {("C@T", None), ("C@S", None), ("C@I", 50_000), ("C@P", 50_000)}


def test_a_share_of_the_sources_steps_is_a_variant() -> None:
    (row,) = paper_rows("mnist", ["dfad"], share=0.25).rows
    assert row.title == "dfad[data_free_steps=500] M lenet5 -> lenet5_half"
    (least,) = paper_rows("mnist", ["dfad"], share=0.0005).rows
    assert least.title == "dfad[data_free_steps=1] M lenet5 -> lenet5_half"
    (whole,) = paper_rows("mnist", ["dfad"]).rows
    assert (whole.config.hyperparameters, whole.config.budget) == ({}, "paper")


@pytest.mark.parametrize(
    ("method", "title"),
    [
        ("dfq", "dfq[data_free_steps=8000,warm_up=2000]"),
        ("fast", "fast[rounds=20,warm_up_rounds=2]"),
        ("deepinversion", "deepinversion[rounds=20]"),
    ],
)
def test_a_share_is_of_the_warm_up_and_of_rounds_too(method: str, title: str) -> None:
    (row,) = paper_rows("mnist", [method], share=0.1).rows
    assert row.title.startswith(f"{title} M ")


def test_a_share_is_of_all_stages_of_a_method_that_adapts() -> None:
    rows = paper_rows("office31", ["augkd", "4ds"], share=0.1).rows
    assert {row.title.partition("]")[0] for row in rows} == {
        "augkd[anchor_steps=200,data_free_steps=4000,mixup_epochs=20",
        "4ds[epochs=12",
    }


def test_a_share_of_an_unknown_length_is_refused() -> None:
    with pytest.raises(UserError, match="how long its source trains mad is unknown; leave it or --share out"):
        paper_rows("mnist", ["mad"], share=0.1)


@pytest.mark.parametrize(
    ("table", "methods", "message"),
    [
        ("digits", (), "no published numbers on 'digits' are known; there are some on: cars196"),
        ("mnist", ("dfad", "dalf"), "unknown method 'dalf'; did you mean 'dafl'"),
    ],
)
def test_what_nobody_published_is_refused(table: str, methods: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        paper_rows(table, methods)


def test_a_method_without_a_published_number_is_planned_too() -> None:
    (row,) = paper_rows("mnist", ["zskt"]).rows
    assert (row.title, row.numbers) == ("zskt M lenet5 -> lenet5_half", ())
    assert PaperRows([row, *paper_rows("mnist").rows]).in_order()[-1] == row


def test_the_most_numbers_for_an_hour_come_first() -> None:
    (row,) = paper_rows("mnist", ["dfad"]).rows
    one, two, cheap = (
        replace(row, hours=hours, numbers=numbers)
        for hours, numbers in ((2.0, (1.0,)), (3.0, (1.0, 2.0)), (1.0, (1.0,)))
    )
    assert PaperRows([one, two, cheap]).in_order() == [cheap, two, one]


def test_hours_are_those_of_the_images_of_the_source() -> None:
    ticks: list[int] = []
    rows = with_costs(paper_rows("mnist", ["dfad", "teacher"]).rows, torch.device("cpu"), ticks.append)
    by_method = {row.config.method: row for row in rows}
    assert (by_method["dfad"].images, by_method["teacher"].images) == (5_120_000, 0)
    assert by_method["dfad"].hours > by_method["teacher"].hours == 0
    assert by_method["dfad"].teacher_hours > 0 < by_method["teacher"].teacher_hours
    assert len(ticks) == 2


def test_a_method_that_refuses_is_left_out_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = paper_rows("mnist", ["dfad"]).rows
    refused = replace(row, config=row.config.model_copy(update={"method": "dfkd"}))
    assert with_costs([refused], torch.device("cpu"), lambda _: None) == []
    assert "left out: dfkd M lenet5 -> lenet5_half: this teacher has no batch-norm" in capsys.readouterr().err


def test_runs_that_fit_are_run_once_and_get_a_verdict(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    words = ["mnist", "--share", "0.0005", "--seeds", "0-1", "--runs", str(tmp_path / "runs"), "--methods"]
    shown = reproduce(*words, "teacher", "--dry-run", root=small, capsys=capsys)
    assert "teacher M lenet5 -> lenet5_half" in shown
    assert not (tmp_path / "runs").exists()
    shown = reproduce(*words, "teacher", "--hours", "0", root=small, capsys=capsys)
    assert "not started: teacher M lenet5 -> lenet5_half seed 0, which takes about" in shown
    words.append("teacher,dfad")
    shown = reproduce(*words, root=small, capsys=capsys)
    assert "mnist, published numbers and ours" in shown
    assert "inconclusive" in shown or "not reproduced" in shown
    made = sorted((tmp_path / "runs").glob("*/record.json"))
    times = [file.stat().st_mtime_ns for file in made]
    assert len(made) == 4
    reproduce(*words, root=small, capsys=capsys)
    assert [file.stat().st_mtime_ns for file in made] == times


@pytest.mark.slow
@pytest.mark.parametrize("table", ["cifar10", "cifar100"])
def test_every_row_can_take_a_step(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the networks, batches of 16 and hyper-parameters of the source."""
    rows = paper_rows(table).rows
    assert len(with_costs(rows, torch.device("cpu"), lambda _: None)) == len(rows)
    assert capsys.readouterr().err == ""
