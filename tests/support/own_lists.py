"""Lists of a user's own images, for tests."""

from __future__ import annotations

from pathlib import Path

from okdbench import registry
from support.own_images import write

CLASSES = ("cup", "lamp")
NAMES = [f"img {index}.jpg" for index in range(20)]
TINY = {"method": "dafl", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}


def listed(folder: Path, text: str, name: str = "phone.csv", **content: object) -> str:
    (folder / name).write_text(text, "utf-8-sig")
    return str(write(folder / "shop.yaml", domains={"phone": name}, **content))


def labels_of(name: str, root: Path) -> list[int]:
    dataset = registry.load_dataset(name)
    found = {sample.path: sample.label for sample in dataset.samples("phone", root)}
    return [found[f"phone/all/{image}"] for image in NAMES]
