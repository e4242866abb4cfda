"""Teachers: trained once per data, architecture, seed and recipe, stored on disk and read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel
from safetensors import safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from okdbench.core.code_digest import digest_of
from okdbench.core.files import write_atomic
from okdbench.core.locks import Lock
from okdbench.core.plugins import DATASETS
from okdbench.core.protocol import PROTOCOL_VERSION, budget_named
from okdbench.data.augmentation import kinds_of
from okdbench.data.dataset import TeacherRecipe
from okdbench.data.loader import Batch, Stream
from okdbench.distill.accounting import Meter
from okdbench.distill.method import Losses, Stage, Trainable
from okdbench.distill.networks.last_layer import as_it_is, rows_of
from okdbench.distill.networks.weight_fit import load_weights
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import Schedule, adam, cosine, drops, sgd
from okdbench.training.checkpoint import CHECKPOINT
from okdbench.training.initial_networks import initial_network
from okdbench.training.loop import LoopConfig, TrainingLoop
from okdbench.training.networks import pretrained_roles
from okdbench.training.progress import ProgressCallback

if TYPE_CHECKING:
    from okdbench.training.plan import Plan

#: optimiser, learning rate and weight decay of a new network with batch norm, as most sources train it
WITH_BATCH_NORM = ("sgd", 0.1, 5e-4)
#: those of other networks, and of pretrained ones, as AuG-KD's authors train theirs
OTHERS = ("adam", 1e-3, 1e-4)
#: share of the steps in which the learning rate rises
WARM_UP = 0.1
TRAINING = "training.json"
#: the module that makes the teacher's images; nothing here imports it
_DATA_PATH = "okdbench.data.splits"


class Supervised(Trainable):
    """Cross-entropy on labelled images, by default with weight decay, linear warm-up and a cosine to zero.

    A new network with batch norm has SGD with momentum 0.9, another one Adam. The last state is the teacher: the
    teacher's domains have no validation split.

    Args:
        net: network to train.
        steps: number of updates.
        device: where it is trained.
        meter: counts its images.
        recipe: how a source trains it.
        pretrained: whether it starts from trained weights.
    """

    def __init__(
        self,
        net: ClassifierWrapper,
        steps: int,
        device: torch.device,
        meter: Meter,
        recipe: TeacherRecipe | None,
        pretrained: bool = False,
    ) -> None:
        super().__init__(device, meter)
        self._steps = steps
        self._net = net
        own = WITH_BATCH_NORM if net.norm_layers() and not pretrained else OTHERS
        name, learning_rate, weight_decay = (
            (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) if recipe else own
        )
        optimizer = {"adam": adam, "sgd": sgd}[name](net, learning_rate, weight_decay=weight_decay)
        schedule = _schedule(recipe, steps) if recipe else _rise_and_fall(steps)
        self._learner = self.own("teacher", net, optimizer, schedule)

    def stages(self) -> Sequence[Stage]:
        """One stage on the teacher's domains."""
        return [Stage("teacher", self._steps, self._step, data="labelled")]

    def _step(self, batch: Batch) -> Losses:
        loss = F.cross_entropy(self._net(batch.images), batch.labels)
        self._learner.update(loss)
        return {"cross_entropy": loss}


def _schedule(recipe: TeacherRecipe, steps: int) -> Schedule:
    return cosine(steps) if recipe.cosine else drops(steps, recipe.drops)


def _rise_and_fall(steps: int) -> Schedule:
    fall, rising = cosine(steps), max(1, round(WARM_UP * steps))
    return lambda step: fall(step) * min(1.0, (step + 1) / rising)


def teacher_amount(recipe: TeacherRecipe | None, budget_name: str, size: int) -> tuple[int, int]:
    """Images that a teacher is trained on, with repetition, and images per update.

    Args:
        recipe: how a source trains it; None for okdbench's own way.
        budget_name: the budget of the run.
        size: number of its training images.
    """
    budget = budget_named(budget_name)
    own = (budget.teacher_images, budget.teacher_batch_size)
    return (recipe.epochs * size, recipe.batch_size) if recipe else own


def _amount(plan: Plan) -> tuple[int, int]:
    return teacher_amount(plan.teacher_recipe, plan.config.budget, len(plan.splits.teacher_train))


def teacher_key(plan: Plan) -> str:
    """The name of this teacher's folder: a hash of everything that its weights depend on."""
    config = plan.config
    if config.teacher_weights:
        identity: dict[str, Any] = {"weights": plan.weights_digest}
        identity |= {"rows": plan.dataset.teacher_classes} if plan.dataset.teacher_classes else {}
    else:
        (images, batch_size), recipe = _amount(plan), plan.teacher_recipe
        identity = {
            "dataset": plan.dataset.name,
            # a data set from elsewhere is no module of okdbench; the digest of its images includes its code
            "source": digest_of(__name__, _DATA_PATH, f"{DATASETS.package}.{plan.dataset.name}"),
            "data": plan.splits.teacher_train.digest,
            "setting": plan.setting.name,
            "seed": config.seed,
            "pretrained": "teacher" in pretrained_roles(config),
            **({"start": plan.starts["teacher"].digest} if "teacher" in plan.starts else {}),
            "images": images,
            "batch_size": batch_size,
            "recipe": asdict(recipe) if recipe else [WITH_BATCH_NORM, OTHERS, WARM_UP],
            "protocol": PROTOCOL_VERSION,
        }
    identity |= {
        "network": plan.teacher.identity,
        "image_size": config.image_size,
        "channels": plan.dataset.channels,
        "normalisation": plan.dataset.normalisation,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def teacher_file(folder: Path, plan: Plan) -> Path:
    """Path of this teacher's weights below the folder of teachers, whether they exist or not."""
    return folder / teacher_key(plan) / "teacher.safetensors"


class Training(BaseModel):
    """How long the training of a teacher took, in ``training.json`` beside its weights.

    It is a file of its own, because the weights' file has the same bytes in every repetition.
    """

    network: str
    image_size: int
    budget: str
    seconds: float
    protocol: int = 0


def read_trainings(folder: Path) -> Iterator[Training]:
    """The trainings of all teachers below the folder of teachers; files that cannot be read are skipped."""
    for path in sorted(folder.glob(f"*/{TRAINING}")):
        with suppress(OSError, ValueError):
            yield Training.model_validate_json(path.read_bytes())


def trained_with(weights: Path) -> dict[str, str]:
    """What a bitwise repetition of a teacher's training needs to know; empty for a user's weights."""
    if not weights.exists():
        return {}
    with safe_open(weights, "pt") as file:
        return file.metadata() or {}


class TeacherStore:
    """Returns frozen teachers and trains each at most once.

    Args:
        folder: folder of teachers, with a folder for each.
        device: where the teachers are trained and returned.
        progress: called every few steps.
    """

    def __init__(self, folder: Path, device: torch.device, progress: ProgressCallback) -> None:
        self._folder, self._device, self._progress = folder, device, progress

    def get(self, plan: Plan) -> ClassifierWrapper:
        """The teacher of ``plan``, frozen and in eval mode.

        Raises:
            UserError: the network is unknown, or the user's weights do not fit it.
        """
        config = plan.config
        net = initial_network("teacher", plan)
        classifier = ClassifierWrapper(net, normaliser(plan, self._device)).to(self._device)
        if config.teacher_weights:
            load_user_weights(net, plan)
            return classifier.lock()
        weights = teacher_file(self._folder, plan)
        folder = weights.parent
        folder.mkdir(parents=True, exist_ok=True)
        # runs of a sweep share a teacher: the first process trains it, the others wait and read it
        with Lock(folder / "lock"):
            if not weights.exists():
                self._train(classifier, folder, plan)
                # safetensors takes contiguous tensors only
                state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
                write_atomic(weights, to_safetensors(state, {"teacher_threads": str(torch.get_num_threads())}))
            # also the checkpoint of a process that was killed right after it had written the weights
            (folder / CHECKPOINT).unlink(missing_ok=True)
            # under the lock, so that nothing can prune the weights before they are read
            load_weights(net, weights, plan.teacher.name)
        return classifier.lock()

    def _train(self, classifier: ClassifierWrapper, folder: Path, plan: Plan) -> None:
        config = plan.config
        images, batch_size = _amount(plan)
        stream = Stream(
            plan.splits.teacher_train,
            batch_size=batch_size,
            seed=plan.seed_for("teacher data"),
            device=self._device,
            augmentation=kinds_of(plan.dataset.teacher_augmentation),
        )
        meter = Meter()
        meter.watch("teacher", classifier)
        steps = max(1, images // batch_size)
        is_trained = config.pretrained or "teacher" in plan.starts
        trainable = Supervised(classifier, steps, self._device, meter, plan.teacher_recipe, is_trained)
        # no evaluation: the last state is the teacher
        loop_config = LoopConfig(
            folder=folder,
            stream=lambda _stage: stream,
            rng=torch.Generator(self._device).manual_seed(plan.seed_for("teacher noise")),
            meter=meter,
            progress=self._progress,
        )
        history = TrainingLoop(trainable, classifier, loop_config).run()
        training = Training(
            network=config.teacher,
            image_size=config.image_size,
            budget=config.budget,
            seconds=sum(history.stage_seconds.values()),
            protocol=PROTOCOL_VERSION,
        )
        # before the weights, whose presence means that the teacher is complete
        write_atomic(folder / TRAINING, training.model_dump_json().encode())


def load_user_weights(net: nn.Module, plan: Plan) -> None:
    """Load the user's file into the teacher; of a file with more classes, the rows that the data set names.

    Raises:
        UserError: it does not fit, or was replaced since the run's key was computed.
    """
    rows = plan.dataset.teacher_classes
    assert plan.trained
    plan.trained.load(net, plan.teacher.name, rows_of(rows) if rows else as_it_is)


def normaliser(plan: Plan, device: torch.device) -> Normaliser:
    """The data set's normaliser on the device; teacher and student share it."""
    dataset = plan.dataset
    return Normaliser(dataset.mean, dataset.std, dataset.channel_order).to(device)


def teacher_of(plan: Plan, runs: Path, device: torch.device, progress: ProgressCallback) -> ClassifierWrapper:
    """The frozen teacher of a run, trained unless its weights are below ``runs`` already.

    Args:
        plan: the run.
        runs: folder of runs and teachers.
        device: where the teacher works.
        progress: called while it is trained.

    Raises:
        UserError: the network is unknown, or the user's weights do not fit it.
    """
    # This is here, not in the runner, because a teacher's key covers what this module can reach.
    return TeacherStore(runs / "teachers", device, progress).get(plan)
