"""The code of the page on students, taken out of it, answers as ``okdbench predict`` does."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from support.pages import blocks

from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.user_networks import Network
from okdbench.training import predict as predicting
from okdbench.training.export import export
from okdbench.training.student import StudentCard, pack

READ, TIMM, ONNX, CROP, PAD = blocks("docs/using-a-student.md", "python")
CLASSES = ("cup", "lamp", "pen", "sock", "tree")
EXIF_ORIENTATION = 0x0112
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CARD = {
    "architecture": "test_resnet", "classes": CLASSES, "method": "kd", "dataset": "shop", "setting": "-S",
    "accuracy": 50.0, "key": "0" * 16, "command": "okdbench run", "version": "0",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Parts of two photographs, in all sizes, shapes and kinds of file."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    china, flower = map(Image.fromarray, load_sample_images().images)
    china.resize((1600, 1100), Image.Resampling.BICUBIC).save(folder / "large.jpg", quality=90)
    china.resize((31, 23), Image.Resampling.BICUBIC).save(folder / "small.png")
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    china.crop((0, 0, 600, 200)).save(folder / "turned.jpg", exif=exif)
    flower.convert("L").save(folder / "grey.jpg")
    flower.convert("CMYK").save(folder / "cmyk.jpg")
    flower.quantize(16).save(folder / "palette.png")
    china.putalpha(Image.linear_gradient("L").resize(china.size))
    china.save(folder / "transparent.png")
    china.putalpha(0)
    china.save(folder / "empty.png")
    twelve_bits = np.asarray(flower.convert("L"), np.uint16)[:, ::-1] * 16
    Image.fromarray(twelve_bits).save(folder / "deep.png", exif=exif)
    floats = np.asarray(flower.convert("L"), np.float32)[::-1] / 255
    floats[:50, :50] = np.nan
    Image.fromarray(floats).save(folder / "floats.tif")
    for index in range(24):
        width, height = (int(side) for side in rng.integers(40, 400, 2))
        left, top = int(rng.integers(640 - width)), int(rng.integers(427 - min(height, 420)))
        part = flower.crop((left, top, left + width, top + min(height, 420)))
        part.save(folder / f"part{index:02d}.{'png' if index % 2 else 'jpg'}")
    return sorted(folder.iterdir())


def student(folder: Path, **card: object) -> None:
    """The file of a network with random weights, which answers differently to similar images."""
    made = StudentCard.model_validate({**CARD, **IMAGENET, **card})
    torch.manual_seed(1)
    network = Network(made.architecture, options=tuple(made.model_args.items()))
    net = build_classifier(network, len(CLASSES), made.image_size, channels=len(made.mean))
    net(torch.randn(16, len(made.mean), made.image_size, made.image_size))  # statistics of batch norm
    torch.nn.init.normal_(net.get_classifier().weight, std=0.3)  # type: ignore[operator]
    (folder / "student.safetensors").write_bytes(pack(net.state_dict(), made))


def code_of(use: str, lines: str = "") -> Callable[[Path], list[float]]:
    """The page's function, with these lines before the image is scaled."""
    (resize,) = [line for line in READ.splitlines() if "image = scaled(" in line]
    code, names = READ.replace(resize, f"{lines}{resize}") + use, {}
    exec(compile(code, "docs/using-a-student.md", "exec"), names)
    found: Callable[[Path], list[float]] = names["probabilities"]
    return found


@pytest.mark.parametrize(
    ("card", "lines", "uses"),
    [
        ({"image_size": 96, "architecture": "resnet10t"}, "", (TIMM, ONNX)),
        ({"image_size": 64, "resize": "crop", "channel_order": "bgr", "mean": (0.4, 0.5, 0.3)}, CROP, (TIMM, ONNX)),
        pytest.param(
            {"image_size": 84, "resize": "crop:0.875", "exif_rotation": False}, CROP, (TIMM,), marks=pytest.mark.slow
        ),
        ({"image_size": 84, "resize": "stretch:0.6", "channel_order": "grey"}, CROP, (TIMM, ONNX)),
        ({"image_size": 128, "resize": "pad", "mean": (0.5,), "std": (0.25,)}, PAD, (TIMM,)),
        pytest.param({"image_size": 48, "resize": "pad", "interpolation": "cv2"}, PAD, (TIMM,), marks=pytest.mark.slow),
        pytest.param(
            {"image_size": 84, "resize": "crop:0.875", "interpolation": "nearest", "model_args": {"act_layer": "silu"}},
            CROP,
            (TIMM,),
            marks=pytest.mark.slow,
        ),
        ({"image_size": 96, "max_value": 4095}, "", (TIMM, ONNX)),
    ],
    ids=[
        "stretch",
        "crop",
        "part, as stored",
        "part of both sides, grey",
        "pad",
        "cv2",
        "options, nearest",
        "twelve bits",
    ],
)
def test_the_code_of_the_page_answers_as_predict(
    card: dict[str, object],
    lines: str,
    uses: tuple[str, ...],
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    student(tmp_path, **card)
    monkeypatch.chdir(tmp_path)
    if ONNX in uses:
        export("student.safetensors", "onnx", Path("student.onnx"), tmp_path)
    assert predicting.predict("student.safetensors", photos, Path("labels.csv"), len(CLASSES), tmp_path, "cpu")
    rows = list(csv.DictReader(Path("labels.csv").read_text().splitlines()))
    assert len(rows) == len(photos)
    assert len({row["label"] for row in rows}) > 1
    for use in uses:
        probabilities = code_of(use, lines)
        for row in rows:
            found = probabilities(Path(row["file"]))
            assert CLASSES[int(np.argmax(found))] == row["label"], row["file"]
            ranks = ["", *(f"_{rank}" for rank in range(2, len(CLASSES) + 1))]
            expected = {row[f"label{rank}"]: float(row[f"confidence{rank}"]) for rank in ranks}
            assert found == pytest.approx([expected[name] for name in CLASSES], abs=1e-5), row["file"]


def test_another_filter_answers_otherwise(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student(tmp_path, image_size=96)
    monkeypatch.chdir(tmp_path)
    theirs = READ.replace('(size, size), card["interpolation"], reducing_gap=3.0', '(size, size), "nearest"')
    same, other = {}, {}
    exec(READ + TIMM, same)
    exec(theirs + TIMM, other)
    apart = [np.abs(np.subtract(same["probabilities"](file), other["probabilities"](file))).max() for file in photos]
    assert max(apart) > 1e-3
