"""What readers of the report share and take away: addresses, comparisons of two rows, files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page
from support.fake_records import record, table
from support.report_pages import Open, choose, column, full, grid, head, open_row, seeded

from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.frames import to_frame
from okdbench.results.rendering import to_csv
from okdbench.results.report.comparisons import comparisons
from okdbench.results.report.formatting import number
from okdbench.results.report.leaderboard_rows import default_filters, report_rows
from okdbench.results.report.page import render
from okdbench.results.significance import compare_methods
from okdbench.results.store import read_all


def saved(page: Page, selector: str, folder: Path) -> Path:
    """The file that a click saves."""
    with page.expect_download() as download:
        page.click(selector)
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


def tick(page: Page, *names: str) -> None:
    """Tick rows of the leaderboard by the names of their methods."""
    for name in names:
        page.locator(f"#leaderboard tbody[data-method='{name}']:visible .pick input").check()


def test_filters_search_and_order_are_in_the_address(visit: Open) -> None:
    page = visit()
    assert "?" not in page.url
    choose(page, setting="A-C", networks="")
    page.fill("#leaderboard input[type=search]", "kd")
    head(page, "seconds")
    page.select_option("#runs select[name=status]", "failed")
    rows, runs = column(page, "method"), column(page, "method", "runs")
    again = visit(fragment=page.url.partition("#")[2].join(("#", "")))
    assert column(again, "method") == rows
    assert sorted(rows) == ["augkd", "kd", "kd"]
    assert column(again, "method", "runs") == runs
    assert again.get_attribute("#leaderboard [data-name=seconds]", "aria-sort") == "ascending"
    again.click("nav >> text=Runs")
    assert column(again, "method") == rows, "a link to a section keeps the view"
    again.click("#leaderboard [type=reset]")
    again.select_option("#runs select[name=status]", "")
    again.wait_for_function("!location.hash.includes('?')")
    assert again.get_attribute("#leaderboard [data-name=rank]", "aria-sort") == "ascending"


def test_an_address_of_another_page_opens_what_this_one_has(visit: Open) -> None:
    page = visit(fragment="#leaderboard?setting=none&sort=none&row=none&method=kd")
    assert column(page, "method") == ["kd", "augkd"]


def test_back_from_a_run_restores_the_view(visit: Open) -> None:
    page = visit()
    head(page, "method")
    open_row(page, "augkd")
    page.locator(".chips a:visible").first.click()
    page.wait_for_selector("#run-title")
    page.go_back()
    page.wait_for_selector("#overview", state="visible")
    assert page.get_attribute("#leaderboard [data-name=method]", "aria-sort") == "ascending"
    assert page.inner_text(":focus").startswith("seed 0: ")


def test_the_address_of_a_method_lists_its_rows_and_runs(visit: Open) -> None:
    page = visit(fragment="#method-" + quote("mad[ema=false]"))
    mine = [one for one in grid() if one.method == "mad"]
    assert page.inner_text("#run-title") == "mad[ema=false]"
    tables = page.locator("#run table")
    assert tables.nth(0).locator("tbody tr").count() == 3, "over all settings, and in each of two"
    assert tables.nth(1).locator("tbody tr").count() == len(mine)
    page.click("#run >> text=B-C, seed 1")
    assert page.url.endswith("#run-broken")
    page.click("text=All of mad[ema=false]")
    page.wait_for_selector("#run >> text=B-C, seed 1")
    assert "#method-" in page.url
    assert page.title() == "mad[ema=false] · okdbench report"
    assert visit(fragment="#method-none").inner_text("#run-title") == "No such method"


def test_two_rows_are_shown_side_by_side_with_their_test(visit: Open) -> None:
    page = visit("seeded")
    tick(page, "kd", "augkd")
    records = to_frame([one for one in seeded() if one.protocol == PROTOCOL_VERSION])
    (pair,) = compare_methods(records, ["augkd", "kd"])
    shown = page.inner_text("#comparison")
    assert f"{pair.sentence}." in shown
    assert number(pair.difference, sign=True) in shown
    assert f"{number(pair.low, sign=True)} to {number(pair.high, sign=True)}" in shown
    for name in ("acc", "interval"):
        for cell in column(page, name)[:2]:
            assert " ".join(cell.split()) in shown
    again = visit("seeded", "#" + page.url.partition("#")[2])
    assert again.inner_text("#comparison") == shown, "the comparison is in the address"
    tick(page, "ltr")
    assert "provisional" in page.inner_text("#comparison table")
    page.click("#comparison .clear")
    assert not page.is_visible("#comparison")
    assert "?" not in page.url


def test_rows_of_different_tables_are_not_compared(visit: Open) -> None:
    page = visit("seeded")
    choose(page, setting="")
    boxes = page.locator("#leaderboard tbody[data-method=kd]:visible .pick input")
    boxes.nth(0).check()
    assert "Choose a second row" in page.inner_text("#comparison")
    boxes.nth(1).check()
    assert "different tables" in page.inner_text("#comparison")


def test_every_pair_is_that_of_compare() -> None:
    rows, records = report_rows(seeded()), to_frame(seeded())
    for pair, (difference, _, sentence) in list(comparisons(rows).items())[::17]:
        a, b = (rows[int(place)].row for place in pair.split("-"))
        setting = {} if a["setting"] == "all" else {"setting": a["setting"]}
        (expected,) = compare_methods(records, [a["method"], b["method"]], protocol=a["protocol"], **setting)
        assert (difference, sentence) == (number(expected.difference, sign=True), expected.sentence)


def test_the_shown_rows_are_saved_as_csv_in_their_order(visit: Open, tmp_path: Path) -> None:
    page = visit()
    head(page, "method")
    file = saved(page, "#leaderboard .download", tmp_path)
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert file.name == "leaderboard.csv"
    assert [line["method"] for line in lines] == column(page, "method")
    ours = [one for one in grid() if one.dataset == "digits"]
    expected = list(csv.DictReader(io.StringIO(to_csv(table(ours)))))
    assert all(line in expected for line in lines)
    page.select_option("#runs select[name=status]", "failed")
    runs = list(csv.DictReader(io.StringIO(saved(page, "#runs .download", tmp_path).read_text())))
    assert [run["error"] for run in runs] == ["NonFiniteLossError: bn", "ValueError: no"]


def test_all_records_are_saved_as_an_archive_that_commands_read(visit: Open, tmp_path: Path) -> None:
    file = saved(visit(), "text=Save all records", tmp_path)
    assert file.name == "records.jsonl.gz"
    assert sorted(one.key for one in read_all(file)) == sorted(one.key for one in grid())


def test_the_page_says_how_to_cite_it_whose_images_it_is_about_and_how_old_it_is(visit: Open) -> None:
    text = visit("seeded").inner_text("#about")
    for part in (
        "2026-01-02",
        "@misc{okdbench",
        "year = {2026}",
        f"protocol 1, {PROTOCOL_VERSION}",
        "CC BY-SA 3.0",
        "LeCun et al.",
    ):
        assert part in text
    own = render([full("kd", "A-C", 0, 60, dataset="mine")])
    assert "does not know its licence" in own
    undated = render([record("kd", "A-C", 0, 60, environment={"finished": "soon"})])
    assert "The newest run" not in undated
    assert "year =" not in undated


def test_the_first_view_prefers_the_newest_protocol() -> None:
    many_old = [full(name, "A-C", 0, 50, protocol=1, key=f"{name}1") for name in ("kd", "augkd", "mad")]
    new = full("kd", "A@C", 0, 50, task="transfer", track="label-free", key="new")
    assert default_filters(report_rows([*many_old, new]))["networks"] == "resnet18 → resnet10t"
    assert default_filters(report_rows(many_old))["networks"].endswith("(protocol 1)")
    assert default_filters(report_rows(seeded()))["networks"] == "resnet18 → resnet10t"
