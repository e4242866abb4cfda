"""Imports: arrows between packages go down only, and nothing in okdbench names a method or a data set."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from okdbench.checks.import_wall import breaches, is_open
from okdbench.core import plugins
from okdbench.core.code_digest import module_files

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "okdbench").rglob("*.py"))
PLUGINS = sorted([*(ROOT / "methods").glob("*.py"), *(ROOT / "datasets").glob("*.py")])

#: package or top-level module -> what it may import of okdbench; each stands above all that it names
ALLOWED: dict[str, str] = {
    "core": "",
    "data": "core",
    "results": "core",
    "distill": "core data",
    "api": "core data distill",
    "registry": "core data distill",
    "training": "core data results distill registry",
    "sweep": "core data results registry training",
    "checks": "core data results distill api registry training",
    "cli": "core data results distill api registry training sweep checks",
    "__main__": "cli",
    "__init__": "training results",
}
#: where a module may be used by packages below it: it imports what it needs when it is asked for it
LAZY = {"__init__"}
FEWEST_ARROWS, MOST_ARROWS = 20, 45


def unit(path: Path) -> str:
    """The package or top-level module that a file belongs to."""
    return path.relative_to(ROOT / "okdbench").parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every dotted name that the file imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def arrows() -> dict[str, set[str]]:
    """Package or top-level module -> those that it imports."""
    found: dict[str, set[str]] = {unit(path): set() for path in MODULES}
    for path in MODULES:
        for name in imported(path):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            if top == "okdbench":
                found[unit(path)].add(target if target in found else "__init__")
    return {name: targets - {name} for name, targets in found.items()}


def test_every_package_has_its_line() -> None:
    assert set(arrows()) == set(ALLOWED)


@pytest.mark.parametrize("name", ALLOWED)
def test_a_package_imports_only_packages_below_it(name: str) -> None:
    order = list(ALLOWED)
    assert all(order.index(below) < order.index(name) for below in ALLOWED[name].split() if name not in LAZY)
    assert arrows()[name] - LAZY <= set(ALLOWED[name].split())


def test_the_number_of_arrows_stays_small() -> None:
    assert FEWEST_ARROWS < sum(map(len, arrows().values())) <= MOST_ARROWS


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_methods_and_data_sets_never_import_each_other(path: Path) -> None:
    forbidden = ("okdbench.methods", "okdbench.datasets", "methods", "datasets")
    assert not [name for name in imported(path) if name.startswith(forbidden)]


@pytest.mark.parametrize("path", sorted((ROOT / "methods").glob("*.py")), ids=lambda path: path.stem)
def test_methods_import_what_is_open_to_methods(path: Path) -> None:
    assert breaches(path.read_bytes(), f"okdbench.methods.{path.stem}") == []


@pytest.mark.parametrize("path", sorted((ROOT / "datasets").glob("*.py")), ids=lambda path: path.stem)
def test_data_sets_import_the_public_names_of_the_data_package(path: Path) -> None:
    names = [name for name in imported(path) if name.partition(".")[0] == "okdbench"]
    assert names
    assert [name for name in names if name.rpartition(".")[0] != "okdbench.data" or name in module_files()] == []


def test_what_is_open_to_methods_holds_no_module_that_is_not() -> None:
    """Otherwise ``from okdbench.distill.x import module`` would pass the wall."""
    for path in [path for path in MODULES if unit(path) in ("api", "distill")]:
        assert [name for name in imported(path) if name in module_files() and not is_open(name)] == [], path


# The demo is one comparison, whose purpose is to tell what came out.
@pytest.mark.parametrize("path", [path for path in MODULES if path.stem != "demo"], ids=lambda path: path.stem)
def test_okdbench_names_no_method_and_no_data_set(path: Path) -> None:
    tree = ast.parse(path.read_text())
    # `teacher` and `kd` are words of the field as well, so only names that nothing else bears can be looked for
    names = (set(plugins.method_names()) | set(plugins.dataset_names())) - {"teacher", "kd"}
    examples = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "epilog"]
    ignored = {id(child) for node in examples for child in ast.walk(node)}
    documented = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Module)) and n.body]
    ignored |= {id(n.body[0].value) for n in documented if isinstance(n.body[0], ast.Expr)}
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in ignored}
    assert not names & texts
    assert not [name for name in imported(path) if name.startswith(("okdbench.methods.", "okdbench.datasets."))]


@pytest.mark.parametrize("package", ["results", "cli"])
def test_results_and_the_command_line_load_no_torch(package: str) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if unit(path) == package and "templates" not in path.parts
    ]
    code = f"import sys, importlib; [importlib.import_module(n) for n in {names}]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", [*MODULES, *PLUGINS], ids=lambda path: path.stem)
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
