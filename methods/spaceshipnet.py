"""SpaceshipNet: images whose features inside the generator were exchanged, and activation maps for the student."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from okdbench.api import Card, Deviation, HyperparameterError, Losses, Paper, TaskKind, Track, hyper, legacy
from okdbench.distill.activation_maps import Kind, Pair, outputs_of
from okdbench.distill.adversarial import QUICK, WEIGHT
from okdbench.distill.feature_pool import STORED, FeaturePool
from okdbench.distill.generator_synthesis import GeneratorSynthesis, GeneratorSynthesisHyperparameters
from okdbench.distill.losses import kl
from okdbench.distill.networks.generators import Decoder
from okdbench.distill.views import exchanged

#: first stages of the generator, whose feature maps are kept
TAPS = 3
#: what each kind of maps is made of
SOURCES: dict[Kind, str] = {
    "cam": "feature maps of equal size whose mean the last layer reads",
    "grad_cam": "stages with feature maps of equal size",
}
#: the release's
CODE, SCRIPT = "code/SpaceshipNet", "scripts/DFKD_Cifar100_ResNet34_ResNet18_V37_conv012_seed40.yaml"
V37 = f"{CODE}/models/model_CFE_mSARC_bases/model_CFE_mSARC_base_V37.py"


class SpaceshipNet(GeneratorSynthesis):
    """L_x = BN + CE(T, y) / 2, for a generator; L_S = KL_30(T || S) + MSE of CAM maps + MSE of Grad-CAM maps of stages.

    The student's images are decoded from stored feature maps of one of the generator's first three stages. In most
    steps, each image takes a random half of the channels from another one.
    """

    card = Card(
        title="Data-Free Knowledge Distillation via Feature Exchange and Activation Region Constraint",
        venue="CVPR",
        year=2023,
        url="https://cvpr.thecvf.com/virtual/2023/poster/21071",
        release="skgyu/SpaceshipNet@30a76b0",
        reads=("teacher logits, input gradients, batch-norm statistics and feature maps",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        paper={"rounds": 200, "synthesis_steps": 200, "latent": 256, "generator_width": 64, "head": "sigmoid"}
        | {"stem": 2, "lr_images": 1e-3, "bn": 1.0, "lr_student": 0.1, "weight_decay": 1e-4},
        deviations=(
            Deviation(
                "CAM maps",
                "of networks with global average pooling",
                "on if both have it, with maps of equal size",
                where=f"{V37} cope_fclikeconv",
            ),
            Deviation(
                "Grad-CAM maps",
                "of the first four stages of one family of networks",
                "of all stages; on if the sizes of their maps agree",
                where=f"{CODE}/networks/resnet_cifar_1028.py; {CODE}/networks/vgg_1028_R2.py",
            ),
            Deviation(
                "gradients of Grad-CAM",
                "of all parameters, so that hooks see those of the maps",
                "of the maps alone: they are the same",
                where=f"{V37} gradcam_cope",
            ),
            Deviation(
                "stored maps",
                "float32, of all images",
                "float16, of the newest; of all at budget paper",
                where=f"{CODE}/datafree/utils/_utils_skyu.py",
            ),
            Deviation("student's batches", "all stored maps in turn", "drawn with replacement", where=f"{V37} train_S"),
            Deviation("mirrored images", "always", "where the data set's own augmentation mirrors", where=V37),
            Deviation(
                "student's first weights",
                "Xavier's",
                "those of the run, which all methods have",
                where=f"{SCRIPT} student_net.init",
            ),
            Deviation("generator's first weights", "He's", "PyTorch's", where=f"{CODE}/networks/init.py"),
            Deviation(
                "learning rate", "falls after a round", "after each step", where=f"{CODE}/train/train_cvpr2023.py"
            ),
        ),
    )

    class Hyperparameters(GeneratorSynthesisHyperparameters):
        """Values of the release for CIFAR-100, ResNet-34 to ResNet-18."""

        pool_size: int = hyper(
            10_240, "images whose maps are kept: 2 GiB at width 64, 32 pixels; the oldest go first", paper=51_200, ge=2
        )
        lr_latents: float = hyper(0.0, "learning rate of the latents; not optimised by default", paper=0, ge=0, le=10)
        one_hot: float = hyper(
            0.5, "weight of the cross-entropy with the given classes", paper=0.5, ge=0, search=WEIGHT
        )
        adversarial: float = hyper(0.0, "weight of -D(teacher, student)", paper=0, ge=0)
        temperature: float = hyper(30.0, "temperature tau of the student's loss", paper=30, gt=0, le=100)
        exchange: float = hyper(0.7, "probability that the images of a step exchange channels", paper=0.7, ge=0, le=1)
        cam: float | None = hyper(None, "weight of the CAM maps; none: 1 if both networks have them", paper=1, ge=0)
        grad_cam: float | None = hyper(
            None, "weight of the Grad-CAM maps; none: 1 if those of both networks have equal sizes", paper=1, ge=0
        )
        legacy_mean_reduction: bool = legacy(
            "KL divided by the number of classes, which makes the maps weigh more",
            "summed over classes",
            f"{V37} train_S",
        )

    presets = {
        **GeneratorSynthesis.presets,
        # The generator has few steps. LeNet's last map is one pixel, so its Grad-CAM map is as large as a logit, and a
        # student with the release's learning rate diverges.
        "quick": {**QUICK, "rounds": 5, "synthesis_steps": 150, "lr_images": 5e-3, "lr_student": 0.02},
    }
    papers: ClassVar = {
        "": Paper(256, {"pool_size": 51_200, "student_steps": 2000}, SCRIPT, "400 rounds for Tiny-ImageNet")
    }

    every_class_in_turn = True

    def setup(self) -> None:
        """Create networks and learners, and find the maps that teacher and student both have.

        Raises:
            HyperparameterError: a term has a weight, but a network lacks its maps.
        """
        super().setup()
        hp, task, generator = self.hp, self.task, self.images.generator
        self.taps = generator.stage_layers()[:TAPS]
        self.decoder = Decoder(generator)
        task.meter.watch("generator", self.decoder)
        self.maps = self.state["maps"] = FeaturePool(min(hp.pool_size, self.made), self.tap_shapes(), task.device)
        # Drawn before the first step: on a GPU, a step would have to wait for a number that decides what it computes.
        steps = self.rounds * (hp.synthesis_steps + self.distillation_steps)
        self.choices = torch.randint(len(self.taps), (steps,), generator=task.rng, device=task.device).tolist()
        self.pair = Pair(self.teacher, self.student, task.image_size)
        self.weights = {kind: weight for kind in SOURCES if (weight := self.weight_of(kind))}

    @torch.no_grad()
    def tap_shapes(self) -> list[torch.Size]:
        """Shapes of the maps of one image at the end of each stage that is kept."""
        generator = self.images.generator.eval()
        with outputs_of(*self.taps) as maps:
            generator(torch.zeros(1, generator.latent, device=self.task.device))
        generator.train()
        return [output.shape[1:] for output in maps.values()]

    def weight_of(self, kind: Kind) -> float:
        """The weight of a kind of maps; 0 by default where a network lacks them."""
        given: float | None = getattr(self.hp, kind)
        if given and not self.pair.have(kind):
            raise HyperparameterError(f"teacher and student have no {SOURCES[kind]}", **{kind: 0})
        return float(self.pair.have(kind)) if given is None else given

    # Images

    def render(self) -> Tensor:
        with outputs_of(*self.taps) as maps:
            images = super().render()
        self.rendered = {f"maps {place}": output.detach().to(STORED) for place, output in enumerate(maps.values())}
        return images

    def keep(self, loss: Tensor, images: Tensor) -> None:
        self.round.offer(loss, {"images": images, **self.rendered})

    def end_round(self) -> None:
        super().end_round()
        self.maps.add([self.round.best[name] for name in self.rendered])

    # Student

    @torch.no_grad()
    def decoded(self) -> Tensor:
        """New images of stored maps, decoded by the generator as it is now."""
        tap, hp, rng = self.choices[self.clock.step], self.hp, self.task.rng
        maps = exchanged(self.maps.sample(tap, self.task.batch_size, rng), hp.exchange, rng)
        images: Tensor = self.decoder.eval()(maps, tap)
        self.decoder.train()
        return images

    def distillation_step(self) -> Losses:
        """One update of the student on decoded images, augmented as images of the data set are."""
        images = self.task.augment(self.decoded())
        teacher_logits, student_logits, terms = self.pair.compare(images, self.weights)
        divergence = self.student_loss(teacher_logits, student_logits)
        self.learner.update(divergence + sum(weight * terms[kind] for kind, weight in self.weights.items()))
        return {"disagreement": divergence, **terms}

    def student_loss(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """KL(T || S) at temperature tau."""
        # reduction="mean" of the release divides by B * C.
        classes = self.task.classes if self.hp.legacy_mean_reduction else 1
        return kl(teacher_logits, student_logits, self.hp.temperature) / classes
