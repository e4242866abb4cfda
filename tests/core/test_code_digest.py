"""Keys cover the code that a result depends on: a changed line changes them, a changed comment does not."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from okdbench import registry
from okdbench.core import code_digest
from okdbench.core.code_digest import digest_of, module_files, parse, reached
from okdbench.training.plan import Plan
from okdbench.training.teacher import teacher_key

ROOT = Path(__file__).parents[2]
RUNNER, TEACHER = "okdbench.training.runner", "okdbench.training.teacher"
METHODS = ("kd", "augkd")
#: module -> the method whose run reaches it
REACHED = {
    source.name: method
    for method in reversed(METHODS)
    for source in reached(RUNNER, f"okdbench.methods.{method}", "okdbench.datasets.digits")
}
EditedKeys = Callable[[Plan, Mapping[str, str]], tuple[str, str]]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[EditedKeys]:
    """Keys of run and teacher as they would be with other texts of some modules of okdbench."""
    read, files = code_digest.read, module_files()

    def compute(plan: Plan, texts: Mapping[str, str]) -> tuple[str, str]:
        changed = {files[name]: text.encode() for name, text in texts.items()}
        monkeypatch.setattr(code_digest, "read", lambda file: changed.get(file) or read(file))
        digest_of.cache_clear()
        return plan.key, teacher_key(plan)

    yield compute
    digest_of.cache_clear()


def text_of(module: str) -> str:
    return module_files()[module].read_text()


def with_another_line(text: str) -> str:
    """The text with its last simple statement replaced by another one, or with one more if it has none."""
    simple = (ast.Assign, ast.AnnAssign, ast.Return, ast.Import, ast.ImportFrom, ast.Raise, ast.AugAssign)
    last = max((n for n in ast.walk(ast.parse(text)) if isinstance(n, simple)), key=lambda n: n.lineno, default=None)
    lines = text.splitlines()
    if last is None:
        return "\n".join([*lines, "changed = True"])
    return "\n".join([*lines[: last.lineno - 1], " " * last.col_offset + "changed = True", *lines[last.end_lineno :]])


def with_other_words(text: str) -> str:
    """The same code in another format, with other docstrings and without comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            if ast.get_docstring(node) is not None:
                del node.body[0]
            node.body.insert(0, ast.Expr(ast.Constant("other words")))
    return "# a comment\n" + ast.unparse(tree).replace("\n", "\n\n") + "  # another\n"


def test_every_package_below_the_commands_is_reached() -> None:
    packages = {name.split(".")[1] for name in REACHED if "." in name}
    assert packages == {"api", "core", "data", "datasets", "distill", "methods", "registry", "results", "training"}


@pytest.mark.parametrize("module", REACHED)
def test_one_changed_line_in_any_reached_module_changes_the_key(
    keys: EditedKeys, plan: Callable[..., Plan], module: str
) -> None:
    made, text = plan(REACHED[module]), text_of(module)
    assert keys(made, {module: with_another_line(text)})[0] != keys(made, {})[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("okdbench.distill.losses", "    return ", "    return 0 * "),
        ("okdbench.distill.finetune", "LEARNING_RATE = 1e-3", "LEARNING_RATE = 0.1"),
    ],
)
def test_the_shared_mathematics_is_part_of_the_key(
    keys: EditedKeys, plan: Callable[..., Plan], method: str, module: str, old: str, new: str
) -> None:
    made, text = plan(method), text_of(module)
    start = text.find("def kl(") if module.endswith("losses") else 0
    changed = text[:start] + text[start:].replace(old, new, 1)
    assert changed != text
    assert keys(made, {module: changed})[0] != keys(made, {})[0]


@pytest.mark.parametrize("method", METHODS)
def test_comments_docstrings_and_formatting_change_nothing(
    keys: EditedKeys, plan: Callable[..., Plan], method: str
) -> None:
    made = plan(method)
    texts = {module: with_other_words(text_of(module)) for module in REACHED}
    assert all(len(texts[module]) and texts[module] != text_of(module) for module in texts)
    assert keys(made, texts) == keys(made, {})


def test_what_a_run_does_not_reach_changes_nothing(keys: EditedKeys, plan: Callable[..., Plan]) -> None:
    made, others = plan("kd"), sorted(set(module_files()) - set(REACHED))
    for package in ("cli", "sweep", "checks", "results.plots", "results.report", "methods.zskt", "datasets.pacs"):
        assert any(module.startswith(f"okdbench.{package}") for module in others), package
        assert not any(module.startswith(f"okdbench.{package}") for module in REACHED), package
    assert keys(made, dict.fromkeys(others, "changed = True")) == keys(made, {})


def test_no_reached_module_imports_by_a_computed_name() -> None:
    """The walk sees statements alone, so what imports in another way must be known to need no follower."""
    computed = {name for name in REACHED if "import_module(" in text_of(name) or "__import__(" in text_of(name)}
    assert computed == {"okdbench", "okdbench.core.code_digest", "okdbench.core.plugins"}


@pytest.mark.parametrize(
    ("text", "imports"),
    [
        ("import okdbench.data.cache as c, numpy", ["numpy", "okdbench.data.cache"]),
        ("from okdbench.data import cache, loader", ["okdbench.data.cache", "okdbench.data.loader"]),
        ("from okdbench.distill.losses import *", ["okdbench.distill.losses.*"]),
        ("def f():\n    from okdbench import data", ["okdbench.data"]),
        ("class A:\n    import okdbench.data", ["okdbench.data"]),
        ("try:\n    import a\nexcept E:\n    import b\nelse:\n    import c\nfinally:\n    import d", list("abcd")),
        ("match x:\n    case 1:\n        import a", ["a"]),
        ("with x:\n    for y in z:\n        import a\n    else:\n        import b", ["a", "b"]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", ["b"]),
        ("if typing.TYPE_CHECKING:\n    from a import b", []),
        ("if not TYPE_CHECKING:\n    import a", ["a"]),
        (
            "from . import sibling\nfrom ..core.files import writing",
            ["okdbench.core.files.writing", "okdbench.x.sibling"],
        ),
        ("this is no Python", []),
    ],
)
def test_imports_are_found_wherever_they_run(text: str, imports: list[str]) -> None:
    assert list(parse("okdbench.x.module", text.encode()).imports) == imports


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    assert parse("okdbench.x", b"from . import y", is_package=True).imports == ("okdbench.x.y",)


def test_importing_reaches_packages_on_the_way_and_all_of_a_star() -> None:
    names = [source.name for source in reached(parse("mine", b"from okdbench.distill.networks import *"))]
    assert {"okdbench", "okdbench.distill", "okdbench.distill.networks", "okdbench.distill.networks.anchor"} <= set(
        names
    )
    assert "okdbench.distill.losses" not in names


def test_the_canonical_text_does_not_depend_on_the_version_of_python() -> None:
    text = 'def f(a, *, b=None, **c) -> "é":\n    "doc"\n    return {**c, f"{a!r:>{b}}": -1.5e3, b"x": [..., None]}'
    assert code_digest.tree_text(ast.parse(text)) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='a')],kwonlyargs=[arg(arg='b')],"
        "kw_defaults=[Constant(None)],kwarg=arg(arg='c')),body=[Return(value=Dict(keys=[None,JoinedStr(values=["
        "FormattedValue(value=Name(id='a'),conversion=114,format_spec=JoinedStr(values=[Constant('>'),"
        "FormattedValue(value=Name(id='b'),conversion=-1)]))]),Constant(b'x')],values=[Name(id='c'),"
        "UnaryOp(op=USub(),operand=Constant(1500.0)),List(elts=[Constant(Ellipsis),Constant(None)])]))],"
        "returns=Constant('\\xe9'))])"
    )


@pytest.mark.parametrize(("one", "other"), [("x = None", "x = 0"), ("f(1)", "f('1')"), ("{**a}", "{None: a}")])
def test_other_code_has_another_digest(one: str, other: str) -> None:
    assert parse("m", one.encode()).digest != parse("m", other.encode()).digest


@pytest.mark.parametrize("layout", ["source tree", "installed"])
def test_a_copy_has_the_same_digest_wherever_it_is_and_an_edited_one_another(tmp_path: Path, layout: str) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("okdbench", "methods", "datasets"):
        inside = layout == "installed" and name != "okdbench"
        shutil.copytree(ROOT / name, tmp_path / "okdbench" / name if inside else tmp_path / name, ignore=ignore)
    if layout == "source tree":
        shutil.copy(ROOT / "setup.cfg", tmp_path)
    roots = (RUNNER, "okdbench.methods.kd", "okdbench.datasets.digits")

    def there() -> str:
        code = f"from okdbench.core.code_digest import digest_of; print(digest_of(*{roots!r}))"
        return subprocess.run(
            [sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True, text=True
        ).stdout

    assert there().strip() == digest_of(*roots)
    losses = tmp_path / "okdbench" / "distill" / "losses.py"
    losses.write_text(with_another_line(losses.read_text()))
    assert there().strip() != digest_of(*roots)


# teachers


@pytest.mark.parametrize(
    ("module", "differs"),
    [
        (TEACHER, True),
        ("okdbench.training.loop", True),
        ("okdbench.data.loader", True),
        ("okdbench.data.decoding", True),
        ("okdbench.distill.optim", True),
        ("okdbench.distill.networks.classifiers", True),
        ("okdbench.datasets.digits", True),
        ("okdbench.distill.losses", False),
        ("okdbench.methods.kd", False),
        ("okdbench.training.evaluation", False),
    ],
)
def test_a_teachers_key_covers_its_training_and_its_data(
    keys: EditedKeys, plan: Callable[..., Plan], module: str, differs: bool
) -> None:
    made = plan("kd")
    changed = keys(made, {module: with_another_line(text_of(module))})[1]
    assert (changed != keys(made, {})[1]) == differs
    assert keys(made, {module: with_other_words(text_of(module))})[1] == keys(made, {})[1]


# code from elsewhere


LOCAL = """\"\"\"Mine.\"\"\"
from okdbench.api import Card, Method
from okdbench.distill.replay import Rehearsal

class Mine(Rehearsal):
    \"\"\"A method.\"\"\"
    card = Card(title="Mine", venue="", year=2026, url="", reads=())
"""


def test_the_code_of_a_local_method_and_what_it_imports_are_part_of_its_key(
    keys: EditedKeys, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"

    def key(text: str, texts: Mapping[str, str]) -> str:
        file.write_text(text)
        return keys(plan(str(file)), texts)[0]

    assert key(with_other_words(LOCAL), {}) == key(LOCAL, {})
    assert key(LOCAL.replace("reads=()", "reads=(), tracks=()[:0] or Card.tracks"), {}) != key(LOCAL, {})
    module = "okdbench.distill.replay"
    assert module not in {source.name for source in reached(RUNNER)}
    assert key(LOCAL, {module: with_another_line(text_of(module))}) != key(LOCAL, {})


def test_a_local_file_is_digested_when_it_is_loaded(plan: Callable[..., Plan], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(LOCAL)
    made = plan(str(file))
    key = made.key
    digest_of.cache_clear()
    file.write_text(with_another_line(LOCAL))
    assert made.key == key


def test_the_code_of_a_local_data_set_is_part_of_both_keys(plan: Callable[..., Plan], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = "from okdbench.datasets.digits import Digits\n\nclass Mine(Digits):\n    title = 'Mine'\n"

    def keys_of(text: str) -> tuple[str, str]:
        file.write_text(text)
        made = plan("kd", dataset=str(file))
        return made.key, teacher_key(made)

    usual, other, words = keys_of(text), keys_of(text + "    augmentation = ()\n"), keys_of("# words\n" + text)
    assert usual[0] != other[0]
    assert usual[1] != other[1]
    assert usual == words


def test_a_method_in_the_tree_is_digested_like_any_module() -> None:
    method = registry.load_method("kd")
    assert registry.source_digest(method) == digest_of(RUNNER, "okdbench.methods.kd")
