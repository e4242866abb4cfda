"""Overhead of a method's step over the bare passes of its networks: wrappers, meter, learners, loss terms by name.

Each stage alternates between the method's step and the same step written by hand on plain modules, so that a busy
machine slows both equally. The table shows the method's times; ``extra_info["overhead"]`` is the ratio of the medians
minus 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.api import Batch, Clock
from okdbench.data.loader import Stream
from okdbench.distill.networks.anchor import AnchorNet
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.generators import Encoder, Generator
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import normaliser
from okdbench.training.trial import Trial

CPU = torch.device("cpu")
PAIR = {"teacher": "resnet18", "student": "resnet10t"}
LATENT, WIDTH, BATCH_SIZE, SIZE, CLASSES = 100, 16, 64, 32, 10
MIXING = 0.4
WARM_UP = 2


def kl(teacher: Tensor, student: Tensor, tau: float = 1.0) -> Tensor:
    target, output = ((logits / tau).log_softmax(1) for logits in (teacher, student))
    return tau**2 * F.kl_div(output, target, reduction="batchmean", log_target=True)


class Bare:
    """The same networks and updates by hand: no wrappers, no meter, no schedules, no named losses."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
        self.teacher = build_classifier(PAIR["teacher"], CLASSES, SIZE).eval().requires_grad_(False)
        self.student = build_classifier(PAIR["student"], CLASSES, SIZE)
        self.generator = Generator(LATENT, SIZE, WIDTH).to(memory_format=torch.channels_last)
        self.encoder = Encoder(LATENT, SIZE, CLASSES, WIDTH).to(memory_format=torch.channels_last)
        self.anchor = AnchorNet(LATENT, CLASSES)
        self.optimizers = {
            net: torch.optim.Adam(net.parameters(), 1e-3, fused=True)
            for net in (self.student, self.generator, self.encoder, self.anchor)
        }
        self.watching = False
        self.deviations: list[tuple[Tensor, Tensor]] = []
        for layer in self.teacher.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_pre_hook(self.watch)

    def watch(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        if self.watching:
            var, mean = torch.var_mean(inputs[0], (0, 2, 3))
            self.deviations.append((mean - layer.running_mean, var - layer.running_var))

    def normalised(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def update(self, net: nn.Module, loss: Tensor) -> None:
        self.optimizers[net].zero_grad()
        loss.backward(inputs=list(net.parameters()))
        self.optimizers[net].step()

    def data_free(self) -> None:
        self.generator.train()
        self.encoder.train()
        x = self.normalised(self.generator(torch.randn(BATCH_SIZE, LATENT)))
        self.deviations, self.watching = [], True
        t = self.teacher(x)
        self.watching = False
        p = t.log_softmax(1).logsumexp(0) - math.log(BATCH_SIZE)
        bn = sum(torch.cat(pair).norm() for pair in zip(*self.deviations, strict=True))
        loss = -kl(t, self.student(x)) + F.cross_entropy(t, t.argmax(1)) + 8.686 * (p.exp() * p).sum() + bn
        self.update(self.generator, loss)
        for _ in range(5):
            z = torch.randn(BATCH_SIZE, LATENT)
            with torch.no_grad():
                raw = self.generator(z)
                x = self.normalised(raw)
                t = self.teacher(x)
            self.update(self.student, kl(t, self.student(x)))
            mean, log_var = self.encoder(raw, t.argmax(1))
            drawn = mean + torch.randn(BATCH_SIZE, LATENT) * (0.5 * log_var).exp()
            prior = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
            self.update(self.encoder, (drawn - z).square().sum(1).mean() + 2.5e-4 * prior)

    def anchors(self, batch: Batch) -> None:
        self.generator.eval()
        self.encoder.eval()
        self.anchor.train()
        with torch.no_grad():
            z, _ = self.encoder(batch.images, batch.labels)
        moved, mask = self.anchor(z, batch.labels)
        t = self.teacher(self.normalised(self.generator(moved)))
        mask_error = (mask.mean(1) - 0.75).abs().mean()
        self.update(self.anchor, -t.logsumexp(1).mean() + LATENT * mask_error + 0.1 * F.cross_entropy(t, batch.labels))

    def mixup(self, batch: Batch) -> None:
        self.generator.eval()
        self.encoder.eval()
        self.anchor.eval()
        with torch.no_grad():
            z, _ = self.encoder(batch.images, batch.labels)
            z = (1 - MIXING) * self.anchor(z, batch.labels)[0] + MIXING * z
            mixed = (1 - MIXING) * self.generator(z) + MIXING * batch.images
        self.distil(torch.cat([batch.images, mixed]), torch.cat([batch.labels, batch.labels]))

    def kd(self, batch: Batch) -> None:
        self.distil(batch.images, batch.labels)

    def distil(self, images: Tensor, labels: Tensor) -> None:
        x = self.normalised(images)
        with torch.no_grad():
            t = self.teacher(x)
        s = self.student(x)
        self.update(self.student, 0.5 * F.cross_entropy(s, labels) + 0.5 * kl(t, s, 10.0))

    def finetune(self, batch: Batch) -> None:
        self.update(self.student, F.cross_entropy(self.student(self.normalised(batch.images)), batch.labels))


def interleave(benchmark: Any, method: Callable[[], Any], bare: Callable[[], Any], rounds: int) -> None:
    """Alternate the two; the times in the benchmark's table are those of the method."""
    seconds: list[float] = []

    def before_each_round() -> None:
        began = time.perf_counter()
        bare()
        seconds.append(time.perf_counter() - began)

    benchmark.pedantic(method, setup=before_each_round, rounds=rounds, warmup_rounds=WARM_UP)
    if not benchmark.enabled:  # with --benchmark-disable both have run once, without a time
        return
    bare_seconds = median(seconds[WARM_UP:])
    benchmark.extra_info["bare_ms"] = round(1000 * bare_seconds, 1)
    benchmark.extra_info["overhead"] = round(benchmark.stats.stats.median / bare_seconds - 1, 3)


def stage(method: str, name: str, by_hand: Callable[..., None], rounds: int = 25) -> Any:
    return pytest.param(method, name, by_hand, rounds, id=f"{method}-{name}", marks=pytest.mark.benchmark(group=name))


@pytest.mark.parametrize(
    ("method", "name", "by_hand", "rounds"),
    [
        stage("augkd", "data-free", Bare.data_free, rounds=9),
        stage("augkd", "anchor", Bare.anchors),
        stage("augkd", "mixup", Bare.mixup),
        stage("kd", "distil", Bare.kd),
        stage("finetune", "fine-tuning", Bare.finetune),
    ],
)
def test_step(
    benchmark: Any,
    plan: Callable[..., Plan],
    tmp_path: Path,
    method: str,
    name: str,
    by_hand: Callable[..., None],
    rounds: int,
) -> None:
    chosen = plan(method, budget="quick", **PAIR)
    teacher = ClassifierWrapper(build_classifier(PAIR["teacher"], CLASSES, SIZE), normaliser(chosen, CPU)).lock()
    trial = Trial(chosen, teacher, tmp_path, CPU, quiet)
    declared = next(one for one in trial.method.stages() if one.name == name)
    trial.method.student.train()
    trial.method.clock = Clock(15, 100)  # f = 0.4
    if declared.begin:
        declared.begin()
    batch_size = declared.batch_size or BATCH_SIZE
    data = Stream(chosen.splits.train, batch_size=batch_size, seed=0, device=CPU)
    inputs = [data.batch(0)] if declared.data else []
    bare = Bare(chosen.dataset.mean, chosen.dataset.std)
    interleave(benchmark, lambda: declared.step(*inputs), lambda: by_hand(bare, *inputs), rounds)
