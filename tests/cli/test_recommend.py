"""``okdbench recommend``: a user's own images and teacher, and commands that run as printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.results.choosing import committed_runs
from okdbench.sweep import recommendation
from okdbench.training import step_time

#: brightness of the images of each class
CLASSES = {"dark": 40, "grey": 128, "light": 215}
#: the columns that tell where methods were compared
PLACE = ["dataset", "setting", "budget", "teacher", "student", "shots"]
#: images of each class
COUNT = 30


def images_of(level: int) -> np.ndarray[Any, Any]:
    noise = np.random.default_rng(level).integers(-30, 30, (COUNT, 32, 32, 3))
    return (level + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set of one domain and two teachers that know it, with and without batch norm."""
    folder = tmp_path_factory.mktemp("my shop")
    (folder / "shop.yaml").write_text("domains: {phone: phone}\n")
    for name, level in CLASSES.items():
        (folder / "phone" / name).mkdir(parents=True)
        for index, pixels in enumerate(images_of(level)):
            Image.fromarray(pixels).save(folder / "phone" / name / f"{index}.png")
    for network in ("lenet5_bn", "lenet5"):
        torch.save(trained(network).state_dict(), folder / f"{network}.pt")
    return folder


def trained(network: str) -> torch.nn.Module:
    torch.manual_seed(0)
    net = build_classifier(network, len(CLASSES), 32, channels=3)
    pixels = np.concatenate([images_of(level) for level in CLASSES.values()])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    labels = torch.arange(len(CLASSES)).repeat_interleave(COUNT)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The current folder of the commands, from which runs go elsewhere."""
    monkeypatch.chdir(shop)
    monkeypatch.setenv("OKDBENCH_DATA", str(tmp_path / "data"))
    # one small step of each method; how long a dozen take is not tested here
    monkeypatch.setattr(step_time, "SLOW", 0.0)
    return tmp_path


def asked(here: Path, *words: str, network: str = "lenet5_bn") -> str:
    """What the command prints."""
    return invoked(here, *words, network=network).stdout


def invoked(here: Path, *words: str, network: str = "lenet5_bn") -> Result:
    networks = ["--teacher", network, "--student", "lenet5_half", "--teacher-weights", f"{network}.pt"]
    usual = ["--dataset", "shop.yaml", *networks, "--budget", "smoke", "--device", "cpu", "--runs", str(here / "runs")]
    result = CliRunner().invoke(app, ["recommend", *usual, *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def commands_in(text: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("okdbench run ")]


@pytest.mark.parametrize(
    ("labels", "track", "first"),
    [
        pytest.param("2", "labelled", "finetune", marks=pytest.mark.slow),
        ("all", "labelled", "finetune"),
        ("none", "label-free", ""),
    ],
)
def test_the_printed_commands_run(labels: str, track: str, first: str, here: Path) -> None:
    text = asked(here, "--shots", labels)
    seen = {"2": "2 labels per class", "all": "labels per class", "none": "no labels"}[labels]
    assert re.search(rf"^shop -P: task adapt, {track} track, .*{seen}", text)
    assert re.search(r"^teacher lenet5_bn: \d+\.\d % of your \d+ validation images \(chance: 33.3 %\)$", text, re.M)
    commands = commands_in(text)
    assert len(commands) == 3
    assert commands[0][2] == first or not first
    # without labels, how long each takes here decides what comes second; LTR diverges with this teacher of noise
    tried = commands[:2] if first else commands[:1]
    for words in tried:
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert len(list((here / "runs").glob("*/record.json"))) == len(tried)


def test_how_the_teachers_images_are_made_is_said_as_by_a_run(here: Path) -> None:
    line = (
        "okdbench: teacher lenet5_bn.pt: does not say how its images are made; by default 32 px, "
        "mean 0.485,0.456,0.406, std 0.229,0.224,0.225, stretch, RGB\n"
    )
    assert invoked(here, "--shots", "2").stderr.count(line) == 1


def test_after_the_labels_alone_are_run_they_are_compared_with_the_teacher(here: Path) -> None:
    before = asked(here, "--shots", "2")
    assert re.search(r"^distillation pays if the labels alone reach less than \d+\.\d %: run the first", before, re.M)
    CliRunner().invoke(app, commands_in(before)[0], catch_exceptions=False)
    (record,) = (json.loads(path.read_text()) for path in (here / "runs").glob("*/record.json"))
    alone = record["selected"]["evaluation"]["val_acc"]
    after = json.loads(asked(here, "--shots", "2", "--format", "json"))
    assert after["alone"] == pytest.approx(alone)
    lead = after["teacher"]["acc"] - alone
    text = asked(here, "--shots", "2")
    assert (f"the labels alone reach {alone:.1f} %" if lead > 0 else f"they reach {alone:.1f} %") in text
    # the nearest case is now that of the nearest lead
    nearest = min(leads(), key=lambda place: abs(leads()[place] - lead))
    assert [after["nearest"][0][name] for name in PLACE] == list(nearest)


def leads() -> dict[tuple[str, ...], float]:
    """Place -> the teacher's accuracy minus that of the labels alone, in the committed runs."""
    runs = committed_runs().query("track == 'labelled'")
    return {
        place: group["teacher_acc"].mean() - group[group["method"] == "finetune"]["acc"].mean()
        for place, group in runs.groupby(PLACE)
    }


def test_methods_that_need_batch_norm_are_named_with_the_cure(here: Path) -> None:
    text = asked(here, "--shots", "2", network="lenet5")
    assert re.search(
        r"^cannot run: augkd: .*batch-norm statistics .*; write 'augkd\[bn=0\]' in place of augkd$", text, re.M
    )
    assert "teacher lenet5, without batch norm: " in text
    assert not re.search(r"^ +\d+ +augkd", text, re.M)
    assert re.search(r"^ +\d+ +kd +[+-]\d+\.\d \([+-]", text, re.M)
    assert re.search(r"^ +\d+ +augkd", asked(here, "--shots", "2"), re.M)


def test_programs_get_everything(here: Path) -> None:
    result = invoked(here, "--shots", "2", "--format", "json")
    found = json.loads(result.stdout)
    assert found["notices"] == re.findall(r"^okdbench: (.+)$", result.stderr, re.M)
    assert any("does not say how its images are made" in line for line in found["notices"])
    assert (found["dataset"], found["setting"], found["task"], found["labels"]) == ("shop", "-P", "adapt", 2)
    assert found["possible"] == {"adapt": ["-P"], "transfer": [], "data-free": []}
    assert found["teacher"]["batch_norm"] is True
    choices, nearest = found["choices"], found["nearest"]
    assert all(one["seconds"] > 0 for one in choices)
    assert {place["shots"] for place in nearest} == {"2"}
    # what is expected is what the committed runs have, the best first and what they lack last
    runs = committed_runs().query("shots == '2' and track == 'labelled'").set_index([*PLACE, "seed"])
    alone = runs[runs["method"] == "finetune"]["acc"]
    gains = {
        method: (own["acc"] - alone).groupby(PLACE).mean().mean()
        for method, own in runs.groupby("method")
        if method not in ("teacher", "finetune")
    }
    order = [one["method"] for one in choices]
    assert order[: len(gains) + 1] == ["finetune", *sorted(gains, key=lambda name: -gains[name])]
    for one in choices:
        assert one["expected"] == (pytest.approx(gains[one["method"]]) if one["method"] in gains else None)


def test_a_teacher_at_chance_is_said_to_be_of_no_use(here: Path, tmp_path: Path) -> None:
    net = build_classifier("lenet5_bn", len(CLASSES), 32, channels=3)
    torch.nn.init.zeros_(net.get_classifier().weight)
    torch.save(net.state_dict(), tmp_path / "untrained.pt")
    text = asked(here, "--shots", "2", "--teacher-weights", str(tmp_path / "untrained.pt"))
    assert "near chance a teacher has nothing to teach" in text


def test_where_nothing_was_measured_that_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = committed_runs().query("not (task == 'adapt' and track == 'label-free')")
    monkeypatch.setattr(recommendation, "committed_runs", lambda: kept)
    text = asked(here, "--shots", "none")
    assert "nothing was measured for task adapt, label-free track: the order is that of the time" in text
    assert "cannot run: 4ds, augkd, finetune: not in the label-free track" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shots", "50"], "--shots 50: the train split has only"),
        (["--teacher-weights", "none.pt"], "weights file none.pt does not exist"),
        (["--setting", "X-P"], "no domain has the letter 'X'"),
        (["--track", "labeled"], "did you mean 'labelled'"),
        (["--task", "transfer"], "has no default settings of task transfer"),
    ],
)
def test_a_mistake_ends_in_one_line(words: list[str], message: str, here: Path) -> None:
    with pytest.raises(Exception, match=message):
        asked(here, *words)
