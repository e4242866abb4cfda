"""Shell completion, asked for as shells do: names and choices, those after a comma, and nothing of torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_records import record
from support.pseudo_terminal import environment

from okdbench.core import plugins
from okdbench.results.store import write_record

#: what the console script does; fails when torch was loaded
SCRIPT = """
import sys
sys.argv[0] = "okdbench"
try:
    from okdbench.cli.app import main
    main()
finally:
    assert "torch" not in sys.modules
"""


def complete(line: str, folder: Path) -> list[str]:
    """What bash is told to complete the last word of ``line`` to."""
    asked = {"_OKDBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    words = [sys.executable, "-c", SCRIPT]
    result = subprocess.run(words, cwd=folder, env=environment(**asked), capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return [value for value in result.stdout.splitlines() if value]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("okdbench run --method au", ["augkd"]),
        ("okdbench run --methods kd,fi", ["kd,finetune"]),
        ("okdbench sweep --method=mo", ["mosaickd"]),
        ("okdbench sweep --datasets off", ["office10", "office31", "officehome"]),
        ("okdbench run --dataset digits --setting M", ["MP-O", "MO-P", "MP@O", "MO@P", "MP", "MO"]),
        ("okdbench run --dataset digits --setting MP-O,O", ["MP-O,OP-M", "MP-O,OP@M", "MP-O,OP"]),
        ("okdbench run --dataset visda --setting ", ["T-V", "T@V", "T"]),
        ("okdbench run --task ", ["adapt", "transfer", "data-free"]),
        ("okdbench sweep --tasks transfer,d", ["transfer,data-free"]),
        ("okdbench compare augkd kd --task t", ["transfer"]),
        ("okdbench run --budget ", ["smoke", "quick", "standard", "paper"]),
        ("okdbench run --track ", ["labelled", "semi", "label-free"]),
        ("okdbench run --track label", ["labelled", "label-free"]),
        ("okdbench run --precision b", ["bfloat16-targets", "bfloat16"]),
        ("okdbench sweep --engine ", ["local", "ray"]),
        ("okdbench plot c", ["curves", "cd", "confusion", "calibration"]),
        ("okdbench plot bars --format png,", ["png,svg", "png,pdf"]),
        ("okdbench export 3f --format s", ["safetensors"]),
        ("okdbench ls ", ["methods", "datasets", "settings", "networks"]),
        ("okdbench ls settings --dataset dig", ["digits"]),
        ("okdbench show pa", ["pacs"]),
        ("okdbench compare augkd fi", ["finetune"]),
        ("okdbench lead", ["leaderboard"]),
        ("okdbench runs sh", ["show"]),
    ],
)
def test_names_and_choices_are_completed(line: str, expected: list[str], tmp_path: Path) -> None:
    assert complete(line, tmp_path) == expected


def test_all_methods_are_offered(tmp_path: Path) -> None:
    assert complete("okdbench run --method ", tmp_path)[: len(plugins.method_names())] == plugins.method_names()


def test_without_a_data_set_the_settings_of_all_are_offered(tmp_path: Path) -> None:
    assert {"MP-O", "T-V", "MP@O", "T"} <= set(complete("okdbench run --setting ", tmp_path))


def test_a_path_and_a_misspelt_data_set_are_left_to_the_shell(tmp_path: Path) -> None:
    assert complete("okdbench run --method ./mi", tmp_path) == []
    assert complete("okdbench run --dataset digit --setting ", tmp_path) == []


def test_keys_of_runs_are_completed(tmp_path: Path) -> None:
    for key in ("abc1", "abd2"):
        made = record("kd", "A-C", 0, 60, key=key)
        write_record(tmp_path / "elsewhere" / key, made)
    assert complete("okdbench runs show --runs elsewhere ab", tmp_path) == ["abc1", "abd2"]
    assert complete("okdbench predict --runs elsewhere abd", tmp_path) == ["abd2"]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_with_the_script_that_is_installed(tmp_path: Path) -> None:
    program = tmp_path / "okdbench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m okdbench "$@"\n')
    program.chmod(0o755)
    ours = environment(PATH=f"{tmp_path}:/usr/bin:/bin", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    words = [program, "--show-completion", "bash"]
    shown = subprocess.run(words, cwd=tmp_path, env=ours, capture_output=True, text=True, check=True)
    (tmp_path / "completion.sh").write_text(shown.stdout)
    asked = """
source ./completion.sh
COMP_WORDS=(okdbench run --method kd,fine); COMP_CWORD=3
_okdbench_completion okdbench
echo "${COMPREPLY[@]}"
"""
    result = subprocess.run(
        ["bash", "--norc", "-c", asked], cwd=tmp_path, env=ours, capture_output=True, text=True, check=True
    )
    assert (result.stdout, result.stderr) == ("kd,finetune\n", "")
