"""One method on one setting: networks, task and loop, put together so that the method reaches only what it may see."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np
import torch
from torch import Tensor, nn

from okdbench.core import devices
from okdbench.core.errors import HyperparameterError, UserError
from okdbench.core.protocol import Track
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import spell_assignments, spell_method
from okdbench.data.augmentation import kinds_of
from okdbench.data.loader import Batch, Stream
from okdbench.distill.accounting import Meter
from okdbench.distill.finetune import Chain, FineTuning, data_free_share
from okdbench.distill.method import Stage, Task, Trainable
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.results.samples import Pixels
from okdbench.training import checkpoint
from okdbench.training.evaluation import Evaluator
from okdbench.training.history import History
from okdbench.training.initial_networks import initial_network
from okdbench.training.loop import LoopConfig, TrainingLoop
from okdbench.training.plan import Plan
from okdbench.training.progress import ProgressCallback
from okdbench.training.teacher import load_user_weights, normaliser
from okdbench.training.teacher_classes import number_cure
from okdbench.training.trackers import check_installed

#: real images that a method may show beside its own
SAMPLE_IMAGES = 6
#: indices of no image
NONE = np.empty(0, np.int64)


class Trial:
    """One method and everything that its training needs.

    Validation, test and teacher-domain images go to the evaluator and nowhere else, except that rows of role
    ``privileged`` get the teacher's training images. The student starts from the same weights for every method, because
    its seed does not depend on the method.

    Args:
        plan: the run.
        teacher: the trained teacher, frozen.
        folder: where the loss log and the checkpoint are written.
        device: where to train.
        progress: called every few steps.
        log: is given losses and evaluations, as :class:`okdbench.training.loop.LoopConfig` says.
    """

    def __init__(
        self,
        plan: Plan,
        teacher: ClassifierWrapper,
        folder: Path,
        device: torch.device,
        progress: ProgressCallback,
        log: Callable[[Mapping[str, float], int], None] = lambda _numbers, _step: None,
    ) -> None:
        self.plan, self.device = plan, device
        config, splits = plan.config, plan.splits

        # --- the method: it is given the task, which reaches no image
        self.meter = Meter()
        self.rng = torch.Generator(device).manual_seed(plan.seed_for("noise"))
        if config.precision != "float32":
            teacher.make_targets_fast(plan.config.image_size)
        task = make_task(plan, teacher, self.rng, self.meter)
        # after the student is built, which has set the global generators
        torch.manual_seed(plan.seed_for("method"))
        self.method = plan.method(task, plan.hyperparameters)
        self.trainable: Trainable = self.method
        if is_fine_tuned(plan):
            remaining = plan.budget.student_images - task.student_images
            self.trainable = Chain(self.method, FineTuning(replace(task, student_images=remaining)))

        # --- the evaluation: it alone reads the other splits
        self.answer = self.method.evaluated_network
        self.evaluator = Evaluator(
            self.answer, teacher, splits.val, splits.test, splits.teacher_test, device, plan.setting.task
        )

        # --- the loop
        self._loop_config = LoopConfig(
            folder=folder,
            stream=self._stream,
            rng=self.rng,
            meter=self.meter,
            progress=progress,
            autocast=devices.autocast(device, config.precision),
            evaluate=self.evaluator,
            retention=self.evaluator.retention,
            evaluations=plan.budget.evaluations,
            track=plan.track,
            log=log,
        )

    def run(self, checkpoint_seconds: float = 20.0) -> History:
        """Train to the end, from the folder's checkpoint if it has one.

        Raises:
            NonFiniteLossError: a loss term is NaN or infinite.
            KeyboardInterrupt: interrupted; the state after the last complete step has been saved.
        """
        config = replace(self._loop_config, checkpoint_seconds=checkpoint_seconds)
        return TrainingLoop(self.trainable, self.answer, config).run()

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.trainable.stages())

    def samples(self) -> dict[str, Pixels]:
        """Images that the method wants to be looked at; random generators and the meter are left as they were.

        If the method fails here, its training is still valid, so the failure is a warning.
        """
        random, traffic = checkpoint.random_state(self.rng), self.meter.state_dict()
        try:
            with torch.no_grad(), self._loop_config.autocast():
                return {name: to_pixels(images) for name, images in self.method.samples(self._sample_batch()).items()}
        except Exception as error:
            warnings.warn(f"no sample images are kept: {type(error).__name__}: {error}", stacklevel=2)
            return {}
        finally:
            checkpoint.restore_random_state(random, self.rng)
            self.meter.load_state_dict(traffic)

    def _sample_batch(self) -> Batch | None:
        """A small batch for the method's samples, None when no stage has data.

        It is drawn anew instead of kept from the last step, because a resumed run does not have that.
        """
        stages = [
            replace(stage, batch_size=SAMPLE_IMAGES, augment=False) for stage in self.method.stages() if stage.data
        ]
        return self._stream(stages[-1]).batch(0) if stages else None

    def _stream(self, stage: Stage) -> Stream:
        plan = self.plan
        # by the track, so that a stage that was not refused before the run still reaches nothing that is withheld
        images = {
            "labelled": plan.access.labelled,
            "teacher_train": plan.splits.teacher_train if is_privileged(plan) else plan.splits.teacher_train.take(NONE),
        }.get(stage.data or "", plan.access.images)
        return Stream(
            images,
            batch_size=stage.batch_size or plan.budget.batch_size,
            seed=plan.seed_for("data", stage.name),
            device=self.device,
            augmentation=kinds_of(plan.dataset.augmentation) if stage.augment else (),
            labelled=stage.data != "images",
        )


def make_task(plan: Plan, teacher: ClassifierWrapper, rng: torch.Generator, meter: Meter) -> Task:
    """All that the method may see, with a new student; a method that is fine-tuned later has a share of the budget.

    Args:
        plan: the run.
        teacher: the teacher, frozen; its normaliser is shared with the student.
        rng: the run's random generator, on the device.
        meter: counts the images that pass through both networks.

    Raises:
        UserError: the student cannot be built.
    """
    share = data_free_share(plan.hyperparameters) if is_fine_tuned(plan) else 1
    net = initial_network("student", plan)
    student = ClassifierWrapper(net, teacher.normaliser).to(rng.device)
    meter.watch("teacher", teacher)
    meter.watch("student", student)
    return Task(
        teacher=teacher,
        student=student,
        classes=len(plan.dataset.classes),
        image_size=plan.config.image_size,
        channels=plan.dataset.channels,
        class_embeddings=class_embeddings(plan).to(rng.device),
        kind=plan.setting.task,
        train_size=len(plan.access.images),
        student_images=round(plan.budget.student_images * share),
        batch_size=plan.budget.batch_size,
        track=plan.track,
        normaliser=teacher.normaliser,
        augmentation=kinds_of(plan.dataset.augmentation),
        device=rng.device,
        rng=rng,
        meter=meter,
    )


def class_embeddings(plan: Plan) -> Tensor:
    """What the method knows of the classes: their text, or else which one each is."""
    if plan.class_embeddings is None:
        return torch.eye(len(plan.dataset.classes))
    return torch.from_numpy(plan.class_embeddings)


def is_fine_tuned(plan: Plan) -> bool:
    """Whether the shared fine-tuning stage follows the method."""
    return plan.track is not Track.LABEL_FREE and plan.method.is_data_free(plan.hyperparameters)


def is_privileged(plan: Plan) -> bool:
    """Whether the row sees the teacher's own training images."""
    return plan.method.card.role == "privileged"


class WithheldError(UserError):
    """A method would read what its track or task withholds."""


def check(plan: Plan) -> None:
    """Set up the method on the CPU and discard it, so that a mistake is reported before anything is computed.

    The networks are those of the run: :func:`initial_network` keeps them, and the run trains copies of them.

    Raises:
        WithheldError: a stage reads what the track or the task withholds.
        UserError: a network, a weights file or the method itself refuses.
    """
    config, cpu = plan.config, torch.device("cpu")
    check_installed(config.log_to)
    net = initial_network("teacher", plan)
    if config.teacher_weights:
        _load(net, plan)
    teacher = ClassifierWrapper(net, normaliser(plan, cpu)).lock()
    try:
        stages = plan.method(make_task(plan, teacher, torch.Generator(cpu), Meter()), plan.hyperparameters).stages()
    except HyperparameterError as error:
        # In brackets, because other methods of the command may have no such hyper-parameter.
        named = spell_method(config.method, spell_assignments({**config.hyperparameters, **error.cure}))
        raise UserError(f"{error.problem}; write {quote(named)} in place of {config.method}") from error
    except UserError:
        raise
    except Exception:  # a bug in the method: its run stores it in a record, with the traceback
        return
    if fault := _idle_share(plan):
        raise WithheldError(fault)
    for stage in stages:
        if fault := _withheld(plan, stage):
            raise WithheldError(f"stage {stage.name!r} of {config.method!r} reads {fault}")


def _load(net: nn.Module, plan: Plan) -> None:
    """Load the file of the teacher; a refusal says more of the classes where the file names them."""
    try:
        load_user_weights(net, plan)
    except UserError as error:
        if not (cure := number_cure(plan)):
            raise
        raise UserError(f"{error}; {cure}") from error


def _idle_share(plan: Plan) -> str:
    """Why a share before fine-tuning is refused where nothing follows; empty if it counts or has its default."""
    fields = type(plan.hyperparameters).model_fields
    if "data_free_share" not in fields or is_fine_tuned(plan):
        return ""
    usual = fields["data_free_share"].default
    return (
        ""
        if data_free_share(plan.hyperparameters) == usual
        else (
            f"data_free_share of {plan.config.method!r} counts only where a fine-tuning stage follows: not in the "
            f"{plan.track} track; leave it out"
        )
    )


def _withheld(plan: Plan, stage: Stage) -> str:
    """What the stage reads although it is withheld; empty if there is nothing."""
    if stage.data in ("labelled", "partly") and plan.track is Track.LABEL_FREE:
        return "labels, which the label-free track withholds"
    if stage.data == "teacher_train":
        return "" if is_privileged(plan) else "the teacher's training images, which only a row of role privileged may"
    if stage.data and plan.setting.task is TaskKind.DATA_FREE:
        return "images, which the task data-free withholds"
    return ""


def check_once(plan: Plan, checked: set[str]) -> None:
    """:func:`check` the plan, unless ``checked`` has one of its task that differs in seed and setting; then add it.

    Raises:
        WithheldError: a stage reads what the track or the task withholds.
        UserError: a network, a weights file or the method itself refuses.
    """
    kind = plan.config.model_copy(update={"seed": 0, "setting": plan.setting.task}).model_dump_json()
    if kind not in checked:
        check(plan)
        checked.add(kind)


def to_pixels(images: Tensor) -> Pixels:
    """Images, N x 1 or 3 x H x W in [0, 1] on any device, as N x H x W x 3 bytes.

    Raises:
        ValueError: they have another shape.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images are N x 1 or 3 x H x W, not {' x '.join(map(str, images.shape))}")
    # clamp() keeps NaN, which has no defined byte, so it becomes 0
    images = images.expand(-1, 3, -1, -1)
    values = images.detach().float().clamp(0, 1).nan_to_num().mul(255).round().cpu().numpy()
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1).astype(np.uint8))
