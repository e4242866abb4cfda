"""The data-free methods: each mechanism has an effect, and so has each switch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.tiny_task import DATA_FREE, make_method, run_stages, state, trained

from okdbench import registry
from okdbench.api import Batch
from okdbench.core.errors import UserError
from okdbench.distill.losses import l1
from okdbench.distill.networks.discriminators import PatchDiscriminator, patch_loss
from okdbench.distill.optim import forward_without_buffers
from okdbench.distill.replay import Buffer
from okdbench.training.weights_hash import fingerprint

# every method


@pytest.mark.parametrize("method", DATA_FREE)
@pytest.mark.parametrize(
    ("classes", "size"),
    [(12, 32), (31, 64), *(pytest.param(*each, marks=pytest.mark.slow) for each in [(10, 32), (65, 32)])],
)
def test_a_method_works_for_other_classes_and_sizes(method: str, classes: int, size: int) -> None:
    losses = run_stages(make_method(method, classes=classes, size=size, images=160), steps=1)
    assert losses
    assert all(math.isfinite(value) for terms in losses for value in terms.values())


@pytest.mark.parametrize("method", DATA_FREE)
def test_a_teacher_without_batch_norm_is_accepted_or_refused_with_the_cure(method: str) -> None:
    fields = registry.load_method(method).Hyperparameters.model_fields
    cures = {name: 0.0 for name in ("attention", "bn") if name in fields and fields[name].default}
    for name in cures:
        with pytest.raises(UserError, match=f"it takes {name}=0"):
            make_method(method, {other: 0.0 for other in cures if other != name}, teacher="test_vit")
    assert run_stages(make_method(method, cures, teacher="test_vit", images=160), steps=1)


@pytest.mark.parametrize("method", DATA_FREE)
def test_the_teacher_is_read_and_not_changed(method: str) -> None:
    distiller = make_method(method)
    before = state(distiller.teacher)
    run_stages(distiller)
    assert state(distiller.teacher) == before
    assert all(p.grad is None for p in distiller.teacher.parameters())
    other = make_method(method)
    with torch.no_grad():
        other.teacher.net.get_classifier().bias.add_(torch.arange(10.0))  # type: ignore[operator]
    run_stages(other)
    assert state(other.student) != state(distiller.student)


@pytest.mark.parametrize("method", DATA_FREE)
def test_the_generators_step_leaves_the_student_alone(method: str) -> None:
    distiller: Any = make_method(method)
    distiller.student.train()
    before = state(distiller.student)
    distiller.generator_step(distiller.generator.module(distiller.noise()))
    assert state(distiller.student) == before


# MosaicKD


@pytest.mark.parametrize(("size", "field"), [(32, 10), (64, 22), (128, 46), (32, 4), (32, 22)])
def test_a_logit_depends_on_its_receptive_field_and_nothing_else(size: int, field: int) -> None:
    net = PatchDiscriminator(size, field, width=8).eval()
    images = torch.rand(1, 3, size, size, requires_grad=True)
    logits = net(images)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert images.grad is not None
    touched = images.grad.abs().sum((0, 1)) > 0
    sides = [int(touched.any(axis).nonzero().max() - touched.any(axis).nonzero().min()) + 1 for axis in (0, 1)]
    assert sides == [min(field, size)] * 2 or max(sides) <= field
    if field < size // 2:
        assert sides == [field, field]


def test_the_default_discriminator_is_that_of_the_release() -> None:
    net = PatchDiscriminator(32)
    assert sum(p.numel() for p in net.parameters()) == 531_328
    assert (net.field, net.stride, tuple(net(torch.rand(2, 3, 32, 32)).shape)) == (10, 4, (2, 1, 8, 8))


def test_an_impossible_receptive_field_is_refused() -> None:
    with pytest.raises(UserError, match="choose one of 4, 10, 22"):
        PatchDiscriminator(32, 11)


def test_losses_at_initialisation_are_in_their_derived_ranges() -> None:
    distiller: Any = make_method("mosaickd", {"discriminator_width": 128})
    distiller.student.train()
    terms = distiller.generator_terms(distiller.generator.module(distiller.noise()))
    assert terms["local"].item() == pytest.approx(64 * math.log(2), rel=0.15)
    assert 0 <= terms["align"].item() <= math.log(10)
    assert -math.log(10) - 1e-5 <= terms["balance"].item() <= 0


def test_the_sum_over_windows_is_64_times_their_mean_only_with_64_windows() -> None:
    for side, equal in ((8, True), (4, False)):
        logits = torch.randn(3, 1, side, side)
        same = torch.isclose(patch_loss(logits, True), patch_loss(logits, True, summed=True))
        assert bool(same) is equal


def test_in_an_iteration_d_and_g_step_once_and_s_five_times() -> None:
    distiller: Any = make_method("mosaickd")
    counts = {"discriminator": 0, "generator": 0, "learner": 0}
    for name in counts:
        learner, update = getattr(distiller, name), getattr(distiller, name).update

        def counted(*args: Any, name: str = name, update: Any = update, **options: Any) -> None:
            counts[name] += 1
            update(*args, **options)

        learner.update = counted
    run_stages(distiller, steps=1)
    assert counts == {"discriminator": 1, "generator": 1, "learner": 5}


def test_the_ranking_of_the_release_puts_the_most_confident_first() -> None:
    distiller: Any = make_method("mosaickd", {"ood_share": 0.5, "legacy_entropy_rank": True})
    logits = torch.zeros(4, 10)
    logits[2, 0] = 1e4
    distiller.teacher.forward = lambda _images: logits
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    selected = distiller.select_ood(Batch(images, None)).images[:, 0, 0, 0]
    assert selected[0] == 2


# DAFL


def test_a_stage_that_the_teacher_lacks_is_refused() -> None:
    with pytest.raises(UserError, match="this teacher has 3 stages; it takes activation_stage=3"):
        make_method("dafl", {"activation_stage": 4}, teacher="lenet5", student="lenet5_half")


@pytest.mark.parametrize("stage", [None, 3])
def test_the_size_of_features_is_that_of_the_stage(stage: int | None) -> None:
    distiller: Any = make_method("dafl", {"activation_stage": stage}, teacher="lenet5", student="lenet5_half")
    images = random_images(1, 4)
    output = distiller.teacher.forward_with_features(images, "penultimate", "stages")
    features = output.stages[-1] if stage else output.penultimate
    assert features.shape[1:] == ((120, 1, 1) if stage else (84,))
    term = distiller.generator_terms(images)["activation"]
    torch.testing.assert_close(term, -features.abs().mean())


# Learning to retain


def random_images(seed: int, count: int) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def double_method(method: str, settings: dict[str, Any]) -> Any:
    """The method in float64, where the order of a sum does not show, with the student in train mode."""
    distiller: Any = make_method(method, settings)
    for net in (distiller.student, distiller.teacher):
        net.double()
    distiller.student.train()
    return distiller


def after_replay_step(method: str, settings: dict[str, Any]) -> Any:
    """The method after one replay step with SGD on fixed new and old images, in float64."""
    distiller = double_method(method, {"student_optimizer": "sgd", "weight_decay": 0.0, **settings})
    new, old = random_images(5, 12).double(), random_images(6, 4).double()
    distiller.replay_step(new, distiller.teacher.targets(new), old, distiller.teacher.targets(old))
    return distiller


def gradients(distiller: Any) -> list[torch.Tensor]:
    return [p.grad.clone() for p in distiller.student.parameters()]


def test_without_an_inner_step_the_meta_gradient_is_plain_replay() -> None:
    plain, meta = after_replay_step("replay", {}), after_replay_step("ltr", {"alpha": 0.0})
    for one, other in zip(gradients(plain), gradients(meta), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    buffers = [dict(distiller.student.named_buffers()) for distiller in (plain, meta)]
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in buffers[0])


def test_the_inert_meta_gradient_is_the_plain_l1_step_on_new_and_old_images() -> None:
    released = after_replay_step("ltr", {"legacy_inert_meta": True})
    distiller = double_method("ltr", {"student_optimizer": "sgd", "weight_decay": 0.0})
    both = torch.cat([random_images(5, 12), random_images(6, 4)]).double()
    distiller.learner.update(l1(distiller.teacher.targets(both), distiller.student(both)))
    assert state(released.student) == state(distiller.student)


@pytest.mark.parametrize("order", [1, 2])
def test_the_retention_term_alone_moves_every_parameter(order: int) -> None:
    distiller: Any = make_method("ltr", {"order": order})
    distiller.student.train()
    new, old = random_images(5, 12), random_images(6, 4)
    acquisition = l1(distiller.teacher.targets(new), distiller.student(new))
    _, _, moved = distiller.meta_step(acquisition, old, distiller.teacher.targets(old))
    assert all(gradient.abs().sum() > 0 for gradient in moved)


def test_the_second_order_gradient_is_that_of_finite_differences() -> None:
    distiller = double_method("ltr", {"alpha": 0.3, "inner_decay": 0.01})
    new, old = random_images(5, 12).double(), random_images(6, 4).double()
    new_logits, old_logits = distiller.teacher.targets(new), distiller.teacher.targets(old)
    parameters = list(distiller.student.parameters())

    def meta_step() -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        acquisition = l1(new_logits, forward_without_buffers(distiller.student, new))
        return *distiller.meta_step(acquisition, old, old_logits), acquisition.detach()

    def total() -> torch.Tensor:
        retention, _, _, acquisition = meta_step()
        return acquisition + retention

    _, gradients_, meta, _ = meta_step()
    exact = [one + other for one, other in zip(gradients_, meta, strict=True)]
    for index in (0, len(parameters) // 2, len(parameters) - 2):
        direction = torch.randn(parameters[index].shape, generator=torch.Generator().manual_seed(7)).double()
        direction /= direction.norm()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameters[index].add_(sign * 1e-6 * direction)
            values.append(total().item())
            with torch.no_grad():
                parameters[index].sub_(sign * 1e-6 * direction)
        slope = (values[0] - values[1]) / 2e-6
        assert (exact[index] * direction).sum().item() == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_the_update_is_the_gradient_of_acquisition_and_retention() -> None:
    distiller = after_replay_step("ltr", {"alpha": 0.3})
    other = double_method("ltr", {"alpha": 0.3})
    new, old = random_images(5, 12).double(), random_images(6, 4).double()
    acquisition = l1(other.teacher.targets(new), other.student(new))
    # The same by a graph through theta'.
    parameters = dict(other.student.named_parameters())
    first = torch.autograd.grad(acquisition, list(parameters.values()), create_graph=True)
    decay = other.hp.inner_decay
    theta_prime = {
        name: theta - 0.3 * (gradient + decay * theta)
        for (name, theta), gradient in zip(parameters.items(), first, strict=True)
    }
    retention = l1(other.teacher.targets(old), forward_without_buffers(other.student, old, theta_prime))
    expected = torch.autograd.grad(acquisition + retention, list(parameters.values()))
    for one, gradient in zip(gradients(distiller), expected, strict=True):
        torch.testing.assert_close(one, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["replay", "ltr"])
def test_running_statistics_move_once_in_a_student_step_and_never_in_a_generator_step(method: str) -> None:
    distiller: Any = make_method(method)
    run_stages(distiller, steps=1)
    distiller.student.train()
    count = dict(distiller.student.named_buffers())
    name = next(name for name in count if name.endswith("num_batches_tracked"))
    before = int(count[name])
    distiller.generator_step(distiller.generator.module(distiller.noise()))
    assert int(dict(distiller.student.named_buffers())[name]) == before
    distiller.student_step()
    assert int(dict(distiller.student.named_buffers())[name]) == before + 1


def test_the_buffer_is_a_ring_of_copies() -> None:
    buffer = Buffer(2)
    assert buffer.sample(torch.Generator()) is None
    stored = [torch.full((1,), float(i)) for i in range(3)]
    for images in stored:
        buffer.push(images)
    stored[2].zero_()
    assert sorted(float(one) for one in buffer.batches) == [1.0, 2.0]


# Momentum adversarial distillation


def test_without_momentum_the_copy_is_the_control() -> None:
    assert trained("mad", {"momentum": 0.0}) == trained("mad", {"ema": False})
    assert trained("mad", {"momentum": 0.9}) != trained("mad", {"ema": False})


def test_with_momentum_1_the_copy_is_frozen() -> None:
    distiller: Any = make_method("mad", {"momentum": 1.0})
    after: list[str] = []
    update_ema = distiller.update_ema

    def recorded(momentum: float) -> None:
        update_ema(momentum)
        after.append(fingerprint(dict(distiller.ema_generator.named_parameters())))

    distiller.update_ema = recorded
    run_stages(distiller)
    # The first one copies, at the end of the warm-up.
    assert len(after) >= 3
    assert len(set(after)) == 1
    assert state(distiller.generator.module) != state(distiller.ema_generator)


def test_the_copy_is_not_trained_and_its_forwards_change_nothing() -> None:
    distiller: Any = make_method("mad")
    run_stages(distiller)
    before = state(distiller.ema_generator)
    distiller.student_step()
    assert state(distiller.ema_generator) == before
    assert all(p.grad is None for p in distiller.ema_generator.parameters())


def test_the_copy_has_the_spectral_norms_vectors_of_the_generator() -> None:
    distiller: Any = make_method("mad", {"spectral_norm": True, "momentum": 0.9})
    run_stages(distiller)
    distiller.update_ema(0.9)
    own, copied = ({n: b for n, b in net.named_buffers() if n.endswith(("._u", "._v"))}
                   for net in (distiller.generator.module, distiller.ema_generator))  # fmt: skip
    assert own
    assert all(torch.equal(own[name], copied[name]) for name in own)


def test_the_student_has_as_many_training_images_as_in_every_other_row() -> None:
    learned = {}
    for method in ("dfkd", "mad", "mosaickd", "dfad"):
        distiller = make_method(method, {"inner_steps": 5})
        run_stages(distiller)
        learned[method] = distiller.task.meter.learned("student")
    assert set(learned.values()) == {320}


def test_the_adaptive_form_of_dfad_changes_the_generators_loss_alone() -> None:
    plain, adaptive = make_method("dfad"), make_method("dfad", {"adaptive": True})
    images = torch.rand(16, 3, 32, 32)
    terms = [method.generator_terms(images)["adversarial"] for method in (plain, adaptive)]  # type: ignore[attr-defined]
    torch.testing.assert_close(terms[1], -torch.log(1 - terms[0]))
    teacher, student = torch.randn(2, 16, 10)
    losses = [method.student_loss(teacher, student) for method in (plain, adaptive)]  # type: ignore[attr-defined]
    assert losses[0] == losses[1] == l1(teacher, student)
