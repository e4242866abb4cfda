"""Records and pages for the tests of the report, and the questions that they ask a page in a browser."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from okdbench.results.loss_curves import Curve
from okdbench.results.records import Evaluation, Outcome, Record, Score
from okdbench.results.report.figures import FigureGroup, ReportFigure, data_uri, figure_groups
from okdbench.results.report.page import render
from support.fake_records import failed, record

#: opens a page by its name, a fragment of the address and a width, with options of the browser
Open = Callable[..., Page]
#: figures and published numbers of a page
Extras = tuple[Sequence[FigureGroup], Sequence[dict[str, Any]]]

HOSTILE = [
    "<script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=1</script>",
    "</title></style><svg onload=window.hacked=1>",
    "{{7*7}}",
    "javascript:window.hacked=1",
    "<!--<script>",
    "a\u2028\u2029'&amp;`${window.hacked=1}",
]


def scored(acc: float, images: int = 64, stage: str = "anchor") -> Evaluation:
    score = Score(acc=acc, top3=acc, top5=acc, macro_f1=acc, ece=5.0, agreement=50.0)
    return Evaluation(stage=stage, step=images // 64, images=images, val_acc=acc - 1, test=score)


def full(method: str, setting: str, seed: int, acc: float, **changes: Any) -> Record:
    """A record with curves, evaluations and outcomes of its stages, like that of a real run."""
    steps = [0, 3, 6, 9]
    values: dict[str, Any] = {
        "curves": {
            "data-free": Curve(
                steps=steps, losses={"bn": [9.0, 4.0, 2.0, 1.0], "late": [None, 1.0, None, 3.0]}, hashes=["a"] * 4
            ),
            "anchor": Curve(steps=steps[:1], losses={"kl": [0.5]}, hashes=["b"]),
        },
        "evaluations": [scored(acc - 30, 64), scored(acc, 128), scored(acc - 5, 192)],
        "stages": {"anchor": Outcome(evaluation=scored(acc), retention=30.0)},
        "environment": {"torch": "2.9", "device": "cpu", "finished": "2026-01-02T03:04:05+00:00"},
        "config": {"image_size": 32, "pretrained": False, "hyperparameters": {"lr": 1e-3, "keep": "last"}},
    }
    return record(method, setting, seed, acc, **values | changes)


def grid() -> list[Record]:
    """Two data sets, tracks and budgets; a failed run, a missing one, and a variant."""
    usual = ("A-C", "B-C")
    scores = {"finetune": 70.0, "kd": 80.0, "augkd": 9.5, "mad[ema=false]": 75.25}
    found = []
    for number, (name, acc) in enumerate(scores.items()):
        method, _, variant = name.partition("[")
        for setting in usual:
            for seed in (0, 1):
                changes = {"variant": variant.rstrip("]"), "default_settings": usual, "key": f"{name}{setting}{seed}"}
                changes["cost"] = record("x", "A-C", 0, 0).cost.model_copy(update={"seconds": 5.0 + number})
                found.append(full(method, setting, seed, acc + seed, **changes))
    found[-1] = failed("mad", "B-C", 1, variant="ema=false", default_settings=usual, error="NonFiniteLossError: bn",
                       traceback="Traceback (most recent call last):\n  line 1", key="broken")  # fmt: skip
    found.append(failed("dfq", "A-C", 0, default_settings=usual, error="ValueError: no", key="nothing"))
    found.append(full("kd", "A-C", 0, 61, track="label-free", key="free", default_settings=usual))
    found.append(full("kd", "A-C", 0, 50, budget="smoke", key="smoke", default_settings=usual))
    found.append(full("kd", "X-Y", 0, 40, dataset="office31", key="office", default_settings=("X-Y",)))
    found.append(full("kd", "A-C", 0, 66, student="resnet18", key="wide", default_settings=usual))
    return found


def seeded() -> list[Record]:
    """Eight methods in two settings with five seeds, of which one method has two; and one of the first protocol."""
    means = {"kd": 78, "augkd": 79.5, "finetune": 77.2, "dfq": 71, "mad": 74.1, "mad[ema=false]": 73.6, "ltr": 75.5,
             "dafl": 15}  # fmt: skip
    settings, draw = ("MP-O", "MO-P"), random.Random(3)
    found = []
    for name, acc in means.items():
        method, _, variant = name.partition("[")
        usual = {"role": "baseline" if name == "finetune" else "method", "variant": variant.rstrip("]"), "classes": 10,
                 "default_settings": settings}  # fmt: skip
        for setting in settings:
            for seed in range(2 if name == "ltr" else 5):
                drawn = acc + draw.gauss(0, 1.2)
                found.append(full(method, setting, seed, drawn, key=f"{name}{setting}{seed}", **usual))
    return [*found, *(one.model_copy(update={"protocol": 1, "key": f"old{one.key}"}) for one in found[:20])]


def few() -> list[Record]:
    """Two methods with two seeds, one of them with curves; another track, and a failed run on another data set."""
    return [
        *(full("kd", "A-C", seed, 80 + seed) for seed in (0, 1)),
        *(record("finetune", "A-C", seed, 70 + seed) for seed in (0, 1)),
        record("kd", "A-C", 0, 61, track="label-free", key="free"),
        failed("kd", "X-Y", 0, dataset="office31", error="ValueError: no", key="nothing"),
    ]


def unvalidated(setting: str, acc: float, **changes: Any) -> Record:
    """A record of a task without validation images and without test images of other domains."""
    made = full("kd", setting, 0, acc, track="label-free", **changes)
    blank = [one.model_copy(update={"val_acc": None}) for one in made.evaluations]
    end = Outcome(evaluation=blank[1], retention=None)
    found = {"evaluations": blank, "stages": {"data-free": end}, "selected": end, "last": end, "oracle": blank[1]}
    return made.model_copy(update=found)


def tasks() -> list[Record]:
    """One method in three tasks, with few labels and of the first protocol; a privileged method beside it."""
    return [
        full("kd", "A-C", 0, 61),
        full("original", "A-C", 0, 99, role="privileged"),
        full("kd", "A-C", 0, 55, shots=10, key="few"),
        full("kd", "A-C", 0, 45, protocol=1, key="old"),
        unvalidated("A@C", 33, task="transfer", key="transfer"),
        unvalidated("A", 22, task="data-free", key="data-free"),
    ]


def hostile() -> list[Record]:
    """One record per hostile text, which stands in every text field; file names have no slashes."""
    return [
        full(text, text, seed, 50.0 + seed, variant=text, dataset=text.replace("/", "|"), track=text, teacher=text,
             student=text, key=text.replace("/", "|"), command=text, version=text, commit=text, data_note=text,
             data_digest=text, error=text, traceback=text, environment={text: text}, fingerprints={text: text},
             config={text: text, "hyperparameters": {text: [text]}},
             curves={text: Curve(steps=[0, 1], losses={text: [1.0, 2.0]}, hashes=["a", "b"])})
        for seed, text in enumerate(HOSTILE)
    ]  # fmt: skip


def odd() -> list[Record]:
    """Records with empty fields, and with numbers that are not finite."""
    nan, inf = math.nan, math.inf
    broken = scored(nan)
    curve = Curve(steps=[0, 1], losses={"all": [nan, inf], "one": [nan, 2.0], "none": [None, None]}, hashes=["a", "b"])
    return [
        failed("empty", "A-C", 0, config={}, command="", environment={}, version="", commit="", teacher_score=None),
        full("sick", "A-C", 0, nan, oracle=broken, curves={"s": curve, "void": Curve(steps=[], losses={}, hashes=[])}),
        full("sick", "A-C", 1, nan),
        full("well", "A-C", 0, 60),
        full("well", "A-C", 1, 61),
    ]


def published_number(**changes: Any) -> dict[str, Any]:
    """A published number beside ours."""
    usual: dict[str, Any] = {
        "method": "kd", "dataset": "digits", "setting": "A-C", "teacher": "resnet18", "student": "resnet10t",
        "teacher_domain": "A", "student_domain": "C", "pretrained": "true", "image_size": "64", "budget": "9 epochs",
        "our_budget": "paper, 100 student images", "metric": "top1", "paper": 84.3, "paper_std": 1.2, "ours": 80.5,
        "difference_low": -5.3, "difference_high": -2.3, "verdict": "not reproduced", "why": "another budget",
        "source": "table 2", "confidence": "high",
    }  # fmt: skip
    return usual | changes


def hostile_extras(text: str) -> Extras:
    """A figure and a published number made of one hostile text."""
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>window.hacked=1</script></svg>"
    figure = ReportFigure(text, text, text, data_uri(svg))
    texts = dict.fromkeys(
        ("method", "dataset", "setting", "teacher", "student", "source", "verdict", "why", "image_size", "budget"), text
    )
    numbers = [published_number(**texts, confidence=text, our_budget=text)]
    return [FigureGroup("bars", text, text, [figure] * 3)], numbers


def usual_extras() -> Extras:
    """Figures of few records, because drawing takes longest, and two published numbers."""
    unknown = {"setting": "", "pretrained": "", "image_size": "", "budget": "", "our_budget": ""}
    return figure_groups(odd()), [published_number(), published_number(**unknown, ours=None, difference_low=None)]


def write(folder: Path, name: str, records: list[Record], extras: Extras = ((), ())) -> str:
    """Write a page with figures and published numbers, and return its address."""
    groups, published = extras
    path = folder / f"{name}.html"
    path.write_text(render(records, groups, published), encoding="utf-8")
    return path.as_uri()


def column(page: Page, name: str, section: str = "leaderboard") -> list[str]:
    """The texts of a column in the visible rows, from top to bottom."""
    return page.evaluate(
        """([section, name]) => {
          const table = document.querySelector(`#${section} table`);
          const index = table.querySelector(`thead [data-name=${name}]`).cellIndex;
          return [...table.tBodies].filter((body) => !body.hidden).map((body) => {
            const cell = body.rows[0].cells[index];
            return (cell.querySelector("b, a, button") ?? cell).textContent.trim();
          });
        }""",
        [section, name],
    )


def head(page: Page, name: str, section: str = "leaderboard") -> None:
    """Click the header of a column."""
    page.click(f"#{section} thead [data-name={name}] button")


def open_row(page: Page, name: str) -> None:
    """Open a row of the leaderboard."""
    page.locator("#leaderboard button.more:visible", has_text=name).click()


def choose(page: Page, **filters: str) -> None:
    """Set filters of the leaderboard."""
    for name, value in filters.items():
        page.select_option(f"#leaderboard select[name={name}]", value)


#: in a browser: the WCAG contrast between an element's text, or another of its colours, and its background
CONTRAST = """([selector, property]) => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const element = [...document.querySelectorAll(selector)].find((one) => one.getClientRects().length);
  let behind = property === "color" ? element : element.parentElement;
  while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element)[property], getComputedStyle(behind).backgroundColor]
    .map(parse).map(light).sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""

#: in a browser: accessibility faults as a list of sentences
FAULTS = """() => {
  const shown = (one) => one.getClientRects().length > 0;
  const faults = [];
  const name = (one) => (one.getAttribute("aria-label") || one.textContent || "").trim();
  for (const one of document.querySelectorAll("button, a[href], summary"))
    if (!name(one)) faults.push(`no name: ${one.outerHTML}`);
  for (const one of document.querySelectorAll("select, input"))
    if (!one.labels.length || !one.labels[0].textContent.trim()) faults.push(`no label: ${one.outerHTML}`);
  for (const one of document.querySelectorAll("[aria-controls], [aria-labelledby]"))
    for (const id of [one.getAttribute("aria-controls"), one.getAttribute("aria-labelledby")])
      if (id && shown(one) && !document.getElementById(id)) faults.push(`points to nothing: ${id}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`id twice: ${id}`);
  let level = 0;
  const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter(shown);
  if (headings.filter((one) => one.tagName === "H1").length !== 1) faults.push("not one h1");
  for (const one of headings) {
    if (Number(one.tagName[1]) > level + 1) faults.push(`a level is skipped: ${one.textContent}`);
    level = Number(one.tagName[1]);
  }
  for (const table of [...document.querySelectorAll("table")].filter(shown)) {
    if (!table.caption?.textContent.trim()) faults.push("a table without a caption");
    for (const one of table.querySelectorAll("th")) if (!one.scope) faults.push(`no scope: ${one.textContent}`);
    for (const one of table.querySelectorAll("thead th")) if (!one.textContent.trim()) faults.push("an empty header");
    if (!table.closest("[role=region][tabindex='0']")) faults.push("a table that the keyboard cannot scroll");
  }
  for (const one of document.querySelectorAll("img")) if (!one.alt.trim()) faults.push("an image without alt");
  for (const one of [...document.querySelectorAll("svg")].filter(shown))
    if (one.getAttribute("aria-hidden") !== "true" && !(one.getAttribute("role") === "img" &&
        one.getAttribute("aria-label") && one.querySelector("title"))) faults.push("a chart without a description");
  for (const tag of ["header", "nav", "main", "footer"])
    if (document.querySelectorAll(tag).length !== 1) faults.push(`not one ${tag}`);
  if (document.documentElement.lang !== "en") faults.push("no language");
  return faults;
}"""
