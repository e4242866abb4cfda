"""4Ds: a frozen teacher's adapters learn the student's domain while the student imitates its logits and phases."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from okdbench.api import (
    BaseHyperparameters,
    Batch,
    Card,
    Deviation,
    HyperparameterError,
    Losses,
    Method,
    Paper,
    Stage,
    Track,
    UserError,
    cosine,
    hyper,
    legacy,
    sgd,
)
from okdbench.distill.losses import kl, partial_cross_entropy
from okdbench.distill.networks.fourier import AdaptedClassifier, FourierAdapter, PhaseDistance
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import drops

#: the release's epochs, and those at which the learning rate is to drop
EPOCHS, DROPS = 120, (40, 70, 100)


class FourDs(Method):
    """L_A = CE(T_A, y) + KL_4(S || T_A) of the adapters; L_S = CE(S, y) + KL_4(T_A || S) + 0.1 MSE of gated phases.

    T_A is the teacher with an adapter after each stage. The CE is on images that have a label. The method's name is as
    in the paper: a name may begin with a digit, since files are loaded by name and never written in an import.
    """

    card = Card(
        title="Direct Distillation between Different Domains",
        venue="ECCV",
        year=2024,
        url="https://arxiv.org/abs/2401.06826",
        release="tangjialiang97/4Ds@89f6aa9",
        reads=("teacher logits and feature maps", "gradients through the teacher", "student-domain images and labels"),
        tracks=(Track.LABELLED, Track.SEMI),
        deviations=(
            Deviation(
                "student's channels",
                "those of the teacher (ResNet-34 and -18)",
                "a 1x1 convolution, trained with the student, before the transform where they differ",
                where="train_student.py; distiller_zoo/mergekd.py",
            ),
            Deviation(
                "stages",
                "ResNet's layer1 to layer4, VGG's last four blocks",
                "the last four that both networks list, or as many as there are",
                where="models_da/Merge_model_da.py",
            ),
            Deviation(
                "size of the phase maps",
                "the last stage's, of 7 pixels",
                "the last stage's that has at least 3: the phases of smaller ones are 0 or pi, without a gradient",
                where="distiller_zoo/mergekd.py",
            ),
            Deviation("images without a label", "none", "all terms but cross-entropy", where="helper/loops_da.py"),
        ),
    )

    class Hyperparameters(BaseHyperparameters):
        """Values of the release."""

        lr: float = hyper(
            0.01, "learning rate of SGD, student; momentum 0.9", paper=0.01, gt=0, le=1, search=(1e-3, 0.3)
        )
        weight_decay: float = hyper(5e-4, "weight decay, student", paper=5e-4, ge=0, le=1, search=(1e-6, 1e-2))
        lr_adapters: float = hyper(
            1e-3, "learning rate of AdamW, adapters; half a cosine", paper=1e-3, gt=0, le=1, search=(1e-4, 1e-2)
        )
        epochs: int | None = hyper(None, "passes over the images, instead of the budget", paper=EPOCHS, ge=1)
        temperature: float = hyper(4.0, "temperature of both KL", paper=4, gt=0, le=100, search=(1.0, 20.0))
        soft: float = hyper(1.0, "weight of both KL", paper=1, ge=0, search=(0.1, 10.0))
        phase: float = hyper(
            0.1, "weight of the phases; 0 for a student without feature maps", paper=0.1, ge=0, search=(0.01, 1.0)
        )
        depth: int = hyper(4, "stages, from the last, that are adapted and compared", paper=4, ge=1, le=8)
        smallest_map: int = hyper(
            3, "side in pixels from which on maps are compared; phases of 1 or 2 are 0 or pi", ge=1, le=64
        )
        reduction: int = hyper(4, "channels of a stage for each one inside its adapter", paper=4, ge=1, le=64)
        legacy_teacher_bn: bool = legacy(
            "teacher in train mode: statistics of the batch, and running ones that move",
            "eval mode",
            "tangjialiang97/4Ds@33ca8fa helper/loops_da.py:18",
        )
        legacy_no_decay: bool = legacy(
            "epochs of the decay are parsed and not applied",
            "a tenth at a third, 7/12 and 5/6 of the steps",
            "tangjialiang97/4Ds@46f1d7e train_student.py:45",
        )

    hp: Hyperparameters

    # a thousand steps from random weights, where the release has thousands from ImageNet's
    presets: ClassVar = {"quick": {"lr": 0.05}}
    papers: ClassVar = {
        "": Paper(
            32,
            {"epochs": EPOCHS},
            "README.md; tangjialiang97/4Ds@46f1d7e train_student.py:38-47",
            "ImageNet weights of teacher and student; the best epoch on test images",
        )
    }

    def setup(self) -> None:
        """Create the adapters and what compares phases.

        Raises:
            UserError: the teacher has no stages with feature maps.
            HyperparameterError: no stage of the student can be compared with the teacher's.
        """
        hp, task = self.hp, self.task
        images = hp.epochs * task.train_size if hp.epochs else task.student_images
        self.steps = max(1, images // task.batch_size)
        if not (shapes := self.shapes_of(self.teacher)):
            raise UserError(
                "the teacher has no stages with feature maps, which the adapters follow; choose a convolutional "
                "network, such as --teacher resnet18"
            )
        # T_A
        if hp.legacy_teacher_bn:
            # a copy, because the task's teacher is every method's; a checkpoint has the copy's running statistics
            self.teacher = self.place("teacher", copy.deepcopy(self.teacher))
        layers = self.teacher.stage_layers()[-len(shapes) :]
        adapted = AdaptedClassifier(self.teacher, layers, [FourierAdapter(s[1], hp.reduction) for s in shapes])
        adamw = torch.optim.AdamW(adapted.parameters(), lr=hp.lr_adapters, eps=1e-4, fused=True)
        self.adapted = self.own("adapters", adapted, adamw, cosine(self.steps))
        # S, and what is trained with it
        trained = nn.ModuleList([self.student])
        if hp.phase:
            self.distance = self.place("phases", self.make_distance(shapes))
            trained.append(self.distance)
        schedule = None if hp.legacy_no_decay else drops(self.steps, [epoch / EPOCHS for epoch in DROPS])
        self.learner = self.own("student", self.student, sgd(trained, hp.lr, weight_decay=hp.weight_decay), schedule)

    def shapes_of(self, network: ClassifierWrapper) -> list[torch.Size]:
        """Of the feature maps at the end of the network's last stages; none if they are not all square maps."""
        blank = torch.zeros(2, self.task.channels, self.task.image_size, self.task.image_size, device=self.task.device)
        with torch.no_grad(), network.eval_mode():
            shapes = [maps.shape for maps in network.forward_with_features(blank, "stages").stages]
        square = all(len(shape) == 4 and shape[2] == shape[3] for shape in shapes)
        return shapes[-self.hp.depth :] if square else []

    def make_distance(self, shapes: Sequence[torch.Size]) -> PhaseDistance:
        """Of those stages, counted from the last, in which both networks have maps that are large enough."""
        own = self.shapes_of(self.student)
        common = range(-min(len(own), len(shapes)), 0)
        self.places = [p for p in common if min(own[p][-1], shapes[p][-1]) >= self.hp.smallest_map]
        if not self.places:
            problem = f"teacher and student have no stages with feature maps of {self.hp.smallest_map} pixels a side"
            raise HyperparameterError(problem, phase=0)
        return PhaseDistance([own[p][1] for p in self.places], [shapes[p][1] for p in self.places])

    def stages(self) -> Sequence[Stage]:
        return [Stage("distil", self.steps, self.step, data="partly", begin=self.begin)]

    def begin(self) -> None:
        """Let the teacher's copy normalise by the statistics of the batch."""
        if self.hp.legacy_teacher_bn:
            self.teacher.net.train()

    def step(self, batch: Batch) -> Losses:
        hp = self.hp
        output = self.student.forward_with_features(batch.images, *(("stages",) if hp.phase else ()))
        teacher_logits, phases = self.adapted.module(batch.images)
        terms = {
            "cross_entropy": partial_cross_entropy(output.logits, batch.labels),
            "kl": kl(teacher_logits.detach(), output.logits, hp.temperature),
            "adapters_cross_entropy": partial_cross_entropy(teacher_logits, batch.labels),
            "adapters_kl": kl(output.logits.detach(), teacher_logits, hp.temperature),
        }
        self.adapted.update(terms["adapters_cross_entropy"] + hp.soft * terms["adapters_kl"])
        loss = terms["cross_entropy"] + hp.soft * terms["kl"]
        if hp.phase:
            maps = [output.stages[place] for place in self.places]
            terms["phase"] = self.distance(*maps, others=[phases[place].detach() for place in self.places])
            loss = loss + hp.phase * terms["phase"]
        self.learner.update(loss)
        return terms
