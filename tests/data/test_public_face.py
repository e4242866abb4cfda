"""What a data-set file imports: one light module, and nothing else of okdbench."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import okdbench.data

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "datasets").glob("*.py")), ROOT / "okdbench" / "cli" / "templates" / "dataset.py"]
#: libraries that no import of the public face may load, because they take long or are needed for downloads only
HEAVY = ("torch", "numpy", "pandas", "PIL", "requests", "urllib3", "gdown", "filelock", "pydantic", "rich")


def loaded_by(code: str) -> list[str]:
    """Which of the heavy libraries a process has loaded after ``code``."""
    code = f"import sys\n{code}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_the_public_face_is_light() -> None:
    assert loaded_by("import okdbench.data; assert okdbench.data.__all__") == []


def test_a_folder_data_set_is_light() -> None:
    assert loaded_by("from okdbench.datasets.officehome import OfficeHome; OfficeHome().facts()") == []


def test_the_download_libraries_are_loaded_by_a_download_alone() -> None:
    assert not {"requests", "urllib3", "gdown"} & set(loaded_by("import okdbench.data.download"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_data_set_files_import_nothing_else_of_okdbench(file: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {(node.module, alias.name) for alias in node.names if node.module.startswith("okdbench")}
        elif isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("okdbench")]
    assert found
    assert found <= {("okdbench.data", name) for name in okdbench.data.__all__}
