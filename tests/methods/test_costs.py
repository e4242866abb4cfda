"""The meter's bill of a round is the sheet's: pictures that each network saw, in batches."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny_task import play, walk

from okdbench.api import Method

BATCH = 18
NEW, OLD = 16, 2  # of a batch, where a memory makes the rest


def bill(method: str, **settings: Any) -> dict[str, tuple[int, int, int]]:
    """What the third round of the last stage adds: forward, backward and learned pictures of every network."""
    bills = []
    for rounds in (3, 2):
        game: Method = play(method, settings, images=10_000, batch_size=BATCH)
        walk(game, rounds)
        bills.append(game.task.meter.traffic())
    longer, shorter = bills
    return {
        role: (
            traffic.forward - shorter[role].forward,
            traffic.backward - shorter[role].backward,
            traffic.learned - shorter[role].learned,
        )
        for role, traffic in longer.items()
    }


@pytest.mark.parametrize(
    ("method", "settings", "teacher", "student", "generator"),
    [
        ("dafl", {}, (1, 1), (1, 1, 1), (1, 1)),
        ("dfad", {}, (6, 1), (6, 6, 5), (6, 1)),
        ("dfkd", {}, (6, 1), (6, 6, 5), (6, 1)),
        # The release draws the same pictures anew in each of the student's steps: 11 forwards of G instead of 2.
        ("zskt", {}, (2, 1), (11, 11, 10), (2, 1)),
        ("zskt", {"attention": 0}, (2, 1), (11, 11, 10), (2, 1)),
    ],
)
def test_a_round_costs_what_its_authors_pay(
    method: str,
    settings: dict[str, Any],
    teacher: tuple[int, int],
    student: tuple[int, ...],
    generator: tuple[int, int],
) -> None:
    paid = bill(method, **settings)
    assert paid["teacher"] == (*(BATCH * n for n in teacher), 0)
    assert paid["student"] == tuple(BATCH * n for n in student)
    assert paid["generator"] == (*(BATCH * n for n in generator), BATCH)


@pytest.mark.parametrize("method", ["dfq", "mad"])
def test_a_warm_up_step_is_paid_beside_the_round(method: str) -> None:
    """Three steps of the warm-up against two are one more, beside the one more round."""
    game = play(method, {"warm_up": 2}, images=10_000, batch_size=BATCH)
    for stage, teacher, student in (("warm-up", 1, 0), ("data-free", 11, 11)):
        before = game.task.meter.traffic()
        step = next(s for s in game.stages() if s.name == stage).step
        step()
        after = game.task.meter.traffic()
        assert after["teacher"].forward - before["teacher"].forward == BATCH * teacher
        assert after["student"].forward - before["student"].forward == BATCH * student
        assert after["generator"].backward - before["generator"].backward == BATCH


def test_the_slow_generator_makes_half_of_the_pictures() -> None:
    paid = bill("mad", warm_up=0)
    assert paid["generator"] == (BATCH + 5 * BATCH, BATCH, BATCH)
    assert paid["slow generator"] == (5 * BATCH, 0, 0)
    assert paid["teacher"] == (11 * BATCH, BATCH, 0)
    assert paid["student"] == (11 * BATCH, 11 * BATCH, 10 * BATCH)


@pytest.mark.parametrize(
    ("method", "settings", "backward"),
    [
        ("replay", {}, NEW + 10 * BATCH),
        ("ltr", {"order": 1}, NEW + 10 * BATCH),
        # The Hessian-vector product goes once more through the pictures of the inner step.
        ("ltr", {"order": 2}, NEW + 10 * BATCH + 10 * NEW),
        ("ltr", {"legacy_inert_meta": True}, NEW + 10 * BATCH),
    ],
)
def test_new_and_old_pictures_make_one_batch(method: str, settings: dict[str, Any], backward: int) -> None:
    paid = bill(method, **settings)
    assert paid["teacher"] == (NEW + 10 * BATCH, NEW, 0)
    assert paid["student"] == (NEW + 10 * BATCH, backward, 10 * BATCH)
    assert paid["generator"] == (11 * NEW, NEW, NEW)


def test_the_concatenated_outer_loss_learns_twice_from_every_picture() -> None:
    """As the release does: concatenated, inner and outer. Such a row overspends and has no rank."""
    assert bill("ltr", legacy_concat_outer=True)["student"][2] == 2 * 10 * BATCH


def test_dreams_are_paid_with_and_without_the_encoder() -> None:
    paid = bill("replay", memory="generative")
    half = BATCH // 2
    assert paid["memory"] == (4 * (half + OLD), 4 * (half + OLD), 4 * (half + OLD))
    assert paid["memory generator"] == (4 * (half + OLD) + 10 * 2 * OLD, 4 * (half + OLD) + 10 * OLD, 0)


def test_mosaickd_pays_d_and_g_once_and_s_five_times() -> None:
    half = BATCH // 2
    paid = bill("mosaickd")
    assert paid["teacher"] == (half + 5 * BATCH, half, 0)
    assert paid["student"] == (half + 5 * BATCH, half + 5 * BATCH, 5 * BATCH)
    assert paid["generator"] == (6 * half, half, half)
    assert paid["discriminator"][2] == 2 * half
