"""The interface of a method: stages, the task that it reads, and what it owns.

A method is a list of stages. A stage is a number of steps and a function that performs one step: it receives a batch
(or nothing), updates its learners and returns the named losses. The training loop does the rest: iteration, logging,
evaluation, checkpoints and resuming. A method therefore contains no loop over data, no device call and no file access.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from okdbench.core.errors import UserError
from okdbench.core.protocol import Budget, Track
from okdbench.core.settings import TaskKind
from okdbench.data.augmentation import augment
from okdbench.data.dataset import Augmentation
from okdbench.data.loader import Batch
from okdbench.distill.accounting import Meter
from okdbench.distill.card import BaseHyperparameters, Card, Deviation, Paper
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import Learner, Schedule

#: named scalar losses of one step, for the log; the names are the terms of the method's equations
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """A number of steps of one kind.

    Attributes:
        name: shown in progress, log and record; unique in its method.
        steps: number of calls of ``step``.
        step: performs the updates of one step and returns its named losses.
        data: what its batches are made of. ``None``: no data. ``"images"``: all images that the method sees, without
            labels. ``"labelled"``: those that have a label. ``"partly"``: all, with the label -1 where there is none.
            ``"teacher_train"``: the teacher's own training images with labels, for rows of role ``privileged``. The
            label-free track refuses ``"labelled"`` and ``"partly"``.
        batch_size: images per batch, if it differs from the budget's.
        batches: batches per step.
        augment: whether the images have the data set's augmentation.
        period: number of steps after which their kinds repeat; their time is estimated over one period.
        begin: called before the first step, and again when the stage is resumed: sets modes, changes no state.
        finish: called once after the last step.
    """

    name: str
    steps: int
    step: Callable[..., Losses]
    data: Literal["images", "labelled", "partly", "teacher_train"] | None = None
    batch_size: int | None = None
    batches: int = 1
    augment: bool = True
    period: int = 1
    begin: Callable[[], None] | None = None
    finish: Callable[[], None] | None = None


@dataclass(frozen=True)
class Task:
    """Everything that a method may read; no other image and no other label can be reached through it.

    Attributes:
        teacher: frozen, always in eval mode; ``teacher(x)`` returns the logits of raw images x in [0, 1], and
            ``teacher.targets(x)`` those that the student imitates, without gradients.
        student: the network to train.
        classes: number of classes C.
        image_size: input resolution in pixels; images are square.
        channels: of the images, 1 or 3.
        class_embeddings: C x E, of the text of the class names where the method reads it and there is some, else C x C,
            one-hot.
        kind: adapt, transfer or data-free.
        train_size: number of images that the method sees; 0 in task data-free.
        student_images: number of images that the student may learn from, all stages together.
        batch_size: images per student update.
        track: which labels may be read.
        normaliser: maps raw images to what the networks' layers expect.
        augmentation: random changes of images that keep their class.
        device: device of the networks and batches.
        rng: the run's random generator, on the device.
        meter: counts the images that pass through the owned modules.
    """

    teacher: ClassifierWrapper
    student: ClassifierWrapper
    classes: int
    image_size: int
    channels: int
    class_embeddings: Tensor
    kind: TaskKind
    train_size: int
    student_images: int
    batch_size: int
    track: Track
    normaliser: Normaliser
    augmentation: frozenset[Augmentation]
    device: torch.device
    rng: torch.Generator
    meter: Meter = field(default_factory=Meter)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal noise of this shape from the run's generator."""
        # not the global generator: a run's numbers must not depend on what else ran in the process
        return torch.randn(*shape, generator=self.rng, device=self.device)

    def augment(self, images: Tensor) -> Tensor:
        """Raw images with the augmentation of a stage."""
        return augment(images, self.rng, self.augmentation)


M = TypeVar("M", bound=nn.Module)


class Stateful(Protocol):
    """An object that a checkpoint can store."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to continue, as tensors and plain types."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Restore what :meth:`state_dict` returned."""


class Clock(NamedTuple):
    """Position in the running stage: ``step`` of ``steps``, counted from 0."""

    step: int
    steps: int

    @property
    def share(self) -> float:
        """The fraction of the stage that is done, in [0, 1)."""
        return self.step / self.steps


class Trainable(ABC):
    """Stages and everything that they change; ``clock`` is correct in each step.

    Args:
        device: where modules are placed.
        meter: counts the images that pass through them.
    """

    clock = Clock(0, 1)

    def __init__(self, device: torch.device, meter: Meter) -> None:
        self._device = device
        self._meter = meter
        self.state: dict[str, Stateful] = {}

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The stages in the order in which they run."""

    def set_clock(self, clock: Clock) -> None:
        """Set the position in the stage; the training loop does so before each step."""
        self.clock = clock

    def place(self, name: str, module: M) -> M:
        """Move a module to the device; its images are counted and its weights are checkpointed under ``name``."""
        # channels_last is the memory layout that convolutions are fastest with
        module = module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._meter.watch(name, module)
        self.state[name] = module
        return module

    def own(self, name: str, module: nn.Module, optimizer: Optimizer, schedule: Schedule | None = None) -> Learner:
        """Place a module and pair it with its optimiser; both are checkpointed.

        Args:
            name: the module's name in checkpoints and in the record's costs; unique in the method.
            module: moved to the device.
            optimizer: of the module's parameters.
            schedule: factor of the learning rate at each update; constant by default.
        """
        learner = Learner(self.place(name, module), optimizer, schedule, self._meter)
        self.state[f"{name} learner"] = learner
        return learner


class Method(Trainable):
    """One way to distil a frozen teacher into a student across a domain shift.

    Args:
        task: what the method reads.
        hp: its hyper-parameters.

    Raises:
        UserError: the method cannot work on this task with these hyper-parameters.
    """

    card: ClassVar[Card]
    Hyperparameters: ClassVar[type[BaseHyperparameters]] = BaseHyperparameters
    #: budget other than ``paper`` -> hyper-parameters that differ from the defaults there
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: data set -> its source's training, for budget ``paper``; "" for all that are not named
    papers: ClassVar[Mapping[str, Paper]] = {}
    data_free: ClassVar[bool] = False

    hp: Any

    def __init__(self, task: Task, hp: BaseHyperparameters) -> None:
        super().__init__(task.device, task.meter)
        self.task = task
        self.hp = hp
        self.teacher = task.teacher
        self.student = task.student
        self.setup()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "paper_batch_size" in vars(cls) or "paper" in vars(cls).get("presets", {}):
            raise UserError(
                f"{cls.__name__} declares budget paper as earlier versions did; write "
                'papers = {"": Paper(BATCH_SIZE, {NAME: VALUE}, "where it is from")} in place of it'
            )

    @classmethod
    def paper(cls, dataset: str) -> Paper:
        """The authors' training on a data set, or that on most of theirs."""
        return cls.papers.get(dataset) or cls.papers.get("") or Paper(256, {}, "")

    @classmethod
    def preset(cls, budget: str, dataset: str) -> Mapping[str, Any]:
        """The hyper-parameters that differ from the defaults at a budget."""
        return cls.paper(dataset).values if budget == "paper" else cls.presets.get(budget, {})

    @classmethod
    def images_learned(cls, hp: BaseHyperparameters, budget: Budget) -> int:  # noqa: ARG003 - for overrides
        """Images that the student learns from at a budget, as far as the hyper-parameters tell before the run."""
        return budget.student_images

    def setup(self) -> None:
        """Create networks and learners; called once.

        Raises:
            UserError: the method cannot work on this task with these hyper-parameters.
        """

    @classmethod
    def deviations(cls) -> tuple[Deviation, ...]:
        """Differences to paper and released code: those that a ``legacy_*`` switch restores, then the card's."""
        switched = []
        for name, declared in cls.Hyperparameters.model_fields.items():
            extra: Any = declared.json_schema_extra
            if name.startswith("legacy_"):
                topic, theirs, ours = name.removeprefix("legacy_"), extra["theirs"], extra["ours"]
                switched.append(Deviation(topic, theirs, ours, switch=name, where=extra["where"]))
        return (*switched, *cls.card.deviations)

    @classmethod
    def is_data_free(cls, hp: BaseHyperparameters) -> bool:  # noqa: ARG003 - for methods where it depends on them
        """Whether no label is read: where there are labels, the shared fine-tuning stage then follows."""
        return cls.data_free

    @classmethod
    def reads_names(cls, hp: BaseHyperparameters) -> bool:  # noqa: ARG003 - for methods where it depends on them
        """Whether the method reads text embeddings of the names of the classes."""
        return False

    @classmethod
    def takes_size(cls, image_size: int) -> bool:  # noqa: ARG003 - for methods with a generator
        """Whether the method can work with images of this height and width in pixels."""
        return True

    @property
    def evaluated_network(self) -> ClassifierWrapper:
        """The network that is evaluated: the student, unless the row describes another network."""
        return self.student

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:  # noqa: ARG002 - for methods that show real images
        """Images to look at, each N x C x H x W and raw; called once when the run ends, without gradients.

        A name ``grid/column`` makes a column of a grid with one image per row; any other name is a strip. The method
        may draw from the run's generator; modes, weights and buffers must stay as they are.

        Args:
            batch: images that the method sees, with the labels of the method's last stage with data, but not augmented;
                None if no stage has data.
        """
        return {}
