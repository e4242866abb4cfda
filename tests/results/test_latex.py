"""LaTeX tables: what is set off, what is escaped, which columns there are, and whether they compile."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.fake_records import record, table
from support.fork_server import Command
from support.report_pages import HOSTILE, seeded

from okdbench.cli import compare
from okdbench.core.errors import UserError
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results import comparison_text
from okdbench.results.latex import escape, labels
from okdbench.results.rendering import to_latex
from okdbench.results.store import write_archive

CURE = "this test compiles with a real TeX: install it as CONTRIBUTING.md says"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Records of one comparison group."""
    write_archive(tmp_path / "runs.jsonl.gz", [one for one in seeded() if one.protocol == PROTOCOL_VERSION])
    return tmp_path / "runs.jsonl.gz"


def okdbench(line: str, archive: Path, data_root: Path) -> CompletedProcess[str]:
    return Command([*shlex.split(line), "--runs", archive.name], archive.parent, data_root).wait()


def cells(latex: str, method: str, setting: str) -> list[str]:
    """The cells of one row."""
    lines = [
        [cell.removesuffix(r" \\").strip() for cell in line.split(" & ")]
        for line in latex.splitlines()
        if " & " in line
    ]
    (found,) = [line for line in lines if line[:2] == [method, setting]]
    return found


def test_the_best_and_the_second_of_the_ranked_rows_are_set_off_in_each_setting() -> None:
    accs = {"kd": (60, 80), "augkd": (70, 70), "finetune": (90, 75), "mad": (70, 10)}
    made = [record(name, place, 0, acc) for name, pair in accs.items() for place, acc in zip("AB", pair, strict=True)]
    latex = to_latex(table(made), ["method", "setting", "acc", "retention"])
    assert cells(latex, "augkd", "A")[2] == cells(latex, "mad", "A")[2] == r"\textbf{70.00}", "equals look alike"
    assert cells(latex, "kd", "A")[2] == r"\underline{60.00}"
    assert cells(latex, "finetune", "A")[2] == "90.00", "a reference row has no rank"
    assert cells(latex, "kd", "B")[2:] == [r"\textbf{80.00}", r"\textbf{30.00}"]
    assert latex.count(r"\midrule") == 3, "below the head, and between the settings"


def test_intervals_have_en_dashes_unless_an_end_is_negative() -> None:
    latex = to_latex(
        table(one for one in seeded() if one.protocol == PROTOCOL_VERSION),
        ["method", "setting", "interval", "behind", "gain"],
    )
    row = cells(latex, "kd", "MP-O")
    assert "--" in row[2]
    assert " to " not in row[2]
    signs = latex.partition(r"\midrule")[2]
    assert "($-$" in signs
    assert "-0" not in signs.replace("$-$", "").replace("--", "")


def test_the_caption_names_the_group_and_explains_what_is_shown() -> None:
    made = [record("kd", "A-C", seed, 60 + seed) for seed in (0, 1)]
    latex = to_latex(table(made), ["method", "acc", "mark"])
    assert r"\caption{digits, labelled, quick, resnet18 $\rightarrow$ resnet10t. Bold is the best" in latex
    assert r"$\approx$: cannot be told from the best" in latex
    assert r"\label{tab:digits-labelled-quick}" in latex
    assert "behind" not in latex
    assert "Bold" not in to_latex(table(made), ["method", "rank"])


def test_labels_are_unique() -> None:
    wide = record("kd", "A-C", 0, 60, student="resnet18", key="wide")
    latex = to_latex(table([record("kd", "A-C", 0, 60), wide]))
    assert r"\label{tab:digits-labelled-quick}" in latex
    assert r"\label{tab:digits-labelled-quick-2}" in latex
    assert labels(["a", "a-2", "a"]) == ["a", "a-2", "a-3"]


def test_special_characters_are_escaped() -> None:
    assert escape(r"50% of a_b & {c} #1 $x ~ ^ \d") == (
        r"50\% of a\_b \& \{c\} \#1 \$x \textasciitilde{} \textasciicircum{} \textbackslash{}d"
    )
    assert escape("[x]") == "{[}x]", "a bracket behind the end of a line would be an option of it"


def test_the_command_takes_columns_by_name(archive: Path, data_root: Path) -> None:
    done = okdbench("leaderboard --format tex --columns method,acc,behind", archive, data_root)
    assert r"method & acc \% & behind" in " ".join(done.stdout.replace("\n", " ").split())
    assert "published" not in done.stdout
    shown = okdbench("leaderboard --columns method,val_acc", archive, data_root).stdout
    assert "validation accuracy" in shown
    assert "gain" not in shown
    markdown = okdbench("leaderboard --format md --columns method,acc", archive, data_root).stdout
    assert "| method         |   acc % |" in markdown


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("leaderboard --format tex --columns method,accc", "unknown column 'accc'; the nearest: acc"),
        ("leaderboard --format csv --columns acc", "csv and json have every column"),
        ("leaderboard --output x --columns acc", "csv and json have every column"),
        ("compare kd augkd --format csv", "unknown format 'csv'"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(line: str, message: str, archive: Path, data_root: Path) -> None:
    refused = okdbench(line, archive, data_root)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_compare_prints_latex(archive: Path, data_root: Path) -> None:
    latex = okdbench("compare augkd kd finetune --format tex", archive, data_root).stdout
    assert r"\label{tab:compare-augkd}" in latex
    assert latex.count("augkd & ") == 2
    assert comparison_text.FORMATS == compare.FORMATS


def test_a_column_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="unknown column 'std'"):
        to_latex(table([record("kd", "A-C", 0, 60)]), ["std"])


@pytest.mark.slow
def test_the_tables_compile(archive: Path, tmp_path: Path, data_root: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.fail(CURE)
    # LaTeX has no letter for the separators of lines.
    strange = [text.replace("\u2028\u2029", "") for text in HOSTILE]
    names = [record("kd", "A-C", seed, 60, variant=name, key=f"{seed}") for seed, name in enumerate(strange)]
    tables = [
        okdbench("leaderboard --format tex", archive, data_root).stdout,
        okdbench(
            "leaderboard --format tex --columns method,setting,acc,interval,mark,behind", archive, data_root
        ).stdout,
        okdbench("compare augkd kd ltr --format tex", archive, data_root).stdout,
        to_latex(table(names)),
    ]
    body = "\n\\clearpage\n".join(tables)
    text = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "page.tex").write_text(text)
    words = [compiler, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "page.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "page.log").read_text(errors="replace")
