"""Whether the outputs of a user's teacher are the data set's classes, by names in its file or by its answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from okdbench.data.class_order import shortened, yaml_list
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.own_domain import PARTS
from okdbench.data.own_file import composed
from okdbench.data.own_remarks import nested_note
from okdbench.distill.networks.class_names import Listings, listings_beside
from okdbench.distill.networks.preprocessing import preprocessing_of
from okdbench.distill.networks.user_networks import Network
from okdbench.training.plan import Plan

#: names that say nothing, as of Hugging Face, and numbers of ImageNet
_PLACEHOLDER = re.compile(r"(label|class)?[ _]?\d+|n\d{8}", re.IGNORECASE)
#: what is before the name in 001.Black_footed_Albatross and in n02085620-Chihuahua
_NUMBERED = re.compile(r"(\d+|n\d{8})[._ -]+(?=[^\W\d_])")
#: what is between names of one class: commas as of ImageNet, and as in "0 - zero" of torchvision's MNIST
_BETWEEN = re.compile(r",|(?<=\d) - ")
#: classes that a warning compares
_COMPARED = 3

#: which of the teacher's outputs each class of the data set is
Order = list[int]


def name_warnings(plan: Plan) -> list[str]:
    """What to say of the classes that the teacher's file names, where they are not those of the data set."""
    orders = _orders(plan, preprocessing_of(_path(plan), plan.teacher.name).listings)
    if len(orders) > 1:
        places = shortened([place for place, _ in orders.values()])
        return [f"the file has the classes in several orders, under {places}; none is used"]
    theirs, own = _named(plan), plan.dataset.classes
    if not theirs:
        return _beside(plan)
    if order := order_in_file(plan):
        return [f"the file has the classes in another order; write {spelt(plan, order)}"]
    names, readings = [{*map(_plain, each)} for each in _spellings(plan)], _readings_of(theirs)
    wrong = [index for index, each in enumerate(readings) if each.isdisjoint(names[index])]
    if not wrong:
        return []
    if set().union(*readings).isdisjoint(set().union(*names)):
        both = f"{shortened(theirs)}; those of {plan.dataset.name} are {shortened(own)}"
        if _are_placeholders(own):
            return [f"whether the file has the classes in this order is not known, because their names differ: {both}"]
        return [f"the file has other classes, {both}"]
    pairs = ", ".join(f"{theirs[index]!r} is used as {own[index]!r}" for index in wrong[:_COMPARED])
    more = f", and {len(wrong) - _COMPARED} more" if len(wrong) > _COMPARED else ""
    return [f"by the names in the file {pairs}{more}; check {_key(plan)}: in the file of the data set"]


def _beside(plan: Plan) -> list[str]:
    """The same of small files in the folder of the weights, which may be of other weights."""
    found, own = _orders(plan, listings_beside(_path(plan))), (*range(len(plan.dataset.classes)),)
    if len(found) != 1 or own in found:
        return []
    ((order, (name, _)),) = found.items()
    line = spelt(plan, list(order))
    return [f"{name} beside it has the classes in another order; if it is of this teacher, write {line}"]


def _orders(plan: Plan, listings: Listings) -> dict[tuple[int, ...], tuple[str, Sequence[str]]]:
    """The outputs of the classes by each list that has exactly these: what leads to the first list, and its names."""
    found: dict[tuple[int, ...], tuple[str, Sequence[str]]] = {}
    count = 0 if plan.dataset.teacher_classes else len(plan.dataset.classes)
    for place, names in listings:
        if len(names) == count and not _say_nothing(plan, names) and (order := _outputs(plan, names)):
            found.setdefault(tuple(order), (place, names))
    return found


def order_in_file(plan: Plan) -> Order | None:
    """The outputs that the file names as the classes; None if it names others, or the order is the same."""
    rows, every = plan.dataset.teacher_classes, _all_named(plan)
    order = _outputs(plan, every if rows else _named(plan))
    is_own = order == list(rows or range(len(plan.dataset.classes)))
    return None if is_own else order


def start_warnings(plan: Plan) -> Iterator[str]:
    """What to say of files that a training starts from, whose last layer has the classes in another order."""
    for role, start in plan.starts.items():
        names = _names_in(plan, start.path, plan.teacher if role == "teacher" else plan.student)
        order, own = _outputs(plan, names), list(range(len(plan.dataset.classes)))
        if order and len(names) == len(own) and order != own:
            yield (
                f"{start.path}: warning: the last layer that the {role} starts from has the classes in another order, "
                f"{shortened(names)}; save it without this layer, or list them so under classes:"
            )


def number_cure(plan: Plan) -> str:
    """What to change in the data set where the file has another number of classes; empty if nothing is known."""
    every, by_names = _all_named(plan), "by the names in the file"
    if plan.dataset.teacher_classes or len(every) == len(plan.dataset.classes):
        return ""
    if twins := _twins(plan):
        return f"if {' and '.join(twins)} are one class, name it alike everywhere"
    if rows := _outputs(plan, every):
        return f"{by_names} teacher_classes: [{', '.join(map(str, rows))}]"
    if alone := _alone(plan):
        return f"{alone}; if they are one class, name it alike everywhere"
    lacking = [own[0] for own in _spellings(plan) if not any(_is(name, own) for name in every)]
    if 0 < len(lacking) < len(plan.dataset.classes):
        return f"{by_names} ignore: {yaml_list(lacking)}"
    return _nested(plan)


def _nested(plan: Plan) -> str:
    """Whether the classes of the data set are folders that have the true ones in them."""
    dataset = plan.dataset
    if not isinstance(dataset, OwnDataset):
        return ""
    return next(filter(None, (nested_note(dataset.scan(domain).images) for domain in dataset.places)), "")


def _twins(plan: Plan) -> list[str]:
    """The first classes whose names differ in capitals or spaces alone."""
    own = plan.dataset.classes
    alike = ([each for each in own if _plain(each) == _plain(name)] for name in own)
    return next((each for each in alike if len(each) > 1), [])


def _alone(plan: Plan) -> str:
    """The classes that one part of a domain alone has, where two parts have some, as of two spellings."""
    dataset = plan.dataset
    if not isinstance(dataset, OwnDataset):
        return ""
    for domain in dataset.places:
        parts: dict[str, set[str]] = {}
        for image in dataset.scan(domain).images:
            parts.setdefault(image.label, set()).add(image.part or "train")
        alone = [(min(found), label) for label, found in sorted(parts.items()) if len(found) == 1]
        of_part = {part: [label for at, label in alone if at == part] for part in PARTS.values()}
        texts = [f"{shortened(labels)} in {part} alone" for part, labels in of_part.items() if labels]
        if len(texts) > 1:
            return f"{domain} has {' and '.join(texts)}"
    return ""


def _outputs(plan: Plan, theirs: Sequence[str]) -> Order | None:
    """The output of each class by these names; None if one has no output of its own."""
    exact, loose = dict[str, int](), dict[str, int]()
    for index, (name, readings) in enumerate(zip(theirs, _readings_of(theirs), strict=True)):
        exact.setdefault(name, index)
        for reading in readings:
            loose.setdefault(reading, index)
    # as it is written, or else in another spelling
    found = [_places(exact, own) or _places(loose, map(_plain, own)) for own in _spellings(plan)]
    order = [min(places) for places in found if places]
    return order if len({*order}) == len(found) else None


def _places(known: Mapping[str, int], names: Iterable[str]) -> list[int]:
    return [known[name] for name in names if name in known]


def order_in_answers(plan: Plan, logits: Tensor, labels: Tensor) -> tuple[Order, float] | None:
    """The output that answers each class most often, and the accuracy with it, percent; None if there is no order.

    Each half of the images is judged with the order of the other one.
    """
    answers, count = logits.argmax(1), len(plan.dataset.classes)
    half = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(count):
        half[(labels == label).nonzero().flatten()[::2]] = True
    orders = [_most_frequent(answers[part], labels[part], count) for part in (half, ~half)]
    whole = _most_frequent(answers, labels, count)
    if not all(orders) or whole in (None, list(range(count))):
        return None
    right = sum(
        int((answers[part] == torch.tensor(order)[labels[part]]).sum())
        for part, order in zip((~half, half), orders, strict=True)
    )
    assert whole
    rows = plan.dataset.teacher_classes
    return [rows[index] for index in whole] if rows else whole, 100 * right / len(labels)


def spelt(plan: Plan, order: Order) -> str:
    """The line of the data set's file that gives the teacher's outputs this order."""
    names = getattr(plan.dataset, "folder_names", plan.dataset.classes)
    # classes: has a name for each output, teacher_classes: an output for each name
    inverse = sorted(range(len(order)), key=order.__getitem__)
    if plan.dataset.teacher_classes or getattr(plan.dataset, "is_indexed", False):
        # in another order, classes: would give the indices of a list other names, and change no label
        return f"teacher_classes: [{', '.join(map(str, order))}]"
    return f"classes: {yaml_list([names[label] for label in inverse])}"


def _most_frequent(answers: Tensor, labels: Tensor, count: int) -> Order | None:
    of_class = [answers[labels == label] for label in range(count)]
    order = [int(each.mode().values) for each in of_class if len(each)]
    return order if len({*order}) == count else None


def _key(plan: Plan) -> str:
    return "teacher_classes" if plan.dataset.teacher_classes else "classes"


def _named(plan: Plan) -> Sequence[str]:
    """The names that the file has for the outputs that are used; empty if it names none."""
    rows, every, count = plan.dataset.teacher_classes, _all_named(plan), len(plan.dataset.classes)
    used = [every[row] for row in rows] if rows and max(rows) < len(every) else () if rows else every
    return used if len(used) == count else ()


def _all_named(plan: Plan) -> Sequence[str]:
    return _names_in(plan, _path(plan), plan.teacher)


def _path(plan: Plan) -> Path:
    return Path(plan.config.teacher_weights or "")


def _names_in(plan: Plan, path: Path, network: Network) -> Sequence[str]:
    """The names in a file, unless they are placeholders or in several orders."""
    said = preprocessing_of(path, network.name)
    names = said.classes
    if orders := _orders(plan, said.listings):
        return next(iter(orders.values()))[1] if len(orders) == 1 else ()
    return () if _say_nothing(plan, names) else names


def _say_nothing(plan: Plan, names: Sequence[str]) -> bool:
    """Whether these are numbers alone, and the classes are called otherwise."""
    if not _are_placeholders(names):
        return False
    own = {_plain(name) for each in _spellings(plan) for name in each}
    return own.isdisjoint(map(_plain, names))


def _are_placeholders(names: Sequence[str]) -> bool:
    return all(_PLACEHOLDER.fullmatch(name) for name in names)


def _spellings(plan: Plan) -> list[tuple[str, ...]]:
    """The names of each class: its folder, what is shown, and these without a number before all, or by WordNet's."""
    shown = plan.dataset.classes
    folders = getattr(plan.dataset, "folder_names", shown)
    ids = [match[1] for name in folders if (match := _NUMBERED.match(name)) and match[1][0] == "n"]
    of_wordnet = [ids] if len(ids) == len(folders) else []
    return list(zip(folders, shown, _unnumbered(folders), _unnumbered(shown), *of_wordnet, strict=True))


def _unnumbered(names: Sequence[str]) -> Sequence[str]:
    """The names without the number that all of them begin with; as they are where it alone tells some apart."""
    plain = [_NUMBERED.sub("", name) for name in names]
    return plain if all(map(_NUMBERED.match, names)) and len({*plain}) == len(names) else names


def _is(theirs: str, own: Sequence[str]) -> bool:
    """Whether a name of the file, or one of several in it, is one of the class."""
    return not _readings(theirs).isdisjoint(map(_plain, own))


def _readings(theirs: str) -> set[str]:
    return {*map(_plain, (theirs, *_BETWEEN.split(theirs)))}


def _readings_of(theirs: Sequence[str]) -> list[set[str]]:
    return [_readings(name) | _readings(plain) for name, plain in zip(theirs, _unnumbered(theirs), strict=True)]


def _plain(name: str) -> str:
    text = re.sub(r"[\s_-]+", "", composed(name).casefold())
    return text.lstrip("0") or "0" if text.isdecimal() else text
