"""A sweep before its first run: estimated duration, excluded runs, and mistakes on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.fake_records import put, record
from support.sweep_process import Sweep

from okdbench.core.protocol import PROTOCOL_VERSION

FAILING = """
from okdbench.api import Stage
from okdbench.methods.kd import PlainKD


class Failing(PlainKD):
    def stages(self):
        return [Stage("distil", 10, self.fail, data="images")]

    def fail(self, batch):
        raise ArithmeticError("no way")
"""


def test_what_no_run_tells_is_estimated_from_timed_steps(tmp_path: Path, data_root: Path) -> None:
    code, stdout, _ = Sweep("--methods kd,finetune --seeds 0-1 --jobs 2 --dry-run", tmp_path, data_root).end()
    assert code == 0
    told = (
        r"^time left with 2 at a time: (\d+ (s|min|h).*), from a dozen timed steps here.*: finetune, kd, the teacher "
    )
    assert re.search(told + "lenet5_bn$", stdout, re.MULTILINE), stdout
    assert not (tmp_path / "runs").exists()


def test_runs_of_another_protocol_do_not_say_how_long_a_budget_takes(tmp_path: Path, data_root: Path) -> None:
    told = {}
    for protocol in (PROTOCOL_VERSION, PROTOCOL_VERSION - 1):
        networks = {"teacher": "lenet5_bn", "student": "lenet5_half_bn"}
        made = record("finetune", "MO-P", 0, 60, **networks, budget="smoke", protocol=protocol)
        put(tmp_path / "runs", made.model_copy(update={"config": {"image_size": 32, **networks}}), 1)
        _, told[protocol], _ = Sweep("--methods finetune --jobs 2 --dry-run", tmp_path, data_root).end()
    assert "where no finished run tells, of: the teacher lenet5_bn" in told[PROTOCOL_VERSION]
    assert "where no finished run tells, of: finetune, the teacher lenet5_bn" in told[PROTOCOL_VERSION - 1]


def test_a_method_whose_steps_fail_has_no_estimate(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    code, stdout, _ = Sweep("--methods ./failing.py --jobs 2 --dry-run", tmp_path, data_root).end()
    assert (code, "unknown, because a step of failing fails: no way" in stdout) == (0, True), stdout


def test_a_variant_that_reads_labels_is_left_out_of_the_label_free_track(tmp_path: Path, data_root: Path) -> None:
    line = "--methods 'mosaickd[form=joint]' --seeds 0-1 --jobs 2 --dry-run --tracks"
    code, stdout, stderr = Sweep(f"{line} labelled,label-free", tmp_path, data_root).end()
    assert (code, len(re.findall(r"^missing +mosaickd\[form=joint\]", stdout, re.MULTILINE))) == (0, 2)
    assert stderr.count("left out") == 1
    code, _, stderr = Sweep(f"{line} label-free", tmp_path, data_root).end()
    assert (code, stderr.count("withholds")) == (2, 1)


MISTAKES = {
    "--methods kd,augk": "did you mean 'augkd'",
    "--methods 'kd[temprature=2]'": "did you mean 'temperature'",
    "--methods 'kd[temperature=2'": "is not of the form",
    "--methods 'kd[temperature]'": "key=value",
    "--methods finetune,kd --set temperature=2": "finetune: unknown hyper-parameter 'temperature'",
    "--methods kd --tracks labeled": "did you mean 'labelled'",
    "--methods finetune,augkd --tracks label-free": "finetune, augkd: not for task adapt, label-free; these are: cmi",
    "--methods kd --seeds 2-0": "not of the form 0-2",
    "--methods kd --jobs 0": "--jobs 0: out of range",
    "--methods kd --config bad.yaml": "did you mean 'seed'",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_in_one_line_before_anything_starts(line: str, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "bad.yaml").write_text("sed: 3\n")
    code, stdout, stderr = Sweep(line, tmp_path, data_root).end()
    assert (code, stdout, stderr.count("\n")) == (2, "", 1), stderr
    assert stderr.startswith("okdbench: ")
    assert MISTAKES[line] in stderr
    assert not (tmp_path / "runs").exists()
