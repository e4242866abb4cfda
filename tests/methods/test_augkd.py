"""AuG-KD: its equations, its mixtures, and the inputs of its networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from support.augkd_steps import (
    BATCH_SIZE,
    STAGES,
    Start,
    close,
    cross_entropy,
    make_batch,
    make_teacher,
    mean_kl,
    record_forwards,
    record_updates,
    run_stage,
    trial_factory,
)
from torch import Tensor

from okdbench.api import Clock
from okdbench.distill.optim import set_eval
from okdbench.training.plan import Plan


@pytest.fixture(scope="module")
def start(plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory) -> Start:
    return trial_factory(plan(), make_teacher(plan()), tmp_path_factory)


# the equations


def test_the_losses_of_stage_1_are_the_equations(start: Start) -> None:
    trial = start(inner_steps=1)
    method = trial.method
    t, s, e = (record_forwards(net) for net in (method.teacher, method.student, method.encoder.module))
    generator, student, encoder = (
        record_updates(learner)[0] for learner in (method.generator, method.learner, method.encoder)
    )
    latents: list[Tensor] = []
    noise = method.noise
    method.noise = lambda: latents.append(noise()) or latents[-1]
    (terms,) = run_stage(trial, "data-free")

    (_, t1), (_, t2) = t
    (_, s1), (_, s2) = s
    mean_prediction = softmax(t1.detach().double().numpy(), axis=1).mean(0)
    balance = 20 * (mean_prediction * np.log10(mean_prediction)).sum()
    one_hot = cross_entropy(t1, t1.argmax(1)).mean()
    assert generator == [close(-mean_kl(t1, s1) + one_hot + balance + terms["bn"])]
    assert student == [close(mean_kl(t2, s2))]

    ((_, (mean, log_var)),) = e
    _, z, epsilon = latents
    latent = mean + epsilon * (0.5 * log_var).exp()
    prior = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean().item()
    assert encoder == [close((latent - z).square().sum(1).mean().item() + 2.5e-4 * prior)]


def test_the_loss_of_stage_2_is_the_equation(start: Start) -> None:
    trial = start()
    logits, anchors = record_forwards(trial.method.teacher), record_forwards(trial.method.anchor.module)
    losses, _ = record_updates(trial.method.anchor)
    run_stage(trial, "anchor")
    (_, t), (_, (_, mask)) = logits[0], anchors[0]
    energy = -logsumexp(t.detach().double().numpy(), axis=1)
    invariance = np.abs(mask.detach().double().numpy().sum(1) - 75)
    assert losses == [close(np.mean(energy + invariance + 0.1 * cross_entropy(t, make_batch(trial).labels)))]


def test_legacy_inv_sum_is_the_released_sum(start: Start) -> None:
    trial = start(legacy_inv_sum=True)
    logits, anchors = record_forwards(trial.method.teacher), record_forwards(trial.method.anchor.module)
    losses, _ = record_updates(trial.method.anchor)
    run_stage(trial, "anchor")
    (_, t), (_, (_, mask)) = logits[0], anchors[0]
    energy = -logsumexp(t.detach().double().numpy(), axis=1).sum()
    whole_batch = abs(mask.detach().double().numpy().sum() - 100 * 0.75)
    assert losses == [close(energy + whole_batch + 0.1 * cross_entropy(t, make_batch(trial).labels).sum())]


def test_uncertainty_can_be_one_minus_the_largest_probability(start: Start) -> None:
    trial = start(uncertainty="max_softmax")
    logits = record_forwards(trial.method.teacher)
    (terms,) = run_stage(trial, "anchor")
    p = softmax(logits[0][1].detach().numpy(), axis=1)
    assert terms["uncertainty"] == close(1 - p.max(1).mean())


@pytest.mark.parametrize("kd_on", ["both", "mixed_only"])
def test_the_loss_of_stage_3_is_the_equation(start: Start, kd_on: str) -> None:
    trial = start(kd_on=kd_on, hard_weight=0.3, temperature=4)
    t, s = record_forwards(trial.method.teacher), record_forwards(trial.method.student)
    losses, _ = record_updates(trial.method.mixup_learner)
    run_stage(trial, "mixup")
    ((_, teacher_logits),), ((_, logits),) = t, s
    half = BATCH_SIZE // 2
    labels = make_batch(trial, half).labels
    hard = cross_entropy(logits, torch.cat([labels, labels])).mean()
    part = slice(half, None) if kd_on == "mixed_only" else slice(None)
    assert len(logits) == 2 * half
    assert len(teacher_logits) == len(logits[part])
    assert losses == [close(0.3 * hard + 0.7 * mean_kl(teacher_logits, logits[part], 4))]


# mixing


@pytest.mark.parametrize("use_anchor", [True, False])
def test_images_are_mixed_in_latent_and_image_space_with_the_same_factor(start: Start, use_anchor: bool) -> None:
    trial = start(constant_f=0.3, use_anchor=use_anchor)
    method, batch = trial.method, make_batch(trial)
    set_eval(method.generator, method.encoder, method.anchor)
    with torch.no_grad():
        z, _ = method.encoder.module(batch.images, batch.labels)
        anchors = method.anchor.module(z, batch.labels)[0] if use_anchor else z
        generated = method.generator.module(0.7 * anchors + 0.3 * z)
    torch.testing.assert_close(method.mix(batch), 0.7 * generated + 0.3 * batch.images)
    assert use_anchor == (not torch.allclose(anchors, z))


@pytest.mark.parametrize(("settings", "clock"), [({"constant_f": 1.0}, Clock(0, 10)), ({}, Clock(6, 10))])
def test_at_f_1_the_mixture_is_the_image(start: Start, settings: dict[str, float], clock: Clock) -> None:
    trial = start(**settings)
    trial.method.clock = clock
    batch = make_batch(trial)
    assert torch.equal(trial.method.mix(batch), batch.images)


def test_the_mixing_factor_rises_from_b_to_1_at_the_share_a(start: Start) -> None:
    method = start(mix_a=0.6, mix_b=0.2).method
    factors = {}
    for step in (0, 30, 60, 119, 120, 199):
        method.clock = Clock(step, 200)
        factors[step] = method.mixing_factor()
    expected = {0: 0.2, 30: 0.4, 60: 0.6, 119: 0.2 + 0.8 * 119 / 120, 120: 1.0, 199: 1.0}
    assert factors == pytest.approx(expected)


@pytest.mark.parametrize("f", [0.0, 0.4])
def test_a_constant_factor_stays_constant(start: Start, f: float) -> None:
    method = start(constant_f=f).method
    for step in (0, 150):
        method.clock = Clock(step, 200)
        assert method.mixing_factor() == f


# inputs of the networks


@pytest.mark.parametrize("legacy", [False, True])
def test_both_halves_of_stage_3_are_normalised_unless_the_release_is_restored(start: Start, legacy: bool) -> None:
    trial = start(constant_f=1.0, legacy_unnormalised_real=legacy)  # at f = 1 both halves are the same images
    calls = [record_forwards(net.net) for net in (trial.method.student, trial.method.teacher)]
    run_stage(trial, "mixup")
    images = make_batch(trial, BATCH_SIZE // 2).images
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (trial.plan.dataset.mean, trial.plan.dataset.std))
    normalised = (images - mean) / std
    for ((received, _),) in calls:
        torch.testing.assert_close(received, torch.cat([images if legacy else normalised, normalised]))
        assert torch.equal(received[:4], received[4:]) is not legacy


@pytest.mark.parametrize("legacy", [False, True])
def test_the_encoder_gets_raw_images_in_every_stage(start: Start, legacy: bool) -> None:
    trial = start(legacy_unnormalised_real=legacy)
    generated, calls = record_forwards(trial.method.generator.module), record_forwards(trial.method.encoder.module)
    raw = {"anchor": [make_batch(trial).images], "mixup": [make_batch(trial, BATCH_SIZE // 2).images]}
    for stage in STAGES:
        calls.clear()
        run_stage(trial, stage)
        assert calls
        for images, _ in calls:
            assert images.min() >= 0
            assert images.max() <= 1
            assert any(torch.equal(images, x) for x in raw.get(stage, [output for _, output in generated]))


# latents


def test_latents_of_real_images_are_the_mean_or_a_sample_around_it(start: Start) -> None:
    trial = start()
    batch = make_batch(trial)
    set_eval(trial.method.generator, trial.method.encoder)
    with torch.no_grad():
        mean, log_var = trial.method.encoder.module(batch.images, batch.labels)
        assert torch.equal(trial.method.encode(batch), mean)
        sampling = start(sample_latents=True).method
        set_eval(sampling.generator, sampling.encoder)
        samples = torch.stack([sampling.encode(batch) for _ in range(400)])
    noise = (samples - mean) * (-0.5 * log_var).exp()
    assert noise.mean(0).abs().max() < 0.3
    assert noise.std(0).sub(1).abs().max() < 0.25
