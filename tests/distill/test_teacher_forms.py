"""The forms of a teacher's file that docs/data.md lists: each is read with its own weights, or refused with why."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors
from support.pages import text_of
from support.pickle_bomb import Bomb
from support.plain_teachers import optimised
from test_weight_files import NET, check, prefixed, refusal, rubbish, trained
from torch import Tensor, nn
from torch.nn.utils import prune

Files = dict[str, bytes]


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def renamed(state: dict[str, Tensor], pattern: str, text: str) -> dict[str, Tensor]:
    return {re.sub(pattern, text, name): tensor for name, tensor in state.items()}


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, content in members.items():
            made.writestr(name.replace("__", "/"), content)
    return stream.getvalue()


def packed(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        member = tarfile.TarInfo("best.pt")
        member.size = len(content)
        made.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def exported(net: nn.Module) -> bytes:
    stream = io.BytesIO()
    torch.export.save(torch.export.export(net.eval(), (torch.zeros(1, 3, 32, 32),)), stream)
    return stream.getvalue()


def scripted(net: nn.Module) -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(net.eval(), torch.zeros(1, 3, 32, 32)), stream)
    return stream.getvalue()


def apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As OpenMMLab's libraries and Lightning modules with two attributes name them."""
    return {f"head.{name}" if name.startswith("fc.") else f"backbone.{name}": value for name, value in state.items()}


def trainer(net: nn.Module) -> Any:
    """A learner that was pickled as a whole, with an object that refers back to it."""
    made = Learner()
    made.model, made.opt = net, Learner()
    made.opt.learner = made
    return made


class Learner:
    """A class that a reader of the file need not have."""

    model: nn.Module
    opt: Learner
    learner: Learner


class Nested:
    """An object that is pickled as a tensor is: by a call that unpickles other bytes."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        # that the function has no public name is the point
        return torch.storage._load_from_bytes, (saved(self.content),)  # type: ignore[attr-defined]


Make = Callable[[nn.Module], bytes]

#: forms whose weights are the network's
READ: dict[str, Make] = {
    "`state_dict()` alone": lambda net: saved(net.state_dict()),
    "under `state_dict`, `model`, `net` or another usual name": lambda net: saved({"net": net.state_dict()}),
    "under one name of your own": lambda net: saved({"best_weights_so_far": net.state_dict(), "epoch": 3}),
    "in a list or tuple, beside an optimiser": lambda net: saved(
        (net.state_dict(), torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict())
    ),
    "DataParallel and DDP, `module.`": lambda net: saved(nn.DataParallel(net).state_dict()),
    "DataParallel of a part": lambda net: saved(renamed(net.state_dict(), "^layer1", "layer1.module")),
    "`torch.compile`, `_orig_mod.`": lambda net: saved(prefixed(net.state_dict(), "_orig_mod.")),
    "FSDP, `_fsdp_wrapped_module.` anywhere": lambda net: saved(
        prefixed(renamed(net.state_dict(), r"^(layer\d)", r"\1._fsdp_wrapped_module"), "_fsdp_wrapped_module.")
    ),
    "recomputed blocks, `_checkpoint_wrapped_module.`": lambda net: saved(
        renamed(net.state_dict(), r"^(layer\d\.0)", r"\1._checkpoint_wrapped_module")
    ),
    "Lightning, `model.` or any other prefix": lambda net: saved(
        {"state_dict": prefixed(net.state_dict(), "model."), "pytorch-lightning_version": "2.5", "epoch": 3}
    ),
    "a backbone and a head under two prefixes, as in OpenMMLab": lambda net: saved(
        {"meta": {"epoch": 3}, "state_dict": renamed(apart(net.state_dict()), r"^head\.fc", "head.layers.fc")}
    ),
    "a backbone and a head as two state dicts": lambda net: saved(
        {"backbone": {n: v for n, v in net.state_dict().items() if not n.startswith("fc.")},
         "classifier": net.get_classifier().state_dict()}  # type: ignore[operator]
    ),
    "a last layer in a sequence with dropout": lambda net: saved(renamed(net.state_dict(), r"^fc\.", "fc.1.")),
    "a network beside others, as of a GAN": lambda net: saved(
        {"netG": nn.Linear(3, 3).state_dict(), "netC": net.state_dict(), "confusion": torch.eye(3)}
    ),
    "timm's `train.py`": lambda net: saved({"arch": NET, "state_dict": net.state_dict(), "metric": np.float64(0.5)}),
    "a moving average beside raw weights": lambda net: saved(
        {"state_dict": rubbish(net.state_dict()), "state_dict_ema": net.state_dict()}
    ),
    "averaged by `swa_utils`": lambda net: saved(
        {"model": rubbish(net.state_dict()), "swa_model": torch.optim.swa_utils.AveragedModel(net).state_dict()}
    ),
    "DeepSpeed's `mp_rank_00_model_states.pt`": lambda net: saved({"module": net.half().state_dict(), "lr": [0.1]}),
    "a whole network, `torch.save(net)`": saved,
    "a whole network and its `state_dict()`": lambda net: saved({"model": net, "state_dict": net.state_dict()}),
    "a whole network in half precision, as Ultralytics has it": lambda net: saved({"model": None, "ema": net.half()}),
    "a whole trainer, as `learn.export` of fastai": lambda net: saved(trainer(net)),
    "safetensors, whatever its ending, in any precision": lambda net: to_safetensors(net.bfloat16().state_dict()),
    "`pickle.dump`": lambda net: pickle.dumps(net.state_dict()),
    "before PyTorch 1.6": lambda net: old(net.state_dict()),
    "the same network under two names": lambda net: saved(
        {"model": prefixed(net.state_dict(), "model.") | prefixed(net.state_dict(), "attacker.model.")}
    ),
    "`float8`": lambda net: saved({"model": eighths(net), "optimizer": {}}),
    "without `num_batches_tracked`": lambda net: saved(
        {name: value for name, value in net.state_dict().items() if "num_batches" not in name}
    ),
}  # fmt: skip


def eighths(net: nn.Module) -> dict[str, Tensor]:
    """The network's weights as eight bits can express them."""
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.copy_(tensor.to(torch.float8_e4m3fn).float())
    return {name: v.to(torch.float8_e4m3fn) if "running" not in name else v for name, v in net.state_dict().items()
            if v.is_floating_point()}  # fmt: skip


def old(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def pruned(net: nn.Module) -> bytes:
    prune.l1_unstructured(net.get_classifier(), "weight", 0.5)  # type: ignore[operator]
    return saved(net.state_dict())


def normalised(net: nn.Module) -> bytes:
    torch.nn.utils.parametrizations.weight_norm(net.get_classifier())  # type: ignore[operator]
    return saved(net.state_dict())


def quantised(net: nn.Module) -> bytes:
    return saved(torch.ao.quantization.quantize_dynamic(net, {nn.Linear}).state_dict())


def without_pool(net: nn.Module) -> nn.Module:
    net.set_submodule("maxpool", nn.Identity())
    return net


#: forms that are refused, and the reason and cure in the message
REFUSED: dict[str, tuple[Make, str]] = {
    "a teacher and a student in one file, as of DINO": (
        lambda net: saved({"student": rubbish(net.state_dict()), "teacher": net.state_dict()}),
        "holds several networks of this architecture, 'student.', 'teacher.'; save the one that is meant",
    ),
    "two networks under usual names": (
        lambda net: saved({"model": rubbish(net.state_dict()), "net": net.state_dict()}),
        "holds several networks of this architecture, 'net.', 'model.'; save",
    ),
    "a whole network with other layers than are built, such as a stride of 1": (
        lambda net: saved(without_pool(net)),
        "maxpool is Identity there and MaxPool2d here",
    ),
    "a backbone without its last layer": (
        lambda net: saved({n: v for n, v in net.state_dict().items() if not n.startswith("fc.")}),
        "the file has no last layer, so it is no trained classifier; --teacher-init starts a training",
    ),
    "several layers in place of the last": (
        lambda net: saved(renamed(net.state_dict(), r"^fc\.", "fc.2.") | {"fc.0.weight": torch.ones(64, 64)}),
        "in place of its last layer the file has 'fc.2.weight', 'fc.0.weight'; give the code of this network",
    ),
    "an adapter of PEFT (LoRA)": (
        lambda _: saved({"base_model.model.fc.lora_A.weight": torch.ones(4, 4)}),
        "those of an adapter (LoRA): join them with the network",
    ),
    "quantised": (quantised, "its weights are quantised: save them before quantisation"),
    "quantised tensors": (
        lambda net: saved({n: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8) if v.ndim > 1 else v
                           for n, v in net.state_dict().items()}),
        "its weights are quantised, 'conv1.0.weight' for one is of integers",
    ),
    "integers": (
        lambda net: saved({n: v if v.ndim < 2 else v.to(torch.int8) for n, v in net.state_dict().items()}),
        "its weights are quantised, 'conv1.0.weight' for one is of integers",
    ),
    "pruned with masks": (pruned, "its weights are pruned with masks: make it permanent"),
    "with weight norm": (normalised, "its weights are those of a normalised layer: remove its parametrisation"),
    "FSDP in shards": (lambda _: saved({"_flat_param": torch.ones(9)}), "its weights are sharded: save them with"),
    "NumPy's arrays": (
        lambda net: pickle.dumps({name: value.numpy() for name, value in net.state_dict().items()}),
        "holds tensors or arrays of a class that is not read; save them with torch.save(net.state_dict(), FILE)",
    ),
    "TorchScript": (scripted, "is a TorchScript file: save net.state_dict() of the network that it was made of"),
    "`torch.export`": (exported, "is a file of torch.export: save net.state_dict()"),
    "ONNX": (lambda _: b"\x08\x07\x12\x07pytorch", "is an ONNX file: give the PyTorch weights"),
    "Keras": (lambda _: archive(**{"config.json": b"{}", "model.weights.h5": b"x"}), "is a file of Keras: export it"),
    "TensorFlow Lite": (lambda _: b"\x1c\0\0\0TFL3" + bytes(64), "is a file of TensorFlow Lite: give"),
    "JAX, `.npz`": (lambda _: archive(**{"head__kernel.npy": b"x"}), "is an archive of NumPy's arrays, as JAX has"),
    "GGUF": (lambda _: b"GGUF" + bytes(64), "is a quantised GGUF file: give the PyTorch weights"),
    "compressed by gzip": (lambda net: gzip.compress(saved(net.state_dict())), "is compressed by gzip: unpack it"),
    "compressed by bzip2": (lambda net: bz2.compress(saved(net.state_dict())), "is compressed by bzip2: unpack it"),
    "a tar archive": (lambda net: packed(saved(net.state_dict())), "is a tar archive: unpack it and name the file"),
    "a zip archive": (lambda net: archive(**{"best.pt": saved(net.state_dict())}), "is a zip archive: unpack it"),
    "the index of safetensors in several files": (
        lambda _: json.dumps({"weight_map": {"fc.weight": "model-00001-of-00002.safetensors"}}).encode(),
        "is a list of several files of weights: join them",
    ),
    "an optimiser's state": (
        lambda net: saved(optimised(net)),
        "holds no weights; save them with torch.save(net.state_dict(), FILE)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
def test_a_form_is_read_with_its_own_weights(form: str, tmp_path: Path) -> None:
    net = trained()
    (tmp_path / "any.name").write_bytes(READ[form](net))
    check(tmp_path / "any.name", net)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", REFUSED)
def test_a_form_is_refused_with_the_reason(form: str, tmp_path: Path) -> None:
    make, reason = REFUSED[form]
    (tmp_path / "any.name").write_bytes(make(trained()))
    message = refusal(tmp_path / "any.name")
    assert reason in message, message


@pytest.mark.parametrize("place", ["beside", "in the state dict", "in a tensor", "as the whole"])
def test_code_in_a_plain_pickle_is_not_executed(place: str, tmp_path: Path) -> None:
    net, crater = trained(), tmp_path / "crater"
    bomb = Bomb(crater)
    content: Any = {
        "beside": {"model": net.state_dict(), "args": bomb},
        "in the state dict": {**net.state_dict(), "more": bomb},
        "in a tensor": {**net.state_dict(), "more": Nested(bomb)},
        "as the whole": bomb,
    }[place]
    file = tmp_path / "net.pkl"
    file.write_bytes(pickle.dumps(content))
    if place == "as the whole":
        assert "holds no weights" in refusal(file)
    else:
        check(file, net)
    assert not crater.exists()
    pickle.loads(file.read_bytes())
    assert crater.exists(), "unpickling did not run the code, so the test above proves nothing"


def test_the_page_lists_all_of_them() -> None:
    section = text_of("docs/data.md").partition("### Forms of a teacher's file")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    assert {form for form, what in rows[2:] if what == "read"} == set(READ)
    assert {form for form, what in rows[2:] if what.startswith("refused")} == set(REFUSED)


def test_folders_are_refused_with_the_file_to_name(tmp_path: Path) -> None:
    files = {
        "model.safetensors": "is a folder: name model.safetensors in it",
        "pytorch_model.bin": "is a folder: name pytorch_model.bin in it",
        "model.safetensors.index.json": "is a folder: its weights are in several files: join them",
        ".metadata": "is a folder: a distributed checkpoint: join it with dcp_to_torch_save()",
        "saved_model.pb": "is a folder: a model of TensorFlow: export it",
        "other": "is a folder: name the file of weights in it",
    }
    for name, reason in files.items():
        folder = tmp_path / f"of {name}"
        folder.mkdir()
        (folder / name).touch()
        assert reason in refusal(folder)


NOTES: dict[str, tuple[Callable[[nn.Module], Any], str]] = {
    "of two, the usual name": (
        lambda net: {"model": net.state_dict(), "first": rubbish(net.state_dict())}, "'model' is used, not 'first'"
    ),
    "an average that cannot be read": (
        lambda net: {"model": net.state_dict(), "ema": {"shadow_params": [torch.ones(2, 2)]}},
        "the raw weights are used, because the moving average 'ema' has no names of tensors",
    ),
    "another name in timm's script": (
        lambda net: {"arch": "tf_efficientnet_b0", "state_dict": net.state_dict()},
        "warning: the training that wrote it calls the network tf_efficientnet_b0, not test_resnet",
    ),
    "two prefixes": (
        lambda net: apart(net.state_dict()), "its last layer is 'head.fc.weight', all others are under 'backbone.'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTES)
def test_a_choice_that_others_could_make_otherwise_is_said(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, note = NOTES[case]
    net = trained()
    torch.save(make(net), tmp_path / "net.pt")
    check(tmp_path / "net.pt", net)
    assert note in capsys.readouterr().err
