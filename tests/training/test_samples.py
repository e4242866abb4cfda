"""The sample images that a run keeps: what they show, and that taking them changes nothing in the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.cases import one_per_task, options_of
from support.tiny_task import CPU, TINY, untrained_classifier

from okdbench.core import plugins
from okdbench.distill.adversarial import DataFree
from okdbench.distill.networks.discriminators import PatchDiscriminator
from okdbench.distill.optim import clone_state
from okdbench.results.samples import FILE, read_samples, write_samples
from okdbench.training import checkpoint
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.trial import Trial, to_pixels
from okdbench.training.weights_hash import fingerprint

METHODS = plugins.method_names()


def trial(light_plan: Callable[..., Plan], folder: Path, method: str, **options: Any) -> Trial:
    plan = light_plan(method, **{"teacher": TINY, "student": TINY, **options})
    return Trial(plan, untrained_classifier(1, channels=1).lock(), folder, CPU, quiet)


def everything(made: Trial) -> dict[str, Any]:
    """Everything that a later step or the record could depend on."""
    modules = {name: part for name, part in made.method.state.items() if isinstance(part, torch.nn.Module)}
    return {
        "weights": {name: fingerprint(clone_state(module)) for name, module in modules.items()},
        "answer": fingerprint(clone_state(made.answer)),
        "modes": {name: [m.training for m in module.modules()] for name, module in modules.items()},
        "meter": made.meter.state_dict(),
        "random": {k: v.tolist() if torch.is_tensor(v) else v for k, v in checkpoint.random_state(made.rng).items()},
    }


@pytest.mark.parametrize("method", METHODS)
def test_taking_samples_changes_nothing_and_repeats(
    light_plan: Callable[..., Plan], tmp_path: Path, method: str
) -> None:
    made = trial(light_plan, tmp_path, method, **options_of(one_per_task(method)[0]))
    if method == "augkd":  # modes as its last stage sets them
        made.method.stages()[-1].begin()  # type: ignore[misc]
    before = everything(made)
    one = made.samples()
    assert everything(made) == before
    assert ("generated" in one) == isinstance(made.method, DataFree)
    again = made.samples()
    assert all(np.array_equal(one[name], again[name]) for name in one | again)


def test_a_run_is_the_same_with_and_without_samples(
    light_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = light_plan("augkd")
    with_samples = execute(made, tmp_path / "with", quiet)
    monkeypatch.setattr(Trial, "samples", lambda _: {})
    without = execute(made, tmp_path / "without", quiet)
    assert with_samples.comparable() == without.comparable()
    one, other = (tmp_path / name / made.key for name in ("with", "without"))
    assert (one / "student.safetensors").read_bytes() == (other / "student.safetensors").read_bytes()
    kept = read_samples(one)
    assert list(kept) == ["generated", *(f"mixup/f = {f}" for f in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))]
    assert {pixels.shape for name, pixels in kept.items() if name != "generated"} == {(6, 32, 32, 3)}
    assert not (other / FILE).exists()


def test_the_mixup_grid_ends_in_real_images(light_plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = trial(light_plan, tmp_path, "augkd")
    shown, train = made.samples(), made.plan.splits.train.pixels
    for image in shown["mixup/f = 1.0"]:
        assert (train == image).all((1, 2, 3)).any()
    for image in shown["mixup/f = 0.0"]:
        assert not (train == image).all((1, 2, 3)).any()


def test_patches_are_cut_from_their_images_and_are_what_the_discriminator_sees() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(32, 10, 8).eval()
    images = torch.rand(3, 3, 32, 32)
    patches = discriminator.windows_by_logit(images, discriminator(images))
    assert patches.shape == (3, 36, 3, 10, 10)
    inner = discriminator(images)[:, 0, 1:7, 1:7].flatten(1)
    best = inner.argmax(1)
    for image, patch, index in zip(images, patches[:, 0], best.tolist(), strict=True):
        top, left = (4 * i + 1 for i in divmod(index, 6))
        assert torch.equal(patch, image[:, top : top + 10, left : left + 10])
    # a logit depends on no pixel outside of its window, and on the corners of the window
    one = images[:1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(one)[0, 0, 2, 3], one)
    rows, columns = gradient[0].abs().sum(0).nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 14, 9, 18)


def test_a_receptive_field_larger_than_the_image_has_no_patches(
    light_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    made = trial(light_plan, tmp_path, "mosaickd", hyperparameters={"receptive_field": 46})
    write_samples(tmp_path, made.samples())
    assert list(read_samples(tmp_path)) == ["generated"]


def test_an_error_of_the_method_costs_the_samples_alone(
    light_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trial(light_plan, tmp_path, "dfkd")
    monkeypatch.setattr(type(made.method), "samples", lambda *_: {"generated": torch.rand(4, 32, 32)})
    before = everything(made)
    with pytest.warns(
        UserWarning, match="no sample images are kept: ValueError: images are N x 1 or 3 x H x W, not 4 x 32"
    ):
        assert made.samples() == {}
    assert everything(made) == before


def test_pixels_are_rounded_clamped_and_stored_with_equal_bytes(tmp_path: Path) -> None:
    row = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, float("nan")])
    pixels = to_pixels(row.expand(2, 3, 1, 6))
    assert pixels[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]
    for name in ("one", "two"):
        write_samples(tmp_path / name, {"b": pixels, "a/c": pixels, "none": pixels[:0]})
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()
    assert list(read_samples(tmp_path / "one")) == ["b", "a/c"]
    whole = (tmp_path / "one" / FILE).read_bytes()
    for damaged in (b"PK damaged", b"", whole[: len(whole) // 2], whole[:60] + bytes(20) + whole[80:]):
        (tmp_path / "one" / FILE).write_bytes(damaged)
        assert read_samples(tmp_path / "one") == read_samples(tmp_path / "nowhere") == {}
