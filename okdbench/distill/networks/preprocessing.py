"""What a file of weights says of the images of its network: size, rule for the size, normalisation, order, range.

It is read from the metadata of a safetensors file, from the entries beside the weights in a checkpoint, from a layer of
the network that normalises, and from files beside it such as ``config.json`` and ``hparams.yaml``, as the scripts of
timm, Hugging Face, Lightning, torchvision and many others write them. Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import timm
import yaml
from timm.data.config import resolve_data_config
from torch import Tensor

from okdbench.core.config import LARGEST_IMAGE, SMALLEST_IMAGE
from okdbench.core.resize import Interpolation, spell_resize
from okdbench.distill.networks.class_names import Listings, class_names_in, listings_in
from okdbench.distill.networks.inert_pickle import Inert
from okdbench.distill.networks.inert_yaml import content_of
from okdbench.distill.networks.openmmlab import size_of_pipeline
from okdbench.distill.networks.plain_values import UNREAD, mapping_of, numbers_of
from okdbench.distill.networks.stated_accuracy import accuracy_in
from okdbench.distill.networks.stated_modes import SIGNED, UNNORMALISED
from okdbench.distill.networks.stated_sizes import UNREAD_CUT
from okdbench.distill.networks.stated_statistics import NO_IMAGES, STATISTICS
from okdbench.distill.networks.stated_values import Stated, stated_in
from okdbench.distill.networks.timm_options import Options, architecture_in, options_in
from okdbench.distill.networks.transform_steps import has_steps, steps_of
from okdbench.distill.networks.transforms import of_transforms
from okdbench.distill.networks.unread_entries import unread_entries
from okdbench.distill.networks.weight_files import WeightFile, read_weights

#: entries that hold such values, later ones winning; those of the whole file win over all of them
_PLACES = ("data", "test", "meta", "dataset_meta", "preprocessor_config", "img_norm_cfg", "data_preprocessor",
           "default_cfg", "pretrained_cfg", "config", "cfg", "hyper_parameters", "hparams", "args", "train_args",
           "data_config", "preprocessing", "okdbench")  # fmt: skip
#: what timm's train.py was called with
_ARGUMENTS = "args.yaml"
#: settings of Lightning and of many scripts beside the weights, of which less is known
_SETTINGS = ("config.yaml", "train_config.json", "hparams.yaml")
#: files of Hugging Face and timm
_FILES = ("config.json", "preprocessor_config.json", _ARGUMENTS)
#: entries in which such a file names the network
_MODELS = ("architecture", "arch", "model", "model_name")
#: an entry that has these names is what timm's train.py was called with
_OF_TIMM = {"img_size", "input_size", "crop_pct", "mean", "std"}
#: attributes of a pickled network of timm that describe its pretraining, whatever it was trained on afterwards
_OF_PRETRAINING = ("pretrained_cfg", "default_cfg")


class Preprocessing(NamedTuple):
    """What a file says, None where it says nothing.

    Attributes:
        image_size: height and width in pixels.
        mean: of each channel, in this order and range of the channels.
        std: the same for the standard deviation.
        value_range: 1 or 255, the largest value of a pixel before the normalisation.
        channel_order: rgb or bgr.
        resize: a rule of :class:`~okdbench.core.resize.Resize`.
        interpolation: filter that scaled its images.
        exif_rotation: whether they were turned upright, as the card of a student says.
        unread: names of values that are there and not understood.
        accuracy: what its network has by the file, in percent.
        classes: names of the network's outputs, in their order.
        listings: all lists of names that the file has anywhere, with what leads to them.
        architecture: timm's name of the network.
        options: with which timm built it.
        unread_options: names of options whose value is not understood.
    """

    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    value_range: int | None = None
    channel_order: str | None = None
    resize: str | None = None
    interpolation: Interpolation | None = None
    exif_rotation: bool | None = None
    unread: tuple[str, ...] = ()
    accuracy: float | None = None
    classes: tuple[str, ...] = ()
    listings: Listings = ()
    architecture: str = ""
    options: Options = ()
    unread_options: tuple[str, ...] = ()


def preprocessing_of(path: Path, network: str) -> Preprocessing:
    """What the file, or one beside it, says of the images of its network.

    Args:
        path: a file of weights.
        network: the name of its architecture.

    Raises:
        UserError: the file is missing, damaged, or holds no weights.
    """
    beside = tuple(path.parent / name for name in (*_SETTINGS, *_FILES))
    return _read(path, network, tuple(file.stat().st_mtime_ns for file in (path, *beside) if file.is_file()))


@lru_cache(maxsize=8)  # several plans of one command share a teacher
def _read(path: Path, network: str, _changed: tuple[int, ...]) -> Preprocessing:
    content = read_weights(path)
    found: Stated = {}
    own, base = [*_within(content.metadata, network)], network.partition(".")[0]
    settings, files = (_beside(path, names) for names in (_SETTINGS, _FILES))
    general, beside = (
        [layer for file in each if _may_be_of(file, base) for layer in _within(file, network)]
        for each in (settings, files)
    )
    anywhere = [*_anywhere(mapping_of(content.metadata))]
    layers = [*general, *anywhere, *beside, *own, _attributes(content.metadata), _layer(content)]
    files += settings
    for layer in layers:
        found = _merged(found, stated_in(layer))
    if not {"mean", "std", UNNORMALISED} & found.keys() and not any("=" in name for name in found):
        named = dict.fromkeys(each for entry in (content.metadata, *files) for each in unread_entries(entry))
        found |= {f"mean and std ({', '.join(named)})": None} if named else {}
    architecture = architecture_in(own) or architecture_in(files)
    options, unread = options_in([*beside, *own]) if architecture.partition(".")[0] == base else ((), ())
    return _joined(found)._replace(
        accuracy=accuracy_in(content.metadata),
        classes=class_names_in(layers),
        listings=tuple(each for entry in (content.metadata, *files) for each in listings_in(entry)),
        architecture=architecture,
        options=options,
        unread_options=unread,
    )


def _may_be_of(file: Mapping[str, Any], network: str) -> bool:
    """Whether a file in the same folder names no other network, of which it would be."""
    named = (str(file[key]).partition(".")[0] for key in _MODELS if isinstance(file.get(key), str))
    return all(name == network for name in named if timm.is_model(name) or file.get("architecture") == name)


def _beside(path: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    """The content of the files of these names in the same folder."""
    found = []
    for name in names:
        with suppress(OSError, ValueError, yaml.YAMLError):
            content = content_of(path.parent / name)
            if isinstance(content, dict):
                arguments = {"args": content, "architecture": content.get("model")}
                found.append(arguments if name == _ARGUMENTS else content)
    return found


def _within(content: Mapping[str, Any], network: str, depth: int = 2) -> Iterator[Mapping[str, Any]]:
    """The layers of an entry, those that win last, down to a depth: a pickle may contain itself."""
    named = {str(name).lower(): value for name, value in content.items()}
    for name in _PLACES if depth else ():
        inner = mapping_of(named.get(name))
        if inner.keys() >= _OF_TIMM:
            yield _timm_resolved(inner, str(content.get("arch") or inner.get("model") or network))
        if inner:
            yield from _within(inner, network, depth - 1)
    yield content


def _anywhere(content: Mapping[str, Any], depth: int = 4) -> Iterator[Mapping[str, Any]]:
    """Entries under any name that are evidently a normalisation, and transforms or their text."""
    for name, value in sorted(content.items(), key=_order) if depth else ():
        if NO_IMAGES.search(str(name)) or (name in _OF_PRETRAINING and "_modules" in content):
            continue
        inner = mapping_of(value)
        if (isinstance(value, str) and not inner) or has_steps(value):
            yield of_transforms(value)
        elif isinstance(inner.get("transforms"), list | tuple):
            yield of_transforms(inner)
        else:
            if isinstance(value, list | tuple):
                yield size_of_pipeline(value)
            if not isinstance(next(iter(inner.values()), None), Tensor):
                yield from _anywhere(inner, depth - 1)
            stated = stated_in(inner)
            if {"mean", "std"} <= stated.keys() or any("=" in name for name in stated):
                yield inner


def _order(item: tuple[Any, Any]) -> int:
    """What of a test comes after what of a training and wins; of statistics, those of the training images do."""
    name, value = item
    inner, is_trained = mapping_of(value), "train" in str(name).lower()
    if {"mean", "std"} <= inner.keys():
        return 2 if is_trained else 1
    pipeline = inner.get("transforms", value)
    is_random = (isinstance(pipeline, str) or has_steps(pipeline)) and any(
        step.is_random for step in steps_of(pipeline)
    )
    return 0 if is_trained or is_random else 1


def _timm_resolved(args: Mapping[str, Any], arch: str) -> Mapping[str, Any]:
    """What timm's train.py gave the network: what is not set on its command line is that of the architecture."""
    config: Any = timm.get_pretrained_cfg(arch) if timm.is_model(arch) else None
    try:
        return dict(resolve_data_config(dict(args), config.to_dict() if config else {}))  # type: ignore[no-untyped-call]
    except (AssertionError, TypeError, ValueError):  # these are not timm's
        return {}


def _attributes(content: Any) -> Mapping[str, Any]:
    """The statistics that a pickled network has as attributes, with which it normalises its input."""
    own = vars(content) if isinstance(content, Inert) else {}
    given = ({"mean": own.get(mean), "std": own.get(std)} for mean, std in STATISTICS.items())
    return next((pair for pair in given if all(map(numbers_of, pair.values()))), {})


def _layer(content: WeightFile) -> Mapping[str, Any]:
    """The statistics in a layer of the network that normalises its input; None for a mean whose partner is missing."""
    alone: Mapping[str, Any] = {}
    for key, mean in content.state.items():
        prefix, _, last = key.rpartition(".")
        if last not in STATISTICS or mean.numel() not in (1, 3):
            continue
        std = content.state.get(f"{prefix}.{STATISTICS[last]}" if prefix else STATISTICS[last])
        if isinstance(std, Tensor) and mean.numel() == std.numel():
            return {"mean": mean, "std": std}
        alone = {"mean": UNREAD}
    return alone


def _merged(found: Stated, stated: Stated) -> Stated:
    """Both, the later one winning; mean and standard deviation are of one entry, because two halves make a third."""
    pair = {"mean", "std"}
    if not pair & stated.keys():
        return found | stated
    if all(map(found.get, pair)) and not all(map(stated.get, pair)):
        return found | {name: value for name, value in stated.items() if name not in pair}
    return {name: value for name, value in found.items() if name not in pair} | stated


def _joined(found: Stated) -> Preprocessing:
    """The values of all layers as one."""
    rule, share = found.pop("rule", None), found.pop("share", None)
    if rule or share or "resize" in found:
        found = {name: value for name, value in found.items() if not name.startswith(UNREAD_CUT)}
    if rule or share:
        found["resize"] = spell_resize(rule or "crop", (share or 1.0) if rule != "pad" else 1.0)
    found = _without_words(found)
    numbers = [*(found.get("mean") or ()), *(found.get("std") or ())]
    if max(numbers, default=0) > 1 or found.get("value_range") == 255:
        found["value_range"] = 255
        if "std" not in found:  # as of Caffe's networks, which subtract the mean alone
            found |= {"mean": found.get("mean", (0.0,)), "std": (1.0,)}
    found = _without_halves(found)
    if found.get("image_size") not in range(SMALLEST_IMAGE, LARGEST_IMAGE + 1) and "image_size" in found:
        found["image_size"] = None
    unread = tuple(name for name, value in found.items() if value is None)
    return Preprocessing(**{name: value for name, value in found.items() if value is not None}, unread=unread)


def _without_words(found: Stated) -> Stated:
    """What is said of the normalisation beside mean and std, as these or as not understood."""
    rest = {name: value for name, value in found.items() if name not in (SIGNED, UNNORMALISED)}
    mean, std = (rest.get(name) for name in ("mean", "std"))
    if SIGNED in found and mean and std and {*mean, *std} not in ({0.5}, {127.5}):
        rest[f"{found[SIGNED]}=[-1, 1] beside mean and std"] = None
    if UNNORMALISED in found and {"mean", "std"}.isdisjoint(rest):
        rest |= {"mean": (0.0,), "std": (1.0,)} | ({"value_range": 255} if found[UNNORMALISED] == 255 else {})
    return rest


def _without_halves(found: Stated) -> Stated:
    """A mean whose standard deviation is not known, or the reverse, is not used: a default would not suit it."""
    given = [name for name in ("mean", "std") if found.get(name)]
    if len(given) != 1:
        return found
    (own,) = given
    other = "std" if own == "mean" else "mean"
    rest = {name: value for name, value in found.items() if name not in (own, other, "value_range")}
    return rest | (dict.fromkeys(("mean", "std")) if other in found else {f"{own} without {other}": None})
