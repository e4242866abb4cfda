"""DAFL: a generator that searches for images on which the teacher is confident, without an adversary."""

from __future__ import annotations

from typing import Any, ClassVar

from okdbench.api import Card, Deviation, HyperparameterError, Losses, Paper, TaskKind, Track, hyper
from okdbench.distill.adversarial import LN_10, LR_GENERATOR, PRIORS, QUICK, DataFree, Priors, SGDHyperparameters
from okdbench.distill.networks.generators import HeadKind
from okdbench.distill.networks.wrapper import Feature

README = "huawei-noah/Efficient-Computing@38a6cfa Data-Efficient-Model-Compression/DAFL/README.md"
#: 2,000 epochs of 120 iterations
CIFAR = {
    "data_free_steps": 240_000,
    "norm_epsilon": 0.8,
    "schedule_generator": "constant",
    "schedule_student": "steps",
}


class DAFL(DataFree):
    """L_G = CE(T, argmax T) + 5 sum p log10 p - 0.1 mean|features|; L_S = KL(T || S) on the same images."""

    card = Card(
        title="Data-Free Learning of Student Networks",
        venue="ICCV",
        year=2019,
        url="https://arxiv.org/abs/1904.01186",
        release="huawei-noah/Efficient-Computing@132e841",
        reads=("teacher logits, input gradients and penultimate features",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "weights",
                "release: (0.05, 5, 0.01) CIFAR-10, (0.5, 20, 0.1) CIFAR-100",
                "its defaults (1, 5, 0.1); as released at budget paper",
                where="huawei-noah/Efficient-Computing@38a6cfa Data-Efficient-Model-Compression/DAFL/README.md:29, :35",
            ),
            Deviation("class balance", "release: log10", "the same in nats: 5 / ln 10", where="DAFL/DAFL-train.py:179"),
            Deviation(
                "generator's learning rate",
                "release: 0.02 on CIFAR, 0.2 on MNIST, constant",
                "0.02, cosine; as released at budget paper",
                where="DAFL/DAFL-train.py:35, :140",
            ),
            Deviation(
                "generator's batch norms",
                "release: an epsilon of 0.8 in its blocks",
                "1e-5; as released at budget paper",
                where="DAFL/DAFL-train.py:66, :71",
            ),
            Deviation(
                "features of LeNet-5",
                "release: the third convolution's",
                "the last but one layer's; as released on MNIST at budget paper",
                where="DAFL/lenet.py, LeNet5.forward",
            ),
            Deviation(
                "student's schedule",
                "release: x0.1 at 2/5 and 4/5",
                "cosine; as released at budget paper",
                where="DAFL/DAFL-train.py:145",
            ),
        ),
    )

    class Hyperparameters(SGDHyperparameters):
        """Values of the release on CIFAR, with its default weights."""

        latent: int = hyper(1000, "latent dimensions", paper=1000, ge=2, le=4096)
        head: HeadKind = hyper("tanh_bn", "end of the generator", paper="tanh_bn")
        stem: int = hyper(2, "channels of the generator's first stage, in widths", paper=2, ge=1, le=8)
        norm_epsilon: float = hyper(
            1e-5, "epsilon of the generator's batch norms after a doubling", paper=0.8, gt=0, le=1
        )
        lr_generator: float = hyper(
            0.02, "learning rate of Adam, generator", paper=0.02, gt=0, le=1, search=LR_GENERATOR
        )
        inner_steps: int = hyper(
            1, "student steps: one on the generator's images, the others on new ones", paper=1, ge=1
        )
        adversarial: float = hyper(0.0, "weight of -D(teacher, student) in the generator's loss", paper=0, ge=0)
        # no adversarial term by default, so this one is the unit of the others' search ranges
        one_hot: float = hyper(1.0, "weight of the teacher's confidence", paper=1, ge=0)
        balance: float = hyper(
            5 / LN_10, "weight of the class balance, in nats: 5 / ln 10", paper=5 / LN_10, ge=0, search=(0.2, 20.0)
        )
        activation: float = hyper(0.1, "weight of the size of the features", paper=0.1, ge=0, search=(0.01, 1.0))
        activation_stage: int | None = hyper(
            None, "stage that these features end; none: those before the last layer", ge=1, when={"activation": 0.1}
        )

    presets = DataFree.presets | {"quick": QUICK}
    papers: ClassVar = {
        "": Paper(1024, CIFAR, "DAFL/DAFL-train.py:143-155"),
        "cifar10": Paper(1024, {**CIFAR, "one_hot": 0.05, "activation": 0.01}, f"{README}:29"),
        "cifar100": Paper(
            1024,
            {**CIFAR, "one_hot": 0.5, "balance": 20 / LN_10},
            f"{README}:35",
            missing="CIFAR-10's mean and standard deviation",
        ),
        "mnist": Paper(
            512,
            {
                "data_free_steps": 24_000,
                "latent": 100,
                "norm_epsilon": 0.8,
                "activation_stage": 3,
                "lr_generator": 0.2,
                "student_optimizer": "adam",
                "lr_student": 2e-3,
                "weight_decay": 0.0,
                "schedule_generator": "constant",
                "schedule_student": "constant",
            },
            "DAFL/DAFL-train.py:33-42, :113-114",
        ),
    }

    def setup(self) -> None:
        stage, stages = self.hp.activation_stage, len(self.teacher.stage_layers())
        if stage and stage > stages:
            raise HyperparameterError(f"this teacher has {stages} stages", activation_stage=stages or None)
        super().setup()

    def generator_options(self) -> dict[str, Any]:
        return {**super().generator_options(), "epsilon": self.hp.norm_epsilon}

    def available_priors(self) -> Priors:
        stage = self.hp.activation_stage
        if stage is None:
            return PRIORS
        return PRIORS | {"activation": lambda output: -output.stages[stage - 1].abs().mean()}

    def features(self) -> list[Feature]:
        return super().features() if self.hp.activation_stage is None else ["stages"]

    def iteration(self) -> Losses:
        # G and S share one forward of the teacher; S trains on the images from before G's update
        images = self.generator.module(self.noise())
        teacher_output = self.forward_teacher(images)
        losses = self.update_generator(self.generator_terms(images, teacher_output))
        losses |= self.distill_step(images.detach(), teacher_output.logits.detach())
        for _ in range(self.hp.inner_steps - 1):
            losses |= self.student_step()
        return losses
