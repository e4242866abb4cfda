"""Mine: distillation on noisy images of another domain than the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from okdbench.api import BaseHyperparameters, Batch, Card, Losses, Method, Stage, TaskKind, Track, adam, hyper
from okdbench.distill.losses import kl


class Mine(Method):
    """KL(teacher || student) on x + noise * n with n ~ N(0, I); no label is read."""

    card = Card(
        title="Mine: distillation on noisy images",
        venue="unpublished",
        year=2026,
        url="",
        reads=("teacher logits", "real images"),
        tasks=(TaskKind.ADAPT, TaskKind.TRANSFER),
        tracks=(Track.LABELLED, Track.LABEL_FREE),
    )

    class Hyperparameters(BaseHyperparameters):
        """One for a start; `okdbench run --set noise=0.2` changes it."""

        noise: float = hyper(0.1, "standard deviation of the noise; images are in [0, 1]", ge=0, le=1)

    hp: Hyperparameters

    def setup(self) -> None:
        # what is owned is checkpointed, so that an interrupted run resumes with the same bits
        self.learner = self.own("student", self.student, adam(self.student, lr=1e-3))

    def stages(self) -> Sequence[Stage]:
        return [Stage("distil", self.task.student_images // self.task.batch_size, self.step, data="images")]

    def step(self, batch: Batch) -> Losses:
        # images are raw, in [0, 1]; teacher and student normalise them
        noise = self.hp.noise * self.task.noise(*batch.images.shape)
        images = (batch.images + noise).clamp(0, 1)
        teacher_logits = self.teacher.targets(images)  # without gradients
        loss = kl(teacher_logits, self.student(images))
        self.learner.update(loss)
        return {"kl": loss}
