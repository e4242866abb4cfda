"""A method of one's own: three ways in, the file to start from, and a check that names typical mistakes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from processes import Command
from sweeps import Sweep
from trees import grow, official

import okdbench
from okdbench import installed, newfile, registry
from okdbench.config import parse_method
from okdbench.contract import CHECKS, Bench, Finding, checks
from okdbench.errors import UserError
from okdbench.grid import Grid, plans_of
from okdbench.plan import Plan
from okdbench.protocol import BUDGETS, Track
from okdbench.records import read_records
from okdbench.tables import leaderboard

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "okdbench" / "templates"
TINY = "--budget smoke --teacher test_resnet --student test_resnet --device cpu"
CELL = f"--dataset digits --setting MO-P {TINY}"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that `okdbench new method mine` writes, in the folder in which the test works."""
    monkeypatch.chdir(tmp_path)
    newfile.write_method("mine", Path())
    return tmp_path / "mine.py"


# the contract, broken


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def bench(shared: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """A bench for the template with some of its text replaced, in one track, for 10 steps; all share one teacher."""
    monkeypatch.setitem(BUDGETS, "smoke", replace(BUDGETS["smoke"], student_images=160))

    def make(*changes: tuple[str, str]) -> Bench:
        text = (
            (TEMPLATES / "method.py").read_text().replace("(Track.LABELLED, Track.LABEL_FREE)", "(Track.LABEL_FREE,)")
        )
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "mine.py").write_text(text)
        return Bench(str(tmp_path / "mine.py"), shared, data_root, dataset="digits", setting="MO-P")

    return make


def line_of(bench: Bench, text: str) -> str:
    """``mine.py:31``, the first line that holds ``text``."""
    lines = Path(bench.given).read_text().splitlines()
    return f"mine.py:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    assert finding.found
    assert finding.means
    assert finding.cure
    return finding


STEP = "        with torch.no_grad():\n"
SETUP = "    def setup(self) -> None:\n"
IMPORT = "import torch\n\n"


def test_the_file_to_start_from_keeps_the_contract(shared: Path, data_root: Path) -> None:
    one = Bench(str(TEMPLATES / "method.py"), shared, data_root)
    assert one.tracks == (Track.LABELLED, Track.LABEL_FREE)
    assert {check.title: check.find(one) for check in CHECKS} == {check.title: [] for check in CHECKS}


SEEDS = {
    "torch.manual_seed(0)": ("", SETUP, "setup(): torch.manual_seed(0) was called"),
    "random.random()": ("import random\n", STEP, "stage 'distil', step 0: it draws from Python's random"),
    "np.random.seed(1)": ("import numpy as np\n", SETUP, "setup(): it draws from numpy.random, or seeds it"),
    "torch.rand(3)": ("", STEP, "stage 'distil', step 0: it draws from torch's global generator"),
}


@pytest.mark.parametrize("code", SEEDS)
def test_a_global_random_source_is_named_with_its_line(bench: Callable[..., Bench], code: str) -> None:
    extra, before, complaint = SEEDS[code]
    one = bench((IMPORT, extra + IMPORT), (before, f"{before}        {'    ' * (before == STEP)}{code}\n"))
    finding = only(checks.randomness(one))
    assert complaint in finding.found
    assert f"({line_of(one, code)})" in finding.found
    assert "self.task.rng" in finding.cure or "delete that line" in finding.cure


def test_a_generator_without_the_runs_seed_is_told(bench: Callable[..., Bench]) -> None:
    one = bench(
        (IMPORT, f"import numpy as np\n{IMPORT}"),
        ("self.hp.noise * ", "self.hp.noise * np.random.default_rng().uniform() * "),
    )
    finding = only(checks.repetition(one))
    assert "two runs with the same seed differ: first in stage 'distil', step 0: 'kl' is" in finding.found
    assert line_of(one, "default_rng") in finding.cure


def test_state_that_is_not_registered_is_named(bench: Callable[..., Bench]) -> None:
    one = bench(
        (SETUP, f"{SETUP}        self.running = torch.zeros(())\n"),
        ("        self.learner.update(loss)", "        self.running = 0.9 * self.running + loss.detach()\n"
         "        loss = loss + loss / (1 + self.running)\n        self.learner.update(loss)"),
    )  # fmt: skip
    assert checks.repetition(one) == []
    finding = only(checks.resumption(one))
    assert "a resumed run differs: first in stage 'distil', step 6: 'kl' is" in finding.found
    assert "self.running changed in the run and is in no checkpoint" in finding.found
    assert "self.state[name]" in finding.cure


TEACHER = {
    "next(self.teacher.parameters()).add_(0.01)": "weights of the teacher have changed, net.conv1.0.weight first",
    "self.teacher.net.train()": "put in train mode: its buffer net.conv1.1.running_mean has changed",
    "self.teacher.requires_grad_(True)": "the teacher was unfrozen",
}


@pytest.mark.parametrize("code", TEACHER)
def test_a_changed_teacher_is_told(bench: Callable[..., Bench], code: str) -> None:
    finding = only(checks.teacher(bench((STEP, f"{STEP}            {code}\n"))))
    assert finding.found.startswith("stage 'distil', step 0: ")
    assert TEACHER[code] in finding.found


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ('{"kl": loss, "size": loss.log() * 0 / 0}', "stage 'distil', step 0: the loss term 'size' is nan"),
        ('{"kl": loss.item()}', "the step returns kl a float"),
        ('{"kl": taught}', "the step returns kl a tensor of shape (16, 10)"),
        ("loss", "the step returns no dictionary, but a tensor"),
    ],
)
def test_a_loss_that_is_no_number_is_told(bench: Callable[..., Bench], result: str, complaint: str) -> None:
    one = bench(('{"kl": loss}', result))
    assert complaint in only(checks.terms(one)).found
    assert checks.runs(one) == [], "it is told once"


def test_a_hyperparameter_without_effect_is_named(bench: Callable[..., Bench]) -> None:
    finding = only(checks.idle_settings(bench(("self.hp.noise * self", "0.1 * self"))))
    assert "the hyper-parameter 'noise' changes nothing" in finding.found
    assert "noise=0.1, noise=0.15" in finding.found
    assert "no line of mine.py reads self.hp.noise" in finding.found


def test_a_switch_that_nothing_reads_is_named(bench: Callable[..., Bench]) -> None:
    switch = "        legacy_fault: bool = legacy('it errs', 'it does not')\n\n    hp: Hyperparameters"
    unread = (("\n    hp: Hyperparameters", switch), ("adam, hyper", "adam, hyper, legacy"))
    finding = only(checks.idle_settings(bench(*unread)))
    assert "'legacy_fault' changes nothing" in finding.found
    rare = ("loss = kl(taught, self.student(images))", "loss = kl(taught, self.student(images))\n"
            "        if self.hp.legacy_fault and loss > 1e9:\n            loss = 2 * loss")  # fmt: skip
    assert checks.idle_settings(bench(*unread, rare)) == []


LABELS = {
    'data="images"': ('data="labelled"', "stage 'distil' of"),
    "return {": ("batch.labels.sum()\n        return {", "labels are withheld"),
    "loss = kl(taught": (
        "import sys\n        frame = sys._getframe()\n        while not hasattr(frame.f_locals.get('self'), '_kit'):\n"
        "            frame = frame.f_back\n        engine = frame.f_locals['self']\n"
        "        known = engine._kit.stream.__self__.plan.material.student_train.labels\n"
        "        loss = (1 + float(known[:99].mean())) * kl(taught",
        "with permuted labels the student of the label-free track is another one",
    ),
}


@pytest.mark.parametrize("old", LABELS)
def test_labels_in_the_label_free_track_are_told(bench: Callable[..., Bench], old: str) -> None:
    new, complaint = LABELS[old]
    one = bench((old, new))
    finding = only(checks.labels(one))
    assert complaint in finding.found
    assert "leave Track.LABEL_FREE out of the card's tracks" in finding.cure
    if "withheld" in complaint:
        assert line_of(one, "batch.labels") in finding.found


def test_imports_beyond_the_wall_are_named(bench: Callable[..., Bench]) -> None:
    one = bench((IMPORT, f"{IMPORT}from okdbench import registry\n"))
    assert f"{line_of(one, 'registry')} imports okdbench.registry" in only(checks.imports_beyond(one)).found


def test_spending_too_much_or_unseen_is_told(bench: Callable[..., Bench]) -> None:
    steps = "self.task.student_images // self.task.batch_size"
    finding = only(checks.budget(bench((steps, f"1000 * {steps}"))))
    assert "step 10 of 10000: the student has learned from 176 pictures; the budget has 160" in finding.found
    around = "for p in self.student.parameters():\n            p.data.mul_(0.99)"
    assert "trained around its learner" in only(checks.budget(bench(("self.learner.update(loss)", around)))).means


def test_a_crash_is_told_with_its_line(bench: Callable[..., Bench]) -> None:
    one = bench(("loss = kl(taught, self.student(images))", "loss = kl(taught, self.student(images)) + self.lost"))
    assert f"{line_of(one, 'self.lost')}: AttributeError" in only(checks.runs(one)).found


def test_a_card_with_gaps_is_told(bench: Callable[..., Bench]) -> None:
    gaps = (('venue="unpublished"', 'venue="ICLR"'), ("hyper(0.1,", "0.1 #"), (", ge=0, le=1)", ""))
    found = [finding.found for finding in checks.card_gaps(bench(*gaps))]
    assert found == ["the card: url is empty", "the card: the hyper-parameter 'noise' is not described"]


def test_check_prints_a_line_for_each_rule_and_ends_with_1(mine: Path, data_root: Path) -> None:
    text = mine.read_text().replace('"kl": loss}', '"kl": loss / 0}')
    mine.write_text(text.replace("(Track.LABELLED, Track.LABEL_FREE)", "(Track.LABELLED,)"))
    result = Command(["check", "./mine.py"], mine.parent, data_root).wait()
    assert result.returncode == 1, result.stderr
    assert re.findall(r"^(ok|bad|--) ", result.stdout, re.MULTILINE).count("bad") == 1
    assert (
        "bad its loss terms are finite\n    found: stage 'distil', step 0: the loss term 'kl' is inf" in result.stdout
    )
    assert "mine does not keep 1 of 11 rules" in result.stdout
    assert result.stdout.count("not looked at") == 3


# the way in: a path


def test_a_path_may_carry_hyperparameters() -> None:
    assert parse_method("./lab/mine.py[lr=0.1]") == ("./lab/mine.py", {"lr": 0.1})
    assert parse_method("mine.py") == ("mine.py", {})


def test_a_file_is_loaded_once_and_again_when_it_was_edited(mine: Path) -> None:
    first = registry.load_method("./mine.py")
    assert registry.load_method(str(mine)) is first
    digest = registry.source_digest(first)
    mine.write_text(mine.read_text().replace("lr=1e-3", "lr=2e-3"))
    second = registry.load_method("mine.py")
    assert second is not first
    assert (registry.source_digest(first), registry.source_digest(second) != digest) == (digest, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class Mine(:\n", "./mine.py:1: SyntaxError: invalid syntax"),
        ("import sys\nsys.exit()\n", "./mine.py:2: SystemExit"),
        ("\nimport no_such_library\n", "./mine.py:2: ModuleNotFoundError: No module named 'no_such_library'"),
        ("from okdbench.api import Methd\n", "./mine.py:1: ImportError: cannot import name 'Methd'"),
        ("def f():\n    raise ValueError('a\\nb')\nf()\n", "./mine.py:2: ValueError: a"),
        ("import helper\n", "./mine.py:1: it imports helper from beside it, which is not supported"),
        ("def f():\n    from . import x\n", "./mine.py:2: it imports .x from beside it"),
        ("x = 1\n", "mine.py: expected exactly one subclass of Method, found none"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_in_one_line(mine: Path, text: str, complaint: str) -> None:
    mine.write_text(text)
    mine.with_name("helper.py").touch()
    with pytest.raises(UserError) as caught:
        registry.load_method("./mine.py")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_not_shared(mine: Path, data_root: Path) -> None:
    with pytest.raises(UserError, match="'kd' comes along with okdbench; give the file another name"):
        registry.load_method("./kd.py")
    with pytest.raises(UserError, match="must be one word of letters"):
        registry.load_method("./my-method.py")
    with pytest.raises(UserError, match="no such file"):
        registry.load_method("./yours.py")
    (mine.parent / "b").mkdir()
    (mine.parent / "b" / "mine.py").write_text(mine.read_text())
    grid = Grid("./mine.py,mine.py[noise=0.2],b/mine.py", "digits", "MO-P", None, None, [], {}, None)
    with pytest.raises(UserError, match="two methods of one name; give one of the files another name"):
        list(plans_of(grid, data_root))


def test_where_the_file_lies_does_not_matter_to_the_key(mine: Path, plan: Callable[..., Plan]) -> None:
    (mine.parent / "b").mkdir()
    (mine.parent / "b" / "mine.py").write_text(mine.read_text())
    here, there, other = plan("./mine.py"), plan("b/mine.py"), plan("./mine.py", hyperparameters={"noise": 0.2})
    assert here.key == there.key != other.key
    assert here.command.startswith("okdbench run --method ./mine.py ")
    assert other.title == "mine[noise=0.2] digits MO-P seed 0"


def test_a_local_method_has_rows_of_its_own_that_rank(mine: Path, data_root: Path) -> None:
    (mine.parent / "c.yaml").write_text("method: ./mine.py[noise=0.2]\ndataset: digits\n")
    runs = [f"run --method ./mine.py --method kd {CELL}", f"run --config c.yaml {CELL}"]
    for line in runs:
        result = Command(shlex.split(line), mine.parent, data_root).wait()
        assert result.returncode == 0, result.stderr
    records = list(read_records(mine.parent / "runs"))
    assert {(record.method, record.origin) for record in records} == {("mine", "local"), ("kd", "")}
    ranked = [record.model_copy(update={"budget": "quick", "default_settings": ("MO-P",)}) for record in records]
    rows = {row.method: row.rank for row in leaderboard(ranked)["digits"] if row.setting == "all"}
    assert rows.keys() == {"kd", "mine (local)", "mine (local)[noise=0.2]"}
    assert sorted(rows.values()) in ([1, 2, 3], [1, 1, 3], [1, 2, 2], [1, 1, 1])
    command = next(record.command for record in records if record.variant)
    before = sorted((mine.parent / "runs").glob("*/record.json"))
    assert Command(shlex.split(command)[1:], mine.parent, data_root).wait().returncode == 0
    assert sorted((mine.parent / "runs").glob("*/record.json")) == before, "the same keys, so nothing was run"
    page = Command(["show", "./mine.py"], mine.parent, data_root).wait().stdout
    assert "Mine: distillation on noisy pictures" in page


def test_the_children_of_a_sweep_find_the_file(mine: Path, data_root: Path) -> None:
    code, _, stderr = Sweep("--methods ./mine.py --jobs 1", mine.parent, data_root).end()
    assert code == 0, stderr
    assert "[1/1] mine digits MO-P seed 0: " in stderr
    assert [record.origin for record in read_records(mine.parent / "runs")] == ["local"]


@pytest.mark.slow
def test_so_do_children_that_are_processes_of_their_own(mine: Path, data_root: Path) -> None:
    line = f"sweep --methods ./mine.py --datasets digits --settings MO-P {TINY} --jobs 1"
    result = Command(shlex.split(line), mine.parent, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert [record.origin for record in read_records(mine.parent / "runs")] == ["local"]


# the way in: an installed package


BROKEN = 'raise RuntimeError("half installed")\n'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a real package with entry points was installed, beside one with broken metadata."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    module = source / "okd_extra"
    module.mkdir()
    (module / "__init__.py").touch()
    for kind in ("method", "dataset"):
        (module / f"{kind}.py").write_text((TEMPLATES / f"{kind}.py").read_text())
    (module / "broken.py").write_text(BROKEN)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "okd-extra"\nversion = "1.0"\n'
        '[project.entry-points."okdbench.methods"]\nextra = "okd_extra.method"\nexplicit = "okd_extra.method:Mine"\n'
        'broken = "okd_extra.broken"\nabsent = "okd_extra.method:Absent"\nkd = "okd_extra.method"\n'
        '[project.entry-points."okdbench.datasets"]\nshelf = "okd_extra.dataset"\n'
    )
    words = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", *words, str(source)], check=True)
    bad = target / "bad-1.0.dist-info"
    bad.mkdir()
    (bad / "entry_points.txt").write_text("[okdbench.methods]\nthis is no entry point\n")
    return target


@pytest.fixture
def site(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(package))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "okd_extra"]:
        del sys.modules[name]


@pytest.mark.usefixtures("site")
def test_installed_methods_are_found_and_run(plan: Callable[..., Plan], tmp_path: Path, data_root: Path) -> None:
    record = okdbench.run(
        method="extra", dataset="digits", setting="MO-P", budget="smoke", teacher="test_resnet", student="test_resnet",
        runs=tmp_path, data_root=data_root,
    )  # fmt: skip
    assert (record.status, record.method, record.origin) == ("done", "extra", "okd-extra"), record.traceback
    assert plan("explicit").method is plan("extra").method
    assert plan("explicit").key != plan("extra").key
    assert registry.origin_of("kd") == "", "what comes along is never hidden"
    assert registry.load_dataset("shelf").name == "shelf"


def test_every_file_of_a_package_is_part_of_the_key(site: Path) -> None:
    before = registry.source_digest(registry.load_method("extra"))
    registry.source_digest.cache_clear()
    (site / "okd_extra" / "broken.py").write_text(BROKEN + "# changed\n")
    assert registry.source_digest(registry.load_method("extra")) != before


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("broken", "package okd-extra: its entry point broken = okd_extra.broken cannot be loaded (RuntimeError: half"),
        ("absent", "(AttributeError: module 'okd_extra.method' has no attribute 'Absent'); update or uninstall it"),
        ("extr", "unknown method 'extr'; did you mean 'extra'?"),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_broken_entry_point_is_told_when_it_is_asked_for(name: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.load_method(name)
    assert complaint in str(caught.value)


def test_the_listing_names_the_package_and_survives_what_is_broken(site: Path, data_root: Path) -> None:
    before = partial(sys.path.insert, 0, str(site))
    result = Command(["ls", "methods"], data_root, data_root, before).wait()
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[: len(registry.method_names())] == registry.method_names()
    assert {"extra\t(okd-extra)", "broken\t(okd-extra)", "kd\t(okd-extra; hidden by the one that comes along)"} <= set(
        lines
    )
    assert "shelf\t(okd-extra)" in Command(["ls", "datasets"], data_root, data_root, before).wait().stdout


@pytest.mark.usefixtures("site")
def test_one_name_of_two_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other-1.0.dist-info").mkdir()
    (tmp_path / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (tmp_path / "other-1.0.dist-info" / "entry_points.txt").write_text("[okdbench.methods]\nextra = other\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [entry.package for entry in installed.entries("okdbench.methods") if entry.name == "extra"] == [
        "okd-extra",
        "other",
    ]
    with pytest.raises(UserError, match="'extra' comes with okd-extra and other; uninstall all but one"):
        registry.load_method("extra")


# data sets


def test_a_data_set_in_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Callable[..., Plan]
) -> None:
    monkeypatch.chdir(tmp_path)
    newfile.write_dataset("shop", Path())
    file = tmp_path / "shop.py"
    with pytest.raises(UserError, match=r"there is no folder .*shop/studio/cup; put the pictures of cup there"):
        registry.load_dataset("./shop.py").find("studio", tmp_path)
    grow(tmp_path / "shop", official({name: {"cup": 12, "lamp": 10} for name in ("studio", "phone")}))
    made = plan("kd", dataset="./shop.py", setting=None)
    assert (made.dataset.name, made.setting.name, made.title) == ("shop", "S-P", "kd shop S-P seed 0")
    assert "--dataset ./shop.py" in made.command
    file.write_text(file.read_text().replace('title = "Shop"', 'title = "Shop"\n    flip = False'))
    other = plan("kd", dataset="./shop.py", setting=None)
    assert made.key != other.key
    assert made.material.teacher_train.digest != other.material.teacher_train.digest, "the teacher is another one, too"


# the file to start from


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("my-method", "'my-method' is no name for a method; it takes letters, digits and _, such as noisy_kd"),
        ("2fast", "is no name"),
        ("class", "is no name"),
        ("_mine", "is no name"),
        ("kd", "a method called 'kd' is there already; choose another name"),
        ("stage", "the class would be called Stage, which means something else"),
        ("none", "the class would be called None, which means something else"),
    ],
)
def test_a_name_that_will_not_do_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        newfile.write_method(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    newfile.write_method("noisy_kd", tmp_path / "new")
    written = (tmp_path / "new" / "noisy_kd.py").read_text()
    assert "class NoisyKd(Method):" in written
    assert "Mine" not in written
    with pytest.raises(UserError, match=r"noisy_kd\.py is there already; choose another name or another --output"):
        newfile.write_method("noisy_kd", tmp_path / "new")


# the worked example


@pytest.mark.timeout(900)
@pytest.mark.parametrize("extra", [pytest.param("", marks=pytest.mark.slow), f" --setting MO-P {TINY}"])
def test_the_worked_example_of_contributing_does_what_it_says(tmp_path: Path, data_root: Path, extra: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (block,) = (b for b in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "new method mine" in b)
    commands = [line for line in block.splitlines() if line]
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command + extra * command.startswith("okdbench run"))
        result = Command(words[1:], tmp_path, data_root).wait(600)
        assert result.returncode == 0, result.stderr + result.stdout
    assert "mine (local)" in result.stdout
    assert f"```python\n{(tmp_path / 'mine.py').read_text()}```" in text


@pytest.mark.parametrize("command", ["check", "new method", "new dataset"])
def test_commands_explain_themselves(command: str, tmp_path: Path, data_root: Path) -> None:
    result = Command([*command.split(), "--help"], tmp_path, data_root).wait()
    assert f"Example: okdbench {command}" in result.stdout
