"""What ARCHITECTURE.md promises of imports: who may import whom, and who knows whose name."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from okdbench import registry

ROOT = Path(__file__).parent.parent
ENGINE = sorted((ROOT / "okdbench").rglob("*.py"))
PLUGINS = sorted([*(ROOT / "methods").glob("*.py"), *(ROOT / "datasets").glob("*.py")])
TORCH_FREE = [
    "claim", "cli", "cli_authors", "cluster", "compare", "config", "contests", "curves", "drift", "drawings", "duel",
    "errors", "formats", "hosts", "installed", "listing", "local", "newfile", "node", "plots", "protocol", "published",
    "records", "registry", "report", "room", "samples", "seeds", "shelves", "slurm", "stats", "storage", "tables",
]  # fmt: skip


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_methods_and_data_sets_never_import_each_other(path: Path) -> None:
    forbidden = ("okdbench.methods", "okdbench.datasets", "methods", "datasets")
    assert not [name for name in imports(path) if name.startswith(forbidden)]


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.stem)
def test_the_engine_names_no_method_and_no_data_set(path: Path) -> None:
    tree = ast.parse(path.read_text())
    # `teacher` and `kd` are words of the field as well, so only names that nothing else bears can be looked for
    names = (set(registry.method_names()) | set(registry.dataset_names())) - {"teacher", "kd"}
    examples = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "epilog"]
    ignored = {id(child) for node in examples for child in ast.walk(node)}
    documented = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Module)) and n.body]
    ignored |= {id(n.body[0].value) for n in documented if isinstance(n.body[0], ast.Expr)}
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in ignored}
    assert not names & texts
    assert not [name for name in imports(path) if name.startswith(("okdbench.methods.", "okdbench.datasets."))]


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_needs_no_torch_does_not_load_it(module: str) -> None:
    code = f"import sys, okdbench.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", [*ENGINE, *PLUGINS], ids=lambda path: path.stem)
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
