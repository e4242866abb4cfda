"""The measured cost of an iteration is the derived one: images that pass through each network, in batches."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny_task import make_method, run_stages

from okdbench.api import Clock, Method

BATCH = 18
NEW, OLD = 16, 2  # images in a batch with replay


def iteration_cost(method: str, **settings: Any) -> dict[str, tuple[int, int, int]]:
    """Cost of the third iteration of the last stage: forward, backward and learned images of every network."""
    totals = []
    for iterations in (3, 2):
        distiller: Method = make_method(method, settings, images=10_000, batch_size=BATCH)
        run_stages(distiller, iterations)
        totals.append(distiller.task.meter.traffic())
    three, two = totals
    return {
        role: (
            counts["forward"] - two[role]["forward"],
            counts["backward"] - two[role]["backward"],
            counts["learned"] - two[role]["learned"],
        )
        for role, counts in three.items()
    }


@pytest.mark.parametrize(
    ("method", "settings", "teacher", "student", "generator"),
    [
        ("dafl", {}, (1, 1), (1, 1, 1), (1, 1)),
        ("dfad", {}, (6, 1), (6, 6, 5), (6, 1)),
        ("dfkd", {}, (6, 1), (6, 6, 5), (6, 1)),
        # The release generates the same images in each student step: 11 forwards of G instead of 2.
        ("zskt", {}, (2, 1), (11, 11, 10), (2, 1)),
        ("zskt", {"attention": 0}, (2, 1), (11, 11, 10), (2, 1)),
    ],
)
def test_an_iteration_costs_as_much_as_the_authors_method(
    method: str,
    settings: dict[str, Any],
    teacher: tuple[int, int],
    student: tuple[int, ...],
    generator: tuple[int, int],
) -> None:
    cost = iteration_cost(method, **settings)
    assert cost["teacher"] == (*(BATCH * n for n in teacher), 0)
    assert cost["student"] == tuple(BATCH * n for n in student)
    assert cost["generator"] == (*(BATCH * n for n in generator), BATCH)


def test_grad_cam_is_one_more_backward_pass_of_both_networks() -> None:
    distiller = make_method("spaceshipnet", {"rounds": 1, "synthesis_steps": 1}, images=10_000, batch_size=BATCH)
    stage, costs = distiller.stages()[-1], []
    for step in range(2):
        before = distiller.task.meter.traffic()
        distiller.set_clock(Clock(step, stage.steps))
        stage.step()
        after = distiller.task.meter.traffic()
        costs.append({role: {kind: after[role][kind] - before[role][kind] for kind in after[role]} for role in after})
    synthesis, training = costs
    assert synthesis["generator"] == training["student"] | {"backward": BATCH}
    assert (synthesis["teacher"]["forward"], synthesis["teacher"]["backward"]) == (BATCH, BATCH)
    assert synthesis["student"]["forward"] == 0
    assert training["student"] == {"forward": BATCH, "backward": 2 * BATCH, "learned": BATCH, "updates": 1}
    # The release computes the gradients of all weights for it.
    assert (training["teacher"]["forward"], training["teacher"]["backward"]) == (BATCH, BATCH)
    assert (training["generator"]["forward"], training["generator"]["backward"]) == (BATCH, 0)


@pytest.mark.parametrize("method", ["dfq", "mad"])
def test_warm_up_steps_and_iterations_are_both_counted(method: str) -> None:
    distiller = make_method(method, {"warm_up": 2}, images=10_000, batch_size=BATCH)
    for stage, teacher, student in (("warm-up", 1, 0), ("data-free", 11, 11)):
        before = distiller.task.meter.traffic()
        step = next(s for s in distiller.stages() if s.name == stage).step
        step()
        after = distiller.task.meter.traffic()
        assert after["teacher"]["forward"] - before["teacher"]["forward"] == BATCH * teacher
        assert after["student"]["forward"] - before["student"]["forward"] == BATCH * student
        assert after["generator"]["backward"] - before["generator"]["backward"] == BATCH


def test_the_slow_generator_provides_half_of_the_images() -> None:
    cost = iteration_cost("mad", warm_up=0)
    assert cost["generator"] == (BATCH + 5 * BATCH, BATCH, BATCH)
    assert cost["slow generator"] == (5 * BATCH, 0, 0)
    assert cost["teacher"] == (11 * BATCH, BATCH, 0)
    assert cost["student"] == (11 * BATCH, 11 * BATCH, 10 * BATCH)


@pytest.mark.parametrize(
    ("method", "settings", "backward"),
    [
        ("replay", {}, NEW + 10 * BATCH),
        ("ltr", {"order": 1}, NEW + 10 * BATCH),
        # The Hessian-vector product is one more backward pass over the images of the inner step.
        ("ltr", {"order": 2}, NEW + 10 * BATCH + 10 * NEW),
        ("ltr", {"legacy_inert_meta": True}, NEW + 10 * BATCH),
    ],
)
def test_new_and_old_images_make_one_batch(method: str, settings: dict[str, Any], backward: int) -> None:
    cost = iteration_cost(method, **settings)
    assert cost["teacher"] == (NEW + 10 * BATCH, NEW, 0)
    assert cost["student"] == (NEW + 10 * BATCH, backward, 10 * BATCH)
    assert cost["generator"] == (11 * NEW, NEW, NEW)


def test_the_concatenated_outer_loss_learns_twice_from_every_image() -> None:
    """As in the release: in the concatenation, and in the inner or outer step. Such a row exceeds its budget."""
    assert iteration_cost("ltr", legacy_concat_outer=True)["student"][2] == 2 * 10 * BATCH


def test_the_memory_generator_is_counted_with_and_without_the_encoder() -> None:
    cost = iteration_cost("replay", memory="generative")
    half = (BATCH - OLD) // 2  # of the new images
    assert cost["memory"] == (4 * (half + OLD), 4 * (half + OLD), 4 * (half + OLD))
    assert cost["memory generator"] == (4 * (half + OLD) + 10 * 2 * OLD, 4 * (half + OLD) + 10 * OLD, 0)


def test_the_auto_encoder_of_pre_sees_images_of_its_own() -> None:
    cost = iteration_cost("pre")
    half = (BATCH - OLD) // 2
    assert cost["student"] == (NEW + 10 * BATCH, NEW + 10 * BATCH, 10 * BATCH)
    assert cost["generator"] == (11 * NEW, NEW, NEW)
    # Of each sample of the memory the latents have a gradient; the teacher's logits on new images serve both learners.
    assert cost["memory generator"] == (14 * 2 * OLD + 4 * (half + OLD), 14 * OLD + 4 * (half + OLD), 0)
    assert cost["teacher"] == (
        NEW + 10 * BATCH + 14 * OLD + 4 * OLD + 4 * (half + OLD),
        NEW + 14 * OLD + 4 * (half + OLD),
        0,
    )


def test_mosaickd_updates_d_and_g_once_and_s_five_times() -> None:
    half = BATCH // 2
    cost = iteration_cost("mosaickd")
    assert cost["teacher"] == (half + 5 * BATCH, half, 0)
    assert cost["student"] == (half + 5 * BATCH, half + 5 * BATCH, 5 * BATCH)
    assert cost["generator"] == (6 * half, half, half)
    assert cost["discriminator"][2] == 2 * half


@pytest.mark.parametrize(("meta", "outer"), [("maml", 3), ("none", None)])
def test_a_round_of_synthesis_is_paid_by_all_but_the_meta_generator(meta: str, outer: int | None) -> None:
    """One round of warm-up and two of both, each with four steps of synthesis; five steps of the student."""
    settings = {"meta": meta, "warm_up_rounds": 1, "rounds": 2, "synthesis_steps": 4, "synthesis_batch": 6}
    method = make_method("fast", settings, images=10 * BATCH, batch_size=BATCH)
    run_stages(method)
    cost = method.task.meter.traffic()
    made, learned = 3 * 4 * 6, 10 * BATCH
    assert cost["generator"] == {"forward": made, "backward": made, "learned": made, "updates": 12}
    assert (cost["teacher"]["forward"], cost["teacher"]["backward"]) == (made + learned, made)
    # the adversary joins after the warm-up
    assert cost["student"]["forward"] == cost["student"]["backward"] == 2 * 4 * 6 + learned
    assert (cost["student"]["learned"], cost["student"]["updates"]) == (learned, 10)
    assert cost.get("meta generator", {}).get("updates") == outer
    assert cost.get("meta generator", {}).get("forward", 0) == 0


@pytest.mark.parametrize(
    ("settings", "views", "projected"),
    # Without a memory yet: the whole view and the part of each image.
    [({}, 2, (2 * BATCH, BATCH, 0)), ({"contrastive": 0}, 1, None)],
)
def test_a_step_of_cmi_shows_the_teacher_two_views(
    settings: dict[str, Any], views: int, projected: tuple[int, ...] | None
) -> None:
    cost = iteration_cost("cmi", **settings)
    # The meter sees backward passes from the logits, which the contrast does not read.
    assert cost["teacher"] == (views * BATCH, BATCH, 0)
    assert cost["student"] == (BATCH, BATCH, 0)
    assert cost["generator"] == (BATCH, BATCH, BATCH)
    assert cost.get("projection") == projected


def test_adapters_cost_a_backward_pass_through_the_teacher() -> None:
    cost = iteration_cost("4ds")
    assert cost["teacher"] == (BATCH, BATCH, 0)
    assert cost["student"] == cost["adapters"] == (BATCH, BATCH, BATCH)
    assert cost["phases"] == (BATCH, BATCH, 0)
