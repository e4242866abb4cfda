"""The declared counts are the published ones, and real and generated copies are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import datastore
from support.dataset_trees import SHARED, listed, needs_lists, needs_office, per_class, published, registered

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.core.settings import Setting
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.folder_scan import canonical

FOLDERS = [n for n in plugins.dataset_names() if isinstance(registry.load_dataset(n), FolderDataset)]
CIFAR = {"svhn": 73_257, "places365": 0, "own": 0}
OFFICIAL = {
    "cifar10": {"cifar10": 50_000, "cifar10_test": 10_000, "cifar100": 50_000} | CIFAR,
    "cifar100": {"cifar100": 50_000, "cifar100_test": 10_000, "cifar10": 50_000, "imagenet32": 0} | CIFAR,
    "mnist": {
        "mnist": 60_000,
        "mnist_test": 10_000,
        "svhn": 73_257,
        "svhn_test": 26_032,
        "usps": 7291,
        "usps_test": 2007,
        "fashionmnist": 60_000,
        "own": 0,
    },
    "office10": {"amazon": 958, "caltech": 1123, "dslr": 157, "webcam": 295},
    "office31": {"amazon": 2817, "dslr": 498, "webcam": 795},
    "officehome": {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real_World": 4357},
    "pacs": {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929},
    "visda": {"train": 152_397, "validation": 55_388, "test": 72_372},
}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_official_counts_are_declared(name: str) -> None:
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    assert {domain: sum(counts.values()) for domain, counts in dataset.counts.items()} == OFFICIAL[name]
    labelled = {domain: counts for domain, counts in dataset.counts.items() if domain not in dataset.unlabelled}
    assert all(tuple(counts) == dataset.classes for counts in labelled.values())
    assert len({canonical(label) for label in dataset.classes}) == len(dataset.classes)
    for setting in dataset.settings:
        assert Setting.parse(setting, dataset.domains, dataset.unlabelled).name == setting


@needs_lists
@pytest.mark.parametrize("name", ["office31", "officehome", "visda"])
def test_the_counts_are_those_of_the_official_lists(name: str) -> None:
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    prefix = "visda2017" if name == "visda" else name
    for domain, counts in dataset.counts.items():
        assert counts == per_class(f"{prefix}_{domain}")


def test_the_eight_settings_of_augkd_are_the_default_ones() -> None:
    settings = {name: registry.load_dataset(name).settings for name in ("office31", "officehome", "visda")}
    assert settings["office31"] == ("AW-D", "AD-W", "DW-A")
    assert settings["officehome"] == ("ACP-R", "ACR-P", "APR-C", "CPR-A")
    assert settings["visda"] == ("T-V",)


@needs_office
def test_the_real_ten_classes_are_office10_and_not_office31(root: Path) -> None:
    folder = SHARED / "office31-10class"
    datastore.add("office10", folder, root)
    assert registered(root, "office10") == {"amazon": 958, "dslr": 157, "webcam": 295}
    with pytest.raises(UserError, match="differs from the official"):
        datastore.add("office31", folder, root)
    assert registered(root, "office31") == {}


@needs_office
def test_every_missing_class_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="--accept-differences"):
        datastore.add("office31", SHARED / "office31-10class", root)
    office31, office10 = (registry.load_dataset(name).classes for name in ("office31", "office10"))
    missing = [name for name in office31 if name not in office10]
    assert len(missing) == 21
    assert f"amazon: 21 classes are missing: {', '.join(missing)}" in capsys.readouterr().err


@needs_lists
@pytest.mark.parametrize("name", ["office31", "officehome"])
def test_trees_of_the_official_lists_are_accepted(name: str, tmp_path: Path, root: Path) -> None:
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    datastore.add(name, published(name, tmp_path / "copy"), root)
    assert registered(root, name) == OFFICIAL[name]
    for domain in dataset.counts:
        there = {sample.path for sample in dataset.samples(domain, root)}
        names = {path.split("/")[-2] + "/" + path.split("/")[-1] for path, _ in listed(f"{name}_{domain}")}
        assert there == {f"{domain}/{file}" for file in names}
