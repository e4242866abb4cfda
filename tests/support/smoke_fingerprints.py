"""Hashes of trained weights of many short runs, as JSON: ``python smoke_fingerprints.py FOLDER``.

It runs every method in each of its tracks on the digits and on a folder of images, with whichever okdbench is on the
path, also with that of before the packages.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from PIL import Image

import okdbench
from okdbench import registry

try:
    from okdbench.core import plugins
except ImportError:  # before the packages, the registry listed the methods
    plugins = registry  # type: ignore[misc]

SHOP = {"mnist": "studio", "optical": "phone"}
IMAGES_PER_CLASS = 20
TINY = {"budget": "smoke", "teacher": "test_resnet", "student": "test_resnet", "device": "cpu"}


def main(folder: Path) -> None:
    torch.set_num_threads(1)  # the last bits of a sum depend on the number of threads
    found = {}
    for dataset, setting in (("digits", "MP-O"), (str(make_shop(folder)), "S-P")):
        for method in plugins.method_names():
            for track in registry.load_method(method).card.tracks:
                record = okdbench.run(
                    method=method, dataset=dataset, setting=setting, track=track, **TINY,
                    runs=folder / "runs", data_root=folder / "data",
                )  # fmt: skip
                teacher = record.teacher_score.fingerprint if record.teacher_score else record.error
                found[f"{method} {setting} {track}"] = {**record.fingerprints, "teacher": teacher}
    print(json.dumps(found))


def make_shop(folder: Path) -> Path:
    """Some digits as image files of two domains, described by a YAML file."""
    digits = registry.load_dataset("digits")
    for domain, name in SHOP.items():
        counts = dict.fromkeys(range(len(digits.classes)), 0)
        for sample in digits.samples(domain, folder):
            counts[sample.label] += 1
            if counts[sample.label] <= IMAGES_PER_CLASS:
                file = folder / "images" / name / f"class{sample.label}" / f"{counts[sample.label]:03d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(sample.source).save(file)
    described = folder / "shop.yaml"
    described.write_text("domains:\n  studio: images/studio\n  phone: images/phone\n")
    return described


if __name__ == "__main__":
    main(Path(sys.argv[1]))
