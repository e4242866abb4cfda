"""Methods, data sets and networks of an installed package are found by its entry points; broken ones are named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.fork_server import Command
from support.network_files import NET

import okdbench
from okdbench import registry
from okdbench.core import entry_points as installed
from okdbench.core import plugins
from okdbench.core.code_digest import reached, sources_of
from okdbench.core.errors import UserError
from okdbench.core.network_names import refuse_code
from okdbench.training import runner
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet

TEMPLATES = Path(__file__).parents[2] / "okdbench" / "cli" / "templates"
NETWORKS = NET + "\n\nNUMBER = 3\n"
BROKEN = 'raise RuntimeError("half installed")\n'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real installed package that has entry points, and one with broken metadata."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    module = source / "okd_extra"
    module.mkdir()
    (module / "__init__.py").touch()
    for kind in ("method", "dataset"):
        (module / f"{kind}.py").write_text((TEMPLATES / f"{kind}.py").read_text())
    (module / "broken.py").write_text(BROKEN)
    (module / "net.py").write_text(NETWORKS)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "okd-extra"\nversion = "1.0"\n'
        '[project.entry-points."okdbench.methods"]\nextra = "okd_extra.method"\nexplicit = "okd_extra.method:Mine"\n'
        'broken = "okd_extra.broken"\nabsent = "okd_extra.method:Absent"\nkd = "okd_extra.method"\n'
        '[project.entry-points."okdbench.datasets"]\nshelf = "okd_extra.dataset"\n'
        '[project.entry-points."okdbench.networks"]\nblocks = "okd_extra.net"\nclass = "okd_extra.net:Net"\n'
        'number = "okd_extra.net:NUMBER"\nresnet18 = "okd_extra.net"\n'
    )
    words = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", *words, str(source)], check=True)
    bad = target / "bad-1.0.dist-info"
    bad.mkdir()
    (bad / "entry_points.txt").write_text("[okdbench.methods]\nthis is no entry point\n")
    return target


def forget_package() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "okd_extra"]:
        del sys.modules[name]


@pytest.fixture
def site(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(package))
    yield package
    forget_package()


@pytest.mark.usefixtures("site")
def test_installed_methods_are_found_and_run(plan: Callable[..., Plan], tmp_path: Path, data_root: Path) -> None:
    record = okdbench.run(
        method="extra", dataset="digits", setting="MO-P", budget="smoke", teacher="test_resnet", student="test_resnet",
        runs=tmp_path, data_root=data_root,
    )  # fmt: skip
    assert (record.status, record.method, record.origin) == ("done", "extra", "okd-extra"), record.traceback
    assert plan("explicit").method is plan("extra").method
    assert plan("explicit").key != plan("extra").key
    assert plugins.origin_of("kd") == "", "a bundled method is never hidden"
    assert registry.load_dataset("shelf").name == "shelf"


def test_the_code_of_every_file_of_a_package_is_part_of_the_key(site: Path) -> None:
    def digest(text: str) -> str:
        (site / "okd_extra" / "helper.py").write_text(text)
        forget_package()  # as in a new process
        return registry.source_digest(registry.load_method("extra"))

    usual = digest("x = 1\n")
    assert digest("# a comment\nx  = 1\n") == usual
    assert digest("x = 2\n") != usual
    digest("def later():\n    import okdbench.distill.replay\n")
    names = {source.name for source in reached(*sources_of(registry.load_method("extra")))}
    assert {"okd_extra.helper", "okd_extra.method", "okdbench.distill.replay"} <= names


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("broken", "package okd-extra: its entry point broken = okd_extra.broken cannot be loaded (RuntimeError: half"),
        ("absent", "(AttributeError: module 'okd_extra.method' has no attribute 'Absent'); update or uninstall it"),
        ("extr", "unknown method 'extr'; did you mean 'extra'?"),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_broken_entry_point_is_reported_when_it_is_loaded(name: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.load_method(name)
    assert complaint in str(caught.value)


def test_the_listing_names_the_package_and_survives_what_is_broken(site: Path, data_root: Path) -> None:
    before = partial(sys.path.insert, 0, str(site))
    result = Command(["ls", "methods"], data_root, data_root, before).wait()
    assert result.returncode == 0, result.stderr
    heading, _, *lines = [line.split() for line in result.stdout.splitlines()]
    assert heading[-1] == "package"
    assert [line[0] for line in lines[: len(plugins.method_names())]] == plugins.method_names()
    installed_lines = [" ".join(line) for line in lines if "okd-extra" in line]
    assert installed_lines == [
        *(f"{name} okd-extra" for name in ("absent", "broken", "explicit", "extra")),
        "kd okd-extra (hidden by the bundled one)",
    ]
    listed = Command(["ls", "datasets", "--format", "json"], data_root, data_root, before).wait().stdout
    assert {"name": "shelf", "package": "okd-extra"} in json.loads(listed)
    rows = json.loads(Command(["ls", "networks", "--format", "json"], data_root, data_root, before).wait().stdout)
    assert {"name": "lenet5_bn", "title": "LeNet-5 with batch norm.", "package": None} in rows
    assert {"name": "blocks", "package": "okd-extra"} in rows
    assert {"name": "resnet18", "package": "okd-extra (hidden by the bundled one)"} in rows


@pytest.mark.usefixtures("site")
def test_installed_networks_are_teachers_and_students(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan("teacher", teacher="blocks", student="class")
    assert made.teacher.name.startswith("blocks (okd-extra, ")
    assert made.student.name.startswith("class (okd-extra, ")
    record = runner.execute(made, tmp_path, quiet)
    assert (record.status, record.teacher) == ("done", made.teacher.name), record.traceback
    assert plan("kd", teacher="resnet18").teacher.digest == "", "timm's is never hidden"
    with pytest.raises(UserError, match=r"okd_extra.net:NUMBER is no module and no class and no function"):
        plan("kd", teacher="number")
    with pytest.raises(UserError, match=r"unknown network 'block'; the nearest: .*blocks"):
        plan("kd", teacher="block")
    with pytest.raises(UserError, match="its teacher 'blocks' is not a bundled network"):
        refuse_code("blocks", "teacher")


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
    with pytest.raises(UserError, match="'extra' is in okd-extra and other; uninstall all but one"):
        registry.load_method("extra")
