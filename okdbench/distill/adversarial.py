"""Adversarial data-free distillation: a generator against a student, with a frozen teacher.

An iteration is one generator step and several student steps, from noise alone. The generator maximises the divergence
between teacher and student and minimises priors on its images; the student minimises the divergence:

    L_G = -lambda_adv D(T(G(z)), S(G(z))) + sum_i lambda_i prior_i(T(G(z)))        L_S = D(T(G(z)), S(G(z)))

A method of this family is a file in ``methods/`` that declares its weights and overrides what it does differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from okdbench.core.errors import HyperparameterError, UserError
from okdbench.core.protocol import Budget
from okdbench.data.loader import Batch
from okdbench.distill.card import BaseHyperparameters, hyper, legacy
from okdbench.distill.finetune import ChainHyperparameters
from okdbench.distill.losses import batch_norm_l2, class_imbalance, entropy, kl, one_hotness
from okdbench.distill.method import Losses, Method, Stage
from okdbench.distill.networks.generators import Generator, HeadKind, can_generate
from okdbench.distill.networks.wrapper import ClassifierOutput, Feature
from okdbench.distill.optim import Schedule, adam, constant, cosine, drops, forward_without_buffers, sgd

Priors = dict[str, Callable[[ClassifierOutput], Tensor]]

#: term of the generator's loss -> its value for the teacher's output on generated images; all are minimised
PRIORS: Priors = {
    "one_hot": lambda output: one_hotness(output.logits),
    "entropy": lambda output: entropy(output.logits),
    "balance": lambda output: class_imbalance(output.logits),
    "bn": lambda output: batch_norm_l2(output.bn, per_layer=True),
    "activation": lambda output: -output.penultimate.abs().mean(),
}
#: term -> the feature of the teacher that it reads beside the logits
PRIOR_FEATURES: dict[str, Feature] = {"bn": "bn", "activation": "penultimate"}

#: preset of all methods at budget ``quick``: a narrow generator, which takes a fraction of the time
QUICK: dict[str, Any] = {"generator_width": 16}

#: the generator of AuG-KD's and MosaicKD's releases, for their cards
RELEASED_GENERATOR: dict[str, Any] = {"generator_width": 64, "head": "sigmoid", "stem": 4, "spectral_norm": False}

#: weights of sum p log p are in nats: w sum p log10 p = (w / ln 10) sum p ln p
LN_10 = math.log(10)

#: search ranges of okdbench tune; they hold the defaults and presets of all methods here, but not every paper's values
LR_GENERATOR, LR_STUDENT, OPTIMIZERS = (3e-4, 3e-2), (3e-4, 0.1), ("adam", "sgd")
#: the same of a weight of the generator's loss whose default is 1. The adversarial term is the unit of the others: Adam
#: hardly changes if all of them are scaled.
WEIGHT = (0.1, 10.0)

#: cosine to 0, constant, or a tenth of the learning rate from each of ``DataFree.drops`` on
ScheduleKind = Literal["cosine", "constant", "steps"]

#: generated images that a run keeps for its figures
SAMPLE_COUNT = 32


def teacher_as_student() -> Any:
    """Declare the switch of the methods that Fast-Datafree runs by its one trainer."""
    return legacy(
        "Fast-Datafree's adversary is the teacher itself",
        "the student",
        "zju-vipa/Fast-Datafree@7627110 datafree_kd.py:270",
    )


class DataFreeHyperparameters(ChainHyperparameters):
    """Hyper-parameters of every method here. A prior is active if the method declares a weight of its name."""

    latent: int = hyper(100, "latent dimensions", ge=2, le=4096)
    generator_width: int = hyper(64, "channels of the generator's last block, and of an encoder's first", ge=4, le=512)
    head: HeadKind = hyper("sigmoid", "end of the generator")
    stem: int = hyper(4, "channels of the generator's first stage, in widths", ge=1, le=8)
    spectral_norm: bool = hyper(False, "spectral normalisation of the generator's convolutions")
    lr_generator: float = hyper(1e-3, "learning rate of Adam, generator", gt=0, le=1, search=LR_GENERATOR)
    generator_beta1: float = hyper(0.9, "Adam's beta_1, generator", ge=0, lt=1)
    student_optimizer: Literal["adam", "sgd"] = hyper(
        "adam", "data-free stage; sgd has momentum 0.9", search=OPTIMIZERS
    )
    lr_student: float = hyper(1e-3, "learning rate, student, data-free stage", gt=0, le=1, search=LR_STUDENT)
    weight_decay: float = hyper(1e-4, "weight decay, student", ge=0, le=1)
    schedule_generator: ScheduleKind = hyper("cosine", "learning rate of the generator in the course of the stage")
    schedule_student: ScheduleKind = hyper("cosine", "the same of the student; steps: two drops to a tenth")
    inner_steps: int = hyper(5, "student steps per generator step", ge=1, le=100)
    data_free_steps: int | None = hyper(None, "generator steps, instead of the number that fits the budget", ge=1)
    adversarial: float = hyper(1.0, "weight of -D(teacher, student) in the generator's loss", ge=0)


class SGDHyperparameters(DataFreeHyperparameters):
    """For methods whose authors train the student with SGD."""

    student_optimizer: Literal["adam", "sgd"] = hyper(
        "sgd", "data-free stage; sgd has momentum 0.9", paper="sgd", search=OPTIMIZERS
    )
    lr_student: float = hyper(0.1, "learning rate, student, data-free stage", paper=0.1, gt=0, le=1, search=LR_STUDENT)
    weight_decay: float = hyper(5e-4, "weight decay, student, data-free stage", paper=5e-4, ge=0, le=1)


class BackboneHyperparameters(DataFreeHyperparameters):
    """The generator's loss that several methods share."""

    one_hot: float = hyper(1.0, "weight of the teacher's confidence", ge=0, search=WEIGHT)
    balance: float = hyper(20 / LN_10, "weight of the class balance, in nats: 20 / ln 10", ge=0, search=(0.8, 80.0))
    bn: float = hyper(1.0, "weight of the batch-norm statistics", ge=0, search=WEIGHT)


class DataFree(Method):
    """Iterations of one generator step and ``inner_steps`` student steps."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = DataFreeHyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"quick": QUICK, "smoke": {"generator_width": 8}}
    data_free = True
    #: largest gradient norm of generator and student; 0 disables clipping
    clip = 0.0
    #: shares of the stage after which schedule ``steps`` lowers a learning rate
    drops: ClassVar[tuple[float, ...]] = (0.4, 0.8)
    hp: Any

    @classmethod
    def images_learned(cls, hp: Any, budget: Budget) -> int:
        """Those of the requested number of steps, if there is one."""
        steps: int | None = hp.data_free_steps
        return steps * hp.inner_steps * budget.batch_size if steps else super().images_learned(hp, budget)

    @classmethod
    def takes_size(cls, image_size: int) -> bool:
        """Sizes that the generator can make."""
        return can_generate(image_size)

    def setup(self) -> None:
        """Create networks and learners for the whole budget.

        Raises:
            UserError: the teacher lacks statistics that a term needs, or the image size suits no generator.
        """
        self.prepare(self.task.student_images)

    def prepare(self, student_images: int, warm_up: int = 0) -> None:
        """Create generator and learners for a stage with a given number of training images.

        Args:
            student_images: number of images that the student learns from in the stage.
            warm_up: number of :meth:`prior_step` before the stage; the generator's schedule covers them as well.

        Raises:
            UserError: the teacher lacks statistics or features that a term needs, or the image size suits no generator.
        """
        hp = self.hp
        self.priors = {name: prior for name, prior in self.available_priors().items() if getattr(hp, name, 0)}
        if "bn" in self.priors and not self.teacher.norm_layers():
            raise HyperparameterError("this teacher has no batch-norm statistics to match", bn=0)
        if "penultimate" in self.features():
            self.require_penultimate("activation")
        self.iterations = self.count_iterations(student_images)
        generator = self.make_generator()
        optimizer = adam(generator, hp.lr_generator, betas=(hp.generator_beta1, 0.999))
        self.generator = self.own("generator", generator, optimizer, self.generator_schedule(warm_up))
        make = {"adam": adam, "sgd": sgd}[hp.student_optimizer]
        optimizer = make(self.student, hp.lr_student, weight_decay=hp.weight_decay)
        schedule = self.schedule(hp.schedule_student, self.iterations * hp.inner_steps)
        self.learner = self.own("student", self.student, optimizer, schedule)

    def require_penultimate(self, weight: str) -> None:
        """Refuse a teacher without penultimate features, which the term with this weight reads."""
        try:
            self.teacher.last_layer()
        except UserError as error:
            raise HyperparameterError(str(error), **{weight: 0}) from error

    def count_iterations(self, student_images: int) -> int:
        """Iterations in which the student learns from this many images, or the requested number."""
        requested: int | None = self.hp.data_free_steps
        return requested or max(1, student_images // (self.hp.inner_steps * self.step_images))

    def make_generator(self) -> Generator:
        """A new generator.

        Raises:
            UserError: the image size does not halve evenly.
        """
        return Generator(self.hp.latent, self.task.image_size, **self.generator_options())

    def generator_options(self) -> dict[str, Any]:
        """The other arguments of a generator."""
        hp = self.hp
        return {
            "width": hp.generator_width,
            "normaliser": self.task.normaliser,
            "head": hp.head,
            "stem": hp.stem,
            "spectral": hp.spectral_norm,
        }

    def generator_schedule(self, warm_up: int) -> Schedule:
        """That of the hyper-parameter over all of the generator's updates."""
        return self.schedule(self.hp.schedule_generator, warm_up + self.iterations)

    def schedule(self, kind: ScheduleKind, steps: int) -> Schedule:
        """A schedule of this kind over ``steps`` updates."""
        if kind == "steps":
            return drops(steps, self.drops)
        return cosine(steps) if kind == "cosine" else constant

    @property
    def step_images(self) -> int:
        """Number of images that the student learns from in each of its steps."""
        return self.task.batch_size

    @property
    def batch_size(self) -> int:
        """Number of generated images in each step."""
        return self.step_images

    def available_priors(self) -> Priors:
        """Term -> function; override it for another form of a prior."""
        return PRIORS

    def stages(self) -> Sequence[Stage]:
        """One stage of iterations."""
        return [Stage("data-free", self.iterations, self.iteration)]

    def iteration(self) -> Losses:
        """One generator step, then the student steps."""
        losses = self.generator_step(self.generator.module(self.noise()))
        for _ in range(self.hp.inner_steps):
            losses |= self.student_step()
        return losses

    def noise(self, count: int | None = None) -> Tensor:
        """Latents of one batch, or of ``count`` images: B x latent."""
        return self.task.noise(self.batch_size if count is None else count, self.hp.latent)

    # Generator

    def generator_step(self, images: Tensor) -> Losses:
        """One update of the generator on these images: maximise the divergence, minimise the priors."""
        return self.update_generator(self.generator_terms(images))

    def prior_step(self) -> Losses:
        """One update of the generator without the student, for a warm-up."""
        return self.update_generator(self.generator_terms(self.generator.module(self.noise()), adversarial=False))

    def update_generator(self, terms: Losses) -> Losses:
        """Minimise the weighted sum of the terms; without any term there is no update."""
        if terms:
            self.generator.update(self.weighted_sum(terms), clip=self.clip)
        return terms

    def forward_teacher(self, images: Tensor) -> ClassifierOutput:
        """The teacher's logits on images, with the features that the priors read."""
        return self.teacher.forward_with_features(images, *self.features())

    def features(self) -> list[Feature]:
        """What the priors read of the teacher beside the logits."""
        return [PRIOR_FEATURES[name] for name in self.priors if name in PRIOR_FEATURES]

    def generator_terms(
        self, images: Tensor, teacher_output: ClassifierOutput | None = None, adversarial: bool = True
    ) -> Losses:
        """The terms that have a weight, each to be minimised, with gradients to the images.

        Args:
            images: raw generated images.
            teacher_output: the teacher's output on them; computed by default.
            adversarial: whether to include the adversarial term.
        """
        teacher_output = teacher_output or self.forward_teacher(images)
        terms = {name: prior(teacher_output) for name, prior in self.priors.items()}
        if adversarial and self.hp.adversarial:
            terms["adversarial"] = -self.divergence(teacher_output.logits, self.adversary_logits(images))
        return terms

    def weighted_sum(self, terms: Losses) -> Tensor:
        """Sum of the terms, each times the hyper-parameter of its name."""
        return torch.stack([getattr(self.hp, name) * term for name, term in terms.items()]).sum()

    def adversary_logits(self, images: Tensor) -> Tensor:
        """The student's logits in the generator step."""
        # eval mode: the running statistics follow the student's own training images only
        with self.student.eval_mode():
            return self.student(images)  # type: ignore[no-any-return]

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """D(T, S), which the generator maximises: KL(T || S) at temperature 1."""
        return kl(teacher_logits, student_logits)

    # Student

    def student_step(self) -> Losses:
        """One update of the student on new images."""
        images = self.sample_images()
        return self.distill_step(images, self.teacher.targets(images))

    def sample_images(self) -> Tensor:
        """Images for one student step."""
        return self.generate(self.noise())

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """Images of these latents, without gradients to the generator."""
        images: Tensor = self.generator.module(z)
        return images

    def distill_step(self, images: Tensor, teacher_logits: Tensor) -> Losses:
        """One update of the student towards the teacher's logits on these images."""
        loss = self.student_loss(teacher_logits, self.student(images))
        self.learner.update(loss, clip=self.clip)
        return {"disagreement": loss}

    def student_loss(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """L_S, which the student minimises: the same divergence by default."""
        return self.divergence(teacher_logits, student_logits)

    # Figures

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:  # noqa: ARG002 - shows generated images alone
        """Some generated images."""
        # the generator stays in train mode: short runs leave running statistics far from those of a batch
        return {"generated": forward_without_buffers(self.generator.module, self.noise(SAMPLE_COUNT))}
