"""A trained student as others receive it: a file of weights, with a card that says how to use them and their origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from okdbench.core.config import ResizeRule
from okdbench.core.errors import UserError
from okdbench.core.network_names import is_code
from okdbench.core.resize import Interpolation
from okdbench.core.syntax import spell_method
from okdbench.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from okdbench.distill.networks.classifiers import build_classifier, find_network
from okdbench.distill.networks.timm_options import Options, options_in
from okdbench.distill.networks.user_networks import Network
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.results.records import FileName, Record

#: Name of the card in every file. The card is one text, because safetensors writes several in a random order.
CARD = "okdbench"
#: what a card has from the record of its run under the same name
_SHARED = {"resize", "interpolation", "channel_order", "dataset", "setting", "key", "command", "version"}


class StudentCard(BaseModel):
    """How to use a student, and where it comes from.

    Attributes:
        architecture: name of the network in timm; of a user's own, its file and a digest of it.
        model_args: options of ``timm.create_model`` beside the defaults.
        classes: names of the classes, in the order of the logits.
        image_size: input resolution in pixels.
        resize: how images of another size become squares: a rule of :class:`~okdbench.core.resize.Resize`.
        interpolation: filter for that.
        channel_order: order in which the network gets the channels, one of rgb, bgr and grey.
        value_range: the largest value of a pixel before the normalisation.
        mean: the normaliser's mean of each channel, one for grey images, in this order and range.
        std: the normaliser's standard deviation of each channel.
        max_value: what is white in images of more than eight bits; None where it was trained on none.
        exif_rotation: whether images are turned upright, as their EXIF says.
        method: the method, with its variant.
        dataset: the data set.
        setting: the teacher's domains and the student's.
        accuracy: top-1 on the student domain's test split, in percent.
        key: the run's key.
        command: the command line that repeats the run.
        version: the version of okdbench that made it.
        start: the file of weights that its training started from, with its digest; empty for random ones and timm's.
    """

    model_config = ConfigDict(frozen=True)

    architecture: str
    model_args: dict[str, Any] = {}
    classes: tuple[str, ...]
    image_size: int
    resize: ResizeRule = "stretch"
    interpolation: Interpolation = "bilinear"
    channel_order: Literal["rgb", "bgr", "grey"] = "rgb"
    value_range: Literal[1] = 1
    mean: tuple[float, ...]
    std: tuple[float, ...]
    max_value: Annotated[float, Field(gt=0)] | None = None
    exif_rotation: bool = True
    method: str
    dataset: str
    setting: str
    accuracy: float
    key: FileName
    command: str
    version: str
    start: str = ""

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise ValueError("mean and std need one positive number for each channel, one or three")
        return self


@dataclass(frozen=True)
class Student:
    """A frozen student, which takes images in [0, 1], and its card."""

    classifier: ClassifierWrapper
    card: StudentCard


def card_of(record: Record, dataset: Dataset, max_value: float | None = None, model_args: Options = ()) -> StudentCard:
    """The card of a finished run's student.

    Args:
        record: of the run.
        dataset: its data set.
        max_value: what was white in its images of more than eight bits.
        model_args: with which timm built its network, beside the defaults.
    """
    assert record.selected is not None
    return StudentCard(
        architecture=record.student,
        model_args=dict(model_args),
        classes=dataset.classes,
        image_size=record.config["image_size"],
        # Records of earlier protocols have none: all networks were then made for ImageNet's.
        mean=record.mean or IMAGENET_MEAN,
        std=record.std or IMAGENET_STD,
        max_value=max_value,
        exif_rotation=dataset.exif_rotation,
        method=spell_method(record.method, record.variant),
        accuracy=record.selected.evaluation.test.acc,
        start=record.starts.get("student", ""),
        **record.model_dump(include=_SHARED),
    )


def pack(weights: Mapping[str, Tensor], card: StudentCard) -> bytes:
    """A safetensors file of the network's weights and the card; equal students give equal bytes."""
    # safetensors takes contiguous tensors only
    plain = {name: tensor.contiguous().cpu() for name, tensor in weights.items()}
    return to_safetensors(plain, metadata={CARD: card.model_dump_json()})


def unpack(content: bytes, old: Callable[[], StudentCard] | None = None, network: str = "") -> Student:
    """The student in a file that :func:`pack` made.

    Args:
        content: the file's content.
        old: returns the card for a file without one; such files were written before there were cards.
        network: the user's own network that the student is of, as for ``--student``; its code is executed.

    Raises:
        ValueError: it is not such a file.
        UserError: the network cannot be built, or is code that is not named.
    """
    try:
        weights = from_safetensors(content)
    except SafetensorError as error:
        raise ValueError("it is damaged or of another kind") from error
    card = card_in(content) or (old and old())
    if card is None:
        raise ValueError("it does not name its classes")
    net = build_classifier(_network_of(card, network), len(card.classes), card.image_size, channels=len(card.mean))
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"its weights are not those of a {card.architecture}") from error
    return Student(ClassifierWrapper(net, Normaliser(card.mean, card.std, card.channel_order)).lock(), card)


def _network_of(card: StudentCard, name: str) -> Network:
    """The card's network. A card may come from anyone, so a user's own is taken from the user."""
    if not name:
        # a user's own has a digest behind its name; a card that was made by hand may leave it out
        if " " in card.architecture or is_code(card.architecture):
            file = card.architecture.partition(" ")[0]
            raise UserError(f"its network is code, {card.architecture}; add --network {file}, which is then executed")
        options, unread = options_in([card.model_dump(include={"model_args"})])
        if unread:
            raise ValueError(f"its card has model_args that are no plain values, {' and '.join(unread)}")
        return replace(find_network(card.architecture), options=options)
    network = find_network(name)
    if network.name != card.architecture:
        raise ValueError(f"its network is {card.architecture}, and {name} is {network.name}")
    return network


def card_in(content: bytes) -> StudentCard | None:
    """The card in the header of a valid safetensors file: eight bytes of length, then JSON."""
    size = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(CARD)
    try:
        return StudentCard.model_validate_json(text) if text else None
    except ValidationError as error:
        raise ValueError("its card is damaged") from error
