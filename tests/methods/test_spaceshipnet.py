"""SpaceshipNet: exchanged features are decoded, and activation maps are those of their definitions."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from support.tiny_task import CPU, make_method, run_stages, state, untrained_classifier
from torch import Tensor

from okdbench.api import Clock, HyperparameterError
from okdbench.distill.activation_maps import Pair, Reader, gradient_activation_maps, outputs_of
from okdbench.distill.feature_pool import FeaturePool
from okdbench.distill.losses import kl
from okdbench.distill.networks.generators import Decoder, Generator, HeadKind
from okdbench.distill.views import exchanged

#: of the papers' tables: global average pooling after the last stage, or after more layers
POOLED = ("cifar_resnet18", "wrn_16_1", "cifar_vgg11_bn")
#: one round of three steps of synthesis and four of the student
SIZES: dict[str, Any] = {"rounds": 1, "synthesis_steps": 3, "synthesis_batch": 6, "pool_size": 12}


def method_of(**settings: Any) -> Any:
    return make_method("spaceshipnet", {**SIZES, **settings}, images=64, batch_size=16)


def run(method: Any, start: int, stop: int) -> list[dict[str, Tensor]]:
    """Some steps of the stage; a round has three of synthesis, then four of the student."""
    stage, terms = method.stages()[-1], []
    method.student.train()
    for step in range(start, stop):
        method.set_clock(Clock(step, stage.steps))
        terms.append(stage.step())
    return terms


def random_images(count: int = 6, channels: int = 3, size: int = 32) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(5))


# Exchange of channels


@pytest.mark.parametrize(("count", "channels"), [(6, 8), (5, 7)])
def test_images_exchange_half_of_their_channels(count: int, channels: int) -> None:
    numbers = torch.arange(count * channels, dtype=torch.float32).view(count, channels, 1, 1)
    mixed = exchanged(numbers.expand(-1, -1, 2, 3), 1.0, torch.Generator().manual_seed(0))
    own = (mixed == numbers).flatten(2).all(2)
    others = (mixed == numbers.flip(0)).flatten(2).all(2)
    assert (own | others).all()
    for number in range(count):
        kept = channels if number == count - 1 - number else channels // 2
        assert own[number].sum() == kept
    # another half for each image
    assert len({tuple(row) for row in own.tolist()}) > 2


def test_channels_are_exchanged_with_the_given_probability() -> None:
    maps, rng = torch.arange(8.0).view(2, 4, 1, 1), torch.Generator().manual_seed(0)
    assert exchanged(maps, 0.0, rng).equal(maps)
    unchanged = sum(exchanged(maps, 0.7, rng).equal(maps) for _ in range(2000))
    assert unchanged / 2000 == pytest.approx(0.3, abs=0.04)


# The generator's stages


@pytest.mark.parametrize("head", ["sigmoid", "tanh_bn"])
@pytest.mark.parametrize(("size", "stages"), [(16, 2), (32, 3), (48, 4)])
def test_maps_of_each_stage_are_decoded_to_the_image(size: int, stages: int, head: HeadKind) -> None:
    torch.manual_seed(0)
    generator = Generator(8, size, 4, head=head, stem=2).eval()
    layers = generator.stage_layers()
    assert len(layers) == stages
    with outputs_of(*layers) as maps:
        images = generator(torch.randn(5, 8))
    assert [output.shape[2] for output in maps.values()] == [size >> (stages - 1 - place) for place in range(stages)]
    for stage, output in enumerate(maps.values()):
        assert Decoder(generator)(output, stage).equal(images)


def test_the_pool_keeps_the_maps_of_the_best_images() -> None:
    method = method_of()
    seen = []
    keep = method.keep

    def recorded(loss: Tensor, images: Tensor) -> None:
        seen.append((loss.item(), [output.float() for output in method.rendered.values()]))
        keep(loss, images)

    method.keep = recorded
    run(method, 0, 3)
    best = min(seen, key=lambda pair: pair[0])[1]
    for tap, maps in enumerate(best):
        drawn = method.maps.sample(tap, 32, torch.Generator().manual_seed(0))
        assert all(any(row.equal(kept) for kept in maps) for row in drawn)


def test_old_maps_are_decoded_by_the_present_generator_in_eval_mode() -> None:
    method = method_of(exchange=0)
    run(method, 0, 3)
    generator, before = method.images.generator, state(method.images.generator)
    run(method, 3, 4)
    assert state(generator) == before
    assert generator.training
    method.set_clock(Clock(3, 7))
    rng = method.task.rng.get_state()
    images = method.decoded()
    with torch.no_grad():
        generator.grow[-2].weight.add_(0.1)
    method.task.rng.set_state(rng)
    assert not method.decoded().equal(images)


def test_every_stage_is_drawn() -> None:
    counts = torch.bincount(torch.tensor(method_of(rounds=4, synthesis_steps=500).choices), minlength=3)
    assert counts.min() > 0.28 * counts.sum()


def test_the_weights_of_a_generator_go_on_and_its_latents_stay_as_drawn() -> None:
    method = method_of(rounds=2)
    run(method, 0, 1)
    first = method.images.drawn.clone()
    run(method, 1, 5)
    assert method.images.drawn.equal(first)
    weights = state(method.images.generator.grow)
    method.round.begin(method.draw_labels())
    method.begin_round()
    assert not method.images.drawn.equal(first)
    assert state(method.images.generator.grow) == weights
    moved = method_of(lr_latents=0.1)
    run(moved, 0, 1)
    first = moved.images.drawn.clone()
    run(moved, 1, 2)
    assert not moved.images.drawn.equal(first)


def test_classes_come_in_turn() -> None:
    assert method_of(synthesis_batch=12).draw_labels().tolist() == [*range(10), 0, 1]


# The pool of maps


def test_a_pool_of_maps_keeps_the_newest_and_is_restored() -> None:
    shapes = [torch.Size((2, 1, 1)), torch.Size((1, 2, 2))]
    pool, other = FeaturePool(4, shapes, CPU), FeaturePool(4, shapes, CPU)
    assert pool.sample(0, 3, torch.Generator().manual_seed(0)).abs().max() == 0
    for start in (0, 3, 6):
        pool.add([torch.arange(start, start + 3.0).view(3, 1, 1, 1).expand(-1, *shape) for shape in shapes])
    file = io.BytesIO()
    torch.save(pool.state_dict(), file)
    # numbers of two bytes, and nothing beside them
    assert file.tell() < 4 * 6 * 2 + 3000
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for each in (pool, other):
        drawn = [each.sample(layer, 64, torch.Generator().manual_seed(1)) for layer in (0, 1)]
        assert set(drawn[0].flatten().tolist()) == set(drawn[1].flatten().tolist()) == {5.0, 6.0, 7.0, 8.0}
        each.add([torch.full((6, *shape), 9.0) for shape in shapes])
        assert each.sample(0, 64, torch.Generator().manual_seed(1)).min() == 9


def test_no_more_memory_is_taken_than_the_run_fills() -> None:
    maps = method_of(pool_size=10_000, rounds=2, warm_up_rounds=1).maps
    assert [layer.capacity for layer in maps._layers] == [18] * 3


# Activation maps


@pytest.mark.parametrize("name", POOLED)
def test_the_mean_of_the_cam_maps_is_the_logit(name: str) -> None:
    net = untrained_classifier(1, name).eval()
    reader = Reader(net, random_images())
    found = reader(images := random_images(3))
    (maps,) = reader.maps("cam", found, found.logits.argmax(1))
    assert maps.shape[2] > 1
    logits = maps.mean((2, 3)) + net.last_layer().bias
    torch.testing.assert_close(logits, net(images), rtol=1e-4, atol=1e-3)


def test_the_grad_cam_map_of_the_last_stage_is_a_share_of_the_cam_map() -> None:
    """Where the last layer reads the mean of H x W places, d logit_y / d A_k = w_yk / (H W) at each of them."""
    net = untrained_classifier(1, "cifar_resnet18").eval()
    reader = Reader(net, random_images())
    found, classes = reader(random_images(3)), torch.tensor([7, 0, 2])
    cam = reader.maps("cam", found, classes)[0][torch.arange(3), classes]
    torch.testing.assert_close(reader.maps("grad_cam", found, classes)[-1] * cam[0].numel(), cam, rtol=1e-4, atol=1e-4)


def test_the_grad_cam_map_is_that_of_its_definition() -> None:
    maps = torch.arange(12.0).view(1, 3, 2, 2).requires_grad_()
    logits = torch.stack([maps.sum((1, 2, 3)), maps[:, 0, 0, 0] * 4 + maps[:, 1].square().sum((1, 2))], 1)
    (found,) = gradient_activation_maps(logits, torch.tensor([1]), [maps])
    # channel means of the gradients: 4 / 4, mean of 2 A_1 = 11, and 0
    assert found.tolist() == [(maps[0, 0] + 11 * maps[0, 1]).tolist()]
    (gradient,) = torch.autograd.grad(found.sum(), maps)
    assert gradient[0, :, 0, 0].tolist() == [1, 11, 0]


def test_maps_of_equal_networks_are_equal() -> None:
    pair = Pair(untrained_classifier(1).lock(), untrained_classifier(1).eval(), 32)
    teacher, student, terms = pair.compare(random_images(), ["cam", "grad_cam"])
    assert teacher.equal(student)
    assert [term.item() for term in terms.values()] == [0, 0]


def test_grad_cam_maps_are_of_the_teachers_predictions_and_summed_over_stages() -> None:
    teacher, student = untrained_classifier(1).lock(), untrained_classifier(2).eval()
    images = random_images()
    classes = teacher(images).argmax(1)
    assert not classes.equal(student(images).argmax(1))
    readers = [Reader(net, images) for net in (teacher, student)]
    theirs, ours = (r.maps("grad_cam", r(images.clone().requires_grad_()), classes) for r in readers)
    expected = sum((a - b).square().mean() for a, b in zip(theirs, ours, strict=True))
    torch.testing.assert_close(Pair(teacher, student, 32).compare(images, ["grad_cam"])[2]["grad_cam"], expected)


@pytest.mark.parametrize("kind", ["cam", "grad_cam"])
def test_maps_move_the_students_features_and_nothing_else(kind: Any) -> None:
    teacher, student = untrained_classifier(1).lock(), untrained_classifier(2).train()
    images = random_images()
    _, _, terms = Pair(teacher, student, 32).compare(images, [kind])
    assert terms.keys() == {kind}
    terms[kind].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert images.grad is None
    # the weights that make maps of features are constants
    assert all(p.grad is None for p in student.last_layer().parameters())
    assert next(student.parameters()).grad.abs().max() > 0


@pytest.mark.parametrize(
    ("teacher", "student", "cam", "grad_cam"),
    [
        ("test_resnet", "test_resnet", True, True),
        ("lenet5_bn", "lenet5_half_bn", False, True),
        ("cifar_resnet18", "test_resnet", False, False),
        ("wrn_16_1", "cifar_resnet18", False, False),
        ("test_vit", "test_resnet", False, False),
    ],
)
def test_terms_are_on_where_both_networks_have_the_maps(teacher: str, student: str, cam: bool, grad_cam: bool) -> None:
    def method(**settings: Any) -> Any:
        return make_method("spaceshipnet", {"bn": 0, **settings}, teacher=teacher, student=student)

    wanted = {kind: 1.0 for kind, on in (("cam", cam), ("grad_cam", grad_cam)) if on}
    assert method().weights == wanted
    assert method(cam=0, grad_cam=0).weights == {}
    for kind, on in (("cam", cam), ("grad_cam", grad_cam)):
        if on:
            assert method(**{kind: 0.5}).weights[kind] == 0.5
        else:
            with pytest.raises(HyperparameterError, match=f"teacher and student have no .*; it takes {kind}=0"):
                method(**{kind: 0.5})


# The student's loss


def test_without_maps_and_exchange_the_student_learns_from_decoded_images_by_kl() -> None:
    method = method_of(exchange=0, cam=0, grad_cam=0, temperature=7)
    run(method, 0, 3)
    rng = method.task.rng.get_state()
    maps = method.maps.sample(method.choices[3], 16, method.task.rng)
    exchanged(maps, 0, method.task.rng)
    images = method.task.augment(method.images.generator.eval().decode(maps, method.choices[3]))
    expected = kl(method.teacher(images), method.student.train()(images), 7.0)
    method.images.generator.train()
    method.task.rng.set_state(rng)
    (terms,) = run(method, 3, 4)
    assert terms.keys() == {"disagreement"}
    torch.testing.assert_close(terms["disagreement"], expected)


def test_the_terms_are_weighed() -> None:
    method, losses = method_of(cam=2.0, grad_cam=3.0), []
    run(method, 0, 3)
    update = method.learner.update
    method.learner.update = lambda loss: (losses.append(loss.detach()), update(loss))
    (terms,) = run(method, 3, 4)
    torch.testing.assert_close(losses[0], terms["disagreement"] + 2 * terms["cam"] + 3 * terms["grad_cam"])


def test_the_release_divides_the_kl_and_nothing_else_by_the_classes() -> None:
    usual, legacy = (run(method_of(legacy_mean_reduction=on), 0, 4)[-1] for on in (False, True))
    torch.testing.assert_close(legacy["disagreement"] * 10, usual["disagreement"])
    assert legacy["cam"].equal(usual["cam"])
    assert legacy["grad_cam"].equal(usual["grad_cam"])


@pytest.mark.parametrize("size", [16, 48])
def test_it_works_at_other_sizes(size: int) -> None:
    assert run_stages(make_method("spaceshipnet", size=size, images=64))
