"""The game that data-free distillation plays: a generator against a student, with the teacher as referee.

A round is one generator step and some student steps, from noise alone. A member of the family is a file in ``methods/``
that names its weights and overrides what it does differently; here is everything that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from okdbench.core.errors import UserError
from okdbench.data.loader import Batch
from okdbench.distill.card import BaseHyperparameters, hyper
from okdbench.distill.losses import batch_norm_gap, class_imbalance, entropy, kl, one_hotness
from okdbench.distill.method import Losses, Method, Stage
from okdbench.distill.networks.generators import Generator
from okdbench.distill.networks.wrapper import Observation, Wanted
from okdbench.distill.optim import Schedule, adam, cosine, forward_without_buffers, sgd

Priors = dict[str, Callable[[Observation], Tensor]]

#: term of the generator's loss -> what it makes of the teacher's view of generated pictures; all are minimised
PRIORS: Priors = {
    "one_hot": lambda seen: one_hotness(seen.logits),
    "entropy": lambda seen: entropy(seen.logits),
    "balance": lambda seen: class_imbalance(seen.logits),
    "bn": lambda seen: batch_norm_gap(seen.bn, per_layer=True),
    "activation": lambda seen: -seen.penultimate.abs().mean(),
}
WANTED: dict[str, Wanted] = {"bn": "bn", "activation": "penultimate"}

#: what all members change at budget ``quick``, where the generator has a few dozen steps: a narrow one learns faster
QUICK: dict[str, Any] = {"generator_width": 16, "lr_generator": 1e-2}
#: the same for those whose student uses SGD
QUICK_SGD: dict[str, Any] = QUICK | {"student_optimizer": "adam", "lr_student": 1e-3}

#: generated pictures that a run keeps to be looked at
SAMPLES = 32


class DataFreeHyperparameters(BaseHyperparameters):
    """What every member has. A term of the generator's loss is on where a member declares a weight of its name."""

    latent: int = hyper(100, "latent dimensions", ge=2, le=4096)
    generator_width: int = hyper(64, "channels of the generator's last block, and of an encoder's first", ge=4, le=512)
    lr_generator: float = hyper(1e-3, "Adam, generator; cosine to 0", gt=0, le=1)
    generator_beta1: float = hyper(0.9, "Adam's beta_1, generator", ge=0, lt=1)
    student_optimizer: Literal["adam", "sgd"] = hyper("adam", "data-free stage; sgd has momentum 0.9")
    lr_student: float = hyper(1e-3, "student; cosine to 0 in the data-free stage", gt=0, le=1)
    weight_decay: float = hyper(1e-4, "student", ge=0, le=1)
    inner_steps: int = hyper(5, "student steps for each generator step", ge=1, le=100)
    data_free_steps: int | None = hyper(None, "generator steps, instead of what the budget allows", ge=1)
    adversarial: float = hyper(1.0, "weight of -D(teacher, student) in the generator's loss", ge=0)


class SGDHyperparameters(DataFreeHyperparameters):
    """Those whose authors train the student with SGD."""

    student_optimizer: Literal["adam", "sgd"] = hyper("sgd", "data-free stage; sgd has momentum 0.9", paper="sgd")
    lr_student: float = hyper(0.1, "student, data-free stage; cosine to 0", paper=0.1, gt=0, le=1)
    weight_decay: float = hyper(5e-4, "student, data-free stage", paper=5e-4, ge=0, le=1)


class BackboneHyperparameters(DataFreeHyperparameters):
    """The generator's loss that several methods share."""

    one_hot: float = hyper(1.0, "weight of the teacher's confidence", ge=0)
    balance: float = hyper(8.686, "weight of the class balance, in nats: 20 on log10", ge=0)
    bn: float = hyper(1.0, "weight of the batch-norm statistics", ge=0)


class DataFree(Method):
    """Rounds of one generator step and ``inner_steps`` student steps."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = DataFreeHyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": QUICK, "smoke": {"generator_width": 8}}
    data_free = True
    #: largest norm of a gradient of generator or student; 0: any
    clip = 0.0
    hp: Any

    def setup(self) -> None:
        """Prepare for the whole budget."""
        self.prepare(self.task.student_images)

    def prepare(self, student_images: int, warm_up: int = 0) -> None:
        """Make generator and learners for a stage in which the student learns from so many pictures.

        ``warm_up`` is the number of :meth:`prior_step` before it, over which the generator's schedule stretches.
        """
        hp = self.hp
        self.priors = {name: prior for name, prior in self.available_priors().items() if getattr(hp, name, 0)}
        if "bn" in self.priors and not self.teacher.norm_layers():
            raise UserError("this teacher has no batch-norm statistics to match; add --set bn=0")
        self.rounds = self.count_rounds(student_images)
        generator = self.make_generator()
        optimizer = adam(generator, hp.lr_generator, betas=(hp.generator_beta1, 0.999))
        self.generator = self.own("generator", generator, optimizer, self.generator_schedule(warm_up))
        make = {"adam": adam, "sgd": sgd}[hp.student_optimizer]
        optimizer = make(self.student, hp.lr_student, weight_decay=hp.weight_decay)
        self.learner = self.own("student", self.student, optimizer, cosine(self.rounds * hp.inner_steps))

    def count_rounds(self, student_images: int) -> int:
        """Rounds in which the student learns from so many pictures, or the number that was asked for."""
        asked: int | None = self.hp.data_free_steps
        return asked or max(1, student_images // (self.hp.inner_steps * self.step_pictures))

    def make_generator(self) -> Generator:
        """The generator, new."""
        return Generator(self.hp.latent, self.task.image_size, self.hp.generator_width)

    def generator_schedule(self, warm_up: int) -> Schedule:
        """Cosine to 0 over all of the generator's updates."""
        return cosine(warm_up + self.rounds)

    @property
    def step_pictures(self) -> int:
        """Pictures that the student learns from in each of its steps."""
        return self.task.batch_size

    @property
    def batch_size(self) -> int:
        """Generated pictures in each step."""
        return self.step_pictures

    def available_priors(self) -> Priors:
        """Term -> function; a member overrides it for a form of its own."""
        return PRIORS

    def stages(self) -> Sequence[Stage]:
        """One stage of rounds."""
        return [Stage("data-free", self.rounds, self.round)]

    def round(self) -> Losses:
        """One generator step, then the student's steps."""
        losses = self.generator_step(self.generator.module(self.noise()))
        for _ in range(self.hp.inner_steps):
            losses |= self.student_step()
        return losses

    def noise(self, count: int | None = None) -> Tensor:
        """Latents for one batch or for ``count`` pictures, B x latent."""
        return self.task.noise(self.batch_size if count is None else count, self.hp.latent)

    # The generator

    def generator_step(self, images: Tensor) -> Losses:
        """One step on these pictures, up the disagreement and down the priors."""
        return self.descend(self.generator_terms(images))

    def prior_step(self) -> Losses:
        """One step of the generator that leaves the student out, for a warm-up."""
        return self.descend(self.generator_terms(self.generator.module(self.noise()), adversarial=False))

    def descend(self, terms: Losses) -> Losses:
        """The generator's update down the weighted terms."""
        if terms:
            self.generator.update(self.weighted(terms), clip=self.clip)
        return terms

    def observe(self, images: Tensor) -> Observation:
        """The teacher's view of pictures, with what the priors need."""
        return self.teacher.observe(images, *(WANTED[name] for name in self.priors if name in WANTED))

    def generator_terms(self, images: Tensor, seen: Observation | None = None, adversarial: bool = True) -> Losses:
        """The terms that have a weight, each to be minimised, of raw pictures; gradients flow to them."""
        seen = seen or self.observe(images)
        terms = {name: prior(seen) for name, prior in self.priors.items()}
        if adversarial and self.hp.adversarial:
            terms["adversarial"] = -self.divergence(seen.logits, self.opinion(images))
        return terms

    def weighted(self, terms: Losses) -> Tensor:
        """Sum of the terms, each times the hyper-parameter of its name."""
        return torch.stack([getattr(self.hp, name) * term for name, term in terms.items()]).sum()

    def opinion(self, images: Tensor) -> Tensor:
        """The adversary's logits: the student in eval mode, so that its running statistics stay as they are."""
        with self.student.eval_mode():
            return self.student(images)  # type: ignore[no-any-return]

    def divergence(self, teacher_logits: Tensor, said: Tensor) -> Tensor:
        """D(teacher, student) of logits, which the generator maximises: KL(T || S) at temperature 1."""
        return kl(teacher_logits, said)

    # The student

    def student_step(self) -> Losses:
        """One step on freshly generated pictures."""
        images = self.draw()
        return self.teach(images, self.ask(images))

    def draw(self) -> Tensor:
        """Pictures for the student."""
        return self.generate(self.noise())

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """Pictures of these latents, without a way back to the generator."""
        images: Tensor = self.generator.module(z)
        return images

    @torch.no_grad()
    def ask(self, images: Tensor) -> Tensor:
        """The teacher's logits, as targets."""
        logits: Tensor = self.teacher(images)
        return logits

    def teach(self, images: Tensor, teacher_logits: Tensor) -> Losses:
        """One step of the student on these pictures towards the teacher's logits."""
        loss = self.student_loss(teacher_logits, self.student(images))
        self.learner.update(loss, clip=self.clip)
        return {"disagreement": loss}

    def student_loss(self, teacher_logits: Tensor, said: Tensor) -> Tensor:
        """What the student minimises: the same divergence."""
        return self.divergence(teacher_logits, said)

    # What it looks like

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:  # noqa: ARG002 - shows generated pictures alone
        """Some of the generator's pictures; its running statistics stay as they are."""
        return {"generated": forward_without_buffers(self.generator.module, self.noise(SAMPLES))}
