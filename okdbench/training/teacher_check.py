"""Looks whether a user's teacher knows the images as it is given them, and what would suit it better.

A teacher whose normalisation, size or order of classes is another one gives wrong targets without an error. So its
accuracy on a few labelled images is printed, and the usual causes of a low one are tried. Nothing is applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from okdbench.core.command import flag
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic
from okdbench.core.notices import say
from okdbench.core.resize import Resize
from okdbench.core.settings import TaskKind
from okdbench.data.class_order import natural_order
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset, Sample
from okdbench.data.decoding import decode, decoding_pool, is_turned
from okdbench.data.deep_images import usual_range
from okdbench.data.images import Images
from okdbench.distill.networks.preprocessing import preprocessing_of
from okdbench.distill.networks.stated_modes import CAFFE_MEAN
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.training.evaluation import accuracy, predict
from okdbench.training.image_format import rotation_warnings, start_notes
from okdbench.training.own_students import student_warnings
from okdbench.training.plan import Plan
from okdbench.training.teacher_classes import name_warnings, order_in_answers, order_in_file, spelt, start_warnings

#: images that are looked at
MOST_IMAGES = 300
#: of fewer validation images, on which most differences may be chance, the student's labelled ones are looked at, too
FEW_IMAGES = 200
#: points, and standard errors, by which another choice must be better to be worth a word; some twenty are tried
WORTH, ERRORS = 5.0, 2.0
#: points by which a teacher is far below what its file says
FAR_BELOW = 20.0
CAUSES = "check the order of the classes, the normalisation, the size, the file"
#: percent; below it what is assumed of the images is said again
LOW = 75.0
#: file of a run's folder that keeps what is said of its teacher
KEPT = "teacher_check.txt"
#: an accuracy so close to chance, as a share of the way to 100 %, is a warning
NEAR_CHANCE = 0.1
#: what is white in 16 bits; files of 12 bits in 16 are stretched here, and elsewhere often divided by this
WHITE = 65535
#: sizes of images that teachers are often trained with
SIZES = (28, 32, 64, 96, 128, 160, 224)

#: statistics of MNIST and of CIFAR-10 as tutorials have them
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
#: filters that teachers are often trained with
FILTERS = ("bilinear", "bicubic", "cv2")

#: what could be different, and the teacher's logits then; None where it takes no such images
Trials = Iterator[tuple[str, Tensor | None]]


def report(plan: Plan, teacher: ClassifierWrapper, device: torch.device, file: Path | None = None) -> None:
    """Print the accuracy of a teacher from a file on labelled images, and what would raise it.

    Args:
        plan: the run; its teacher is from a file.
        teacher: the loaded teacher.
        device: where the teacher works.
        file: keeps the lines for :func:`repeat`.
    """
    lines = list(_measured(plan, teacher, device))
    if file:
        write_atomic(file, "\n".join(lines).encode())
    _print_all(plan, lines)


def repeat(plan: Plan, file: Path) -> None:
    """Print again what was said of the teacher of a finished run."""
    report_files(plan)
    _print_all(plan, file.read_text("utf-8").splitlines() if file.is_file() else [])


def add(plan: Plan, line: str, file: Path) -> None:
    """Print a line that is known after the training, and add it to those that ``file`` keeps."""
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    if line not in lines:  # as of a process that was killed before its record was written
        write_atomic(file, "\n".join([*lines, line]).encode())
    _print(plan, line)


def _measured(plan: Plan, teacher: ClassifierWrapper, device: torch.device) -> Iterator[str]:
    """The accuracy, and what else gives a higher one."""
    images, where = _images(plan)
    if not len(images):
        return
    labels, chance = torch.from_numpy(images.labels), 100.0 / len(plan.dataset.classes)
    logits = predict(teacher, images, device)
    found = accuracy(logits, labels)
    yield f"{found:.1f} % of {len(images)} images of {where} (chance: {chance:.1f} %)"
    if is_near_chance(found, chance):
        yield f"warning: that is near chance; {CAUSES}"
    elif (stated := _stated(plan)) > found + FAR_BELOW:
        yield f"warning: its file says {stated:.1f} %; if these are such images, {CAUSES}"
    elif len(answers := {*logits.argmax(1).tolist()}) == 1 < len({*labels.tolist()}):
        yield f"warning: its answer is {plan.dataset.classes[answers.pop()]!r} for all, so it tells no classes apart"
    # where no accuracy is so much better, the images are few
    worth = max(WORTH, ERRORS * 50 / math.sqrt(len(images)))
    doubt = f", which on {len(images)} images may be chance" if found + worth > 100 else ""
    if found + (least := max(WORTH, 200 / len(images)) if doubt else worth) > 100:
        return
    tried = sorted(_tried(plan, teacher, images, logits, device), reverse=True)
    better = [each for each in tried if each[0] >= max(found + least, tried[0][0] - worth)]
    for reached, text in better:
        yield f"warning: with {text} it has {reached:.1f} %{doubt}"
    assumed = plan.format_note.partition("by default ")[2]
    if not better and found < LOW and assumed not in ("", "RGB"):  # other orders are rare, and were tried
        yield f"if it should know them better, say what its training had in place of the defaults, {assumed}"


def _stated(plan: Plan) -> float:
    """The accuracy that the file says, in percent; 0 where it says none."""
    return preprocessing_of(Path(plan.config.teacher_weights or ""), plan.teacher.name).accuracy or 0.0


def report_files(plan: Plan) -> None:
    """Print how the images of a teacher from a file are made, and warn of files that do not suit the data set."""
    if plan.format_note:
        _print(plan, plan.format_note)
    looks = [each(plan.dataset, plan.config) for each in (start_notes, rotation_warnings)]
    for text in [*student_warnings(plan), *start_warnings(plan), *chain(*looks)]:
        say(text)


def is_near_chance(accuracy: float, chance: float) -> bool:
    """Whether a teacher with this accuracy knows hardly more than a guess; both in percent."""
    return accuracy < chance + NEAR_CHANCE * (100 - chance)


def _images(plan: Plan) -> tuple[Images, str]:
    """Labelled images that nothing is tested on: of the teacher's domains, or else of the student's."""
    own = plan.splits.teacher_test
    if plan.setting.task is TaskKind.ADAPT and len(own):
        return _evenly(own, MOST_IMAGES), "its own domain"
    return of_tested_domain(plan)


def of_tested_domain(plan: Plan) -> tuple[Images, str]:
    """Labelled images of the tested domain that nothing is tested on: for validation, and if they are few more.

    Those are of the student's train split, as far as the run's track and shots give their labels.
    """
    if plan.setting.task is not TaskKind.ADAPT:
        return _evenly(plan.splits.teacher_train, MOST_IMAGES), "its own domain"
    val, more = plan.splits.val, plan.access.labelled
    if len(val) < FEW_IMAGES and len(more):
        both = Images.concatenate([val, _evenly(more, MOST_IMAGES - len(val))])
        return both, "the student's validation and train parts"
    return _evenly(val, MOST_IMAGES), "the student's validation part"


def _evenly(images: Images, most: int) -> Images:
    """So many over all, because they are in the order of the classes."""
    return images.take(np.linspace(0, len(images) - 1, min(len(images), most)).astype(np.int64))


def _tried(
    plan: Plan, teacher: ClassifierWrapper, images: Images, logits: Tensor, device: torch.device
) -> Iterator[tuple[float, str]]:
    """The accuracy with each other choice; ``logits`` are those without one."""
    labels = torch.from_numpy(images.labels)
    found = order_in_answers(plan, logits, labels)
    if found and found[0] != order_in_file(plan):
        yield found[1], f"the order of the classes that its answers have, {spelt(plan, found[0])},"
    for text, others in _trials(plan, teacher, images, logits, device):
        if others is not None:
            yield accuracy(others, labels), text


def _trials(plan: Plan, teacher: ClassifierWrapper, images: Images, logits: Tensor, device: torch.device) -> Trials:
    """What differs most often between training and use, in that order."""
    if (order := order_in_file(plan)) and not plan.dataset.teacher_classes:
        yield f"the file's order of the classes, {spelt(plan, order)},", logits[:, order]
    names = getattr(plan.dataset, "folder_names", plan.dataset.classes)
    if order := _other_order(names):
        yield "the classes in the order 1, 2, ..., 10", logits[:, order]
    for text, normaliser in _normalisers(plan.dataset):
        yield text, _with(teacher, normaliser.to(device), images, device)
    for text, changed in _formats(plan, images):
        yield text, _decoded(plan, teacher, images, device, **changed)


def _are_turned(samples: Sequence[Sample]) -> bool:
    return any(is_turned(sample.source) for sample in samples if isinstance(sample.source, Path))


def _normalisers(dataset: Dataset) -> list[tuple[str, Normaliser]]:
    """What networks are often trained with: the options for it, and the normaliser that they give."""
    tried: list[dict[str, Any]] = [
        {"mean": (0.5,), "std": (0.5,)},
        {"mean": (0.0,), "std": (1.0,)},
        {"value_range": 255, "mean": (0.0,), "std": (1.0,)},
    ]
    if dataset.channels == 1:
        tried.append({"mean": MNIST_MEAN, "std": MNIST_STD})
    else:
        tried += [
            {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
            {"mean": CIFAR_MEAN, "std": CIFAR_STD},
            {"channel_order": "rgb" if dataset.channel_order == "bgr" else "bgr"},
            {"channel_order": "grey"},
            {"channel_order": "bgr", "value_range": 255, "mean": CAFFE_MEAN, "std": (1.0,)},
        ]
    made = [(_options(values), dataset.with_format(**values)) for values in tried]
    return [(text, Normaliser(each.mean, each.std, each.channel_order)) for text, each in made]


def _options(values: dict[str, Any]) -> str:
    """``--mean 0.5 --std 0.5``."""
    texts = {
        name: ",".join(f"{number:g}" for number in value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }
    return " ".join(f"{flag(name)} {text}" for name, text in texts.items())


def _formats(plan: Plan, images: Images) -> Iterator[tuple[str, dict[str, Any]]]:
    """What may be other than in the training: its cure, and the field of the form."""
    data, turned = plan.dataset, not plan.dataset.exif_rotation
    yield from ((f"--resize {rule.value}", {"resize": rule.value}) for rule in Resize if rule != data.resize)
    yield from ((f"--interpolation {name}", {"interpolation": name}) for name in FILTERS if name != data.interpolation)
    yield from ((f"--image-size {size}", {"size": size}) for size in SIZES if size != plan.config.image_size)
    for white in _whites(images):
        yield f"max_value: {white:g} in the file of the data set", {"max_value": white}
    if isinstance(data, OwnDataset) and _are_turned(_samples(plan, images.paths)):
        yield f"exif_rotation: {str(turned).lower()} in the file of the data set", {"exif_rotation": turned}


def _whites(images: Images) -> Iterator[float]:
    """What else may be white in files of more than eight bits: all of 16, or what nearly all images need."""
    if images.max_value and images.max_value != WHITE:
        yield WHITE
    if images.max_value and (usual := usual_range(images.peaks, images.max_value)):
        yield usual


def _with(teacher: ClassifierWrapper, normaliser: Normaliser, images: Images, device: torch.device) -> Tensor:
    usual, teacher.normaliser = teacher.normaliser, normaliser
    try:
        return predict(teacher, images, device)
    finally:
        teacher.normaliser = usual


def _decoded(
    plan: Plan, teacher: ClassifierWrapper, images: Images, device: torch.device, **changed: Any
) -> Tensor | None:
    """The logits for the images with other fields of their form; None where the network takes none of that size."""
    form = plan.dataset.form(plan.config.image_size)._replace(**{"max_value": images.max_value, **changed})
    with decoding_pool() as pool:
        pixels = np.stack(list(pool.map(partial(decode, form=form), _samples(plan, images.paths))))
    try:
        return predict(teacher, Images(pixels, images.labels, images.paths), device)
    except (RuntimeError, AssertionError, ValueError):  # as a network with a fixed grid of patches
        return None


def _samples(plan: Plan, paths: Sequence[str]) -> list[Sample]:
    domains = plan.dataset.domains_of(plan.setting, official=plan.config.test_split != "folds")
    known: dict[str, Sample] = {}
    for domain in domains:
        try:
            known |= {sample.path: sample for sample in plan.dataset.samples(domain, plan.data_root)}
        except UserError:  # official test images of a domain that this run does not read
            continue
    return [known[path] for path in paths]


def _other_order(classes: Sequence[str]) -> list[int] | None:
    """Where each class is if the teacher counts them as people do, 2 before 10; None where the orders are one."""
    if list(classes) != sorted(classes) or (order := natural_order(classes)) == list(classes):
        return None
    return [order.index(name) for name in classes]


def _print_all(plan: Plan, measured: Sequence[str]) -> None:
    """What the names of the classes tell, which may be in a file that came beside the weights later, and the rest."""
    names = name_warnings(plan) if plan.config.teacher_weights else []
    for line in dict.fromkeys([*(f"warning: {text}" for text in names), *measured]):
        _print(plan, line)


def _print(plan: Plan, text: str) -> None:
    # under its name in this command: a finished run may have had a copy of the file
    name = "" if text.startswith("warning: ") else f"{plan.config.teacher_weights}: "
    say(f"teacher {name}{text}")
