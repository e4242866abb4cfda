"""Why tensors are not those that a network expects, where their names or the file's name show it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from okdbench.data.class_order import shortened
from okdbench.distill.networks.unused_tensors import NEEDED
from okdbench.distill.networks.weight_choice import STATISTIC

#: what to do about a network of other layers
CODE = "give the code of this network, --teacher ./net.py"
#: the same of weights that a training starts from
FRONT = "save the weights before them alone, and the last layer starts new"
#: pattern of a tensor's name -> what has been done to the weights, and how it is undone
_REWORKED = {
    r"(^|\.)(_?flat_param|_fsdp_shard)": "sharded: save them with a full state dict",
    r"(^|[._])lora_": "those of an adapter (LoRA): join them with the network, merge_and_unload(), before saving",
    r"(^|[._])(weight_scale(_inv)?|scale_weight|input_scale|scale_input)$": "quantised, with scales beside them: save "
    "them before quantisation, or multiply them by their scales",
    r"_packed_params|(^|\.)(zero_point|SCB|absmax|qweight|quant_state)": "quantised: save them before quantisation",
    r"_mask$": "pruned with masks: make it permanent with torch.nn.utils.prune.remove() before saving",
    r"weight_(g|v|u|orig)$|(^|\.)parametrizations\.": "those of a normalised layer: remove its parametrisation before "
    "saving",
}
#: the end of the name of one of several files, as the library of Hugging Face writes them
_PART = re.compile(r"(\d+)-of-(\d+)$")


def reworked(state: Mapping[str, Tensor]) -> str:
    """What was done to the weights that the network does not expect; empty if nothing is known of it."""
    found = (text for pattern, text in _REWORKED.items() if any(re.search(pattern, name) for name in state))
    return next(found, "")


def part_of(path: Path) -> str:
    """That the name of a file is that of one of several; empty for others."""
    found = _PART.search(path.stem)
    if not found or int(found[2]) < 2:
        return ""
    number, count = map(int, found.groups())
    return f"it is part {number} of {count}: join the state dicts of all parts, and save them with torch.save()"


def too_much(
    state: Mapping[str, Tensor], part: Mapping[str, Tensor], expected: Mapping[str, Tensor], head: set[str]
) -> str:
    """That all tensors are there, or all but those of the last layer, and which others are; otherwise empty.

    Args:
        state: of the file.
        part: of these, those that may be the network's, by its names.
        expected: all that the network needs.
        head: names of the last layer's tensors.
    """
    missing = {key for key in expected if key not in part or part[key].shape != expected[key].shape}
    known = {id(part[key]) for key in expected.keys() - missing}
    more = [key for key, tensor in state.items() if id(tensor) not in known and tensor.is_floating_point()]
    if more and not missing:
        return f"all its {len(expected)} tensors match, and the file has more: {shortened(more)}; {NEEDED}"
    weights = [key for key in more if state[key].ndim > 1]
    if weights and missing <= head:
        return f"in place of its last layer the file has {shortened([*map(repr, weights)])}; {CODE}"
    return ""


def about_batch_norm(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """What is wrong with batch norm, if all else is that of the network; otherwise empty."""
    layers = {key.removesuffix("running_mean") for key in expected if key.endswith("running_mean")}
    others = [key for key in expected if key[: key.rfind(".") + 1] not in layers]
    if not layers or any(key not in found or found[key].shape != expected[key].shape for key in others):
        return ""
    is_absent = any(not any(key.startswith(layer) for key in found) for layer in layers)
    if is_absent and any(key.endswith("bias") and key not in expected for key in found):
        return "its batch norm is fused into its convolutions: save the network before that"
    if not any(STATISTIC.search(key) for key in found):
        return (
            "the architecture has batch norm, and the file no running statistics: if the network has group norm, give "
            "its code, --teacher ./net.py; if it normalises by each batch, train it again with track_running_stats=True"
        )
    return ""


def about_classes(theirs: int, own: int, state: Mapping[str, Tensor]) -> str:
    """What to do about a last layer of ``theirs`` classes in a file with these tensors, where ``own`` are needed."""
    if (theirs, own) == (1, 2):
        return "it has one output for two classes, as before a sigmoid; save two rows, zeros and then its own"
    if further := [key for key, tensor in state.items() if tensor.shape == (own, theirs)]:
        return f"after a layer of {theirs} outputs the file has a further one, {further[0]!r}; {CODE}"
    rows = "if those are among these, name their rows with teacher_classes in the file of the data set"
    less = "leave those that it lacks out, with ignore: in the file of the data set"
    less += " (a list that counts classes from 1 has one too many: count from 0)" if own == theirs + 1 else ""
    return f"the file has {theirs} classes, the data set {own}; {rows if theirs > own else less}"


def about_channels(theirs: int, own: int, is_start: bool) -> str:
    """What to do about a first convolution for images of other channels."""
    if theirs not in (1, 3):
        return f"it is of a network for images of {theirs} channels; images here have 1 or 3"
    kinds = [f"images of {count} channel{'s' * (count > 1)}" for count in (theirs, own)]
    others = "and --mean and --std if it was not trained with those of the data set"
    cure = f"name a file for {kinds[1]}" if is_start else f"add --channels {theirs}, {others}"
    return f"it is of a network for {kinds[0]}; {cure}"
