"""Memories of generated pictures, and the data-free game of a student that is shown them again.

After PRE-DFKD and LTR's released code (Binici et al., 2022; Patel et al., 2023): a ring buffer of stored batches, or a
variational auto-encoder that dreams them up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.distill.adversarial import QUICK_SGD, DataFree, SGDHyperparameters
from okdbench.distill.card import BaseHyperparameters, hyper, legacy
from okdbench.distill.losses import clamped_js, gaussian_prior, js, kl, l1
from okdbench.distill.method import Losses
from okdbench.distill.networks.generators import Encoder, Generator, sample
from okdbench.distill.optim import adam, forward_without_buffers

#: one replayed picture for so many new ones
NEW_FOR_OLD = 8
#: of the student's steps in a round, those in which the generative memory learns
MEMORY_STEPS = 4
RECALL_RATE = 0.02
LATENT_WEIGHT = 1e-5


class Buffer:
    """The last ``capacity`` batches that were pushed."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.pushed = capacity, 0
        self.batches: list[Tensor] = []

    def push(self, pictures: Tensor) -> None:
        """Store a copy, in place of the oldest when there is no room."""
        if len(self.batches) < self.capacity:
            self.batches.append(pictures.clone())
        else:
            self.batches[self.pushed % self.capacity] = pictures.clone()
        self.pushed += 1

    def draw(self, rng: torch.Generator) -> Tensor | None:
        """One stored batch, each with the same chance; None while there is none."""
        if not self.batches:
            return None
        return self.batches[int(torch.randint(len(self.batches), (), generator=rng, device=rng.device))]

    def state_dict(self) -> dict[str, Any]:
        """Batches and count, as tensors and plain types."""
        return {"pushed": self.pushed, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.pushed, self.batches = state["pushed"], state["batches"]


class VAEMemory(nn.Module):
    """A variational auto-encoder of pictures: encoder and memory generator, latent 1000 in the release."""

    def __init__(self, latent: int, image_size: int, width: int) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(latent, image_size, 0, width)
        self.generator = Generator(latent, image_size, width)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions of raw pictures, and mean and log-variance of their latents."""
        mean, log_var = self.encoder(images)
        return self.generator(sample(mean, log_var, noise)), mean, log_var


class RehearsalHyperparameters(SGDHyperparameters):
    """The game of PRE-DFKD and LTR, and their memories."""

    latent: int = hyper(1000, "latent dimensions", paper=1000, ge=2, le=4096)
    lr_generator: float = hyper(0.02, "Adam, generator; cosine to 0", paper=0.02, gt=0, le=1)
    inner_steps: int = hyper(10, "student steps for each generator step", paper=10, ge=1, le=100)
    adversary: Literal["js", "kl"] = hyper("js", "disagreement that the generator looks for; js at temperature 3")
    one_hot: float = hyper(1.0, "weight of the teacher's confidence", paper=1, ge=0)
    balance: float = hyper(2.171, "weight of the class balance, in nats: 5 on log10", paper=2.171, ge=0)
    activation: float = hyper(0.1, "weight of the penultimate features' size", paper=0.1, ge=0)
    bn: float = hyper(0.0, "weight of the batch-norm statistics; 1 in other methods", paper=0, ge=0)
    imitation: Literal["l1", "kl"] = hyper(
        "l1", "what the student minimises: mean |T - S| of logits, or KL", paper="l1"
    )
    memory: Literal["buffer", "generative"] = hyper("buffer", "ring buffer or variational auto-encoder")
    capacity: int = hyper(10, "batches in the buffer", paper=10, ge=1, when={"memory": "buffer"})
    pushes: int = hyper(80, "batches stored in a run", paper=80, ge=1, when={"memory": "buffer"})
    lr_memory: float = hyper(5e-4, "Adam, auto-encoder", paper=5e-4, gt=0, le=1, when={"memory": "generative"})
    legacy_clamped_js: bool = legacy("JS clamped to [0.01, 0.99], mean over classes", "unclamped, summed over classes")
    legacy_student_train_mode: bool = legacy("student in train mode in the generator's step", "eval mode")


class Rehearsal(DataFree):
    """The student learns from new pictures and, beside them, from remembered ones, in batches of the usual size."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = RehearsalHyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {**DataFree.presets, "quick": QUICK_SGD}

    def setup(self) -> None:
        """Prepare the game and the memory."""
        super().setup()
        hp = self.hp
        self.buffer = self.state["memory"] = Buffer(hp.capacity)
        self.inner = 0
        if hp.memory == "generative":
            dreamer = VAEMemory(hp.latent, self.task.image_size, hp.generator_width)
            self.dreamer = self.own("memory", dreamer, adam(dreamer, hp.lr_memory))
            self.task.meter.watch("memory generator", dreamer.generator)  # it also dreams without the encoder

    @property
    def batch_size(self) -> int:
        """New pictures in each step: 8/9, so that new and old ones make a batch."""
        return self.step_pictures - self.old_size

    @property
    def old_size(self) -> int:
        """Remembered pictures in each step."""
        return max(2, round(self.step_pictures / (NEW_FOR_OLD + 1)))  # batch norm needs two

    def round(self) -> Losses:
        """A round of the game; the buffer gets a part of its last pictures every so often."""
        self.inner = 0
        losses = super().round()
        if self.hp.memory == "buffer" and self.is_push_due(self.clock.step):
            self.buffer.push(self.newest[: self.old_size])
        return losses

    def is_push_due(self, step: int) -> bool:
        """True in the first round, and ``pushes`` times in all when there are so many rounds."""
        pushes: int = self.hp.pushes
        return step * pushes // self.rounds > (step - 1) * pushes // self.rounds

    def student_step(self) -> Losses:
        """A step on new and old pictures; on new ones alone while there is no memory."""
        new, old = self.draw(), self.recall()
        teacher_logits = self.ask(new)
        losses = (
            self.teach(new, teacher_logits) if old is None else self.rehearse(new, teacher_logits, old, self.ask(old))
        )
        if self.hp.memory == "generative" and self.inner < MEMORY_STEPS:
            losses |= self.memorise(new, old)
        self.newest, self.inner = new, self.inner + 1
        return losses

    def rehearse(self, new: Tensor, teacher_logits: Tensor, old: Tensor, known: Tensor) -> Losses:
        """L(new) + L(old) with batch statistics of their own; the running ones follow the new pictures alone."""
        acquisition = self.student_loss(teacher_logits, self.student(new))
        retention = self.student_loss(known, forward_without_buffers(self.student, old))
        self.learner.update(acquisition + retention)
        return {"disagreement": acquisition, "retention": retention}

    def opinion(self, images: Tensor) -> Tensor:
        """In eval mode, unless the release is restored."""
        return self.student(images) if self.hp.legacy_student_train_mode else super().opinion(images)

    def divergence(self, teacher_logits: Tensor, said: Tensor) -> Tensor:
        """JS at temperature 3, or KL, up which the generator climbs through the student alone."""
        teacher_logits = teacher_logits.detach()
        if self.hp.legacy_clamped_js:
            return clamped_js(teacher_logits, said)
        return js(teacher_logits, said) if self.hp.adversary == "js" else kl(teacher_logits, said)

    def student_loss(self, teacher_logits: Tensor, said: Tensor) -> Tensor:
        """Mean absolute difference of logits, or KL."""
        return l1(teacher_logits, said) if self.hp.imitation == "l1" else kl(teacher_logits, said)

    # Memory

    def recall(self) -> Tensor | None:
        """Old pictures for one step of the student; None while there are none."""
        if self.hp.memory == "buffer":
            return self.buffer.draw(self.task.rng)
        return self.dream() if self.clock.step else None

    def dream(self) -> Tensor:
        """Pictures from the memory generator whose latents took one step towards confident, balanced predictions."""
        generator = self.dreamer.module.get_submodule("generator").eval()
        z = self.noise(self.old_size).requires_grad_()
        seen = self.teacher.observe(generator(z))
        spread = (z.var(0) - 1).square().mean() + z.mean(0).square().mean()
        priors = [weight * self.available_priors()[name](seen) for name, weight in self.prior_weights().items()]
        z.grad = torch.autograd.grad(torch.stack([*priors, spread]).sum(), z)[0]
        torch.optim.Adam([z], lr=RECALL_RATE).step()
        with torch.no_grad():
            pictures: Tensor = generator(z)
        generator.train()
        return pictures

    def prior_weights(self) -> dict[str, float]:
        """The terms that a recalled latent moves along."""
        return {name: getattr(self.hp, name) for name in ("balance", "one_hot")}

    def memorise(self, new: Tensor, old: Tensor | None) -> Losses:
        """One step of the auto-encoder on half of the new pictures and its own dreams, through picture and teacher."""
        half = new[: self.step_pictures // 2]
        targets = half if old is None else torch.cat([half, old])
        noise = self.noise(len(targets))
        pictures, mean, log_var = self.dreamer.module(targets, noise)
        loss = F.l1_loss(pictures, targets) + l1(self.ask(targets), self.teacher(pictures))
        self.dreamer.update(loss + LATENT_WEIGHT * gaussian_prior(mean, log_var))
        return {"memory": loss}
