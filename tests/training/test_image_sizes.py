"""Methods without a generator take images of any size, the others those that a generator can make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from support.plain_teachers import NETWORK, photographs
from timm import create_model

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.distill.adversarial import DataFree
from okdbench.distill.generator_synthesis import GeneratorSynthesis
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.trial import check

Make = Callable[..., Plan]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Plans for a few images and a teacher from a file."""
    folder = tmp_path_factory.mktemp("sizes")
    photographs(folder / "images", (60, 60), 6)
    (folder / "shop.yaml").write_text(yaml.safe_dump({"domains": {"shop": "images"}}))
    torch.save(create_model(NETWORK, num_classes=3).state_dict(), folder / "teacher.pth")
    networks = {"teacher": NETWORK, "student": NETWORK, "teacher_weights": str(folder / "teacher.pth")}
    values = {"dataset": str(folder / "shop.yaml"), "setting": "-S", "budget": "smoke", "device": "cpu"}
    return lambda method, size: make_plan(
        {**values, **networks, "method": method, "image_size": size}, data_root=folder / "root"
    )


@pytest.mark.parametrize("size", [84, 100, 299, 518])
def test_sizes_of_photographs_can_be_run_without_a_generator(size: int, make: Make) -> None:
    plan = make("kd", size)
    check(plan)
    assert plan.access.images.pixels.shape[1:] == (size, size, 3)


def test_a_run_at_28_pixels_ends_with_a_student_of_that_size(make: Make, tmp_path: Path) -> None:
    record = execute(make("kd", 28), tmp_path, quiet)
    assert (record.status, record.config["image_size"]) == ("done", 28)


@pytest.mark.parametrize("name", plugins.method_names())
def test_the_declaration_is_the_methods_own(name: str) -> None:
    method, sizes = registry.load_method(name), [28, 32, 84, 96, 100, 144, 299, 518, 1024]
    generates = issubclass(method, DataFree | GeneratorSynthesis)
    assert [size for size in sizes if method.takes_size(size)] == ([32, 96, 1024] if generates else sizes)


@pytest.mark.parametrize(
    ("size", "near"), [(84, "80 or 96"), (144, "128 or 160"), (1020, "896 or 1024"), (17, "16 or 32")]
)
def test_a_size_that_no_generator_makes_is_refused_with_the_nearest(size: int, near: str, make: Make) -> None:
    with pytest.raises(UserError) as caught:
        make("augkd", size)
    assert str(caught.value).startswith(
        f"method 'augkd' does not take images of {size} pixels; the nearest that it takes: --image-size {near} ("
    )
