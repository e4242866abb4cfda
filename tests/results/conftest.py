"""Pages of the report in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from support.report_pages import HOSTILE, Open, grid, hostile, hostile_extras, odd, seeded, tasks, usual_extras, write

CURE = "these tests drive a real browser: install Debian's package with apt-get install chromium"


@pytest.fixture(scope="module")  # not "session": the event loop of playwright would interfere with other tests
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail(CURE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name -> address of each page."""
    folder = tmp_path_factory.mktemp("site")
    extras = usual_extras()
    return {
        "grid": write(folder, "grid", grid(), extras),
        "odd": write(folder, "odd", odd(), extras),
        "tasks": write(folder, "tasks", tasks()),
        "seeded": write(folder, "seeded", seeded(), extras),
        "hostile": write(folder, "hostile", hostile(), hostile_extras(HOSTILE[0])),
    }


@pytest.fixture
def site(pages: dict[str, str]) -> dict[str, str]:
    """Name -> address of each page; a test may add its own."""
    return dict(pages)


@pytest.fixture
def visit(browser: Browser, site: dict[str, str]) -> Iterator[Open]:
    """Open a page by name; after the test, no page has logged an error or requested anything but itself."""
    errors: list[str] = []
    requests: list[str] = []
    contexts = []

    def go(name: str = "grid", fragment: str = "", width: int = 1280, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(site[name] + fragment)
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready]")
        return page

    yield go
    for context in contexts:
        context.close()
    assert errors == []
    assert {url.partition("#")[0] for url in requests if not url.startswith(("data:", "blob:"))} <= set(site.values())
