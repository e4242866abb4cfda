"""The report in a real browser: what users click, type and see, and what the page must never do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser
from support.report_pages import (
    CONTRAST,
    FAULTS,
    HOSTILE,
    Open,
    choose,
    column,
    grid,
    head,
    odd,
    open_row,
    tasks,
    write,
)

from okdbench.results.records import Record
from okdbench.results.report.leaderboard_rows import report_rows
from okdbench.results.report.page import FILTERS


def test_the_first_view_is_one_comparison_group_with_its_ranks(visit: Open) -> None:
    page = visit()
    assert column(page, "method") == ["kd", "augkd", "finetune", "mad[ema=false]", "dfq"]
    assert column(page, "rank") == ["1", "2", "–", "3/4", "0/1"]  # noqa: RUF001
    assert column(page, "mark") == ["provisional"] * 4 + [""]
    for note in ("no rank: 1 run missing", "no rank: a reference row", "no rank: 1 of 2 settings"):
        assert note in page.inner_text("#leaderboard")
    assert page.text_content("#leaderboard .count") == f"5 of {len(report_rows(grid()))} rows shown"
    assert page.locator("thead [data-name=rank]").first.get_attribute("aria-sort") == "ascending"
    visible = page.locator("#leaderboard thead button:visible").all_inner_texts()
    assert visible == ["Rank", "Method", "Seeds", "Complete", "Accuracy", "95\u00a0%\u00a0interval", "Mark", "Behind",
                       "Worst", "Teacher acc", "Retention", "Gain", "Selection gap", "Seconds"]  # fmt: skip
    assert "80.50" in page.inner_text("#leaderboard .first:visible")
    assert page.locator("#leaderboard .first .bar:visible circle").count() == 1


def test_columns_sort_by_number_both_ways_with_missing_values_last(visit: Open) -> None:
    page = visit()
    head(page, "acc")
    assert column(page, "acc") == ["80.50", "75.25", "70.50", "10.00", "–"]  # noqa: RUF001
    assert page.get_attribute("#leaderboard [data-name=acc]", "aria-sort") == "descending"
    head(page, "acc")
    assert column(page, "acc") == ["10.00", "70.50", "75.25", "80.50", "–"]  # noqa: RUF001
    assert page.locator("#leaderboard [aria-sort]").count() == 1
    head(page, "method")
    assert column(page, "method") == ["augkd", "dfq", "finetune", "kd", "mad[ema=false]"]
    head(page, "rank")
    head(page, "rank")
    assert column(page, "rank")[:2] == ["2", "1"]
    head(page, "seconds")
    assert column(page, "seconds") == ["5.0", "6.0", "7.0", "8.0", "–"]  # noqa: RUF001
    head(page, "acc", "runs")
    assert column(page, "acc", "runs")[0] == "81.00"
    assert column(page, "acc", "runs")[-1] == "–"  # noqa: RUF001


@pytest.mark.parametrize(
    ("name_of_page", "records", "names"),
    [
        ("grid", grid, ("dataset", "setting", "track", "budget", "networks")),
        ("tasks", tasks, ("task", "shots", "networks")),
    ],
)
def test_every_filter_keeps_matching_rows_and_shows_the_column_that_differs(
    visit: Open, name_of_page: str, records: Callable[[], list[Record]], names: Sequence[str]
) -> None:
    page = visit(name_of_page)
    rows = report_rows(records())
    choose(page, **dict.fromkeys(FILTERS, ""))
    assert len(column(page, "method")) == len(rows)
    for name in names:
        assert page.locator(f"#leaderboard thead .c-{name}").is_visible()
        options = page.locator(f"#leaderboard select[name={name}] option").evaluate_all("all => all.map(o => o.value)")
        assert len(options) > 2
        for value in options[1:]:
            choose(page, **{name: value})
            assert set(column(page, name)) == {value}
            assert len(column(page, name)) == sum(
                value in (getattr(line, name, ""), line.row.get(name)) for line in rows
            )
            assert not page.locator(f"#leaderboard thead .c-{name}").is_visible()
        choose(page, **{name: ""})


def test_filters_combine_and_reset(visit: Open) -> None:
    page = visit()
    first = column(page, "method")
    choose(page, setting="A-C", networks="")
    page.fill("#leaderboard input", " KD ")
    assert column(page, "method") == ["kd", "kd", "augkd"]
    page.fill("#leaderboard input", "nobody")
    assert column(page, "method") == []
    assert "None of the" in page.inner_text("#leaderboard .count")
    page.click("#leaderboard [type=reset]")
    page.wait_for_function("document.querySelector('#leaderboard input').value === ''")
    assert sorted(column(page, "method")) == sorted(first)
    page.select_option("#runs select[name=status]", "failed")
    assert column(page, "method", "runs") == ["mad[ema=false]", "dfq"]


def test_a_click_opens_a_run_and_back_restores_the_position(visit: Open) -> None:
    page = visit()
    open_row(page, "mad")
    assert page.get_attribute("button.more[aria-expanded=true]", "aria-expanded") == "true"
    page.click("text=seed 1: failed")
    # The page changes after the address does, here and on the way back.
    page.wait_for_selector("#run-title", state="visible")
    assert page.url.endswith("#run-broken")
    assert page.evaluate("document.activeElement.id") == "run-title"
    assert page.title() == "mad[ema=false] · okdbench report"
    text = page.inner_text("#run")
    assert all(part in text for part in ("NonFiniteLossError: bn", "line 1", "failed", "--method mad"))
    assert not page.is_visible("#overview")
    page.go_back()
    page.wait_for_selector("#overview", state="visible")
    assert page.inner_text(":focus") == "seed 1: failed"
    assert page.evaluate("scrollY") > 0
    page.go_forward()
    page.wait_for_selector("#run-title", state="visible")
    page.click("text=All results")
    page.wait_for_selector("#overview", state="visible")
    assert page.title() == "okdbench report"


def test_the_address_of_a_run_opens_it_with_all_sections(visit: Open) -> None:
    page = visit(fragment="#run-" + quote("kdA-C1"))
    headings = page.locator("#run h2").all_inner_texts()
    assert headings == ["Repeat this run", "Outcome", "After each stage", "Accuracy during training", "Losses", "Cost",
                        "Configuration", "Hyper-parameters", "Origin", "Environment"]  # fmt: skip
    text = page.inner_text("#run")
    for part in ("81.00", "okdbench run --method kd", "abc", "as published", "2.9", "0.001", "Best on test"):
        assert part in text
    assert page.locator("#run .chart svg").count() == 4
    paths = page.locator("#run .chart path").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    assert len(paths) > 4
    assert not [path for path in paths if "NaN" in path or "Infinity" in path]
    assert page.locator("#run [aria-label='late, from 1 to 3 over step 0 to 9'] path:not(.axis)").count() == 1
    assert page.locator("#run [aria-label^='kl, '] circle").count() == 1


@pytest.mark.parametrize("fragment", ["#run-none", "#run-%E0%A4%A", "#run-", "#run-__proto__"])
def test_an_unknown_run_is_reported(visit: Open, fragment: str) -> None:
    page = visit(fragment=fragment)
    assert page.inner_text("#run-title") == "No such run"
    page.click("text=All results")
    page.wait_for_selector("#leaderboard", state="visible")


def test_the_keyboard_alone_reaches_everything(visit: Open) -> None:
    page = visit()

    def press_to(text: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == text:
                break
        assert page.evaluate("document.activeElement.textContent.trim()") == text
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    press_to("Skip to the content")
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    press_to("Accuracy")
    page.keyboard.press("Enter")
    assert column(page, "method")[0] == "kd"
    page.keyboard.press("Space")
    assert column(page, "method")[0] == "augkd"
    press_to("augkd")
    page.keyboard.press("Enter")
    press_to("seed 1: 10.50")
    page.keyboard.press("Enter")
    page.wait_for_selector("#run-title")
    press_to("Copy")
    for _ in ("All of augkd", "All results"):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#overview")


def test_commands_are_copied_verbatim(visit: Open) -> None:
    page = visit("hostile", "#run-" + quote(HOSTILE[1], safe=""), permissions=["clipboard-read", "clipboard-write"])
    page.locator("#run .command", has_text=HOSTILE[1]).last.get_by_role("button").click()
    page.wait_for_selector("text=Copied >> nth=0")
    assert page.evaluate("navigator.clipboard.readText()") == HOSTILE[1]
    assert page.inner_text("#announcement") == "Copied"


def test_hostile_texts_are_shown_as_text(visit: Open) -> None:
    page = visit("hostile")
    choose(page, **dict.fromkeys(FILTERS, ""))
    names = {f"{text}[{text}]" for text in HOSTILE}
    assert {name.strip() for name in page.locator("button.more").all_text_contents()} == names
    for text in HOSTILE:
        page.evaluate("fragment => { location.hash = fragment }", "run-" + quote(text.replace("/", "|"), safe=""))
        page.wait_for_function(
            "name => document.getElementById('run-title')?.textContent === name", arg=f"{text}[{text}]"
        )
        assert page.locator("#run .command code").first.text_content() == text
        assert page.locator("#run dd", has_text=text).count() >= 4
        assert page.locator("#run script, #run img, #run [onload], #run [onerror]").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 2
    assert page.locator("[onerror], [onload]").count() == 0
    links = page.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert {link[:1] for link in links} == {"#", "d"}
    assert [link[:29] for link in links if link.startswith("d")] == ["data:application/gzip;base64,"]


def test_the_policy_forbids_requests_and_foreign_scripts(browser: Browser, site: dict[str, str]) -> None:
    page = browser.new_page()
    page.goto(site["grid"])
    blocked = page.evaluate(
        """async () => {
          const seen = [];
          addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
          await fetch("https://example.org/").catch(() => {});
          const add = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
          add("img", { src: "https://example.org/x.png" });
          add("script", { textContent: "window.hacked = 1" });
          add("style", { textContent: "body { color: red }" });
          await new Promise((done) => setTimeout(done, 100));
          return seen;
        }"""
    )
    page.close()
    assert {"connect-src", "img-src", "script-src-elem", "style-src-elem"} <= set(blocked)


def test_records_without_numbers_are_shown_and_not_ranked(visit: Open) -> None:
    page = visit("odd")
    choose(page, setting="A-C")
    assert column(page, "method") == ["well", "empty", "sick"]
    assert column(page, "rank") == ["1", "0/1", "0/2"]
    for record in odd():
        page.evaluate("fragment => { location.hash = fragment }", "run-" + quote(record.key))
        page.wait_for_function("name => document.getElementById('run-title')?.textContent === name", arg=record.method)
        assert "nan" not in page.inner_text("#run").lower()
        assert "undefined" not in page.inner_text("#run")


def test_the_first_view_shows_no_row_of_another_task_protocol_or_number_of_labels(visit: Open) -> None:
    page = visit("tasks")
    assert column(page, "method") == ["kd", "original"]
    assert page.locator("#leaderboard .role:visible").all_inner_texts() == ["privileged"]
    assert column(page, "acc") == ["61.00", "99.00"]
    assert column(page, "rank") == ["1", "–"]  # noqa: RUF001
    assert "no rank: it sees the teacher's own images" in page.inner_text("#leaderboard")
    choose(page, networks="resnet18 → resnet10t (protocol 1)")
    assert column(page, "acc") == ["45.00"]
    choose(page, networks="resnet18 → resnet10t", shots="10")
    assert column(page, "acc") == ["55.00"]
    choose(page, shots="all", task="transfer", track="label-free")
    assert column(page, "acc") == ["33.00"]


@pytest.mark.parametrize("key", ["transfer", "data-free"])
def test_a_run_without_validation_shows_its_test_accuracy_alone(visit: Open, key: str) -> None:
    page = visit("tasks", f"#run-{key}")
    chart = page.locator("#run .chart").first
    assert chart.locator("figcaption").inner_text().startswith("test")
    assert "validation" not in chart.inner_text()
    assert chart.locator("path.main").count() == 1
    assert chart.locator("path.second").count() == 0
    paths = page.locator("#run .chart path").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    assert not [path for path in paths if "NaN" in path or "Infinity" in path]
    for word in ("nan", "undefined", "null"):
        assert word not in page.inner_text("#run").lower()
    page = visit("tasks", "#run-few")
    assert page.locator("#run .chart").first.locator("path.second").count() == 1, (
        "where there is validation, it is drawn"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_enough_contrast(visit: Open, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    open_row(page, "mad")
    texts = (
        "h1", ".lead", "#leaderboard > p", "summary", ".filters label", ".filters select", ".count",
        "footer p", "nav a", "thead button", "thead [aria-sort] button", ".rank", ".first .rank", "button.more",
        "th small", ".role", ".spread", ".interval .ends", ".chips a", ".chips a.failed", ".detail dt", ".detail dd",
        ".command code", ".copy", ".verdict", ".prose small", "#runs th a", ".status.failed",
    )  # fmt: skip
    ratios = {selector: page.evaluate(CONTRAST, [selector, "color"]) for selector in texts}
    page.goto(page.url + "#run-broken")
    page.wait_for_selector("#run-title")
    ratios |= {name: page.evaluate(CONTRAST, [name, "color"]) for name in ("#run h1", "#run dt", "#run .lead", ".back")}
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    page.go_back()
    others = {".filters select": "borderTopColor", ".bar circle": "fill", ".copy": "borderTopColor"}
    assert {name: r for name, p in others.items() if (r := page.evaluate(CONTRAST, [name, p])) < 3} == {}
    assert (page.evaluate(CONTRAST, ["h1", "color"]) > 7) is True


def test_the_page_has_no_accessibility_faults(visit: Open) -> None:
    page = visit()
    open_row(page, "mad")
    assert page.evaluate(FAULTS) == []
    page.goto(page.url + "#run-" + quote("kdA-C1"))
    page.wait_for_selector("#run-title")
    assert page.evaluate(FAULTS) == []


def test_narrow_screens_scroll_the_table_and_not_the_page(visit: Open) -> None:
    page = visit(width=400, reduced_motion="reduce")
    open_row(page, "mad")
    sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(sideways) == 0
    assert page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('#runs .scroll'))")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    for fragment in ("#run-" + quote("kdA-C1"), "#method-kd"):
        page.goto(page.url.partition("#")[0] + fragment)
        page.wait_for_selector("#run-title")
        assert page.evaluate(sideways) == 0


def test_the_tables_work_without_scripts(visit: Open) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator("#leaderboard button.more").count() == len(report_rows(grid()))
    assert "need JavaScript" in page.inner_text("#overview")
    assert not page.is_visible(".filters >> nth=0")


def test_a_page_of_five_hundred_runs_stays_small_and_works(visit: Open, site: dict[str, str], tmp_path: Path) -> None:
    renamed = ((one, {"key": f"{one.key}-{number}", "seed": number}) for number in range(25) for one in grid()[:20])
    records = [one.model_copy(update=changes) for one, changes in renamed]
    site["large"] = write(tmp_path, "large", records)
    assert (tmp_path / "large.html").stat().st_size < 10e6
    page = visit("large")
    head(page, "acc", "runs")
    assert len(column(page, "acc", "runs")) == 500
