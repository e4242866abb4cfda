"""Predicting image files: the predictions are those that the evaluation counted."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from support.tiny_task import TINY
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.results.records import Record
from okdbench.training import predict as predicting
from okdbench.training.evaluation import predict as logits_of
from okdbench.training.export import export
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student_lookup import load

CLASSES = ("cup", "lamp", "pen")
EXIF_ORIENTATION = 0x0112


class Shop(NamedTuple):
    folder: Path
    plan: Plan
    record: Record

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def files(self) -> list[Path]:
        """The files of the test split."""
        return [self.folder / "images" / path for path in self.plan.splits.test.paths]


def draw(file: Path, label: int, index: int) -> None:
    """Stripes, whose direction is the class, as a PNG with alpha, a JPEG or a JPEG with an orientation in its EXIF."""
    rng = np.random.default_rng([label, index])
    height, width = rng.integers(40, 90, 2)
    rows, columns = np.mgrid[:height, :width]
    wave = np.sin((rows if label == 0 else columns if label == 1 else rows + columns) / rng.uniform(3, 6))
    pixels = rng.normal(128 + 60 * wave, 50)[..., None] * (0.4 + 0.6 * np.roll([1.0, 0.7, 0.4], index))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if index % 3 == 0:
        exif[EXIF_ORIENTATION] = 6
    if index % 3 == 1:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(file.with_suffix(".png"))
    else:
        image.save(file.with_suffix(".jpg"), exif=exif)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A finished run on a data set of files."""
    folder = tmp_path_factory.mktemp("shop")
    for domain in ("studio", "phone"):
        for label, name in enumerate(CLASSES):
            for index in range(40):
                draw(folder / "images" / domain / name / f"{index:02d}", label, index + 100 * (domain == "phone"))
    content = {"domains": {"studio": "images/studio", "phone": "images/phone"}}
    (folder / "shop.yaml").write_text(yaml.safe_dump(content))
    values = {"method": "finetune", "dataset": str(folder / "shop.yaml"), "setting": "S-P", "budget": "smoke"}
    plan = make_plan({**values, "teacher": TINY, "student": TINY, "device": "cpu"}, data_root=folder / "root")
    return Shop(folder, plan, execute(plan, folder / "runs", quiet))


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8", errors="surrogateescape").splitlines()))


def predict(shop: Shop, places: list[Path], output: Path | None, top: int = 1, name: str | None = None) -> bool:
    return predicting.predict(name or shop.plan.key, places, output, top, shop.runs, "cpu")


def test_the_accuracy_on_the_files_of_the_test_split_is_the_records(shop: Shop, tmp_path: Path) -> None:
    assert predict(shop, shop.files, tmp_path / "labels.csv")
    predicted = rows(tmp_path / "labels.csv")
    assert [row["file"] for row in predicted] == [str(file) for file in shop.files]
    assert shop.record.selected is not None
    right = np.mean([row["label"] == Path(row["file"]).parent.name for row in predicted])
    assert 100 * right == pytest.approx(shop.record.selected.evaluation.test.acc)


def test_transparent_images_are_pointed_out(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(shop, [file for file in shop.files if file.suffix == ".png"], tmp_path / "labels.csv")
    assert ".png are transparent in places, which are shown white" in capsys.readouterr().err
    assert predict(shop, [file for file in shop.files if file.suffix == ".jpg"], tmp_path / "more.csv")
    assert "transparent" not in capsys.readouterr().err


def test_what_is_left_out_of_a_folder_is_named(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("images/1", "masks/1", "masks/2"):
        draw(tmp_path / "phone" / name, 0, 0)
    assert predict(shop, [tmp_path / "phone"], tmp_path / "labels.csv")
    assert "okdbench: ignored: masks beside images (1)\n" in capsys.readouterr().err
    assert predict(shop, [tmp_path / "phone" / "images"], tmp_path / "more.csv")
    assert "ignored" not in capsys.readouterr().err


def test_labels_and_confidences_are_those_of_the_evaluation(shop: Shop, tmp_path: Path) -> None:
    predict(shop, shop.files, tmp_path / "labels.csv")
    classifier = load(shop.plan.key, shop.runs).classifier
    shares = logits_of(classifier, shop.plan.splits.test, torch.device("cpu")).double().softmax(1)
    expected = [(CLASSES[int(share.argmax())], f"{float(share.max()):.6f}") for share in shares]
    assert [(row["label"], row["confidence"]) for row in rows(tmp_path / "labels.csv")] == expected
    assert len({label for label, _ in expected}) > 1


def test_an_exported_file_predicts_the_same_without_the_run(shop: Shop, tmp_path: Path) -> None:
    file = export(shop.plan.key, "safetensors", tmp_path / "student.safetensors", shop.runs)
    predict(shop, shop.files, tmp_path / "run.csv")
    assert predicting.predict(str(file), shop.files, tmp_path / "file.csv", 1, tmp_path / "none", "cpu")
    assert (tmp_path / "run.csv").read_text() == (tmp_path / "file.csv").read_text()


def test_an_unreadable_image_has_a_line_with_the_reason_and_the_others_are_predicted(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "holiday"
    for index in range(9):
        draw(folder / f"{index // 4}" / f"{index}", index % 3, index)
    whole = (folder / "0" / "0.jpg").read_bytes()
    (folder / "0" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "1" / "notes.png").write_text("not an image")
    (folder / "1" / "notes.txt").write_text("not looked at")
    monkeypatch.setattr(predicting, "BATCH_SIZE", 4)
    words = ["predict", shop.plan.key, str(folder), "--runs", str(shop.runs), "--device", "cpu"]
    result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "labels.csv")])
    assert result.exit_code == 1
    assert "labels.csv: 11 images, 2 of them not read" in result.stdout
    predicted = {Path(row["file"]).relative_to(folder).as_posix(): row for row in rows(tmp_path / "labels.csv")}
    assert list(predicted) == ["0/0.jpg", "0/00.jpg", "0/1.png", "0/2.jpg", "0/3.jpg", "1/4.png", "1/5.jpg", "1/6.jpg",
                          "1/7.png", "1/notes.png", "2/8.jpg"]  # fmt: skip
    assert {name for name, row in predicted.items() if row["error"]} == {"0/00.jpg", "1/notes.png"}
    bad = predicted["1/notes.png"]
    assert (bad["label"], bad["confidence"]) == ("", "")
    assert re.fullmatch(
        rf"cannot read .*{re.escape(bad['file'])}.*; replace or delete it, then run again", bad["error"]
    )
    readable = [Path(row["file"]) for row in predicted.values() if not row["error"]]
    assert predict(shop, readable, tmp_path / "readable.csv")
    assert [row["label"] for row in rows(tmp_path / "readable.csv")] == [
        row["label"] for row in predicted.values() if row["label"]
    ]


def test_an_output_that_exists_is_replaced_by_force_alone(shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "labels.csv"
    output.write_text("corrected by hand")
    words = ["predict", shop.plan.key, str(shop.files[0]), "--runs", str(shop.runs), "--output", str(output)]
    refused = CliRunner().invoke(app, words)
    assert str(refused.exception) == f"{output} exists; choose another --output, or replace it with --force"
    assert output.read_text() == "corrected by hand"
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0
    assert [row["file"] for row in rows(output)] == [str(shop.files[0])]


def test_the_table_names_file_label_and_confidence(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("[red]a", "b\x1b[2Jc"):
        draw(tmp_path / "names" / name, 0, 0)
    (tmp_path / "names" / "none.jpg").touch()
    assert not predict(shop, [tmp_path / "names"], None)
    printed = "".join(capsys.readouterr().out.split())
    assert "filelabelconfidence" in printed
    assert "[red]a.jpg" in printed
    assert r"b\x1b[2Jc.jpg" in printed
    assert "cannotreadthe" in printed


def test_the_best_classes_come_first(shop: Shop, tmp_path: Path) -> None:
    predict(shop, shop.files[:3], tmp_path / "labels.csv", top=3)
    for row in rows(tmp_path / "labels.csv"):
        shares = [float(row[name]) for name in ("confidence", "confidence_2", "confidence_3")]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert {row["label"], row["label_2"], row["label_3"]} == set(CLASSES)


def test_file_names_that_are_not_utf8_reach_the_csv(shop: Shop, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    draw(tmp_path / "0", 0, 0)
    (tmp_path / "0.jpg").rename(tmp_path / name)
    assert predict(shop, [tmp_path / name], tmp_path / "labels.csv")
    assert rows(tmp_path / "labels.csv")[0]["file"] == str(tmp_path / name)


@pytest.mark.parametrize(
    ("place", "top", "reason"),
    [
        ("gone.jpg", 1, "there is no file or folder"),
        ("empty", 1, "there is no image in these folders"),
        ("empty", 0, "out of range; the student knows 3 classes"),
        ("empty", 4, "out of range; the student knows 3 classes"),
    ],
)
def test_mistakes_are_reported_before_anything_is_read(
    shop: Shop, place: str, top: int, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=reason):
        predict(shop, [tmp_path / place], tmp_path / "labels.csv", top)
    assert not (tmp_path / "labels.csv").exists()


def test_only_csv_is_written_and_no_list_is_read(shop: Shop, tmp_path: Path) -> None:
    (listed := tmp_path / "images.csv").write_text("path\na.jpg\n")
    for places, output, reason in (
        ([shop.folder / "images"], tmp_path / "labels.xlsx", "the labels are written as CSV"),
        ([listed], None, "lists are not read here; name image files and folders"),
    ):
        with pytest.raises(UserError, match=reason):
            predict(shop, places, output)
    assert [file.name for file in tmp_path.iterdir()] == ["images.csv"]
