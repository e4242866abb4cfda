"""Settings of the three tasks: one name for each, one line for each mistake, and the defaults that follow."""

from __future__ import annotations

import re
from itertools import permutations

import pytest
from support.error_text import refusal

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.settings import Setting, TaskKind, settings_of, task_of

DOMAINS = {"M": "mnist", "O": "optical", "P": "print", "W": "web"}


@pytest.mark.parametrize(
    ("text", "setting", "tested"),
    [
        ("pm-o", Setting("MP-O", TaskKind.ADAPT, ("mnist", "print"), "optical"), ("optical",)),
        ("OM-P", Setting("MO-P", TaskKind.ADAPT, ("mnist", "optical"), "print"), ("print",)),
        ("-o", Setting("-O", TaskKind.ADAPT, (), "optical"), ("optical",)),
        ("pm@o", Setting("MP@O", TaskKind.TRANSFER, ("mnist", "print"), "optical"), ("mnist", "print")),
        ("m@w", Setting("M@W", TaskKind.TRANSFER, ("mnist",), "web"), ("mnist",)),
        ("pm", Setting("MP", TaskKind.DATA_FREE, ("mnist", "print"), ""), ("mnist", "print")),
    ],
)
def test_a_setting_has_one_name_and_says_where_the_student_is_tested(
    text: str, setting: Setting, tested: tuple[str, ...]
) -> None:
    parsed = Setting.parse(text, DOMAINS, {"web"})
    assert parsed == setting
    assert parsed.test_domains == tested
    assert Setting.parse(parsed.name, DOMAINS, {"web"}) == parsed
    assert task_of(text) is parsed.task


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("M-OP", r"is not of the form AB-C \(adapt\), AB@C \(transfer\) or AB \(data-free\)"),
        ("M@", "is not of the form"),
        ("@O", "is not of the form"),
        ("-", "is not of the form"),
        ("", "is not of the form"),
        ("M-O@P", "no domain has the letter|is not of the form"),
        ("MX-O", "no domain has the letter 'X'"),
        ("MO@O", "names a domain twice; use each letter at most once"),
        ("MM", "names a domain twice; use each letter at most once"),
        ("M@M", "names a domain twice; use each letter at most once"),
        ("M - O", "is not of the form"),
        ("-W", "web has no labels of these classes"),
        (
            "M-W",
            "web has no labels of these classes to test on, so it can only .* transfers from, as in M@W",
        ),
        ("MW@O", "web has no labels of these classes"),
        ("W", "web has no labels of these classes"),
    ],
)
def test_a_bad_setting_is_an_error_of_one_line(text: str, reason: str) -> None:
    message = refusal(Setting.parse, text, DOMAINS, {"web"})
    assert re.search(reason, message)
    assert repr(text) in message, "the message names what was typed"
    # and what may be typed in its place
    assert "as in M@W" in message or "M = mnist, O = optical, P = print, W = web" in message


def test_the_defaults_of_other_tasks_follow_from_those_of_adapt() -> None:
    adapt = ("MP-O", "MO-P", "M-P")
    assert settings_of(TaskKind.ADAPT, adapt) == adapt
    assert settings_of(TaskKind.TRANSFER, adapt) == ("MP@O", "MO@P", "M@P")
    assert settings_of(TaskKind.DATA_FREE, (*adapt, "M-O")) == ("MP", "MO", "M")


def test_declared_defaults_win_and_nothing_follows_from_them() -> None:
    assert settings_of(TaskKind.TRANSFER, ("M-P", "M@W")) == ("M@W",)
    assert settings_of(TaskKind.ADAPT, ("M@W",)) == settings_of(TaskKind.DATA_FREE, ("M@W",)) == ()
    assert settings_of(TaskKind.DATA_FREE, ("-O",)) == ()


@pytest.mark.parametrize("form", ["{}-w", "{}@w", "{}"])
def test_the_order_of_the_teachers_domains_is_no_other_setting(form: str) -> None:
    parsed = {Setting.parse(form.format("".join(letters)), DOMAINS) for letters in permutations("MoP")}
    assert [setting.name for setting in parsed] == [form.format("MOP").upper()]


@pytest.mark.parametrize("name", plugins.dataset_names())
def test_every_bundled_data_set_has_default_settings_of_every_task(name: str) -> None:
    dataset = registry.load_dataset(name)
    # A data set with a single labelled domain has nothing to adapt to.
    labelled = set(dataset.domains.values()) - dataset.unlabelled
    for task in TaskKind:
        settings = dataset.default_settings(task)
        assert bool(settings) == (task is not TaskKind.ADAPT or len(labelled) > 1)
        assert [dataset.setting(text).name for text in settings] == list(settings)
        assert {dataset.setting(text).task for text in settings} <= {task}
