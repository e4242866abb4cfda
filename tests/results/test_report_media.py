"""The figures of the report, and the report on a phone, on paper and in the dark."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page
from support.report_pages import Open, column, grid, seeded, write

from okdbench.results.columns import shown_in
from okdbench.results.report.figures import figure_groups
from okdbench.results.report.page import FILTERS, render

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
#: an A4 page on its side, without its margins of 10 mm, in CSS pixels
PAPER = round((297 - 20) / 25.4 * 96)


def headers(page: Page) -> list[str]:
    """The columns of the leaderboard that are seen."""
    found: list[str] = page.locator("#leaderboard thead th:visible").evaluate_all("all => all.map(o => o.dataset.name)")
    return found


@pytest.mark.parametrize("name", ["grid", "seeded", "hostile"])
def test_a_phone_shows_four_columns_and_unfolds_the_rest(visit: Open, name: str) -> None:
    page = visit(name, width=390)
    assert headers(page) == ["method", "acc", "interval", "mark"]
    assert page.evaluate(SIDEWAYS) == 0
    box = "(box => box.scrollWidth - box.clientWidth)(document.querySelector('#leaderboard .scroll'))"
    assert page.evaluate(box) == 0, "the table itself need not scroll"
    page.locator("#leaderboard button.more:visible").first.click()
    facts = page.locator("#leaderboard .facts:visible dt").all_inner_texts()
    for column_ in shown_in("html"):
        if column_.name not in ("method", "acc", "interval", "mark"):
            assert any(fact.startswith(FILTERS.get(column_.name, column_.page_title)) for fact in facts), column_.name
    assert page.evaluate(SIDEWAYS) == page.evaluate(box) == 0


def test_a_comparison_fits_a_phone(visit: Open) -> None:
    page = visit("seeded", width=390)
    for place in (0, 1):
        page.locator("#leaderboard .pick:visible input").nth(place).check()
    assert page.locator("#comparison .sentence").is_visible()
    assert page.evaluate(SIDEWAYS) == 0
    assert page.locator("#comparison").bounding_box()["height"] < 600  # type: ignore[index]


def test_paper_has_every_column_and_no_control(visit: Open, tmp_path: Path) -> None:
    page = visit("seeded", width=PAPER)
    on_screen = set(headers(page))
    page.emulate_media(media="print")
    assert set(headers(page)) >= {column_.name for column_ in shown_in("html")} - set(FILTERS)
    assert set(headers(page)) >= on_screen
    assert page.evaluate("document.querySelector('#leaderboard table').getBoundingClientRect().right") <= PAPER
    assert page.evaluate("document.querySelector('#runs table').getBoundingClientRect().right") <= PAPER
    assert page.inner_text("#leaderboard .chosen").startswith("digits, all, adapt, labelled")
    assert page.locator("form:visible, button.copy:visible, nav:visible, .pick:visible").count() == 0
    title = "getComputedStyle(document.querySelector('thead [data-name=acc]'), '::before').content"
    assert page.evaluate(title) == '"Accuracy"', "a text, because no button is repeated on the second sheet"
    sticky = "all => all.filter(o => getComputedStyle(o).position === 'sticky').length"
    assert page.locator("#overview *").evaluate_all(sticky) == 0
    pdf = page.pdf(prefer_css_page_size=True, path=tmp_path / "page.pdf")
    (box,) = set(re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", pdf))
    assert [round(float(size) / 72 * 25.4) for size in box] == [297, 210]


def picture(page: Page, selector: str) -> np.ndarray:
    """What is seen of an element: height x width, brightness in [0, 255]."""
    element = page.locator(selector).first
    element.scroll_into_view_if_needed()
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("L"))


@pytest.mark.parametrize(("scheme", "light"), [("light", True), ("dark", False)])
def test_figures_have_the_ground_of_the_page(visit: Open, scheme: str, light: bool) -> None:
    page = visit(color_scheme=scheme)
    seen = picture(page, "#plots figure img")
    assert (np.median(seen) > 240) == light
    assert (np.median(seen) < 40) == (not light)
    assert seen.max() - seen.min() > 150, "its lines and letters are seen"


def test_photographs_keep_their_brightness_in_the_dark(visit: Open, site: dict[str, str], tmp_path: Path) -> None:
    from okdbench.results.samples import write_samples
    from okdbench.results.store import write_record

    made = seeded()[0]
    write_record(tmp_path / made.key, made)
    bright = np.full((2, 8, 8, 3), 255, dtype=np.uint8)
    write_samples(tmp_path / made.key, {"generated": bright})
    groups = [group for group in figure_groups([made], tmp_path) if group.kind == "samples"]
    site["samples"] = write(tmp_path, "samples", [made], (groups, ()))
    seen = picture(visit("samples", color_scheme="dark"), "#plots figure img")
    assert np.median(seen[: len(seen) // 8]) < 40, "the ground is dark"
    assert (seen > 200).mean() > 0.1, "the white images are white"


def test_figures_and_published_numbers(visit: Open) -> None:
    page = visit()
    images = page.locator("#plots figure img")
    assert images.evaluate_all("all => all.every(one => one.naturalWidth > 0 && one.alt)")
    assert images.count() == 5, "one of each kind that these records allow, but the curves"
    assert column(page, "ours", "published") == ["80.50", "–"]  # noqa: RUF001
    assert column(page, "setting", "published") == ["A-C", "A -> C"]
    for part in (
        "another budget",
        "Theirs: ImageNet weights, 64 px; budget: 9 epochs, ours: paper, 100 student images.",
        "Theirs: unknown weights, unknown size; budget: unknown, ours: none.",
    ):
        assert part in page.inner_text("#published")
    collapsed = visit("hostile").locator("#plots details")
    assert collapsed.count() == 3
    bare = render(grid())
    assert 'id="published"' not in bare
    assert 'id="plots"' not in bare
