"""Distillation from a pool of images that are made by optimisation, a round at a time.

A round optimises one batch of images under the frozen teacher T, for given classes y and against the student S, keeps
its best state in a bounded pool, and then trains the student on images of the pool; v is a random view of an image:

    L_x = lambda_bn BN(v(x)) + lambda_oh CE(T(v(x)), y) - lambda_adv D(T(v(x)), S(v(x)))        L_S = KL_tau(T || S)

A method of this family is a file in ``methods/`` that says what is optimised: pixels, latents, weights of a generator.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from okdbench.core.errors import HyperparameterError
from okdbench.core.protocol import Budget
from okdbench.data.dataset import Augmentation
from okdbench.data.loader import Batch
from okdbench.distill.adversarial import LR_STUDENT, SAMPLE_COUNT, WEIGHT
from okdbench.distill.card import BaseHyperparameters, Deviation, hyper
from okdbench.distill.finetune import ChainHyperparameters
from okdbench.distill.losses import batch_norm_l2, kl
from okdbench.distill.method import Losses, Method, Stage
from okdbench.distill.networks.wrapper import BatchStatistics, ClassifierOutput, Feature
from okdbench.distill.optim import Learner, Schedule, cosine, sgd
from okdbench.distill.pool import Pool

#: of the methods after CMI's release
POOL_DRAWS = Deviation(
    "student's batches",
    "all images of the pool in turn",
    "drawn with replacement",
    where="datafree/utils/_utils.py",
)


class SynthesisHyperparameters(ChainHyperparameters):
    """Hyper-parameters of every method here."""

    rounds: int = hyper(200, "rounds of synthesis and training; fewer where the budget has fewer steps", ge=1)
    warm_up_rounds: int = hyper(0, "rounds of synthesis alone before them", ge=0)
    student_steps: int | None = hyper(
        None, "steps of the student in each round, instead of its share of the budget", ge=1
    )
    synthesis_steps: int = hyper(200, "steps of optimisation of a round", ge=1)
    synthesis_batch: int | None = hyper(None, "images that a round makes; none: as a training batch", ge=2)
    pool_size: int = hyper(51_200, "images in the pool, one byte per pixel and channel; the oldest go first", ge=2)
    lr_images: float = hyper(1e-3, "learning rate of Adam, what is optimised", gt=0, le=10, search=(1e-3, 0.3))
    bn: float = hyper(1.0, "weight of the batch-norm statistics", ge=0, search=WEIGHT)
    one_hot: float = hyper(1.0, "weight of the cross-entropy with the given classes", ge=0, search=WEIGHT)
    adversarial: float = hyper(1.0, "weight of -D(teacher, student)", ge=0)
    lr_student: float = hyper(0.1, "learning rate of SGD with momentum 0.9; cosine to 0", gt=0, le=1, search=LR_STUDENT)
    weight_decay: float = hyper(1e-4, "weight decay, student", ge=0, le=1)
    temperature: float = hyper(20.0, "temperature tau of the student's loss", gt=0, le=100)


class Round:
    """What a round remembers between its steps: the given classes, and the tensors of its lowest loss."""

    def __init__(self) -> None:
        self.labels = torch.empty(0)
        self.best: dict[str, Tensor] = {}
        self._loss = torch.tensor(torch.inf)

    def begin(self, labels: Tensor, below_last: bool = False) -> None:
        """Forget the last round, but its lowest loss if ``below_last``; ``labels`` has the class of each image."""
        self.labels, self.best = labels, {}
        if not below_last:
            self._loss = torch.full((), torch.inf, device=labels.device)

    def offer(self, loss: Tensor, tensors: Mapping[str, Tensor], always: bool = False) -> None:
        """Keep copies of these tensors if their loss is the lowest so far, or ``always``."""
        # Chosen on the device, because a GPU would have to finish all its work before a loss of its could be read.
        better = (loss.detach() < self._loss) | always
        self.best = {
            name: torch.where(better, tensor.detach(), self.best[name]) if self.best else tensor.detach().clone()
            for name, tensor in tensors.items()
        }
        self._loss = torch.minimum(loss.detach(), self._loss)

    def state_dict(self) -> dict[str, Any]:
        """Classes, lowest loss and its tensors."""
        return {"labels": self.labels, "best": self.best, "loss": self._loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.labels, self.best, self._loss = state["labels"], state["best"], state["loss"]


class Synthesis(Method):
    """Rounds of ``synthesis_steps`` steps of optimisation and an equal share of the student's steps."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = SynthesisHyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"smoke": {"rounds": 2, "synthesis_steps": 4, "pool_size": 64}}
    data_free = True
    #: whether the images of a round have every class in turn, and not drawn ones
    every_class_in_turn: ClassVar[bool] = False
    #: weights of terms that read the teacher's batch norms
    norm_terms: ClassVar[tuple[str, ...]] = ("bn",)
    hp: Any

    @classmethod
    def images_learned(cls, hp: Any, budget: Budget) -> int:
        """Those of the requested number of steps, if there is one."""
        steps: int | None = hp.student_steps
        return hp.rounds * steps * budget.batch_size if steps else super().images_learned(hp, budget)

    def setup(self) -> None:
        """Create the pool and the learners for the whole budget.

        Raises:
            UserError: the teacher lacks statistics that a term needs.
        """
        hp, task = self.hp, self.task
        needed = {name: 0 for name in self.norm_terms if getattr(hp, name)}
        if needed and not self.teacher.norm_layers():
            raise HyperparameterError("this teacher has no batch-norm statistics to match", **needed)
        steps = max(1, task.student_images // task.batch_size)
        self.rounds = hp.rounds if hp.student_steps else min(hp.rounds, steps)
        #: the student's steps of each round
        self.distillation_steps: int = hp.student_steps or steps // self.rounds
        self.batch_size: int = hp.synthesis_batch or task.batch_size
        #: images of all rounds
        self.made = (hp.warm_up_rounds + self.rounds) * self.batch_size
        self.pool = self.state["pool"] = Pool(min(hp.pool_size, self.made), task.channels, task.image_size, task.device)
        self.round = self.state["round"] = Round()
        self.source = self.make_source()
        optimizer = sgd(self.student, hp.lr_student, weight_decay=hp.weight_decay)
        self.learner = self.own("student", self.student, optimizer, self.schedule())
        #: of the running round, counted from 0; below 0 in the warm-up
        self.round_number = 0

    def schedule(self) -> Schedule:
        """Factor of the student's learning rate."""
        return cosine(self.rounds * self.distillation_steps)

    @abstractmethod
    def make_source(self) -> Learner:
        """A learner of what is optimised, for all rounds."""

    def stages(self) -> list[Stage]:
        """Rounds of synthesis alone, if there are some, then rounds of both."""
        synthesis: int = self.hp.synthesis_steps
        period = synthesis + self.distillation_steps
        stages = [Stage("data-free", self.rounds * period, self.round_step, period=period)]
        if self.hp.warm_up_rounds:
            stages.insert(0, Stage("warm-up", self.hp.warm_up_rounds * synthesis, self.warm_up_step))
        return stages

    def warm_up_step(self) -> Losses:
        """A step of a round that has no training of the student."""
        number, place = divmod(self.clock.step, self.hp.synthesis_steps)
        self.round_number = number - self.hp.warm_up_rounds
        return self.synthesis_step(place)

    def round_step(self) -> Losses:
        """A step of synthesis or of the student, by the place in the round."""
        self.round_number, place = divmod(self.clock.step, self.hp.synthesis_steps + self.distillation_steps)
        return self.synthesis_step(place) if place < self.hp.synthesis_steps else self.distillation_step()

    # Images

    @property
    def mirrors(self) -> bool:
        """Whether an image and its mirror image have the same class."""
        return Augmentation.FLIP in self.task.augmentation

    def synthesis_step(self, place: int) -> Losses:
        """Step ``place`` of a round, counted from 0: one update of what is optimised."""
        if not place:
            self.round.begin(self.draw_labels(), self.continues())
            self.begin_round()
        images = self.render()
        terms = self.terms(images)
        loss = self.weighted_sum(terms)
        self.keep(loss, images)
        self.source.update(loss)
        self.after_update()
        if place == self.hp.synthesis_steps - 1:
            self.end_round()
        return terms

    def draw_labels(self) -> Tensor:
        """The classes of the images of a round, drawn uniformly or every class in turn."""
        if self.every_class_in_turn:
            return torch.arange(self.batch_size, device=self.task.device) % self.task.classes
        return torch.randint(self.task.classes, (self.batch_size,), generator=self.task.rng, device=self.task.device)

    def continues(self) -> bool:
        """Whether images are kept only below the lowest loss of the last round."""
        return False

    @abstractmethod
    def begin_round(self) -> None:
        """Draw anew what is optimised."""

    @abstractmethod
    def render(self) -> Tensor:
        """The raw images as they are now, with gradients to what is optimised."""

    def view(self, images: Tensor) -> Tensor:
        """A random view of raw images, as teacher and student see them in the loss."""
        return self.task.augment(images)

    def terms(self, images: Tensor) -> Losses:
        """The terms that have a weight, each to be minimised."""
        view = self.view(images)
        return self.inversion_terms(view, self.teacher.forward_with_features(view, *self.features()))

    def inversion_terms(self, view: Tensor, output: ClassifierOutput) -> Losses:
        """The terms of one view, of which the teacher gave this output."""
        terms = {"one_hot": F.cross_entropy(output.logits, self.round.labels)} if self.hp.one_hot else {}
        if self.hp.bn:
            terms["bn"] = self.bn_term(output.bn)
        if self.adversary_plays():
            with self.student.eval_mode():
                terms["adversarial"] = -self.divergence(output.logits, self.student(view))
        return terms

    def bn_term(self, statistics: list[BatchStatistics]) -> Tensor:
        """The distance of a batch's statistics from the teacher's."""
        return batch_norm_l2(statistics, per_layer=True)

    def adversary_plays(self) -> bool:
        """Whether the student is the images' adversary in this step."""
        return bool(self.hp.adversarial)

    def features(self) -> list[Feature]:
        """What the terms read of the teacher beside the logits."""
        return ["biased_bn"] if self.hp.bn else []

    @abstractmethod
    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """D(T, S), which the images maximise."""

    def weighted_sum(self, terms: Losses) -> Tensor:
        """Sum of the terms, each times the hyper-parameter of its name."""
        return torch.stack([getattr(self.hp, name) * term for name, term in terms.items()]).sum()

    def keep(self, loss: Tensor, images: Tensor) -> None:
        """Remember these images if none of the round had a lower loss."""
        self.round.offer(loss, {"images": images})

    def after_update(self) -> None:
        """Called after each update of what is optimised."""

    def end_round(self) -> None:
        """Put the best images of the round into the pool."""
        self.pool.add(self.round.best["images"], self.round.labels)

    # Student

    def distillation_step(self) -> Losses:
        """One update of the student on images of the pool, augmented as images of the data set are."""
        images = self.task.augment(self.pool.sample(self.task.batch_size, self.task.rng).images)
        loss = kl(self.teacher.targets(images), self.student(images), self.hp.temperature)
        self.learner.update(loss)
        return {"disagreement": loss}

    # Figures

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:  # noqa: ARG002 - shows images of the pool alone
        """The newest images of the pool."""
        return {"pool": self.pool.newest(SAMPLE_COUNT)}
