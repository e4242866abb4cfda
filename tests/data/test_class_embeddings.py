"""Text embeddings of class names: the bundled file, a user's own, and what a method gets of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from support.dataset_trees import grow, official
from support.own_images import write
from typer.testing import CliRunner

from okdbench import registry
from okdbench.cli.app import app
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.data.class_embeddings import SHIPPED, read_embeddings
from okdbench.training.plan import Plan, make_plan
from okdbench.training.trial import class_embeddings

CLASSES = ("cup", "lamp", "pen")
TINY = {"budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "setting": "S-P", "track": "label-free"}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two domains of three classes."""
    counts = {domain: dict.fromkeys(CLASSES, 10) for domain in ("studio", "phone")}
    grow(tmp_path / "images", official(counts))
    return tmp_path


def shop(folder: Path, **more: str) -> Path:
    return write(folder / "shop.yaml", domains={"studio": "images/studio", "phone": "images/phone"}, **more)


def plan(file: Path, method: str = "nayer", **hyperparameters: str) -> Plan:
    return make_plan(
        {**TINY, "method": method, "dataset": str(file), "hyperparameters": hyperparameters},
        data_root=file.parent / "root",
    )


def embed(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["data", "embed", *map(str, arguments)], catch_exceptions=False)
    assert not result.exit_code, result.output
    return result.stdout


def test_the_bundled_file_is_what_its_command_writes(tmp_path: Path) -> None:
    pytest.importorskip("wordllama", reason="an extra")
    names = plugins.dataset_names()
    assert "221 classes, by wordllama" in embed(*names, "--output", tmp_path / "made.safetensors")
    for name in names:
        classes = registry.load_dataset(name).classes
        bundled = read_embeddings(SHIPPED, classes)
        assert bundled is not None
        assert np.allclose(np.linalg.norm(bundled, axis=1), 1, atol=1e-2)
        # Names of like things are nearer to each other.
        assert np.array_equal(bundled, read_embeddings(tmp_path / "made.safetensors", classes))


def test_like_names_are_near() -> None:
    bus, truck, bowl = read_embeddings(SHIPPED, ["bus", "truck", "bowl"])  # type: ignore[misc]
    assert bus @ truck > bus @ bowl + 0.1


def test_own_classes_have_their_own_file_or_are_one_hot(images: Path) -> None:
    plain = plan(shop(images))
    assert class_embeddings(plain).equal(torch.eye(3))
    pytest.importorskip("wordllama", reason="an extra")
    embed(images / "shop.yaml", "--output", images / "names.safetensors")
    described = plan(shop(images, class_embeddings="names.safetensors"))
    assert class_embeddings(described).shape == (3, 256)
    # Other numbers are another run, but not for who does not read them.
    assert described.key != plain.key
    assert class_embeddings(plan(shop(images, class_embeddings="names.safetensors"), "kd")).equal(torch.eye(3))
    one_hot = plan(shop(images, class_embeddings="names.safetensors"), names="one_hot")
    assert class_embeddings(one_hot).equal(torch.eye(3))


def test_rows_follow_the_classes(tmp_path: Path) -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    save_file({"embeddings": vectors}, tmp_path / "clip.safetensors", {"names": json.dumps(["pen", "cup", "lamp"])})
    found = read_embeddings(tmp_path / "clip.safetensors", CLASSES)
    assert found is not None
    assert found.tolist() == [[2, 3], [4, 5], [0, 1]]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cup", "lamp"], "2 names and embeddings of shape"),
        (["cup", "lamp", "vase"], "no embedding of class 'pen'"),
        (None, "no file of class embeddings"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(images: Path, names: list[str] | None, message: str) -> None:
    described = names and {"names": json.dumps(names)}
    save_file({"embeddings": np.ones((3, 2), np.float32)}, images / "names.safetensors", described)
    with pytest.raises(UserError, match=message):
        _ = plan(shop(images, class_embeddings="names.safetensors")).key


def test_a_file_that_is_not_there_is_refused(images: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*names.safetensors"):
        _ = plan(shop(images, class_embeddings="names.safetensors")).key
