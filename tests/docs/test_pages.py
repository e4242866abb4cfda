"""The pages are short, current, linked, and in the words of the field."""

from __future__ import annotations

import ast
import re
from importlib.metadata import requires
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from packaging.requirements import Requirement
from support.pages import PAGES, ROOT, anchors, blocks, links, text_of
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.environment import LIBRARIES
from okdbench.results.frames import load_records
from okdbench.results.grouping import current
from okdbench.results.leaderboard import leaderboard
from okdbench.results.rendering import published_to_csv, runs_to_csv
from okdbench.results.store import read_all

#: where images are called images, and what is plotted a figure; and the endings of text files there
SOURCES = ("okdbench", "methods", "datasets", "docs")
TEXTS = (".py", ".md", ".j2", ".js", ".css")
PATH = re.compile(r"`((?:okdbench|methods|datasets|tests|docs|leaderboards)/[\w./-]*)`")


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``docs/generated.py``, which is a script."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    import generated

    return generated


def test_the_readme_is_one_page() -> None:
    assert len(text_of("README.md").splitlines()) <= 150
    assert len(text_of("ARCHITECTURE.md").splitlines()) <= 120


def test_generated_parts_are_those_of_the_records_and_the_code(generated: ModuleType) -> None:
    """``python docs/generated.py`` brings the pages up to date."""
    assert [page for page in generated.PAGES if generated.updated(text_of(page)) != text_of(page)] == []
    shown = [part for page in generated.PAGES for part in generated.PART.finditer(text_of(page))]
    assert sorted(part["name"] for part in shown) == sorted(generated.PARTS)


def test_generated_parts_are_not_empty(generated: ModuleType) -> None:
    for page in generated.PAGES:
        # two markers, two blank lines, a head and its rule
        assert all(len(part[0].splitlines()) > 6 for part in generated.PART.finditer(text_of(page)))


def test_contributing_shows_the_file_that_a_new_method_starts_from() -> None:
    (shown,) = blocks("CONTRIBUTING.md", "python")
    assert shown == text_of("okdbench/cli/templates/method.py")


def test_every_column_of_a_table_is_explained() -> None:
    page = text_of("docs/results.md")
    heads = re.findall(r"^\| *rank *\| *mark *\|.*$", page, re.MULTILINE)
    headings = {cell.strip() for head in heads for cell in head.strip("|").split("|")}
    explained = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)
    assert heads
    assert headings <= set(explained)


@pytest.mark.parametrize(
    "archive", sorted((ROOT / "leaderboards" / "records").glob("*.gz")), ids=lambda path: path.name
)
def test_the_committed_leaderboards_are_those_of_the_committed_records(archive: Path) -> None:
    result = CliRunner().invoke(app, ["leaderboard", "--runs", str(archive), "--format", "csv"])
    assert result.stderr.count("\n") <= 1, "one line for all records of an older schema"
    assert result.stdout.strip() == text_of(f"leaderboards/{archive.name.partition('.')[0]}.csv").strip()


def test_every_committed_leaderboard_has_its_records() -> None:
    folder = ROOT / "leaderboards"
    archives = {path.name.partition(".")[0] for path in (folder / "records").iterdir()}
    assert {path.stem for path in folder.glob("*.csv")} == archives | {"runs", "published"}
    records = load_records([folder / "records"])
    assert text_of("leaderboards/runs.csv") == runs_to_csv(records)
    assert text_of("leaderboards/published.csv") == published_to_csv(leaderboard(records))


def test_the_files_read_as_the_frames_that_they_are_written_from() -> None:
    """docs/results.md says so of both, and asks its questions of the frames."""
    records = load_records([ROOT / "leaderboards" / "records" / "digits.jsonl.gz"])
    for name, frame in {"digits": leaderboard(records), "runs": current(records)}.items():
        read = pd.read_csv(ROOT / "leaderboards" / f"{name}.csv").query("dataset == 'digits'")
        shared = [
            column
            for column in read
            if frame[column].notna().any() and column not in ("default_settings", "test_images")
        ]
        assert {"method", "setting", "acc", "teacher_queries"} <= set(shared)
        order = ["key"] if name == "runs" else ["track", "setting", "method"]
        sorted_ = (one.astype({"protocol": int}).sort_values(order, ignore_index=True) for one in (frame, read))
        both = (one[shared].replace("", pd.NA).convert_dtypes() for one in sorted_)
        # Files have two decimals.
        pd.testing.assert_frame_equal(*both, check_dtype=False, atol=0.05, rtol=1e-4)


def test_the_constraints_are_the_versions_of_the_committed_records() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==(.+)$", text_of("constraints.txt"), re.MULTILINE))
    records = read_all([ROOT / "leaderboards" / "records"])
    used = {(name, record.environment[name]) for record in records for name in LIBRARIES}
    assert used == {(name, pinned[name]) for name in LIBRARIES}
    assert dependencies("okdbench") <= {name.lower() for name in pinned}


def dependencies(name: str) -> set[str]:
    """What an installed package requires without extras."""
    found = [Requirement(text) for text in requires(name) or []]
    return {one.name.lower() for one in found if not one.marker or one.marker.evaluate({"extra": ""})}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), link
        assert not anchor or anchor in anchors(str(path.relative_to(ROOT))), link


def test_every_page_is_linked_from_the_index() -> None:
    listed = {Path(link).name for link in links("docs/README.md")}
    assert {Path(page).name for page in PAGES if page != "docs/README.md"} <= listed


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    assert [name for name in PATH.findall(text_of(page)) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", ["docs/own-files.md", "docs/reliability.md"])
def test_tests_that_are_named_exist(page: str) -> None:
    defined = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    named = set(re.findall(r"`(test_\w+)`", text_of(page)))
    assert named
    assert named - defined == set()


def test_the_life_of_a_run_names_about_ten_stops() -> None:
    section = text_of("ARCHITECTURE.md").partition("## The life of a run")[2].partition("\n## ")[0]
    stops = re.findall(r"^(\d+)\. .*?`(okdbench/[\w/]+\.py)`", section, re.MULTILINE)
    assert [int(number) for number, _ in stops] == list(range(1, len(stops) + 1))
    assert 10 <= len(stops) <= 13


def test_the_arrows_are_those_that_the_imports_are_tested_for() -> None:
    tree = ast.parse(text_of("tests/core/test_imports.py"))
    (allowed,) = (
        n.value for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "ALLOWED"
    )
    wanted = {name: below.replace(" ", ", ") for name, below in ast.literal_eval(allowed).items() if "__" not in name}
    lines = re.findall(r"^\| `(\w+)(?:\.py)?` \|.*\| ?([\w, ]*?) ?\|$", text_of("ARCHITECTURE.md"), re.MULTILINE)
    assert dict(lines) == wanted


def test_images_are_called_images() -> None:
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS]
    files += [ROOT / page for page in PAGES]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\bpictures?\b", line, re.IGNORECASE)
    ]
    assert found == []
