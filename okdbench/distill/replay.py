"""Memories of generated images, and adversarial distillation of a student that replays them.

After PRE-DFKD (Binici et al., 2022) and the released code of LTR (Patel et al., 2023): the memory is a ring buffer of
stored batches, or a variational auto-encoder (VAE) that generates them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.distill.adversarial import LN_10, LR_GENERATOR, QUICK, WEIGHT, DataFree, SGDHyperparameters
from okdbench.distill.card import BaseHyperparameters, Deviation, hyper, legacy
from okdbench.distill.losses import clamped_js, gaussian_prior, js, kl, l1
from okdbench.distill.method import Losses
from okdbench.distill.networks.generators import Encoder, Generator, HeadKind, sample
from okdbench.distill.optim import adam, forward_without_buffers

# Constants of the released code, whose batches have B new and B / 8 replayed images
#: number of new images per replayed one
NEW_PER_REPLAYED = 8
#: number of student steps per iteration in which the VAE is updated
VAE_STEPS = 4
#: learning rate of the one Adam step on the latents of replayed images
LATENT_LR = 0.02
#: weight of the KL divergence to the prior in the VAE's loss
VAE_KL_WEIGHT = 1e-5
#: deviations of the methods after PRE-DFKD's release
PRE_RELEASE = (
    Deviation(
        "first push to the buffer",
        "release of LTR: after the first epoch",
        "after the first iteration",
        where="gaurav104/LRA@5a5dd67 src/agents/predfkd_meta_memory.py:277",
    ),
    Deviation("student's schedule", "release: cosine, per epoch", "cosine, per update", where="main.py:24-30, :93"),
)


class Buffer:
    """A ring buffer of the last ``capacity`` batches that were pushed."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.pushed = capacity, 0
        # Capacity x batch; made by the first push, which knows the shape of a batch.
        self._rows = torch.empty(0)

    @property
    def batches(self) -> Tensor:
        """The stored batches, in the order of their places."""
        return self._rows[: self.pushed]

    def push(self, images: Tensor) -> None:
        """Store a copy, in place of the oldest batch if the buffer is full."""
        if not self.pushed:
            self._rows = images.new_zeros((self.capacity, *images.shape))
        self._rows[self.pushed % self.capacity] = images
        self.pushed += 1

    def sample(self, rng: torch.Generator) -> Tensor | None:
        """One stored batch, chosen uniformly; None if the buffer is empty."""
        if not self.pushed:
            return None
        # Chosen on the device, because a GPU would have to finish all its work before a number of its could be read.
        number = torch.randint(len(self.batches), (1,), generator=rng, device=rng.device)
        return self._rows.index_select(0, number)[0]

    def state_dict(self) -> dict[str, Any]:
        """Batches and count, as tensors and plain types."""
        return {"pushed": self.pushed, "batches": self._rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.pushed, self._rows = state["pushed"], state["batches"]


class VAEMemory(nn.Module):
    """A variational auto-encoder of images: an encoder and a memory generator."""

    def __init__(self, encoder: Encoder, generator: Generator) -> None:
        super().__init__()
        self.encoder, self.generator = encoder, generator

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions of raw images, and mean and log-variance of their latents."""
        mean, log_var = self.encoder(images)
        return self.generator(sample(mean, log_var, noise)), mean, log_var


class RehearsalHyperparameters(SGDHyperparameters):
    """Adversarial training as in PRE-DFKD and LTR, and their memories."""

    latent: int = hyper(1000, "latent dimensions", paper=1000, ge=2, le=4096)
    head: HeadKind = hyper("tanh_bn", "end of the generator", paper="tanh_bn")
    stem: int = hyper(2, "channels of the generator's first stage, in widths", paper=2, ge=1, le=8)
    spectral_norm: bool = hyper(True, "spectral normalisation of the generator's convolutions", paper=True)
    lr_generator: float = hyper(
        0.02, "learning rate of Adam, generator; cosine to 0", paper=0.02, gt=0, le=1, search=LR_GENERATOR
    )
    inner_steps: int = hyper(10, "student steps per generator step", paper=10, ge=1, le=100)
    adversary: Literal["js", "kl"] = hyper("js", "divergence that the generator maximises; js at temperature 3")
    one_hot: float = hyper(1.0, "weight of the teacher's confidence", paper=1, ge=0, search=WEIGHT)
    balance: float = hyper(
        5 / LN_10, "weight of the class balance, in nats: 5 / ln 10", paper=5 / LN_10, ge=0, search=(0.2, 20.0)
    )
    activation: float = hyper(
        0.1, "weight of the size of the penultimate features", paper=0.1, ge=0, search=(0.01, 1.0)
    )
    bn: float = hyper(0.0, "weight of the batch-norm statistics; 1 in other methods", paper=0, ge=0)
    imitation: Literal["l1", "kl"] = hyper("l1", "loss of the student: mean |T - S| of logits, or KL", paper="l1")
    memory: Literal["buffer", "generative"] = hyper("buffer", "ring buffer or variational auto-encoder")
    capacity: int = hyper(10, "batches in the buffer", paper=10, ge=1, when={"memory": "buffer"})
    pushes: int = hyper(80, "batches stored in a run", paper=80, ge=1, when={"memory": "buffer"})
    lr_memory: float = hyper(
        5e-4, "learning rate of Adam, auto-encoder", paper=5e-4, gt=0, le=1, when={"memory": "generative"}
    )
    legacy_clamped_js: bool = legacy(
        "JS clamped to [0.01, 0.99], mean over classes",
        "unclamped, summed over classes",
        "gaurav104/LRA@5a5dd67 src/graphs/losses/kd_losses.py:19",
    )
    legacy_student_train_mode: bool = legacy(
        "student in train mode in the generator's step",
        "eval mode",
        "gaurav104/LRA@5a5dd67 src/agents/predfkd_meta_memory.py:368",
    )


class Rehearsal(DataFree):
    """The student learns from new images and from replayed ones, together in batches of the usual size."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = RehearsalHyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {**DataFree.presets, "quick": QUICK}

    def setup(self) -> None:
        """Create networks, learners and the memory.

        Raises:
            UserError: the teacher lacks statistics that a term needs, or the image size suits no generator.
        """
        super().setup()
        hp = self.hp
        self.buffer = self.state["memory"] = Buffer(hp.capacity)
        self.inner_step_index = 0
        if hp.memory == "generative":
            encoder = Encoder(hp.latent, self.task.image_size, 0, hp.generator_width, self.task.channels)
            # as released, without the spectral normalisation of the other generator
            options = {**self.generator_options(), "spectral": False}
            vae = VAEMemory(encoder, Generator(hp.latent, self.task.image_size, **options))
            self.vae = self.own("memory", vae, adam(vae, hp.lr_memory))
            # it is also called without the encoder, which the auto-encoder's hook does not count
            self.task.meter.watch("memory generator", vae.generator)

    @property
    def batch_size(self) -> int:
        """Number of new images in each step: 8/9 of a batch, so that new and replayed images make a batch."""
        return self.step_images - self.replay_size

    @property
    def replay_size(self) -> int:
        """Number of replayed images in each step."""
        # at least two, because batch norm has no variance of one sample
        return max(2, round(self.step_images / (NEW_PER_REPLAYED + 1)))

    def iteration(self) -> Losses:
        """One generator step, the student steps and, at some iterations, a push to the buffer."""
        self.inner_step_index = 0
        losses = super().iteration()
        if self.hp.memory == "buffer" and self.is_push_due(self.clock.step):
            self.buffer.push(self.newest[: self.replay_size])
        return losses

    def is_push_due(self, step: int) -> bool:
        """True in the first iteration, and ``pushes`` times in total if there are that many iterations."""
        pushes: int = self.hp.pushes
        return step * pushes // self.iterations > (step - 1) * pushes // self.iterations

    # Student

    def student_step(self) -> Losses:
        """One update on new and replayed images; on new ones alone while the memory is empty."""
        new, old = self.sample_images(), self.sample_memory()
        new_targets = self.teacher.targets(new)
        if old is None:
            seen, targets = [new], [new_targets]
            losses = self.distill_step(new, new_targets)
        else:
            seen, targets = [new, old], [new_targets, self.teacher.targets(old)]
            losses = self.replay_step(new, new_targets, old, targets[1])
        if self.hp.memory == "generative" and self.inner_step_index < VAE_STEPS:
            losses |= self.update_vae(seen, targets)
        self.newest, self.inner_step_index = new, self.inner_step_index + 1
        return losses

    def replay_step(self, new: Tensor, new_teacher_logits: Tensor, old: Tensor, old_teacher_logits: Tensor) -> Losses:
        """One update of the student: L_Acq(theta) + L_Ret(theta).

        Args:
            new: newly generated images.
            new_teacher_logits: the teacher's logits on them.
            old: images from the memory.
            old_teacher_logits: the teacher's logits on them.
        """
        # two forwards: each has batch statistics of its own, and only the new images move the running statistics
        acquisition = self.student_loss(new_teacher_logits, self.student(new))
        retention = self.student_loss(old_teacher_logits, forward_without_buffers(self.student, old))
        self.learner.update(acquisition + retention)
        return {"disagreement": acquisition, "retention": retention}

    def adversary_logits(self, images: Tensor) -> Tensor:
        """The student's logits in the generator step: in eval mode, unless the release is restored."""
        return self.student(images) if self.hp.legacy_student_train_mode else super().adversary_logits(images)

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """JS at temperature 3, or KL; the generator's gradient flows through the student alone."""
        teacher_logits = teacher_logits.detach()  # as released: PRE-DFKD detaches them in this term only
        if self.hp.legacy_clamped_js:
            return clamped_js(teacher_logits, student_logits)
        return js(teacher_logits, student_logits) if self.hp.adversary == "js" else kl(teacher_logits, student_logits)

    def student_loss(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """d(T, S): mean absolute difference of logits, or KL."""
        return l1(teacher_logits, student_logits) if self.hp.imitation == "l1" else kl(teacher_logits, student_logits)

    # Memory

    def sample_memory(self) -> Tensor | None:
        """Replayed images for one student step; None if there are none yet."""
        if self.hp.memory == "buffer":
            return self.buffer.sample(self.task.rng)
        return self.sample_vae() if self.clock.step else None

    def sample_vae(self, train: bool = False) -> Tensor:
        """Images of the memory generator, after one Adam step of their latents towards confident, balanced predictions.

        The latents minimise sum_i lambda_i prior_i(T(G_m(z))) + mean (var z - 1)^2 + mean (mean z)^2.

        Args:
            train: whether the generator is in train mode, where its running statistics follow these images.
        """
        generator = self.vae.module.get_submodule("generator").train(train)
        z = self.noise(self.replay_size).requires_grad_()
        teacher_output = self.teacher.forward_with_features(generator(z))
        spread = (z.var(0) - 1).square().mean() + z.mean(0).square().mean()  # keeps z close to N(0, I)
        priors = [
            weight * self.available_priors()[name](teacher_output) for name, weight in self.prior_weights().items()
        ]
        z.grad = torch.autograd.grad(torch.stack([*priors, spread]).sum(), z)[0]
        torch.optim.Adam([z], lr=LATENT_LR).step()  # new in each call, so without momentum
        with torch.no_grad():
            images: Tensor = generator(z)
        generator.train()
        return images

    def prior_weights(self) -> dict[str, float]:
        """Weights of the terms that the latents of replayed images minimise."""
        return {name: getattr(self.hp, name) for name in ("balance", "one_hot")}

    def update_vae(self, seen: Sequence[Tensor], targets: Sequence[Tensor]) -> Losses:
        """One update of the auto-encoder on half of the new images and on replayed ones.

        L = reconstruction(x', x) + 1e-5 KL(q(z | x) || N(0, I)), with the reconstruction x'.

        Args:
            seen: new images and, if there are any, replayed ones.
            targets: the teacher's logits on them.
        """
        half = len(seen[0]) // 2
        x, x_targets = (torch.cat([parts[0][:half], *parts[1:]]) for parts in (seen, targets))
        images, mean, log_var = self.vae.module(x, self.noise(len(x)))
        loss = self.reconstruction(images, x, x_targets)
        self.vae.update(loss + VAE_KL_WEIGHT * gaussian_prior(mean, log_var))
        return {"memory": loss}

    def reconstruction(self, images: Tensor, x: Tensor, x_teacher_logits: Tensor) -> Tensor:
        """Of images x and their reconstructions x': mean |x' - x| + mean |T(x') - T(x)|."""
        return F.l1_loss(images, x) + l1(x_teacher_logits, self.teacher(images))
